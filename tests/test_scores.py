"""Tests of the scores, against scipy, scikit-learn and formulas in numpy float64."""

import os
import pickle
import subprocess
import sys
from copy import deepcopy
from itertools import permutations

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist, mahalanobis
from scipy.special import logsumexp, softmax
from scipy.stats import multivariate_normal, ortho_group, weibull_min
from sklearn.base import clone
from sklearn.covariance import OAS, EmpiricalCovariance, LedoitWolf
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity, LocalOutlierFactor
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from sk_center.scores import (
    BaseScore,
    CenterDistance,
    Combined,
    Energy,
    FunctionScore,
    InputDensity,
    KNeighbors,
    Mahalanobis,
    MaxLogit,
    MaxSoftmax,
    OpenMax,
    PerClass,
    ViM,
)
from sk_center.scores.combined import held_out_folds
from sk_center.scores.density import spreads_of
from sk_center.scores.registry import SCORES
from sk_center.scores.rows import class_means

N_CLASSES, N_FEATURES, N_SAMPLES = 3, 4, 60
FEATURE_SCORES = {
    "center_distance": CenterDistance(),
    "mahalanobis": Mahalanobis(),
    "combined": Combined([CenterDistance(), Mahalanobis()]),
}
ALL_SCORES = {**FEATURE_SCORES, "max_softmax": MaxSoftmax()}
# float64 against float64, through the inverse of a well-conditioned matrix.
CLOSE = {"rtol": 1e-9, "atol": 1e-12}


def random_problem(seed=0, n_samples=N_SAMPLES, n_features=N_FEATURES):
    """Return correlated features of uneven spread, class indices and new samples."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(n_features, n_features)) * np.arange(1, n_features + 1)
    y = rng.permutation(np.arange(n_samples) % N_CLASSES)
    offsets = 5 * rng.normal(size=(N_CLASSES, n_features))
    X = rng.normal(size=(n_samples, n_features)) @ mixing + offsets[y]
    return X, y, 10 * rng.normal(size=(7, n_features))


def probabilities(seed=0, n_samples=N_SAMPLES):
    """Return rows that sum to one, and class indices."""
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(N_CLASSES), n_samples), np.arange(n_samples) % N_CLASSES


def problem_of(score):
    """Return training samples of the kind that a score consumes, labels, new samples."""
    if score.needs == ("features",):
        return random_problem()
    return *probabilities(), probabilities(1, 7)[0]


def reference_means(X, y):
    """Return the mean of each class, class by class and feature by feature."""
    return np.array(
        [
            [sum(x[d] for x, k in zip(X, y) if k == label) / sum(k == label for k in y)]
            for label in sorted(set(y))
            for d in range(X.shape[1])
        ]
    ).reshape(-1, X.shape[1])


def reference_mahalanobis(X, y, new):
    """Return minus the distances of scipy under the covariance of scikit-learn."""
    means = reference_means(X, y)
    labels = sorted(set(y))
    deviations = np.array([x - means[labels.index(k)] for x, k in zip(X, y)])
    inverse = np.linalg.inv(LedoitWolf(assume_centered=True).fit(deviations).covariance_)
    return -np.array([[mahalanobis(x, mean, inverse) for mean in means] for x in new])


def reference_distance(X, y, new):
    """Return minus the Euclidean distances to the class means, by scipy."""
    return -cdist(new, reference_means(X, y))


def interpolated(values, share):
    """Return a quantile by linear interpolation between the sorted values."""
    values = sorted(values)
    position = share * (len(values) - 1)
    low = int(position)
    high = min(low + 1, len(values) - 1)
    return values[low] + (position - low) * (values[high] - values[low])


def reference_scale(X, y, reference):
    """Return median and spread of the own scores of samples in folds held out in turn."""
    own = []
    for rows in held_out_folds(y, 3):
        others = [i for i in range(len(y)) if i not in rows]
        scores = reference(X[others], y[others], X[rows])
        own += [row[k] for row, k in zip(scores, y[rows])]
    return interpolated(own, 0.5), interpolated(own, 0.5) - interpolated(own, 0.05)


def reference_combined(X, y, new, references):
    """Return the least of several reference scores, each on its own scale."""
    scaled = []
    for reference in references:
        median, spread = reference_scale(X, y, reference)
        scaled.append((reference(X, y, new) - median) / spread)
    return np.min(scaled, axis=0)


REFERENCES = {
    "center_distance": reference_distance,
    "mahalanobis": reference_mahalanobis,
    "combined": lambda *problem: reference_combined(
        *problem, [reference_distance, reference_mahalanobis]
    ),
}


@pytest.mark.parametrize("seed", range(3))
def test_class_means(seed):
    """Check the means of classes of uneven size against sums in loops."""
    rng = np.random.default_rng(seed)
    y = np.append(rng.integers(4, size=30), np.arange(4))
    X = rng.normal(size=(34, 5))
    means = class_means(X, y, 5)
    assert_allclose(means[:4], reference_means(X, y), **CLOSE)
    assert np.isnan(means[4]).all()  # a class without samples


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


def test_mahalanobis_of_spherical_clouds_is_scaled_distance():
    """Check that where no direction is special only the unit of length changes."""
    # Within each class the deviations are plus and minus each axis: no covariance, and
    # a variance of 2 * 3^2 / 6 on each of three axes.
    deviations = 3 * np.concatenate([np.eye(3), -np.eye(3)])
    X = np.concatenate([deviations, deviations + np.array([10, 0, 20])])
    y = np.repeat([0, 1], 6)
    new = random_problem(n_features=3)[2]
    expected = CenterDistance().fit(X, y).score_classes(new) / np.sqrt(3)
    assert_allclose(Mahalanobis().fit(X, y).score_classes(new), expected, **CLOSE)


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


def test_max_softmax_is_the_probability():
    """Check that the scores are the probabilities, and the sample's the largest."""
    P, y = probabilities()
    score = MaxSoftmax().fit(P, y)
    new, _ = probabilities(1, 9)
    assert_array_equal(score.score_classes(new), new)
    assert_array_equal(score.score_samples(new), [max(row) for row in new])


