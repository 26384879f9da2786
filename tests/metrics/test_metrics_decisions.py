"""The metrics of decisions and openness, against their definitions and scikit-learn."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import accuracy_score, f1_score, recall_score

from sk_center.metrics import (
    correct_acceptance_rate,
    false_rejection_rate,
    normalized_accuracy_score,
    open_set_f1_score,
    openness,
    outsider_rejection_rate,
)

LABELS = [0, 1, 2]
REJECT = {"labels": LABELS, "outlier_label": -1}
NAMES = np.array(["cat", "dog", "eel", "fox", "gnu"])
CLOSE = {"rtol": 1e-12, "atol": 1e-14}


def decisions(seed, n_samples=60):
    """Return true labels 0..4 and predictions -1..2, more right than wrong."""
    rng = np.random.default_rng(seed)
    y_true = rng.integers(5, size=n_samples)
    right = rng.random(n_samples) < 0.6
    best = np.where(y_true < 3, y_true, -1)
    return y_true, np.where(right, best, rng.integers(-1, 3, size=n_samples))


def reference_f1(y_true, y_pred, weight):
    """Return the mean over the K + 1 classes of F1, from precision and recall."""
    f1s = []
    for label in (*LABELS, -1):
        is_true = y_true == label if label in LABELS else ~np.isin(y_true, LABELS)
        is_predicted = y_pred == label
        hits = weight[is_true & is_predicted].sum()
        if hits == 0:
            f1s.append(0.0)
            continue
        precision, recall = hits / weight[is_predicted].sum(), hits / weight[is_true].sum()
        f1s.append(2 * precision * recall / (precision + recall))
    return np.mean(f1s)


@pytest.fixture(params=[open_set_f1_score, normalized_accuracy_score])
def metric(request):
    """Return each metric of decisions in turn."""
    return request.param


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_f1_counts_the_reject_class(seed, weighted):
    """Check F1 against precision and recall by hand, and against scikit-learn."""
    y_true, y_pred = decisions(seed)
    weight = np.random.default_rng(seed).uniform(0.1, 3, 60) if weighted else np.ones(60)
    given = weight if weighted else None
    f1 = open_set_f1_score(y_true, y_pred, sample_weight=given, **REJECT)
    assert_allclose(f1, reference_f1(y_true, y_pred, weight), **CLOSE)
    mapped = np.where(y_true < 3, y_true, -1)
    expected = f1_score(mapped, y_pred, average="macro", sample_weight=given)
    assert_allclose(f1, expected, **CLOSE)


def test_f1_by_hand():
    """Check F1 of a case that fits on paper."""
    # cat: 1 of 2 found, never wrongly; dog: found, and once wrongly; reject: 1 of 2
    # found, and once wrongly. 2/3, 2/3, 1/2.
    f1 = open_set_f1_score(
        ["cat", "cat", "dog", "fox", "gnu"],
        ["cat", "outsider", "dog", "dog", "outsider"],
        labels=["cat", "dog"],
        outlier_label="outsider",
    )
    assert_allclose(f1, (2 / 3 + 2 / 3 + 1 / 2) / 3, **CLOSE)


def test_f1_leaves_out_what_nobody_names():
    """Check that a class without true and predicted samples is no zero in the mean."""
    y_true, y_pred = decisions(0)
    expected = open_set_f1_score(y_true, y_pred, **REJECT)
    more = {"labels": [*LABELS, 11], "outlier_label": -1}
    assert open_set_f1_score(y_true, y_pred, **more) == expected
    # A class that is given wrongly is a zero.
    y_pred[np.flatnonzero(y_pred == -1)[0]] = 11
    assert open_set_f1_score(y_true, y_pred, **more) < expected * 5 / 6


@pytest.mark.parametrize("lambda_r", [0.01, 0.5, 0.9])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_normalized_accuracy_weighs_two_accuracies(seed, weighted, lambda_r):
    """Check against scikit-learn's accuracies on each side."""
    y_true, y_pred = decisions(seed)
    weight = np.random.default_rng(seed).uniform(0.1, 3, 60) if weighted else np.ones(60)
    known = y_true < 3
    of_known = accuracy_score(y_true[known], y_pred[known], sample_weight=weight[known])
    of_outsiders = recall_score(~known, y_pred == -1, sample_weight=weight)
    actual = normalized_accuracy_score(
        y_true, y_pred, lambda_r=lambda_r, sample_weight=weight, **REJECT
    )
    expected = lambda_r * of_known + (1 - lambda_r) * of_outsiders
    assert_allclose(actual, expected, **CLOSE)
    given = {"sample_weight": weight, **REJECT}
    assert_allclose(correct_acceptance_rate(y_true, y_pred, **given), of_known, **CLOSE)
    rejected = outsider_rejection_rate(y_true, y_pred, **given)
    assert_allclose(rejected, of_outsiders, **CLOSE)
    false = recall_score(known, y_pred == -1, sample_weight=weight)
    assert_allclose(false_rejection_rate(y_true, y_pred, **given), false, **CLOSE)


