"""
Text, numbers and categories in one table
=========================================

Few tables hold numbers alone. Here a ``ColumnTransformer`` turns text, categories and
numbers with gaps into features, a :class:`~sk_center.CenterLossClassifier` learns from
them, and an :class:`~sk_center.OpenSetClassifier` around both rejects: it takes the raw
data frame, knows its classes by name, and is saved as a whole.

The table is the documentation of Python packages that are installed here. Which library
is a function or class from? The model learns NumPy, SciPy, scikit-learn and PyTorch;
entries of pandas and Matplotlib should be rejected.
"""

import inspect
import tempfile
from pathlib import Path
from pkgutil import resolve_name

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PowerTransformer, StandardScaler

from sk_center import (
    CenterLossClassifier,
    FalseRejectionDisplay,
    OpenSetClassifier,
    OpenSetConfusionMatrixDisplay,
    load,
    save,
)

# %%
# One row for each function and class that these modules and classes make public. Entries
# with less than 600 characters of documentation are left out.

NAMESPACES = """
    numpy numpy.linalg numpy.random numpy.fft numpy.ma
    scipy.integrate scipy.interpolate scipy.linalg scipy.ndimage scipy.optimize
    scipy.signal scipy.special scipy.stats
    sklearn.cluster sklearn.datasets sklearn.decomposition sklearn.ensemble
    sklearn.feature_selection sklearn.linear_model sklearn.metrics
    sklearn.model_selection sklearn.neighbors sklearn.preprocessing sklearn.utils
    torch torch.nn torch.nn.functional torch.optim torch.distributions torch.linalg
    pandas pandas.DataFrame pandas.Series pandas.Index
    matplotlib.axes.Axes matplotlib.figure.Figure matplotlib.colors matplotlib.patches
    matplotlib.ticker matplotlib.transforms matplotlib.widgets
"""


def describe(name, thing, library):
    """Return the row of a function or class."""
    doc = inspect.getdoc(thing)
    try:
        given = inspect.signature(thing).parameters.values()
        n_given, n_required = len(given), sum(p.default is p.empty for p in given)
    except (TypeError, ValueError):  # some compiled functions do not tell
        n_given = n_required = np.nan
    return {
        "name": name,
        "text": doc,
        "kind": "class" if inspect.isclass(thing) else "function",
        "parameters": n_given,
        "required": n_required,
        "lines": doc.count("\n") + 1,
        "examples": doc.count(">>>"),
        "library": library,
    }


rows = []
for namespace in NAMESPACES.split():
    library, things = namespace.split(".")[0], vars(resolve_name(namespace))
    for name in sorted(things.get("__all__", things)):
        thing = things.get(name)
        is_own = (getattr(thing, "__module__", None) or library).startswith(library)
        documented = callable(thing) and len(inspect.getdoc(thing) or "") > 600
        if is_own and documented and not name.startswith("_"):
            rows.append(describe(name, thing, library))
table = pd.DataFrame(rows).drop_duplicates("text")
table.groupby("library").sample(1, random_state=0).drop(columns="text").round(1)

# %%
# Three quarters of the known libraries train; the rest is tested, with all of the two
# unknown ones.

outsiders = table["library"].isin(["pandas", "matplotlib"])
train, test = train_test_split(
    table[~outsiders], stratify=table.loc[~outsiders, "library"], random_state=0
)
test = pd.concat([test, table[outsiders]])

# %%
# Each kind of column gets what it needs, and a last scaler brings all to one scale.
# Columns without a transformer, such as the name, are dropped. Missing values are filled
# without a column that marks them, in categories too, and rare categories are joined: the
# scaler would inflate a column that is almost constant, and the few known samples that
# differ in it would lie farther out than any outsider.
#
# The OpenSetClassifier goes around the whole Pipeline, so that transformers are not fitted
# to calibration samples. Libraries are broad classes, each with a few unusual samples; with
# 5 % allowed, such samples alone would set the threshold. Here it is 10 %, and three tenths
# of the data calibrate.

WORD = r"\b[^\W\d]{2,}\b"  # no numbers: those of some examples are random
numbers = ["parameters", "required", "lines", "examples"]
words = TfidfVectorizer(token_pattern=WORD, min_df=5, sublinear_tf=True)
kinds = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=0.05)
columns = make_column_transformer(
    (make_pipeline(words, TruncatedSVD(200, random_state=0)), "text"),
    (make_pipeline(SimpleImputer(), PowerTransformer()), numbers),
    (make_pipeline(SimpleImputer(strategy="most_frequent"), kinds), ["kind"]),
)
pipe = make_pipeline(columns, StandardScaler(), CenterLossClassifier(max_epochs=30))
model = OpenSetClassifier(pipe, false_rejection_rate=0.1, cv=0.3, random_state=0)
model.fit(train, train["library"])

# %%
# The predictions are names, and one of them is "outsider".

answers = test[["name", "library"]].assign(answer=model.predict(test))
answers.groupby("library").sample(2, random_state=1)

# %%
# Left, true and predicted labels. Right, the bound: the share of all known samples that are
# rejected should not lie right of the line by more than chance, which the interval shows. A
# single class may lose more. Nothing is guaranteed for the unknown libraries; the last row
# of the matrix shows how many of their samples are rejected, and how the rest is labelled.

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
OpenSetConfusionMatrixDisplay.from_estimator(
    model,
    test,
    test["library"],
    normalize="true",
    values_format=".1%",
    colorbar=False,
    cmap="Blues",
    ax=left,
)
FalseRejectionDisplay.from_estimator(model, test, test["library"], ax=right)
rejected = (answers["answer"] == "outsider").groupby(answers["library"]).mean()
print("rejected:", ", ".join(f"{name} {share:.0%}" for name, share in rejected.items()))

# %%
# One file holds transformers, network, score and calibration, and no code. A vectorizer is
# one of the estimators of scikit-learn that ``load`` must be told to trust, because a
# forged file could crash them.

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "libraries.safetensors")
    save(model, path)
    print(f"{path.stat().st_size / 1e6:.1f} MB")
    loaded = load(path, trusted=[TfidfVectorizer, TfidfTransformer])
print("same answers:", (loaded.predict(test) == answers["answer"]).all())
plt.show()
