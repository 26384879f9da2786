"""Metrics of a classifier that rejects."""

import numpy as np
from sklearn.metrics import precision_score, recall_score

from sk_center.metrics import (
    auroc_score,
    fpr_at_tpr,
    normalized_accuracy_score,
    open_set_f1_score,
    oscr_score,
)

METRICS = (
    "auroc",
    "fpr95",
    "oscr",
    "accuracy",
    "kept",
    "rejected",
    "accepted_accuracy",
    "open_f1",
    "known_f",
    "normalized_accuracy",
)


def judge(y_true, predicted, labels, score, outlier, classes):
    """Return the metrics of one classifier; those of outsiders only where there are any.

    Parameters
    ----------
    y_true : ndarray of shape (n_samples,)
        True labels; those outside ``classes`` are unknown.

    predicted, labels : ndarray of shape (n_samples,)
        Predictions without rejection, and the labels that accepted samples get.

    score : ndarray of shape (n_samples,)
        Larger is more typical of the known classes.

    outlier : ndarray of shape (n_samples,)
        Which samples are rejected.

    classes : ndarray of shape (n_classes,)
        The known classes.
    """
    known = np.isin(y_true, classes)
    accepted = known & ~outlier
    found = {
        "accuracy": np.mean(predicted[known] == y_true[known]),
        "kept": outlier[known].mean(),
        "accepted_accuracy": np.mean(labels[accepted] == y_true[accepted]),
    }
    if known.all():
        return found
    reject = "outsider" if classes.dtype.kind in "US" else -1
    width = np.result_type(labels.dtype, np.asarray(reject).dtype)
    given = np.where(outlier, np.array(reject, dtype=width), labels.astype(width))
    decisions = {"labels": classes, "outlier_label": reject}
    return {
        **found,
        "auroc": auroc_score(y_true, score, labels=classes),
        "fpr95": fpr_at_tpr(y_true, score, labels=classes),
        "oscr": oscr_score(y_true, predicted, score, labels=classes),
        "rejected": outlier[~known].mean(),
        "open_f1": open_set_f1_score(y_true, given, **decisions),
        "known_f": known_f_score(y_true, given, classes),
        "normalized_accuracy": normalized_accuracy_score(y_true, given, **decisions),
    }


def known_f_score(y_true, y_pred, classes):
    """Return the F1 score of the mean precision and the mean recall of the known classes.

    The macro-averaging open-set F-measure of Mendes Júnior et al. (Machine Learning 106,
    2017): accepted outsiders are false positives, correct rejections earn nothing.
    """
    # Outsiders are of no class that counts, whatever their label.
    true, given = (
        np.where(np.isin(y, classes), np.searchsorted(classes, y), -1)
        for y in (y_true, y_pred)
    )
    which = {"labels": range(len(classes)), "average": "macro", "zero_division": 0}
    precision = precision_score(true, given, **which)
    recall = recall_score(true, given, **which)
    return 2 * precision * recall / max(precision + recall, np.finfo(float).tiny)


def by_class(y_true, outlier, classes):
    """Return rejected and tested samples of each known class as text."""
    return " ".join(
        f"{outlier[y_true == label].sum()}/{(y_true == label).sum()}" for label in classes
    )


def by_group(guarantee, rate, calibration, tested, outlier):
    """Return rejected, tested and calibration samples of each group as text.

    The samples of a group share a threshold: all known samples, those of a predicted class
    or those of a true class. Groups too small for the rate form one.

    Parameters
    ----------
    guarantee : {"marginal", "predicted", "class"}
        Which groups there are.

    rate : float
        The false-rejection rate that is allowed.

    calibration, tested : (ndarray, ndarray)
        True and predicted labels of the calibration samples, and of the known test samples.

    outlier : ndarray of shape (n_tested,)
        Which known test samples are rejected.
    """
    which = {"class": 0, "predicted": 1}.get(guarantee)
    if which is None:
        return f"{outlier.sum()}/{len(outlier)}/{len(calibration[0])}"
    groups, index = np.unique(
        np.concatenate([calibration[which], tested[which]]), return_inverse=True
    )
    own, index = np.split(index, [len(calibration[0])])
    n, n_tested = (np.bincount(found, minlength=len(groups)) for found in (own, index))
    n_rejected = np.bincount(index[outlier], minlength=len(groups))
    rare = n < 1 / rate - 1 - 1e-9
    counts = np.column_stack([n_rejected, n_tested, n])
    counts = [*counts[~rare], *([counts[rare].sum(axis=0)] if rare.any() else [])]
    return " ".join("/".join(map(str, row)) for row in counts)


def parse_counts(text):
    """Return the counts of such a text, an array with a row for each class or group."""
    return np.array([[int(n) for n in part.split("/")] for part in text.split()])
