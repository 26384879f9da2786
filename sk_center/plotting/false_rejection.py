"""False-rejection rates, allowed and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy.stats import binom
from sklearn.utils import column_or_1d
from sklearn.utils._plotting import _validate_style_kwargs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from numpy.typing import ArrayLike, NDArray

    from sk_center._utils.types import Estimator, Samples
from sk_center.plotting.base import (
    _axes,
    _check_columns,
    _class_colors,
    _import_matplotlib,
    _members,
    _open_set,
)

__all__ = ["FalseRejectionDisplay"]


class FalseRejectionDisplay:
    """Whether the bound on false rejections is kept: known samples rejected, against it.

    For every rate that could be promised, the share of the known test samples that all
    classes turn down at it. The diagonal is what is promised at most. The band is what
    chance makes of the diagonal: it holds 95 % of the shares of as many samples, each
    rejected with the probability promised.

    Parameters
    ----------
    rates : ndarray of shape (n_rates,)
        Rates to promise, rising.

    rejected : ndarray of shape (n_rates,)
        Share of the known samples that is rejected at each rate.

    n_samples : int
        Number of known samples.

    labels : ndarray of shape (n_classes,)
        The known classes that there are samples of.

    class_rejected : ndarray of shape (n_classes, n_rates)
        Share of the samples of each class that is rejected at each rate.

    n_class_samples : ndarray of shape (n_classes,)
        Number of samples of each class.

    name : str, default=None
        Name of the curve in the legend. None shows none.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
        The curve, or that of each class.

    diagonal_ : matplotlib Line2D or None
        What is promised; None where the axes had it already.

    band_ : matplotlib PolyCollection or None
        The band around it; None where the axes had it already.

    ax_ : matplotlib Axes
        The axes.

    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    DistanceDisplay : Which samples each class turns down.
    sklearn.calibration.CalibrationDisplay : The same for probabilities.

    Notes
    -----
    No classifier is fitted again: a sample is rejected at a rate t when its largest
    p-value is at most t, as by an :class:`~sk_center.OpenSetClassifier` with
    ``false_rejection_rate=t`` and ``confidence=None``.

    A curve below the diagonal keeps the promise with room to spare: a member that its own
    class turns down may be accepted by another. The band is about the draw of the test
    samples alone. With few calibration samples, their draw moves the whole curve, too; the
    bound holds on average over both.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sk_center import FalseRejectionDisplay, OpenSetClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> model = OpenSetClassifier(GaussianNB(), conformity_score="mahalanobis")
    >>> model = model.set_params(random_state=0).fit(X_train, y_train)
    >>> display = FalseRejectionDisplay.from_estimator(model, X_test, y_test)
    >>> float(display.rates[50]), round(float(display.rejected[50]), 3)
    (0.05, 0.011)
    """

    lines_: list[Line2D]
    diagonal_: Line2D | None
    band_: PolyCollection | None
    ax_: Axes
    figure_: Figure

    def __init__(
        self,
        *,
        rates: NDArray[Any],
        rejected: NDArray[Any],
        n_samples: int,
        labels: NDArray[Any],
        class_rejected: NDArray[Any],
        n_class_samples: NDArray[Any],
        name: str | None = None,
    ) -> None:
        self.rates = rates
        self.rejected = rejected
        self.n_samples = n_samples
        self.labels = labels
        self.class_rejected = class_rejected
        self.n_class_samples = n_class_samples
        self.name = name

    def plot(
        self,
        ax: Axes | None = None,
        *,
        name: str | None = None,
        by_class: bool = False,
        curve_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the curve, or that of each class.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.

        name : str, default=None
            Name of the curve in the legend; None is the ``name`` of the display.

        by_class : bool, default=False
            Whether to draw one curve for each class that there are samples of. The band is
            that of the class with the fewest samples.

        curve_kwargs : dict, default=None
            Keywords of matplotlib's ``plot`` for the curves.

        Returns
        -------
        display : FalseRejectionDisplay
            This display.
        """
        self.ax_ = ax = _axes(self, ax)
        self.figure_ = ax.figure
        name = self.name if name is None else name
        if by_class:
            curves, counts = self.class_rejected, self.n_class_samples
            names, colors = self.labels, _class_colors(len(self.labels))
        else:
            curves, counts = [self.rejected], [self.n_samples]
            names, colors = [name or "known samples"], [None]
        self.lines_ = []
        for curve, count, label, color in zip(curves, counts, names, colors):
            style = {"label": f"{label} (n = {count})", "drawstyle": "steps-post"}
            style |= {} if color is None else {"color": color}
            style = _validate_style_kwargs(style, curve_kwargs or {})
            self.lines_ += ax.plot(self.rates, curve, **style)
        # Curves on the same axes share the diagonal, and a band of as many samples.
        there = ax.get_legend_handles_labels()[1]
        self.band_ = self.diagonal_ = None
        n = min(counts)
        label = f"95 % of binomial draws (n = {n})"
        if label not in there:
            band = binom.ppf([[0.025], [0.975]], n, self.rates) / n
            style = {"color": "black", "alpha": 0.1, "linewidth": 0, "step": "post"}
            self.band_ = ax.fill_between(self.rates, *band, label=label, **style)
        if "promised at most" not in there:
            (self.diagonal_,) = ax.plot(
                self.rates, self.rates, "k:", label="promised at most"
            )
        ax.set(
            xlabel="false rejection rate promised",
            ylabel="known samples rejected",
            xlim=(0, self.rates[-1]),
        )
        ax.set_ylim(bottom=0)
        ax.legend(loc="upper left", fontsize="small")
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator: Estimator,
        X: Samples,
        y: ArrayLike,
        *,
        rates: ArrayLike | None = None,
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
            Samples that it was not fitted on.

        y : array-like of shape (n_samples,)
            True labels; those outside of ``estimator.classes_`` are unknown and left out.

        rates : array-like of shape (n_rates,), default=None
            Rates to promise, rising; None is 0, 0.001, ..., 0.2.

        name : str, default=None
            Name of the curve in the legend; None is the name of the class.

        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.

        **kwargs : dict
            Further parameters of :meth:`plot`.

        Returns
        -------
        display : FalseRejectionDisplay
            The display.

        Raises
        ------
        TypeError
            If ``estimator`` is none of those, or not fitted.

        ValueError
            If there is no known sample, or ``rates`` are not rising within [0, 1].

        See Also
        --------
        FalseRejectionDisplay.from_predictions : Draws p-values that are at hand.
        """
        _import_matplotlib(f"{cls.__name__}.from_estimator")
        model, X = _open_set(estimator, X)
        return cls.from_predictions(
            y,
            model.p_values(X),
            labels=model.classes_,
            rates=rates,
            name=type(estimator).__name__ if name is None else name,
            ax=ax,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        p_values: ArrayLike,
        *,
        labels: ArrayLike,
        rates: ArrayLike | None = None,
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the curve of p-values.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            True labels; those outside ``labels`` are unknown and left out.

        p_values : array-like of shape (n_samples, n_classes)
            How compatible each sample is with each class: ``p_values`` of the classifier.

        labels : array-like of shape (n_classes,)
            The known classes, in the order of the columns.

        rates : array-like of shape (n_rates,), default=None
            Rates to promise, rising; None is 0, 0.001, ..., 0.2.

        name : str, default=None
            Name of the curve in the legend; None is ``"Classifier"``.

        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.

        **kwargs : dict
            Further parameters of :meth:`plot`.

        Returns
        -------
        display : FalseRejectionDisplay
            The display.

        Raises
        ------
        ValueError
            If there is no known sample, ``rates`` are not rising within [0, 1], or shapes
            do not match.

        See Also
        --------
        FalseRejectionDisplay.from_estimator : Draws the p-values of an estimator.
        """
        _import_matplotlib(f"{cls.__name__}.from_predictions")
        y_true, labels = column_or_1d(y_true), np.asarray(labels)
        p_values = np.asarray(p_values)
        _check_columns(y_true, p_values, labels, "p_values")
        # Quotients, as p-values are: 0.05 is then the same number as 1 / 20.
        rates = np.arange(201) / 1000 if rates is None else column_or_1d(rates)
        if not (np.diff(rates) > 0).all() or rates[0] < 0 or rates[-1] > 1:
            raise ValueError(f"rates must rise within [0, 1]; got {rates.tolist()}.")
        members = _members(y_true, labels)
        if not members.any():
            raise ValueError(
                f"y_true holds no known sample: its labels are "
                f"{np.unique(y_true)[:10].tolist()}, the known ones "
                f"{labels[:10].tolist()}."
            )
        rejected = p_values.max(axis=1)[:, None] <= rates
        present = members.any(axis=1)
        display = cls(
            rates=rates,
            rejected=rejected[members.any(axis=0)].mean(axis=0),
            n_samples=int(members.sum()),
            labels=labels[present],
            class_rejected=np.array(
                [rejected[chosen].mean(axis=0) for chosen in members[present]]
            ),
            n_class_samples=members[present].sum(axis=1),
            name="Classifier" if name is None else name,
        )
        return display.plot(ax=ax, **kwargs)
