"""Classes and outsiders in feature space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from sklearn.utils import column_or_1d
from sklearn.utils._plotting import _validate_style_kwargs

from sk_center._utils.nested import nested
from sk_center.open_set.outputs import centers_of, features_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.contour import QuadContourSet
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

    from sk_center._utils.types import Estimator, Samples
from sk_center.plotting.base import (
    UNKNOWN_COLOR,
    _accepted,
    _axes,
    _centers,
    _class_colors,
    _features,
    _grid,
    _import_matplotlib,
    _members,
    _open_set,
    _Plane,
)

__all__ = ["FeatureSpaceDisplay"]


class FeatureSpaceDisplay:
    """Features of samples, with the class centers and what each class accepts.

    Features of two dimensions are drawn as they are. More are projected onto the plane of
    the two leading principal components of the class centers.

    Parameters
    ----------
    y_true : ndarray of shape (n_samples,)
        True labels; those outside ``labels`` are unknown.

    features : ndarray of shape (n_samples, 2)
        Features of the samples in the plane.

    labels : ndarray of shape (n_classes,)
        The known classes.

    centers : ndarray of shape (n_classes, 2)
        Class centers in the plane, NaN for a class without one.

    xx0 : ndarray of shape (grid_resolution, grid_resolution), default=None
        First coordinates of the grid, see :func:`numpy.meshgrid`.

    xx1 : ndarray of shape (grid_resolution, grid_resolution), default=None
        Second coordinates of the grid.

    accepted : ndarray of shape (grid_resolution, grid_resolution, n_classes), default=None
        Whether each class accepts a point of the grid. None draws no regions.

    region_label : str, default=None
        What the legend calls the regions.

    xlabel : str, default=None
        Label of the x axis.

    ylabel : str, default=None
        Label of the y axis.

    Attributes
    ----------
    scatters_ : list of matplotlib PathCollection
        The samples of each class.

    unknown_scatter_ : matplotlib PathCollection or None
        The unknown samples, where there are some.

    center_scatter_ : matplotlib PathCollection
        The centers.

    surfaces_ : list of matplotlib QuadContourSet or None
        The region of each class, where regions are drawn.

    ax_ : matplotlib Axes
        The axes.

    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    DistanceDisplay : How far samples are from each class, in any number of dimensions.
    sklearn.inspection.DecisionBoundaryDisplay : The regions of closed-set classifiers.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sk_center import FeatureSpaceDisplay, OpenSetClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> X, known = X[:, 2:], y < 2
    >>> model = OpenSetClassifier(GaussianNB(), conformity_score="center_distance", cv=5)
    >>> model = model.fit(X[known], y[known])
    >>> display = FeatureSpaceDisplay.from_estimator(model, X, y)
    >>> len(display.surfaces_), len(display.unknown_scatter_.get_offsets())
    (2, 50)
    """

    scatters_: list[PathCollection]
    unknown_scatter_: PathCollection | None
    center_scatter_: PathCollection
    surfaces_: list[QuadContourSet] | None
    ax_: Axes
    figure_: Figure

    def __init__(
        self,
        *,
        y_true: NDArray[Any],
        features: NDArray[Any],
        labels: NDArray[Any],
        centers: NDArray[Any],
        xx0: NDArray[Any] | None = None,
        xx1: NDArray[Any] | None = None,
        accepted: NDArray[Any] | None = None,
        region_label: str | None = None,
        xlabel: str | None = None,
        ylabel: str | None = None,
    ) -> None:
        self.y_true = y_true
        self.features = features
        self.labels = labels
        self.centers = centers
        self.xx0 = xx0
        self.xx1 = xx1
        self.accepted = accepted
        self.region_label = region_label
        self.xlabel = xlabel
        self.ylabel = ylabel

    def plot(
        self,
        ax: Axes | None = None,
        *,
        scatter_kwargs: dict[str, Any] | None = None,
        unknown_kwargs: dict[str, Any] | None = None,
        center_kwargs: dict[str, Any] | None = None,
        region_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the features.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.

        scatter_kwargs : dict, default=None
            Keywords of matplotlib's ``scatter`` for the samples of the known classes.

        unknown_kwargs : dict, default=None
            Keywords of ``scatter`` for the unknown samples.

        center_kwargs : dict, default=None
            Keywords of ``scatter`` for the centers.

        region_kwargs : dict, default=None
            Keywords of matplotlib's ``contourf`` for the regions.

        Returns
        -------
        display : FeatureSpaceDisplay
            This display.
        """
        self.ax_ = ax = _axes(self, ax)
        from matplotlib.patches import Patch

        self.figure_ = ax.figure
        colors = _class_colors(len(self.labels))
        members = _members(self.y_true, self.labels)
        unknown = ~members.any(axis=0)
        self.surfaces_ = self.unknown_scatter_ = None
        if self.accepted is not None:
            style = _validate_style_kwargs({"alpha": 0.2, "zorder": 0}, region_kwargs or {})
            self.surfaces_ = [
                ax.contourf(
                    self.xx0,
                    self.xx1,
                    self.accepted[..., k],
                    **{"levels": [0.5, 1.5], "colors": [color], **style},
                )
                for k, color in enumerate(colors)
            ]
            ax.set(
                xlim=self.xx0[0, [0, -1]],  # type: ignore[index]
                ylim=self.xx1[[0, -1], 0],  # type: ignore[index]
            )
        self.scatters_ = []
        for label, color, chosen in zip(self.labels, colors, members):
            style = {"s": 14, "color": color, "zorder": 2, "label": str(label)}
            style = _validate_style_kwargs(style, scatter_kwargs or {})
            self.scatters_.append(ax.scatter(*self.features[chosen].T, **style))
        style = {"s": 110, "marker": "*", "zorder": 3, "label": "center"}
        style |= {"facecolor": "black", "edgecolor": "white"}
        style = _validate_style_kwargs(style, center_kwargs or {})
        self.center_scatter_ = ax.scatter(*self.centers.T, **style)
        if unknown.any():
            style = {"s": 14, "marker": "x", "linewidth": 0.8, "zorder": 1}
            style |= {"color": UNKNOWN_COLOR, "label": "unknown"}
            style = _validate_style_kwargs(style, unknown_kwargs or {})
            self.unknown_scatter_ = ax.scatter(*self.features[unknown].T, **style)
        ax.set(xlabel=self.xlabel, ylabel=self.ylabel)
        handles, _ = ax.get_legend_handles_labels()
        if self.surfaces_ is not None:
            handles.append(Patch(facecolor="0.5", alpha=0.3, label=self.region_label))
        # Samples are everywhere: no corner is free.
        ax.legend(
            handles=handles, loc="upper left", bbox_to_anchor=(1, 1), fontsize="small"
        )
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator: Estimator,
        X: Samples,
        y: ArrayLike,
        *,
        regions: bool | Literal["auto"] = "auto",
        grid_resolution: int = 200,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the features that a classifier gives, or that its score sees.

        Parameters
        ----------
        estimator : estimator instance
            A fitted :class:`~sk_center.OpenSetClassifier`, a Pipeline that ends in one or
            a search of one; or another fitted classifier, which gives no regions.

        X : array-like of shape (n_samples, ...)
            Samples.

        y : array-like of shape (n_samples,)
            True labels; those outside of ``estimator.classes_`` are unknown.

        regions : "auto" or bool, default="auto"
            Whether to draw the region that each class accepts, which takes an
            OpenSetClassifier whose score needs nothing but features. ``"auto"`` draws
            them then, if the features have two dimensions. True draws them for more, too,
            see Notes.

        grid_resolution : int, default=200
            Number of points along each side of the grid that regions are found on.

        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.

        **kwargs : dict
            Further parameters of :meth:`plot`.

        Returns
        -------
        display : FeatureSpaceDisplay
            The display.

        Raises
        ------
        TypeError
            If ``estimator`` is no fitted classifier.

        ValueError
            If the features have less than two dimensions, or more and there are neither
            centers nor samples of known classes, or if ``regions=True`` cannot be done.

        See Also
        --------
        FeatureSpaceDisplay.from_predictions : Draws features that are at hand.

        Notes
        -----
        Features are ``estimator.transform(X)`` where that exists, of another Pipeline what
        its last step sees, and else X. Centers are those of a
        :class:`~sk_center.CenterLossClassifier`, else the means of the samples drawn.

        In two dimensions, a sample outside of all regions is an outsider. In more, the
        region of a class is a slice: that of the plane through its own center, parallel
        to the plane drawn. A sample that is drawn inside of a region can then lie in front
        of it or behind it, and be turned down; in many dimensions most do, since slices
        through the center are the widest.
        """
        _import_matplotlib(f"{cls.__name__}.from_estimator")
        inside = [inner for inner, _ in nested(estimator, searches=True)]
        if any(hasattr(inner, "outlier_label_") for inner in inside):
            model, X = _open_set(estimator, X)
            classifier, labels = model.estimator_, model.classes_
        else:
            model, classifier = None, estimator
            labels = getattr(estimator, "classes_", None)
            if labels is None:
                raise TypeError(
                    "estimator must be a fitted OpenSetClassifier or another fitted "
                    f"classifier; got {estimator!r}."
                )
        y = column_or_1d(y)
        features = _features(features_of(classifier, X))
        centers = _centers(centers_of(classifier), features, _members(y, labels))
        plane = _Plane(features, centers)
        display = cls._in_plane(plane, y, features, labels, centers)
        possible = model is not None and model.score_.needs == ("features",)
        if regions == "auto":
            regions = possible and features.shape[1] == 2
        if regions and not possible:
            raise ValueError(
                "regions=True takes an OpenSetClassifier whose score needs features and "
                f"nothing else; got {estimator if model is None else model.score_!r}."
            )
        if regions:
            display.xx0, display.xx1 = _grid(
                np.vstack([display.features, display.centers]), grid_resolution
            )
            points = np.stack([display.xx0, display.xx1], axis=-1).reshape(-1, 2)
            accepted = _accepted(model, plane, points, centers)
            display.accepted = accepted.reshape(*display.xx0.shape, -1)
        return display.plot(ax=ax, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        features: ArrayLike,
        *,
        labels: ArrayLike | None = None,
        centers: ArrayLike | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw features, without regions.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            True labels; those outside ``labels`` are unknown.

        features : array-like of shape (n_samples, n_features)
            Features of the samples.

        labels : array-like of shape (n_classes,), default=None
            The known classes, ``classes_`` of the classifier; None is all of ``y_true``.

        centers : array-like of shape (n_classes, n_features), default=None
            Class centers in the order of ``labels``; None is the mean of each class.

        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.

        **kwargs : dict
            Further parameters of :meth:`plot`.

        Returns
        -------
        display : FeatureSpaceDisplay
            The display.

        Raises
        ------
        ValueError
            If the features have less than two dimensions, or more and there are neither
            centers nor samples of known classes, or if shapes do not match.

        See Also
        --------
        FeatureSpaceDisplay.from_estimator : Draws the regions, too.
        """
        _import_matplotlib(f"{cls.__name__}.from_predictions")
        y_true, features = column_or_1d(y_true), _features(features)
        labels = np.unique(y_true) if labels is None else np.asarray(labels)
        centers = _centers(centers, features, _members(y_true, labels))
        plane = _Plane(features, centers)
        return cls._in_plane(plane, y_true, features, labels, centers).plot(ax=ax, **kwargs)

    @classmethod
    def _in_plane(cls, plane, y_true, features, labels, centers):
        """Return a display without regions."""
        return cls(
            y_true=y_true,
            features=plane.project(features),
            labels=labels,
            centers=plane.project(centers),
            region_label=plane.region_label,
            xlabel=plane.axis_label.format(1),
            ylabel=plane.axis_label.format(2),
        )
