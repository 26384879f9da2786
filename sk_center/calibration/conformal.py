"""Conformal p-values, and the samples that they take."""

from __future__ import annotations

from bisect import bisect_left
from decimal import ROUND_UP, Context
from math import ceil, floor
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import betainc

if TYPE_CHECKING:
    from decimal import Decimal

    from numpy.typing import NDArray
from sk_center.calibration.base import BaseCalibration

__all__ = ["ConformalCalibration", "samples_needed"]


class ConformalCalibration(BaseCalibration):
    """Class-conditional conformal p-values with a bound on false rejections.

    A sample with the score s for class i has the p-value [1]_ [2]_::

        p_i = (1 + #{calibration samples of class i with a score <= s}) / (n_i + 1)

    Where the calibration samples and a new member of class i are exchangeable,
    ``P(p_i <= t) <= t`` for every t, whatever the score, at every n_i.

    Parameters
    ----------
    false_rejection_rate : ndarray of shape (n_classes,)
        Bound on the share of the members of each class that are turned away.

    confidence : float, default=None
        None: the bound holds on average over calibration sets. Otherwise it holds for
        this calibration set with at least this probability, and a class takes more
        calibration samples, see :func:`samples_needed`.

    Attributes
    ----------
    thresholds_ : ndarray of shape (n_classes,)
        A class turns a sample down when its p-value is at most this.

    score_thresholds_ : ndarray of shape (n_classes,)
        The same in units of the score: it turns down what scores below this.

    groups_ : ndarray of shape (n_classes,)
        Index of the calibration group of each class: its own, or the one that classes
        too rare to calibrate alone share, with the smallest of their rates.

    n_samples_ : ndarray of shape (n_classes,)
        Number of calibration samples in the group of each class.

    See Also
    --------
    WeibullCalibration : Continues beyond the lowest calibration score.
    GaussianCalibration : For distances, and classes of few samples.
    samples_needed : How many calibration samples a bound takes.

    Notes
    -----
    Let a threshold let through all but the k lowest of n calibration scores. The share of
    members below it, given the calibration set, is at most Beta(k, n + 1 - k) in
    distribution, with mean k / (n + 1). ``confidence`` takes the largest k whose Beta
    quantile still is within the bound [3]_.

    References
    ----------
    .. [1] V. Vovk, A. Gammerman, G. Shafer. "Algorithmic learning in a random world".
       Springer 2005.
    .. [2] Y. Hechtlinger, B. Poczos, L. Wasserman. "Cautious deep learning".
       arXiv:1805.09460, 2018.
    .. [3] V. Vovk. "Conditional validity of inductive conformal predictors". ACML 2012.

    Examples
    --------
    Two classes of 20 calibration samples each, and a bound of 5 and 10 %:

    >>> import numpy as np
    >>> from sk_center.calibration import ConformalCalibration
    >>> scores, y = np.arange(40.0), np.repeat([0, 1], 20)
    >>> calibration = ConformalCalibration(np.array([0.05, 0.1]))
    >>> calibration.fit(scores, y, classes=["cat", "dog"]).score_thresholds_
    array([ 0., 21.])
    >>> calibration.p_values(np.array([[5.0, 19.5]])).round(3)
    array([[0.333, 0.048]])
    """

    def _samples_needed(self, rate):
        return samples_needed(rate, self.confidence)

    def _smallest_rate(self, n_samples):
        return smallest_rate(n_samples, self.confidence)

    def _fit(self, rates):
        ranks = [
            rejected_ranks(n, rate, self.confidence)
            for n, rate in zip(self.n_samples_, rates)
        ]
        self.thresholds_ = np.where(
            self.confidence is None, rates, ranks / (self.n_samples_ + 1)
        )
        self.score_thresholds_ = np.array(
            [
                self._members[group][rank - 1] if rank else -np.inf
                for group, rank in zip(self.groups_, ranks)
            ]
        )

    def _p_values(self, group, scores):
        return conformal_p_values(self._members[group], scores)


