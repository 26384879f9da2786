"""Displays of open-set classifiers, after those of scikit-learn; they need matplotlib.

Each display is made by ``from_estimator``, of a fitted classifier and test samples, or by
``from_predictions``, of what a classifier said. Test samples with a label outside of the
known classes are unknown samples, which stand for outsiders, as in
:mod:`sk_center.metrics`. Both draw at once; what was drawn is in attributes that end in an
underscore, and ``plot`` draws again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from scipy.stats import binom
from sklearn.decomposition import PCA
from sklearn.metrics import ConfusionMatrixDisplay, RocCurveDisplay, confusion_matrix
from sklearn.utils import check_array, check_consistent_length, column_or_1d, gen_batches
from sklearn.utils._plotting import _validate_style_kwargs

from sk_center._extras import import_extra
from sk_center._nested import nested, transformed
from sk_center._responses import centers_of, features_of
from sk_center.metrics import (
    _class_indices,
    _open_set_classifier,
    _roc,
    auroc_score,
    oscr_curve,
    oscr_score,
)
from sk_center.scores import given_or_means

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection, PolyCollection
    from matplotlib.container import BarContainer
    from matplotlib.contour import QuadContourSet
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from matplotlib.lines import Line2D
    from numpy.typing import ArrayLike, NDArray

    from sk_center._types import Estimator, Label, Samples

__all__ = [
    "DistanceDisplay",
    "FalseRejectionDisplay",
    "FeatureSpaceDisplay",
    "OSCRCurveDisplay",
    "OpenSetConfusionMatrixDisplay",
    "OpenSetRocDisplay",
]

UNKNOWN_COLOR = "0.5"


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
            OpenSetClassifier whose score consumes nothing but features. ``"auto"`` draws
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
        possible = model is not None and model.score_.consumes == "features"
        if regions == "auto":
            regions = possible and features.shape[1] == 2
        if regions and not possible:
            raise ValueError(
                "regions=True takes an OpenSetClassifier whose score consumes features and "
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


class OpenSetRocDisplay(RocCurveDisplay):
    """ROC curve of known against unknown samples; known is the positive side.

    Parameters
    ----------
    fpr : ndarray of shape (n_thresholds + 1,)
        Shares of the unknown samples that are accepted.

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

    chance_level_ : matplotlib Line2D or None
        The curve of chance, where it is drawn.

    ax_ : matplotlib Axes
        The axes.

    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    sk_center.metrics.auroc_score : The area under the curve.
    OSCRCurveDisplay : Counts only the known samples that are named right.
    sklearn.metrics.RocCurveDisplay : Draws it.

    Examples
    --------
    >>> from sk_center import OpenSetRocDisplay
    >>> display = OpenSetRocDisplay.from_predictions(
    ...     ["cat", "dog", "fox"], [0.9, 0.4, 0.5], labels=["cat", "dog"], name="mine")
    >>> display.line_.get_label()
    'mine (AUC = 0.50)'
    """

    line_: Line2D
    chance_level_: Line2D | None
    ax_: Axes
    figure_: Figure

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
        self.estimator_name = name  # as scikit-learn before 1.7 calls it
        self.pos_label = None

    def plot(
        self,
        ax: Axes | None = None,
        *,
        name: str | None = None,
        curve_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
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

        **kwargs : dict
            Other parameters of :meth:`sklearn.metrics.RocCurveDisplay.plot`:
            ``plot_chance_level``, ``chance_level_kw`` and ``despine``.

        Returns
        -------
        display : OpenSetRocDisplay
            This display.
        """
        super().plot(ax=_axes(self, ax), name=name, **kwargs)
        # scikit-learn before 1.7 does not take them as curve_kwargs.
        self.line_.set(**(curve_kwargs or {}))
        if self.ax_.get_legend_handles_labels()[1]:
            self.ax_.legend(loc="lower right")
        self.ax_.set(
            xlabel="unknown samples accepted (FPR)", ylabel="known samples accepted (TPR)"
        )
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
        display : OpenSetRocDisplay
            The display.

        Raises
        ------
        TypeError
            If ``estimator`` is none of those, or not fitted.

        ValueError
            If there is no known or no unknown sample.

        See Also
        --------
        OpenSetRocDisplay.from_predictions : Draws scores that are at hand.
        """
        _import_matplotlib(f"{cls.__name__}.from_estimator")
        model, X = _open_set(estimator, X)
        return cls.from_predictions(
            y,
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
            True labels; those outside ``labels`` are unknown.

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
        display : OpenSetRocDisplay
            The display.

        Raises
        ------
        ValueError
            If there is no known or no unknown sample.

        See Also
        --------
        OpenSetRocDisplay.from_estimator : Draws the scores of an estimator.
        """
        _import_matplotlib(f"{cls.__name__}.from_predictions")
        fpr, tpr = _roc(y_true, y_score, labels, sample_weight)
        roc_auc = auroc_score(y_true, y_score, labels=labels, sample_weight=sample_weight)
        name = "Classifier" if name is None else name
        return cls(fpr=fpr, tpr=tpr, roc_auc=roc_auc, name=name).plot(ax=ax, **kwargs)


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


