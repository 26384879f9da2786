"""
Digits that the classifier never saw
====================================

A network learns six of the ten digits and is then shown all ten. A classifier gives every
unknown digit a known name. :class:`~sk_center.OpenSetClassifier` rejects outsiders, with
a bound on the rate of known samples that are rejected.

The example prints a table over five choices of the six known digits and saves two
figures: the clouds in a feature space of two dimensions, and the scores of known and
unknown digits on both sides of the threshold.
"""

import os
import sys
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from joblib import Parallel, delayed
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sk_center import CenterLossClassifier, OpenSetClassifier
from sk_center.metrics import auroc_score, fpr_at_tpr, oscr_score

# %%
# The unknown digits of five splits that the literature uses on MNIST ("Neal" family).

UNKNOWN = [[3, 6, 7, 8], [1, 2, 4, 6], [2, 3, 4, 9], [0, 1, 2, 6], [4, 5, 6, 9]]
RATE = 0.05
FIGURES = Path(os.environ.get("FIGURES", "figures"))

X, y = load_digits(return_X_y=True)
X = X / 16  # pixels between 0 and 1

softmax = CenterLossClassifier(lambda_center=0, predict_with="softmax")
center_loss = CenterLossClassifier()
# The first is the simple solution in five lines: a threshold on the largest probability.
MODELS = {
    "softmax, max probability": (softmax, {"conformity_score": "max_softmax"}),
    "softmax, default score": (softmax, {}),
    "center loss (default)": (center_loss, {}),
    "center loss, cv=5": (center_loss, {"cv": 5}),
}
MEASURES = ["accuracy", "AUROC", "FPR95", "OSCR", "allowed", "kept", "rejected"]

# %%
# One run: fit on 70 % of the known digits, test on the others and on all unknown ones.


def run(estimator, options, unknown, seed):
    """Return one number for each row of the table."""
    is_known = ~np.isin(y, unknown)
    X_train, X_known, y_train, y_known = train_test_split(
        X[is_known], y[is_known], test_size=0.3, stratify=y[is_known], random_state=seed
    )
    X_test = np.concatenate([X_known, X[~is_known]])
    y_test = np.concatenate([y_known, y[~is_known]])
    estimator.set_params(random_state=seed)
    model = OpenSetClassifier(
        estimator, false_rejection_rate=RATE, random_state=seed, **options
    )
    with warnings.catch_warnings():
        # It says that the largest probability accepts samples far from everything.
        warnings.simplefilter("ignore")
        model.fit(X_train, y_train)
    decision, labels = model.judge(X_test), model.classes_
    known = np.isin(y_test, labels)
    return [
        np.mean(decision.predicted[known] == y_test[known]),
        auroc_score(y_test, decision.scores, labels=labels),
        fpr_at_tpr(y_test, decision.scores, labels=labels),
        oscr_score(y_test, decision.predicted, decision.scores, labels=labels),
        RATE,
        decision.rejected[known].mean(),
        decision.rejected[~known].mean(),
    ]


# %%
# The table: mean and standard deviation over the splits, in percent.

results = {name: [] for name in MODELS}
runs = [(name, unknown, seed) for seed, unknown in enumerate(UNKNOWN) for name in MODELS]
columns = Parallel(n_jobs=2, return_as="generator")(
    delayed(run)(*MODELS[name], unknown, seed) for name, unknown, seed in runs
)
for done, ((name, *_), measured) in enumerate(zip(runs, columns), start=1):
    results[name].append(measured)
    # Past what collects the output of a page of the gallery.
    print(f"\rrun {done} of {len(runs)}", end="", file=sys.__stderr__, flush=True)
print(file=sys.__stderr__)

print(f"digits, 6 known and 4 unknown, {len(UNKNOWN)} splits, in percent\n")
print(f"{'':9}" + "".join(f"{name:>25}" for name in results))
table = 100 * np.array([*results.values()])
for name, mean, spread in zip(MEASURES, table.mean(axis=1).T, table.std(axis=1).T):
    cells = (f"{m:.1f} ± {s:4.1f}" for m, s in zip(mean, spread))
    print(f"{name:9}" + "".join(f"{cell:>25}" for cell in cells))
print(
    "\naccuracy: known digits, nothing rejected; allowed: false_rejection_rate;"
    "\nkept: share of known digits rejected; rejected: share of unknown digits rejected"
)

# %%
# The well-known pictures of center loss: features of two dimensions, without and with
# center loss. Crosses are the unknown digits.

FIGURES.mkdir(exist_ok=True)
unknown = np.isin(y, UNKNOWN[0])
X_train, X_test, y_train, y_test = train_test_split(
    X[~unknown], y[~unknown], test_size=0.3, stratify=y[~unknown], random_state=0
)
figure, axes = plt.subplots(1, 2, figsize=(10, 4.6), layout="constrained")
for ax, lambda_center in zip(axes, (0, 0.1)):
    classifier = CenterLossClassifier(
        lambda_center=lambda_center,
        hidden_layer_sizes=(256, 64, 2),
        max_epochs=150,
        random_state=0,
    ).fit(X_train, y_train)
    features, outsiders = classifier.transform(X_test), classifier.transform(X[unknown])
    for label, color in zip(classifier.classes_, plt.cm.tab10.colors):
        ax.scatter(*features[y_test == label].T, s=12, color=color, label=f"digit {label}")
    ax.scatter(*outsiders.T, s=10, marker="x", color="0.6", linewidths=0.7, zorder=0)
    ax.scatter(*classifier.centers_.T, s=70, marker="*", color="black", label="center")
    loss = "softmax" if lambda_center == 0 else f"softmax + {lambda_center} center loss"
    ax.set(title=loss, xlabel="feature 1", ylabel="feature 2")
axes[1].scatter([], [], s=10, marker="x", color="0.6", label="unknown digit")
figure.legend(*axes[1].get_legend_handles_labels(), loc="outside right upper")
figure.savefig(FIGURES / "feature_clouds.png", dpi=120)

# %%
# Scores of test samples, larger is more typical of the known digits. The one threshold
# leaves 5 % of the known digits on its left, and most of the unknown ones.

model = OpenSetClassifier(
    CenterLossClassifier(random_state=0), false_rejection_rate=RATE, random_state=0
).fit(X_train, y_train)
threshold = model.score_thresholds_[0]

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
known, others = model.judge(X_test), model.judge(X[unknown])
low = np.quantile(others.scores, 0.1)
bins = np.linspace(low, known.scores.max(), 60)
for decision, label in ((known, "known digits"), (others, "unknown digits")):
    share = f"{decision.rejected.mean():.0%} rejected"
    ax.hist(
        decision.scores.clip(min=low),
        bins,
        density=True,
        alpha=0.6,
        label=f"{label}: {share}",
    )
ax.axvline(threshold, color="black", linestyle="--", label=f"threshold, {RATE:.0%} allowed")
ax.set(xlabel="score", ylabel="density")
ax.legend()
figure.savefig(FIGURES / "scores.png", dpi=120)
print(f"\nfigures saved to {FIGURES / 'feature_clouds.png'} and {FIGURES / 'scores.png'}")
plt.show()
