"""The statistics of a monitor over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from sk_center.plotting.base import axes_for, import_matplotlib, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from numpy.typing import NDArray

    from sk_center._utils.types import Estimator


class MonitorDisplay:
    """The statistic of each question of a monitor over time, beside its alarm.

    Parameters
    ----------
    history : dict of ndarray of shape (n_points, 2)
        For each question the number of samples, and the logarithm of the statistic.

    false_alarm_rate : float
        The alarm is raised when the statistic reaches the inverse of this.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
        The statistics, in the order of the questions.

    alarm_line_ : matplotlib Line2D
        The level at which the alarm is raised.

    ax_ : matplotlib Axes
        The axes.

    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    RejectionMonitor : Computes the statistics.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_center import MonitorDisplay
    >>> history = {"stream": np.array([[1, 0.2], [2, 1.5], [3, 5.1]])}
    >>> display = MonitorDisplay(history=history, false_alarm_rate=0.01).plot()
    >>> display.ax_.get_xlabel()
    'samples'
    """

    lines_: list[Line2D]
    alarm_line_: Line2D
    ax_: Axes
    figure_: Figure

    def __init__(
        self, *, history: dict[str, NDArray[np.float64]], false_alarm_rate: float
    ) -> None:
        self.history = history
        self.false_alarm_rate = false_alarm_rate

    def plot(
        self,
        ax: Axes | None = None,
        *,
        line_kwargs: dict[str, Any] | None = None,
        alarm_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the statistics.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.

        line_kwargs : dict, default=None
            Keywords of matplotlib's ``plot`` for the statistics.

        alarm_kwargs : dict, default=None
            Keywords of matplotlib's ``axhline`` for the alarm.

        Returns
        -------
        display : MonitorDisplay
            This display.
        """
        ax = axes_for(self, ax)
        # Powers of ten may overflow a float, so their exponents are drawn.
        self.lines_ = [
            ax.plot(n, logs / np.log(10), **styled("line", {"label": name}, line_kwargs))[0]
            for name, (n, logs) in ((name, part.T) for name, part in self.history.items())
        ]
        style = {"color": "0.3", "linestyle": "--", "linewidth": 1, "label": "alarm"}
        level = -np.log10(self.false_alarm_rate)
        self.alarm_line_ = ax.axhline(level, **styled("line", style, alarm_kwargs))
        ax.set(xlabel="samples", ylabel="statistic, power of ten")
        ax.legend()
        return self

    @classmethod
    def from_estimator(
        cls, estimator: Estimator, *, ax: Axes | None = None, **kwargs: Any
    ) -> Self:
        """Draw the statistics of a monitor.

        Parameters
        ----------
        estimator : RejectionMonitor
            A monitor that has seen samples.

        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.

        **kwargs : dict
            Further parameters of :meth:`plot`.

        Returns
        -------
        display : MonitorDisplay
            The display, of the questions that have samples.

        Raises
        ------
        TypeError
            If ``estimator`` is not a fitted :class:`~sk_center.RejectionMonitor`.
        """
        import_matplotlib(f"{cls.__name__}.from_estimator")
        monitor: Any = estimator
        if not hasattr(monitor, "history_"):
            raise TypeError(
                f"estimator must be a fitted RejectionMonitor; got {estimator!r}."
            )
        found = monitor.history_
        history = {
            name: np.vstack([[0, 0], found[found[:, 0] == i, 1:]])
            for i, name in enumerate(monitor.statistic_)
            if (found[:, 0] == i).any()
        }
        display = cls(history=history, false_alarm_rate=monitor.false_alarm_rate)
        return display.plot(ax=ax, **kwargs)
