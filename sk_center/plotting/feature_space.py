"""Classes and outsiders in feature space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.utils import check_array, check_consistent_length

from sk_center._utils.nested import nested, open_set_inside, transformed
from sk_center.metrics.base import checked_labels
from sk_center.open_set.outputs import centers_of, outputs_of
from sk_center.plotting.base import (
    OUTSIDER_COLOR,
    axes_for,
    class_colors,
    class_masks,
    import_matplotlib,
    styled,
)
from sk_center.plotting.plane import Plane, grid_around

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.contour import QuadContourSet
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

    from sk_center._utils.types import Estimator, Samples


class FeatureSpaceDisplay:
    """Features of samples, with class centers and the regions where they are accepted.

    Features of two dimensions are drawn as they are. More are projected onto the plane of
    the two leading principal components of the class centers.

    Parameters
    ----------
    y_true : ndarray of shape (n_samples,)
        True labels; samples of a label outside ``labels`` are outsiders.

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
        For each class whether a sample at a point of the grid, if predicted as that class,
        is accepted. None draws no regions.

    xlabel : str, default=None
        Label of the x axis.

    ylabel : str, default=None
        Label of the y axis.

    Attributes
    ----------
    scatters_ : list of matplotlib PathCollection
        The samples of each class.

    outsider_scatter_ : matplotlib PathCollection or None
        The outsiders, if there are any.

    center_scatter_ : matplotlib PathCollection
        The centers.

    surfaces_ : list of matplotlib QuadContourSet or None
        The region of each class, if regions are drawn.

    ax_ : matplotlib Axes
        The axes.

    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    DistanceDisplay : Distances from the predicted class, in any number of dimensions.
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
    >>> len(display.surfaces_), len(display.outsider_scatter_.get_offsets())
    (2, 50)
    """

    scatters_: list[PathCollection]
    outsider_scatter_: PathCollection | None
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
        self.xlabel = xlabel
        self.ylabel = ylabel

    def plot(
        self,
        ax: Axes | None = None,
        *,
        scatter_kwargs: dict[str, Any] | None = None,
        outsider_kwargs: dict[str, Any] | None = None,
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

        outsider_kwargs : dict, default=None
            Keywords of ``scatter`` for the outsiders.

        center_kwargs : dict, default=None
            Keywords of ``scatter`` for the centers.

        region_kwargs : dict, default=None
            Keywords of matplotlib's ``contourf`` for the regions.

        Returns
        -------
        display : FeatureSpaceDisplay
            This display.
        """
        ax = axes_for(self, ax)
        from matplotlib.patches import Patch

        colors = class_colors(len(self.labels))
        masks = class_masks(self.y_true, self.labels)
        outsiders = ~masks.any(axis=0)
        self.surfaces_ = self.outsider_scatter_ = None
        if self.accepted is not None:
            style = {"alpha": 0.2, "zorder": 0, **(region_kwargs or {})}
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
        for label, color, chosen in zip(self.labels, colors, masks):
            style = {"s": 14, "color": color, "zorder": 2, "label": str(label)}
            style = styled("points", style, scatter_kwargs)
            self.scatters_.append(ax.scatter(*self.features[chosen].T, **style))
        style = {"s": 110, "marker": "*", "zorder": 3, "label": "center"}
        style |= {"facecolor": "black", "edgecolor": "white"}
        style = styled("points", style, center_kwargs)
        self.center_scatter_ = ax.scatter(*self.centers.T, **style)
        if outsiders.any():
            style = {"s": 14, "marker": "x", "linewidth": 0.8, "zorder": 1}
            style |= {"color": OUTSIDER_COLOR, "label": "outsiders"}
            style = styled("points", style, outsider_kwargs)
            self.outsider_scatter_ = ax.scatter(*self.features[outsiders].T, **style)
        ax.set(xlabel=self.xlabel, ylabel=self.ylabel)
        handles, _ = ax.get_legend_handles_labels()
        if self.surfaces_ is not None:
            name = "accepted if predicted so"
            handles.append(Patch(facecolor="0.5", alpha=0.3, label=name))
        # Samples may be everywhere: no corner is free.
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
        regions: bool = True,
        grid_resolution: int = 200,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the features of samples.

        Parameters
        ----------
        estimator : estimator instance
            A fitted :class:`~sk_center.OpenSetClassifier`, a Pipeline that ends in one or
            a search of one; or another fitted classifier, which gives no regions.

        X : array-like of shape (n_samples, ...)
            Samples.

        y : array-like of shape (n_samples,)
            True labels; samples of a label outside ``estimator.classes_`` are outsiders.

        regions : bool, default=True
            Whether to draw for each class the region in which a sample that is predicted as
            the class is accepted (with ``guarantee="class"``, one that lies in any region),
            where that can be told: by an OpenSetClassifier without added classes whose
            score needs features of two dimensions and nothing else.

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
            If ``estimator`` is not a fitted classifier.

        ValueError
            If the features have less than two dimensions, or more and there are neither
            centers nor samples of known classes.

        Notes
        -----
        Features are ``estimator.transform(X)`` if that exists, for another Pipeline the
        inputs of its last step, and else X. Centers are those of a
        :class:`~sk_center.CenterLossClassifier`, else the means of the samples drawn.
        """
        import_matplotlib(f"{cls.__name__}.from_estimator")
        model, classifier = None, estimator
        if any(hasattr(part, "outlier_label_") for part, _ in nested(estimator, True)):
            model, before = open_set_inside(estimator)
            classifier, X = model.estimator_, transformed(before, X)
        labels = getattr(classifier if model is None else model, "classes_", None)
        if labels is None:
            raise TypeError(
                "estimator must be a fitted OpenSetClassifier or another fitted "
                f"classifier; got {estimator!r}."
            )
        y = checked_labels(y, "y")
        features = check_array(
            outputs_of(classifier, X, ("features",))["features"],
            dtype=np.float64,
            ensure_min_features=2,
            input_name="features",
        )
        check_consistent_length(features, y)
        centers = centers_of(classifier)
        if centers is None:
            centers = _means(features, y, labels)
        plane = Plane(features, centers)
        axis = "feature {}" if plane.flat else "principal component {} of the centers"
        display = cls(
            y_true=y,
            features=plane.project(features),
            labels=labels,
            centers=plane.project(centers),
            xlabel=axis.format(1),
            ylabel=axis.format(2),
        )
        if (
            regions
            and plane.flat
            and model is not None
            and model.score_.needs == ("features",)
            and not model._against_former.any()
        ):
            display.xx0, display.xx1 = grid_around(
                np.vstack([display.features, display.centers]), grid_resolution
            )
            points = np.stack([display.xx0, display.xx1], axis=-1).reshape(-1, 2)
            accepted = model.score_.score_classes(points) >= model.score_thresholds_
            display.accepted = accepted.reshape(*display.xx0.shape, -1)
        return display.plot(ax=ax, **kwargs)


def _means(features, y, labels):
    """Return the mean of the samples of each class, NaN without samples."""
    centers = np.full((len(labels), features.shape[1]), np.nan)
    masks = class_masks(y, labels)
    for k in np.flatnonzero(masks.any(axis=1)):
        centers[k] = features[masks[k]].mean(axis=0)
    return centers