@pytest.mark.parametrize("seed", range(3))
def test_combined(seed):
    """Check the least scaled score against the formula in plain numpy."""
    X, y, new = random_problem(seed)
    new = np.concatenate([new, X[:20]])
    score = Combined([CenterDistance(), Mahalanobis()]).fit(X, y)
    references = [reference_distance, reference_mahalanobis]
    expected = reference_combined(X, y, new, references)
    assert_allclose(score.score_classes(new), expected, **CLOSE)
    for reference, median, spread in zip(references, score.medians_, score.spreads_):
        assert_allclose([median, spread], reference_scale(X, y, reference), **CLOSE)
    # The formula alone would not show it if one of the two never were the least.
    for part in score.scores:
        assert (Combined([part]).fit(X, y).score_classes(new) > expected + 0.01).any()


def test_combined_of_one_score_keeps_its_order():
    """Check that one score alone is only moved and stretched, twice the same as once."""
    X, y, new = random_problem()
    alone = Mahalanobis().fit(X, y).score_samples(new)
    once = Combined([Mahalanobis()]).fit(X, y).score_samples(new)
    twice = Combined([Mahalanobis(), Mahalanobis()]).fit(X, y).score_samples(new)
    assert_array_equal(np.argsort(once), np.argsort(alone))
    assert_array_equal(twice, once)


def test_combined_where_own_scores_do_not_vary():
    """Check that a score without spread is moved by its median and not stretched."""
    # One sample per class lies on its own center: every own score is 0.
    X, y = np.array([[0.0, 1], [2, 3], [9, 9]]), [0, 1, 2]
    _, _, new = random_problem(n_features=2)
    score = Combined([CenterDistance()]).fit(X, y)
    assert_array_equal(score.spreads_, [1])
    assert_allclose(score.score_classes(new), -cdist(new, X), **CLOSE)
    # Probabilities that are all alike leave none either.
    P, y = np.full((6, 2), 0.5), [0, 1, 0, 1, 0, 1]
    score = Combined([MaxSoftmax()]).fit(P, y)
    assert_allclose(score.score_classes([[0.75, 0.25]]), [[0.25, -0.25]], **CLOSE)


def test_combined_leaves_the_given_scores_alone():
    """Check that fit works on clones, as scikit-learn's meta-estimators do."""
    X, y, new = random_problem()
    parts = [CenterDistance(), Mahalanobis()]
    score = Combined(parts).fit(X, y)
    assert score.scores is parts
    for part in parts:
        with pytest.raises(NotFittedError):
            part.score_classes(new)
    assert [type(part) for part in score.scores_] == [CenterDistance, Mahalanobis]


class FirstFeature(BaseScore):
    """A score of a user: minus the gap between the first feature and the class index."""

    def _fit(self, y, features):
        self.seen_ = features.dtype, set(y.tolist())

    def _score_classes(self, features):
        return -np.abs(features[:, :1] - np.arange(len(self.classes_)))


def test_score_of_a_user():
    """Check what a subclass gets and gives, alone and combined."""
    X, y, new = random_problem()
    score = FirstFeature().fit(X.astype(np.float32), np.array(["c", "a", "b"])[y])
    assert score.seen_ == (np.float32, {0, 1, 2})
    assert_array_equal(score.classes_, ["a", "b", "c"])
    expected = [[-abs(x[0] - k) for k in range(3)] for x in new]
    assert_array_equal(score.score_classes(new), expected)
    combined = Combined([FirstFeature(), CenterDistance()]).fit(X, y)

    def reference(X, y, new):
        return np.array([[-abs(x[0] - k) for k in range(3)] for x in new])

    expected = reference_combined(X, y, new, [reference, reference_distance])
    assert_allclose(combined.score_classes(new), expected, **CLOSE)


@pytest.mark.parametrize("name", ALL_SCORES)
def test_score_samples_is_that_of_the_most_typical_class(name):
    """Check that a sample is as known as the class it is most typical of says."""
    X, y, new = problem_of(ALL_SCORES[name])
    score = clone(ALL_SCORES[name]).fit(X, y)
    classes = score.score_classes(new)
    assert classes.shape == (7, N_CLASSES)
    expected = [max(row) for row in classes.tolist()]
    assert_array_equal(score.score_samples(new), expected)


@pytest.mark.parametrize("name", ALL_SCORES)
def test_scores_of_labels(name):
    """Check that the score for one class a sample is that in the column of the class."""
    X, y, new = problem_of(ALL_SCORES[name])
    score = clone(ALL_SCORES[name]).fit(X, np.array(["c", "a", "b"])[y])
    index = np.arange(len(new)) % N_CLASSES
    expected = score.score_classes(new)[np.arange(len(new)), index]
    found = score.score_labels(new, score.classes_[index])
    assert_allclose(found, expected, rtol=1e-13, atol=1e-13)
    assert_array_equal(score.scores_of({score.needs[0]: new}, index), found)
    with pytest.raises(ValueError, match=r"y holds the labels \['d'\]"):
        score.score_labels(new[:1], ["d"])


