"""Metrics of open-set recognition, and scorers of them for model selection.

Samples whose true label is none of the known classes, ``labels``, are unknown: they stand
for the outsiders to come. Known is the positive side throughout, but where a function is
told otherwise.

The scorers go into ``scoring=`` of scikit-learn's tools, such as ``GridSearchCV``, for an
:class:`~sk_center.OpenSetClassifier`: ``auroc_scorer``, ``aupr_in_scorer``,
``aupr_out_scorer``, ``neg_fpr_at_tpr_scorer``, ``neg_detection_error_scorer``,
``oscr_scorer``, ``ccr_at_fpr_scorer``, ``open_set_f1_scorer`` and
``normalized_accuracy_scorer``. Larger is always better. :func:`make_open_set_scorer`
makes more.
"""

from __future__ import annotations

from inspect import signature
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
from sklearn.metrics._scorer import _BaseScorer
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.validation import _check_sample_weight

from sk_center._nested import nested, transformed

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    from sk_center._types import Label, Scorer

__all__ = [
    "aupr_in_scorer",
    "aupr_out_scorer",
    "aupr_score",
    "auroc_score",
    "auroc_scorer",
    "ccr_at_fpr",
    "ccr_at_fpr_scorer",
    "detection_error",
    "fpr_at_tpr",
    "make_open_set_scorer",
    "neg_detection_error_scorer",
    "neg_fpr_at_tpr_scorer",
    "normalized_accuracy_score",
    "normalized_accuracy_scorer",
    "open_set_f1_score",
    "open_set_f1_scorer",
    "openness",
    "oscr_curve",
    "oscr_score",
    "oscr_scorer",
]


