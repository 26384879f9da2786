"""What the metrics of curves take for labels, scores and weights."""

import numpy as np
import pytest
from curve_problems import (
    CLOSE,
    LABELS,
    random_problem,
    reference_aupr,
    reference_auroc,
    reference_ccr_at_fpr,
    reference_fpr_at_tpr,
    scores_of,
)
from numpy.testing import assert_allclose, assert_array_equal

from sk_center.metrics import (
    aupr_score,
    auroc_score,
    ccr_at_fpr,
    fpr_at_tpr,
    oscr_curve,
    oscr_score,
)

NAMES = np.array(["cat", "dog", "eel", "fox", "gnu"])


@pytest.mark.parametrize("dtype", [None, object])
def test_string_labels(dtype):
    """Check that names of classes do as numbers do, in any order of the labels."""
    y_true, y_pred, y_score = random_problem(5)
    names = NAMES.astype(dtype) if dtype else NAMES
    params = {"labels": names[[2, 0, 1]]}
    assert_array_equal(
        scores_of(names[y_true], names[y_pred], y_score, **params),
        scores_of(y_true, y_pred, y_score, labels=LABELS),
    )


def test_outsider_is_a_wrong_class():
    """Check that a known sample predicted as outsider is not classified correctly."""
    # "outsider" is longer than every label, and must not be cut to their width.
    ccr, fpr, _ = oscr_curve(
        ["o", "b", "c"], ["outsider", "b", "outsider"], [3.0, 2.0, 1.0], labels=["o", "b"]
    )
    assert_array_equal(ccr, [0, 0, 0.5, 0.5])
    assert_array_equal(fpr, [0, 0, 0, 1])


def test_known_class_that_never_occurs():
    """Check that labels may name more classes than y_true holds."""
    y_true, y_pred, y_score = random_problem(6)
    assert_array_equal(
        scores_of(y_true, y_pred, y_score, labels=[0, 1, 2, 11, 12]),
        scores_of(y_true, y_pred, y_score, labels=LABELS),
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32])
def test_scores_of_any_dtype(dtype):
    """Check that scores of other dtypes count by their value, unsigned ones too."""
    y_true, y_pred, y_score = random_problem(7, n_values=5)
    assert_array_equal(
        scores_of(y_true, y_pred, y_score.astype(dtype), labels=LABELS),
        scores_of(y_true, y_pred, y_score, labels=LABELS),
    )


def test_lists_give_plain_floats():
    """Check that lists do as arrays do, and that numbers come back as floats."""
    y_true, y_pred, y_score = random_problem(8)
    weight = np.random.default_rng(8).uniform(0.1, 3, 60)
    from_lists = scores_of(
        y_true.tolist(),
        y_pred.tolist(),
        y_score.tolist(),
        labels=LABELS,
        sample_weight=weight.tolist(),
    )
    assert [type(value) for value in from_lists] == [float] * 6
    assert from_lists == scores_of(
        y_true, y_pred, y_score, labels=np.array(LABELS), sample_weight=weight
    )


@pytest.mark.parametrize("column", [0, 1, 2], ids=["y_true", "y_pred", "y_score"])
def test_a_column_does_as_a_flat_array_does(column):
    """Check that an array of shape (n, 1) does not broadcast against the others."""
    problem = list(random_problem(10))
    expected = scores_of(*problem, labels=LABELS)
    problem[column] = problem[column][:, None]
    assert_array_equal(scores_of(*problem, labels=LABELS), expected)


@pytest.mark.parametrize("n_low", [1, 20])
@pytest.mark.parametrize("n_high", [0, 1, 20])
def test_infinite_scores(n_high, n_low):
    """Check that infinite scores lie beyond all others, and tie with their like."""
    y_true, y_pred, y_score = random_problem(11)
    y_score[:n_high] = np.inf
    y_score[n_high : n_high + n_low] = -np.inf
    expected = (
        reference_auroc(y_true, y_score),
        reference_fpr_at_tpr(y_true, y_score, 0.8),
        reference_auroc(y_true, y_score, correct=y_true == y_pred),
        reference_aupr(y_true, y_score, "known"),
        reference_aupr(y_true, y_score, "outsider"),
        reference_ccr_at_fpr(y_true, y_pred, y_score, 0.2),
    )
    actual = scores_of(y_true, y_pred, y_score, labels=LABELS)
    assert_allclose(actual, expected, **CLOSE)
    # Numbers as far out give the same curve, but for the thresholds.
    finite = np.clip(y_score, -99, 99)
    curve, other = (
        oscr_curve(y_true, y_pred, score, labels=LABELS) for score in (y_score, finite)
    )
    assert_array_equal(curve[0], other[0])
    assert_array_equal(curve[1], other[1])
    assert_array_equal(np.clip(curve[2][1:], -99, 99), other[2][1:])


def test_inputs_stay_as_they_are():
    """Check that the metrics do not write into their arguments."""
    problem = random_problem(9)
    copies = [values.copy() for values in problem]
    scores_of(*problem, labels=LABELS)
    for values, copy in zip(problem, copies):
        assert_array_equal(values, copy)


