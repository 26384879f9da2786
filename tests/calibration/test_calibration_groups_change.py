"""Tests of calibrations that get further groups or lose some."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import f as fisher_f

from sk_center.calibration import (
    ConformalCalibration,
    GaussianCalibration,
    WeibullCalibration,
)

RATES = [0.05, 0.1]


def fitted(calibration, seed=0):
    """Return a calibration of two groups, and the scores of a third."""
    rng = np.random.default_rng(seed)
    scores, groups = -rng.gamma(2.0, size=100), np.repeat([0, 1], [60, 40])
    return calibration.fit(scores, groups, RATES), np.sort(-rng.gamma(3.0, size=30))


def lowered(scores):
    """Return scores beside a tolerance that they were lowered by."""
    return np.column_stack([scores, np.full(len(scores), 1e-9)])


def answers(calibration, group):
    """Return p-values of one group, and its thresholds."""
    at = np.linspace(-20.0, 1.0, 50)
    p = calibration.p_values(at, np.array([group]))
    return p, calibration.thresholds_[group], calibration.score_thresholds_[group]


@pytest.mark.parametrize(
    "kind", [ConformalCalibration, GaussianCalibration, WeibullCalibration]
)
def test_former_groups_stay_to_the_bit(kind):
    """Check that further groups change nothing of the former ones, and come back out."""
    former, new = fitted(kind())
    more = former.with_groups([lowered(new), lowered(new[:0])], [0.2, 0.1])
    for group in (0, 1):
        for found, expected in zip(answers(more, group), answers(former, group)):
            assert_array_equal(found, expected)
    assert_array_equal(more.n_samples_, [60, 40, 30, 0])
    turned = more.take(np.array([2, 0]))
    for found, expected in zip(answers(turned, 1), answers(former, 0)):
        assert_array_equal(found, expected)
    assert_array_equal(turned.tolerance_, np.repeat([1e-9, 0.0], [30, 60]))
    assert len(former.n_samples_) == 2


def test_further_conformal_group_is_as_fitted():
    """Check a further group against a calibration fitted with all groups at once."""
    former, new = fitted(ConformalCalibration())
    more = former.with_groups([lowered(new)], [0.2])
    groups = np.repeat([0, 1, 2], [60, 40, 30])
    expected = ConformalCalibration().fit(
        np.concatenate([former.scores_, new]), groups, [*RATES, 0.2]
    )
    for name in ("scores_", "n_samples_", "thresholds_", "score_thresholds_"):
        assert_array_equal(getattr(more, name), getattr(expected, name))


def test_further_gaussian_group_keeps_the_degrees_of_freedom():
    """Check p-values of a further group against the F distribution of scipy."""
    former, new = fitted(GaussianCalibration())
    more = former.with_groups([lowered(new[:3])], [0.1])
    nu = former.degrees_of_freedom_
    expected = fisher_f.sf(16.0 / np.square(new[:3]).mean(), nu, 3 * nu)
    assert_allclose(more.p_values(np.array([-4.0]), np.array([2])), expected, rtol=1e-12)
