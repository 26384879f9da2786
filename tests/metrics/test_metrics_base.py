"""What the metrics take as labels, scores and weights, and what they refuse."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import torch

from sk_center.metrics import (
    auroc_score,
    fpr_at_tpr,
    normalized_accuracy_score,
    oscr_score,
    outsider_rejection_rate,
)

Y, PREDICTED, SCORE = [0, 1, 0, 7, 7], [0, 1, 1, 0, 1], [5.0, 4.0, 1.0, 3.0, 0.5]
LABELS = [0, 1]


@pytest.mark.parametrize(
    ("y_pred", "message"),
    [
        (["0", "1", "1", "0", "1"], "y_pred must hold numbers, as labels do"),
        (np.array(["0", "1", "1", "0", "1"], object), r"y_pred must .*; got strings"),
        ([0, 1, np.nan, 0, 1], "y_pred holds a missing label, nan at sample 2"),
        ([0, 1, None, 0, 1], "y_pred holds a missing label, None at sample 2"),
        (np.array([0, 1, 1, 0, 1], "datetime64[D]"), r"y_pred must .*; got dates"),
    ],
)
def test_predictions_that_are_no_classes_raise(y_pred, message):
    """Check that OSCR refuses predictions that can never equal a label."""
    with pytest.raises(ValueError, match=message):
        oscr_score(Y, y_pred, SCORE, labels=LABELS)


@pytest.mark.parametrize("labels", ["abc", b"abc", 3, None])
def test_labels_that_are_no_list_raise(labels):
    """Check that a string is not read as a list of its letters."""
    with pytest.raises(ValueError, match="labels must be a list or an array"):
        auroc_score(["a", "b", "x"], [3, 2, 1], labels=labels)
    with pytest.raises(ValueError, match="labels must be a list or an array"):
        outsider_rejection_rate(["a", "x"], ["a", "o"], labels=labels, outlier_label="o")


@pytest.mark.parametrize(
    "labels", [{0, 1}, (1, 0), pd.Series([0, 1]), np.array([[0], [1]])]
)
def test_labels_of_other_containers(labels):
    """Check that labels may be a set, a tuple, a series or a column."""
    expected = auroc_score(Y, SCORE, labels=LABELS)
    assert auroc_score(Y, SCORE, labels=labels) == expected


@pytest.mark.parametrize("missing", [np.nan, None, pd.NA])
def test_missing_labels_raise(missing):
    """Check that a sample without a label is not counted as an outsider."""
    y_true = pd.Series([0, 1, missing, 7, 7], dtype=object)
    with pytest.raises(ValueError, match="y_true holds a missing label"):
        auroc_score(y_true, SCORE, labels=LABELS)
    with pytest.raises(ValueError, match="labels holds a missing label"):
        auroc_score(Y, SCORE, labels=[0, missing])
    dates = np.array(["2020", "2021", "NaT"], "datetime64[Y]")
    with pytest.raises(ValueError, match="y_true holds a missing label, NaT at sample 2"):
        auroc_score(dates, [3, 2, 1], labels=dates[:1])
    with pytest.raises(ValueError, match="outlier_label must be a label that is none of"):
        outsider_rejection_rate([7], [0], labels=LABELS, outlier_label=missing)


@pytest.mark.parametrize("weight", [1e308, 1e-300])
def test_weights_of_any_size(weight):
    """Check that sums of weights neither overflow nor vanish."""
    weights = np.full(5, weight)
    assert fpr_at_tpr(Y, SCORE, labels=LABELS, sample_weight=weights) == 0.5
    given = {"labels": LABELS, "sample_weight": weights}
    assert oscr_score(Y, PREDICTED, SCORE, **given) == oscr_score(
        Y, PREDICTED, SCORE, labels=LABELS
    )
    accuracy = normalized_accuracy_score(Y, PREDICTED, outlier_label=-1, **given)
    assert accuracy == pytest.approx(0.5 * 2 / 3, rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_tensors_with_gradients(dtype):
    """Check that tensors do as arrays do, those that numpy does not take, too."""
    score = torch.tensor(SCORE, dtype=dtype, requires_grad=True)
    y, predicted = torch.tensor(Y), torch.tensor(PREDICTED)
    weight = torch.arange(1.0, 6.0, requires_grad=True)
    given = {"labels": torch.tensor(LABELS), "sample_weight": weight}
    expected = oscr_score(Y, PREDICTED, SCORE, labels=LABELS, sample_weight=range(1, 6))
    assert oscr_score(y, predicted, score, **given) == expected


def test_masked_entries_raise():
    """Check that a mask is not lost, and that one of nothing is none."""
    masked = np.ma.array(SCORE, mask=[0, 1, 0, 0, 0])
    with pytest.raises(ValueError, match="y_score has masked entries"):
        auroc_score(Y, masked, labels=LABELS)
    with pytest.raises(ValueError, match="y_true has masked entries"):
        auroc_score(np.ma.array(Y, mask=masked.mask), SCORE, labels=LABELS)
    unmasked = np.ma.array(SCORE, mask=False)
    expected = auroc_score(Y, SCORE, labels=LABELS)
    assert auroc_score(Y, unmasked, labels=LABELS) == expected


@pytest.mark.parametrize(
    "values",
    [
        np.arange(5).astype("datetime64[D]"),
        np.arange(5).astype("timedelta64[s]"),
        ["5", "4", "1", "3", "0.5"],
        np.array(["5", "4", "1", "3", "0.5"], object),
        np.array(SCORE) * 1j,
    ],
    ids=["dates", "durations", "strings", "objects", "complex"],
)
def test_values_that_are_no_numbers_raise(values):
    """Check that scores and weights are not made of what only converts to numbers."""
    with pytest.raises(ValueError, match=r"y_score must hold numbers|[Cc]omplex"):
        auroc_score(Y, values, labels=LABELS)
    with pytest.raises(ValueError, match=r"sample_weight must hold numbers|[Cc]omplex"):
        auroc_score(Y, SCORE, labels=LABELS, sample_weight=values)


def test_objects_that_are_numbers():
    """Check that scores may be objects of any numeric type."""
    objects = np.array([5, Decimal(4), np.float32(1), 3.0, True], object)
    expected = auroc_score(Y, [5, 4, 1, 3, 1], labels=LABELS)
    assert auroc_score(Y, objects, labels=LABELS) == expected


def test_lists_of_mixed_labels():
    """Check that strings beside numbers in a list leave the numbers what they are."""
    given = {"labels": [0, 1], "outlier_label": "outsider"}
    rate = outsider_rejection_rate([0, 1, "fox", 7], [0, 1, "outsider", 1], **given)
    assert rate == 0.5