def conformal_p_values(members: NDArray[Any], scores: NDArray[Any]) -> NDArray[np.float64]:
    """Return the share of members and of each sample itself that score no higher.

    Parameters
    ----------
    members : ndarray of shape (n_members,)
        Scores of the calibration samples, sorted.

    scores : ndarray of shape (n_samples,)
        Scores.

    Returns
    -------
    p_values : ndarray of shape (n_samples,)
        ``(1 + #{members <= score}) / (n_members + 1)``.
    """
    return (1 + np.searchsorted(members, scores, side="right")) / (len(members) + 1)


def samples_needed(false_rejection_rate: float, confidence: float | None = None) -> int:
    """Return the fewest calibration samples with which a class can turn samples down.

    Parameters
    ----------
    false_rejection_rate : float
        The bound, in [0, 1). Half of it takes twice the samples.

    confidence : float, default=None
        None: the bound holds on average over calibration sets. A float in (0, 1): it holds
        with at least this probability, which takes more samples.

    Returns
    -------
    n : int
        0 for a rate of 0, where no class ever turns a sample down.

    See Also
    --------
    ConformalCalibration : Takes so many samples of each class.

    Examples
    --------
    >>> from sk_center.calibration import samples_needed
    >>> samples_needed(0.05), samples_needed(0.01)
    (19, 99)
    >>> samples_needed(0.05, confidence=0.9), samples_needed(0.01, confidence=0.9)
    (45, 230)
    """
    if false_rejection_rate == 0:
        return 0
    # Of less, the number is too large to count with, and to have.
    false_rejection_rate = max(float(false_rejection_rate), 1e-17)
    if confidence is None:
        n = max(floor(1 / false_rejection_rate) - 2, 0)
    else:
        n = max(ceil(np.log1p(-confidence) / np.log1p(-false_rejection_rate)) - 2, 0)
    while rejected_ranks(n, false_rejection_rate, confidence) == 0:
        n += 1
    return n


def smallest_rate(n_samples: int, confidence: float | None = None) -> Decimal | None:
    """Return the smallest bound that some samples are enough for, rounded up.

    Parameters
    ----------
    n_samples : int
        Number of calibration samples.

    confidence : float, default=None
        As in :func:`samples_needed`.

    Returns
    -------
    rate : decimal.Decimal or None
        Of two digits; None where no bound below one is large enough.
    """
    if not n_samples:
        return None
    context = Context(prec=2, rounding=ROUND_UP)
    if confidence is None:
        return context.divide(1, n_samples + 1)
    rate = context.create_decimal(-np.expm1(np.log1p(-confidence) / n_samples))
    return rate if rate < 1 else None


def rejected_ranks(
    n_samples: int, false_rejection_rate: float, confidence: float | None = None
) -> int:
    """Return how many of the lowest calibration scores a threshold may lie above.

    Parameters
    ----------
    n_samples : int
        Number of calibration samples.

    false_rejection_rate : float
        The bound, in [0, 1).

    confidence : float, default=None
        See :class:`ConformalCalibration`.

    Returns
    -------
    k : int
        The largest k with ``k / (n_samples + 1) <= false_rejection_rate``, or with
        ``P(Beta(k, n_samples + 1 - k) <= false_rejection_rate) >= confidence``; scores
        below the k-th smallest are turned down. 0 turns down nothing.
    """
    if confidence is None:
        # The quotient, as in the p-value: floor(rate * (n + 1)) rounds differently.
        k = floor(false_rejection_rate * (n_samples + 1)) + 1
        while k / (n_samples + 1) > false_rejection_rate:
            k -= 1
        return k

    def fails(k):
        return betainc(k, n_samples + 1.0 - k, false_rejection_rate) < confidence

    return bisect_left(range(1, n_samples + 1), True, key=fails)
