"""What the benchmarks measure, and the law by which a guarantee is judged."""

import numpy as np
import pytest
from scipy.stats import beta
from sklearn.metrics import f1_score

pytest.importorskip("benchmarks", reason="it is in the source tree alone")

from benchmarks.measures import (
    by_class,
    by_group,
    judge,
    known_f_score,
    parse_counts,
)
from benchmarks.suites.guarantee import share, tail_of_guarantee
from sk_center.metrics import auroc_score, oscr_score

CLASSES = np.array(["a", "b"])
Y = np.array(["a", "a", "a", "b", "b", "x", "x", "y"])
PREDICTED = np.array(["a", "a", "b", "b", "b", "a", "b", "b"])
SCORE = np.array([5.0, 1.0, 4.0, 6.0, 7.0, 0.0, 4.5, 2.0])


def test_known_f_score():
    """Check the F-measure of known classes against precision and recall by hand."""
    given = np.array(["a", "outsider", "b", "b", "b", "outsider", "b", "outsider"])
    precision = np.mean([1 / 1, 2 / 4])
    recall = np.mean([1 / 3, 2 / 2])
    expected = 2 * precision * recall / (precision + recall)
    assert known_f_score(Y, given, CLASSES) == pytest.approx(expected, rel=1e-12)
    numbers = {"a": 3, "b": 7, "x": 8, "y": 9, "outsider": -1}
    y, given = (np.array([numbers[label] for label in labels]) for labels in (Y, given))
    assert known_f_score(y, given, np.array([3, 7])) == pytest.approx(expected, rel=1e-12)


def test_judge():
    """Check every measure of a classifier that rejects against its definition."""
    outlier = SCORE < 3
    found = judge(Y, PREDICTED, PREDICTED, SCORE, outlier, CLASSES)
    given = np.where(outlier, "open", PREDICTED)
    true = np.where(np.isin(Y, CLASSES), Y, "open")
    assert found["kept"] == 1 / 5
    assert found["rejected"] == 2 / 3
    assert found["accuracy"] == 4 / 5
    assert found["accepted_accuracy"] == 3 / 4
    assert found["open_f1"] == pytest.approx(f1_score(true, given, average="macro"))
    assert found["normalized_accuracy"] == pytest.approx((3 / 5 + 2 / 3) / 2)
    assert found["auroc"] == auroc_score(Y, SCORE, labels=CLASSES)
    assert found["oscr"] == oscr_score(Y, PREDICTED, SCORE, labels=CLASSES)
    # Without outsiders nothing is said of them.
    known = np.isin(Y, CLASSES)
    parts = (part[known] for part in (Y, PREDICTED, PREDICTED, SCORE, outlier))
    assert {*judge(*parts, CLASSES)} == {"kept", "accuracy", "accepted_accuracy"}


@pytest.mark.parametrize(
    ("guarantee", "expected"),
    [
        ("marginal", [[2, 5, 44]]),
        ("predicted", [[1, 3, 25], [1, 2, 19]]),
        ("class", [[2, 4, 40], [0, 1, 4]]),  # the rare class by itself
    ],
)
def test_counts_of_groups(guarantee, expected):
    """Check what is counted of each group that has a threshold."""
    true, predicted = np.repeat(["a", "b"], [40, 4]), np.repeat(["a", "b"], [25, 19])
    tested = np.array(["a", "a", "a", "a", "b"]), np.array(["a", "a", "b", "a", "b"])
    outlier = np.array([True, False, True, False, False])
    text = by_group(guarantee, 0.05, (true, predicted), tested, outlier)
    assert parse_counts(text).tolist() == expected
    counts = parse_counts(by_class(tested[0], outlier, np.array(["a", "b"])))
    assert counts.tolist() == [[2, 4], [0, 1]]


def test_rare_groups_are_one():
    """Check that groups too small for the rate are counted together."""
    true = np.repeat(["a", "b", "c"], [19, 8, 12])
    tested = np.array(["b", "c", "a"])
    outlier = np.array([True, True, False])
    text = by_group("class", 0.05, (true, true), (tested, tested), outlier)
    assert parse_counts(text).tolist() == [[0, 1, 19], [2, 2, 20]]


@pytest.mark.parametrize(("rejected", "tested"), [(7, 120), (0, 30), (30, 30)])
def test_share_interval(rejected, tested):
    """Check the interval of a share against the formula of Clopper and Pearson."""
    low = beta.ppf(0.025, rejected, tested - rejected + 1) if rejected else 0
    high = beta.ppf(0.975, rejected + 1, tested - rejected) if rejected < tested else 1
    np.testing.assert_allclose(share((rejected, tested)), (rejected / tested, low, high))


@pytest.mark.parametrize("rate", [0.05, 0.1])
def test_tail_of_a_guarantee(rate):
    """Check the law of rejections against conformal thresholds on drawn samples."""
    tested, samples = np.array([30, 11, 17]), np.array([59, 25, 40])
    rng, n_draws, drawn = np.random.default_rng(0), 4000, 0
    for m, n in zip(tested, samples):
        own = np.sort(rng.random((n_draws, n)), axis=1)
        threshold = own[:, int(rate * (n + 1)) - 1]
        drawn = drawn + (rng.random((n_draws, m)) <= threshold[:, None]).sum(axis=1)
    for rejected in np.quantile(drawn, [0.5, 0.9, 0.97]).astype(int):
        groups = np.column_stack([[rejected, 0, 0], tested, samples])
        expected = np.mean(drawn >= rejected)
        error = 4 * np.sqrt(expected * (1 - expected) / n_draws)
        assert tail_of_guarantee(groups, rate) == pytest.approx(expected, abs=error)
