"""Bets against a hypothesis, whose capital grows if it is false."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sk_center._utils.schema import array, bounded

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Densities of p-values that are bet on. Outsiders: a share of the p-values lies below a
# bound. Shifts: p-values gather smoothly at zero, or at one.
OUTSIDERS = (
    *((0.003, 0.03), (0.01, 0.04), (0.03, 0.05), (0.03, 0.2)),
    *((0.1, 0.1), (0.1, 0.4), (0.3, 0.6)),
)
POWERS = (0.5, 0.8)
# Factors by which the odds of an outsider have grown.
ODDS = np.array([1.5, 2, 4, 10, 40])
# Lower bound of p-values.
LEAST = 1e-12
# A share of the capital is redistributed at each step: one in this number plus the steps
# before.
STEADY = 100


@dataclass(eq=False)
class Martingales:
    """Capitals, one per row, each spread over the same bets; the first keeps it."""

    _saved_state = {
        "shares": bounded(array("f", "rows", "bets"), 0, 1 + 1e-9),
        "logs": bounded(array("f", "rows")),
        "n_samples": bounded(array("i", "rows"), 0),
    }

    shares: NDArray[np.float64]  # of the capital on each bet
    logs: NDArray[np.float64]  # of the capital
    n_samples: NDArray[np.int64]

    def bet(self, row: int, returns: NDArray[np.float64]) -> None:
        """Bet with one capital; ``returns`` are those of each bet per unit staked."""
        shares = self.shares[row]
        moved = 1 / (self.n_samples[row] + STEADY)
        stakes = ((1 - moved) * shares + moved * start(len(shares))) * returns
        total = stakes.sum()
        self.shares[row] = stakes / total
        self.logs[row] += np.log(total)
        self.n_samples[row] += 1


def martingales(n_rows: int, n_bets: int) -> Martingales:
    """Return capitals of one each."""
    return Martingales(
        shares=np.tile(start(n_bets), (n_rows, 1)),
        logs=np.zeros(n_rows),
        n_samples=np.zeros(n_rows, dtype=np.int64),
    )


def start(n_bets: int) -> NDArray[np.float64]:
    """Return the first shares: half is kept, half is bet."""
    return np.append(0.5, np.full(n_bets - 1, 0.5 / (n_bets - 1)))


def returns_of_p_values(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the returns of each bet for each p-value, one on average if it is uniform."""
    p = np.clip(p_values, LEAST, 1 - LEAST)
    columns: list[NDArray[np.floating]] = [np.ones(len(p))]
    columns += [1 - share + share / below * (p <= below) for below, share in OUTSIDERS]
    columns += [a * side ** (a - 1) for a in POWERS for side in (p, 1 - p)]
    middle = 6 * p * (1 - p)
    columns += [(1 + middle) / 2, (3 - middle) / 2]
    return np.column_stack(columns)


def returns_of_outsiders(outsider: NDArray[np.bool_], rate: float) -> NDArray[np.float64]:
    """Return the returns of each bet, at most one on average while the rate holds."""
    rates = ODDS * rate / (1 - rate + ODDS * rate)
    ratio = np.where(outsider[:, None], rates / rate, (1 - rates) / (1 - rate))
    return np.column_stack([np.ones(len(outsider)), ratio])
