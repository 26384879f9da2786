"""Metrics of how scores rank known samples and outsiders."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Literal

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from sk_center.metrics.base import (
    checked_predictions,
    checked_scores,
    ranks_of,
    roc_rates,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def auroc_score(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    labels: ArrayLike,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Area under the ROC curve of known samples against outsiders.

    The probability that a known sample scores higher than an outsider, ties counting
    half. It needs no threshold and ignores which known class is predicted.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels; samples of a label outside ``labels`` are outsiders.

    y_score : array-like of shape (n_samples,)
        Score of each sample, larger is more typical of the known classes:
        ``score_samples``.

    labels : array-like of shape (n_classes,)
        The known classes, ``classes_`` of the classifier.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples.

    Returns
    -------
    auroc : float
        Between 0 and 1; 0.5 is chance, larger is better.

    Raises
    ------
    ValueError
        If there is no known sample or no outsider, or ``y_score`` holds NaN.

    See Also
    --------
    oscr_score : Counts only the known samples that are classified correctly.
    fpr_at_tpr : At one threshold.
    sk_center.OpenSetRocDisplay : Draws the curve.

    Examples
    --------
    >>> from sk_center.metrics import auroc_score
    >>> auroc_score(["cat", "dog", "fox"], [0.9, 0.4, 0.5], labels=["cat", "dog"])
    0.5
    """
    known, y_score, sample_weight = checked_scores(y_true, y_score, labels, sample_weight)
    return float(roc_auc_score(known, ranks_of(y_score), sample_weight=sample_weight))


def aupr_score(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    labels: ArrayLike,
    positive: Literal["known", "outsider"] = "known",
    sample_weight: ArrayLike | None = None,
) -> float:
    """Area under the precision-recall curve of known samples and outsiders.

    It is scikit-learn's average precision, without interpolation. Unlike
    :func:`auroc_score` it depends on how many samples are outsiders: chance is the share
    of the positive side.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels; samples of a label outside ``labels`` are outsiders.

    y_score : array-like of shape (n_samples,)
        Score of each sample, larger is more typical of the known classes:
        ``score_samples``.

    labels : array-like of shape (n_classes,)
        The known classes, ``classes_`` of the classifier.

    positive : {"known", "outsider"}, default="known"
        The side to find. ``"known"`` is what the literature calls AUPR-in,
        ``"outsider"`` is AUPR-out.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples.

    Returns
    -------
    aupr : float
        Between 0 and 1; larger is better.

    Raises
    ------
    ValueError
        If there is no known sample or no outsider, ``y_score`` holds NaN, or ``positive``
        is something else.

    See Also
    --------
    sklearn.metrics.average_precision_score : The underlying metric.

    References
    ----------
    .. [1] D. Hendrycks, K. Gimpel. "A baseline for detecting misclassified and
       out-of-distribution examples in neural networks". ICLR 2017.

    Examples
    --------
    >>> from sk_center.metrics import aupr_score
    >>> y_true, y_score = ["cat", "dog", "fox", "fox"], [4, 2, 3, 1]
    >>> round(aupr_score(y_true, y_score, labels=["cat", "dog"]), 3)
    0.833
    >>> aupr_score(["cat", "fox"], [2, 1], labels=["cat"], positive="outsider")
    1.0
    """
    if not (isinstance(positive, str) and positive in ("known", "outsider")):
        raise ValueError(f"positive must be 'known' or 'outsider'; got {positive!r}.")
    known, y_score, sample_weight = checked_scores(y_true, y_score, labels, sample_weight)
    ranks = ranks_of(y_score)
    side, ranks = (known, ranks) if positive == "known" else (~known, -ranks)
    return float(average_precision_score(side, ranks, sample_weight=sample_weight))


