"""
A random forest that rejects
============================

:class:`~sk_center.OpenSetClassifier` wraps any classifier of scikit-learn, without torch.
You choose how many known samples may be rejected, and this bound holds for every
classifier; a threshold on the largest probability means something different for each.

Six digits are known, four come as outsiders.
"""

# %%
# Fit and predict
# ---------------

import matplotlib.pyplot as plt
import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from sk_center import OpenSetClassifier

X, y = load_digits(return_X_y=True)


def split_digits(unknown, seed):
    """Return training samples of the known digits, and test samples of all."""
    outside = np.isin(y, unknown)
    X_train, X_test, y_train, y_test = train_test_split(
        X[~outside], y[~outside], test_size=0.3, stratify=y[~outside], random_state=seed
    )
    X_test = np.concatenate([X_test, X[outside]])
    return X_train, X_test, y_train, np.concatenate([y_test, y[outside]])


X_train, X_test, y_train, y_test = split_digits([3, 6, 7, 8], seed=0)
model = OpenSetClassifier(
    RandomForestClassifier(random_state=0), false_rejection_rate=0.05, cv=5
).fit(X_train, y_train)
known = np.isin(y_test, model.classes_)
rejected = model.predict(X_test) == model.outlier_label_
print(f"known digits rejected: {rejected[known].mean():.1%}, allowed 5 %")
print(f"outsiders rejected:    {rejected[~known].mean():.1%}")

# %%
# The forest classifies the digits. The default score measures how typical a sample is of
# the known digits, from the nearest training samples, their density around the sample and
# the confidence of the forest.
# Explaining the decisions
# ------------------------
#
# ``p_values`` gives for each known digit the share of its samples that are no more typical
# of it than this sample. ``predict_set`` has the digits of which an accepted sample may be,
# by the probabilities of the forest (framed): a rejected sample has none, and a sample with
# several is ambiguous. ``predict``
# gives the digit of the forest, or rejects.

shown = np.array([np.flatnonzero(y_test == digit)[4] for digit in range(10)])
p_values, accepted = model.p_values(X_test[shown]), model.predict_set(X_test[shown])
predicted = model.predict(X_test[shown])

figure, ax = plt.subplots(figsize=(10, 5.6), layout="constrained")
ax.imshow(p_values.T, cmap="Blues", vmin=0, vmax=1.2, aspect="auto")
for column, sample in enumerate(shown):
    image = ax.inset_axes((column - 0.4, -1.5, 0.8, 0.95), transform=ax.transData)
    image.imshow(X_test[sample].reshape(8, 8), cmap="gray_r")
    image.axis("off")
    for row, p_value in enumerate(p_values[column]):
        weight = "bold" if accepted[column, row] else "normal"
        ax.annotate(
            f"{p_value:.2f}", (column, row), ha="center", va="center", weight=weight
        )
        if accepted[column, row]:
            frame = (column - 0.46, row - 0.46), 0.92, 0.92
            ax.add_patch(plt.Rectangle(*frame, fill=False, linewidth=2))
ax.set(ylim=(len(model.classes_) - 0.5, -1.6), ylabel="p-value of digit")
ax.set_yticks(range(len(model.classes_)), model.classes_)
names = ["outsider" if label == -1 else f"“{label}”" for label in predicted]
ax.set_xticks(range(len(shown)), names)
ax.set_xlabel("predicted")
ax.spines[:].set_visible(False)
plt.show()

# %%
# Comparison with a threshold
# ---------------------------
#
# The usual way is to reject samples with a small largest probability. But how small? Here
# are two choices, 0.5 and a low quantile of the training samples, and a rate of 5 %, for
# three classifiers and five choices of the outsiders.

