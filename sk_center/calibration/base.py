"""Base class of calibrations: sorted scores of calibration samples in groups."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, clone

from sk_center._utils.schema import array, bounded

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

# Parametric tails have no smallest p-value, but none is zero: a rate of 0 rejects nothing.
SMALLEST = np.finfo(np.float64).tiny


class BaseCalibration(BaseEstimator):
    """Base class of the calibrations, which turn scores into p-values.

    Calibration samples form groups, such as all of them or those of a class, and a new
    sample is compared with those of one group.

    Attributes
    ----------
    scores_ : ndarray of shape (n_samples,), float64
        Scores of the calibration samples minus ``tolerance``, group by group, each in
        ascending order.

    tolerance_ : ndarray of shape (n_samples,), float64
        The amount by which each of ``scores_`` was lowered.

    n_samples_ : ndarray of shape (n_groups,), int
        Number of calibration samples of each group.

    thresholds_ : ndarray of shape (n_groups,), float64
        A sample is rejected when its p-value is at most this.

    score_thresholds_ : ndarray of shape (n_groups,), float64
        The same in units of the score: a sample is rejected when it scores below this.
    """

    scores_: NDArray[np.float64]
    tolerance_: NDArray[np.float64]
    n_samples_: NDArray[np.intp]
    thresholds_: NDArray[np.float64]
    score_thresholds_: NDArray[np.float64]
    takes_confidence = False
    # Attributes with one value per group.
    _of_groups: tuple[str, ...] = ("thresholds_", "score_thresholds_")
    _saved_state = {
        "n_samples_": bounded(array("i", "groups"), 0),
        "scores_": bounded(array("f", "samples")),
        "tolerance_": bounded(array("f", "samples"), 0),
        "thresholds_": bounded(array("f", "groups"), 0, np.nextafter(1, 0)),
        "score_thresholds_": bounded(array("f", "groups")),
    }

    def fit(
        self,
        scores: ArrayLike,
        groups: ArrayLike,
        rates: ArrayLike,
        *,
        confidence: float | None = None,
        tolerance: ArrayLike = 0.0,
    ) -> Self:
        """Learn the scores of calibration samples, and set thresholds.

        Parameters
        ----------
        scores : array-like of shape (n_samples,)
            Score of each calibration sample, larger is more typical. NaN counts as the
            least typical.

        groups : array-like of shape (n_samples,)
            Index of the group of each sample, from 0.

        rates : array-like of shape (n_groups,)
            False-rejection rate that is allowed in each group, in [0, 1).

        confidence : float in (0, 1), default=None
            Probability with which the bound holds for these calibration samples. If None,
            it holds on average over calibration samples.

        tolerance : float or array-like of shape (n_samples,), default=0.0
            Scores that differ by no more than this count as equal. Calibration scores are
            lowered by it, so that ties are accepted, which keeps the bound.

        Returns
        -------
        self : BaseCalibration
            The fitted calibration.

        Raises
        ------
        ValueError
            If ``confidence`` is given to a calibration that assumes a distribution, or
            scores are not finite although they must be.
        """
        self.check_confidence(confidence)
        scores = _comparable(scores)
        groups, rates = np.asarray(groups), np.asarray(rates, dtype=np.float64)
        tolerance = np.broadcast_to(np.asarray(tolerance, dtype=np.float64), scores.shape)
        return self._learn(scores - tolerance, tolerance, groups, rates, confidence)

    def _learn(self, lowered, tolerance, groups, rates, confidence, like=None):
        """Learn from lowered scores, with the shape of another calibration if given."""
        order = np.lexsort((lowered, groups))
        self.scores_, self.tolerance_ = lowered[order], tolerance[order]
        self.n_samples_ = np.bincount(groups, minlength=len(rates))
        self._fit(rates, confidence, like)
        return self

    def check_confidence(self, confidence: float | None) -> None:
        """Raise ValueError if a confidence is given and the calibration takes none.

        Parameters
        ----------
        confidence : float or None
            As ``fit`` takes it.
        """
        if confidence is not None and not self.takes_confidence:
            raise ValueError(
                f"confidence={confidence!r} takes calibration='conformal': "
                f"{type(self).__name__} assumes a distribution, which guarantees nothing."
            )

    def with_groups(
        self,
        samples: list[NDArray[np.float64]],
        rates: list[float],
        confidence: float | None = None,
    ) -> Self:
        """Return a copy with further groups; the others are unchanged, to the last bit.

        Parameters
        ----------
        samples : list of ndarray of shape (n_samples, 2), float64
            For each further group the scores of its calibration samples, minus the
            tolerance, and the tolerances.

        rates : list of float
            False-rejection rate that is allowed in each of them.

        confidence : float, default=None
            As in ``fit``.

        Returns
        -------
        calibration : BaseCalibration
            The copy. The shape of a distribution is unchanged.
        """
        groups = np.repeat(np.arange(len(samples)), [len(part) for part in samples])
        columns = np.concatenate([np.zeros((0, 2)), *samples]).T
        further = clone(self)._learn(*columns, groups, np.array(rates), confidence, self)
        return self._joined(further)

    def _joined(self, other):
        """Return a copy with the groups of another calibration of the same kind, too."""
        found = copy(self)
        for name in ("scores_", "tolerance_", "n_samples_", *self._of_groups):
            both = [getattr(self, name), getattr(other, name)]
            setattr(found, name, np.concatenate(both))
        return found

    def take(self, index: NDArray[np.intp]) -> Self:
        """Return a copy with some of the groups, in the order of their indices.

        Parameters
        ----------
        index : ndarray of shape (n_taken,), int
            Indices of groups.

        Returns
        -------
        calibration : BaseCalibration
            The copy.
        """
        found, groups = copy(self), self._samples()
        both = np.concatenate([groups[i] for i in index])
        found.scores_, found.tolerance_ = np.ascontiguousarray(both.T)
        for name in ("n_samples_", *self._of_groups):
            setattr(found, name, getattr(self, name)[index])
        return found

    def p_values(
        self, scores: NDArray[Any], groups: NDArray[np.intp] | None = None
    ) -> NDArray[np.float64]:
        """Return the p-value of each score within its group.

        Parameters
        ----------
        scores : ndarray of any shape
            Scores of new samples.

        groups : ndarray, default=None
            Index of the group that each score is compared with, of a shape that broadcasts
            to that of the scores; None is the first group for all.

        Returns
        -------
        p_values : ndarray of the shape of the scores, float64
            In (0, 1]; 1 in a group without calibration samples.
        """
        scores = _comparable(scores)
        if groups is None or len(self.n_samples_) == 1:
            groups = np.zeros(1, dtype=np.intp)
        return self._p_values(scores, groups)

    def _check_loaded(self):
        """Raise ValueError unless the scores are sorted within their groups."""
        if self.n_samples_.sum() != len(self.scores_):
            raise ValueError("n_samples_ must be the numbers of scores_")
        if not all((part[1:] >= part[:-1]).all() for part in self._by_group()):
            raise ValueError("scores_ must be in ascending order within each group")

    @property
    def _starts(self):
        return np.cumsum(self.n_samples_) - self.n_samples_

    def _by_group(self):
        """Return the scores of each group, in ascending order."""
        return np.split(self.scores_, self._starts[1:])

    def _samples(self):
        """Return the scores and tolerances of each group, as ``with_groups`` takes them."""
        both = np.column_stack([self.scores_, self.tolerance_])
        return np.split(both, self._starts[1:])

    def _number_below(self, scores, groups):
        """Return how many calibration samples of its group score no higher than each."""
        if len(self.n_samples_) == 1:
            return self.scores_.searchsorted(scores, side="right")
        # One binary search for all, without a loop over groups.
        first, size = self._starts[groups], self.n_samples_[groups]
        found = np.zeros(np.broadcast_shapes(scores.shape, groups.shape), dtype=np.intp)
        last = max(len(self.scores_) - 1, 0)
        padded = self.scores_ if len(self.scores_) else np.array([np.nan])
        for step in 2 ** np.arange(int(self.n_samples_.max()).bit_length())[::-1]:
            tried = found + step
            at = np.minimum(first + tried - 1, last)
            found = np.where((tried <= size) & (padded[at] <= scores), tried, found)
        return found


def _comparable(scores):
    """Return scores in float64, with minus infinity for NaN."""
    scores = np.asarray(scores, dtype=np.float64)
    unknown = np.isnan(scores)
    return np.where(unknown, -np.inf, scores) if unknown.any() else scores
