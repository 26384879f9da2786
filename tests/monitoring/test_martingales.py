"""Tests of the bets of monitors, against integrals and products."""

import numpy as np
from numpy.testing import assert_allclose
from scipy.integrate import quad

from sk_center.monitoring.martingales import (
    OUTSIDERS,
    STEADY,
    martingales,
    returns_of_outsiders,
    returns_of_p_values,
)


def test_bets_are_fair():
    """Check that each bet returns one on average for uniform p-values, and never zero."""
    n_bets = returns_of_p_values(np.zeros(1)).shape[1]
    edges = sorted({below for below, _ in OUTSIDERS})
    for k in range(n_bets):
        mean, _ = quad(
            lambda p, k=k: returns_of_p_values(np.array([p]))[0, k], 0, 1, points=edges
        )
        assert_allclose(mean, 1, atol=1e-4)
    assert (returns_of_p_values(np.linspace(0, 1, 1001)) > 0).all()


def test_bets_on_outsiders_are_fair_up_to_the_rate():
    """Check the mean return where the rate is the expected one, and where it is smaller."""
    yes, no = returns_of_outsiders(np.array([True, False]), 0.1)
    assert_allclose(0.1 * yes + 0.9 * no, 1)
    assert (0.05 * yes + 0.95 * no <= 1).all()
    assert (0.3 * yes + 0.7 * no)[1:].max() > 1.2


def test_capital_is_that_of_the_stakes():
    """Check the capital against the sums of stakes in a loop, of one row among others."""
    rng = np.random.default_rng(0)
    returns = rng.uniform(0, 2, size=(50, 4))
    capital = martingales(3, 4)
    first = np.array([1 / 2, 1 / 6, 1 / 6, 1 / 6])
    stakes = first.copy()
    for i, row in enumerate(returns):
        capital.bet(1, row)
        moved = 1 / (i + STEADY)
        stakes = ((1 - moved) * stakes + moved * stakes.sum() * first) * row
    assert_allclose(capital.logs, [0, np.log(stakes.sum()), 0])
    assert_allclose(capital.shares[1], stakes / stakes.sum())
    assert capital.n_samples.tolist() == [0, 50, 0]
