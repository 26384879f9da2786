"""Tests of combined scores."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist
from scipy.special import softmax
from score_problems import (
    CLOSE,
    N_CLASSES,
    random_problem,
    reference_combined,
    reference_distance,
    reference_mahalanobis,
    reference_means,
    reference_scale,
)
from sklearn.exceptions import NotFittedError

from sk_center.scores import (
    CenterDistance,
    Combined,
    InputDensity,
    KNeighbors,
    Mahalanobis,
    MaxLogit,
    MaxSoftmax,
    ViM,
)
from sk_center.scores.combined import held_out_folds


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


def test_combined_needs_what_its_scores_need():
    """Check the parts that combinations of scores and names ask for."""
    assert Combined([MaxSoftmax(), MaxSoftmax()]).needs == ("probabilities",)
    assert Combined(["vim", InputDensity()]).needs == ("features", "inputs", "logits")


def test_no_scores_to_combine_raise():
    """Check that an empty list is an error that names the parameter."""
    with pytest.raises(ValueError, match="scores"):
        Combined([]).fit([[0.0], [1]], [0, 1])


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


@pytest.mark.parametrize(
    "sizes", [(1, 2, 3, 30), (1, 1), (1000, 750, 1), (500, 375), (2, 2, 2)]
)
def test_folds_of_scale(sizes):
    """Check that each class of two samples or more is held out in part, and not all."""
    y = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    folds = held_out_folds(y, 3)
    for rows in folds:
        left = np.bincount(np.delete(y, rows), minlength=len(sizes))
        assert (left > 0).all()
    held = np.bincount(y[np.concatenate([[], *folds]).astype(int)], minlength=len(sizes))
    if sum(sizes) > 1500:
        assert len(folds) == 1
        assert_allclose(held[:2], np.array(sizes[:2]) * 500 / len(y), atol=1)
    elif sum(sizes) > 750:
        assert len(folds) == 2
    else:
        assert_array_equal(held, [n if n > 1 else 0 for n in sizes])


def test_weights_and_limits():
    """Check a weighted sum of bounded scores against the formula."""
    X, y, new = random_problem()
    names = ["center_distance", "mahalanobis"]
    parts = [Combined([name]).fit(X, y).score_classes(new) for name in names]
    score = Combined(names, how="sum", weights=[2, 0.5], limits=[None, (-2, 0)]).fit(X, y)
    expected = 2 * parts[0] + 0.5 * np.clip(parts[1], -2, 0)
    assert (parts[1] < -2).any()
    assert_allclose(score.score_classes(new), expected, **CLOSE)
    # Nothing is known of rows that are not finite, whatever the bounds.
    assert (score.scores_of({"features": new * np.nan}) == -np.inf).all()


@pytest.mark.parametrize(
    "params",
    [
        {"weights": [1.0]},
        {"weights": [1.0, 0.0]},
        {"weights": [1.0, "a"]},
        {"limits": [None]},
        {"limits": [None, (0, -2)]},
    ],
    ids=str,
)
def test_bad_weights_and_limits_raise(params):
    """Check that the error names the parameter and what it got."""
    X, y, _ = random_problem()
    with pytest.raises(ValueError, match=rf"{next(iter(params))} must .*; got \["):
        Combined(["center_distance", "mahalanobis"], **params).fit(X, y)


@pytest.mark.filterwarnings("error")
def test_scale_of_classes_too_small_for_folds():
    """Check that a class of one sample has no part in the scale, and a score still."""
    X, y, new = random_problem()
    rows = np.append(np.flatnonzero(y != 1), np.flatnonzero(y == 1)[:1])
    score = Combined([KNeighbors(1), InputDensity()], how="sum")
    parts = {"features": X[rows], "inputs": X[rows]}
    score.fit(parts, y[rows])
    assert np.isfinite(score.score_classes({"features": new, "inputs": new})).all()
    X, y = X[y != 1], y[y != 1] // 2
    median, q05 = scale_of(KNeighbors(1), {"features": X}, y)
    assert score.spreads_[0] > 0
    assert abs(score.medians_[0] - median) < 3 * (median - q05)
