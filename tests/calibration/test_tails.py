"""Tests of the calibrations that assume Gaussian features or Weibull tails."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import quad
from scipy.stats import binom, chi2, gamma, kstest, weibull_min

from sk_center.calibration import (
    ConformalCalibration,
    GaussianCalibration,
    WeibullCalibration,
)
from sk_center.calibration.tails import gamma_shape, weibull_shape

KINDS = [GaussianCalibration, WeibullCalibration]


def calibrated(kind, parts, rates, **params):
    """Return a calibration on one array of scores for each group."""
    groups = np.repeat(np.arange(len(parts)), [len(scores) for scores in parts])
    return kind().fit(np.concatenate(parts), groups, rates, **params)


def p_values_of(calibration, scores):
    """Return the p-values of a column of scores for each group."""
    return calibration.p_values(scores, np.arange(scores.shape[1]))


def distances(rng, sizes, n_features=8, scales=None):
    """Return scores of Gaussian samples: minus their distances to the center."""
    scales = np.ones(len(sizes)) if scales is None else scales
    return [
        -scale * np.linalg.norm(rng.normal(size=(n, n_features)), axis=1)
        for n, scale in zip(sizes, scales)
    ]


@pytest.mark.parametrize("shape", [0.5, 1.0, 4.0, 60.0])
@pytest.mark.parametrize("size", [2, 3, 200])
def test_gamma_shape_of_arrays_of_any_size(size, shape):
    """Check the shape against the truth, from many arrays each of its own scale."""
    rng = np.random.default_rng(0)
    scales = rng.uniform(0.1, 10, size=6000 // size)
    parts = [rng.gamma(shape, scale, size) for scale in scales]
    # The joint likelihood would miss it by a factor of two where arrays hold two samples.
    assert_allclose(gamma_shape(parts), shape, rtol=0.1)


def test_gamma_shape_of_one_array():
    """Check that of one large array the shape is that of scipy's likelihood."""
    sample = gamma(3.0, scale=2.0).rvs(5000, random_state=0)
    expected, _, _ = gamma.fit(sample, floc=0)
    assert_allclose(gamma_shape([sample]), expected, rtol=1e-3)


