"""Correct classification against false positives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from sk_center.metrics.curves import oscr_curve, oscr_score
from sk_center.plotting.curve import CurveDisplayMixin

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray


class OSCRCurveDisplay(CurveDisplayMixin):
    """Open-set classification rate curve: known samples right, outsiders accepted.

    Parameters
    ----------
    ccr : ndarray of shape (n_thresholds + 1,)
        Correct classification rates, of :func:`sk_center.metrics.oscr_curve`.

    fpr : ndarray of shape (n_thresholds + 1,)
        False positive rates.

    oscr : float, default=None
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
    sk_center.metrics.oscr_curve : The points of the curve.
    OpenSetRocDisplay : Known samples against outsiders, ignoring the predicted class.

    Notes
    -----
    To see low false positive rates, ``display.ax_.set(xscale="log", xlim=(0.001, 1))``.

    Examples
    --------
    >>> from sk_center import OSCRCurveDisplay
    >>> display = OSCRCurveDisplay.from_predictions(
    ...     [0, 1, 7, 7], [0, 0, 0, 1], [4, 3, 2, 1], labels=[0, 1], name="mine")
    >>> display.line_.get_label()
    'mine (OSCR = 0.50)'
    """

    _axes = {
        "xlabel": "outsiders accepted (FPR)",
        "ylabel": "known samples accepted and right (CCR)",
        "ylim": (-0.01, 1.01),
    }

    def __init__(
        self,
        *,
        ccr: NDArray[Any],
        fpr: NDArray[Any],
        oscr: float | None = None,
        name: str | None = None,
    ) -> None:
        self.ccr = ccr
        self.fpr = fpr
        self.oscr = oscr
        self.name = name

    def _curve(self):
        area = None if self.oscr is None else f"OSCR = {self.oscr:.2f}"
        return self.fpr, self.ccr, area

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_pred: ArrayLike,
        y_score: ArrayLike,
        *,
        labels: ArrayLike,
        sample_weight: ArrayLike | None = None,
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the curve of predictions.

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

        name : str, default=None
            Name of the curve in the legend; None is ``"Classifier"``.

        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.

        **kwargs : dict
            Further parameters of :meth:`plot`.

        Returns
        -------
        display : OSCRCurveDisplay
            The display.

        Raises
        ------
        ValueError
            If there is no known sample or no outsider.

        See Also
        --------
        OSCRCurveDisplay.from_estimator : Draws the predictions of an estimator.
        """
        given: dict[str, Any] = {"labels": labels, "sample_weight": sample_weight}
        ccr, fpr, _ = oscr_curve(y_true, y_pred, y_score, **given)
        oscr = oscr_score(y_true, y_pred, y_score, **given)
        name = "Classifier" if name is None else name
        return cls(ccr=ccr, fpr=fpr, oscr=oscr, name=name).plot(ax=ax, **kwargs)
