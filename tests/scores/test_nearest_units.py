"""Tests of distances in units of those between classes, and of scores taken as they are."""

import numpy as np
from numpy.testing import assert_allclose
from scipy.spatial.distance import cdist

from sk_center.scores import Combined, KNeighbors


def problem():
    """Return samples of three classes, their labels, and new samples."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 40)
    X = rng.normal(size=(120, 4)) + 3 * y[:, None]
    return X, y, rng.normal(size=(30, 4)) * 4


def test_unit_between_classes():
    """Check the unit, the median distance to the nearest sample of another class."""
    X, y, new = problem()
    away = cdist(X, X)
    away[y[:, None] == y] = np.inf
    unit = np.median(away.min(axis=1))
    for pooled in (False, True):
        plain = KNeighbors(1, pooled=pooled).fit(X, y)
        score = KNeighbors(1, pooled=pooled, unit="between").fit(X, y)
        assert_allclose(score.unit_, unit)
        assert_allclose(score.score_classes(new), plain.score_classes(new) / unit)
        assert_allclose(
            score.score_labels(new, y[:30]), plain.score_labels(new, y[:30]) / unit
        )


def test_unit_of_one_class():
    """Check that distances of a single class, or of equal samples, stay as they are."""
    X, y, _ = problem()
    assert KNeighbors(1, unit="between").fit(X, y * 0).unit_ == 1
    assert KNeighbors(1, unit="between").fit(X * 0, y).unit_ == 1


def test_scores_taken_as_they_are():
    """Check that a sum adds a score that is not standardized with its weight alone."""
    X, y, new = problem()
    first, second = KNeighbors(1), KNeighbors(1, pooled=True, unit="between")
    score = Combined(
        [first, second], how="sum", weights=[1.0, 2.0], standardize=[True, False]
    ).fit(X, y)
    scaled = Combined([first], how="sum").fit(X, y).score_classes(new)
    expected = scaled + 2 * second.fit(X, y).score_classes(new)
    assert_allclose(score.score_classes(new), expected)
    assert score.medians_[1] == 0
    assert score.spreads_[1] == 1
