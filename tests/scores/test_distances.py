"""Tests of distances to centers."""

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist, mahalanobis
from scipy.stats import ortho_group
from score_problems import (
    CLOSE,
    FEATURE_SCORES,
    N_FEATURES,
    REFERENCES,
    random_problem,
    reference_distance,
    reference_mahalanobis,
    reference_means,
)
from sklearn.base import clone
from sklearn.covariance import EmpiricalCovariance, LedoitWolf

from sk_center.scores import (
    CenterDistance,
    Mahalanobis,
)

pytestmark = pytest.mark.filterwarnings("ignore:The relative Mahalanobis distance")


@pytest.mark.parametrize("seed", range(3))
def test_center_distance(seed):
    """Check minus the distances to the class means against scipy."""
    X, y, new = random_problem(seed)
    score = CenterDistance().fit(X, y)
    assert_allclose(score.centers_, reference_means(X, y), **CLOSE)
    assert_allclose(score.score_classes(new), reference_distance(X, y, new), **CLOSE)


@pytest.mark.parametrize(
    ("n_samples", "n_features"),
    [(60, 4), (500, 4), (9, 30), (4, 6), (60, 1)],
    ids=["some", "many", "more features than samples", "least samples", "one feature"],
)
@pytest.mark.parametrize("seed", range(3))
def test_mahalanobis(seed, n_samples, n_features):
    """Check minus the distances against scipy, with scikit-learn's shrunk covariance."""
    X, y, new = random_problem(seed, n_samples, n_features)
    score = Mahalanobis().fit(X, y)
    deviations = X - reference_means(X, y)[y]
    shrunk = LedoitWolf(assume_centered=True).fit(deviations).covariance_
    assert_allclose(score.means_, reference_means(X, y), **CLOSE)
    assert_allclose(score.covariance_, shrunk, **CLOSE)
    assert_allclose(score.score_classes(new), reference_mahalanobis(X, y, new), **CLOSE)


def test_mahalanobis_of_large_sample():
    """Check that with many samples the shape of the clouds is what divides."""
    rng = np.random.default_rng(0)
    covariance = np.array([[4.0, 1.5, 0], [1.5, 1.0, 0.2], [0, 0.2, 9.0]])
    y = np.arange(40_000) % 2
    X = rng.multivariate_normal(np.zeros(3), covariance, size=len(y)) + 50 * y[:, None]
    new = rng.normal(size=(5, 3)) * 5
    inverse = np.linalg.inv(covariance)
    expected = [
        [-mahalanobis(x, mean, inverse) for mean in (np.zeros(3), np.full(3, 50))]
        for x in new
    ]
    # Means and variances of 40,000 samples are known to one per cent or so, which
    # counts whole for a distance of the size of one.
    actual = Mahalanobis().fit(X, y).score_classes(new)
    assert_allclose(actual, expected, rtol=0.02, atol=0.02)


def test_mahalanobis_covariance_is_that_within_classes():
    """Check that moving a whole class apart changes the scores of no other class."""
    X, y, new = random_problem()
    score = Mahalanobis().fit(X, y)
    apart = Mahalanobis().fit(X + 100 * (y == 1)[:, None], y)
    assert_allclose(apart.covariance_, score.covariance_, **CLOSE)
    others = [0, 2]
    assert_allclose(
        apart.score_classes(new)[:, others], score.score_classes(new)[:, others], **CLOSE
    )


@pytest.mark.parametrize("name", ["mahalanobis", "center_distance", "combined"])
def test_rotation_and_shift_change_nothing(name):
    """Check that the scores do not depend on the axes or on the origin."""
    X, y, new = random_problem()
    axes = ortho_group.rvs(N_FEATURES, random_state=0)
    shift = np.arange(N_FEATURES)
    score, moved = clone(FEATURE_SCORES[name]), clone(FEATURE_SCORES[name])
    expected = score.fit(X, y).score_classes(new)
    moved.fit(X @ axes + shift, y)
    assert_allclose(moved.score_classes(new @ axes + shift), expected, **CLOSE)


@pytest.mark.parametrize(
    ("name", "factor"), [("mahalanobis", 1), ("combined", 1), ("center_distance", 1000)]
)
def test_unit_of_features(name, factor):
    """Check that only the center distance is in the unit of the features."""
    X, y, new = random_problem()
    score, scaled = clone(FEATURE_SCORES[name]), clone(FEATURE_SCORES[name])
    expected = factor * score.fit(X, y).score_classes(new)
    scaled.fit(1000 * X, y)
    assert_allclose(scaled.score_classes(1000 * new), expected, **CLOSE)


