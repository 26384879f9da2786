"""Tests of the pure functions between scores and answers, against loops."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from open_set_problems import FAR, MEANS, clouds, own_of, reference_decision
from sklearn.naive_bayes import GaussianNB

from sk_center import OpenSetClassifier
from sk_center.calibration import ConformalCalibration
from sk_center.open_set.decision import (
    answers_of,
    decide,
    decide_between,
    decide_by_class,
)

RATES = np.array([0.05, 0.1, 0.2])


def problem(decimals=None, seed=0):
    """Return scores, classes and predicted classes of 120 and of 200 samples."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(320, 3)) - rng.exponential(size=(320, 1))
    scores = scores if decimals is None else scores.round(decimals)
    y, predicted = rng.integers(3, size=(2, 320))
    calibration = scores[:120], y[:120], predicted[:120]
    return calibration, (scores[120:], predicted[120:])


@pytest.mark.parametrize("decimals", [None, 0])
@pytest.mark.parametrize("guarantee", ["marginal", "predicted"])
def test_decide(guarantee, decimals):
    """Check p-values and rejections of one group and of three, with ties and without."""
    calibration, new = problem(decimals)
    scores, _, predicted = calibration
    marginal = guarantee == "marginal"
    rates = np.full(3, 0.1) if marginal else RATES
    groups = np.zeros(3, dtype=int) if marginal else np.arange(3)
    fitted = ConformalCalibration().fit(
        own_of(scores, predicted), groups[predicted], rates[:1] if marginal else rates
    )
    p_known, rejected = decide(own_of(*new), new[1], fitted, groups)
    expected = reference_decision(guarantee, rates, calibration, new)
    assert_array_equal(p_known, expected[0])
    assert_array_equal(rejected, expected[1])
    assert 0 < rejected.sum() < len(rejected)


@pytest.mark.parametrize("decimals", [None, 0])
def test_decide_by_class(decimals):
    """Check who is rejected by all, and who gets another class of those that accept."""
    calibration, new = problem(decimals)
    scores, y, _ = calibration
    fitted = ConformalCalibration().fit(own_of(scores, y), y, RATES * 3)
    p_values = fitted.p_values(new[0], np.arange(3))
    p_known, rejected, index = decide_by_class(p_values, *new, RATES * 3)
    expected = reference_decision("class", RATES * 3, calibration, new)
    assert_array_equal(p_known, expected[0])
    assert_array_equal(rejected, expected[1])
    assert_array_equal(index, expected[2])
    assert ((index != new[1]) & ~rejected).sum() > 10
    assert rejected.sum() > 5


def test_decide_between():
    """Check who names samples of former and added classes, one sample at a time."""
    (scores, _, predicted), (new, guess) = problem()
    groups, thresholds = np.array([0, 0, 1]), np.full(3, 0.1)
    own = scores[np.arange(len(scores)), predicted]
    calibration = ConformalCalibration().fit(own, groups[predicted], np.full(2, 0.1))
    rule = calibration, groups, thresholds, np.zeros(3, dtype=bool)
    p_known, rejected, index, accepted = decide_between(new, guess, *rule)
    group, named = np.sort(own[predicted < 2]), 0
    lead = (group[len(group) // 2] - calibration.score_thresholds_[0]) / 4
    for i, (s, k) in enumerate(zip(new, guess)):
        asked = [0, 1, 2] if k == 2 else [k, 2]
        p = dict(zip([0, 1, 2], calibration.p_values(s[None], groups)[0]))
        accepting = [j for j in asked if p[j] > 0.1]
        assert accepted[i].nonzero()[0].tolist() == accepting
        assert p_known[i] == max(p[j] for j in asked)
        assert rejected[i] == (not accepting)
        led = s + lead * (np.arange(3) == 2) * (k == 2)
        if accepting:
            assert index[i] == max(accepting, key=lambda j: led[j])
            named += index[i] != max(accepting, key=lambda j: s[j])
    assert named > 1


@pytest.mark.parametrize(
    ("classes", "outlier_label", "label", "dtype"),
    [
        (np.array(["a", "b", "c"]), "auto", "outsider", "<U8"),
        (np.array(["a", "b", "z is a long name"]), "auto", "outsider", "<U16"),
        (np.array(["a", "b", "c"]), "none of them", "none of them", "<U12"),
        (np.array(["a", "b", "cc"], dtype=object), "auto", "outsider", object),
        (np.array([3, 10, 700]), "auto", -1, np.int64),
        (np.array([0, 1, 2], dtype=np.uint8), "auto", -1, np.int16),
        (np.array([0, 1, 255], dtype=np.uint8), 256, 256, np.uint16),
        (np.array([0, 1, 2], dtype=np.uint32), "auto", -1, np.int64),
        (np.array([0.0, 1.0, 2.0]), "auto", -1, np.float64),
        (np.array([0, 1, 2], dtype=np.float32), "auto", -1, np.float32),
        (np.array([0, 1, 2]), 0.5, 0.5, np.float64),
        (np.array([0, 1, 2]), 2**40, 2**40, np.int64),
        (np.array([0, 1, 2], dtype=np.uint8), 1234.56, 1234.56, np.float64),
        (2**60 + np.arange(3, dtype=np.uint64), "auto", -1, np.int64),
        (2**63 + np.arange(3, dtype=np.uint64), 7, 7, np.uint64),
    ],
    ids=str,
)
def test_labels_come_back_whole(classes, outlier_label, label, dtype):
    """Check that every kind of label is exact beside the outlier label, and its dtype."""
    X, y = clouds()
    model = OpenSetClassifier(
        GaussianNB(),
        conformity_score="mahalanobis",
        cv=0.5,
        outlier_label=outlier_label,
        random_state=0,
    ).fit(X, classes[y])
    assert_array_equal(model.classes_, classes)
    assert model.classes_.dtype == classes.dtype
    assert model.outlier_label_ == label
    predicted = model.predict(np.concatenate([MEANS, FAR, FAR]))
    assert predicted.tolist() == [*classes.tolist(), label, label]
    assert predicted.dtype == dtype


@pytest.mark.parametrize("rate", [0.05, 0.0])
def test_boolean_classes_have_a_string_beside_them(rate):
    """Check that True and False are predicted as they are, and outsiders by a word."""
    X, y = clouds((60, 50))
    model = OpenSetClassifier(
        GaussianNB(),
        conformity_score="mahalanobis",
        cv=0.5,
        false_rejection_rate=rate,
        random_state=0,
    ).fit(X, y > 0)
    found = model.predict(np.concatenate([MEANS[:2], FAR]))
    assert found.tolist() == [False, True, "outsider" if rate else found[-1]]
    assert model.outlier_label_ == "outsider"
    right = ~model.is_outlier(X) & (model.estimator_.predict(X) == (y > 0))
    assert model.score(X, y > 0) == pytest.approx(right.mean())


def test_unsigned_labels_without_room_for_minus_one_are_an_error():
    """Check that labels above 2**63 are named with the outlier label beside them."""
    X, y = clouds()
    with pytest.raises(
        ValueError, match=r"outlier_label=-1 and the classes, uint64 .*give"
    ):
        OpenSetClassifier(GaussianNB()).fit(X, 2**63 + y.astype(np.uint64))


def test_answers_of_objects():
    """Check that objects stay what they are."""
    answers = answers_of(np.array([1, "a"], dtype=object), "b")
    assert answers.tolist() == [1, "a", "b"]
