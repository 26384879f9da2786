"""Checks that the metrics share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import roc_curve
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.validation import _check_sample_weight

if TYPE_CHECKING:
    pass


def _check(y_true, y_score, labels, sample_weight):
    """Return who is known, scores without NaN and weights (or None)."""
    y_true, y_score = column_or_1d(y_true), column_or_1d(y_score)
    check_consistent_length(y_true, y_score, sample_weight)
    y_score = y_score.astype(np.float64)
    if np.isnan(y_score).any():
        raise ValueError("y_score contains NaN.")
    known, sample_weight = _check_sides(y_true, labels, sample_weight)
    return known, y_score, sample_weight


def _check_predictions(y_true, y_pred, labels, outlier_label, sample_weight):
    """Return true and predicted class indices, the reject class last, and weights."""
    check_consistent_length(y_true, y_pred, sample_weight)
    *indices, classes = _class_indices(y_true, y_pred, labels, outlier_label)
    _, sample_weight = _check_sides(column_or_1d(y_true), classes, sample_weight)
    weight = np.ones(len(indices[0])) if sample_weight is None else sample_weight
    return *indices, weight


def _class_indices(y_true, y_pred, labels, outlier_label):
    """Return true and predicted class indices, the reject class last, and the classes."""
    y_true, y_pred = column_or_1d(y_true), column_or_1d(y_pred)
    check_consistent_length(y_true, y_pred)
    classes = np.unique(labels)
    if np.isin(outlier_label, classes):
        raise ValueError(
            f"outlier_label must not be one of labels, {classes[:10].tolist()}; got "
            f"{outlier_label!r}."
        )
    accepted = np.isin(y_pred, classes)
    other = ~accepted & (y_pred != outlier_label)
    if other.any():
        raise ValueError(
            f"y_pred must hold labels, {classes[:10].tolist()}, or outlier_label, "
            f"{outlier_label!r}; got {np.unique(y_pred[other])[:10].tolist()}."
        )
    indices = [np.full(len(y_true), len(classes)) for _ in range(2)]
    for index, y, chosen in zip(
        indices, (y_true, y_pred), (_is_known(y_true, classes), accepted)
    ):
        index[chosen] = np.searchsorted(classes, y[chosen])
    return *indices, classes


def _check_sides(y_true, labels, sample_weight):
    """Return who is known, of whom there must be some and not all, and weights."""
    labels = np.asarray(list(labels))
    known = _is_known(y_true, labels)
    counts = np.ones(len(known), dtype=bool)
    if sample_weight is not None:
        sample_weight = _check_sample_weight(
            sample_weight, y_true, dtype=np.float64, ensure_non_negative=True
        )
        counts = sample_weight > 0
    advice = (
        " In a search or cross-validation, split with cv=LeaveClassesOut(...), so that the "
        "test part holds classes that are unknown."
    )
    for missing, those, hint in (("known", known, ""), ("unknown", ~known, advice)):
        if not (those & counts).any():
            raise ValueError(
                f"y_true holds no {missing} sample (of positive weight): its labels are "
                f"{np.unique(y_true)[:10].tolist()}, the known ones "
                f"{labels[:10].tolist()}.{hint}"
            )
    return known, sample_weight


def _is_known(y_true, labels):
    """Return which labels are among the known ones."""
    known = np.isin(y_true, labels)
    # numpy may take the string "1" for the number 1, depending on how many there are.
    kinds = y_true.dtype.kind, labels.dtype.kind
    if "O" not in kinds and (kinds[0] in "US") != (kinds[1] in "US"):
        known[:] = False
    return known


def _roc(y_true, y_score, labels, sample_weight):
    """Return false and true positive rates at all thresholds, from above all scores."""
    known, y_score, sample_weight = _check(y_true, y_score, labels, sample_weight)
    fprs, tprs, _ = roc_curve(
        known, _ranks(y_score), sample_weight=sample_weight, drop_intermediate=False
    )
    return fprs, tprs


def _ranks(y_score):
    """Return integers in the same order, since scikit-learn's curves take no infinity."""
    return np.unique(y_score, return_inverse=True)[1]
