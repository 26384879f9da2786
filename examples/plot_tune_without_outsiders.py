"""
Tuning rejection without a single outsider
==========================================

How strong should center loss be, and which score detects outsiders best? Future outsiders
are not available, but known classes are: :class:`~sk_center.LeaveClassesOut` keeps
some of them out of training and measures how well they are rejected.

Here a search sees six digits and nothing else. Then four other digits come: the settings
that were good for digits left out are those that are good for real outsiders.
"""

# %%
# Search on known classes
# -----------------------
#
# Six digits to learn and to tune on. The other four wait until the search is over.

import matplotlib.pyplot as plt
import numpy as np
from joblib import Parallel, delayed
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split

from sk_center import (
    CenterLossClassifier,
    LeaveClassesOut,
    OpenSetClassifier,
    OSCRCurveDisplay,
)
from sk_center.metrics import oscr_scorer

X, y = load_digits(return_X_y=True)
X = X / 16  # pixels between 0 and 1
outside = np.isin(y, [3, 6, 7, 8])
X_train, X_test, y_train, y_test = train_test_split(
    X[~outside], y[~outside], test_size=0.3, stratify=y[~outside], random_state=0
)

# %%
# Each of four splits leaves two of the six digits out of training. OSCR measures both tasks
# at once: classifying the samples of the other four, and detecting those two.

LAMBDAS = [0, 0.001, 0.01, 0.1, 1, 10]
SCORES = ["auto", "mahalanobis", "center_distance"]

model = OpenSetClassifier(CenterLossClassifier(max_epochs=30), random_state=0)
search = GridSearchCV(
    model,
    {"conformity_score": SCORES, "estimator__lambda_center": LAMBDAS},
    cv=LeaveClassesOut(2, n_splits=4, random_state=0),
    scoring=oscr_scorer,
    n_jobs=2,
).fit(X_train, y_train)
print("chosen without outsiders:", search.best_params_)

# %%
# Does it carry over to outsiders?
# --------------------------------
#
# Now all settings are tried on the four real outsiders, which is impossible in practice.

X_new, y_new = np.concatenate([X_test, X[outside]]), np.concatenate([y_test, y[outside]])


def oscr_on_outsiders(params):
    """Return the OSCR of one setting, trained on all six digits."""
    fitted = clone(model).set_params(**params).fit(X_train, y_train)
    return oscr_scorer(fitted, X_new, y_new)


left_out = search.cv_results_["mean_test_score"]
real = np.array(
    Parallel(n_jobs=2)(
        delayed(oscr_on_outsiders)(params) for params in search.cv_results_["params"]
    )
)
print(f"rank correlation of {len(real)} settings: {spearmanr(left_out, real)[0]:.2f}")
print(f"OSCR on outsiders, chosen:         {real[search.best_index_]:.3f}")
print(f"OSCR on outsiders, best and worst: {real.max():.3f}, {real.min():.3f}")

# %%
# Each point is one setting. Settings that are equal on classes left out, top right, hardly
# differ on outsiders either; settings that are bad for the former are bad for the latter.

figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
shape = len(SCORES), len(LAMBDAS)
rows = zip(SCORES, left_out.reshape(shape), real.reshape(shape), ("C0", "C2", "C1"))
for score, tuned, seen, color in rows:
    axes[0].plot(tuned, "o-", color=color, label=score)
    axes[0].plot(seen, "s--", color=color, markerfacecolor="white")
    axes[1].scatter(tuned, seen, color=color, label=score)
axes[0].plot([], "o-", color="0.3", label="on classes left out")
axes[0].plot([], "s--", color="0.3", markerfacecolor="white", label="on real outsiders")
axes[0].set(
    xticks=range(len(LAMBDAS)),
    xticklabels=LAMBDAS,
    xlabel="lambda_center",
    ylabel="OSCR",
    title="the best weight",
)
axes[1].scatter(
    left_out[search.best_index_],
    real[search.best_index_],
    s=200,
    facecolor="none",
    edgecolor="black",
    label="chosen",
)
axes[1].set(
    xlabel="OSCR on classes left out",
    ylabel="OSCR on real outsiders",
    title="the best setting",
)
for ax in axes:
    ax.legend(loc="lower right")
plt.show()

# %%
# Comparison with softmax
# -----------------------
#
# For comparison, the usual way: softmax training, and rejection by the largest
# probability.

softmax = clone(model).set_params(
    conformity_score="max_softmax",
    estimator__lambda_center=0,
    estimator__predict_with="softmax",
)
softmax.fit(X_train, y_train)
figure, ax = plt.subplots(figsize=(6, 4.6), layout="constrained")
for name, fitted in {"chosen": search.best_estimator_, "softmax": softmax}.items():
    OSCRCurveDisplay.from_estimator(fitted, X_new, y_new, name=name, ax=ax)
ax.set_title("on real outsiders")
plt.show()
