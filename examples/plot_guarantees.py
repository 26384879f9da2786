"""
Three guarantees on classes of unequal size
===========================================

A classifier is less sure of a rare class. One threshold for all known samples, the default,
bounds the rate over all of them, and a rare class may lose more. With
``guarantee="class"`` :class:`~sk_center.OpenSetClassifier` bounds the rate of each class;
``guarantee="predicted"`` is between the two. Stronger guarantees reject fewer outsiders.

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


def open_set(fit, calibrate, guarantee, false_rejection_rate=0.05):
    """Return a forest that rejects, calibrated with samples that it did not train on."""
    rows = [*fit, *calibrate]
    model = OpenSetClassifier(
        RandomForestClassifier(50, random_state=0),
        guarantee=guarantee,
        false_rejection_rate=false_rejection_rate,
        cv=[(range(len(fit)), range(len(fit), len(rows)))],
        refit=False,
    )
    return model.fit(X[rows], y[rows])


# %%
# The report
# ----------
#
# ``fit`` keeps the rates of the calibration samples, each judged by the others. The rare
# digit has 10 of them, too few for a rate of its own, but one of 310 with the marginal
# guarantee.

fit, calibrate, test = draw(seed=0)
model = open_set(fit, calibrate, "marginal")
print(model.calibration_report_)

# %%
# Too rare for a threshold of its own
# -----------------------------------
#
# A class needs ``1 / false_rejection_rate - 1`` calibration samples: 19 at 5 %. Under the
# guarantee "class" the rare digit shares a threshold with another class, and a warning
# says that the bound is over both together.

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    open_set(fit, calibrate, "class")
print(caught[0].message)

# %%
# 10 samples are enough for a rate of 10 %. ``false_rejection_rate`` takes a dict with a
# rate for each class; the rare digit gets its own threshold, and there is no warning.

rates = {digit: 0.1 if digit == RARE else 0.05 for digit in KNOWN}
model = open_set(fit, calibrate, "class", rates)
print("allowed:", dict(zip(model.classes_.tolist(), model.thresholds_.tolist())))

# %%
# Are the bounds kept?
# --------------------
#
# They hold on average over calibration samples, so here are forty random draws of all
# samples.

RULES = {
    "marginal, 5 % over all": ("marginal", 0.05),
    "predicted, 5 % each": ("predicted", 0.05),
    "class, 5 % each and\n10 % for the rare digit": ("class", rates),
}


def rejections(seed):
    """Return which share of each known digit, and of the outsiders, each rule rejects."""
    fit, calibrate, test = draw(seed)
    samples = [X[test][y[test] == digit] for digit in KNOWN] + [outsiders]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that classes share a threshold, or lose more
        models = [open_set(fit, calibrate, *rule) for rule in RULES.values()]
    return [[model.is_outlier(some).mean() for some in samples] for model in models]


shares = np.array(Parallel(n_jobs=2)(delayed(rejections)(seed) for seed in range(40)))
mean = shares.mean(axis=0)
# Samples of one draw share their thresholds: draws are independent, samples are not.
error = sem(shares) * t.ppf(0.975, len(shares) - 1)

figure, axes = plt.subplots(1, 3, figsize=(11, 4.6), sharey=True, layout="constrained")
places = np.arange(len(KNOWN))
colors = ["C1" if digit == RARE else "C0" for digit in KNOWN]
for ax, (title, rule), height, margin in zip(axes, RULES.items(), mean, error):
    ax.bar(places, height[:-1], yerr=margin[:-1], capsize=4, color=colors)
    allowed = rule[1] if isinstance(rule[1], dict) else dict.fromkeys(KNOWN, rule[1])
    ax.hlines([*allowed.values()], places - 0.45, places + 0.45, color="black")
    ax.set_xticks(places, [f"{digit}\n{n_train}" for digit, n_train in N_TRAIN.items()])
    ax.set(title=title, xlabel="digit, number of its samples")
    ax.annotate(
        f"outsiders rejected: {height[-1]:.0%}",
        (0.96, 0.94),
        ha="right",
        xycoords="axes fraction",
    )
axes[0].set_ylabel("known samples rejected")
axes[0].yaxis.set_major_formatter("{x:.0%}")
axes[2].plot([], color="black", label="allowed")
axes[2].legend(loc="center right")
plt.show()

# %%
# Bars are means over the draws, with 95 % intervals. With one threshold, the average over
# all known samples stays below 5 %, and the rare digit loses more than its share. The
# guarantee "class" keeps the rate of every digit, at the price of outsiders: a sample is
# rejected only if every class rejects it, and the rare one has few samples.
