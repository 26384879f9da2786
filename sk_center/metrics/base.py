"""Checks and conversions that the metrics and the displays share."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from numbers import Real

import numpy as np
from sklearn.metrics import roc_curve
from sklearn.utils import check_array, check_consistent_length, column_or_1d

from sk_center._utils.labels import check_no_label_missing, equals_label, is_missing

KINDS = dict.fromkeys("biuf", "numbers") | dict.fromkeys("US", "strings")
KINDS |= dict.fromkeys("mM", "dates")


class NoOutsiderError(ValueError):
    """No sample is an outsider, but the metric needs some."""


def checked_scores(y_true, y_score, labels, sample_weight, sides=("known", "outsider")):
    """Return which samples are known, scores without NaN and weights (or None)."""
    y_true, y_score = checked_labels(y_true, "y_true"), checked_numbers(y_score, "y_score")
    check_consistent_length(y_true, y_score)
    if np.isnan(y_score).any():
        raise ValueError("y_score contains NaN.")
    classes = known_classes(labels)
    known = is_known(y_true, classes)
    weight = checked_weight(sample_weight, y_true)
    _check_sides(y_true, known, classes, weight, sides)
    return known, y_score, weight


def checked_predictions(y_true, y_pred, labels):
    """Return which predictions name the class of a known sample."""
    y_true, y_pred = checked_labels(y_true, "y_true"), checked_labels(y_pred, "y_pred")
    check_consistent_length(y_true, y_pred)
    classes = known_classes(labels)
    kinds = _kind(classes), _kind(y_pred)
    if None not in kinds and kinds[0] != kinds[1]:
        raise ValueError(
            f"y_pred must hold {kinds[0]}, as labels do, {_some(classes)}; got "
            f"{kinds[1]}, {_some(y_pred)}."
        )
    return is_known(y_true, classes) & np.asarray(y_pred == y_true, dtype=bool)


def checked_decisions(
    y_true,
    y_pred,
    labels,
    outlier_label,
    ambiguous_label,
    sample_weight,
    sides=("known", "outsider"),
):
    """Return true and predicted class indices, weights and the reject class's index."""
    true, predicted, classes = class_indices(
        y_true, y_pred, labels, outlier_label, ambiguous_label
    )
    weight = checked_weight(sample_weight, true)
    y_true = checked_labels(y_true, "y_true")
    _check_sides(y_true, true < len(classes), classes, weight, sides)
    weight = np.ones(len(true)) if weight is None else weight
    return true, predicted, weight, len(classes)


def class_indices(y_true, y_pred, labels, outlier_label, ambiguous_label=None):
    """Return true and predicted class indices, and the classes.

    The index of rejected samples is the one after the classes, and that of ambiguous
    samples the next one.
    """
    y_true, y_pred = checked_labels(y_true, "y_true"), checked_labels(y_pred, "y_pred")
    check_consistent_length(y_true, y_pred)
    classes = np.unique(known_classes(labels))
    if is_missing(outlier_label) or equals_label(classes, outlier_label).any():
        raise ValueError(
            f"outlier_label must be a label that is none of labels, "
            f"{_some(classes)}; got {outlier_label!r}."
        )
    accepted = is_known(y_pred, classes)
    ambiguous = np.zeros(len(y_pred), dtype=bool)
    if ambiguous_label is not None:
        if ambiguous_label == outlier_label or equals_label(classes, ambiguous_label).any():
            raise ValueError(
                "ambiguous_label must be a label that is neither outlier_label, "
                f"{outlier_label!r}, nor one of labels, {_some(classes)}; got "
                f"{ambiguous_label!r}."
            )
        ambiguous = equals_label(y_pred, ambiguous_label)
    other = ~accepted & ~ambiguous & ~equals_label(y_pred, outlier_label)
    if other.any():
        also = ""
        if ambiguous_label is not None:
            also = f", or ambiguous_label, {ambiguous_label!r}"
        raise ValueError(
            f"y_pred must hold labels, {_some(classes)}, or outlier_label, "
            f"{outlier_label!r}{also}; got {_some(y_pred[other])}."
        )
    indices = [np.full(len(y_true), len(classes)) for _ in range(2)]
    for index, y, chosen in zip(
        indices, (y_true, y_pred), (is_known(y_true, classes), accepted)
    ):
        index[chosen] = np.searchsorted(classes, y[chosen])
    indices[1][ambiguous] = len(classes) + 1
    return *indices, classes


