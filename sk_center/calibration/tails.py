"""p-values from an assumed distribution of the scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import brentq, minimize_scalar
from scipy.special import psi
from scipy.stats import f as fisher_f

from sk_center._utils.schema import array, bounded, positive
from sk_center.calibration.base import SMALLEST, BaseCalibration
from sk_center.calibration.conformal import rejected_ranks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Largest number of scores in the tail of a group.
TAIL_SIZE = 20


class ParametricCalibration(BaseCalibration):
    """Base class of the calibrations that assume a distribution of the scores.

    The distributions of all groups have one shape, which is estimated from all calibration
    samples, and differ in their scale. The p-values are those of the predictive
    distribution, which accounts for the uncertainty of a scale from few samples.
    """

    def _samples_needed(self, rate, confidence):
        return 2 if rate else 0  # a shape cannot be estimated from one sample

    def _fit(self, rates, confidence, like=None):
        if not np.isfinite(self.scores_).all():
            raise ValueError(
                f"calibration={type(self).__name__} takes finite scores of the calibration "
                "samples; calibration='conformal' takes others."
            )
        self.thresholds_ = rates
        self._fit_shape(self._by_group(), like)
        self.score_thresholds_ = np.array(
            [
                self._score_at(group, rate) if rate and self.n_samples_[group] else -np.inf
                for group, rate in enumerate(rates)
            ]
        )


class GaussianCalibration(ParametricCalibration):
    """Assume that squared distances to class centers follow a chi-square distribution.

    If the features of a class are Gaussian, the squared distance of a known sample to the
    center is, up to scale, a chi-square variable; for the Euclidean distance and directions
    of different variance this holds approximately [1]_. Divided by the mean of n others it
    follows an F distribution::

        p = P(F(nu, n nu) >= d^2 / mean(d_i^2))

    with the degrees of freedom nu, the number of independent features, estimated from all
    groups together by their likelihood given the means.

    Attributes
    ----------
    degrees_of_freedom_ : float
        The degrees of freedom nu.

    means_ : ndarray of shape (n_groups,), float64
        Mean squared distance of each group.

    scores_, tolerance_, n_samples_, thresholds_, score_thresholds_ : ndarray
        As in :class:`ConformalCalibration`.

    See Also
    --------
    ConformalCalibration : Assumes no distribution.
    sk_center.scores.Mahalanobis : A score for which it is suited.

    Notes
    -----
    Two samples per group suffice, and p-values may be arbitrarily small. The bound on false
    rejections is as good as the assumption.

    References
    ----------
    .. [1] F. E. Satterthwaite. "An approximate distribution of estimates of variance
       components". Biometrics Bulletin, 1946.

    Examples
    --------
    Distances in three dimensions have about three degrees of freedom:

    >>> import numpy as np
    >>> from sk_center.calibration import GaussianCalibration
    >>> X = np.random.default_rng(0).normal(size=(200, 3))
    >>> scores = -np.linalg.norm(X, axis=1)
    >>> calibration = GaussianCalibration()
    >>> calibration = calibration.fit(scores, np.zeros(200, dtype=int), rates=[0.05])
    >>> round(calibration.degrees_of_freedom_, 1)
    3.2
    >>> bool(calibration.p_values(np.array(-6.0)) < 1e-6)
    True
    """

    _of_groups = (*ParametricCalibration._of_groups, "means_")
    _saved_state = {
        "means_": bounded(array("f", "groups"), SMALLEST),
        "degrees_of_freedom_": positive,
    }

    def _fit_shape(self, groups, like):
        squares = [scores**2 for scores in groups]
        self.means_ = np.array(
            [max(d2.sum() / max(len(d2), 1), SMALLEST) for d2 in squares]
        )
        self.degrees_of_freedom_ = (
            2 * gamma_shape(squares) if like is None else like.degrees_of_freedom_
        )

    def _p_values(self, scores, groups):
        n, nu = self.n_samples_[groups], self.degrees_of_freedom_
        with np.errstate(over="ignore"):
            ratio = scores**2 / self.means_[groups]
        p_values = np.maximum(fisher_f.sf(ratio, nu, nu * np.maximum(n, 1)), SMALLEST)
        return np.where(n > 0, p_values, 1.0)

    def _score_at(self, group, p_value):
        nu = self.degrees_of_freedom_
        ratio = fisher_f.isf(p_value, nu, nu * self.n_samples_[group])
        return -np.sqrt(ratio * self.means_[group])


class WeibullCalibration(ParametricCalibration):
    """Extrapolate conformal p-values beyond the calibration samples by a Weibull tail.

    In each group the lowest 20 scores, or the lower half of fewer than 40, are a sample of
    a tail, and their distances below the next higher score u follow a Weibull distribution
    [1]_. Up to u p-values are conformal; below it, with the m excesses e of the calibration
    samples::

        p = (m + 1) / (n + 1) * (1 + (u - s)^c / sum(e^c))^-m

    which is the predictive probability of a larger excess when the scale is unknown. The
    shape c maximizes the likelihood, given the scales, over all groups. At
    c = 1 the tail is exponential.

    Attributes
    ----------
    shape_ : float
        The shape c.

    tail_sizes_ : ndarray of shape (n_groups,), int
        Number m of scores in the tail of each group.

    units_, sums_ : ndarray of shape (n_groups,), float64
        Largest excess of each group, and the sum of the excesses, divided by it, to the
        power c; zero for a group without tail.

    scores_, tolerance_, n_samples_, thresholds_, score_thresholds_ : ndarray
        As in :class:`ConformalCalibration`.

    See Also
    --------
    ConformalCalibration : Assumes no distribution.
    sk_center.scores.OpenMax : A score based on Weibull tails.

    Notes
    -----
    The tail matters if the samples are too few for ``false_rejection_rate``, such as 30
    samples for 1 %; with many samples the threshold is conformal.

    References
    ----------
    .. [1] W. J. Scheirer, A. Rocha, R. J. Micheals, T. E. Boult. "Meta-recognition: the
       theory and practice of recognition score analysis". IEEE TPAMI, 2011.

    Examples
    --------
    With 30 calibration samples a conformal p-value is at least 1 / 31, unlike this one:

    >>> import numpy as np
    >>> from sk_center.calibration import WeibullCalibration
    >>> X = np.random.default_rng(0).normal(size=(30, 3))
    >>> scores = -np.linalg.norm(X, axis=1)
    >>> calibration = WeibullCalibration()
    >>> calibration = calibration.fit(scores, np.zeros(30, dtype=int), rates=[0.01])
    >>> calibration.p_values(np.array([-2.0, -4.0])).round(3)
    array([0.236, 0.004])
    """

    _of_groups = (*ParametricCalibration._of_groups, "tail_sizes_", "units_", "sums_")
    _saved_state = {
        "shape_": positive,
        "tail_sizes_": bounded(array("i", "groups"), 0),
        "units_": bounded(array("f", "groups"), 0),
        "sums_": bounded(array("f", "groups"), 0),
    }

    def _fit_shape(self, groups, like):
        self.tail_sizes_ = np.minimum(TAIL_SIZE, self.n_samples_ // 2)
        excesses = [excesses_of(scores, m) for scores, m in zip(groups, self.tail_sizes_)]
        self.shape_ = weibull_shape(excesses) if like is None else like.shape_
        self.units_ = np.array([e.max(initial=0.0) for e in excesses])
        self.sums_ = np.array(
            [
                ((e / unit) ** self.shape_).sum() if unit else 0.0
                for e, unit in zip(excesses, self.units_)
            ]
        )

    def _check_loaded(self):
        super()._check_loaded()
        if (self.tail_sizes_ > self.n_samples_ // 2).any():
            raise ValueError("tail_sizes_ must be at most half of n_samples_")

    @property
    def _tops(self):
        """The score u of each group, minus infinity where it has no tail."""
        at = np.minimum(self._starts + self.tail_sizes_, max(len(self.scores_) - 1, 0))
        return np.where(self.units_ > 0, self.scores_[at], -np.inf)

    def _p_values(self, scores, groups):
        n, m = self.n_samples_[groups], self.tail_sizes_[groups]
        has_tail = self.units_[groups] > 0
        unit = np.where(has_tail, self.units_[groups], 1.0)
        total = np.where(has_tail, self.sums_[groups], 1.0)
        with np.errstate(over="ignore", invalid="ignore"):
            excess = (self._tops[groups] - scores) / unit
            beyond = np.maximum(excess, 0) ** self.shape_ / total
            tail = (m + 1) / (n + 1) * (1 + beyond) ** -m.astype(np.float64)
        p_values = (1 + self._number_below(scores, groups)) / (n + 1)
        return np.where(excess > 0, np.maximum(tail, SMALLEST), p_values)

    def _score_at(self, group, p_value):
        n, m = self.n_samples_[group], self.tail_sizes_[group]
        share = p_value * (n + 1) / (m + 1)
        if share >= 1 or not self.units_[group]:
            rank = rejected_ranks(n, p_value)
            return self.scores_[self._starts[group] + rank - 1] if rank else -np.inf
        with np.errstate(over="ignore"):
            beyond = self.sums_[group] * (share ** (-1 / m) - 1)
            return self._tops[group] - self.units_[group] * beyond ** (1 / self.shape_)


def excesses_of(scores: NDArray[np.float64], m: int) -> NDArray[np.float64]:
    """Return how far the m lowest of sorted scores lie below the next one."""
    return scores[m : m + 1] - scores[:m]


def gamma_shape(groups: Sequence[NDArray[Any]]) -> float:
    """Return the shape that gamma variables of different scales have in common.

    It maximizes the likelihood given the mean of each group, which, unlike the joint
    likelihood, is consistent for many small groups; 0.5, the shape of the square of one
    Gaussian variable, if no group has two samples.
    """
    ratios = [x / x.mean() for x in groups if len(x) > 1 and x.mean() > 0]
    if not ratios:
        return 0.5
    log_ratios = np.log(np.maximum(np.concatenate(ratios), 1e-12)).sum()
    n = np.array([len(x) for x in ratios])

    def score(log_shape):
        a = np.exp(log_shape)
        return (n * (psi(a) - psi(n * a) + np.log(n))).sum() - log_ratios

    lowest, highest = np.log(1e-3), np.log(1e6)
    if score(highest) <= 0:  # samples that hardly differ
        return 1e6
    return float(np.exp(brentq(score, lowest, highest))) if score(lowest) < 0 else 1e-3


def weibull_shape(groups: Sequence[NDArray[Any]]) -> float:
    """Return the shape that Weibull variables of different scales have in common.

    It maximizes the likelihood of the ratios within the groups, between 0.1 and 10; 1 if no
    group has two positive samples.
    """
    logs = [np.log(x[x > 0]) for x in groups]
    logs = [x - x.max() for x in logs if len(x) > 1]
    if not logs:
        return 1.0
    n = np.array([len(x) for x in logs])
    total = sum(x.sum() for x in logs)

    def minus_log_likelihood(log_shape):
        c = np.exp(log_shape)
        sums = np.array([np.exp(c * x).sum() for x in logs])
        return -((n - 1).sum() * log_shape + c * total - (n * np.log(sums)).sum())

    found = minimize_scalar(
        minus_log_likelihood, bounds=(-np.log(10), np.log(10)), method="bounded"
    )
    return float(np.exp(found.x))