@pytest.mark.parametrize("shape", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("size", [2, 5, 200])
def test_weibull_shape_of_arrays_of_any_size(size, shape):
    """Check the shape against the truth, from many arrays each of its own scale."""
    rng = np.random.default_rng(0)
    scales = rng.uniform(0.1, 10, size=6000 // size)
    parts = [scale * rng.weibull(shape, size) for scale in scales]
    assert_allclose(weibull_shape(parts), shape, rtol=0.1)


def test_weibull_shape_of_one_array():
    """Check that of one large array the shape is that of scipy's likelihood."""
    sample = weibull_min(1.7, scale=4.0).rvs(5000, random_state=0)
    expected, _, _ = weibull_min.fit(sample, floc=0)
    assert_allclose(weibull_shape([sample]), expected, rtol=1e-3)


def test_shapes_of_samples_that_tell_nothing():
    """Check the shapes of single samples, of none and of equal ones."""
    assert gamma_shape([np.array([2.0]), np.array([])]) == 0.5
    assert weibull_shape([np.array([2.0]), np.array([]), np.zeros(5)]) == 1.0
    assert gamma_shape([np.ones(9)]) == 1e6
    assert_allclose(weibull_shape([np.ones(9)]), 10, rtol=1e-4)
    assert gamma_shape([np.array([0.0, 0.0, 0.0, 1.0]), np.zeros(3)]) > 0


def test_gaussian_p_values_are_those_of_the_predictive_distribution():
    """Check p-values against the chi-square law averaged over what the scale may be.

    Given n squared distances of mean m and the prior 1 / scale, the scale is m n over a
    chi-square variable of n nu degrees of freedom.
    """
    rng = np.random.default_rng(0)
    parts = distances(rng, (6, 40), scales=(1.0, 5.0))
    calibration = calibrated(GaussianCalibration, parts, [0.05, 0.05])
    nu = calibration.degrees_of_freedom_
    assert 4 < nu < 16  # of eight features
    scores = -np.array([[0.5, 3.0], [4.0, 20.0], [7.0, 40.0]])
    found = p_values_of(calibration, scores)
    for k, own in enumerate(parts):
        n, mean = len(own), (own**2).mean()
        for score, p in zip(scores[:, k], found[:, k]):

            def at(q, score=score, n=n, mean=mean):
                return chi2.sf(score**2 * q / (n * mean), nu) * chi2.pdf(q, n * nu)

            assert_allclose(p, quad(at, 0, 5 * n * nu, limit=500, epsabs=0)[0], rtol=1e-6)


def test_gaussian_p_values_of_many_samples():
    """Check that they are the tail of the chi-square law of the Mahalanobis distance."""
    rng = np.random.default_rng(0)
    calibration = calibrated(GaussianCalibration, distances(rng, [50_000] * 2), [0.05] * 2)
    assert_allclose(calibration.degrees_of_freedom_, 8, rtol=0.02)
    away = np.array([[1.0, 2.0], [3.0, 4.0], [4.5, 5.0]])
    assert_allclose(p_values_of(calibration, -away), chi2.sf(away**2, 8), rtol=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_weibull_and_gaussian_tails_are_uniform_where_they_are_right(kind):
    """Check that p-values of new samples are uniform where the assumption is right."""
    rng = np.random.default_rng(0)
    p_values = []
    for _ in range(100):
        sizes = [6] * 40
        if kind is GaussianCalibration:
            own, new = distances(rng, sizes), distances(rng, [1] * 40)
        else:
            own = [-rng.exponential(size=n) for n in sizes]
            new = [-rng.exponential(size=1) for _ in sizes]
        calibration = calibrated(kind, own, [0.05] * 40)
        p_values.append(np.diag(p_values_of(calibration, np.tile(np.hstack(new), (40, 1)))))
    p_values = np.concatenate(p_values)
    if kind is WeibullCalibration:  # above the tail they are ranks
        tail = 4 / 7
        low = p_values[p_values < tail]
        assert abs(len(low) / len(p_values) - tail) < 4 * np.sqrt(tail / len(p_values))
        p_values = low / tail
    assert kstest(p_values, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [3, 8, 30])
def test_false_rejections_of_few_samples(kind, size):
    """Check a bound that ranks could not give: 1 % from three samples of a class."""
    rng = np.random.default_rng(size)
    rejected, n_draws, n_classes = np.zeros(2, int), 200, 20
    rates = np.array([0.01, 0.05])
    for _ in range(n_draws):
        if kind is GaussianCalibration:
            own, new = distances(rng, [size] * n_classes), distances(rng, [1] * n_classes)
        else:
            own = [-rng.exponential(size=size) for _ in range(n_classes)]
            new = [-rng.exponential(size=1) for _ in range(n_classes)]
        calibration = calibrated(kind, own, [0.05] * n_classes)
        tiled = np.tile(np.hstack(new), (n_classes, 1))
        p_values = np.diag(p_values_of(calibration, tiled))
        rejected += (p_values[:, None] <= rates).sum(axis=0)
    # The shape is estimated, so that the distribution is not exact: a tenth is left for it.
    n_new = n_draws * n_classes
    assert (rejected >= binom.ppf(1e-4, n_new, 0.9 * rates)).all()
    assert (rejected <= binom.ppf(1 - 1e-4, n_new, 1.1 * rates)).all()


@pytest.mark.parametrize("sizes", [(2, 2), (5, 9), (40, 300), (1000, 7)])
def test_weibull_p_values_by_hand(sizes):
    """Check ranks above the tail and the formula below it, where they join."""
    rng = np.random.default_rng(0)
    parts = [np.sort(rng.normal(size=n)) for n in sizes]
    calibration = calibrated(WeibullCalibration, parts, [0.05, 0.05])
    c = calibration.shape_
    grid = np.linspace(-8, 3, 200)
    found = p_values_of(calibration, np.column_stack([grid, grid]))
    for k, own in enumerate(parts):
        n = len(own)
        m = min(20, n // 2)
        u, tail = own[m], own[m] - own[:m]
        for score, p in zip(grid, found[:, k]):
            if score >= u:
                expected = (1 + sum(own <= score)) / (n + 1)
            else:
                beyond = (u - score) ** c / sum(tail**c)
                expected = (m + 1) / (n + 1) * (1 + beyond) ** -m
            assert_allclose(p, expected, rtol=1e-9)
    assert (np.diff(found, axis=0) >= 0).all()
    assert (found[0] < 1 / (1 + np.array(sizes))).any()  # beyond the smallest rank


def test_weibull_is_conformal_where_samples_are_many():
    """Check that thresholds above the tail are those of the ranks."""
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=n) for n in (500, 900)]
    found = calibrated(WeibullCalibration, parts, [0.05, 0.1])
    expected = calibrated(ConformalCalibration, parts, [0.05, 0.1])
    assert_array_equal(found.score_thresholds_, expected.score_thresholds_)
    scores = rng.uniform(-1.3, 3, size=(50, 2))
    assert_array_equal(p_values_of(found, scores), p_values_of(expected, scores))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rate", [1e-4, 0.01, 0.05, 0.3, 0.9])
def test_thresholds_in_p_values_and_in_scores_agree(kind, rate):
    """Check that a sample is rejected below the score threshold, and only there."""
    rng = np.random.default_rng(0)
    parts = distances(rng, (3, 20, 150), scales=(1, 2, 3))
    calibration = calibrated(kind, parts, [rate] * 3)
    for k, threshold in enumerate(calibration.score_thresholds_):
        around = threshold * np.array([1 + 1e-6, 1 - 1e-6])
        p_values = p_values_of(calibration, np.repeat(around[:, None], 3, axis=1))[:, k]
        assert p_values[0] <= rate < p_values[1]
    assert_array_equal(calibration.thresholds_, [rate] * 3)


@pytest.mark.parametrize("kind", KINDS)
def test_extreme_scores(kind):
    """Check that no p-value is 0 or NaN, and a rate of 0 rejects nothing."""
    parts = distances(np.random.default_rng(0), (10, 10, 0))
    calibration = calibrated(kind, parts, [0.05, 0, 0])
    extreme = np.repeat([[-1e300], [-np.inf], [np.nan], [-0.0]], 3, axis=1)
    p_values = p_values_of(calibration, extreme)
    assert (p_values[:3, :2] > 0).all()
    assert (p_values[:3, :2] < 1e-9).all()
    assert (p_values[:, 2] == 1).all()  # no samples
    assert (p_values[3] > 0.5).all()
    assert_array_equal(
        p_values > calibration.thresholds_, [[False, True, True]] * 3 + [[True] * 3]
    )
    assert_array_equal(calibration.score_thresholds_[1:], [-np.inf] * 2)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_scores(kind):
    """Check that groups of scores that do not differ get the p-values of a step."""
    calibration = calibrated(kind, [np.zeros(30), np.full(30, -2.0)], [0.05, 0.05])
    p_values = p_values_of(calibration, np.array([[0.0, -2.0], [-1.0, -3.0]]))
    assert (p_values[0] > 0.05).all()
    assert (p_values[1] <= 0.05).all()


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_distribution_does_not_take(kind):
    """Check the errors for a confidence and for scores that are no numbers."""
    parts = distances(np.random.default_rng(0), (40, 30))
    with pytest.raises(ValueError, match=r"confidence=0.9 takes calibration='conform"):
        calibrated(kind, parts, [0.05] * 2, confidence=0.9)
    parts[0][3] = np.nan
    with pytest.raises(ValueError, match="takes finite scores of the calibration"):
        calibrated(kind, parts, [0.05] * 2)


@pytest.mark.parametrize("kind", KINDS)
def test_calibration_travels(kind):
    """Check that a pickled calibration gives the same p-values."""
    rng = np.random.default_rng(0)
    calibration = calibrated(kind, distances(rng, (10, 20)), [0.05] * 2)
    scores = -rng.uniform(0, 9, size=(30, 2))
    copy = pickle.loads(pickle.dumps(calibration))
    assert_array_equal(p_values_of(copy, scores), p_values_of(calibration, scores))
