"""
Six pictures of an open-set classifier
======================================

The displays of :mod:`sk_center.plotting`, after those of scikit-learn, on six digits that a
classifier knows and four that it never saw. Each is one call with a fitted
:class:`~sk_center.OpenSetClassifier` and test samples, whose labels outside of the known
classes are unknown samples.

The example saves four figures: features, distances, curves and a confusion matrix.
"""

import os
from pathlib import Path

import matplotlib

if not os.environ.get("DISPLAY"):
    matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from joblib import Parallel, delayed
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sk_center import (
    CenterLossClassifier,
    DistanceDisplay,
    FalseRejectionDisplay,
    FeatureSpaceDisplay,
    OpenSetClassifier,
    OpenSetConfusionMatrixDisplay,
    OpenSetRocDisplay,
    OSCRCurveDisplay,
)

FIGURES = Path(os.environ.get("FIGURES", "figures"))
FIGURES.mkdir(exist_ok=True)
UNKNOWN = [3, 6, 7, 8]

# %%
# Three classifiers learn the six known digits: the default, with center loss; one whose
# network gives features of two dimensions; and the usual baseline, a plain softmax that
# rejects samples with a small probability. The test samples are known digits that were not
# used in training, and all unknown ones.

X, y = load_digits(return_X_y=True)
X = X / 16
known = ~np.isin(y, UNKNOWN)
y = np.array([f"digit {digit}" for digit in y])
X_train, X_test, y_train, y_test = train_test_split(
    X[known], y[known], test_size=0.3, stratify=y[known], random_state=0
)
X_test, y_test = np.concatenate([X_test, X[~known]]), np.concatenate([y_test, y[~known]])


def open_set(score="auto", rate=0.05, **params):
    """Return a fitted open-set classifier around a network."""
    return OpenSetClassifier(
        CenterLossClassifier(random_state=0, **params),
        conformity_score=score,
        false_rejection_rate=rate,
        cv=0.3,
        random_state=0,
    ).fit(X_train, y_train)


model, flat, baseline = Parallel(n_jobs=2)(
    delayed(open_set)(**params)
    for params in (
        {},
        {
            "score": "mahalanobis",
            "rate": 0.1,
            "hidden_layer_sizes": (256, 64, 2),
            "max_epochs": 150,
        },
        {"score": "max_softmax", "lambda_center": 0, "predict_with": "softmax"},
    )
)

# %%
# Features. Left, a network that gives features of two dimensions: each known digit is a
# cloud around its center, and most unknown digits (gray crosses) lie in no shaded region,
# so they are rejected. Right, the default network: its 128 features are projected onto
# the plane in which the centers differ most. Unknown digits gather between the clouds.

figure, axes = plt.subplots(1, 2, figsize=(13, 5), layout="constrained")
FeatureSpaceDisplay.from_estimator(flat, X_test, y_test, ax=axes[0])
FeatureSpaceDisplay.from_estimator(model, X_test, y_test, ax=axes[1])
figure.savefig(FIGURES / "display_features.png", dpi=120)

# %%
# Distances to the predicted class. Known digits lie left of the threshold except for the 5
# % that may be rejected (on average over calibration samples), and most unknown digits
# right.

display = DistanceDisplay.from_estimator(model, X_test, y_test)
display.figure_.savefig(FIGURES / "display_distances.png", dpi=120)

# %%
# Three curves, of center loss and of the softmax baseline.
#
# - OSCR: how many known digits are accepted and classified right, for every share of
#   unknown digits that is accepted. Where few are, center loss is well above the baseline.
# - ROC: the same, ignoring the predicted digit. It ends at 1, where all are accepted.
# - False rejections: the share of the known digits that is rejected, overall and for each
#   digit, with its confidence interval. The bound, the dashed line, is about the first row.

figure, axes = plt.subplots(1, 3, figsize=(15, 5), layout="constrained")
for name, fitted in {"center loss": model, "softmax": baseline}.items():
    OSCRCurveDisplay.from_estimator(fitted, X_test, y_test, name=name, ax=axes[0])
    OpenSetRocDisplay.from_estimator(fitted, X_test, y_test, name=name, ax=axes[1])
    FalseRejectionDisplay.from_estimator(fitted, X_test, y_test, name=name, ax=axes[2])
for ax, title in zip(axes, ("OSCR", "ROC", "false rejections")):
    ax.set_title(title)
figure.savefig(FIGURES / "display_curves.png", dpi=120)

# %%
# Confusion matrix, in shares of each row. The last row is the four unknown digits together,
# the last column the rejections. The other entries of the last row are unknown digits that
# were accepted as known ones.

display = OpenSetConfusionMatrixDisplay.from_estimator(
    model, X_test, y_test, normalize="true", values_format=".0%", colorbar=False
)
display.figure_.savefig(FIGURES / "display_confusion_matrix.png", dpi=120)
print(f"four figures saved to {FIGURES}: display_*.png")
plt.show()