@pytest.mark.parametrize("name", FEATURE_SCORES)
def test_far_from_the_origin(name):
    """Check that features around a million do not cost the accuracy of the scores."""
    # On a grid of 1/64, moving by 2^20 rounds nothing: the data are the same.
    X, y, new = random_problem()
    X, new = np.round(64 * X) / 64, np.round(64 * new) / 64
    score = clone(FEATURE_SCORES[name]).fit(X + 2**20, y)
    # The means are rounded to 2^20 * 2^-53, 1e-10.
    expected = REFERENCES[name](X, y, new)
    assert_allclose(score.score_classes(new + 2**20), expected, rtol=1e-8, atol=1e-8)


def test_close_to_a_far_center():
    """Check a small distance far out, where |x|^2 + |c|^2 - 2xc has no digit right."""
    centers = 2.0**20 + np.array([[0.0, 0, 0], [8, 8, 8]])
    near, far_below, far_above = 2.0**-10, 8 - 2.0**-10, 8 + 2.0**-10
    score = CenterDistance(centers).fit(centers, [0, 1])
    expected = -np.sqrt(3) * np.array([[near, far_below], [far_above, near]])
    assert_allclose(score.score_classes(centers + near), expected, rtol=1e-14)


@pytest.mark.parametrize("name", FEATURE_SCORES)
def test_constant_feature(name):
    """Check that a feature that never varies breaks no score."""
    X, y, new = random_problem()
    X[:, 2] = 5
    score = clone(FEATURE_SCORES[name]).fit(X, y)
    assert_allclose(score.score_classes(new), REFERENCES[name](X, y, new), **CLOSE)


def test_constant_feature_that_is_not_shrunk():
    """Check that a variance of exactly zero gives large distances, but finite ones."""
    # Deviations of one and minus one make Ledoit and Wolf's shrinkage exactly zero.
    X, y = np.array([[-1.0, 5], [1, 5], [9, 5], [11, 5]]), [0, 0, 1, 1]
    score = Mahalanobis().fit(X, y)
    assert_array_equal(score.covariance_, [[1, 0], [0, 0]])
    within = score.score_classes([[0.0, 5], [1, 5], [7, 5]])
    assert_allclose(within, [[0, -10], [-1, -9], [-7, -3]], **CLOSE)
    off = score.score_classes([[0.0, 5.001], [0, 6], [0, -1e6]])
    assert np.isfinite(off).all()
    # Off the line on which all samples lie, farther is less typical, and any of it is
    # less than what the feature that varies can do.
    assert (np.diff(off, axis=0) < 0).all()
    assert (off < -1000).all()


@pytest.mark.parametrize("name", ["center_distance", "mahalanobis", "combined"])
def test_one_sample_in_one_class(name):
    """Check that a class of one sample among larger ones takes part."""
    X, y, new = random_problem()
    keep = np.append(np.flatnonzero(y != 1), np.flatnonzero(y == 1)[:1])
    X, y = X[keep], y[keep]
    score = clone(FEATURE_SCORES[name]).fit(X, y)
    assert_allclose(score.score_classes(new), REFERENCES[name](X, y, new), **CLOSE)


@pytest.mark.parametrize("name", FEATURE_SCORES)
def test_single_class(name):
    """Check that one class alone has one column."""
    X, _, new = random_problem()
    y = np.zeros(len(X), int)
    score = clone(FEATURE_SCORES[name]).fit(X, y)
    assert_allclose(score.score_classes(new), REFERENCES[name](X, y, new), **CLOSE)


@pytest.mark.parametrize("kind", [np.array, np.ndarray.tolist, np.float32])
def test_given_centers(kind):
    """Check that given centers are taken as they are, in the order of sorted classes."""
    X, y, new = random_problem()
    centers = np.arange(12.0).reshape(3, 4)
    score = CenterDistance(kind(centers)).fit(X, np.array(["cat", "ant", "bee"])[y])
    assert_array_equal(score.centers_, centers)
    assert score.centers_.dtype == np.float64
    assert_array_equal(score.classes_, ["ant", "bee", "cat"])
    assert_allclose(score.score_classes(new), -cdist(new, centers), **CLOSE)


@pytest.mark.parametrize(
    ("centers", "shape"),
    [(np.zeros((2, 4)), r"\(2, 4\)"), (np.zeros((3, 5)), r"\(3, 5\)")],
)
def test_given_centers_of_wrong_shape_raise(centers, shape):
    """Check that the error names centers, the shape they must have and theirs."""
    X, y, _ = random_problem()
    message = rf"centers must .* \(n_classes, n_columns\) = \(3, 4\); got {shape}"
    with pytest.raises(ValueError, match=message):
        CenterDistance(centers).fit(X, y)


