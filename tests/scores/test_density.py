"""Tests of densities."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from score_problems import N_CLASSES, random_problem
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity, LocalOutlierFactor
from sklearn.svm import OneClassSVM

from sk_center.scores import (
    CenterDistance,
    Combined,
    InputDensity,
    Mahalanobis,
    PerClass,
)
from sk_center.scores.density import spreads_of
from sk_center.scores.rows import BLOCK


def test_one_sample_per_class():
    """Check that a class of one sample has it as its center."""
    X = np.array([[0.0, 1], [2, 3], [9, 9]])
    score = CenterDistance().fit(X, [0, 1, 2])
    assert_array_equal(score.centers_, X)
    assert_array_equal(score.score_samples(X), [0, 0, 0])


@pytest.mark.parametrize(
    "estimator",
    [
        GaussianMixture(2, random_state=0),
        KernelDensity(bandwidth=0.7),
        IsolationForest(n_estimators=20, random_state=0),
        OneClassSVM(),
        LocalOutlierFactor(10, novelty=True),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_per_class(estimator):
    """Check that each class has an estimator of its own, and all are as fitted apart."""
    rng = np.random.default_rng(0)
    X, new = rng.normal(size=(90, 3)), rng.normal(size=(10, 3))
    y = np.arange(90) % 3
    score = PerClass(estimator).fit(X, np.array(list("abc"))[y])
    expected = [clone(estimator).fit(X[y == k]).score_samples(new) for k in range(3)]
    assert_allclose(score.score_classes(new), np.transpose(expected))
    assert not hasattr(estimator, "n_features_in_")


def mixture_of(score, k, X):
    """Return weights, means and covariances of a class, in the units of the inputs X."""
    own = score.components_ == k
    middle, spreads = X.mean(axis=0), spreads_of(X)
    precisions = score.factors_[own] @ score.factors_[own].transpose(0, 2, 1)
    covariances = np.linalg.inv(precisions) * np.outer(spreads, spreads)
    return score.weights_[own], middle + score.means_[own] * spreads, covariances


def reference_density(mixture, X):
    """Return the log density of a mixture, by scipy's normal distributions."""
    parts = [
        np.log(weight) + multivariate_normal(mean, covariance).logpdf(X)
        for weight, mean, covariance in zip(*mixture)
    ]
    return logsumexp(parts, axis=0)


@pytest.mark.parametrize("pooled", [False, True])
def test_input_density_in_blocks_and_alone(pooled):
    """Check densities of classes with 1 to 4 components, in several blocks and alone."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2, 3], [60, 9, 20, 33])
    X = rng.normal(size=(len(y), 3)) + 4 * rng.integers(0, 2, size=(len(y), 1)) + y[:, None]
    new = np.concatenate([X, 9 * rng.normal(size=(40_000, 3))])
    score = InputDensity(4, pooled=pooled).fit(X, y)
    assert len(set(np.bincount(score.components_))) == 4
    assert len(new) * len(score.components_) > BLOCK
    laws = [mixture_of(score, k, X) for k in range(4)]
    expected = np.transpose([reference_density(law, new) for law in laws])
    expected = expected.max(axis=1, keepdims=True) if pooled else expected
    found = score.score_classes(new)
    assert_allclose(found, np.broadcast_to(expected, found.shape))
    alone = np.concatenate([score.score_classes(row[None]) for row in new[::999]])
    assert_allclose(alone, found[::999], rtol=1e-12)


def test_input_density_of_few_samples():
    """Check that a class of few samples has one normal distribution, made rounder."""
    X, y, new = random_problem(n_samples=60)
    n_inputs = X.shape[1]
    score = InputDensity(shrinkage=0.3).fit(X, y)
    found = score.score_classes(new)
    for k in range(N_CLASSES):
        group = X[y == k]
        ridge = 0.3 * n_inputs / len(group) * np.diag(X.var(axis=0))
        covariance = np.cov(group.T, bias=True) + ridge
        law = multivariate_normal(group.mean(axis=0), covariance)
        assert_allclose(found[:, k], law.logpdf(new), rtol=1e-6)


def test_input_density_of_many_samples():
    """Check number, ridge and density of the components of classes with many samples."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [600, 45, 17])  # of two inputs: 3 * 2 samples a component
    middles = rng.choice(10.0 * np.array([[-1, -1], [1, 1], [1, -1]]), size=len(y))
    X, new = middles + rng.normal(size=(len(y), 2)), rng.normal(size=(20, 2))
    score = InputDensity(max_components=5).fit(X, y)
    found = score.score_classes(new)
    for k, n_components in enumerate([5, 5, 2]):
        mixture = mixture_of(score, k, X)
        assert len(mixture[0]) == n_components
        assert_allclose(found[:, k], reference_density(mixture, new), rtol=1e-9)
        ridge = 0.05 * 2 * n_components / (y == k).sum()
        alone = GaussianMixture(
            n_components, reg_covar=ridge, max_iter=1000, random_state=0
        ).fit((X[y == k] - X.mean(axis=0)) / X.std(axis=0))
        assert_allclose(score.means_[score.components_ == k], alone.means_, rtol=1e-9)
    # Three clouds in a class are found as three.
    assert len({tuple(np.sign(mean)) for mean in mixture_of(score, 0, X)[1]}) == 3