def roc_rates(y_true, y_score, labels, sample_weight):
    """Return false and true positive rates at all thresholds, from above all scores."""
    known, y_score, sample_weight = checked_scores(y_true, y_score, labels, sample_weight)
    fprs, tprs, _ = roc_curve(
        known, ranks_of(y_score), sample_weight=sample_weight, drop_intermediate=False
    )
    return fprs, tprs


def ranks_of(y_score):
    """Return integers in the same order, since scikit-learn's curves take no infinity."""
    return np.unique(y_score, return_inverse=True)[1]


def checked_labels(y, name):
    """Return labels as an array of one dimension, none of them missing."""
    y = _column(y, name)
    check_no_label_missing(y, name)
    return y


def checked_numbers(values, name):
    """Return numbers as float64; refuse strings and dates, which numpy would convert."""
    values = _column(values, name)
    numeric = _kind(values) == "numbers" or (
        values.dtype.kind == "O" and all(isinstance(v, (Real, Decimal)) for v in values)
    )
    if not numeric:
        raise ValueError(f"{name} must hold numbers; got {_some(values)}.")
    return values.astype(np.float64)


def known_classes(labels):
    """Return the known classes as an array."""
    if isinstance(labels, (str, bytes)) or not isinstance(labels, Iterable):
        raise ValueError(
            "labels must be a list or an array of the known classes, such as classes_; got "
            f"{labels!r}."
        )
    return checked_labels(
        labels if hasattr(labels, "__array__") else list(labels), "labels"
    )


def is_known(y, classes):
    """Return which labels are among the known classes; a string never equals a number."""
    kinds = _kind(y), _kind(classes)
    if None not in kinds and kinds[0] != kinds[1]:
        return np.zeros(len(y), dtype=bool)
    return np.isin(y, classes)


def checked_weight(sample_weight, y):
    """Return weights of samples, or None."""
    if sample_weight is None:
        return None
    weight = check_array(
        checked_numbers(sample_weight, "sample_weight"),
        ensure_2d=False,
        ensure_min_samples=0,
        input_name="sample_weight",
    )
    check_consistent_length(y, weight)
    if (weight < 0).any():
        raise ValueError(f"sample_weight must not be negative; got {weight.min():g}.")
    # Sums of the largest numbers would overflow; scaling by a power of two is exact.
    return np.ldexp(weight, -np.frexp(weight.max(initial=0))[1])


def _check_sides(y_true, known, classes, weight, sides=("known", "outsider")):
    """Raise an error if no known sample, or no outsider, has a positive weight."""
    counts = np.ones(len(known), dtype=bool) if weight is None else weight > 0
    where = f"its labels are {_some(y_true)}, the known classes {_some(classes)}."
    if "known" in sides and not (known & counts).any():
        raise ValueError(f"y_true holds no known sample (of positive weight): {where}")
    if "outsider" in sides and not (~known & counts).any():
        raise NoOutsiderError(
            f"y_true holds no outsider (of positive weight): {where} In a search or a "
            "cross-validation, split with cv=LeaveClassesOut(...), so that the test part "
            "holds classes that the training part does not."
        )


def _some(values, most=10):
    """Return the first distinct values, for a message."""
    return list(dict.fromkeys(values.tolist()))[:most]


def _column(values, name):
    """Return values as an array of one dimension, without loss."""
    if hasattr(values, "requires_grad"):  # numpy takes no tensor with a gradient
        values = values.tolist()
    if np.ma.is_masked(values):
        raise ValueError(f"{name} has masked entries; drop those samples.")
    if isinstance(values, (list, tuple)) and len({isinstance(v, str) for v in values}) > 1:
        # numpy would convert all to strings.
        values = np.array(values, dtype=object)
    return column_or_1d(values)


def _kind(values):
    """Return whether values are numbers, strings or dates; None if mixed."""
    if values.dtype.kind != "O":
        return KINDS.get(values.dtype.kind)
    for kind, types in (("strings", str), ("numbers", Real)):
        if len(values) and all(isinstance(value, types) for value in values):
            return kind
    return None
