"""
Tuning rejection without a single outsider
==========================================

How strong should the center loss be, and which score tells outsiders best? Outsiders of
tomorrow are not at hand today, but classes are: :class:`~sk_center.LeaveClassesOut` keeps
some of the known classes out of training and asks how well they are turned away.

The example tunes on six digits alone, then shows four other digits to a plain softmax, to
the default and to the tuned classifier, and saves their curves. What was found without
outsiders is far above the softmax. It is not above the default, which was itself chosen on
classes left out of other data; three splits cannot tell the best settings apart.
"""

import os
from pathlib import Path

import matplotlib

if not os.environ.get("DISPLAY"):
    matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split

from sk_center import (
    CenterLossClassifier,
    LeaveClassesOut,
    OpenSetClassifier,
    OSCRCurveDisplay,
)
from sk_center.metrics import auroc_score, oscr_score, oscr_scorer

FIGURES = Path(os.environ.get("FIGURES", "figures"))
UNKNOWN = [3, 6, 7, 8]

# %%
# Six digits to learn and to tune on; the other four are seen only at the very end.

X, y = load_digits(return_X_y=True)
X = X / 16
unknown = np.isin(y, UNKNOWN)
X_train, X_test, y_train, y_test = train_test_split(
    X[~unknown], y[~unknown], test_size=0.3, stratify=y[~unknown], random_state=0
)

# %%
# Each split of the search leaves two of the six digits out of training and scores how well
# the model names the other four and tells those two apart (OSCR).

model = OpenSetClassifier(CenterLossClassifier(max_epochs=50), random_state=0)
grid = {
    "estimator__lambda_center": [0, 0.01, 0.1, 1.0],
    "conformity_score": ["auto", "center_distance", "mahalanobis", "knn"],
}
search = GridSearchCV(
    model,
    grid,
    cv=LeaveClassesOut(2, n_splits=3, random_state=0),
    scoring=oscr_scorer,
    n_jobs=2,
).fit(X_train, y_train)
results = search.cv_results_
print("OSCR on digits left out in turn, mean of three splits\n")
for place in np.argsort(-results["mean_test_score"]):
    params = results["params"][place]
    score = results["mean_test_score"][place]
    lambda_center = params["estimator__lambda_center"]
    print(f"  {score:.3f}  lambda {lambda_center:<5} {params['conformity_score']}")

# %%
# Digits that took part in nothing so far.

X_new, y_new = np.concatenate([X_test, X[unknown]]), np.concatenate([y_test, y[unknown]])
softmax = clone(model).set_params(
    conformity_score="max_softmax",
    estimator__lambda_center=0,
    estimator__predict_with="softmax",
)
models = {
    "softmax": softmax.fit(X_train, y_train),
    "default": clone(model).fit(X_train, y_train),
    "tuned without outsiders": search.best_estimator_,
}
figure, ax = plt.subplots(figsize=(6, 4.5), layout="constrained")
print("\nOn digits that nobody saw:  AUROC   OSCR")
for name, fitted in models.items():
    score, closed = fitted.score_samples(X_new), fitted.estimator_.predict(X_new)
    auroc = auroc_score(y_new, score, labels=fitted.classes_)
    oscr = oscr_score(y_new, closed, score, labels=fitted.classes_)
    print(f"  {name:24}  {auroc:.3f}  {oscr:.3f}")
    OSCRCurveDisplay.from_estimator(fitted, X_new, y_new, name=name, ax=ax)
FIGURES.mkdir(exist_ok=True)
figure.savefig(FIGURES / "oscr.png", dpi=120)
print(f"\nfigure saved to {FIGURES / 'oscr.png'}")
plt.show()
