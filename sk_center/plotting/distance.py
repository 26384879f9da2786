"""Distances to centers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.utils import column_or_1d
from sklearn.utils._plotting import _validate_style_kwargs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.container import BarContainer
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from numpy.typing import ArrayLike, NDArray

    from sk_center._utils.types import Estimator, Samples
from sk_center.plotting.base import (
    UNKNOWN_COLOR,
    _check_columns,
    _class_colors,
    _columns,
    _edges,
    _import_matplotlib,
    _members,
    _open_set,
)

__all__ = ["DistanceDisplay"]


class DistanceDisplay:
    """How far members and unknown samples are from each class, and where it turns down.

    Distance is minus the score of the class, whatever the score: to the right is less
    typical. Each class has axes of its own, with two histograms: of the samples that have
    its label, and of all unknown ones.

    Parameters
    ----------
    y_true : ndarray of shape (n_samples,)
        True labels; those outside ``labels`` are unknown.

    scores : ndarray of shape (n_samples, n_classes)
        How typical of each class the samples look, larger is more typical.

    labels : ndarray of shape (n_classes,)
        The known classes, in the order of the columns.

    thresholds : ndarray of shape (n_classes,)
        Each class turns down what scores less than this.

    Attributes
    ----------
    member_bars_ : list of matplotlib BarContainer or None
        For each class drawn the histogram of its members, None without members.

    unknown_bars_ : list of matplotlib BarContainer or None
        For each class drawn the histogram of the unknown samples, None without those.

    threshold_lines_ : list of matplotlib Line2D or None
        For each class drawn its threshold, None where it turns nothing down.

    axes_ : ndarray of matplotlib Axes
        The axes of each class drawn.

    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    FeatureSpaceDisplay : The features that distances are taken of.
    OpenSetRocDisplay : How well the scores tell known from unknown.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sk_center import DistanceDisplay, OpenSetClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> known = y < 2
    >>> model = OpenSetClassifier(GaussianNB(), conformity_score="mahalanobis", cv=5)
    >>> model = model.fit(X[known], y[known])
    >>> display = DistanceDisplay.from_estimator(model, X, y)
    >>> display.axes_[1].get_title("right")
    'turned down: 2% of members, 88% of unknown'
    """

    member_bars_: list[BarContainer | None]
    unknown_bars_: list[BarContainer | None]
    threshold_lines_: list[Line2D | None]
    axes_: NDArray[Any]
    figure_: Figure

    def __init__(
        self,
        *,
        y_true: NDArray[Any],
        scores: NDArray[Any],
        labels: NDArray[Any],
        thresholds: NDArray[Any],
    ) -> None:
        self.y_true = y_true
        self.scores = scores
        self.labels = labels
        self.thresholds = thresholds

    def plot(
        self,
        axes: Sequence[Axes] | NDArray[Any] | None = None,
        *,
        classes: ArrayLike | None = None,
        bins: int | str | ArrayLike = 50,
        member_kwargs: dict[str, Any] | None = None,
        unknown_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the histograms.

        Parameters
        ----------
        axes : array-like of matplotlib Axes, default=None
            Axes to draw on, one for each class; None makes a figure of stacked axes.

        classes : array-like of shape (n_drawn,), default=None
            Which classes to draw; None is all.

        bins : int, str or array-like, default=50
            Bins of :func:`numpy.histogram_bin_edges`, the same for all classes.

        member_kwargs : dict, default=None
            Keywords of matplotlib's ``hist`` for the members.

        unknown_kwargs : dict, default=None
            Keywords of ``hist`` for the unknown samples.

        Returns
        -------
        display : DistanceDisplay
            This display.

        Raises
        ------
        ValueError
            If ``classes`` holds other labels, or the number of ``axes`` is another.

        Notes
        -----
        The heights are shares of the members or of the unknown samples: the bars of each
        histogram sum to one. What lies outside of the bins counts in the first or the last
        one. Those that are not given span all distances but the largest hundredth.
        """
        _import_matplotlib(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        columns = _columns(self.labels, classes)
        if axes is None:
            _, axes = plt.subplots(
                len(columns),
                sharex=True,
                squeeze=False,
                figsize=(6.4, 1.2 + 1.1 * len(columns)),
                layout="constrained",
            )
        self.axes_ = np.ravel(axes)  # type: ignore[arg-type]
        if len(self.axes_) != len(columns):
            raise ValueError(
                f"axes must hold {len(columns)} Axes, one for each class; got "
                f"{len(self.axes_)}."
            )
        self.figure_ = self.axes_[0].figure
        members = _members(self.y_true, self.labels)
        unknown = ~members.any(axis=0)
        # Nothing looks less typical than what has no score.
        distances = np.where(np.isnan(self.scores), np.inf, -self.scores)
        drawn = np.concatenate([distances[members[k] | unknown, k] for k in columns])
        edges = _edges(drawn[np.isfinite(drawn)], bins)
        colors = _class_colors(len(self.labels))
        self.member_bars_, self.unknown_bars_, self.threshold_lines_ = [], [], []
        for ax, k in zip(self.axes_, columns):
            turned_down = ~(self.scores[:, k] >= self.thresholds[k])
            shares = []
            for bars, chosen, name, color, kwargs in (
                (self.unknown_bars_, unknown, "unknown", UNKNOWN_COLOR, unknown_kwargs),
                (self.member_bars_, members[k], "members", colors[k], member_kwargs),
            ):
                bars.append(None)
                if not chosen.any():
                    continue
                style = {"alpha": 0.6, "color": color, "label": name}
                style = _validate_style_kwargs(style, kwargs or {})
                weights = np.full(chosen.sum(), 1 / chosen.sum())
                held = distances[chosen, k].clip(edges[0], edges[-1])
                bars[-1] = ax.hist(held, edges, weights=weights, **style)[2]
                shares.append(f"{turned_down[chosen].mean():.0%} of {name}")
            line = None
            if np.isfinite(self.thresholds[k]):
                line = ax.axvline(
                    -self.thresholds[k], color="black", linestyle="--", label="threshold"
                )
            self.threshold_lines_.append(line)
            ax.set_ylabel("share")
            ax.set_title(str(self.labels[k]), loc="left", fontsize="medium")
            ax.set_title(
                f"turned down: {', '.join(reversed(shares)) or 'no sample'}",
                loc="right",
                fontsize="small",
            )
        self.axes_[0].legend(loc="upper right", fontsize="small")
        self.axes_[-1].set_xlabel("distance from the class (minus the score)")
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator: Estimator,
        X: Samples,
        y: ArrayLike,
        *,
        axes: Sequence[Axes] | NDArray[Any] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the distances of test samples.

        Parameters
        ----------
        estimator : estimator instance
            A fitted :class:`~sk_center.OpenSetClassifier`, a Pipeline that ends in one or
            a search of one.

        X : array-like of shape (n_samples, ...)
            Samples.

        y : array-like of shape (n_samples,)
            True labels; those outside of ``estimator.classes_`` are unknown.

        axes : array-like of matplotlib Axes, default=None
            Axes to draw on, one for each class; None makes a figure of stacked axes.

        **kwargs : dict
            Further parameters of :meth:`plot`.

        Returns
        -------
        display : DistanceDisplay
            The display.

        Raises
        ------
        TypeError
            If ``estimator`` is none of those, or not fitted.

        See Also
        --------
        DistanceDisplay.from_predictions : Draws scores that are at hand.
        """
        _import_matplotlib(f"{cls.__name__}.from_estimator")
        model, X = _open_set(estimator, X)
        return cls.from_predictions(
            y,
            model._class_scores(X),
            labels=model.classes_,
            thresholds=model.score_thresholds_,
            axes=axes,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        scores: ArrayLike,
        *,
        labels: ArrayLike,
        thresholds: ArrayLike,
        axes: Sequence[Axes] | NDArray[Any] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the distances of test samples from their scores.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            True labels; those outside ``labels`` are unknown.

        scores : array-like of shape (n_samples, n_classes)
            How typical of each class the samples look, larger is more typical.

        labels : array-like of shape (n_classes,)
            The known classes, in the order of the columns.

        thresholds : array-like of shape (n_classes,)
            Each class turns down what scores less than this: ``score_thresholds_``.

        axes : array-like of matplotlib Axes, default=None
            Axes to draw on, one for each class; None makes a figure of stacked axes.

        **kwargs : dict
            Further parameters of :meth:`plot`.

        Returns
        -------
        display : DistanceDisplay
            The display.

        Raises
        ------
        ValueError
            If shapes do not match.

        See Also
        --------
        DistanceDisplay.from_estimator : Draws the scores of an estimator.
        """
        _import_matplotlib(f"{cls.__name__}.from_predictions")
        y_true, labels = column_or_1d(y_true), np.asarray(labels)
        scores, thresholds = np.asarray(scores), np.asarray(thresholds)
        _check_columns(y_true, scores, labels, "scores")
        if thresholds.shape != labels.shape:
            raise ValueError(
                f"thresholds must hold one number for each of {len(labels)} labels; got "
                f"the shape {thresholds.shape}."
            )
        display = cls(y_true=y_true, scores=scores, labels=labels, thresholds=thresholds)
        return display.plot(axes=axes, **kwargs)
