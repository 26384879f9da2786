"""Known samples against outsiders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from sk_center.metrics.base import roc_rates
from sk_center.metrics.curves import auroc_score
from sk_center.plotting.curve import CurveDisplayMixin

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray


class OpenSetRocDisplay(CurveDisplayMixin):
    """ROC curve of known samples against outsiders; known is the positive side.

    Parameters
    ----------
    fpr : ndarray of shape (n_thresholds + 1,)
        Shares of the outsiders that are accepted.

    tpr : ndarray of shape (n_thresholds + 1,)
        Shares of the known samples that are accepted.

    roc_auc : float, default=None
        Area under the curve. None shows none in the legend.

    name : str, default=None
        Name of the curve in the legend. None shows none.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The curve.

    ax_ : matplotlib Axes
        The axes.

    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    sk_center.metrics.auroc_score : The area under the curve.
    OSCRCurveDisplay : Counts only the known samples that are classified correctly.
    sklearn.metrics.RocCurveDisplay : The curve of any binary problem.

    Examples
    --------
    >>> from sk_center import OpenSetRocDisplay
    >>> display = OpenSetRocDisplay.from_predictions(
    ...     ["cat", "dog", "fox"], [0.9, 0.4, 0.5], labels=["cat", "dog"], name="mine")
    >>> display.line_.get_label()
    'mine (AUC = 0.50)'
    """

    _axes = {
        "xlabel": "outsiders accepted (FPR)",
        "ylabel": "known samples accepted (TPR)",
        "ylim": (-0.01, 1.01),
        "aspect": "equal",
    }
    _parts = ("scores",)

    def __init__(
        self,
        *,
        fpr: NDArray[Any],
        tpr: NDArray[Any],
        roc_auc: float | None = None,
        name: str | None = None,
    ) -> None:
        self.fpr = fpr
        self.tpr = tpr
        self.roc_auc = roc_auc
        self.name = name

    def _curve(self):
        area = None if self.roc_auc is None else f"AUC = {self.roc_auc:.2f}"
        return self.fpr, self.tpr, area

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_score: ArrayLike,
        *,
        labels: ArrayLike,
        sample_weight: ArrayLike | None = None,
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the curve of scores.

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

        name : str, default=None
            Name of the curve in the legend; None is ``"Classifier"``.

        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.

        **kwargs : dict
            Further parameters of :meth:`plot`.

        Returns
        -------
        display : OpenSetRocDisplay
            The display.

        Raises
        ------
        ValueError
            If there is no known sample or no outsider.

        See Also
        --------
        OpenSetRocDisplay.from_estimator : Draws the scores of an estimator.
        """
        fpr, tpr = roc_rates(y_true, y_score, labels, sample_weight)
        roc_auc = auroc_score(y_true, y_score, labels=labels, sample_weight=sample_weight)
        name = "Classifier" if name is None else name
        return cls(fpr=fpr, tpr=tpr, roc_auc=roc_auc, name=name).plot(ax=ax, **kwargs)