METRICS = {
    "auroc_score": auroc_score,
    "fpr_at_tpr": fpr_at_tpr,
    "aupr_score": aupr_score,
    # Perfect predictions: these tests are about what all of them take.
    "oscr_curve": lambda y, y_score, **params: oscr_curve(y, y, y_score, **params),
    "oscr_score": lambda y, y_score, **params: oscr_score(y, y, y_score, **params),
    "ccr_at_fpr": lambda y, y_score, **params: ccr_at_fpr(y, y, y_score, **params),
}


@pytest.fixture(params=METRICS)
def metric(request):
    """Return each metric in turn."""
    return METRICS[request.param]


@pytest.mark.parametrize("spread", [[3, 4], ["x", "y"]])
def test_no_known_sample_raises(metric, spread):
    """Check that an error tells which side is missing, and both sets of labels."""
    labels = ["a", "b"] if isinstance(spread[0], str) else [0, 1]
    message = rf"no known sample.*{spread[0]!r}.*{spread[1]!r}.*{labels[0]!r}"
    with pytest.raises(ValueError, match=message):
        metric(spread, [1.0, 2.0], labels=labels)


@pytest.mark.parametrize("known", [[0, 1], ["x", "y"]])
def test_no_outsider_raises(metric, known):
    """Check that an error tells that there is nothing to reject."""
    with pytest.raises(ValueError, match=rf"no outsider.*{known[0]!r}"):
        metric(known, [1.0, 2.0], labels=known)


def test_nan_score_raises(metric):
    """Check that a NaN among the scores is an error that names them."""
    with pytest.raises(ValueError, match=r"y_score.*NaN"):
        metric([0, 1, 3], [1.0, np.nan, 2.0], labels=LABELS)


@pytest.mark.parametrize("length", [1, 4])
def test_wrong_number_of_scores_raises(metric, length):
    """Check that scores of another number than the labels are an error."""
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        metric([0, 1, 3], np.arange(length), labels=LABELS)


@pytest.mark.parametrize("length", [1, 4])
def test_wrong_number_of_weights_raises(metric, length):
    """Check that weights of another number than the labels are an error."""
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        metric([0, 1, 3], [1, 2, 3], labels=LABELS, sample_weight=np.ones(length))


@pytest.mark.parametrize("curve", [oscr_curve, oscr_score, ccr_at_fpr])
@pytest.mark.parametrize("length", [1, 4])
def test_wrong_number_of_predictions_raises(curve, length):
    """Check that predictions must be as many as the labels, one is not for all."""
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        curve([0, 1, 3], np.zeros(length, int), [1, 2, 3], labels=LABELS)


def test_scores_of_two_columns_raise(metric):
    """Check that a score for each class, which is not what is asked, is an error."""
    with pytest.raises(ValueError, match="1d array"):
        metric([0, 1, 3], np.zeros((3, 2)), labels=LABELS)


def test_nan_weight_raises(metric):
    """Check that a weight must be a number."""
    with pytest.raises(ValueError, match=r"sample_weight.*NaN"):
        metric([0, 1, 3], [1, 2, 3], labels=LABELS, sample_weight=[1, np.nan, 1])


def test_negative_weight_raises(metric):
    """Check that no weight may be negative, though their sum be positive."""
    with pytest.raises(ValueError, match="sample_weight must not be negative; got -1"):
        metric([0, 1, 3], [1, 2, 3], labels=LABELS, sample_weight=[2, -1, 1])


@pytest.mark.parametrize(
    ("side", "weight"), [("known", [0, 0, 1]), ("outsider", [1, 0.5, 0])]
)
def test_side_without_weight_raises(metric, side, weight):
    """Check that samples without weight do not count as samples of their side."""
    with pytest.raises(ValueError, match=rf"no {side}"):
        metric([0, 1, 3], [1, 2, 3], labels=LABELS, sample_weight=weight)


@pytest.mark.parametrize("tpr", [0, -0.5, 1.0000001, 95, np.nan, "1"])
def test_tpr_out_of_range_raises(tpr):
    """Check that the error names tpr, what it takes and what it got."""
    with pytest.raises(ValueError, match=rf"tpr must be in \(0, 1\]; got {tpr!r}\."):
        fpr_at_tpr([0, 1, 3], [1, 2, 3], labels=LABELS, tpr=tpr)


@pytest.mark.parametrize("fpr", [-0.1, 1.0000001, 5, np.nan, None])
def test_fpr_out_of_range_raises(fpr):
    """Check that the error names fpr, what it takes and what it got."""
    with pytest.raises(ValueError, match=rf"fpr must be in \[0, 1\]; got {fpr!r}\."):
        ccr_at_fpr([0, 1, 3], [0, 1, 1], [1, 2, 3], labels=LABELS, fpr=fpr)


@pytest.mark.parametrize("positive", ["in", None, 1, ["known"]])
def test_wrong_side_of_aupr_raises(positive):
    """Check that the error names positive, what it takes and what it got."""
    with pytest.raises(ValueError, match="positive must be 'known' or 'outsider'; got"):
        aupr_score([0, 1, 3], [1, 2, 3], labels=LABELS, positive=positive)


@pytest.mark.parametrize("n_labels", [2, 200])
def test_strings_are_no_numbers(n_labels):
    """Check that a string is not taken for the number that it shows."""
    y_true = np.array([str(k) for k in range(n_labels + 3)])
    with pytest.raises(ValueError, match="no known sample"):
        auroc_score(y_true, np.arange(n_labels + 3), labels=np.arange(n_labels))
