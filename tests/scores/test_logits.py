"""Tests of scores of logits and probabilities."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from score_problems import probabilities
from sklearn.base import clone

from sk_center.scores import (
    GEN,
    Energy,
    LogOdds,
    MaxLogit,
    MaxSoftmax,
    OpenMax,
    ViM,
)


def test_max_softmax_is_the_probability():
    """Check that the scores are the probabilities, and the sample's the largest."""
    P, y = probabilities()
    score = MaxSoftmax().fit(P, y)
    new, _ = probabilities(1, 9)
    assert_array_equal(score.score_classes(new), new)
    assert_array_equal(score.score_samples(new), [max(row) for row in new])


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


def test_max_softmax_of_other_classes_raises():
    """Check that there must be one probability for each class."""
    with pytest.raises(ValueError, match="3"):
        MaxSoftmax().fit(np.full((4, 3), 1 / 3), [0, 0, 1, 1])


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


@pytest.mark.parametrize(("gamma", "n_top"), [(0.1, 100), (0.5, 2)])
def test_gen(gamma, n_top):
    """Check the generalized entropy by loops over the largest probabilities."""
    P, y = probabilities(0, 40)
    P[0], P[1] = [1, 0, 0], [0.5, 0.5, 0]
    expected = [
        -sum((p * (1 - p)) ** gamma for p in sorted(row, reverse=True)[:n_top]) for row in P
    ]
    score = GEN(gamma, n_top=n_top).fit(P, y)
    assert_allclose(score.score_samples(P), expected, rtol=1e-12, atol=1e-15)


def test_log_odds():
    """Check the log-odds by their definition, and where the largest rounds to one."""
    P, y = probabilities(0, 40)
    score = LogOdds().fit(P, y)
    assert_allclose(score.score_classes(P), np.log(P / (1 - P)), rtol=1e-9)
    sure = np.array([[1, 1e-9, 1e-10], [1, 1e-10, 0], [1, 0, 0]], dtype=np.float32)
    found = score.score_samples(sure)
    expected = -np.log([1.1e-9, 1e-10, 1e-12])
    assert_allclose(found, expected, rtol=1e-6)
    assert_allclose(score.score_labels(sure, [0, 0, 0]), expected, rtol=1e-6)
