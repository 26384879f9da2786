"""Correct classification against false positives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from sklearn.utils._plotting import _validate_style_kwargs

from sk_center.metrics import (
    oscr_curve,
    oscr_score,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from numpy.typing import ArrayLike, NDArray

    from sk_center._utils.types import Estimator, Samples
from sk_center.plotting.base import _axes, _import_matplotlib, _open_set

__all__ = ["OSCRCurveDisplay"]


class OSCRCurveDisplay:
    """Open-set classification rate curve: known samples named right, unknown accepted.

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
    OpenSetRocDisplay : Known against unknown, whichever class is named.

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

    line_: Line2D
    ax_: Axes
    figure_: Figure

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

    def plot(
        self,
        ax: Axes | None = None,
        *,
        name: str | None = None,
        curve_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.

        name : str, default=None
            Name of the curve in the legend; None is the ``name`` of the display.

        curve_kwargs : dict, default=None
            Keywords of matplotlib's ``plot`` for the curve.

        Returns
        -------
        display : OSCRCurveDisplay
            This display.
        """
        self.ax_ = ax = _axes(self, ax)
        self.figure_ = ax.figure
        name = self.name if name is None else name
        area = None if self.oscr is None else f"OSCR = {self.oscr:.2f}"
        label = f"{name} ({area})" if name and area else name or area
        style = _validate_style_kwargs({"label": label}, curve_kwargs or {})
        (self.line_,) = ax.plot(self.fpr, self.ccr, **style)
        ax.set(
            xlabel="unknown samples accepted (FPR)",
            ylabel="known samples accepted and named right (CCR)",
            xlim=(-0.01, 1.01),
            ylim=(-0.01, 1.01),
        )
        if style["label"] is not None:
            ax.legend(loc="lower right")
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator: Estimator,
        X: Samples,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the curve of a classifier.

        Parameters
        ----------
        estimator : estimator instance
            A fitted :class:`~sk_center.OpenSetClassifier`, a Pipeline that ends in one or
            a search of one.

        X : array-like of shape (n_samples, ...)
            Samples.

        y : array-like of shape (n_samples,)
            True labels; those outside of ``estimator.classes_`` are unknown.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        name : str, default=None
            Name of the curve in the legend; None is the name of the class.

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
        TypeError
            If ``estimator`` is none of those, or not fitted.

        ValueError
            If there is no known or no unknown sample.

        See Also
        --------
        OSCRCurveDisplay.from_predictions : Draws predictions that are at hand.
        """
        _import_matplotlib(f"{cls.__name__}.from_estimator")
        model, X = _open_set(estimator, X)
        return cls.from_predictions(
            y,
            model.estimator_.predict(X),
            model.score_samples(X),
            labels=model.classes_,
            sample_weight=sample_weight,
            name=type(estimator).__name__ if name is None else name,
            ax=ax,
            **kwargs,
        )

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
            True labels; those outside ``labels`` are unknown.

        y_pred : array-like of shape (n_samples,)
            Class given to each sample without rejection.

        y_score : array-like of shape (n_samples,)
            How known each sample looks, larger is more known: ``score_samples``.

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
            If there is no known or no unknown sample.

        See Also
        --------
        OSCRCurveDisplay.from_estimator : Draws the predictions of an estimator.
        """
        _import_matplotlib(f"{cls.__name__}.from_predictions")
        given: dict[str, Any] = {"labels": labels, "sample_weight": sample_weight}
        ccr, fpr, _ = oscr_curve(y_true, y_pred, y_score, **given)
        oscr = oscr_score(y_true, y_pred, y_score, **given)
        name = "Classifier" if name is None else name
        return cls(ccr=ccr, fpr=fpr, oscr=oscr, name=name).plot(ax=ax, **kwargs)
