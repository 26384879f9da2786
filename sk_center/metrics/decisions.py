"""Metrics of decisions: predicted labels, and rejections among them."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import f1_score

from sk_center.metrics.base import checked_decisions

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from sk_center._utils.types import Label


def outsider_rejection_rate(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    labels: ArrayLike,
    outlier_label: Label,
    ambiguous_label: Label | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Share of the outsiders that are rejected, at the threshold of the classifier.

    It is the power of the decision. Report it with its cost, :func:`false_rejection_rate`:
    rejecting all samples gives 1.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels; samples of a label outside ``labels`` are outsiders.

    y_pred : array-like of shape (n_samples,)
        Class given to each sample, ``outlier_label`` if it is rejected, or
        ``ambiguous_label``: ``predict``.

    labels : array-like of shape (n_classes,)
        The known classes, ``classes_`` of the classifier.

    outlier_label : int, float or str
        Label of rejected samples in ``y_pred``: ``outlier_label_`` of the classifier.

    ambiguous_label : int, float or str, default=None
        Label of accepted samples in ``y_pred`` that are withheld: ``ambiguous_label_`` of
        the classifier. They are neither rejected nor correct. None if there are none.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples.

    Returns
    -------
    rate : float
        Between 0 and 1; larger is better.

    Raises
    ------
    ValueError
        If there is no outsider, ``y_pred`` holds other labels, or ``outlier_label`` is
        among ``labels``.

    See Also
    --------
    false_rejection_rate : Share of the known samples that are rejected.
    normalized_accuracy_score : One number for both sides.

    Examples
    --------
    >>> from sk_center.metrics import outsider_rejection_rate
    >>> outsider_rejection_rate(
    ...     [0, 0, 1, 1, 7, 7], [0, -1, 1, 0, -1, 0], labels=[0, 1], outlier_label=-1)
    0.5
    """
    true, predicted, weight, reject = checked_decisions(
        y_true, y_pred, labels, outlier_label, ambiguous_label, sample_weight, ("outsider",)
    )
    return _share(predicted == reject, weight, true == reject)