UNKNOWN = [[3, 6, 7, 8], [1, 2, 4, 6], [2, 3, 4, 9], [0, 1, 2, 6], [4, 5, 6, 9]]
CLASSIFIERS = {
    "random forest": RandomForestClassifier(random_state=0),
    "gradient boosting": HistGradientBoostingClassifier(max_iter=30, random_state=0),
    "PCA, logistic regression": make_pipeline(
        PCA(30, random_state=0), LogisticRegression(max_iter=2000)
    ),
}
METHODS = [
    "max probability < 0.5",
    "max probability < 5 % quantile\nof the training samples",
    "OpenSetClassifier,\nconformity_score='max_softmax'",
    "OpenSetClassifier",
]


def reject(name, seed):
    """Return what each method rejects of the test samples, and their labels."""
    X_train, X_test, y_train, y_test = split_digits(UNKNOWN[seed], seed)
    classifier = clone(CLASSIFIERS[name]).fit(X_train, y_train)
    quantile = np.quantile(classifier.predict_proba(X_train).max(axis=1), 0.05)
    probability = classifier.predict_proba(X_test).max(axis=1)
    rejected = [probability < 0.5, probability < quantile]
    for score in ("max_softmax", "auto"):
        model = OpenSetClassifier(CLASSIFIERS[name], conformity_score=score, cv=5)
        rejected.append(model.fit(X_train, y_train).is_outlier(X_test))
    return np.array(rejected), np.where(np.isin(y_test, UNKNOWN[seed]), -1, y_test)


runs = [(name, seed) for name in CLASSIFIERS for seed in range(len(UNKNOWN))]
results = dict(zip(runs, Parallel(n_jobs=2)(delayed(reject)(*run) for run in runs)))

# %%
# Left, the share of the known digits that is rejected, over the five choices together,
# and that of the worst digit; right, the share of the outsiders.

figure, axes = plt.subplots(1, 2, figsize=(11, 4.8), sharey=True, layout="constrained")
for place, (name, color) in enumerate(zip(CLASSIFIERS, ("C0", "C1", "C2"))):
    of_name = [results[name, seed] for seed in range(len(UNKNOWN))]
    rejected = np.concatenate([part for part, _ in of_name], axis=1)
    digits = np.concatenate([part for _, part in of_name])
    by_digit = [rejected[:, digits == digit].mean(axis=1) for digit in range(10)]
    rows = np.arange(len(METHODS)) + 0.2 * (place - 1)
    style = {"color": color, "markersize": 9}
    axes[0].plot(rejected[:, digits != -1].mean(axis=1), rows, "o", label=name, **style)
    axes[0].plot(np.max(by_digit, axis=0), rows, "|", markeredgewidth=2, **style)
    axes[1].plot(rejected[:, digits == -1].mean(axis=1), rows, "o", **style)
axes[0].plot([], [], "|", color="0.3", markersize=9, markeredgewidth=2, label="worst digit")
axes[0].axvline(0.05, color="black", linestyle="--", linewidth=1, label="allowed")
axes[0].set(xlabel="known digits rejected", yticks=range(len(METHODS)), yticklabels=METHODS)
axes[0].invert_yaxis()
axes[0].legend(loc="lower right")
axes[1].set(xlabel="outsiders rejected", xlim=(0, 1))
for ax in axes:
    ax.xaxis.set_major_formatter("{x:.0%}")
    ax.grid(axis="x", alpha=0.4)
plt.show()

# %%
# A threshold of 0.5 happens to suit the forest, if not each of its digits; with sharper
# probabilities, it accepts almost all outsiders. A quantile of training samples rejects far
# more known digits than intended, because every classifier is more confident about its
# training samples. The open-set classifier keeps the rate for all three. The bound is
# over all known digits, so the worst of ten may lose more.
#
# The number of rejected outsiders depends on the score. The default separates them better
# than probabilities do, and equally well for each classifier, since it looks at the pixels,
# or at their principal components.
#
# ``cv=5`` lets every sample calibrate, and the bound is approximate. With a share, such as
# ``cv=0.2``, which holds a fifth of the samples out, it is exact.
