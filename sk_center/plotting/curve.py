"""What displays of a curve and the area under it share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from sk_center.plotting.base import axes_for, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D


class CurveDisplay:
    """Base class of displays of a curve, which ``_curve`` gives.

    ``_axes`` are properties of the axes, ``_legend`` is the place of the legend.
    """

    name: str | None
    line_: Line2D
    ax_: Axes
    figure_: Figure
    _axes: dict[str, Any]
    _legend = "lower right"

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

    def _curve(self):
        """Return x and y of the curve, and the area as text or None."""
        raise NotImplementedError
