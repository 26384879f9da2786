"""Transformers and classifiers of scikit-learn in exported graphs."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_digits
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    StandardScaler,
)
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from sk_center import CenterLossClassifier, OpenSetClassifier, to_onnx

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytest.importorskip("skl2onnx")
pd = pytest.importorskip("pandas")
label_table = pytest.importorskip("sk_center._onnx.labels").label_table

X, Y = load_digits(return_X_y=True)
X = X / 16
KNOWN = Y < 6
NAMES = np.array(["zero", "one", "two", "three", "four", "five"])


def ask(path, **inputs):
    """Return the outputs of an exported graph by name."""
    session = onnxruntime.InferenceSession(path)
    assert {source.name for source in session.get_inputs()} == {*inputs}
    outputs = [output.name for output in session.get_outputs()]
    return dict(zip(outputs, session.run(None, inputs)))


def assert_same(found, model, X):
    """Check what a graph answers against the model, decisions without exception.

    Rounding may choose between classes that are equally probable, and move a p-value past
    a calibration sample.
    """
    assert_array_equal(found["label"], model.predict(X))
    assert_array_equal(found["rejected"], model.is_outlier(X))
    assert_array_equal(found["prediction_set"], model.predict_set(X))
    close = np.isclose(found["score"], model.score_samples(X), rtol=1e-5, atol=1e-5)
    assert close.mean() >= 0.998
    assert np.isclose(found["p_known"], model.p_known(X), atol=0.01).mean() >= 0.998
    assert ("probabilities" in found) == hasattr(model, "predict_proba")
    if "probabilities" in found:
        assert_allclose(found["probabilities"], model.predict_proba(X), atol=1e-5)


CLASSIFIERS = [
    # Those whose scores of two classes have a form of their own come first.
    (LogisticRegression(), "auto"),
    (LogisticRegression(), "energy"),
    (SVC(), "auto"),
    (SVC(), "max_logit"),
    (RandomForestClassifier(20, random_state=0), "auto"),
    (GradientBoostingClassifier(n_estimators=3, random_state=0), "max_logit"),
    (MLPClassifier(max_iter=30, random_state=0), "max_softmax"),
    (LogisticRegression(), "max_softmax"),
    (RandomForestClassifier(20, random_state=0), "max_softmax"),
    (ExtraTreesClassifier(20, random_state=0), "max_softmax"),
    (DecisionTreeClassifier(max_depth=4, random_state=0), "max_softmax"),
    (GaussianNB(), "max_softmax"),
    (KNeighborsClassifier(), "max_softmax"),
]


@pytest.mark.parametrize(
    ("estimator", "score", "n_classes"),
    [*((*pair, 6) for pair in CLASSIFIERS), *((*pair, 2) for pair in CLASSIFIERS[:7])],
    ids=lambda x: type(x).__name__ if hasattr(x, "fit") else str(x),
)
@pytest.mark.filterwarnings("ignore")
def test_classifiers(estimator, score, n_classes, tmp_path):
    """Check that decisions around classifiers are those of Python, ties among them."""
    known = n_classes > Y
    pipe = make_pipeline(StandardScaler(), estimator)
    model = OpenSetClassifier(pipe, conformity_score=score, random_state=0, cv=0.2)
    model.fit(X[known], NAMES[Y[known]])
    to_onnx(model, tmp_path / "model.onnx")
    assert_same(ask(tmp_path / "model.onnx", X=X), model, X)


@pytest.mark.parametrize("guarantee", ["predicted", "class"])
@pytest.mark.filterwarnings("ignore")
def test_guarantees_around_a_forest(guarantee, tmp_path):
    """Check every guarantee on scores of which most are equal to others."""
    forest = RandomForestClassifier(20, random_state=0)
    model = OpenSetClassifier(
        forest,
        conformity_score="max_softmax",
        guarantee=guarantee,
        random_state=0,
        cv=0.2,
    ).fit(X[KNOWN], Y[KNOWN])
    to_onnx(model, tmp_path / "model.onnx")
    assert_same(ask(tmp_path / "model.onnx", X=X), model, X)


@pytest.mark.filterwarnings("ignore:Samples far from all")
def test_no_numbers_are_outsiders(tmp_path):
    """Check that samples which Python refuses are outsiders, also for a forest."""
    forest = LogisticRegression().fit(X[KNOWN], Y[KNOWN])
    model = OpenSetClassifier(
        forest, conformity_score="max_softmax", random_state=0, cv=0.2
    )
    to_onnx(model.fit(X[KNOWN], Y[KNOWN]), tmp_path / "model.onnx")
    rows = X[KNOWN][:3].copy()
    rows[1, 3] = np.inf
    found = ask(tmp_path / "model.onnx", X=rows)
    assert found["rejected"].tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (HistGradientBoostingClassifier(max_iter=2), "a HistGradientBoostingClassifier"),
        # skl2onnx gives other probabilities.
        (LinearDiscriminantAnalysis(), "a LinearDiscriminantAnalysis, which cannot be"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_other_classifiers(estimator, message, tmp_path):
    """Check that a classifier of which no graph is right is named, and those that are."""
    model = OpenSetClassifier(estimator, random_state=0, cv=0.2).fit(X[KNOWN], Y[KNOWN])
    with pytest.raises(ValueError, match=f"{message}.*LogisticRegression"):
        to_onnx(model, tmp_path / "model.onnx")


def small(**params):
    """Return a network that trains in no time."""
    return CenterLossClassifier(
        hidden_layer_sizes=(8, 4), max_epochs=3, random_state=0, **params
    )


def table():
    """Return numbers beside strings."""
    rng = np.random.RandomState(0)
    words = np.array(["red", "green", "blue"])[rng.randint(3, size=300)]
    frame = pd.DataFrame({"a": rng.normal(size=300), "word": words})
    frame["b"] = rng.normal(size=300)
    frame["kind"] = np.where(rng.rand(300) < 0.5, "x", "y")
    return frame, np.where(frame["word"] == "red", 0, np.where(frame["a"] > 0, 1, 2))


@pytest.mark.parametrize("last", [small(), LogisticRegression()], ids=["net", "linear"])
@pytest.mark.filterwarnings("ignore")
def test_strings_beside_numbers(last, tmp_path):
    """Check that columns of strings and numbers are inputs of their own."""
    frame, y = table()
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["word", "kind"]),
        (StandardScaler(), ["b", "a"]),
    )
    model = OpenSetClassifier(make_pipeline(columns, last), random_state=0, cv=0.2)
    model.fit(frame, y)
    to_onnx(model, tmp_path / "model.onnx")
    new = frame.copy()
    new.loc[:5, "word"] = "never seen"
    inputs = {f"X{i}": new[[name]].to_numpy() for i, name in enumerate(new)}
    found = ask(tmp_path / "model.onnx", **inputs)
    assert_array_equal(found["label"], model.predict(new))
    assert_allclose(found["probabilities"], model.predict_proba(new), atol=1e-5)


@pytest.mark.parametrize("encoder", [OneHotEncoder(sparse_output=False), OrdinalEncoder()])
@pytest.mark.filterwarnings("ignore")
def test_strings_alone(encoder, tmp_path):
    """Check that columns that are all strings are one input."""
    frame, y = table()
    frame = frame[["word", "kind"]]
    model = make_pipeline(encoder, small()).fit(frame, y)
    to_onnx(model, tmp_path / "model.onnx")
    found = ask(tmp_path / "model.onnx", X=frame.to_numpy())
    assert_array_equal(found["label"], model.predict(frame))
    assert_allclose(found["probabilities"], model.predict_proba(frame), atol=1e-5)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (FunctionTransformer(np.log1p), "cannot be exported; skl2onnx says: "),
        (PolynomialFeatures(2), r"PolynomialFeatures\(\) cannot be exported; skl2onnx"),
        (
            SimpleImputer(),
            r"^SimpleImputer\(\) cannot be exported; onnxruntime .*Imputer.* in float64",
        ),
        (
            make_column_transformer(
                (StandardScaler(), [0, 1]), (SimpleImputer(add_indicator=True), [2])
            ),
            r"^SimpleImputer\(add_indicator=True\) cannot be exported",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_steps_that_skl2onnx_cannot_export(step, message, tmp_path):
    """Check that the error names the transformer that no graph computes."""
    pipe = make_pipeline(step, small()).fit(X[:, :9], Y)
    with pytest.raises(ValueError, match=message):
        to_onnx(pipe, tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array(["a", "b\ud800"]), r"classes must be valid Unicode.*b\\ud800"),
        (np.array(["a", "b\ud800"], dtype=object), "classes must be valid Unicode"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_classes_that_are_no_text(labels, message, tmp_path):
    """Check the error of class names that ONNX, which has UTF-8, cannot hold."""
    model = small().fit(X, labels[Y % 2])
    with pytest.raises(ValueError, match=message):
        to_onnx(model, tmp_path / "model.onnx")
    assert [*tmp_path.iterdir()] == []


def test_bytes_as_labels():
    """Check the error of bytes, which few classifiers take for labels."""
    with pytest.raises(ValueError, match=r"all numbers or all strings .* got b'a'"):
        label_table(np.array([b"a", b"b"]))


class Sampler(BaseEstimator):
    """A step that resamples for training, as imbalanced-learn has them."""

    def fit_resample(self, X, y):
        """Return the samples as they are."""
        return X, y


def test_steps_that_resample_are_left_out(tmp_path):
    """Check that a sampler is no part of the graph, since it acts on training alone."""
    pipe = make_pipeline(StandardScaler(), LogisticRegression()).fit(X[KNOWN], Y[KNOWN])
    model = OpenSetClassifier(FrozenEstimator(pipe), random_state=0).fit(X[KNOWN], Y[KNOWN])
    to_onnx(model, tmp_path / "without.onnx")
    model.estimator_.estimator.steps.insert(1, ("sample", Sampler()))
    to_onnx(model, tmp_path / "with.onnx")
    files = [(tmp_path / f"{name}.onnx").read_bytes() for name in ("without", "with")]
    assert files[0] == files[1]
