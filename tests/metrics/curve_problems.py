"""Random problems for the metrics of curves, and references by definition."""

import numpy as np

from sk_center.metrics import (
    aupr_score,
    auroc_score,
    ccr_at_fpr,
    fpr_at_tpr,
    oscr_score,
)

LABELS = [0, 1, 2]
CLOSE = {"rtol": 1e-12, "atol": 1e-14}


def random_problem(seed, n_samples=60, n_values=None):
    """Return true labels 0..4, predictions 0..2 and scores, of few values for ties."""
    rng = np.random.default_rng(seed)
    y_true = rng.integers(5, size=n_samples)
    right = rng.random(n_samples) < 0.7
    y_pred = np.where(right, y_true % 3, rng.integers(3, size=n_samples))
    y_score = rng.normal(size=n_samples) + (y_true < 3)
    if n_values is not None:
        y_score = np.clip(np.round(y_score), 0, n_values - 1)
    return y_true, y_pred, y_score


def reference_auroc(y_true, y_score, weight=None, correct=None):
    """Return the weighted share of the pairs that are ordered right, ties half.

    With ``correct``, only pairs of a correctly classified known sample count.
    """
    weight = np.ones(len(y_true)) if weight is None else weight
    correct = np.ones(len(y_true), bool) if correct is None else correct
    won = total = 0.0
    for i in range(len(y_true)):
        for j in range(len(y_true)):
            if y_true[i] in LABELS and y_true[j] not in LABELS:
                pair = weight[i] * weight[j]
                total += pair
                if correct[i]:
                    tie = y_score[i] == y_score[j]
                    won += pair * ((y_score[i] > y_score[j]) + tie / 2)
    return won / total


def rate(weight, chosen, side):
    """Return the weighted share of one side that is chosen."""
    chosen_sum = sum(w for w, c, s in zip(weight, chosen, side) if c and s)
    return chosen_sum / sum(w for w, s in zip(weight, side) if s)


def reference_fpr_at_tpr(y_true, y_score, tpr, weight=None):
    """Return the false positive rate at the highest score that keeps ``tpr``."""
    weight = np.ones(len(y_true)) if weight is None else weight
    known = np.array([label in LABELS for label in y_true])
    for threshold in sorted(set(y_score), reverse=True):
        if rate(weight, y_score >= threshold, known) >= tpr:
            return rate(weight, y_score >= threshold, ~known)
    raise AssertionError("the lowest score keeps all")


def reference_oscr_curve(y_true, y_pred, y_score, weight=None):
    """Return CCR, FPR and thresholds, counted anew at each threshold."""
    weight = np.ones(len(y_true)) if weight is None else weight
    known = np.array([label in LABELS for label in y_true])
    thresholds = [np.inf, *sorted(set(y_score), reverse=True)]
    right = np.asarray(y_true) == np.asarray(y_pred)
    ccr = [rate(weight, (y_score >= t) & right, known) for t in thresholds]
    fpr = [rate(weight, y_score >= t, ~known) for t in thresholds]
    return ccr, fpr, thresholds


def reference_aupr(y_true, y_score, positive, weight=None):
    """Return the sum over thresholds of precision times the rise of recall."""
    weight = np.ones(len(y_true)) if weight is None else weight
    side = np.array([label in LABELS for label in y_true])
    if positive == "outsider":
        side, y_score = ~side, -np.asarray(y_score)
    area = recall = 0.0
    for threshold in sorted(set(y_score), reverse=True):
        found = y_score >= threshold
        previous, recall = recall, rate(weight, found, side)
        if recall > previous:
            area += (recall - previous) * rate(weight, side, found)
    return area


def reference_ccr_at_fpr(y_true, y_pred, y_score, fpr, weight=None):
    """Return the largest CCR of the thresholds that keep the FPR."""
    ccrs, fprs, _ = reference_oscr_curve(y_true, y_pred, y_score, weight)
    # Scores at infinity leave no threshold of the reference above all of them.
    return max((c for c, f in zip(ccrs, fprs) if f <= fpr), default=0)


def scores_of(y_true, y_pred, y_score, **params):
    """Return the numbers of a problem."""
    return (
        auroc_score(y_true, y_score, **params),
        fpr_at_tpr(y_true, y_score, tpr=0.8, **params),
        oscr_score(y_true, y_pred, y_score, **params),
        aupr_score(y_true, y_score, **params),
        aupr_score(y_true, y_score, positive="outsider", **params),
        ccr_at_fpr(y_true, y_pred, y_score, fpr=0.2, **params),
    )
