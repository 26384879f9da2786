"""Risk of the given answers against their share, when uncertain ones are withheld."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sk_center.metrics.base import checked_predictions, checked_scores

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def risk_coverage_curve(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    y_score: ArrayLike,
    *,
    labels: ArrayLike,
    sample_weight: ArrayLike | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Share of wrong answers when those with low scores are withheld, by threshold.

    At a threshold the coverage is the share of the samples that score as high or higher,
    and the risk the share of these that are classified wrongly [1]_. An outsider has no
    correct class. To judge ambiguity, pass only accepted samples, and the probability of
    their class as the score.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels; samples of a label outside ``labels`` are outsiders.

    y_pred : array-like of shape (n_samples,)
        Class given to each sample without withholding any.

    y_score : array-like of shape (n_samples,)
        Certainty of each answer, larger is more certain, such as the largest probability.

    labels : array-like of shape (n_classes,)
        The known classes, ``classes_`` of the classifier.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples.

    Returns
    -------
    risk : ndarray of shape (n_thresholds,)
        Shares of wrong answers, the last one that of all samples.

    coverage : ndarray of shape (n_thresholds,)
        Shares of the samples that are answered, rising to 1.

    thresholds : ndarray of shape (n_thresholds,)
        Scores in descending order.

    Raises
    ------
    ValueError
        If there is no known sample, ``y_score`` holds NaN, or ``y_pred`` holds NaN or
        labels of another kind than ``labels``.

    See Also
    --------
    aurc_score : The area under the curve.
    sk_center.RiskCoverageDisplay : Draws it.

    References
    ----------
    .. [1] R. El-Yaniv, Y. Wiener. "On the foundations of noise-free selective
       classification". Journal of Machine Learning Research 11, 2010.

    Examples
    --------
    >>> from sk_center.metrics import risk_coverage_curve
    >>> risk, coverage, thresholds = risk_coverage_curve(
    ...     [0, 1, 1, 0], [0, 1, 0, 0], [0.9, 0.8, 0.6, 0.6], labels=[0, 1])
    >>> risk, coverage
    (array([0.  , 0.  , 0.25]), array([0.25, 0.5 , 1.  ]))
    """
    wrong, y_score, weight = _sorted(y_true, y_pred, y_score, labels, sample_weight)
    last = np.append(np.flatnonzero(y_score[1:] != y_score[:-1]), len(y_score) - 1)
    answered = np.cumsum(weight)[last]
    errors = np.cumsum(weight * wrong)[last]
    last, errors, answered = (part[answered > 0] for part in (last, errors, answered))
    return errors / answered, answered / answered[-1], y_score[last]


def aurc_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    y_score: ArrayLike,
    *,
    labels: ArrayLike,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Area under the risk-coverage curve.

    The mean of the risks at each number of answers, from the most certain one to all [1]_.
    It is small if few answers are wrong, and those have the lowest scores. Equal scores
    count as the mean over their orders.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels; samples of a label outside ``labels`` are outsiders.

    y_pred : array-like of shape (n_samples,)
        Class given to each sample without withholding any.

    y_score : array-like of shape (n_samples,)
        Certainty of each answer, larger is more certain, such as the largest probability.

    labels : array-like of shape (n_classes,)
        The known classes, ``classes_`` of the classifier.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples.

    Returns
    -------
    aurc : float
        Between 0 and 1; smaller is better. Random scores give the share of wrong answers.

    Raises
    ------
    ValueError
        If there is no known sample, ``y_score`` holds NaN, or ``y_pred`` holds NaN or
        labels of another kind than ``labels``.

    See Also
    --------
    risk_coverage_curve : The curve.
    oscr_score : Separates known samples from outsiders, too.

    References
    ----------
    .. [1] Y. Geifman, G. Uziel, R. El-Yaniv. "Bias-reduced uncertainty estimation for deep
       neural classifiers". ICLR 2019.

    Examples
    --------
    >>> from sk_center.metrics import aurc_score
    >>> y_true, y_pred = [0, 1, 1, 0], [0, 1, 0, 0]
    >>> aurc_score(y_true, y_pred, [0.9, 0.8, 0.6, 0.7], labels=[0, 1])
    0.0625
    >>> round(aurc_score(y_true, y_pred, [0.9, 0.8, 0.95, 0.7], labels=[0, 1]), 3)
    0.521
    """
    wrong, y_score, weight = _sorted(y_true, y_pred, y_score, labels, sample_weight)
    group = np.cumsum(np.append(False, y_score[1:] != y_score[:-1]))
    totals = np.bincount(group, weight)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(group, weight * wrong) / totals
    answered = np.cumsum(weight)
    some = answered > 0
    errors = np.cumsum(weight * np.nan_to_num(mean)[group])[some]
    return float(np.average(errors / answered[some], weights=weight[some]))


def _sorted(y_true, y_pred, y_score, labels, sample_weight):
    """Return which answers are wrong, scores and weights, the most certain first."""
    _, y_score, weight = checked_scores(
        y_true, y_score, labels, sample_weight, sides=("known",)
    )
    wrong = ~checked_predictions(y_true, y_pred, labels)
    weight = np.ones(len(wrong)) if weight is None else weight
    order = np.lexsort((weight, -y_score))
    return wrong[order], y_score[order], weight[order]