def test_rates_by_hand():
    """Check the rates of decisions that fit on paper, and what they need."""
    y_true, y_pred = [0, 0, 1, 1, 7, 7], [0, -1, 1, 0, -1, 0]
    assert false_rejection_rate(y_true, y_pred, **REJECT) == 1 / 4
    assert correct_acceptance_rate(y_true, y_pred, **REJECT) == 2 / 4
    assert outsider_rejection_rate(y_true, y_pred, **REJECT) == 1 / 2
    # Rates of known samples need no outsiders, and the other way round.
    assert false_rejection_rate(y_true[:4], y_pred[:4], **REJECT) == 1 / 4
    assert correct_acceptance_rate(y_true[:4], y_pred[:4], **REJECT) == 2 / 4
    assert outsider_rejection_rate(y_true[4:], y_pred[4:], **REJECT) == 1 / 2
    with pytest.raises(ValueError, match="no known sample"):
        false_rejection_rate(y_true[4:], y_pred[4:], **REJECT)
    with pytest.raises(ValueError, match="no known sample"):
        correct_acceptance_rate(y_true[4:], y_pred[4:], **REJECT)
    with pytest.raises(ValueError, match="no outsider"):
        outsider_rejection_rate(y_true[:4], y_pred[:4], **REJECT)


def test_normalized_accuracy_by_hand():
    """Check a case that fits on paper, where both sides count half."""
    # Known: 2 of 4, a rejection is no hit. Outsiders: 1 of 1.
    y_true, y_pred = [0, 1, 2, 2, 9], [0, -1, 2, 1, -1]
    assert normalized_accuracy_score(y_true, y_pred, **REJECT) == 0.75


def test_extreme_decisions(metric):
    """Check perfect decisions, rejecting all and accepting all."""
    y_true = np.array([0, 1, 2, 3, 4, 3])
    assert metric(y_true, [0, 1, 2, -1, -1, -1], **REJECT) == 1
    assert metric(y_true, [1, 2, 0, 0, 0, 0], **REJECT) == 0
    rejected = metric(y_true, np.full(6, -1), **REJECT)
    f1 = open_set_f1_score is metric
    assert_allclose(rejected, (2 / 3) / 4 if f1 else 0.5, **CLOSE)


def test_integer_weights_repeat_samples(metric):
    """Check that a weight of k is k samples, a weight of 0 none, and that units cancel."""
    y_true, y_pred = decisions(3)
    weight = np.random.default_rng(3).integers(4, size=60)
    assert (weight == 0).any()
    weighted = metric(y_true, y_pred, sample_weight=weight, **REJECT)
    repeated = metric(np.repeat(y_true, weight), np.repeat(y_pred, weight), **REJECT)
    assert_allclose(weighted, repeated, **CLOSE)
    scaled = metric(y_true, y_pred, sample_weight=weight / 100, **REJECT)
    assert_allclose(scaled, weighted, **CLOSE)


def test_zero_weights_drop_a_class(metric):
    """Check that a class of zero weight does as one that does not occur."""
    y_true, y_pred = decisions(4)
    y_pred[y_pred == 2] = 1
    expected = metric(y_true[y_true != 2], y_pred[y_true != 2], **REJECT)
    actual = metric(y_true, y_pred, sample_weight=y_true != 2, **REJECT)
    assert_allclose(actual, expected, **CLOSE)


@pytest.mark.parametrize("dtype", [None, object])
def test_string_labels(metric, dtype):
    """Check that names do as numbers do, in any order and with a longer reject label."""
    y_true, y_pred = decisions(5)
    names = np.append(NAMES, "outsider")
    names = names.astype(dtype) if dtype else names
    actual = metric(
        names[y_true],
        names[y_pred],
        labels=names[[2, 0, 1]],
        outlier_label="outsider",
    )
    assert actual == metric(y_true, y_pred, **REJECT)


def test_boolean_classes(metric):
    """Check that classes may be booleans, with what predict returns of them."""
    actual = metric([0, 1, 5, 6], [0, 1, -1, 1], labels=[False, True], outlier_label=-1)
    expected = metric([0, 1, 5, 6], [0, 1, -1, 1], labels=[0, 1], outlier_label=-1)
    assert actual == expected


def test_lists_give_plain_floats(metric):
    """Check that lists do as arrays do, and columns, and that arguments stay."""
    y_true, y_pred = decisions(6)
    copies = y_true.copy(), y_pred.copy()
    expected = metric(y_true, y_pred, **REJECT)
    assert type(expected) is float
    assert metric(y_true.tolist(), y_pred.tolist(), **REJECT) == expected
    assert metric(y_true[:, None], y_pred[:, None], **REJECT) == expected
    assert_array_equal((y_true, y_pred), copies)