class OpenSetConfusionMatrixDisplay(ConfusionMatrixDisplay):
    """Confusion matrix whose last row is all unknown samples, and last column rejection.

    Parameters
    ----------
    confusion_matrix : ndarray of shape (n_classes + 1, n_classes + 1)
        Confusion matrix.

    display_labels : list of length n_classes + 1, default=None
        What rows and columns are called: the known classes and the outlier label.

    Attributes
    ----------
    im_ : matplotlib AxesImage
        The matrix.

    text_ : ndarray of shape (n_classes + 1, n_classes + 1), dtype=matplotlib Text, or None
        The numbers. None where they are not included.

    ax_ : matplotlib Axes
        The axes.

    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    sk_center.metrics.open_set_f1_score : One number for the same matrix.
    sklearn.metrics.ConfusionMatrixDisplay : Draws it.

    Examples
    --------
    >>> from sk_center import OpenSetConfusionMatrixDisplay
    >>> display = OpenSetConfusionMatrixDisplay.from_predictions(
    ...     ["cat", "cat", "dog", "fox", "gnu"],
    ...     ["cat", "outsider", "dog", "outsider", "dog"],
    ...     labels=["cat", "dog"], outlier_label="outsider")
    >>> display.confusion_matrix
    array([[1, 0, 1],
           [0, 1, 0],
           [0, 1, 1]])
    """

    im_: AxesImage
    text_: NDArray[Any] | None
    ax_: Axes
    figure_: Figure

    @classmethod
    def from_estimator(
        cls,
        estimator: Estimator,
        X: Samples,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        normalize: Literal["true", "pred", "all"] | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the confusion matrix of a classifier.

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

        normalize : {"true", "pred", "all"}, default=None
            Whether to divide the counts by the sum of their row, of their column or of
            all.

        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.

        **kwargs : dict
            Further parameters of :meth:`sklearn.metrics.ConfusionMatrixDisplay.plot`.

        Returns
        -------
        display : OpenSetConfusionMatrixDisplay
            The display.

        Raises
        ------
        TypeError
            If ``estimator`` is none of those, or not fitted.

        See Also
        --------
        OpenSetConfusionMatrixDisplay.from_predictions : Draws predictions at hand.
        """
        _import_matplotlib(f"{cls.__name__}.from_estimator")
        model, X = _open_set(estimator, X)
        return cls.from_predictions(
            y,
            model.predict(X),
            labels=model.classes_,
            outlier_label=model.outlier_label_,
            sample_weight=sample_weight,
            normalize=normalize,
            ax=ax,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_pred: ArrayLike,
        *,
        labels: ArrayLike,
        outlier_label: Label,
        sample_weight: ArrayLike | None = None,
        normalize: Literal["true", "pred", "all"] | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the confusion matrix of predictions.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            True labels; those outside ``labels`` are unknown.

        y_pred : array-like of shape (n_samples,)
            Class given to each sample, or ``outlier_label`` where it is rejected:
            ``predict``.

        labels : array-like of shape (n_classes,)
            The known classes, ``classes_`` of the classifier.

        outlier_label : int, float or str
            What ``y_pred`` says of rejected samples: ``outlier_label_`` of the classifier.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        normalize : {"true", "pred", "all"}, default=None
            Whether to divide the counts by the sum of their row, of their column or of
            all.

        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.

        **kwargs : dict
            Further parameters of :meth:`sklearn.metrics.ConfusionMatrixDisplay.plot`.

        Returns
        -------
        display : OpenSetConfusionMatrixDisplay
            The display.

        Raises
        ------
        ValueError
            If ``y_pred`` holds other labels, or ``outlier_label`` is among ``labels``.

        See Also
        --------
        OpenSetConfusionMatrixDisplay.from_estimator : Draws those of an estimator.
        """
        _import_matplotlib(f"{cls.__name__}.from_predictions")
        true, predicted, classes = _class_indices(y_true, y_pred, labels, outlier_label)
        counts = confusion_matrix(
            true,
            predicted,
            labels=np.arange(len(classes) + 1),
            sample_weight=sample_weight,
            normalize=normalize,
        )
        display_labels = [*classes.tolist(), outlier_label]
        display = cls(counts, display_labels=display_labels)
        return display.plot(ax=_axes(display, ax), **kwargs)


class _Plane:
    """The plane that features are drawn in.

    Its two directions are the leading principal components of the centers. Two centers
    have one component, so the other is the leading one of the features across it.
    """

    def __init__(self, features, centers):
        n_features = features.shape[1]
        if n_features == 2:
            self.origin, self.directions = np.zeros(2), np.eye(2)
            self.axis_label, self.region_label = "feature {}", "accepted by the class"
            return
        found = centers[np.isfinite(centers).all(axis=1)]
        if not len(found):
            raise ValueError(
                "y_true holds no known sample, and there are no centers to place a plane "
                f"by in {n_features} dimensions."
            )
        self.axis_label = "principal component {} of the centers"
        self.region_label = "accepted by the class,\nslice through its center"
        self.origin = found.mean(axis=0)
        self.directions = np.empty((0, n_features))
        for points, n_most in ((found, len(found) - 1), (features, 2)):
            across = points - self.origin
            across = across - across @ self.directions.T @ self.directions
            n_components = min(n_most, 2 - len(self.directions))
            if n_components:
                components = PCA(n_components, random_state=0).fit(across).components_
                self.directions = np.vstack([self.directions, components])

    def project(self, points):
        """Return points as points of the plane."""
        return (points - self.origin) @ self.directions.T

    def slice_through(self, center, points):
        """Return points of the plane, moved to the parallel plane through a center."""
        return center + (points - self.project(center)) @ self.directions


def _accepted(model, plane, points, centers):
    """Return which classes accept the points of a plane."""

    def accepted(features):
        p_values = model.calibration_.p_values(model.score_.score_classes(features))
        return p_values > model.thresholds_

    if centers.shape[1] == 2:
        return accepted(points)
    found = np.zeros((len(points), len(centers)), dtype=bool)
    for k in np.flatnonzero(np.isfinite(centers).all(axis=1)):
        # In batches, since there may be thousands of dimensions.
        for batch in gen_batches(len(points), 10_000):
            features = plane.slice_through(centers[k], points[batch])
            found[batch, k] = accepted(features)[:, k]
    return found


def _grid(points, resolution):
    """Return a grid around points, those of NaN left out."""
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    margin = 0.05 * (high - low)
    return np.meshgrid(*np.linspace(low - margin, high + margin, resolution).T)


def _features(features):
    """Return features as an array of at least two columns."""
    return check_array(
        features, dtype=np.float64, ensure_min_features=2, input_name="features"
    )


def _centers(centers, features, members):
    """Return given centers, else the mean of the members of each class."""
    check_consistent_length(features, members.T)
    known = members.any(axis=0)
    index = members[:, known].argmax(axis=0)
    return given_or_means(centers, features[known], index, len(members))


def _open_set(estimator, X):
    """Return the open-set classifier inside an estimator, and the X that it sees."""
    model, before = _open_set_classifier(estimator)
    return model, transformed(before, X)


def _members(y_true, labels):
    """Return a mask for each class: which samples have its label."""
    return np.array([y_true == label for label in labels])


def _columns(labels, classes):
    """Return the columns of some classes, of all if None."""
    labels = labels.tolist()
    if classes is None:
        return range(len(labels))
    classes = np.asarray(classes).tolist()
    other = [class_ for class_ in classes if class_ not in labels]
    if other:
        raise ValueError(f"classes must be among {labels[:10]}; got {other}.")
    return [labels.index(class_) for class_ in classes]


def _check_columns(y_true, columns, labels, name):
    """Raise if there is not one row for each sample and one column for each class."""
    shape = (len(y_true), len(labels))
    if columns.shape != shape:
        raise ValueError(
            f"{name} must have the shape (n_samples, n_classes) = {shape}; got "
            f"{columns.shape}."
        )


def _edges(distances, bins):
    """Return bin edges that a few far samples do not stretch."""
    span = (distances.min(), np.quantile(distances, 0.99)) if len(distances) else None
    return np.histogram_bin_edges(distances, bins, range=span)


def _import_matplotlib(caller):
    """Import matplotlib, or say who needs it and which extra brings it."""
    import_extra("matplotlib", "plot", f"{caller} needs")


def _axes(display, ax):
    """Return axes to draw on, new ones if None."""
    _import_matplotlib(f"{type(display).__name__}.plot")
    import matplotlib.pyplot as plt

    return plt.subplots(layout="constrained")[1] if ax is None else ax


def _class_colors(n_classes):
    """Return a color for each class, none of them gray."""
    from matplotlib import colormaps

    # Ten pairs of a strong and a pale color; the eighth is gray, the color of the unknown.
    pairs = np.delete(np.reshape(colormaps["tab20"].colors, (10, 2, 3)), 7, axis=0)
    if n_classes > 18:
        return colormaps["turbo"](np.linspace(0, 1, n_classes))
    return np.concatenate([pairs[:, 0], pairs[:, 1]])[:n_classes]
