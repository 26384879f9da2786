"""p-values by a law that is assumed of the scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import brentq, minimize_scalar
from scipy.special import psi
from scipy.stats import f as fisher_f

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
from sk_center.calibration.base import SMALLEST, BaseCalibration
from sk_center.calibration.conformal import conformal_p_values, rejected_ranks

__all__ = ["GaussianCalibration", "WeibullCalibration"]

TAIL_SIZE = 20


class ParametricCalibration(BaseCalibration):
    """Base class of the calibrations that assume a law of the scores.

    The laws of all classes share one shape, which all calibration samples tell, and
    differ in their scale. The p-values are those of the predictive distribution, which
    knows how uncertain a scale is that comes from few samples.
    """

    def _samples_needed(self, rate):
        return 2 if rate else 0  # one sample tells nothing of a shape

    def _smallest_rate(self, n_samples):
        return None

    def _fit(self, rates):
        if self.confidence is not None:
            raise ValueError(
                f"confidence={self.confidence!r} goes with calibration='conformal' only: a "
                "law that is assumed guarantees nothing."
            )
        if not all(np.isfinite(scores).all() for scores in self._members):
            raise ValueError(
                "The scores of the calibration samples must be finite; "
                "calibration='conformal' takes others."
            )
        self.thresholds_ = rates
        self._fit_law(self._members)
        self.score_thresholds_ = np.array(
            [
                self._score_at(group, rate) if rate else -np.inf
                for group, rate in zip(self.groups_, rates)
            ]
        )


class GaussianCalibration(ParametricCalibration):
    """Take squared distances to the middle of a class for chi-square variables.

    Where the features of a class are Gaussian, the squared distance of a member to its
    middle is, up to scale, a chi-square variable; for the Euclidean distance and
    directions of different variance nearly so [1]_. Over the mean of n others it follows
    an F distribution::

        p_i = P(F(nu, n_i nu) >= d^2 / mean(d_i^2))

    with the degrees of freedom nu, as many as there are independent features, estimated
    from all classes together by their likelihood given the means.

    Parameters
    ----------
    false_rejection_rate : ndarray of shape (n_classes,)
        Share of the members of each class that may be turned away.

    confidence : None
        Must be None.

    Attributes
    ----------
    degrees_of_freedom_ : float
        The degrees of freedom nu.

    thresholds_, score_thresholds_, groups_, n_samples_ : ndarray of shape (n_classes,)
        As in :class:`ConformalCalibration`. A class of two samples has its own group.

    See Also
    --------
    ConformalCalibration : Assumes no law.
    sk_center.scores.Mahalanobis : A score that it goes with.

    Notes
    -----
    Two samples of a class suffice, and p-values may be as small as they like. The bound
    on false rejections is as good as the assumption.

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
    >>> calibration = GaussianCalibration(np.array([0.05]))
    >>> calibration = calibration.fit(scores, np.zeros(200, dtype=int), classes=["cat"])
    >>> round(calibration.degrees_of_freedom_, 1)
    3.2
    >>> bool(calibration.p_values(np.array([[-6.0]])) < 1e-6)
    True
    """

    def _fit_law(self, members):
        squares = [scores**2 for scores in members]
        self._means = [max(d2.sum() / max(len(d2), 1), SMALLEST) for d2 in squares]
        self.degrees_of_freedom_ = nu = 2 * gamma_shape(squares)
        self._laws = [fisher_f(nu, nu * len(d2)) for d2 in squares]

    def _p_values(self, group, scores):
        if not len(self._members[group]):
            return np.ones(len(scores))
        with np.errstate(over="ignore"):
            ratio = scores**2 / self._means[group]
        return np.maximum(self._laws[group].sf(ratio), SMALLEST)

    def _score_at(self, group, p_value):
        return -np.sqrt(self._laws[group].isf(p_value) * self._means[group])


class WeibullCalibration(ParametricCalibration):
    """Continue conformal p-values beyond the calibration samples by a Weibull tail.

    In each class the lowest scores, those below a score u, are a sample of a tail, and
    how far they lie below u follows a Weibull distribution [1]_. Up to u p-values
    are conformal; below it, with the m excesses e of the calibration samples::

        p_i = (m_i + 1) / (n_i + 1) * (1 + (u_i - s)^c / sum(e_i^c))^-m_i

    which is the predictive probability of a larger excess when the scale is unknown. The
    shape c is that of the greatest likelihood, given the scales, over all classes. At
    c = 1 the tail is exponential.

    Parameters
    ----------
    false_rejection_rate : ndarray of shape (n_classes,)
        Share of the members of each class that may be turned away.

    confidence : None
        Must be None.

    Attributes
    ----------
    shape_ : float
        The shape c.

    thresholds_, score_thresholds_, groups_, n_samples_ : ndarray of shape (n_classes,)
        As in :class:`ConformalCalibration`. A class of two samples has its own group.

    See Also
    --------
    ConformalCalibration : Assumes no law.
    sk_center.scores.OpenMax : A score that is built on Weibull tails.

    Notes
    -----
    The tail is the lower half of the scores of a class, at most its 20 lowest, as many as
    OpenMax takes. It matters where ``false_rejection_rate`` asks for more than the
    samples tell, 1 % of 30 samples say; where they are many, the threshold is conformal.

    References
    ----------
    .. [1] W. J. Scheirer, A. Rocha, R. J. Micheals, T. E. Boult. "Meta-recognition: the
       theory and practice of recognition score analysis". IEEE TPAMI, 2011.

    Examples
    --------
    Of 30 calibration samples a conformal p-value is at least 1 / 31. This one is not:

    >>> import numpy as np
    >>> from sk_center.calibration import WeibullCalibration
    >>> X = np.random.default_rng(0).normal(size=(30, 3))
    >>> scores = -np.linalg.norm(X, axis=1)
    >>> calibration = WeibullCalibration(np.array([0.01]))
    >>> calibration = calibration.fit(scores, np.zeros(30, dtype=int), classes=["cat"])
    >>> calibration.p_values(np.array([[-2.0], [-4.0]])).round(3)
    array([[0.236],
           [0.004]])
    """

    def _fit_law(self, members):
        sizes = [min(TAIL_SIZE, len(scores) // 2) for scores in members]
        # Scores are sorted: scores[m] is the lowest one that is not in the tail.
        excesses = [scores[m : m + 1] - scores[:m] for scores, m in zip(members, sizes)]
        self.shape_ = weibull_shape(excesses)
        self._tails = [(len(e), e.max(initial=0.0)) for e in excesses]
        self._sums = [
            ((e / unit) ** self.shape_).sum() if unit else 0.0
            for e, (_, unit) in zip(excesses, self._tails)
        ]

    def _p_values(self, group, scores):
        members, (m, unit) = self._members[group], self._tails[group]
        p_values = conformal_p_values(members, scores)
        if not unit:  # no tail: all of it is equal, or the class has no samples
            return p_values
        with np.errstate(over="ignore"):
            excess = (members[m] - scores) / unit
            beyond = np.maximum(excess, 0) ** self.shape_ / self._sums[group]
        tail = (m + 1) / (len(members) + 1) * (1 + beyond) ** -m
        return np.where(excess > 0, np.maximum(tail, SMALLEST), p_values)

    def _score_at(self, group, p_value):
        members, (m, unit) = self._members[group], self._tails[group]
        share = p_value * (len(members) + 1) / (m + 1)
        if share >= 1 or not unit:
            rank = rejected_ranks(len(members), p_value)
            return members[rank - 1] if rank else -np.inf
        with np.errstate(over="ignore"):
            beyond = self._sums[group] * (share ** (-1 / m) - 1)
            return members[m] - unit * beyond ** (1 / self.shape_)


def gamma_shape(members: Sequence[NDArray[Any]]) -> float:
    """Return the shape that gamma variables of different scales have in common.

    Parameters
    ----------
    members : list of ndarray of shape (n_samples,)
        Non-negative samples, an array for each scale.

    Returns
    -------
    shape : float
        The shape of the greatest likelihood given the mean of each array, which, unlike
        that of the joint likelihood, is consistent for many small arrays. 0.5, the shape
        of the square of one Gaussian variable, where no array has two samples.
    """
    ratios = [x / x.mean() for x in members if len(x) > 1 and x.mean() > 0]
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


def weibull_shape(members: Sequence[NDArray[Any]]) -> float:
    """Return the shape that Weibull variables of different scales have in common.

    Parameters
    ----------
    members : list of ndarray of shape (n_samples,)
        Non-negative samples, an array for each scale.

    Returns
    -------
    shape : float
        The shape of the greatest likelihood of the ratios within the arrays, between 0.1
        and 10. 1 where no array has two positive samples.
    """
    logs = [np.log(x[x > 0]) for x in members]
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
