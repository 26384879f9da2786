"""Conformal p-values of a stream, each against all samples that came before."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from sk_center._utils.schema import array, bounded

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(eq=False)
class Bag:
    """Reference samples and those of a stream, group by group, in constant memory.

    The samples of the stream are counted between the reference samples, and are not kept.
    Reference scores that are equal form a value, which has a lowest and a highest score,
    since scores that differ by rounding are equal. A sample gets a random place among those
    of equal score, so that no two places are the same.
    """

    _saved_state = {
        "lowest": bounded(array("f", "values")),
        "highest": bounded(array("f", "values")),
        "first_value": bounded(array("i", "ends"), 0),
        "places": bounded(array("f", "samples"), 0),
        "first_place": bounded(array("i", "ends"), 0),
        "counts": bounded(array("i", "bins"), 1),
    }

    lowest: NDArray[np.float64]  # of each value, ascending in each group
    highest: NDArray[np.float64]
    first_value: NDArray[np.intp]  # of each group, and the number of all
    places: NDArray[np.float64]  # of each reference sample, ascending in each group
    first_place: NDArray[np.intp]
    counts: NDArray[np.int64]  # one more than the samples of the stream in each bin

    def _check_loaded(self):
        """Raise ValueError unless the parts go together."""
        groups = len(self.first_value) - 1
        if groups < 1 or len(self.counts) != len(self.places) + groups:
            raise ValueError("counts must be one more than the places of each group")
        for first, all_ in (
            (self.first_value, self.lowest),
            (self.first_place, self.places),
        ):
            if first[0] != 0 or first[-1] != len(all_) or (np.diff(first) < 0).any():
                raise ValueError("groups must hold all values and places")

    def p_values(
        self,
        scores: NDArray[np.float64],
        groups: NDArray[np.intp],
        random: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return smoothed p-values of new samples in their order, and add the samples.

        ``random`` has two numbers in [0, 1) a sample.
        """
        bins = np.empty(len(scores), dtype=np.intp)
        for group in np.unique(groups):
            rows = np.flatnonzero(groups == group)
            bins[rows] = self._bins_of(scores[rows], random[rows, 0], group)
        p_values = np.empty(len(scores))
        starts = self.first_place + np.arange(len(self.first_place))
        for i, (bin_, group, u) in enumerate(zip(bins, groups, random[:, 1])):
            counts = self.counts[starts[group] : starts[group + 1]]
            p_values[i] = (counts[:bin_].sum() + u * counts[bin_]) / counts.sum()
            counts[bin_] += 1
        return p_values

    def _bins_of(self, scores, random, group):
        """Return the position of each score among the reference samples of its group."""
        values = slice(*self.first_value[group : group + 2])
        lowest, highest = self.lowest[values], self.highest[values]
        value = np.searchsorted(lowest, scores, side="right") - 1
        equal = value >= 0
        equal[equal] = scores[equal] <= highest[value[equal]]
        place = 2.0 * value + np.where(equal, 1 + random, 2.5)
        return np.searchsorted(
            self.places[slice(*self.first_place[group : group + 2])], place
        )


def bag_of(
    scores: NDArray[np.float64],
    tolerance: NDArray[np.float64],
    n_samples: NDArray[np.intp],
    rng: np.random.Generator,
) -> Bag:
    """Return a bag of reference scores, in ascending order group by group.

    Scores that differ by at most twice the tolerance are equal.
    """
    first = np.concatenate([[0], np.cumsum(n_samples)])
    lowest, highest, places, n_values = [], [], [], []
    for start, stop in pairwise(first):
        low = scores[start:stop]
        high = np.maximum.accumulate(low + 2 * tolerance[start:stop])
        new = (
            np.concatenate([[True], low[1:] > high[:-1]]) if len(low) else low.astype(bool)
        )
        value = np.cumsum(new) - 1
        lowest.append(low[new])
        highest.append(high[np.append(new[1:], True)] if len(low) else high)
        places.append(np.sort(2.0 * value + 1 + rng.random(len(low))))
        n_values.append(new.sum())
    return Bag(
        lowest=np.concatenate(lowest),
        highest=np.concatenate(highest),
        first_value=np.concatenate([[0], np.cumsum(n_values)]).astype(np.intp),
        places=np.concatenate(places),
        first_place=first.astype(np.intp),
        counts=np.ones(len(scores) + len(n_samples), dtype=np.int64),
    )
