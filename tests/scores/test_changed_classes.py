"""Tests of scores that add and remove classes."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from scipy.special import softmax
from sklearn.mixture import GaussianMixture

from sk_center.scores import (
    GEN,
    CenterDistance,
    Combined,
    FunctionScore,
    InputDensity,
    KNeighbors,
    LogOdds,
    Mahalanobis,
    MaxSoftmax,
    OpenMax,
    PerClass,
    PrincipalDistance,
    ViM,
)

# The added class comes between the former ones.
KEPT = np.array([0, -1, 1, 2])
MEANS = 3.0 * np.array([[1, 1, 5], [4, 4, 0], [0, 5, 1], [6, 0, 2]])


def sample(y, seed):
    """Return samples of four clouds."""
    return MEANS[y] + np.random.default_rng(seed).normal(size=(len(y), 3))


def problem():
    """Return samples of three clouds, of the fourth, and new samples of all."""
    y = np.repeat([0, 2, 3], 30)
    new = np.full(8, 1)
    tests = sample(np.repeat(np.arange(4), 10), 2)
    return (sample(y, 0), np.searchsorted([0, 2, 3], y)), (sample(new, 1), new), tests


def parts_of(X):
    """Return X as every part in which distances are measured."""
    return {"features": X, "inputs": X, "raw_inputs": X}


BY_CLASS = [
    CenterDistance(),
    CenterDistance(centers=MEANS[[0, 2, 3]]),
    Mahalanobis(),
    Mahalanobis(relative=True),
    Mahalanobis("class"),
    KNeighbors(2),
    KNeighbors(2, scale="standard", normalize=True, unit="between"),
    KNeighbors(2, metric="manhattan"),
    InputDensity(),
    PerClass(GaussianMixture(random_state=0)),
    Combined([KNeighbors(1), "mahalanobis"], how="sum"),
]
POOLED = [
    KNeighbors(1, pooled=True, scale="standard"),
    KNeighbors(3, pooled=True, metric="manhattan"),
    InputDensity(pooled=True),
]


@pytest.mark.filterwarnings("ignore:The relative Mahalanobis")
@pytest.mark.parametrize("score", BY_CLASS, ids=repr)
def test_former_classes_keep_their_scores(score):
    """Check that scores of former classes stay, and that removing restores all of it."""
    (X, y), (X_new, y_new), tests = problem()
    former = score.fit(parts_of(X), y)
    before = former.score_classes(parts_of(tests))
    more = former.with_classes(np.arange(4), KEPT, parts_of(X_new), y_new)
    found = more.score_classes(parts_of(tests))
    assert_allclose(found[:, [0, 2, 3]], before, rtol=1e-9, atol=1e-9)
    index = np.arange(40) % 4
    own = more.scores_of(parts_of(tests), index)
    assert_allclose(own, found[np.arange(40), index], rtol=1e-9, atol=1e-9)
    # The new class wins its own samples.
    assert (found[10:20].argmax(axis=1) == 1).all()
    less = more.with_classes(np.arange(3), np.array([0, 2, 3]))
    assert_allclose(less.score_classes(parts_of(tests)), before, rtol=1e-9, atol=1e-9)
    assert_array_equal(former.score_classes(parts_of(tests)), before)


@pytest.mark.parametrize("score", POOLED, ids=repr)
def test_pooled_scores_can_only_rise(score):
    """Check that a score of any class rises by a class, and falls back without it."""
    (X, y), (X_new, y_new), tests = problem()
    former = score.fit(parts_of(X), y)
    before = former.score_samples(parts_of(tests))
    more = former.with_classes(np.arange(4), KEPT, parts_of(X_new), y_new)
    found = more.score_samples(parts_of(tests))
    assert (found >= before - 1e-9).all()
    assert (found[10:20] > before[10:20] + 0.1).all()
    less = more.with_classes(np.arange(3), np.array([0, 2, 3]))
    assert_allclose(less.score_samples(parts_of(tests)), before, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("score", [CenterDistance(), KNeighbors(2, normalize=False)])
@pytest.mark.parametrize("form", [np.asarray, csr_array])
def test_added_class_is_as_fitted(score, form):
    """Check scores that have no scale in common against a fit with all classes."""
    (X, y), (X_new, y_new), tests = problem()
    former = score.fit(form(X), y)
    more = former.with_classes(np.arange(4), KEPT, {"features": form(X_new)}, y_new)
    found = more.score_classes(form(tests))
    all_y = np.concatenate([np.array([0, 2, 3])[y], y_new])
    expected = score.fit(form(np.concatenate([X, X_new])), all_y).score_classes(form(tests))
    assert_allclose(found, expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("score", [LogOdds(), MaxSoftmax()])
def test_probabilities_of_later_classes_do_not_count(score):
    """Check that a former class is judged by the probabilities among former classes."""
    logits = np.random.default_rng(0).normal(size=(50, 4)) * 3
    among = softmax(logits[:, [0, 2, 3]], axis=1)
    before = score.fit({"probabilities": among}, np.arange(50) % 3).score_classes(among)
    P = softmax(logits, axis=1)
    more = score.with_classes(np.arange(4), KEPT, {"probabilities": P}, np.full(50, 1))
    found = more.score_classes(P)
    assert_allclose(found[:, [0, 2, 3]], before, rtol=1e-9, atol=1e-9)
    own = P[:, 1] / (1 - P[:, 1]) if isinstance(score, LogOdds) else P[:, 1]
    expected = np.log(own) if isinstance(score, LogOdds) else own
    assert_allclose(found[:, 1], expected, rtol=1e-9)
    index = np.arange(50) % 4
    assert_allclose(
        more.scores_of({"probabilities": P}, index), found[np.arange(50), index], rtol=1e-12
    )


def test_scores_that_are_the_same_for_all_classes_stay():
    """Check that directions and functions of a sample alone know nothing of classes."""
    (X, y), (X_new, y_new), tests = problem()
    for score in (
        PrincipalDistance(space="features"),
        FunctionScore(lambda X: X.sum(axis=1)),
    ):
        former = score.fit(X, y)
        more = former.with_classes(np.arange(4), KEPT, {"features": X_new}, y_new)
        expected = former.score_samples(tests)
        assert_array_equal(more.score_samples(tests), expected)
        assert more.score_classes(tests).shape == (40, 4)


def test_combined_keeps_its_scales():
    """Check that a combination adds a class to each score, on the scales that it had."""
    (X, y), (X_new, y_new), tests = problem()
    former = Combined([KNeighbors(1), "mahalanobis"], how="min").fit(X, y)
    more = former.with_classes(np.arange(4), KEPT, {"features": X_new}, y_new)
    parts = [score.score_classes(tests) for score in more.scores_]
    scaled = [
        (part - median) / spread
        for part, median, spread in zip(parts, former.medians_, former.spreads_)
    ]
    assert_allclose(more.score_classes(tests), np.minimum(*scaled), rtol=1e-12)


@pytest.mark.parametrize("score", [GEN(), OpenMax(), ViM()])
def test_scores_of_all_classes_together_refuse(score):
    """Check that a score that cannot change its classes says so, by name."""
    rng = np.random.default_rng(0)
    logits, y = rng.normal(size=(60, 3)), np.arange(60) % 3
    parts = {
        "features": rng.normal(size=(60, 5)),
        "logits": logits,
        "probabilities": softmax(logits, axis=1),
    }
    fitted = score.fit(parts, y)
    with pytest.raises(ValueError, match=f"{type(score).__name__} cannot add or remove"):
        fitted.with_classes(np.arange(4), KEPT, parts, y * 0 + 1)