@pytest.mark.parametrize("n_samples", [60, 600], ids=["one component", "several"])
@pytest.mark.parametrize("zero", [0.0, 1e4])
@pytest.mark.parametrize("scale", [1e-3, 1e4, (1e-9, 1e-2, 1.0, 1e6, 1e12)])
def test_input_density_has_no_unit(scale, zero, n_samples):
    """Check that a change of units and zeros of inputs adds the same to all scores."""
    X, y, new = random_problem(n_samples=n_samples)
    scale = np.resize(scale, X.shape[1])
    expected = InputDensity().fit(X, y).score_classes(new) - np.log(scale).sum()
    found = InputDensity().fit(scale * (X + zero), y).score_classes(scale * (new + zero))
    assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("unit", [1 / 16, 1.0, 255.0])
def test_input_density_of_pixels(unit):
    """Check that inputs of which most have one range are all measured alike."""
    rng = np.random.default_rng(0)
    y = np.arange(120) % 3
    X = rng.integers(0, 17, size=(120, 6)).astype(float)
    X[:, 3] = rng.integers(0, 3, size=120)  # a pixel that is seldom black,
    X[:, 4] = 7  # one that never changes,
    X[:, 5] *= 100  # and what is no pixel
    X[:3, :3], X[3:6, :3] = 0, 16

    def assert_ridge(variances):
        score = InputDensity(max_components=1).fit(unit * X, y)
        for k in range(3):
            group = unit * X[y == k]
            expected = np.cov(group.T, bias=True) + 0.05 * 6 / 40 * np.diag(variances)
            found = mixture_of(score, k, unit * X)[2][0]
            assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * unit**2)

    variances = np.var(unit * X, axis=0)
    assert_ridge([*np.full(5, variances[:5].mean()), variances[5]])
    # Two of five are no majority: each is measured by itself, a constant one by its unit.
    X[3, 2] = 18
    assert_ridge(np.where(np.arange(6) == 4, 1, np.var(unit * X, axis=0)))


@pytest.mark.filterwarnings("error")
def test_input_density_of_missing_values():
    """Check that a missing value counts as the mean of the class that is asked about."""
    X, y, new = random_problem()
    rng = np.random.default_rng(0)
    gaps = rng.random(X.shape) < 0.2
    gaps[y == 1, 0] = True  # a class that never has the first input,
    gaps[:, 1] = True  # and an input that no sample has
    X[gaps] = np.nan
    score = InputDensity(max_components=1).fit(X, y)
    overall = np.append(np.nanmean(X[:, :1], axis=0), 0)
    for k in range(N_CLASSES):
        group = X[y == k].copy()
        means = np.nanmean(group[:, 2:], axis=0)
        first = overall[0] if k == 1 else np.nanmean(group[:, 0])
        means = np.concatenate([[first], overall[1:], means])
        holes = rng.random(new.shape) < 0.3
        found = score.score_classes(np.where(holes, np.nan, new))[:, k]
        expected = score.score_classes(np.where(holes, means, new))[:, k]
        assert_allclose(found, expected, rtol=1e-9)
    # Others say what is wrong, also those that are combined with it.
    for other in (Mahalanobis(), Combined([InputDensity(), Mahalanobis()])):
        X = dict.fromkeys(("features", "inputs"), np.full((20, 4), np.nan))
        with pytest.raises(ValueError, match="contains NaN"):
            other.fit(X, np.arange(20) % 2)
    with pytest.raises(ValueError, match="infinity"):
        score.score_classes(np.where(new == new.max(), np.inf, new))


