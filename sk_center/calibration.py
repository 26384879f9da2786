"""From scores to p-values: the share of true members that look as untypical.

:class:`~sk_center.OpenSetClassifier` makes these calibrations of its parameter
``calibration``, fits them, and keeps the fitted one as ``calibration_``.
"""

from __future__ import annotations

import warnings
from bisect import bisect_left
from decimal import ROUND_UP, Context
from math import ceil, floor
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy.optimize import brentq, minimize_scalar
from scipy.special import betainc, psi
from scipy.stats import f as fisher_f

from sk_center._labels import shortened

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from numpy.typing import NDArray

__all__ = [
    "ConformalCalibration",
    "GaussianCalibration",
    "WeibullCalibration",
    "samples_needed",
]

# Parametric tails have no smallest p-value, but none is zero: a rate of 0 rejects nothing.
SMALLEST = np.finfo(np.float64).tiny
TAIL_SIZE = 20
# So many interquartile ranges from the median, a score is far out: by a normal law one of a
# hundred members is 2 from it, and 3 to 12 by long tails.
FAR = 15
NEARLY_ALL = 0.9
FEWEST = 10  # of less the quartiles are chance


class BaseCalibration:
    """Base class of the calibrations.

    Parameters
    ----------
    false_rejection_rate : ndarray of shape (n_classes,)
        Share of the members of each class that may be turned away.

    confidence : float, default=None
        See :class:`ConformalCalibration`.

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
    """

    def __init__(
        self, false_rejection_rate: NDArray[np.float64], confidence: float | None = None
    ) -> None:
        self.false_rejection_rate = false_rejection_rate
        self.confidence = confidence

    def fit(self, scores: NDArray[Any], y: NDArray[np.intp], classes: NDArray[Any]) -> Self:
        """Learn the scores of true members.

        Parameters
        ----------
        scores : ndarray of shape (n_samples,)
            Score of each calibration sample for its own class.

        y : ndarray of shape (n_samples,)
            Class index of each calibration sample.

        classes : ndarray of shape (n_classes,)
            Labels of the classes, for messages.

        Returns
        -------
        self : BaseCalibration
            The fitted calibration.

        Raises
        ------
        ValueError
            If all samples together are too few for the bound, or the calibration does
            not go with the scores.
        """
        counts = np.bincount(y, minlength=len(classes))
        self.groups_ = self._group(counts, classes)
        groups, scores = self.groups_[y], _comparable(scores)
        self._members = [
            np.sort(scores[groups == group]) for group in range(self.groups_.max() + 1)
        ]
        # On average over the group that rare classes share, its smallest rate is what keeps
        # the rates of all. A rate of 0 turns down nothing anyway.
        rates = self.false_rejection_rate.copy()
        merged = (np.bincount(self.groups_)[self.groups_] > 1) & (rates > 0)
        rates[merged] = rates[merged].min(initial=1)
        self.n_samples_ = np.array([len(self._members[group]) for group in self.groups_])
        self._fit(rates)  # type: ignore[attr-defined]
        return self

    def p_values(self, scores: NDArray[Any]) -> NDArray[np.float64]:
        """Return the p-value of each sample for each class.

        Parameters
        ----------
        scores : ndarray of shape (n_samples, n_classes)
            Scores of the samples.

        Returns
        -------
        p_values : ndarray of shape (n_samples, n_classes)
            In (0, 1]; 1 for a class without calibration samples.
        """
        columns = zip(self.groups_, _comparable(scores).T)
        p_values = self._p_values  # type: ignore[attr-defined]
        return np.transpose([p_values(group, column) for group, column in columns])

    def _group(self, counts, classes):
        """Give each class a group of its own, but the rare ones one together."""
        rates = self.false_rejection_rate
        needed = np.array([self._samples_needed(rate) for rate in rates])
        rare = counts < needed
        groups = np.cumsum(~rare) - 1
        if not rare.any():
            return groups
        if counts.sum() < needed.max():
            n_samples = int(counts.sum())
            at = "" if self.confidence is None else f" at confidence={self.confidence:g}"
            advice = "Give more data, or let more of it calibrate (cv=5: all of it)."
            smallest = self._smallest_rate(n_samples)
            if smallest is not None:
                advice = (
                    f"With {n_samples} in all the smallest rate is {smallest}. Give more "
                    "data, let more of it calibrate (cv=5: all of it), or allow a larger "
                    "false_rejection_rate, which does no harm in a search by OSCR or AUROC."
                )
            raise ValueError(
                f"{n_samples} calibration samples are too few: false_rejection_rate="
                f"{rates[np.argmax(needed)]:g}{at} takes at least {needed.max()}. {advice}"
            )
        # Rare classes may be too few even together: then the next larger ones join.
        for class_ in np.argsort(counts, kind="stable"):
            if counts[rare].sum() >= needed[rare].max():
                break
            rare[class_] = True
        labels = np.asarray(classes).tolist()
        names = [f"{labels[i]!r} ({counts[i]})" for i in np.flatnonzero(rare)]
        warnings.warn(
            f"Classes with too few calibration samples share one threshold: "
            f"{shortened(names)}; {needed[rare].max()} are needed for one class. The bound "
            "on false rejections holds on average over these classes, not for each.",
            UserWarning,
            stacklevel=6,
        )
        groups = np.cumsum(~rare) - 1
        groups[rare] = (~rare).sum()
        return groups


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


CALIBRATIONS = {
    "conformal": ConformalCalibration,
    "gaussian": GaussianCalibration,
    "weibull": WeibullCalibration,
}


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


def _comparable(scores):
    """Return the scores with -inf where one is no number: nothing looks less typical."""
    return np.where(np.isnan(scores), -np.inf, scores)


def loose_thresholds(
    thresholds: NDArray[Any],
    own: NDArray[Any],
    y: NDArray[np.intp],
    scores: NDArray[Any],
    labels: NDArray[np.intp],
) -> NDArray[np.intp]:
    """Return the classes that odd members made accept nearly anything.

    Their threshold is the score of members far below what is usual, and nearly all samples
    of other classes score more. Either alone is no fault: probabilities have long tails,
    and classes may overlap.

    Parameters
    ----------
    thresholds : ndarray of shape (n_classes,)
        What scores below this is turned down.

    own : ndarray of shape (n_samples,)
        Score of each calibration sample for its own class.

    y : ndarray of shape (n_samples,)
        Class index of each calibration sample.

    scores : ndarray of shape (n_some, n_classes)
        Scores of some samples for all classes.

    labels : ndarray of shape (n_some,)
        Class index of each of these.

    Returns
    -------
    loose : ndarray of shape (n_loose,)
        Class indices.
    """
    others = labels[:, None] != np.arange(len(thresholds))
    # Scores that are the same for all classes do not tell one from the other.
    others &= np.isfinite(scores) & (scores != scores[:, :1]).any(axis=1)[:, None]
    accepted = (others & (scores >= thresholds)).sum(axis=0)
    loose = []
    accepts_all = accepted > NEARLY_ALL * others.sum(axis=0)
    for k in np.flatnonzero(accepts_all & np.isfinite(thresholds)):
        members = own[(y == k) & np.isfinite(own)]
        if len(members) >= FEWEST:
            low, middle, high = np.quantile(members, [0.25, 0.5, 0.75])
            # A parametric tail puts thresholds of tiny rates below all members.
            least = max(thresholds[k], members.min())
            if middle - least > FAR * (high - low) > 0:
                loose.append(k)
    return np.array(loose, dtype=np.intp)


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
