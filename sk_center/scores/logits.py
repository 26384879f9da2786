"""Scores of logits and probabilities."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np

from sk_center._utils.compat import Interval
from sk_center._utils.schema import array, bounded
from sk_center.scores.base import BaseScore
from sk_center.scores.rows import blocks, regrouped

# Bound of the odds for and against a class.
LEAST = 1e-12


class ScoreOfProbabilities(BaseScore):
    """Base class of scores of the probability of each class.

    After classes were added, the score of a class uses only the probabilities of classes
    that were not added later, so that it does not change.
    """

    needs = ("probabilities",)
    learns = False
    _saved_state = {"?_rounds": bounded(array("i", "K"), 0)}

    def _fit(self, y, **parts):
        vars(self).pop("_rounds", None)

    def _regroup(self, kept, y, **parts):
        former = getattr(self, "_rounds", np.zeros(max(kept.max(), 0) + 1, dtype=np.intp))
        self._rounds = regrouped(former, kept, np.full(len(kept), former.max() + 1))

    @property
    def _rivals(self):
        """Classes (rows) that count in the scores of others (columns); None if all."""
        rounds = getattr(self, "_rounds", None)
        if rounds is None or rounds.min() == rounds.max():
            return None
        return (rounds[:, None] <= rounds).astype(np.float64)


class MaxSoftmax(ScoreOfProbabilities, name="max_softmax"):
    """The probability of each class, as the classifier gives it.

    The largest of them is the maximum softmax probability [1]_, the common baseline.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.

    n_columns_ : dict of int
        Number of columns of each part by its name.

    n_features_in_ : int
        Number of columns of all parts together.

    See Also
    --------
    LogOdds : The same order of samples, on a scale that can be added to others.
    MaxLogit : Before the softmax removes the size of the features.
    Energy : All logits together.

    References
    ----------
    .. [1] D. Hendrycks, K. Gimpel. "A baseline for detecting misclassified and
       out-of-distribution examples in neural networks". ICLR 2017.

    Examples
    --------
    >>> from sk_center.scores import MaxSoftmax
    >>> score = MaxSoftmax().fit([[0.9, 0.1], [0.2, 0.8]], [0, 1])
    >>> score.score_samples([[0.6, 0.4], [0.1, 0.9]])
    array([0.6, 0.9])
    """

    def _score_classes(self, probabilities):
        rivals = self._rivals
        return probabilities if rivals is None else probabilities / (probabilities @ rivals)

    def _to_onnx(self, probabilities):
        rivals = self._rivals
        if rivals is None:
            return probabilities
        rivals = rivals.astype(probabilities.dtype)
        return probabilities / (probabilities @ rivals)


class MaxLogit(BaseScore, name="max_logit"):
    """The logit of each class.

    The largest of them is the maximum logit score [1]_, which keeps the size of the
    features that the softmax removes.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.

    n_columns_ : dict of int
        Number of columns of each part by its name.

    n_features_in_ : int
        Number of columns of all parts together.

    See Also
    --------
    MaxSoftmax : After the softmax.
    Energy : A smooth maximum of the logits.

    References
    ----------
    .. [1] D. Hendrycks, S. Basart, M. Mazeika, A. Zou, J. Kwon, M. Mostajabi,
       J. Steinhardt, D. Song. "Scaling out-of-distribution detection for real-world
       settings". ICML 2022.

    Examples
    --------
    >>> from sk_center.scores import MaxLogit
    >>> score = MaxLogit().fit([[3.0, -1.0], [0.0, 2.0]], [0, 1])
    >>> score.score_samples([[0.5, 0.2], [4.0, 1.0]])
    array([0.5, 4. ])
    """

    needs = ("logits",)
    learns = False

    def _regroup(self, kept, y, **parts):
        """Learn nothing: the estimator has a logit for each class."""

    def _score_classes(self, logits):
        return logits

    def _to_onnx(self, logits):
        return logits


class LogOdds(ScoreOfProbabilities, name="log_odds"):
    """The logarithm of the odds of each class, ``log(p_k / (1 - p_k))``.

    They rank samples as the probabilities do, but are not bounded by one: if the
    probabilities of most samples are close to it, the odds still differ, and can be added
    to other scores.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.

    n_columns_ : dict of int
        Number of columns of each part by its name.

    n_features_in_ : int
        Number of columns of all parts together.

    See Also
    --------
    MaxSoftmax : The probabilities.
    Combined : Adds scores.

    Notes
    -----
    Odds are at most 1e12 to one. Those of the largest probability use the sum of the
    others, so that they are exact even if rounding makes it one.

    Examples
    --------
    >>> from sk_center.scores import LogOdds
    >>> score = LogOdds().fit([[0.9, 0.1], [0.2, 0.8]], [0, 1])
    >>> score.score_samples([[0.5, 0.5], [0.1, 0.9]]).round(3)
    array([0.   , 2.197])
    """

    def _score_classes(self, probabilities):
        P, rivals = probabilities.astype(np.float64, copy=False), self._rivals
        others = sums_of_others(P) if rivals is None else P @ without_diagonal(rivals)
        return np.log(np.maximum(P, LEAST)) - np.log(np.maximum(others, LEAST))

    def _score_own(self, index, probabilities):
        rivals = self._rivals
        own, others = both = np.empty((2, len(index)))
        for rows in blocks(*probabilities.shape):
            P, k = probabilities[rows].astype(np.float64), index[rows]
            at = np.arange(len(k)), k
            own[rows], P[at] = P[at], 0
            P = P if rivals is None else P * rivals.T[k]
            others[rows] = P.sum(axis=1)
        return np.subtract(*np.log(np.maximum(both, LEAST)))

    def _to_onnx(self, probabilities):
        P = probabilities.astype(np.float64)
        others, rivals = sums_of_others_to_onnx(P, len(self.classes_)), self._rivals
        others = others if rivals is None else P @ without_diagonal(rivals)
        return P.maximum(LEAST).log() - others.maximum(LEAST).log()


class Energy(BaseScore, name="energy"):
    """Minus the free energy of the logits, the same for every class.

    ``temperature * log(sum_k(exp(logit_k / temperature)))`` [1]_.

    Parameters
    ----------
    temperature : float, default=1.0
        A larger temperature gives smaller logits more weight; towards 0 the score is the
        largest logit.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.

    n_columns_ : dict of int
        Number of columns of each part by its name.

    n_features_in_ : int
        Number of columns of all parts together.

    See Also
    --------
    MaxLogit : The largest logit alone.
    ViM : The energy minus the part of the features that logits ignore.

    References
    ----------
    .. [1] W. Liu, X. Wang, J. Owens, Y. Li. "Energy-based out-of-distribution detection".
       NeurIPS 2020, equation 4.

    Examples
    --------
    >>> from sk_center.scores import Energy
    >>> score = Energy().fit([[3.0, -1.0], [0.0, 2.0]], [0, 1])
    >>> score.score_samples([[0.0, 0.0], [4.0, 1.0]]).round(3)
    array([0.693, 4.049])
    """

    needs = ("logits",)
    learns = False
    per_class = False
    _parameter_constraints: dict = {
        "temperature": [Interval(Real, 0, None, closed="neither")]
    }

    def __init__(self, temperature: float = 1.0) -> None:
        self.temperature = temperature

    def _regroup(self, kept, y, **parts):
        """Learn nothing: one more logit can only raise the energy."""

    def _score_classes(self, logits):
        return self.temperature * log_sum_exp(logits / self.temperature)

    def _to_onnx(self, logits):
        temperature = float(self.temperature)
        return (logits / temperature).log_sum_exp() * temperature


class GEN(BaseScore, name="gen"):
    """Minus the generalized entropy of the largest probabilities, the same for every class.

    ``-sum_k(p_k^gamma (1 - p_k)^gamma)`` over the ``n_top`` largest probabilities [1]_. A
    small gamma gives small probabilities more weight.

    Parameters
    ----------
    gamma : float, default=0.1
        Exponent, between 0 and 1.

    n_top : int, default=100
        Number of the largest probabilities that count, at most all.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.

    n_columns_ : dict of int
        Number of columns of each part by its name.

    n_features_in_ : int
        Number of columns of all parts together.

    See Also
    --------
    MaxSoftmax : The largest probability alone.
    Energy : The logits, before the softmax.

    References
    ----------
    .. [1] X. Liu, Y. Lochman, C. Zach. "GEN: pushing the limits of softmax-based
       out-of-distribution detection". CVPR 2023, equation 5.

    Examples
    --------
    >>> from sk_center.scores import GEN
    >>> score = GEN().fit([[0.9, 0.1], [0.2, 0.8]], [0, 1])
    >>> score.score_samples([[0.5, 0.5], [0.01, 0.99]]).round(3)
    array([-1.741, -1.261])
    """

    needs = ("probabilities",)
    learns = False
    per_class = False
    _parameter_constraints: dict = {
        "gamma": [Interval(Real, 0, 1, closed="neither")],
        "n_top": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, gamma: float = 0.1, *, n_top: int = 100) -> None:
        self.gamma = gamma
        self.n_top = n_top

    def _score_classes(self, probabilities):
        P = probabilities.astype(np.float64, copy=False)
        # Not one minus the largest, which rounding may make zero.
        others = sums_of_others(P)
        if self.n_top < P.shape[1]:
            top = np.argpartition(-P, self.n_top - 1, axis=1)[:, : self.n_top]
            P, others = (np.take_along_axis(part, top, axis=1) for part in (P, others))
        return -((np.maximum(P, 0) * np.maximum(others, 0)) ** self.gamma).sum(axis=1)

    def _to_onnx(self, probabilities):
        P, n_classes = probabilities.astype(np.float64), len(self.classes_)
        others = sums_of_others_to_onnx(P, n_classes)
        terms = (P.maximum(0.0) * others.maximum(0.0)) ** float(self.gamma)
        if self.n_top < n_classes:
            ranks = P.top(n_classes).top(n_classes, largest=False)
            terms = P.graph.where(ranks < np.int64(self.n_top), terms, 0.0)
        return -terms.reduce("Sum", 1, keepdims=True)


def sums_of_others(P):
    """Return for each probability the sum of the others, exact for the largest too."""
    others = P.sum(axis=1, keepdims=True) - P
    rows, top = np.arange(len(P)), P.argmax(axis=1)
    rest = P.copy()
    rest[rows, top] = 0
    others[rows, top] = rest.sum(axis=1)
    return others


def sums_of_others_to_onnx(P, n_classes):
    """Return ``sums_of_others`` as a value of a graph."""
    total = P.reduce("Sum", 1, keepdims=True)
    largest = P.reduce("Max", 1, keepdims=True)
    # Sums of all but one, so that rounding of the largest does not affect the others.
    others = P @ (1.0 - np.eye(n_classes))
    return P.graph.where(largest > P, total - P, others)


def without_diagonal(rivals):
    """Return which other classes count in the score of each."""
    return rivals * (1 - np.eye(len(rivals)))


def log_sum_exp(logits):
    """Return the logarithm of the sum of the exponentials of each row."""
    columns = np.array(logits.T, order="C")  # sums of few numbers each are slow
    top = columns.max(axis=0)
    columns -= top
    return top + np.log(np.exp(columns, out=columns).sum(axis=0))
