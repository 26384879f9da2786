"""Tests of the p-values of a stream, against counts and their distribution."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import kstest, spearmanr

from sk_center.monitoring.ranks import bag_of


def bag(scores, rng, tolerance=0.0):
    """Return a bag of one group."""
    scores = np.sort(scores)
    return bag_of(scores, np.full(len(scores), tolerance), np.array([len(scores)]), rng)


def p_values(bag, scores, rng):
    """Return the p-values of a stream in the only group."""
    zeros = np.zeros(len(scores), dtype=np.intp)
    return bag.p_values(np.asarray(scores), zeros, rng.random((len(scores), 2)))


def test_p_values_are_shares_of_lower_samples():
    """Check p-values without equal scores against counts of all samples before."""
    rng = np.random.default_rng(0)
    reference, stream = rng.normal(size=300), rng.normal(size=40)
    random = rng.random((40, 2))
    zeros = np.zeros(40, dtype=np.intp)
    found = bag(reference, rng).p_values(stream, zeros, random)
    edges = np.sort(reference)
    bins = np.searchsorted(edges, stream)
    for i in range(40):
        lower = (edges < stream[i]).sum() + (bins[:i] < bins[i]).sum()
        shared = 1 + (bins[:i] == bins[i]).sum()
        assert_allclose(found[i], (lower + random[i, 1] * shared) / (301 + i), rtol=1e-12)


def test_equal_scores_are_not_ordered_by_rounding():
    """Check that scores within the tolerance are placed on both sides of each other."""
    rng = np.random.default_rng(1)
    single = [
        bag([1.0] * 9, rng, 1e-6).p_values(
            np.array([1.0 + 2e-6]), np.array([0]), rng.random((1, 2))
        )
        for _ in range(400)
    ]
    assert kstest(np.concatenate(single), "uniform").pvalue > 1e-3
    above = p_values(bag([1.0] * 9, rng, 1e-6), [1.0 + 3e-6], rng)
    assert above[0] > 0.9
    below = p_values(bag([1.0] * 9, rng, 1e-6), [1.0 - 1e-6], rng)
    assert below[0] < 0.1


@pytest.mark.parametrize("n_reference", [0, 1, 5, 60])
@pytest.mark.parametrize("values", [2, 7, None])
def test_p_values_of_a_stream_are_independent_and_uniform(values, n_reference):
    """Check exchangeable samples, continuous or of few values, with new references each."""
    rng = np.random.default_rng(n_reference)
    found = []
    for _ in range(150):
        drawn = rng.normal(size=n_reference + 30)
        if values:
            drawn = np.clip(np.round(drawn), -values / 2, values / 2)
        found.append(p_values(bag(drawn[:n_reference], rng), drawn[n_reference:], rng))
    found = np.array(found)
    assert kstest(found.ravel(), "uniform").pvalue > 1e-3
    assert kstest(found[:, -1], "uniform").pvalue > 1e-3
    # Against one set of reference samples those of a stream would err alike.
    assert kstest(found.mean(axis=1) * 30 - 15, "norm", (0, np.sqrt(30 / 12))).pvalue > 1e-3
    assert spearmanr(found[:, :-1].ravel(), found[:, 1:].ravel()).pvalue > 1e-3


def test_groups_do_not_meet():
    """Check that samples are compared with those of their own group alone."""
    rng = np.random.default_rng(0)
    reference = np.concatenate([np.zeros(50), np.full(50, 9.0)])
    both = bag_of(reference, np.zeros(100), np.array([50, 50]), rng)
    scores, groups = np.array([5.0, 5.0]), np.array([0, 1])
    first, second = both.p_values(scores, groups, np.full((2, 2), 0.5))
    assert_allclose([first, second], [50.5 / 51, 0.5 / 51])
