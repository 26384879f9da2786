"""What displays of a curve and the area under it share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from sk_center.plotting.base import axes_for, judged_for, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from numpy.typing import ArrayLike

    from sk_center._utils.types import Estimator, Samples


class CurveDisplayMixin:
    """Base class of displays of a curve, which ``_curve`` gives.

    ``_axes`` are properties of the axes, ``_legend`` is the place of the legend, and
    ``_parts`` are those of a decision that ``from_predictions`` takes.
    """

    name: str | None
    line_: Line2D
    ax_: Axes
    figure_: Figure
    _axes: dict[str, Any]
    _legend = "lower right"
    _parts: tuple[str, ...] = ("predicted", "scores")

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
        display : object
            This display.
        """
        ax = axes_for(self, ax)
        x, y, area = self._curve()
        name = self.name if name is None else name
        label = f"{name} ({area})" if name and area else name or area
        style = styled("line", {"label": label}, curve_kwargs)
        (self.line_,) = ax.plot(x, y, **style)
        ax.set(xlim=(-0.01, 1.01), **self._axes)
        if style["label"] is not None:
            ax.legend(loc=self._legend)
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
            True labels; samples of a label outside ``estimator.classes_`` are outsiders.

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
        display : object
            The display.

        Raises
        ------
        TypeError
            If ``estimator`` is not one of those, or is not fitted.

        ValueError
            If there is no known sample or no outsider.
        """
        model, decision = judged_for(cls, estimator, X)
        display: Any = cls
        return display.from_predictions(
            y,
            *(getattr(decision, part) for part in cls._parts),
            labels=model.classes_,
            sample_weight=sample_weight,
            name=type(estimator).__name__ if name is None else name,
            ax=ax,
            **kwargs,
        )

    def _curve(self):
        """Return x and y of the curve, and the area as text or None."""
        raise NotImplementedError
