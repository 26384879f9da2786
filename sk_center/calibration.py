"""From scores to p-values: how many true members look as untypical as this sample?"""

import warnings
from bisect import bisect_left
from math import ceil, floor

import numpy as np
from scipy.special import betainc


class ConformalCalibration:
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
        this calibration set with at least this probability.

    Attributes
    ----------
    thresholds_ : ndarray of shape (n_classes,)
        A class is turned down when its p-value is at most this.

    score_thresholds_ : ndarray of shape (n_classes,)
        The same in units of the score: turned down when the score is below this.

    groups_ : ndarray of shape (n_classes,)
        Index of the calibration group of each class: its own, or the one that classes
        too rare to calibrate alone share, with the smallest of their rates.

    n_samples_ : ndarray of shape (n_classes,)
        Number of calibration samples in the group of each class.

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
    .. [2] Y. Hechtlinger, B. Poczos, L. Wasserman. "Cautious deep learning". 2018.
    .. [3] V. Vovk. "Conditional validity of inductive conformal predictors". ACML 2012.
    """

    def __init__(self, false_rejection_rate, confidence=None):
        self.false_rejection_rate = false_rejection_rate
        self.confidence = confidence

    def fit(self, scores, y, classes):
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
        self : ConformalCalibration
            The fitted calibration.

        Raises
        ------
        ValueError
            If all samples together are too few for the bound.
        """
        counts = np.bincount(y, minlength=len(classes))
        self.groups_ = self._group(counts, classes)
        groups, scores = self.groups_[y], _comparable(scores)
        members = [
            np.sort(scores[groups == group]) for group in range(self.groups_.max() + 1)
        ]
        # On average over the group that rare classes share, its smallest rate is what keeps
        # the rates of all. A rate of 0 turns down nothing anyway.
        rates = self.false_rejection_rate.copy()
        merged = (np.bincount(self.groups_)[self.groups_] > 1) & (rates > 0)
        rates[merged] = rates[merged].min(initial=1)
        self._scores = [members[group] for group in self.groups_]
        self.n_samples_ = np.array([len(scores) for scores in self._scores])
        ranks = [
            rejected_ranks(n, rate, self.confidence)
            for n, rate in zip(self.n_samples_, rates)
        ]
        self.thresholds_ = np.where(
            self.confidence is None, rates, ranks / (self.n_samples_ + 1)
        )
        self.score_thresholds_ = np.array(
            [s[rank - 1] if rank else -np.inf for s, rank in zip(self._scores, ranks)]
        )
        return self

    def p_values(self, scores):
        """Return the p-value of each sample for each class.

        Parameters
        ----------
        scores : ndarray of shape (n_samples, n_classes)
            Scores of the samples.

        Returns
        -------
        p_values : ndarray of shape (n_samples, n_classes)
            p-values in (0, 1]; 1 for a class without calibration samples.
        """
        below = [
            np.searchsorted(members, column, side="right")
            for members, column in zip(self._scores, _comparable(scores).T)
        ]
        return (1 + np.transpose(below)) / (self.n_samples_ + 1)

    def _group(self, counts, classes):
        """Give each class a group of its own, but the rare ones one together."""
        rates = self.false_rejection_rate
        needed = np.array([samples_needed(rate, self.confidence) for rate in rates])
        rare = counts < needed
        groups = np.cumsum(~rare) - 1
        if not rare.any():
            return groups
        if counts.sum() < needed.max():
            at = "" if self.confidence is None else f" at confidence={self.confidence:g}"
            raise ValueError(
                f"{counts.sum()} calibration samples are too few: false_rejection_rate="
                f"{rates[np.argmax(needed)]:g}{at} takes at least {needed.max()}. Give "
                "more data, a larger share (cv), cv=5 (every sample calibrates), or a "
                "larger false_rejection_rate."
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
            f"{', '.join(names)}; {needed[rare].max()} are needed for one class. The bound "
            "on false rejections holds on average over these classes, not for each.",
            UserWarning,
            stacklevel=4,
        )
        groups = np.cumsum(~rare) - 1
        groups[rare] = (~rare).sum()
        return groups


def _comparable(scores):
    """Return the scores with -inf where one is no number: nothing looks less typical."""
    return np.where(np.isnan(scores), -np.inf, scores)


def samples_needed(false_rejection_rate, confidence=None):
    """Return the fewest calibration samples with which a class can be turned down.

    Parameters
    ----------
    false_rejection_rate : float
        The bound, in [0, 1).

    confidence : float, default=None
        See :class:`ConformalCalibration`.

    Returns
    -------
    n : int
        0 for a rate of 0, where no class is ever turned down.
    """
    if false_rejection_rate == 0:
        return 0
    if confidence is None:
        n = max(floor(1 / false_rejection_rate) - 2, 0)
    else:
        n = max(ceil(np.log1p(-confidence) / np.log1p(-false_rejection_rate)) - 2, 0)
    while rejected_ranks(n, false_rejection_rate, confidence) == 0:
        n += 1
    return n


def rejected_ranks(n_samples, false_rejection_rate, confidence=None):
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