@pytest.mark.parametrize("name", ALL_SCORES)
def test_samples_are_scored_one_by_one(name):
    """Check that the score of a sample does not depend on the others."""
    X, y, new = problem_of(ALL_SCORES[name])
    score = clone(ALL_SCORES[name]).fit(X, y)
    singly = np.concatenate([score.score_classes(new[i : i + 1]) for i in range(7)])
    assert_allclose(singly, score.score_classes(new), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", ALL_SCORES)
@pytest.mark.parametrize(
    "labels", [["ant", "bee", "cow"], [-5, 0, 70], [-1.0, 0.0, 2.0]], ids=str
)
def test_any_labels(labels, name):
    """Check that names and numbers with gaps do as class indices do."""
    X, y, new = problem_of(ALL_SCORES[name])
    score = clone(ALL_SCORES[name]).fit(X, np.array(labels)[y])
    assert_array_equal(score.classes_, labels)
    expected = clone(ALL_SCORES[name]).fit(X, y).score_classes(new)
    assert_array_equal(score.score_classes(new), expected)


def test_boolean_labels():
    """Check that False comes before True."""
    score = CenterDistance().fit([[0.0], [10.0], [30.0]], [True, False, True])
    assert_array_equal(score.classes_, [False, True])
    assert_array_equal(score.score_classes([[11.0]]), [[-1, -4]])


def test_columns_follow_the_sorted_labels():
    """Check that classes are sorted, in which order they come in notwithstanding."""
    score = CenterDistance().fit([[0.0], [10.0], [30.0]], ["dog", "cat", "ant"])
    assert_array_equal(score.classes_, ["ant", "cat", "dog"])
    assert_array_equal(score.centers_, [[30], [10], [0]])
    assert_array_equal(score.score_classes([[1.0]]), [[-29, -9, -1]])


@pytest.mark.parametrize("name", ALL_SCORES)
def test_float32_in_float32_out(name):
    """Check that the dtype of samples passes through, and others become float64."""
    X, y, new = problem_of(ALL_SCORES[name])
    score = clone(ALL_SCORES[name]).fit(X, y)
    narrow = new.astype(np.float32)
    classes = score.score_classes(narrow)
    assert classes.dtype == score.score_samples(narrow).dtype == np.float32
    # A combination rounds its parts, and then moves and stretches them.
    exact = score.score_classes(narrow.astype(np.float64))
    assert exact.dtype == score.score_samples(new).dtype == np.float64
    tolerance = 2.0**-24 if name != "combined" else 2.0**-20
    assert_allclose(classes, exact, rtol=tolerance)


@pytest.mark.parametrize("name", ALL_SCORES)
@pytest.mark.parametrize("dtype", [np.float16, np.int32, np.uint8, bool])
def test_other_dtypes_become_float64(dtype, name):
    """Check that integers and half floats count by their value, in float64."""
    X, y, _ = problem_of(ALL_SCORES[name])
    score = clone(ALL_SCORES[name]).fit(X, y)
    new = np.eye(X.shape[1])[:2]
    classes = score.score_classes(new.astype(dtype))
    assert classes.dtype == np.float64
    assert_array_equal(classes, score.score_classes(new))


@pytest.mark.parametrize("name", ALL_SCORES)
def test_lists_do_as_arrays_do(name):
    """Check that lists are accepted, in fit and after."""
    X, y, new = problem_of(ALL_SCORES[name])
    score = clone(ALL_SCORES[name]).fit(X, y)
    listed = clone(ALL_SCORES[name]).fit(X.tolist(), y.tolist())
    assert_array_equal(listed.score_classes(new.tolist()), score.score_classes(new))


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


def test_one_sample_per_class():
    """Check that a class of one sample has it as its center."""
    X = np.array([[0.0, 1], [2, 3], [9, 9]])
    score = CenterDistance().fit(X, [0, 1, 2])
    assert_array_equal(score.centers_, X)
    assert_array_equal(score.score_samples(X), [0, 0, 0])


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


def test_what_scores_need_and_learn():
    """Check what each score asks for, by which OpenSetClassifier feeds them."""
    assert CenterDistance().needs == Mahalanobis().needs == ("features",)
    assert MaxSoftmax().needs == ("probabilities",)
    assert CenterDistance().learns
    assert not CenterDistance(np.zeros((3, 4))).learns
    assert Mahalanobis().learns
    assert not MaxSoftmax().learns
    combined = Combined([CenterDistance(np.zeros((3, 4)))])
    # The scale is learned, even where no part learns.
    assert combined.learns
    assert combined.needs == ("features",)


def test_scores_by_name():
    """Check the names that OpenSetClassifier takes for the scores here."""
    assert SCORES["center_distance"] is CenterDistance
    assert SCORES["mahalanobis"] is Mahalanobis
    assert SCORES["max_softmax"] is MaxSoftmax


@pytest.mark.parametrize("name", ALL_SCORES)
def test_clone(name):
    """Check that a clone has the parameters and nothing that was fitted."""
    X, y, new = problem_of(ALL_SCORES[name])
    score = clone(ALL_SCORES[name]).fit(X, y)
    copy = clone(score)
    assert type(copy) is type(score)
    assert copy.get_params().keys() == score.get_params().keys()
    with pytest.raises(NotFittedError):
        copy.score_classes(new)
    assert_array_equal(copy.fit(X, y).score_classes(new), score.score_classes(new))


def test_parameters():
    """Check that parameters are stored as given, and can be set."""
    centers = [[1, 2], [3, 4]]
    score = CenterDistance(centers)
    assert score.get_params() == {"centers": centers, "space": "features"}
    assert score.centers is centers
    assert score.set_params(centers=None).learns
    assert MaxSoftmax().get_params() == {}
    assert Mahalanobis("class", shrinkage="oas", relative=True).get_params() == {
        "covariance": "class",
        "shrinkage": "oas",
        "relative": True,
        "normalize": False,
        "space": "features",
    }
    parts = [MaxSoftmax()]
    assert Combined(parts, how="sum").get_params(deep=False) == {
        "scores": parts,
        "how": "sum",
        "weights": None,
        "limits": None,
        "n_folds": 3,
    }


@pytest.mark.parametrize("name", ALL_SCORES)
def test_fit_again_forgets(name):
    """Check that a second fit gives what a first one gives."""
    X, y, new = problem_of(ALL_SCORES[name])
    score = clone(ALL_SCORES[name])
    score.fit(X[:30, :2], y[:30] % 2)
    assert score.fit(X, y) is score
    assert score.n_features_in_ == X.shape[1]
    expected = clone(ALL_SCORES[name]).fit(X, y).score_classes(new)
    assert_array_equal(score.score_classes(new), expected)


@pytest.mark.parametrize("name", ALL_SCORES)
def test_pickle(name):
    """Check that a fitted score survives pickling."""
    X, y, new = problem_of(ALL_SCORES[name])
    score = clone(ALL_SCORES[name]).fit(X, y)
    restored = pickle.loads(pickle.dumps(score))
    assert_array_equal(restored.score_classes(new), score.score_classes(new))


@pytest.mark.parametrize("name", ALL_SCORES)
def test_arguments_stay_as_they_are(name):
    """Check that no score writes into the samples."""
    problem = problem_of(ALL_SCORES[name])
    copies = [values.copy() for values in problem]
    score = clone(ALL_SCORES[name]).fit(*problem[:2])
    score.score_samples(problem[2])
    for values, copy in zip(problem, copies):
        assert_array_equal(values, copy)


@pytest.mark.parametrize("method", ["score_classes", "score_samples"])
@pytest.mark.parametrize("name", ALL_SCORES)
def test_unfitted_raises(name, method):
    """Check that an unfitted score says so."""
    score = clone(ALL_SCORES[name])
    with pytest.raises(NotFittedError, match=f"{type(score).__name__} instance is not"):
        getattr(score, method)(np.zeros((2, 3)))


@pytest.mark.parametrize("method", ["score_classes", "score_samples"])
@pytest.mark.parametrize("name", ALL_SCORES)
def test_wrong_width_raises(name, method):
    """Check that an error names both numbers of features, as scikit-learn's does."""
    X, y, _ = problem_of(ALL_SCORES[name])
    score = clone(ALL_SCORES[name]).fit(X, y)
    width = X.shape[1]
    for wrong in (width - 1, width + 1):
        message = rf"X has {wrong} features, but {type(score).__name__} .* {width} features"
        with pytest.raises(ValueError, match=message):
            getattr(score, method)(np.zeros((2, wrong)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", ALL_SCORES)
def test_non_finite_samples_raise(name, bad):
    """Check that NaN and infinity are errors, in fit and after."""
    X, y, new = problem_of(ALL_SCORES[name])
    score = clone(ALL_SCORES[name]).fit(X, y)
    new[1, 1] = bad
    with pytest.raises(ValueError, match=r"Input (X )?contains (NaN|infinity)"):
        score.score_classes(new)
    with pytest.raises(ValueError, match=r"Input (X )?contains (NaN|infinity)"):
        score.score_samples(new)
    X[1, 1] = bad
    with pytest.raises(ValueError, match=r"Input (X )?contains (NaN|infinity)"):
        clone(score).fit(X, y)


@pytest.mark.parametrize("name", ALL_SCORES)
def test_wrong_shapes_raise(name):
    """Check that flat samples, none at all and missing labels are errors."""
    X, y, new = problem_of(ALL_SCORES[name])
    score = clone(ALL_SCORES[name]).fit(X, y)
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array"):
        score.score_classes(new[0])
    with pytest.raises(ValueError, match="0 sample"):
        score.score_classes(new[:0])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        clone(score).fit(X, y[:-1])
    with pytest.raises(ValueError, match="y contains NaN"):
        clone(score).fit(X, np.append(y[:-1], np.nan))
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        clone(score).fit(X, y + 0.5)


LEARNED = {  # minus infinity for a class of which there was no sample
    "center_distance": CenterDistance(),
    "mahalanobis": Mahalanobis(),
    "class covariance": Mahalanobis("class"),
    "relative": Mahalanobis(relative=True),
    "knn": KNeighbors(2),
    "density": PerClass(KernelDensity()),
    "min": Combined([CenterDistance(), KNeighbors()]),
    "sum": Combined([CenterDistance(), KNeighbors()], how="sum"),
}


@pytest.mark.parametrize("name", LEARNED)
def test_class_without_samples(name):
    """Check that a class of no sample is far from all, and the others are as ever."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), np.repeat(["a", "b", "d"], [10, 15, 15])
    score = clone(LEARNED[name]).fit(X, y, classes=["a", "b", "c", "d"])
    assert score.classes_.tolist() == ["a", "b", "c", "d"]
    new = rng.normal(size=(5, 3))
    found = score.score_classes(new)
    assert (found[:, 2] == -np.inf).all()
    expected = clone(LEARNED[name]).fit(X, y).score_classes(new)
    assert_allclose(found[:, [0, 1, 3]], expected, **CLOSE)
    assert_allclose(score.score_samples(new), expected.max(axis=1), **CLOSE)


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


@pytest.mark.parametrize("score", [MaxSoftmax(), MaxLogit(), Energy(), OpenMax(), ViM(2)])
def test_logits_tell_of_a_class_without_samples(score):
    """Check that a class without samples keeps what the estimator says of it."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(40, 3)) + 9
    X = {"features": rng.normal(size=(40, 4)), "logits": logits, "probabilities": logits}
    score = clone(score).fit(X, np.repeat([0, 2], 20), classes=range(3))
    found = score.score_classes(X)
    assert found.shape == (40, 3)
    assert np.isfinite(found).all()
    if isinstance(score, OpenMax):
        # A class of no Weibull distribution keeps its logit: what the others lose is
        # compared with it unchanged.
        assert_array_equal(np.isfinite(score.tail_scales_), [True, False, True])
        revised = np.log(found) - np.log(found[:, [1]])
        assert (revised <= logits - logits[:, [1]] + 1e-9).all()


def test_labels_beyond_the_classes_raise():
    """Check that a label that is none of the given classes is named."""
    with pytest.raises(ValueError, match=r"y holds the labels \[3\].*classes, \[0, 1\]"):
        CenterDistance().fit(np.eye(3), [0, 1, 3], classes=[0, 1])


def test_combined_needs_what_its_scores_need():
    """Check the parts that combinations of scores and names ask for."""
    assert Combined([MaxSoftmax(), MaxSoftmax()]).needs == ("probabilities",)
    assert Combined(["vim", InputDensity()]).needs == ("features", "inputs", "logits")


def test_mahalanobis_without_variance_within_classes():
    """Check that classes without spread still tell near from far."""
    X = np.array([[0.0, 1], [2, 3], [9, 9]])
    score = Mahalanobis().fit(X, [0, 1, 2])
    classes = score.score_classes(X + 0.5)
    assert np.isfinite(classes).all()
    assert_array_equal(classes.argmax(axis=1), [0, 1, 2])


def test_no_scores_to_combine_raise():
    """Check that an empty list is an error that names the parameter."""
    with pytest.raises(ValueError, match="scores"):
        Combined([]).fit([[0.0], [1]], [0, 1])


def test_max_softmax_of_other_classes_raises():
    """Check that there must be one probability for each class."""
    with pytest.raises(ValueError, match="3"):
        MaxSoftmax().fit(np.full((4, 3), 1 / 3), [0, 0, 1, 1])


# The scores of features, logits and both


COVARIANCES = {"ledoit_wolf": LedoitWolf, "oas": OAS, None: EmpiricalCovariance}


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


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("metric", ["euclidean", "cityblock"])
def test_k_neighbors(normalize, metric):
    """Check the distance to the k-th neighbor by brute force, in a small class too."""
    rng = np.random.default_rng(0)
    X, new = rng.normal(size=(53, 4)), rng.normal(size=(20, 4))
    y = np.repeat([0, 1, 2], [30, 20, 3])
    score = KNeighbors(5, normalize=normalize, metric=metric).fit(X, y)
    if normalize:
        X /= np.linalg.norm(X, axis=1)[:, None]
        lengths = np.linalg.norm(new, axis=1)[:, None]
    scaled = new / lengths if normalize else new
    away = cdist(scaled, X, metric)
    for k, nth in enumerate((5, 5, 3)):
        expected = -np.sort(away[:, y == k], axis=1)[:, nth - 1]
        assert_allclose(score.score_classes(new)[:, k], expected, rtol=1e-12)
    assert np.isfinite(score.score_classes(np.zeros((1, 4)))).all()


@pytest.mark.parametrize("n_features", [4, 20])
def test_k_neighbors_far_from_the_origin(n_features):
    """Check small distances far out, with few features and with many, by brute force."""
    rng = np.random.default_rng(0)
    # On a grid of 1/64, moving by 2^20 rounds nothing: the data are the same.
    X = np.round(64 * rng.normal(size=(90, n_features))) / 64
    new = np.concatenate([X[:20] + 2.0**-10, X[20:40] + 3])
    y = np.arange(90) % 3
    score = KNeighbors(1).fit(X + 2**20, y)
    expected = [-cdist(new, X[y == k]).min(axis=1) for k in range(3)]
    assert_allclose(score.score_classes(new + 2**20), np.transpose(expected), rtol=1e-8)


@pytest.mark.parametrize("algorithm", ["ball_tree", "brute", "kd_tree"])
@pytest.mark.parametrize("metric", ["euclidean", "cityblock"])
def test_algorithms_of_k_neighbors(algorithm, metric):
    """Check that scikit-learn searches as asked, and finds what brute force finds."""
    rng = np.random.default_rng(0)
    X, new, y = rng.normal(size=(60, 4)), rng.normal(size=(20, 4)), np.arange(60) % 2
    score = KNeighbors(3, metric=metric, algorithm=algorithm).fit(X, y)
    expected = [-np.sort(cdist(new, X[y == k], metric), axis=1)[:, 2] for k in range(2)]
    assert_allclose(score.score_classes(new), np.transpose(expected), rtol=1e-12)


def faiss_score(*args, **kwargs):
    """Return a score that searches with faiss, or skip the test without it."""
    pytest.importorskip("faiss")
    return KNeighbors(*args, algorithm="faiss", **kwargs)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("n_features", [1, 4, 100])
def test_faiss(n_features, normalize):
    """Check the distance to the k-th neighbor by brute force, in a small class too."""
    rng = np.random.default_rng(0)
    X, new = rng.normal(size=(530, n_features)), rng.normal(size=(200, n_features))
    y = np.repeat([0, 1, 2], [300, 227, 3])
    score = faiss_score(5, normalize=normalize).fit(X, y)
    if normalize:
        X, new = (x / np.linalg.norm(x, axis=1)[:, None] for x in (X, new))
    away = cdist(new, X)
    for k, nth in enumerate((5, 5, 3)):
        expected = -np.sort(away[:, y == k], axis=1)[:, nth - 1]
        # The k-th neighbor in float32 may be another one that is as far but for 1e-7.
        assert_allclose(score.score_classes(new)[:, k], expected, rtol=1e-6, atol=1e-12)
    # Some at once and each alone, which faiss computes differently.
    singly = np.concatenate([score.score_classes(row[None]) for row in new[:30]])
    assert_allclose(singly, score.score_classes(new)[:30], rtol=1e-6, atol=1e-12)
    assert np.isfinite(score.score_classes(np.zeros((1, n_features)))).all()


@pytest.mark.parametrize("n_new", [4, 40])
def test_faiss_close_to_members_far_from_the_origin(n_new):
    """Check small distances far out to the last digits, where float32 has none right."""
    rng = np.random.default_rng(0)
    # On a grid of 1/64, moving by 2^20 rounds nothing: the data are the same.
    X, y = np.round(64 * rng.normal(size=(90, 20))) / 64, np.arange(90) % 3
    new = X[:n_new] + 2.0**-10 * rng.integers(4, size=(n_new, 20))
    score = faiss_score(1).fit(X + 2**20, y)
    expected = [-cdist(new, X[y == k]).min(axis=1) for k in range(3)]
    found = score.score_classes(new + 2**20)
    assert_allclose(found, np.transpose(expected), rtol=1e-13)
    assert_array_equal(score.score_samples(X + 2**20), 0)


@pytest.mark.parametrize("unit", [1e-30, 1e30])
def test_faiss_of_any_unit(unit):
    """Check features whose squares float32 cannot hold, and samples very far away."""
    rng = np.random.default_rng(0)
    X, new, y = rng.normal(size=(90, 5)), rng.normal(size=(30, 5)), np.arange(90) % 3
    new[:10] *= 1e45
    expected = KNeighbors(2, algorithm="kd_tree").fit(X, y).score_classes(new)
    found = faiss_score(2).fit(unit * X, y).score_classes(unit * new)
    assert_allclose(found, unit * expected, rtol=1e-6)


def test_faiss_of_one_point():
    """Check classes whose samples are all the same, and one of a single sample."""
    X, y = np.array([[1.0, 2], [1, 2], [1, 2], [4, 6]]), [0, 0, 0, 1]
    found = faiss_score(2).fit(X, y).score_classes([[1.0, 2], [4, 6]])
    assert_array_equal(found, [[0, -5], [-5, 0]])


@pytest.mark.parametrize("kind", ["pickle", "joblib", "deepcopy", "clone"])
def test_copies_of_faiss_score(kind, tmp_path):
    """Check that a fitted score can be kept, and an equal one fitted again."""
    X, y, new = random_problem()
    score = faiss_score(3).fit(X, y)
    if kind == "pickle":
        copy = pickle.loads(pickle.dumps(score))
    elif kind == "joblib":
        joblib.dump(score, tmp_path / "score.joblib")
        copy = joblib.load(tmp_path / "score.joblib")
    else:
        copy = deepcopy(score) if kind == "deepcopy" else clone(score).fit(X, y)
    assert_array_equal(copy.score_classes(new), score.score_classes(new))


def test_faiss_of_float32():
    """Check that samples in float32 are those in float64, but for the rounding."""
    X, y, new = random_problem()
    narrow = new.astype(np.float32)
    score = faiss_score(3).fit(X.astype(np.float32), y)
    found = score.score_classes(narrow)
    assert found.dtype == np.float32
    exact = score.score_classes(narrow.astype(np.float64))
    assert_array_equal(found, exact.astype(np.float32))


def test_faiss_needs_euclidean_metric():
    """Check that the error names both parameters, with normalize too."""
    X, y, _ = random_problem()
    for normalize in (False, True):
        score = faiss_score(metric="cityblock", normalize=normalize)
        with pytest.raises(ValueError, match=r"metric must be .euclidean.*cityblock"):
            score.fit(X, y)


def test_faiss_that_is_not_installed(monkeypatch):
    """Check that only who asks for faiss needs it, and is told how to get it."""
    monkeypatch.setitem(sys.modules, "faiss", None)
    X, y, new = random_problem()
    assert KNeighbors().fit(X, y).score_classes(new).shape == (7, N_CLASSES)
    with pytest.raises(ImportError, match=r'pip install "sk-center\[faiss\]"'):
        KNeighbors(algorithm="faiss").fit(X, y)


@pytest.mark.slow
@pytest.mark.parametrize("order", list(permutations(["faiss", "sklearn", "torch"])))
def test_faiss_beside_other_threads(order):
    """Check that faiss, scikit-learn and torch work in one process, in any order.

    Each brings an OpenMP runtime, which may hang or crash together.
    """
    pytest.importorskip("faiss")
    code = "\n".join(f"import {name}" for name in order)
    code += """
import numpy as np
from sk_center import CenterLossClassifier
from sk_center.scores import KNeighbors
rng = np.random.default_rng(0)
X, y = rng.normal(size=(3000, 64)), np.arange(3000) % 3
net = CenterLossClassifier(max_epochs=1).fit(X, y)
for _ in range(3):
    for algorithm in ("brute", "faiss"):
        KNeighbors(algorithm=algorithm).fit(X, y).score_classes(X)
    net.predict(X)
"""
    env = {**os.environ, "OMP_NUM_THREADS": "2"}
    subprocess.run([sys.executable, "-c", code], env=env, check=True, timeout=300)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 10.0])
def test_scores_of_logits(temperature):
    """Check maximum logit and energy against their formulas, without overflow."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(30, 4)) * 10
    y = np.arange(30) % 4
    assert_array_equal(MaxLogit().fit(logits, y).score_classes(logits), logits)
    score = Energy(temperature).fit(logits, y)
    expected = temperature * np.log(np.exp(logits / temperature).sum(axis=1))
    assert_allclose(score.score_samples(logits), expected, rtol=1e-12)
    assert_array_equal(np.ptp(score.score_classes(logits), axis=1), 0)
    assert_allclose(score.score_samples([[1e4, 0, 0, 0]]), 1e4)


@pytest.mark.parametrize("alpha", [None, 1, 2, 9])
def test_openmax(alpha):
    """Check OpenMax against algorithms 1 and 2 of the paper, one sample at a time."""
    rng = np.random.default_rng(0)
    y = np.arange(150) % 3
    logits = 6 * np.eye(3)[y] + rng.normal(size=(150, 3)) * 2
    new = rng.normal(size=(20, 3)) * 8
    tail_size, n_top = 12, min(alpha or 3, 3)
    means, weibulls = [], []
    for k in range(3):
        members = [v for v, label in zip(logits, y) if label == k == v.argmax()]
        means.append(np.mean(members, axis=0))
        distances = sorted(np.sqrt(((v - means[k]) ** 2).sum()) for v in members)
        weibulls.append(weibull_min.fit(distances[-tail_size:], floc=0))
    expected = []
    for v in new:
        revised, unknown = v.copy(), 0.0
        for place, k in enumerate(sorted(range(3), key=lambda k: -v[k])[:n_top], start=1):
            d = np.sqrt(((v - means[k]) ** 2).sum())
            w = 1 - (n_top + 1 - place) / n_top * weibull_min.cdf(d, *weibulls[k])
            revised[k] = v[k] * w
            unknown += v[k] * (1 - w)
        expected.append(softmax([*revised, unknown])[:3])
    score = OpenMax(tail_size, alpha=alpha).fit(logits, y)
    assert_allclose(score.score_classes(new), expected, rtol=1e-3, atol=1e-6)
    assert pickle.loads(pickle.dumps(score)).score_samples(new).shape == (20,)


def test_openmax_without_tails():
    """Check classes of one sample, and one that its logit is never largest for."""
    logits = np.array([[5.0, 1, 0], [4, 1, 0], [0, 5, 1], [6, 0, 2.0]])
    score = OpenMax().fit(logits, [0, 0, 1, 2])
    assert_array_equal(score.means_[1:], logits[2:])
    assert np.isfinite(score.score_classes(logits + 3)).all()


@pytest.mark.parametrize("n_components", [None, 3])
def test_vim(n_components):
    """Check ViM against the paper's definition, with the head that made the logits."""
    rng = np.random.default_rng(0)
    W, b = rng.normal(size=(8, 3)), rng.normal(size=3)
    features = rng.normal(size=(300, 8)) @ np.diag([5, 4, 3, 2, 1, 0.3, 0.2, 0.1])
    logits, new = features @ W + b, rng.normal(size=(20, 8)) * 3
    y = logits.argmax(axis=1)
    origin = -np.linalg.pinv(W.T) @ b
    _, _, axes = np.linalg.svd(features - origin)
    R = axes[n_components or 4 :].T

    def residual(features):
        return np.array([np.linalg.norm(R.T @ (f - origin)) for f in features])

    alpha = logits.max(axis=1).sum() / residual(features).sum()
    new_logits = new @ W + b
    expected = np.log(np.exp(new_logits).sum(axis=1)) - alpha * residual(new)
    score = ViM(n_components).fit({"features": features, "logits": logits}, y)
    found = score.score_samples({"features": new, "logits": new_logits})
    assert_allclose(found, expected, rtol=1e-8)
    # Monotone in one minus the probability of the virtual logit, as the paper scores.
    virtual = softmax(np.column_stack([new_logits, alpha * residual(new)]), axis=1)[:, -1]
    assert_array_equal(np.argsort(expected), np.argsort(-virtual))


@pytest.mark.parametrize(("n_samples", "n_components"), [(6, 3), (7, 3), (8, 4), (99, 4)])
def test_subspace_of_vim_of_few_samples(n_samples, n_components):
    """Check that the subspace takes half of the features, and of the samples at most."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_samples, 10))
    X = {"features": X[:, :8], "logits": X[:, 8:]}
    score = ViM().fit(X, np.arange(n_samples) % 2)
    assert score.residual_space_.shape == (8, 8 - n_components)


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


def test_function_score():
    """Check a function of one score for all classes, of one for each, and a wrong one."""
    X, y = np.arange(12.0).reshape(6, 2), [0, 1, 0, 1, 0, 1]
    one = FunctionScore(lambda X: X[:, 0]).fit(X, y).score_classes(X)
    assert_array_equal(one, X[:, [0, 0]])
    each = FunctionScore(lambda X: X * 2).fit(X, y).score_classes(X)
    assert_array_equal(each, X * 2)
    with pytest.raises(ValueError, match=r"scores of shape \(6, 2\) or \(6,\); got \(2,\)"):
        FunctionScore(lambda X: X[0]).fit(X, y).score_classes(X)


def scale_of(score, parts, y):
    """Return median and 5 % quantile of the own scores of samples held out in folds."""
    own = np.empty(len(y))
    for rows in held_out_folds(y, 3):
        others = np.setdiff1d(np.arange(len(y)), rows)
        score.fit({name: part[others] for name, part in parts.items()}, y[others])
        scores = score.score_classes({name: part[rows] for name, part in parts.items()})
        own[rows] = scores[np.arange(len(rows)), y[rows]]
    return np.median(own), np.quantile(own, 0.05)


@pytest.mark.parametrize("how", ["min", "sum"])
def test_combined_of_features_and_logits(how):
    """Check a combination of scores that need different parts."""
    rng = np.random.default_rng(0)
    features, new = rng.normal(size=(80, 5)), rng.normal(size=(10, 5))
    head = rng.normal(size=(5, 2))
    y = np.arange(80) % 2
    parts = {"features": features, "logits": features @ head}
    parts["probabilities"] = softmax(parts["logits"], axis=1)
    given = {"features": new, "logits": new @ head}
    given["probabilities"] = softmax(given["logits"], axis=1)
    score = Combined([MaxSoftmax(), CenterDistance(), ViM()], how=how)
    assert score.needs == ("features", "logits", "probabilities")
    found = score.fit(parts, y).score_classes(given)
    scaled = []
    for part in (MaxSoftmax(), CenterDistance(), ViM()):
        median, q05 = scale_of(part, parts, y)
        scores = part.fit(parts, y).score_classes(given)
        scaled.append((scores - median) / (median - q05))
    expected = np.min(scaled, axis=0) if how == "min" else np.sum(scaled, axis=0)
    assert_allclose(found, expected)


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


def test_input_density_of_few_samples():
    """Check that a class of few samples has one normal distribution, made rounder."""
    X, y, new = random_problem(n_samples=60)
    n_inputs = X.shape[1]
    score = InputDensity(shrinkage=0.3).fit(X, y)
    found = score.score_classes(new)
    for k in range(N_CLASSES):
        members = X[y == k]
        ridge = 0.3 * n_inputs / len(members) * np.diag(X.var(axis=0))
        covariance = np.cov(members.T, bias=True) + ridge
        law = multivariate_normal(members.mean(axis=0), covariance)
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
            members = unit * X[y == k]
            expected = np.cov(members.T, bias=True) + 0.05 * 6 / 40 * np.diag(variances)
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
        members = X[y == k].copy()
        means = np.nanmean(members[:, 2:], axis=0)
        first = overall[0] if k == 1 else np.nanmean(members[:, 0])
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


@pytest.mark.parametrize("how", ["min", "sum"])
def test_combined_of_features_and_inputs(how):
    """Check that each score gets the parts that it needs."""
    X, y, new = random_problem()
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(len(X), N_CLASSES))
    parts = {"features": X[:, :2], "inputs": X[:, 2:], "logits": logits}
    given = {"features": new[:, :2], "inputs": new[:, 2:], "logits": logits[:7]}
    scores = [Mahalanobis(), InputDensity(), MaxLogit()]
    score = Combined(scores, how=how).fit(parts, y)
    assert score.n_columns_ == {"features": 2, "inputs": 2, "logits": 3}
    scaled = []
    for part in scores:
        median, q05 = scale_of(part, parts, y)
        scores = part.fit(parts, y).score_classes(given)
        scaled.append((scores - median) / (median - q05))
    expected = np.min(scaled, axis=0) if how == "min" else np.sum(scaled, axis=0)
    assert_allclose(score.score_classes(given), expected)
    with pytest.raises(
        ValueError, match=r"X must hold the parts .*'inputs'.*got \['logits"
    ):
        score.fit({"logits": logits}, y)
    with pytest.raises(ValueError, match=r"X must be a mapping of the parts .*got ndarray"):
        score.fit(X, y)


@pytest.mark.parametrize("how", ["min", "sum"])
def test_combined_where_a_score_knows_nothing_of_a_class(how):
    """Check that a score has no say in a class of which it saw no sample."""
    X, y, new = random_problem()
    centers = reference_means(X, y)
    seen = y != 1
    X, y = X[seen], y[seen]
    both = Combined([CenterDistance(centers), KNeighbors()], how=how)
    found = both.fit(X, y, classes=range(N_CLASSES)).score_classes(new)
    alone = Combined([CenterDistance(centers)]).fit(X, y, classes=range(N_CLASSES))
    assert_allclose(found[:, 1], alone.score_classes(new)[:, 1])
    assert np.isfinite(found).all()
    nothing = Combined([KNeighbors(), Mahalanobis()], how=how)
    scores = nothing.fit(X, y, classes=range(N_CLASSES)).score_classes(new)
    assert (scores[:, 1] == -np.inf).all()
    assert np.isfinite(np.delete(scores, 1, axis=1)).all()


def test_scale_of_a_score_that_is_zero_on_what_it_learned_from():
    """Check that the nearest neighbor gets the scale of samples that it has not seen."""
    X, y, _ = random_problem()
    assert_array_equal(KNeighbors(1).fit(X, y).score_labels(X, y), 0)
    score = Combined([KNeighbors(1)]).fit(X, y)
    median, q05 = scale_of(KNeighbors(1), {"features": X}, y)
    assert median < 0 < median - q05
    assert_allclose([score.medians_[0], score.spreads_[0]], [median, median - q05])
    assert_array_equal(score.scores_[0].score_labels(X, y), 0)  # which learned from all


@pytest.mark.parametrize("sizes", [(1, 2, 3, 30), (1, 1), (4000, 3000, 1), (2, 2, 2)])
def test_folds_of_scale(sizes):
    """Check that each class of two samples or more is held out in part, and not all."""
    y = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    folds = held_out_folds(y, 3)
    for rows in folds:
        left = np.bincount(np.delete(y, rows), minlength=len(sizes))
        assert (left > 0).all()
    held = np.bincount(y[np.concatenate([[], *folds]).astype(int)], minlength=len(sizes))
    if sum(sizes) > 5000:
        assert len(folds) == 1
        assert_allclose(held[:2], np.array(sizes[:2]) * 5000 / len(y), atol=1)
    else:
        assert_array_equal(held, [n if n > 1 else 0 for n in sizes])


@pytest.mark.parametrize(
    "score",
    [
        InputDensity(0),
        InputDensity(shrinkage=-0.1),
        Combined([MaxSoftmax()], n_folds=1),
        Mahalanobis("full"),
        Mahalanobis(shrinkage="some"),
        Mahalanobis(relative="yes"),
        KNeighbors(0),
        KNeighbors(algorithm="annoy"),
        Energy(0.0),
        OpenMax(0),
        OpenMax(alpha=0),
        ViM(0),
        PerClass(StandardScaler()),
        FunctionScore(3),
        Combined([], how="min"),
        Combined([MaxSoftmax()], how="mean"),
    ],
    ids=repr,
)
def test_bad_parameters_of_scores(score):
    """Check that the error names the parameter and what it got."""
    bad = list(score.get_params(deep=False))
    with pytest.raises(ValueError, match=f"({'|'.join(bad)}).*(?i:got) "):
        score.fit(np.eye(4), [0, 1, 2, 3])


def test_vim_needs_features_and_room():
    """Check the errors of ViM for logits alone and a subspace that holds everything."""
    with pytest.raises(ValueError, match="X must be a mapping of the parts"):
        ViM().fit(np.eye(3), [0, 1, 2])
    with pytest.raises(ValueError, match="smaller than the number of features, 2; got 2"):
        ViM(2).fit({"features": np.eye(4)[:, :2], "logits": np.eye(4)[:, 2:]}, [0, 1, 0, 1])


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