def auroc_score(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    labels: ArrayLike,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Area under the ROC curve of known against unknown samples.

    The probability that a known sample scores higher than an unknown one, ties
    counting half. It needs no threshold and ignores which known class is right.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels; those outside ``labels`` are unknown.

    y_score : array-like of shape (n_samples,)
        How known each sample looks, larger is more known: ``score_samples``.

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
        If there is no known or no unknown sample, or ``y_score`` holds NaN.

    See Also
    --------
    oscr_score : Counts only the known samples that are named right.
    fpr_at_tpr : At one threshold.
    sk_center.OpenSetRocDisplay : Draws the curve.

    Examples
    --------
    >>> from sk_center.metrics import auroc_score
    >>> auroc_score(["cat", "dog", "fox"], [0.9, 0.4, 0.5], labels=["cat", "dog"])
    0.5
    """
    known, y_score, sample_weight = _check(y_true, y_score, labels, sample_weight)
    return float(roc_auc_score(known, _ranks(y_score), sample_weight=sample_weight))


def aupr_score(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    labels: ArrayLike,
    positive: Literal["known", "unknown"] = "known",
    sample_weight: ArrayLike | None = None,
) -> float:
    """Area under the precision-recall curve of known and unknown samples.

    It is scikit-learn's average precision, without interpolation. Unlike
    :func:`auroc_score` it depends on how many samples are unknown: chance is the share of
    the positive side.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels; those outside ``labels`` are unknown.

    y_score : array-like of shape (n_samples,)
        How known each sample looks, larger is more known: ``score_samples``.

    labels : array-like of shape (n_classes,)
        The known classes, ``classes_`` of the classifier.

    positive : {"known", "unknown"}, default="known"
        The side to find. ``"known"`` is what the literature calls AUPR-in,
        ``"unknown"`` is AUPR-out.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples.

    Returns
    -------
    aupr : float
        Between 0 and 1; larger is better.

    Raises
    ------
    ValueError
        If there is no known or no unknown sample, ``y_score`` holds NaN, or ``positive`` is
        something else.

    See Also
    --------
    sklearn.metrics.average_precision_score : The sum that is taken.

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
    >>> aupr_score(["cat", "fox"], [2, 1], labels=["cat"], positive="unknown")
    1.0
    """
    if not (isinstance(positive, str) and positive in ("known", "unknown")):
        raise ValueError(f"positive must be 'known' or 'unknown'; got {positive!r}.")
    known, y_score, sample_weight = _check(y_true, y_score, labels, sample_weight)
    ranks = _ranks(y_score)
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
    """Share of the unknown samples accepted where ``tpr`` of the known ones are.

    Known is the positive side: the threshold is the highest score at which at least
    ``tpr`` of the known samples score as high or higher. With the default it is the false
    positive rate at 95 % true positive rate of [1]_, for short FPR95.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels; those outside ``labels`` are unknown.

    y_score : array-like of shape (n_samples,)
        How known each sample looks, larger is more known: ``score_samples``.

    labels : array-like of shape (n_classes,)
        The known classes, ``classes_`` of the classifier.

    tpr : float, default=0.95
        Share of the known samples to accept, in (0, 1]. Larger accepts more unknown ones,
        too.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples.

    Returns
    -------
    fpr : float
        Between 0 and 1; smaller is better.

    Raises
    ------
    ValueError
        If there is no known or no unknown sample, ``y_score`` holds NaN, or ``tpr`` is out
        of range.

    See Also
    --------
    auroc_score : Over all thresholds.
    ccr_at_fpr : The other way round, and counts only samples that are named right.

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
    if not 0 < tpr <= 1:
        raise ValueError(f"tpr must be in (0, 1]; got {tpr!r}.")
    fprs, tprs = _roc(y_true, y_score, labels, sample_weight)
    # Sums of weights round: 0.95 may have become 0.9499999999999999.
    return float(fprs[np.flatnonzero(tprs >= tpr - 1e-12)[0]])


def detection_error(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    labels: ArrayLike,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Smallest share of errors of telling known from unknown, both sides counting half.

    The least that any threshold t reaches of ``(1 - TPR(t)) / 2 + FPR(t) / 2``, with the
    share TPR of the known samples and FPR of the unknown ones that are accepted.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels; those outside ``labels`` are unknown.

    y_score : array-like of shape (n_samples,)
        How known each sample looks, larger is more known: ``score_samples``.

    labels : array-like of shape (n_classes,)
        The known classes, ``classes_`` of the classifier.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples.

    Returns
    -------
    error : float
        Between 0 and 0.5, which accepting all samples gives; smaller is better.

    Raises
    ------
    ValueError
        If there is no known or no unknown sample, or ``y_score`` holds NaN.

    See Also
    --------
    fpr_at_tpr : The errors at a threshold that is given.

    Notes
    -----
    [1]_ defines the error, as the probability of a mistake where half of the samples are
    unknown. Its tables give it at a TPR of 95 %, which is ``0.025 + fpr / 2`` with ``fpr``
    of :func:`fpr_at_tpr`; the program of its authors takes the least value over all
    thresholds, as here. That is one minus the "detection accuracy" of [2]_.

    References
    ----------
    .. [1] S. Liang, Y. Li, R. Srikant. "Enhancing the reliability of out-of-distribution
       image detection in neural networks". ICLR 2018.
    .. [2] K. Lee, K. Lee, H. Lee, J. Shin. "A simple unified framework for detecting
       out-of-distribution samples and adversarial attacks". NeurIPS 2018.

    Examples
    --------
    >>> from sk_center.metrics import detection_error
    >>> detection_error([0, 0, 1, 1, 7, 7], [6, 5, 4, 2, 3, 1], labels=[0, 1])
    0.125
    """
    fprs, tprs = _roc(y_true, y_score, labels, sample_weight)
    return float(((1 - tprs) / 2 + fprs / 2).min())


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
    is the share of the unknown samples that score as high or higher [1]_.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels; those outside ``labels`` are unknown.

    y_pred : array-like of shape (n_samples,)
        Class given to each sample without rejection.

    y_score : array-like of shape (n_samples,)
        How known each sample looks, larger is more known: ``score_samples``.

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
        If there is no known or no unknown sample, or ``y_score`` holds NaN.

    See Also
    --------
    oscr_score : The area under the curve.
    sk_center.OSCRCurveDisplay : Draws it.

    Notes
    -----
    [1]_ counts the known samples that score higher than the threshold, and the unknown
    ones that score as high or higher. That curve is lower than the one here, but only
    where known and unknown samples have the same score.

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
    known, y_score, sample_weight = _check(y_true, y_score, labels, sample_weight)
    y_true, y_pred = column_or_1d(y_true), column_or_1d(y_pred)
    check_consistent_length(y_true, y_pred)
    correct = known & (y_pred == y_true)
    weight = np.ones(len(known)) if sample_weight is None else sample_weight
    order = np.argsort(-y_score, kind="stable")
    steps = y_score[order][1:] != y_score[order][:-1]
    last = np.append(np.flatnonzero(steps), len(order) - 1)
    # Of sums in one order no part is rounded to more than the whole.
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

    One number for both jobs: classify the known, tell the unknown apart. Equal to
    :func:`auroc_score` where every known sample is classified correctly, smaller
    otherwise. The curve is that of :func:`oscr_curve`, joined by straight lines.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels; those outside ``labels`` are unknown.

    y_pred : array-like of shape (n_samples,)
        Class given to each sample without rejection.

    y_score : array-like of shape (n_samples,)
        How known each sample looks, larger is more known: ``score_samples``.

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
        If there is no known or no unknown sample, or ``y_score`` holds NaN.

    See Also
    --------
    oscr_curve : The curve, with its reference.
    ccr_at_fpr : One point of it.
    auroc_score : Whichever class is named.

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
    """Share of the known samples classified correctly where few unknown are accepted.

    The correct classification rate of :func:`oscr_curve` at the lowest threshold that at
    most ``fpr`` of the unknown samples reach. Nothing is interpolated.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels; those outside ``labels`` are unknown.

    y_pred : array-like of shape (n_samples,)
        Class given to each sample without rejection.

    y_score : array-like of shape (n_samples,)
        How known each sample looks, larger is more known: ``score_samples``.

    labels : array-like of shape (n_classes,)
        The known classes, ``classes_`` of the classifier.

    fpr : float, default=0.1
        Largest share of the unknown samples to accept, in [0, 1]. Larger accepts more of
        all. With n of them, rates below 1 / n are all the same as 0.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples.

    Returns
    -------
    ccr : float
        Between 0 and 1; larger is better.

    Raises
    ------
    ValueError
        If there is no known or no unknown sample, ``y_score`` holds NaN, or ``fpr`` is out
        of range.

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
    if not 0 <= fpr <= 1:
        raise ValueError(f"fpr must be in [0, 1]; got {fpr!r}.")
    ccrs, fprs, _ = oscr_curve(
        y_true, y_pred, y_score, labels=labels, sample_weight=sample_weight
    )
    # Sums of weights round: 0.1 may have become 0.10000000000000002.
    return float(ccrs[np.flatnonzero(fprs <= fpr + 1e-12)[-1]])


def open_set_f1_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    labels: ArrayLike,
    outlier_label: Label,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Mean of the F1 scores of the known classes and of the reject class.

    All unknown samples together are one more class, and rejecting is to predict it:
    scikit-learn's macro F1 of K + 1 classes.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels; those outside ``labels`` are unknown.

    y_pred : array-like of shape (n_samples,)
        Class given to each sample, or ``outlier_label`` where it is rejected: ``predict``.

    labels : array-like of shape (n_classes,)
        The known classes, ``classes_`` of the classifier.

    outlier_label : int, float or str
        What ``y_pred`` says of rejected samples: ``outlier_label_`` of the classifier.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples.

    Returns
    -------
    f1 : float
        Between 0 and 1; larger is better.

    Raises
    ------
    ValueError
        If there is no known or no unknown sample, ``y_pred`` holds other labels, or
        ``outlier_label`` is among ``labels``.

    See Also
    --------
    normalized_accuracy_score : Accuracies, whatever share of the samples is unknown.
    sk_center.OpenSetConfusionMatrixDisplay : All the counts.
    sklearn.metrics.f1_score : The same number from unknown labels made one.

    Notes
    -----
    The F1 score of a class is ``2 TP / (2 TP + FP + FN)``. A known class that no sample
    has and none is given is left out of the mean, as scikit-learn does.

    The macro-averaging open-set F-measure of [1]_ is another number: its precision and
    recall are means over the K known classes only, to which accepted unknown samples are
    false positives, and it is the F1 score of these two means. Correct rejections earn
    nothing there.

    References
    ----------
    .. [1] P. R. Mendes Júnior et al. "Nearest neighbors distance ratio open-set
       classifier". Machine Learning 106, 2017.

    Examples
    --------
    >>> from sk_center.metrics import open_set_f1_score
    >>> y_true = ["cat", "cat", "dog", "fox", "gnu"]
    >>> y_pred = ["cat", "outsider", "dog", "outsider", "outsider"]
    >>> round(open_set_f1_score(
    ...     y_true, y_pred, labels=["cat", "dog"], outlier_label="outsider"), 3)
    0.822
    """
    true, predicted, weight = _check_predictions(
        y_true, y_pred, labels, outlier_label, sample_weight
    )
    hits, of_true, of_predicted = (
        np.bincount(classes, classes_weight, minlength=true.max() + 1)
        for classes, classes_weight in (
            (true, weight * (true == predicted)),
            (true, weight),
            (predicted, weight),
        )
    )
    total = of_true + of_predicted
    return float((2 * hits[total > 0] / total[total > 0]).mean())


def normalized_accuracy_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    labels: ArrayLike,
    outlier_label: Label,
    lambda_r: float = 0.5,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Weighted mean of the accuracies on known and on unknown samples.

    ``lambda_r * AKS + (1 - lambda_r) * AUS``: AKS is the share of the known samples that
    are given their class, AUS the share of the unknown ones that are rejected [1]_. How
    many samples are unknown does not matter.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels; those outside ``labels`` are unknown.

    y_pred : array-like of shape (n_samples,)
        Class given to each sample, or ``outlier_label`` where it is rejected: ``predict``.

    labels : array-like of shape (n_classes,)
        The known classes, ``classes_`` of the classifier.

    outlier_label : int, float or str
        What ``y_pred`` says of rejected samples: ``outlier_label_`` of the classifier.

    lambda_r : float, default=0.5
        Weight of the known samples, in (0, 1). Larger minds false rejections more than
        outsiders that are accepted.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples.

    Returns
    -------
    accuracy : float
        Between 0 and 1; larger is better. To reject all gives ``1 - lambda_r``.

    Raises
    ------
    ValueError
        If there is no known or no unknown sample, ``y_pred`` holds other labels,
        ``outlier_label`` is among ``labels``, or ``lambda_r`` is out of range.

    See Also
    --------
    open_set_f1_score : Also depends on how many samples are unknown.

    References
    ----------
    .. [1] P. R. Mendes Júnior et al. "Nearest neighbors distance ratio open-set
       classifier". Machine Learning 106, 2017.

    Examples
    --------
    >>> from sk_center.metrics import normalized_accuracy_score
    >>> normalized_accuracy_score(
    ...     [0, 0, 1, 1, 7, 7], [0, -1, 1, 1, -1, 0], labels=[0, 1], outlier_label=-1)
    0.625
    """
    if not 0 < lambda_r < 1:
        raise ValueError(f"lambda_r must be in (0, 1); got {lambda_r!r}.")
    true, predicted, weight = _check_predictions(
        y_true, y_pred, labels, outlier_label, sample_weight
    )
    known, right = true < true.max(), true == predicted
    of_known, of_unknown = (
        np.average(right[side], weights=weight[side]) for side in (known, ~known)
    )
    return float(lambda_r * of_known + (1 - lambda_r) * of_unknown)


def openness(n_known_classes: int, n_test_classes: int) -> float:
    """How open a problem is, from the numbers of its classes.

    ``1 - sqrt(2 * n_known / (n_known + n_test))``, the definition of [1]_ where the
    classes to be recognized are those of training, as recommended by [2]_.

    Parameters
    ----------
    n_known_classes : int
        Number of known classes, those of training: ``len(classes_)``.

    n_test_classes : int
        Number of classes that are met in testing, the known ones included.

    Returns
    -------
    openness : float
        0 where no class is unknown, the closer to 1 the more are.

    Raises
    ------
    ValueError
        If ``n_known_classes`` is not a positive integer, or ``n_test_classes`` is less.

    See Also
    --------
    sk_center.LeaveClassesOut : Takes an openness to make splits of.

    Notes
    -----
    Some papers take ``1 - sqrt(n_known / n_test)`` instead, which is larger: of MNIST with
    6 known digits it makes 0.225 rather than 0.134.

    References
    ----------
    .. [1] W. J. Scheirer, A. de Rezende Rocha, A. Sapkota, T. E. Boult. "Toward open set
       recognition". IEEE Transactions on Pattern Analysis and Machine Intelligence 35,
       2013.
    .. [2] C. Geng, S.-J. Huang, S. Chen. "Recent advances in open set recognition: a
       survey". IEEE Transactions on Pattern Analysis and Machine Intelligence 43, 2021.

    Examples
    --------
    >>> from sk_center.metrics import openness
    >>> round(openness(6, 10), 3)
    0.134
    """
    for name, number, least in (
        ("n_known_classes", n_known_classes, 1),
        ("n_test_classes", n_test_classes, n_known_classes),
    ):
        if not isinstance(number, Integral) or isinstance(number, bool) or number < least:
            minimum = least if name == "n_known_classes" else f"n_known_classes={least}"
            raise ValueError(
                f"{name} must be an integer of at least {minimum}; got {number!r}."
            )
    return float(1 - np.sqrt(2 * n_known_classes / (n_known_classes + n_test_classes)))


def make_open_set_scorer(
    metric: Callable[..., float], *, greater_is_better: bool = True, **params: Any
) -> Scorer:
    """Make a scorer for open-set classifiers from an open-set metric.

    :func:`sklearn.metrics.make_scorer` cannot, because what is known is told by the
    classifier: the scorer gives the metric ``labels=estimator.classes_``.

    Parameters
    ----------
    metric : callable
        Called as ``metric(y_true, ..., labels=classes_, **params)``. The names of its
        parameters tell what else it gets: ``y_score`` is ``score_samples(X)``; ``y_pred``
        is the class given without rejection, but where there is an ``outlier_label`` too
        it is ``predict(X)``; ``sample_weight`` is passed on.

    greater_is_better : bool, default=True
        Whether larger is better. False makes a scorer that gives minus the metric.

    **params : dict
        Further parameters of the metric, such as ``tpr=0.99``.

    Returns
    -------
    scorer : callable
        Called as ``scorer(estimator, X, y, sample_weight=None)`` with a fitted
        :class:`~sk_center.OpenSetClassifier`, also at the end of a Pipeline or inside a
        search such as ``GridSearchCV``. It gives a float, larger is better.

    Raises
    ------
    TypeError
        If the metric takes no ``labels``, or not one of ``params``.

    See Also
    --------
    sklearn.metrics.make_scorer : The same for metrics that only compare predictions.

    Notes
    -----
    With metadata routing enabled, ``set_score_request(sample_weight=True)`` asks for
    weights. It changes the scorer that it is called on, so call it on one of your own and
    not on those of this module.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sk_center import OpenSetClassifier
    >>> from sk_center.metrics import fpr_at_tpr, make_open_set_scorer
    >>> X, y = load_iris(return_X_y=True)
    >>> known = y < 2
    >>> model = OpenSetClassifier(GaussianNB(), conformity_score="mahalanobis", cv=5)
    >>> scorer = make_open_set_scorer(fpr_at_tpr, greater_is_better=False, tpr=0.9)
    >>> scorer
    make_open_set_scorer(fpr_at_tpr, greater_is_better=False, tpr=0.9)
    >>> scorer(model.fit(X[known], y[known]), X, y)
    -0.02
    """
    accepted = signature(metric).parameters
    if "labels" not in accepted:
        raise TypeError(
            f"metric must take labels, the known classes; {metric!r} takes {[*accepted]}."
        )
    for name in params:
        if name not in accepted or name in _OpenSetScorer.GIVEN:
            choice = [other for other in accepted if other not in _OpenSetScorer.GIVEN]
            raise TypeError(f"params may hold {choice} for {metric!r}; got {name!r}.")
    response_method = "score_samples" if "y_score" in accepted else "predict"
    return _OpenSetScorer(metric, 1 if greater_is_better else -1, params, response_method)


class _OpenSetScorer(_BaseScorer):
    """A scorer that gives the metric the known classes and what it asks for.

    Weights, metadata routing and responses shared by several scorers are scikit-learn's.
    """

    GIVEN = ("y_true", "y_pred", "y_score", "labels", "outlier_label", "sample_weight")

    def _score(self, method_caller, estimator, X, y_true, sample_weight=None):
        asked = signature(self._score_func).parameters
        given = {"labels": estimator.classes_, **self._kwargs}
        if "outlier_label" in asked:
            given["y_pred"] = method_caller(estimator, "predict", X)
            given["outlier_label"] = _open_set_classifier(estimator)[0].outlier_label_
        elif "y_pred" in asked:
            given["y_pred"] = _predict_known(estimator, X)
        if "y_score" in asked:
            given["y_score"] = method_caller(estimator, "score_samples", X)
        if sample_weight is not None:
            given["sample_weight"] = sample_weight
        return self._sign * self._score_func(y_true, **given)

    def __repr__(self):
        sign = "" if self._sign > 0 else ", greater_is_better=False"
        params = "".join(f", {name}={value!r}" for name, value in self._kwargs.items())
        return f"make_open_set_scorer({self._score_func.__name__}{sign}{params})"


auroc_scorer = make_open_set_scorer(auroc_score)
aupr_in_scorer = make_open_set_scorer(aupr_score)
aupr_out_scorer = make_open_set_scorer(aupr_score, positive="unknown")
neg_fpr_at_tpr_scorer = make_open_set_scorer(fpr_at_tpr, greater_is_better=False)
neg_detection_error_scorer = make_open_set_scorer(detection_error, greater_is_better=False)
oscr_scorer = make_open_set_scorer(oscr_score)
ccr_at_fpr_scorer = make_open_set_scorer(ccr_at_fpr)
open_set_f1_scorer = make_open_set_scorer(open_set_f1_score)
normalized_accuracy_scorer = make_open_set_scorer(normalized_accuracy_score)


def _open_set_classifier(estimator):
    """Return the open-set classifier inside an estimator, and what transforms X for it."""
    for inner, before in nested(estimator, searches=True):
        if hasattr(inner, "outlier_label_"):
            return inner, before
    raise TypeError(
        "estimator must be a fitted OpenSetClassifier, a Pipeline that ends in one or a "
        f"search of one; got {estimator!r}."
    )


def _predict_known(estimator, X):
    """Return the class that is given to each sample without rejection."""
    classifier, before = _open_set_classifier(estimator)
    return classifier.estimator_.predict(transformed(before, X))


def _check(y_true, y_score, labels, sample_weight):
    """Return who is known, scores without NaN and weights (or None)."""
    y_true, y_score = column_or_1d(y_true), column_or_1d(y_score)
    check_consistent_length(y_true, y_score, sample_weight)
    y_score = y_score.astype(np.float64)
    if np.isnan(y_score).any():
        raise ValueError("y_score contains NaN.")
    known, sample_weight = _check_sides(y_true, labels, sample_weight)
    return known, y_score, sample_weight


def _check_predictions(y_true, y_pred, labels, outlier_label, sample_weight):
    """Return true and predicted class indices, the reject class last, and weights."""
    check_consistent_length(y_true, y_pred, sample_weight)
    *indices, classes = _class_indices(y_true, y_pred, labels, outlier_label)
    _, sample_weight = _check_sides(column_or_1d(y_true), classes, sample_weight)
    weight = np.ones(len(indices[0])) if sample_weight is None else sample_weight
    return *indices, weight


def _class_indices(y_true, y_pred, labels, outlier_label):
    """Return true and predicted class indices, the reject class last, and the classes."""
    y_true, y_pred = column_or_1d(y_true), column_or_1d(y_pred)
    check_consistent_length(y_true, y_pred)
    classes = np.unique(labels)
    if np.isin(outlier_label, classes):
        raise ValueError(
            f"outlier_label must not be one of labels, {classes[:10].tolist()}; got "
            f"{outlier_label!r}."
        )
    accepted = np.isin(y_pred, classes)
    other = ~accepted & (y_pred != outlier_label)
    if other.any():
        raise ValueError(
            f"y_pred must hold labels, {classes[:10].tolist()}, or outlier_label, "
            f"{outlier_label!r}; got {np.unique(y_pred[other])[:10].tolist()}."
        )
    indices = [np.full(len(y_true), len(classes)) for _ in range(2)]
    for index, y, chosen in zip(
        indices, (y_true, y_pred), (_is_known(y_true, classes), accepted)
    ):
        index[chosen] = np.searchsorted(classes, y[chosen])
    return *indices, classes


def _check_sides(y_true, labels, sample_weight):
    """Return who is known, of whom there must be some and not all, and weights."""
    labels = np.asarray(list(labels))
    known = _is_known(y_true, labels)
    counts = np.ones(len(known), dtype=bool)
    if sample_weight is not None:
        sample_weight = _check_sample_weight(
            sample_weight, y_true, dtype=np.float64, ensure_non_negative=True
        )
        counts = sample_weight > 0
    advice = (
        " In a search or cross-validation, split with cv=LeaveClassesOut(...), so that the "
        "test part holds classes that are unknown."
    )
    for missing, those, hint in (("known", known, ""), ("unknown", ~known, advice)):
        if not (those & counts).any():
            raise ValueError(
                f"y_true holds no {missing} sample (of positive weight): its labels are "
                f"{np.unique(y_true)[:10].tolist()}, the known ones "
                f"{labels[:10].tolist()}.{hint}"
            )
    return known, sample_weight


def _is_known(y_true, labels):
    """Return which labels are among the known ones."""
    known = np.isin(y_true, labels)
    # numpy may take the string "1" for the number 1, depending on how many there are.
    kinds = y_true.dtype.kind, labels.dtype.kind
    if "O" not in kinds and (kinds[0] in "US") != (kinds[1] in "US"):
        known[:] = False
    return known


def _roc(y_true, y_score, labels, sample_weight):
    """Return false and true positive rates at all thresholds, from above all scores."""
    known, y_score, sample_weight = _check(y_true, y_score, labels, sample_weight)
    fprs, tprs, _ = roc_curve(
        known, _ranks(y_score), sample_weight=sample_weight, drop_intermediate=False
    )
    return fprs, tprs


def _ranks(y_score):
    """Return integers in the same order, since scikit-learn's curves take no infinity."""
    return np.unique(y_score, return_inverse=True)[1]
