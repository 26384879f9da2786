"""True and predicted classes, with outsiders and rejection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix

from sk_center.metrics.base import class_indices
from sk_center.plotting.base import axes_for, judged_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from numpy.typing import ArrayLike, NDArray

    from sk_center._utils.types import Estimator, Label, Samples


class OpenSetConfusionMatrixDisplay(ConfusionMatrixDisplay):
    """Confusion matrix whose last row is all outsiders, and last column rejection.

    Parameters
    ----------
    confusion_matrix : ndarray of shape (n_classes + 1, n_classes + 1)
        Confusion matrix.

    display_labels : list of length n_classes + 1, default=None
        Names of rows and columns: the known classes and the outlier label.

    Attributes
    ----------
    im_ : matplotlib AxesImage
        The matrix.

    text_ : ndarray of shape (n_classes + 1, n_classes + 1), dtype=matplotlib Text, or None
        The numbers. None where they are not included.

    ax_ : matplotlib Axes
        The axes.

    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    sk_center.metrics.open_set_f1_score : One number for the same matrix.
    sklearn.metrics.ConfusionMatrixDisplay : Draws it.

    Examples
    --------
    >>> from sk_center import OpenSetConfusionMatrixDisplay
    >>> display = OpenSetConfusionMatrixDisplay.from_predictions(
    ...     ["cat", "cat", "dog", "fox", "gnu"],
    ...     ["cat", "outsider", "dog", "outsider", "dog"],
    ...     labels=["cat", "dog"], outlier_label="outsider")
    >>> display.confusion_matrix
    array([[1, 0, 1],
           [0, 1, 0],
           [0, 1, 1]])
    """

    im_: AxesImage
    text_: NDArray[Any] | None
    ax_: Axes
    figure_: Figure

    @classmethod
    def from_estimator(
        cls,
        estimator: Estimator,
        X: Samples,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        normalize: Literal["true", "pred", "all"] | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the confusion matrix of a classifier.

        Parameters
        ----------
        estimator : estimator instance
            A fitted :class:`~sk_center.OpenSetClassifier`, a Pipeline that ends in one or
            a search of one.

        X : array-like of shape (n_samples, ...)
            Samples.

        y : array-like of shape (n_samples,)
            True labels; samples of a label outside ``estimator.classes_`` are outsiders.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        normalize : {"true", "pred", "all"}, default=None
            Whether to divide the counts by the sum of their row, of their column or of
            all.

        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.

        **kwargs : dict
            Further parameters of :meth:`sklearn.metrics.ConfusionMatrixDisplay.plot`.

        Returns
        -------
        display : OpenSetConfusionMatrixDisplay
            The display.

        Raises
        ------
        TypeError
            If ``estimator`` is not one of those, or is not fitted.

        See Also
        --------
        OpenSetConfusionMatrixDisplay.from_predictions : Draws existing predictions.
        """
        model, decision = judged_for(cls, estimator, X)
        return cls.from_predictions(
            y,
            decision.labels,
            labels=model.classes_,
            outlier_label=model.outlier_label_,
            ambiguous_label=model.ambiguous_label_,
            sample_weight=sample_weight,
            normalize=normalize,
            ax=ax,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_pred: ArrayLike,
        *,
        labels: ArrayLike,
        outlier_label: Label,
        ambiguous_label: Label | None = None,
        sample_weight: ArrayLike | None = None,
        normalize: Literal["true", "pred", "all"] | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the confusion matrix of predictions.

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
            Label of accepted samples in ``y_pred`` that are withheld. They have the last
            column, and its row is empty. None if there are none.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        normalize : {"true", "pred", "all"}, default=None
            Whether to divide the counts by the sum of their row, of their column or of
            all.

        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.

        **kwargs : dict
            Further parameters of :meth:`sklearn.metrics.ConfusionMatrixDisplay.plot`.

        Returns
        -------
        display : OpenSetConfusionMatrixDisplay
            The display.

        Raises
        ------
        ValueError
            If ``y_pred`` holds other labels, or ``outlier_label`` is among ``labels``.

        See Also
        --------
        OpenSetConfusionMatrixDisplay.from_estimator : Draws those of an estimator.
        """
        true, predicted, classes = class_indices(
            y_true, y_pred, labels, outlier_label, ambiguous_label
        )
        display_labels = [*classes.tolist(), outlier_label]
        display_labels += [] if ambiguous_label is None else [ambiguous_label]
        counts = confusion_matrix(
            true,
            predicted,
            labels=np.arange(len(display_labels)),
            sample_weight=sample_weight,
            normalize=normalize,
        )
        display = cls(counts, display_labels=display_labels)
        return display.plot(ax=axes_for(display, ax), **kwargs)
