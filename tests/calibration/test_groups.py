"""Tests of which classes share a threshold, and at which rate."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sk_center.calibration import samples_needed
from sk_center.calibration.groups import rates_of_groups, shared_groups


@pytest.mark.parametrize(
    ("counts", "merged"),
    [
        ([19, 19, 200], []),
        # 7 + 11 are too few: the next larger one joins, and only that.
        ([100, 7, 30, 11], [1, 2, 3]),
        ([100, 7, 30, 12], [1, 3]),
        # One class alone cannot be its own group.
        ([100, 18, 30], [1, 2]),
        ([100, 0, 30], [1, 2]),
        ([25, 18], [0, 1]),
        # All together are just enough.
        ([9, 10], [0, 1]),
        ([1] * 19, list(range(19))),
        # Equal ones join in their order.
        ([18, 20, 20, 20], [0, 1]),
    ],
)
def test_who_shares(counts, merged):
    """Check that rare classes share, and others join while those are too few."""
    counts = np.array(counts)
    groups, shared = shared_groups(counts, np.full(len(counts), 19))
    assert_array_equal(np.flatnonzero(shared), merged)
    alone = np.setdiff1d(np.arange(len(counts)), merged)
    # Those on their own first, in their order, then the group that is shared.
    assert_array_equal(groups[alone], np.arange(len(alone)))
    assert_array_equal(groups[merged], len(alone))
    assert (np.bincount(groups, weights=counts) >= 19).all()


@pytest.mark.parametrize(
    ("rates", "counts", "merged"),
    [
        # 19, 9 and 99 are needed.
        ([0.05, 0.1, 0.01], [19, 9, 99], []),
        ([0.05, 0.1, 0.01], [30, 8, 150], [0, 1]),
        # Class 2 needs 99: the smallest join first, though they have enough.
        ([0.05, 0.1, 0.01], [19, 9, 98], [1, 2]),
        ([0.05, 0.1, 0.01], [20, 9, 70], [0, 1, 2]),
        # A rate of 0 is never too few.
        ([0.05, 0, 0.01], [50, 0, 99], []),
        ([0.05, 0], [18, 40], [0, 1]),
    ],
)
def test_who_shares_at_rates_per_class(rates, counts, merged):
    """Check that each class needs the samples of its rate, a group those of its least."""
    needed = np.array([samples_needed(rate) for rate in rates])
    groups, shared = shared_groups(np.array(counts), needed)
    assert_array_equal(np.flatnonzero(shared), merged)
    found = rates_of_groups(groups, np.array(rates))
    for group, rate in enumerate(found):
        inside = [rates[k] for k in np.flatnonzero(groups == group)]
        assert rate == min((r for r in inside if r), default=0)


def test_group_of_rates_of_zero():
    """Check that only classes that never reject have a group that never does."""
    groups = np.array([0, 0, 1, 1])
    assert_array_equal(rates_of_groups(groups, np.array([0, 0, 0.2, 0])), [0, 0.2])
