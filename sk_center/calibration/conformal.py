"""Conformal p-values, and the numbers of calibration samples that bounds need."""

from __future__ import annotations

from bisect import bisect_left
from decimal import ROUND_UP, Context
from math import ceil, floor
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import betainc

from sk_center.calibration.base import BaseCalibration

if TYPE_CHECKING:
    from decimal import Decimal


class ConformalCalibration(BaseCalibration):
    """Conformal p-values, whose bound on false rejections assumes nothing of the scores.

    A sample with the score s has, among n calibration samples of its group, the p-value
    [1]_ [2]_::

        p = (1 + #{calibration samples with a score <= s}) / (n + 1)

    If the calibration samples and a new known sample of the group are exchangeable,
    ``P(p <= t) <= t`` for every t, whatever the score, at every n.

    Attributes
    ----------
    scores_ : ndarray of shape (n_samples,), float64
        Scores of the calibration samples minus the tolerance, group by group, each in
        ascending order.

    tolerance_ : ndarray of shape (n_samples,), float64
        The amount by which each of ``scores_`` was lowered.

    n_samples_ : ndarray of shape (n_groups,), int
        Number of calibration samples of each group.

    thresholds_, score_thresholds_ : ndarray of shape (n_groups,), float64
        A sample is rejected when its p-value is at most the first, that is when it scores
        below the second, which is minus infinity if nothing is rejected.

    See Also
    --------
    WeibullCalibration : Extrapolates beyond the lowest calibration score.
    GaussianCalibration : For distances, and few calibration samples.
    samples_needed : The number of calibration samples that a bound needs.

    Notes
    -----
    A threshold at the k-th smallest of n calibration scores rejects samples strictly below
    it. The share of known samples there, given the calibration samples, is at most
    Beta(k, n + 1 - k) in distribution, with mean k / (n + 1). ``confidence`` takes the
    largest k whose Beta quantile still is within the bound [3]_.

    References
    ----------
    .. [1] V. Vovk, A. Gammerman, G. Shafer. "Algorithmic learning in a random world".
       Springer 2005.
    .. [2] S. Bates, E. Candès, L. Lei, Y. Romano, M. Sesia. "Testing for outliers with
       conformal p-values". Annals of Statistics 51, 2023.
    .. [3] V. Vovk. "Conditional validity of inductive conformal predictors". ACML 2012.

    Examples
    --------
    Two groups of 20 calibration samples each, and bounds of 5 and 10 %:

    >>> import numpy as np
    >>> from sk_center.calibration import ConformalCalibration
    >>> scores, groups = np.arange(40.0), np.repeat([0, 1], 20)
    >>> calibration = ConformalCalibration().fit(scores, groups, rates=[0.05, 0.1])
    >>> calibration.score_thresholds_
    array([ 0., 21.])
    >>> calibration.p_values(np.array([5.0, 19.5]), groups=np.array([0, 1])).round(3)
    array([0.333, 0.048])
    """

    takes_confidence = True

    def _samples_needed(self, rate, confidence):
        return samples_needed(rate, confidence)

    def _fit(self, rates, confidence, like=None):
        ranks = np.array(
            [
                rejected_ranks(n, rate, confidence)
                for n, rate in zip(self.n_samples_, rates)
            ],
            dtype=np.intp,
        )
        self.thresholds_ = rates
        if confidence is not None:
            self.thresholds_ = ranks / (self.n_samples_ + 1)
        self.score_thresholds_ = np.full(len(rates), -np.inf)
        some = ranks > 0
        self.score_thresholds_[some] = self.scores_[(self._starts + ranks - 1)[some]]

    def _p_values(self, scores, groups):
        number = self._number_below(scores, groups)
        return (1 + number) / (self.n_samples_[groups] + 1)


def samples_needed(false_rejection_rate: float, confidence: float | None = None) -> int:
    """Return the smallest number of calibration samples with which samples are rejected.

    Parameters
    ----------
    false_rejection_rate : float
        The bound, in [0, 1). Half the rate needs twice as many samples.

    confidence : float, default=None
        If None, the bound holds on average over calibration samples. With a float in (0,
        1), it holds with at least this probability, which needs more samples.

    Returns
    -------
    n : int
        The number; 0 for a rate of 0, at which no sample is ever rejected.

    Raises
    ------
    ValueError
        If ``false_rejection_rate`` or ``confidence`` is outside of its range.

    See Also
    --------
    ConformalCalibration : Needs this number in each group.

    Examples
    --------
    >>> from sk_center.calibration import samples_needed
    >>> samples_needed(0.05), samples_needed(0.01)
    (19, 99)
    >>> samples_needed(0.05, confidence=0.9), samples_needed(0.01, confidence=0.9)
    (45, 230)
    """
    if not (isinstance(false_rejection_rate, Real) and 0 <= false_rejection_rate < 1):
        raise ValueError(
            f"false_rejection_rate must be a number in [0, 1); got "
            f"{false_rejection_rate!r}."
        )
    if not (confidence is None or (isinstance(confidence, Real) and 0 < confidence < 1)):
        raise ValueError(f"confidence must be None or in (0, 1); got {confidence!r}.")
    if false_rejection_rate == 0:
        return 0
    # A smaller rate would need more samples than an integer can count.
    false_rejection_rate = max(float(false_rejection_rate), 1e-17)
    if confidence is None:
        n = max(floor(1 / false_rejection_rate) - 2, 0)
    else:
        n = max(ceil(np.log1p(-confidence) / np.log1p(-false_rejection_rate)) - 2, 0)
    while rejected_ranks(n, false_rejection_rate, confidence) == 0:
        n += 1
    return n


def smallest_rate(n_samples: int, confidence: float | None = None) -> Decimal | None:
    """Return the smallest bound for a number of samples, rounded up to two digits."""
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
    """Return the rank of the calibration score below which samples are rejected.

    It is the largest k with ``k / (n + 1) <= rate``, or under ``confidence`` with
    ``P(Beta(k, n + 1 - k) <= rate) >= confidence``; 0 rejects nothing.
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