def test_given_centers_tell_of_a_class_without_samples():
    """Check that distances to a given center need no sample."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), np.repeat([0, 2], 20)
    centers = rng.normal(size=(3, 3))
    new = rng.normal(size=(5, 3))
    found = CenterDistance(centers).fit(X, y, classes=range(3)).score_classes(new)
    assert_allclose(found, -cdist(new, centers), **CLOSE)
    # Nothing is known of a center that is not finite.
    centers[1] = np.inf
    found = CenterDistance(centers).fit(X, y, classes=range(3)).score_classes(new)
    assert (found[:, 1] == -np.inf).all()
    assert np.isfinite(found[:, [0, 2]]).all()


def test_mahalanobis_without_variance_within_classes():
    """Check that classes without spread still tell near from far."""
    X = np.array([[0.0, 1], [2, 3], [9, 9]])
    score = Mahalanobis().fit(X, [0, 1, 2])
    classes = score.score_classes(X + 0.5)
    assert np.isfinite(classes).all()
    assert_array_equal(classes.argmax(axis=1), [0, 1, 2])


COVARIANCES = {"ledoit_wolf": LedoitWolf, None: EmpiricalCovariance}


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("shrinkage", COVARIANCES)
@pytest.mark.parametrize("covariance", ["tied", "class"])
def test_mahalanobis_options(covariance, shrinkage, relative):
    """Check each covariance, shrinkage and the relative distance against scipy."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=240)
    widths = np.array([[1, 4, 2], [3, 1, 1], [2, 2, 0.5]])
    X = 5 * np.eye(3)[y] + rng.normal(size=(240, 3)) * widths[y]
    new = rng.normal(size=(20, 3)) * 6
    means = [X[y == k].mean(axis=0) for k in range(3)]

    def inverse(deviations):
        estimator = COVARIANCES[shrinkage](assume_centered=True)
        return np.linalg.inv(estimator.fit(deviations).covariance_)

    tied = inverse(X - np.array(means)[y])
    own = [inverse(X[y == k] - means[k]) for k in range(3)]
    background = inverse(X - X.mean(axis=0))
    expected = np.empty((20, 3))
    for i, k in np.ndindex(20, 3):
        d = mahalanobis(new[i], means[k], tied if covariance == "tied" else own[k])
        d_0 = mahalanobis(new[i], X.mean(axis=0), background)
        expected[i, k] = d_0**2 - d**2 if relative else -d
    score = Mahalanobis(covariance, shrinkage=shrinkage, relative=relative).fit(X, y)
    assert_allclose(score.score_classes(new), expected, rtol=1e-9, atol=1e-9)


def test_joblib_keeps_a_tied_covariance_once(tmp_path):
    """Check that a file does not grow by a matrix for each class."""
    sizes = []
    for n_classes in (2, 50):
        X = np.random.default_rng(0).normal(size=(200, 40))
        score = Mahalanobis().fit(X, np.arange(200) % n_classes)
        joblib.dump(score, tmp_path / "score.joblib")
        sizes.append((tmp_path / "score.joblib").stat().st_size)
    # The means, as they are and whitened, and names of classes.
    assert sizes[1] - sizes[0] < 2 * 48 * 40 * 8 + 2000


@pytest.mark.parametrize("relative", [False, True])
def test_mahalanobis_of_length_one(relative):
    """Check that normalize scores samples of length one, by scipy, and one of zeros."""
    X, y, new = random_problem()
    new[0] = 0
    score = Mahalanobis(normalize=True, relative=relative, shrinkage=None)
    if relative:
        with pytest.warns(UserWarning, match="few directions"):
            score.fit(X, y)
    else:
        score.fit(X, y)
    X = X / np.linalg.norm(X, axis=1)[:, None]
    new = new / np.maximum(np.linalg.norm(new, axis=1), 1e-300)[:, None]
    means = reference_means(X, y)
    tied = np.linalg.inv((X - means[y]).T @ (X - means[y]) / len(X))
    expected = -cdist(new, means, "mahalanobis", VI=tied)
    if relative:
        background = np.linalg.inv(np.cov(X.T, bias=True))
        away = cdist(new, X.mean(axis=0)[None], "mahalanobis", VI=background)
        expected = away**2 - expected**2
    assert_allclose(score.score_classes(new), expected, rtol=1e-8)


@pytest.mark.parametrize("shrinkage", COVARIANCES)
def test_covariance_in_blocks(shrinkage, monkeypatch):
    """Check that many blocks give the covariance of scikit-learn, also from float32."""
    monkeypatch.setattr("sk_center.scores.rows.BLOCK", 100)
    X, y, _ = random_problem(n_samples=500)
    X = X.astype(np.float32)
    score = Mahalanobis(shrinkage=shrinkage).fit(X, y)
    deviations = X.astype(np.float64) - reference_means(X.astype(np.float64), y)[y]
    expected = COVARIANCES[shrinkage](assume_centered=True).fit(deviations).covariance_
    assert_allclose(score.covariance_, expected, rtol=1e-9)