@pytest.mark.parametrize(
    ("y_true", "y_pred", "params", "message"),
    [
        ([3, 4], [0, 1], {}, "no known sample"),
        ([0, 1], [0, 1], {}, "no outsider"),
        ([0, 3], [0, 3], {}, r"y_pred must hold labels, \[0, 1, 2\], .* -1; got \[3\]"),
        ([0, 3], [0, -1, 1], {}, "inconsistent numbers of samples"),
        ([0, 3], [[0, 1], [1, 0]], {}, "1d array"),
        ([0, 3], [0, -1], {"outlier_label": 2}, "outlier_label must be .* got 2"),
        ([0, 3], [0, -1], {"sample_weight": [1, 0]}, "no outsider"),
        ([0, 3], [0, -1], {"sample_weight": [2, -1]}, "sample_weight must not be neg"),
        ([0, 3], [0, -1], {"sample_weight": [1, np.nan]}, "sample_weight.*NaN"),
        ([0, 3], [0, -1], {"sample_weight": [1]}, "inconsistent numbers of samples"),
    ],
)
def test_wrong_decisions_raise(metric, y_true, y_pred, params, message):
    """Check that errors name the parameter, what it got and what it takes."""
    with pytest.raises(ValueError, match=message):
        metric(y_true, y_pred, **{**REJECT, **params})


def test_predictions_of_another_kind_raise(metric):
    """Check that numbers among names are no rejections."""
    with pytest.raises(ValueError, match=r"y_pred must hold labels.*'out'; got \[0, -1\]"):
        metric(["a", "x"], [0, -1], labels=["a", "b"], outlier_label="out")


@pytest.mark.parametrize("lambda_r", [0, 1, -0.5, 2, np.nan, "0.5"])
def test_lambda_r_out_of_range_raises(lambda_r):
    """Check that the error names lambda_r, what it takes and what it got."""
    message = rf"lambda_r must be in \(0, 1\); got {lambda_r!r}\."
    with pytest.raises(ValueError, match=message):
        normalized_accuracy_score([0, 3], [0, -1], lambda_r=lambda_r, **REJECT)


@pytest.mark.parametrize(
    ("n_known", "n_test", "expected"),
    # The first four as in the literature: MNIST, CIFAR+10, CIFAR+50, TinyImageNet.
    [
        (6, 10, 0.1340),
        (4, 14, 0.3333),
        (4, 54, 0.6286),
        (20, 200, 0.5736),
        (7, 7, 0),
        (200, 250, 0.0572),
    ],
)
def test_openness_of_the_literature(n_known, n_test, expected):
    """Check the openness of the usual benchmarks, to four digits."""
    assert_allclose(openness(n_known, n_test), expected, atol=5e-5)
    # Sums of small integers of numpy would overflow.
    assert openness(np.uint8(n_known), np.uint8(n_test)) == openness(n_known, n_test)
    assert type(openness(np.int64(n_known), np.int32(n_test))) is float


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((0, 3), "n_known_classes must be an integer of at least 1; got 0"),
        ((2.0, 3), r"n_known_classes must be an integer of at least 1; got 2\.0"),
        (([0, 1], 3), r"n_known_classes must be an integer .* got \[0, 1\]"),
        ((True, 3), "n_known_classes must be an integer .* got True"),
        ((3, 2), "n_test_classes must be an integer of at least n_known_classes=3; got 2"),
        ((3, "4"), "n_test_classes must be an integer .* got '4'"),
    ],
)
def test_wrong_numbers_of_classes_raise(numbers, message):
    """Check that errors name the number, what it got and what it takes."""
    with pytest.raises(ValueError, match=message):
        openness(*numbers)


def test_ambiguous_samples_are_neither_rejected_nor_right():
    """Check each metric against counts, and that the label must be one of its own."""
    y_true = np.array([0, 0, 1, 2, 3, 3])
    y_pred = np.array([0, -2, -1, 2, -2, -1])
    given = {"ambiguous_label": -2, **REJECT}
    assert correct_acceptance_rate(y_true, y_pred, **given) == 0.5
    assert false_rejection_rate(y_true, y_pred, **given) == 0.25
    assert outsider_rejection_rate(y_true, y_pred, **given) == 0.5
    assert normalized_accuracy_score(y_true, y_pred, **given) == 0.5
    # 0: one of two found; 1: none; 2: found; rejected: one right, one wrong, one missed.
    expected = np.mean([2 / 3, 0, 1, 1 / 2])
    assert_allclose(open_set_f1_score(y_true, y_pred, **given), expected, **CLOSE)
    with pytest.raises(ValueError, match=r"got \[-2\]"):
        correct_acceptance_rate(y_true, y_pred, **REJECT)
    for label in (-1, 2):
        with pytest.raises(ValueError, match="ambiguous_label must be"):
            false_rejection_rate(y_true, y_pred, **{**given, "ambiguous_label": label})