def false_rejection_rate(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    labels: ArrayLike,
    outlier_label: Label,
    ambiguous_label: Label | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Share of the known samples that are rejected.

    An :class:`~sk_center.OpenSetClassifier` bounds its expectation by the parameter of
    the same name. No outsiders are needed.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels; samples of a label outside ``labels`` are outsiders.

    y_pred : array-like of shape (n_samples,)
        Class given to each sample, ``outlier_label`` if it is rejected, or
        ``ambiguous_label``: ``predict``.

    labels : array-like of shape (n_classes,)
        The known classes, ``classes_`` of the classifier.

    outlier_label : int, float or str
        Label of rejected samples in ``y_pred``: ``outlier_label_`` of the classifier.

    ambiguous_label : int, float or str, default=None
        Label of accepted samples in ``y_pred`` that are withheld: ``ambiguous_label_`` of
        the classifier. They are neither rejected nor correct. None if there are none.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples.

    Returns
    -------
    rate : float
        Between 0 and 1; smaller is better.

    Raises
    ------
    ValueError
        If there is no known sample, ``y_pred`` holds other labels, or ``outlier_label`` is
        among ``labels``.

    See Also
    --------
    correct_acceptance_rate : Share of the known samples accepted and classified correctly.
    sk_center.FalseRejectionDisplay : Draws the rate, also by class, beside the allowed one.

    Examples
    --------
    >>> from sk_center.metrics import false_rejection_rate
    >>> false_rejection_rate(
    ...     [0, 0, 1, 1, 7, 7], [0, -1, 1, 0, -1, 0], labels=[0, 1], outlier_label=-1)
    0.25
    """
    true, predicted, weight, reject = checked_decisions(
        y_true, y_pred, labels, outlier_label, ambiguous_label, sample_weight, ("known",)
    )
    return _share(predicted == reject, weight, true < reject)


def correct_acceptance_rate(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    labels: ArrayLike,
    outlier_label: Label,
    ambiguous_label: Label | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Share of the known samples that are accepted and classified correctly.

    It is the accuracy on known samples, with rejections counted as errors. No outsiders are
    needed.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels; samples of a label outside ``labels`` are outsiders.

    y_pred : array-like of shape (n_samples,)
        Class given to each sample, ``outlier_label`` if it is rejected, or
        ``ambiguous_label``: ``predict``.

    labels : array-like of shape (n_classes,)
        The known classes, ``classes_`` of the classifier.

    outlier_label : int, float or str
        Label of rejected samples in ``y_pred``: ``outlier_label_`` of the classifier.

    ambiguous_label : int, float or str, default=None
        Label of accepted samples in ``y_pred`` that are withheld: ``ambiguous_label_`` of
        the classifier. They are neither rejected nor correct. None if there are none.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples.

    Returns
    -------
    rate : float
        Between 0 and 1; larger is better.

    Raises
    ------
    ValueError
        If there is no known sample, ``y_pred`` holds other labels, or ``outlier_label`` is
        among ``labels``.

    See Also
    --------
    false_rejection_rate : Share of the known samples that are rejected.
    ccr_at_fpr : The same at the threshold that accepts a given share of the outsiders.

    Examples
    --------
    >>> from sk_center.metrics import correct_acceptance_rate
    >>> correct_acceptance_rate(
    ...     [0, 0, 1, 1, 7, 7], [0, -1, 1, 0, -1, 0], labels=[0, 1], outlier_label=-1)
    0.5
    """
    true, predicted, weight, reject = checked_decisions(
        y_true, y_pred, labels, outlier_label, ambiguous_label, sample_weight, ("known",)
    )
    return _share(predicted == true, weight, true < reject)


def normalized_accuracy_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    labels: ArrayLike,
    outlier_label: Label,
    lambda_r: float = 0.5,
    ambiguous_label: Label | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Weighted mean of the accuracies on known samples and on outsiders.

    ``lambda_r * AKS + (1 - lambda_r) * AUS``: AKS is :func:`correct_acceptance_rate`, the
    share of the known samples that are accepted and classified correctly, AUS is
    :func:`outsider_rejection_rate` [1]_. The share of outsiders among the samples does not
    matter. Use it for a search at the allowed false-rejection rate: if nothing is rejected,
    it is half the accuracy.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels; samples of a label outside ``labels`` are outsiders.

    y_pred : array-like of shape (n_samples,)
        Class given to each sample, ``outlier_label`` if it is rejected, or
        ``ambiguous_label``: ``predict``.

    labels : array-like of shape (n_classes,)
        The known classes, ``classes_`` of the classifier.

    outlier_label : int, float or str
        Label of rejected samples in ``y_pred``: ``outlier_label_`` of the classifier.

    lambda_r : float, default=0.5
        Weight of the known samples, in (0, 1). A larger value gives false rejections and
        wrong classes more weight, accepted outsiders less.

    ambiguous_label : int, float or str, default=None
        Label of accepted samples in ``y_pred`` that are withheld: ``ambiguous_label_`` of
        the classifier. They are neither rejected nor correct. None if there are none.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples.

    Returns
    -------
    accuracy : float
        Between 0 and 1; larger is better. Rejecting all samples gives ``1 - lambda_r``.

    Raises
    ------
    ValueError
        If there is no known sample or no outsider, ``y_pred`` holds other labels,
        ``outlier_label`` is among ``labels``, or ``lambda_r`` is out of range.

    See Also
    --------
    oscr_score : The same trade-off over all thresholds.
    open_set_f1_score : Depends on the share of outsiders among the samples, too.

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
    if not (isinstance(lambda_r, Real) and 0 < lambda_r < 1):
        raise ValueError(f"lambda_r must be in (0, 1); got {lambda_r!r}.")
    true, predicted, weight, reject = checked_decisions(
        y_true, y_pred, labels, outlier_label, ambiguous_label, sample_weight
    )
    known, right = true < reject, true == predicted
    of_known, of_outsiders = (_share(right, weight, side) for side in (known, ~known))
    return float(lambda_r * of_known + (1 - lambda_r) * of_outsiders)


def open_set_f1_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    labels: ArrayLike,
    outlier_label: Label,
    ambiguous_label: Label | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Mean of the F1 scores of the known classes and of the reject class.

    All outsiders together form one more class, which rejection predicts: scikit-learn's
    macro F1 of K + 1 classes.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels; samples of a label outside ``labels`` are outsiders.

    y_pred : array-like of shape (n_samples,)
        Class given to each sample, ``outlier_label`` if it is rejected, or
        ``ambiguous_label``: ``predict``.

    labels : array-like of shape (n_classes,)
        The known classes, ``classes_`` of the classifier.

    outlier_label : int, float or str
        Label of rejected samples in ``y_pred``: ``outlier_label_`` of the classifier.

    ambiguous_label : int, float or str, default=None
        Label of accepted samples in ``y_pred`` that are withheld: ``ambiguous_label_`` of
        the classifier. They are neither rejected nor correct. None if there are none.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples.

    Returns
    -------
    f1 : float
        Between 0 and 1; larger is better.

    Raises
    ------
    ValueError
        If there is no known sample or no outsider, ``y_pred`` holds other labels, or
        ``outlier_label`` is among ``labels``.

    See Also
    --------
    normalized_accuracy_score : Does not depend on the share of outsiders.
    sk_center.OpenSetConfusionMatrixDisplay : All the counts.
    sklearn.metrics.f1_score : The same number, once all outsiders have one label.

    Notes
    -----
    The F1 score of a class is ``2 TP / (2 TP + FP + FN)``. A known class that occurs
    neither as true nor as predicted label is left out of the mean, as in scikit-learn.

    The macro-averaging open-set F-measure of [1]_ is another number: its precision and
    recall are means over the K known classes only, for which accepted outsiders are false
    positives, and it is the F1 score of these two means. Correct rejections do not count.

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
    true, predicted, weight, reject = checked_decisions(
        y_true, y_pred, labels, outlier_label, ambiguous_label, sample_weight
    )
    found = f1_score(
        true,
        predicted,
        labels=np.arange(reject + 1),
        average="macro",
        sample_weight=weight,
        zero_division=np.nan,
    )
    return float(found)


def openness(n_known_classes: int, n_test_classes: int) -> float:
    """Openness of a problem, from its numbers of classes.

    ``1 - sqrt(2 * n_known / (n_known + n_test))``, the definition of [1]_ where the
    classes to be recognized are those of training, as recommended by [2]_.

    Parameters
    ----------
    n_known_classes : int
        Number of known classes, those of training: ``len(classes_)``.

    n_test_classes : int
        Number of classes of the test samples, the known ones included.

    Returns
    -------
    openness : float
        0 if all test classes are known; the more are unknown, the closer to 1.

    Raises
    ------
    ValueError
        If ``n_known_classes`` is not a positive integer, or ``n_test_classes`` is less.

    See Also
    --------
    sk_center.LeaveClassesOut : Makes splits of a given openness.

    Notes
    -----
    Some papers take ``1 - sqrt(n_known / n_test)`` instead, which is larger: 0.225 rather
    than 0.134 for MNIST with 6 known digits.

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
    # As Python integers: small ones of numpy would overflow.
    n_known, n_test = int(n_known_classes), int(n_test_classes)
    return float(1 - np.sqrt(2 * n_known / (n_known + n_test)))


def _share(chosen, weight, side):
    """Return the weighted share of the samples of one side that are chosen."""
    return float(np.average(chosen[side], weights=weight[side]))
