"""Metrics of open-set recognition. Known is the positive side throughout."""

import numpy as np
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.validation import _check_sample_weight


def auroc_score(y_true, y_score, *, labels, sample_weight=None):
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
        If there is no known or no unknown sample.

    Examples
    --------
    >>> from sk_center.metrics import auroc_score
    >>> auroc_score(["cat", "dog", "fox"], [0.9, 0.4, 0.5], labels=["cat", "dog"])
    0.5
    """
    known, y_score, sample_weight = _check(y_true, y_score, labels, sample_weight)
    return float(roc_auc_score(known, _ranks(y_score), sample_weight=sample_weight))


def fpr_at_tpr(y_true, y_score, *, labels, tpr=0.95, sample_weight=None):
    """Share of the unknown samples accepted where ``tpr`` of the known ones are.

    Known is the positive side: the threshold is the highest score at which at least
    ``tpr`` of the known samples score as high or higher.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels; those outside ``labels`` are unknown.

    y_score : array-like of shape (n_samples,)
        How known each sample looks, larger is more known: ``score_samples``.

    labels : array-like of shape (n_classes,)
        The known classes, ``classes_`` of the classifier.

    tpr : float, default=0.95
        Share of the known samples to accept, in (0, 1].

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples.

    Returns
    -------
    fpr : float
        Between 0 and 1; smaller is better.

    Raises
    ------
    ValueError
        If there is no known or no unknown sample, or ``tpr`` is out of range.

    Examples
    --------
    >>> from sk_center.metrics import fpr_at_tpr
    >>> fpr_at_tpr([0, 0, 1, 7, 7], [3, 2, 1, 2.5, 0], labels=[0, 1], tpr=0.6)
    0.5
    """
    if not 0 < tpr <= 1:
        raise ValueError(f"tpr must be in (0, 1]; got {tpr!r}.")
    known, y_score, sample_weight = _check(y_true, y_score, labels, sample_weight)
    fprs, tprs, _ = roc_curve(
        known, _ranks(y_score), sample_weight=sample_weight, drop_intermediate=False
    )
    # Sums of weights round: 0.95 may have become 0.9499999999999999.
    return float(fprs[np.flatnonzero(tprs >= tpr - 1e-12)[0]])


def oscr_curve(y_true, y_pred, y_score, *, labels, sample_weight=None):
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
        If there is no known or no unknown sample.

    References
    ----------
    .. [1] A. R. Dhamija, M. Günther, T. E. Boult. "Reducing network agnostophobia".
       NeurIPS 2018, equation 6.

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
    ccr = np.cumsum((weight * correct)[order])[last] / weight[known].sum()
    fpr = np.cumsum((weight * ~known)[order])[last] / weight[~known].sum()
    return np.append(0, ccr), np.append(0, fpr), np.append(np.inf, y_score[order][last])


def oscr_score(y_true, y_pred, y_score, *, labels, sample_weight=None):
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
        If there is no known or no unknown sample.

    Examples
    --------
    >>> from sk_center.metrics import oscr_score
    >>> oscr_score([0, 1, 7, 7], [0, 0, 0, 1], [4, 3, 2, 1], labels=[0, 1])
    0.5
    """
    ccr, fpr, _ = oscr_curve(
        y_true, y_pred, y_score, labels=labels, sample_weight=sample_weight
    )
    return float(np.trapezoid(ccr, fpr))


def _check(y_true, y_score, labels, sample_weight):
    """Return who is known, scores without NaN and weights (or None)."""
    y_true, y_score = column_or_1d(y_true), column_or_1d(y_score)
    check_consistent_length(y_true, y_score, sample_weight)
    y_score = y_score.astype(np.float64)
    if np.isnan(y_score).any():
        raise ValueError("y_score contains NaN.")
    labels = list(labels)
    known = np.isin(y_true, labels)
    counts = np.ones(len(known), dtype=bool)
    if sample_weight is not None:
        sample_weight = _check_sample_weight(
            sample_weight, y_true, dtype=np.float64, ensure_non_negative=True
        )
        counts = sample_weight > 0
    for missing, those in (("known", known), ("unknown", ~known)):
        if not (those & counts).any():
            raise ValueError(
                f"y_true holds no {missing} sample (of positive weight): its labels are "
                f"{np.unique(y_true)[:10].tolist()}, the known ones "
                f"{np.asarray(labels)[:10].tolist()}."
            )
    return known, y_score, sample_weight


def _ranks(y_score):
    """Return integers in the same order, since scikit-learn's curves take no infinity."""
    return np.unique(y_score, return_inverse=True)[1]
