"""
Promises to rare classes
========================

A classifier is less sure of a rare class, so that one threshold for all classes turns
away most of its members while the average looks well. :class:`~sk_center.OpenSetClassifier`
promises each class a bound of its own, and says so where a class is too rare for it.

Six digits are known, one of them six times rarer than the others.
"""

# %%
# Six known digits, one of them rare
# ----------------------------------
#
# 120 samples of each digit are given, but 20 of the digit 2. Half of them train a random
# forest and half calibrate, so that bounds are exact. The other samples test, and four
# more digits come as outsiders.

import warnings

import matplotlib.pyplot as plt
import numpy as np
from joblib import Parallel, delayed
from scipy.stats import sem, t
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier

from sk_center import OpenSetClassifier

KNOWN, RARE = [0, 1, 2, 4, 5, 8], 2
N_TRAIN = {digit: 20 if digit == RARE else 120 for digit in KNOWN}

X, y = load_digits(return_X_y=True)
outsiders = X[~np.isin(y, KNOWN)]


def draw(seed):
    """Return samples to fit on, to calibrate with and to test on."""
    rng = np.random.default_rng(seed)
    parts = [], [], []
    for digit, n_train in N_TRAIN.items():
        rows = rng.permutation(np.flatnonzero(y == digit))
        for part, some in zip(parts, np.split(rows, [n_train // 2, n_train])):
            part.extend(some)
    return parts


def open_set(fit, calibrate, false_rejection_rate):
    """Return a forest that rejects, calibrated with samples that it did not train on."""
    rows = [*fit, *calibrate]
    model = OpenSetClassifier(
        RandomForestClassifier(50, random_state=0),
        conformity_score="knn",
        false_rejection_rate=false_rejection_rate,
        cv=[(range(len(fit)), range(len(fit), len(rows)))],
        refit=False,
    )
    return model.fit(X[rows], y[rows])


# %%
# Too rare for a threshold of its own
# -----------------------------------
#
# A class takes ``1 / false_rejection_rate - 1`` samples to calibrate with: 19 at 5 %. The
# rare digit has 10. It shares a threshold with another class, and a warning says that the
# promise is to both together.

fit, calibrate, test = draw(seed=0)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    model = open_set(fit, calibrate, 0.05)
print(caught[0].message)

# %%
# A rate for each class
# ---------------------
#
# 10 samples are enough for a promise of 10 %. ``false_rejection_rate`` takes a dict with a
# rate for each class; the rare digit gets its own threshold, and there is no warning.

rates = {digit: 0.1 if digit == RARE else 0.05 for digit in KNOWN}
model = open_set(fit, calibrate, rates)
print("promised:", dict(zip(model.classes_.tolist(), model.thresholds_.tolist())))

# %%
# Are promises kept?
# ------------------
#
# They hold on average over calibration samples, so here are sixty random draws of all
# samples. For comparison, one threshold for all classes: the score that 5 % of the
# calibration samples do not reach.


def rejections(seed):
    """Return which share of each known digit, and of the outsiders, each rule rejects."""
    fit, calibrate, test = draw(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the rare digit shares a threshold
        shared = open_set(fit, calibrate, 0.05)
    threshold = np.quantile(shared.score_samples(X[calibrate]), 0.05)
    own = open_set(fit, calibrate, rates)
    samples = [X[test][y[test] == digit] for digit in KNOWN] + [outsiders]
    return [
        [(shared.score_samples(some) < threshold).mean() for some in samples],
        [shared.is_outlier(some).mean() for some in samples],
        [own.is_outlier(some).mean() for some in samples],
    ]


shares = np.array(Parallel(n_jobs=2)(delayed(rejections)(seed) for seed in range(60)))
mean = shares.mean(axis=0)
# Samples of one draw share their thresholds: draws are independent, samples are not.
error = sem(shares) * t.ppf(0.975, len(shares) - 1)

rules = {
    "one threshold for all": None,
    "5 % promised to each digit:\nthe rare one shares a threshold": dict.fromkeys(
        KNOWN, 0.05
    ),
    "5 % promised, and\n10 % to the rare digit": rates,
}
figure, axes = plt.subplots(1, 3, figsize=(11, 4.6), sharey=True, layout="constrained")
places = np.arange(len(KNOWN))
colors = ["C1" if digit == RARE else "C0" for digit in KNOWN]
for ax, (title, promised), height, margin in zip(axes, rules.items(), mean, error):
    ax.bar(places, height[:-1], yerr=margin[:-1], capsize=4, color=colors)
    if promised:
        ax.hlines([*promised.values()], places - 0.45, places + 0.45, color="black")
    ax.set_xticks(places, [f"{digit}\n{n_train}" for digit, n_train in N_TRAIN.items()])
    ax.set(title=title, xlabel="digit, number of its samples")
    ax.annotate(
        f"outsiders rejected: {height[-1]:.0%}",
        (0.96, 0.94),
        ha="right",
        xycoords="axes fraction",
    )
axes[0].set_ylabel("members rejected")
axes[0].yaxis.set_major_formatter("{x:.0%}")
axes[2].plot([], color="black", label="promised at most")
axes[2].legend(loc="center right")
plt.show()

# %%
# Bars are means over the draws, with 95 % intervals. With one threshold the rare digit pays
# for the others. Where it shares its threshold with another class, the promise holds on
# average over both, which are mostly the other class. With a threshold of its own it gets
# what was promised.
#
# That has a price: what keeps a rare class also lets more outsiders pass, since little is
# known of what its members look like. To reject more of them, let every sample calibrate
# (``cv=5``) or collect more of the rare class.