def fpr_at_tpr(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    labels: ArrayLike,
    tpr: float = 0.95,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Share of the outsiders accepted at the threshold that accepts ``tpr`` of the known.

    Known is the positive side: the threshold is the highest score at which at least
    ``tpr`` of the known samples score as high or higher. With the default it is the false
    positive rate at 95 % true positive rate of [1]_, for short FPR95.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels; samples of a label outside ``labels`` are outsiders.

    y_score : array-like of shape (n_samples,)
        Score of each sample, larger is more typical of the known classes:
        ``score_samples``.

    labels : array-like of shape (n_classes,)
        The known classes, ``classes_`` of the classifier.

    tpr : float, default=0.95
        Share of the known samples to accept, in (0, 1]. A larger share accepts more
        outsiders, too.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples.

    Returns
    -------
    fpr : float
        Between 0 and 1; smaller is better.

    Raises
    ------
    ValueError
        If there is no known sample or no outsider, ``y_score`` holds NaN, or ``tpr`` is out
        of range.

    See Also
    --------
    auroc_score : Over all thresholds.
    ccr_at_fpr : The converse, for known samples that are classified correctly.

    References
    ----------
    .. [1] S. Liang, Y. Li, R. Srikant. "Enhancing the reliability of out-of-distribution
       image detection in neural networks". ICLR 2018.

    Examples
    --------
    >>> from sk_center.metrics import fpr_at_tpr
    >>> fpr_at_tpr([0, 0, 1, 7, 7], [3, 2, 1, 2.5, 0], labels=[0, 1], tpr=0.6)
    0.5
    """
    if not (isinstance(tpr, Real) and 0 < tpr <= 1):
        raise ValueError(f"tpr must be in (0, 1]; got {tpr!r}.")
    fprs, tprs = roc_rates(y_true, y_score, labels, sample_weight)
    # Sums of weights round: 0.95 may have become 0.9499999999999999.
    return float(fprs[np.flatnonzero(tprs >= tpr - 1e-12)[0]])


def oscr_curve(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    y_score: ArrayLike,
    *,
    labels: ArrayLike,
    sample_weight: ArrayLike | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Correct classification rate against false positive rate, over all thresholds.

    At a threshold, the correct classification rate is the share of the known samples
    that score as high or higher *and* are given their class; the false positive rate
    is the share of the outsiders that score as high or higher [1]_.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels; samples of a label outside ``labels`` are outsiders.

    y_pred : array-like of shape (n_samples,)
        Class given to each sample without rejection.

    y_score : array-like of shape (n_samples,)
        Score of each sample, larger is more typical of the known classes:
        ``score_samples``.

    labels : array-like of shape (n_classes,)
        The known classes, ``classes_`` of the classifier.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples.

    Returns
    -------
    ccr : ndarray of shape (n_thresholds + 1,)
        Correct classification rates, rising from 0 to the accuracy on known samples.

    fpr : ndarray of shape (n_thresholds + 1,)
        False positive rates, rising from 0 to 1.

    thresholds : ndarray of shape (n_thresholds + 1,)
        Falling scores, the first one infinite.

    Raises
    ------
    ValueError
        If there is no known sample or no outsider, ``y_score`` holds NaN, or ``y_pred``
        holds NaN or labels of another kind than ``labels``.

    See Also
    --------
    oscr_score : The area under the curve.
    sk_center.OSCRCurveDisplay : Draws it.

    Notes
    -----
    [1]_ counts the known samples that score higher than the threshold, and the outsiders
    that score as high or higher. That curve is lower than the one here, but only where a
    known sample and an outsider have the same score.

    References
    ----------
    .. [1] A. R. Dhamija, M. Günther, T. E. Boult. "Reducing network agnostophobia".
       NeurIPS 2018.

    Examples
    --------
    >>> from sk_center.metrics import oscr_curve
    >>> ccr, fpr, thresholds = oscr_curve(
    ...     [0, 1, 7, 7], [0, 0, 0, 1], [4, 3, 2, 1], labels=[0, 1])
    >>> ccr
    array([0. , 0.5, 0.5, 0.5, 0.5])
    >>> fpr
    array([0. , 0. , 0. , 0.5, 1. ])
    """
    known, y_score, sample_weight = checked_scores(y_true, y_score, labels, sample_weight)
    correct = checked_predictions(y_true, y_pred, labels)
    weight = np.ones(len(known)) if sample_weight is None else sample_weight
    order = np.argsort(-y_score, kind="stable")
    steps = y_score[order][1:] != y_score[order][:-1]
    last = np.append(np.flatnonzero(steps), len(order) - 1)
    # Summed in one order, a part is never rounded to more than the whole.
    sums = [np.cumsum((weight * part)[order]) for part in (correct, known, ~known)]
    ccr, fpr = sums[0][last] / sums[1][-1], sums[2][last] / sums[2][-1]
    return np.append(0, ccr), np.append(0, fpr), np.append(np.inf, y_score[order][last])


def oscr_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    y_score: ArrayLike,
    *,
    labels: ArrayLike,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Area under the open-set classification rate (OSCR) curve.

    One number for both tasks, classifying known samples and detecting outsiders. It equals
    :func:`auroc_score` if every known sample is classified correctly, and is smaller
    otherwise. The curve is that of :func:`oscr_curve`, joined by straight lines.
    It depends on ranks only, and not on the threshold of the classifier, see
    :func:`normalized_accuracy_score`.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels; samples of a label outside ``labels`` are outsiders.

    y_pred : array-like of shape (n_samples,)
        Class given to each sample without rejection.

    y_score : array-like of shape (n_samples,)
        Score of each sample, larger is more typical of the known classes:
        ``score_samples``.

    labels : array-like of shape (n_classes,)
        The known classes, ``classes_`` of the classifier.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples.

    Returns
    -------
    oscr : float
        Between 0 and 1; larger is better.

    Raises
    ------
    ValueError
        If there is no known sample or no outsider, ``y_score`` holds NaN, or ``y_pred``
        holds NaN or labels of another kind than ``labels``.

    See Also
    --------
    oscr_curve : The curve, with its reference.
    ccr_at_fpr : One point of it.
    auroc_score : Ignores the predicted class.

    Examples
    --------
    >>> from sk_center.metrics import oscr_score
    >>> oscr_score([0, 1, 7, 7], [0, 0, 0, 1], [4, 3, 2, 1], labels=[0, 1])
    0.5
    """
    ccr, fpr, _ = oscr_curve(
        y_true, y_pred, y_score, labels=labels, sample_weight=sample_weight
    )
    return min(float(np.trapezoid(ccr, fpr)), 1.0)


def ccr_at_fpr(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    y_score: ArrayLike,
    *,
    labels: ArrayLike,
    fpr: float = 0.1,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Share of the known samples classified correctly when few outsiders are accepted.

    The correct classification rate of :func:`oscr_curve` at the lowest threshold that at
    most ``fpr`` of the outsiders reach. Nothing is interpolated.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels; samples of a label outside ``labels`` are outsiders.

    y_pred : array-like of shape (n_samples,)
        Class given to each sample without rejection.

    y_score : array-like of shape (n_samples,)
        Score of each sample, larger is more typical of the known classes:
        ``score_samples``.

    labels : array-like of shape (n_classes,)
        The known classes, ``classes_`` of the classifier.

    fpr : float, default=0.1
        Largest share of the outsiders to accept, in [0, 1]. A larger share accepts more of
        both. With n outsiders, rates below 1 / n are equivalent to 0.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples.

    Returns
    -------
    ccr : float
        Between 0 and 1; larger is better.

    Raises
    ------
    ValueError
        If there is no known sample or no outsider, ``y_score`` holds NaN, ``y_pred``
        holds NaN or labels of another kind than ``labels``, or ``fpr`` is out of range.

    See Also
    --------
    oscr_score : Over all thresholds.

    References
    ----------
    .. [1] A. R. Dhamija, M. Günther, T. E. Boult. "Reducing network agnostophobia".
       NeurIPS 2018.

    Examples
    --------
    >>> from sk_center.metrics import ccr_at_fpr
    >>> y_true, y_pred, y_score = [0, 1, 1, 7, 7], [0, 1, 0, 0, 1], [5, 3, 1, 4, 2]
    >>> ccr_at_fpr(y_true, y_pred, y_score, labels=[0, 1], fpr=0.5)
    0.6666666666666666
    >>> ccr_at_fpr(y_true, y_pred, y_score, labels=[0, 1])
    0.3333333333333333
    """
    if not (isinstance(fpr, Real) and 0 <= fpr <= 1):
        raise ValueError(f"fpr must be in [0, 1]; got {fpr!r}.")
    ccrs, fprs, _ = oscr_curve(
        y_true, y_pred, y_score, labels=labels, sample_weight=sample_weight
    )
    # Sums of weights round: 0.1 may have become 0.10000000000000002.
    return float(ccrs[np.flatnonzero(fprs <= fpr + 1e-12)[-1]])