def test_input_density_of_huge_classes():
    """Check that some samples of a huge class make its density, and tell as much."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30_010, 3)), np.arange(30_010) < 30_000
    score = InputDensity(max_components=1).fit(X, y)
    _, (mean,), (covariance,) = mixture_of(score, 1, X)
    everything = X[y]
    assert np.abs(mean - everything.mean(axis=0)).max() > 1e-6
    error = 5 / np.sqrt(10_000)
    assert_allclose(mean, everything.mean(axis=0), atol=error)
    assert_allclose(covariance, np.cov(everything.T), atol=2 * error)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["one sample", "equal samples", "constant", "binary"])
def test_input_density_of_degenerate_classes(kind):
    """Check that classes without spread get a finite density that has its top there."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 4)), np.arange(200) % 2
    if kind == "one sample":
        y[:] = 0
        y[7] = 1
    elif kind == "equal samples":
        X[y == 1] = X[1]
    elif kind == "constant":
        X[:] = 3.0
    else:
        X = (X > 0).astype(float)
    scores = InputDensity().fit(X, y).score_classes(X)
    assert np.isfinite(scores).all()
    if kind != "binary":
        assert scores[y == 1, 1].min() == pytest.approx(scores[:, 1].max())


def test_input_density_finds_what_features_lost():
    """Check the purpose: features that mean nothing of what sets outsiders apart."""
    rng = np.random.default_rng(0)
    y = np.arange(400) % 2
    X = np.column_stack([4 * y + rng.normal(size=400), rng.normal(size=400)])
    new = np.column_stack([4 * y + rng.normal(size=400), 6 + rng.normal(size=400)])
    features, others = X[:, :1], new[:, :1]  # the network looks at the first column alone
    for score, kept, found in ((Mahalanobis(), features, others), (InputDensity(), X, new)):
        score.fit(kept, y)
        area = roc_auc_score(
            np.repeat([1, 0], 400),
            np.append(score.score_samples(kept), score.score_samples(found)),
        )
        assert area > 0.99 if kept is X else area < 0.6


@pytest.mark.parametrize("pooled", [False, True])
def test_input_density_in_principal_directions(pooled):
    """Check the density of directions by scikit-learn's PCA and mixtures."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 60)) + 3, np.arange(300) % 3
    X[:, :5] *= 5
    new = 2 * rng.normal(size=(20, 60)) + 3
    score = InputDensity(2, n_directions=4, pooled=pooled).fit(X, y)  # of length one
    X, new = (rows / np.linalg.norm(rows, axis=1)[:, None] for rows in (X, new))
    pca = PCA(4, whiten=True, random_state=0, svd_solver="randomized").fit(X)
    found = score.score_classes(3 * new)
    densities = []
    for k in range(3):
        ridge = 0.05 * 4 * 2 / 100
        mixture = GaussianMixture(2, reg_covar=ridge, max_iter=1000, random_state=0)
        mixture.fit(pca.transform(X)[y == k])
        densities.append(mixture.score_samples(pca.transform(new)))
    unit = np.log(pca.explained_variance_).sum() / 2
    expected = np.transpose(densities) - unit
    if pooled:
        expected = np.repeat(expected.max(axis=1)[:, None], 3, axis=1)
    assert_allclose(found, expected, rtol=1e-6)


def test_directions_of_wide_inputs():
    """Check the number of directions by default, and of few samples."""
    rng = np.random.default_rng(0)
    shapes = (200, 50, 50), (200, 51, 32), (40, 60, 10), (10, 60, 5)
    for n_samples, n_inputs, n_directions in shapes:
        X = rng.normal(size=(n_samples, n_inputs))
        score = InputDensity().fit(X, np.arange(n_samples) % 2)
        assert score.means_.shape[1] == n_directions
    # A rare class does not decide.
    score = InputDensity().fit(rng.normal(size=(203, 60)), [0] * 100 + [1] * 100 + [2] * 3)
    assert score.means_.shape[1] == 32


@pytest.mark.parametrize("n_directions", [None, 2])
def test_binary_inputs_are_left_out(n_directions):
    """Check that the density is that of the other inputs alone."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 4)), np.repeat([0, 1], 100)
    binary = rng.integers(0, 2, size=(200, 3)).astype(float)
    binary[:, 2] = 1
    params = {"n_directions": n_directions, "normalize": False}
    score = InputDensity(ignore_binary=True, **params).fit(np.hstack([X, binary]), y)
    other = InputDensity(**params).fit(X, y)
    found = score.score_classes(np.hstack([X, 1 - binary]))
    np.testing.assert_allclose(found, other.score_classes(X), rtol=1e-9)
    # Two columns are too few for a density, so all count.
    few = InputDensity(ignore_binary=True, **params).fit(np.hstack([X[:, :2], binary]), y)
    assert few.means_.shape[1] == (n_directions or 5)
    with pytest.raises(ValueError, match="ignore_binary must be False with normalize"):
        InputDensity(ignore_binary=True, normalize=True).fit(X, y)
