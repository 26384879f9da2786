"""Distances to the predicted class, and the threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.utils import check_consistent_length

from sk_center.metrics.base import checked_labels, is_known
from sk_center.plotting.base import (
    OUTSIDER_COLOR,
    class_colors,
    class_index,
    class_masks,
    import_matplotlib,
    judged_for,
    styled,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.container import BarContainer
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from numpy.typing import ArrayLike, NDArray

    from sk_center._utils.types import Estimator, Samples


class DistanceDisplay:
    """Distances of known samples and outsiders to the predicted class, and thresholds.

    Distance is minus the score of the class that is predicted, whatever the score: to the
    right is less typical, and right of the threshold is rejected. If one threshold holds
    for all classes, all samples are drawn in one pair of histograms. Otherwise each class
    has its own axes, with the samples that are predicted as that class.

    Parameters
    ----------
    y_true : ndarray of shape (n_samples,)
        True labels; samples of a label outside ``labels`` are outsiders.

    y_pred : ndarray of shape (n_samples,)
        Class predicted for each sample, without rejection.

    scores : ndarray of shape (n_samples,)
        Score of each sample for its predicted class, larger is more typical.

    rejected : ndarray of shape (n_samples,)
        Whether each sample is rejected.

    labels : ndarray of shape (n_classes,)
        The known classes.

    thresholds : ndarray of shape (n_classes,)
        For each predicted class the score below which a sample is rejected.

    Attributes
    ----------
    known_bars_ : list of matplotlib BarContainer or None
        For each axes the histogram of the known samples, None without those.

    outsider_bars_ : list of matplotlib BarContainer or None
        For each axes the histogram of the outsiders, None without those.

    threshold_lines_ : list of matplotlib Line2D or None
        For each axes the threshold, None if nothing is rejected.

    axes_ : ndarray of matplotlib Axes
        The axes: one, or one for each class drawn.

    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    FeatureSpaceDisplay : The features that distances are measured between.
    OpenSetRocDisplay : How well the scores separate known samples from outsiders.

    Notes
    -----
    With ``guarantee="class"`` a sample beyond the threshold of its predicted class is
    rejected only if every other class rejects it, too. The shares in the titles count the
    samples that are actually rejected.

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
    >>> display.axes_[0].get_title("right")
    'rejected: 2% of known samples, 88% of outsiders'
    """

    known_bars_: list[BarContainer | None]
    outsider_bars_: list[BarContainer | None]
    threshold_lines_: list[Line2D | None]
    axes_: NDArray[Any]
    figure_: Figure

    def __init__(
        self,
        *,
        y_true: NDArray[Any],
        y_pred: NDArray[Any],
        scores: NDArray[Any],
        rejected: NDArray[np.bool_],
        labels: NDArray[Any],
        thresholds: NDArray[Any],
    ) -> None:
        self.y_true = y_true
        self.y_pred = y_pred
        self.scores = scores
        self.rejected = rejected
        self.labels = labels
        self.thresholds = thresholds

    def plot(
        self,
        axes: Axes | Sequence[Axes] | NDArray[Any] | None = None,
        *,
        classes: ArrayLike | None = None,
        bins: int | str | ArrayLike = 50,
        known_kwargs: dict[str, Any] | None = None,
        outsider_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the histograms.

        Parameters
        ----------
        axes : matplotlib Axes or array-like of them, default=None
            Axes to draw on, as many as there are pairs of histograms; None makes a figure.

        classes : array-like of shape (n_drawn,), default=None
            Predicted classes to draw, each on its own axes. None is all of them, on common
            axes if they have the same threshold.

        bins : int, str or array-like, default=50
            Bins of :func:`numpy.histogram_bin_edges`, the same on all axes.

        known_kwargs : dict, default=None
            Keywords of matplotlib's ``hist`` for the known samples.

        outsider_kwargs : dict, default=None
            Keywords of ``hist`` for the outsiders.

        Returns
        -------
        display : DistanceDisplay
            This display.

        Raises
        ------
        ValueError
            If ``classes`` holds other labels, or the number of ``axes`` differs.

        Notes
        -----
        The bars of each histogram sum to one. Samples outside the bins count in the first
        or the last one. Bins that are not given span all distances but the largest
        hundredth.
        """
        import_matplotlib(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        groups = self._groups(classes)
        if axes is None:
            size = (6.4, 1.2 + 1.1 * len(groups)) if len(groups) > 1 else (6.4, 3.6)
            _, axes = plt.subplots(
                len(groups), sharex=True, squeeze=False, figsize=size, layout="constrained"
            )
        self.axes_ = np.ravel(axes)  # type: ignore[arg-type]
        if len(self.axes_) != len(groups):
            raise ValueError(
                f"axes must hold {len(groups)} Axes, one for each pair of histograms; got "
                f"{len(self.axes_)}."
            )
        self.figure_ = self.axes_[0].figure
        known = is_known(self.y_true, self.labels)
        # A sample with a score of NaN is the least typical.
        distances = np.where(np.isnan(self.scores), np.inf, -self.scores)
        drawn = distances[np.any([chosen for _, chosen, _, _ in groups], axis=0)]
        edges = _edges(drawn[np.isfinite(drawn)], bins)
        self.known_bars_, self.outsider_bars_, self.threshold_lines_ = [], [], []
        for ax, (title, chosen, threshold, color) in zip(self.axes_, groups):
            shares = []
            for bars, side, name, shade, kwargs in (
                (
                    self.outsider_bars_,
                    ~known,
                    "outsiders",
                    OUTSIDER_COLOR,
                    outsider_kwargs,
                ),
                (self.known_bars_, known, "known samples", color, known_kwargs),
            ):
                bars.append(None)
                those = chosen & side
                if not those.any():
                    continue
                style = {"alpha": 0.6, "color": shade, "label": name}
                style = styled("patch", style, kwargs)
                weights = np.full(those.sum(), 1 / those.sum())
                held = distances[those].clip(edges[0], edges[-1])
                bars[-1] = ax.hist(held, edges, weights=weights, **style)[2]
                shares.append(f"{self.rejected[those].mean():.0%} of {name}")
            line = None
            if np.isfinite(threshold):
                line = ax.axvline(
                    -threshold, color="black", linestyle="--", label="threshold"
                )
            self.threshold_lines_.append(line)
            ax.set_ylabel("share")
            ax.set_title(title, loc="left", fontsize="medium")
            ax.set_title(
                f"rejected: {', '.join(reversed(shares)) or 'no sample'}",
                loc="right",
                fontsize="small",
            )
        self.axes_[0].legend(loc="upper right", fontsize="small")
        self.axes_[-1].set_xlabel("distance from the predicted class (minus the score)")
        return self

    def _groups(self, classes):
        """Return title, samples, threshold and color of each pair of histograms."""
        one = len(np.unique(self.thresholds)) == 1
        if classes is None and one:
            everyone = np.ones(len(self.y_true), dtype=bool)
            return [("", everyone, self.thresholds[0], "C0")]
        colors = class_colors(len(self.labels))
        masks = class_masks(self.y_pred, self.labels)
        drawn = checked_labels(self.labels if classes is None else classes, "classes")
        return [
            (str(self.labels[k]), masks[k], self.thresholds[k], colors[k])
            for k in class_index(drawn, self.labels, "classes")
        ]

    @classmethod
    def from_estimator(
        cls,
        estimator: Estimator,
        X: Samples,
        y: ArrayLike,
        *,
        axes: Axes | Sequence[Axes] | NDArray[Any] | None = None,
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
            True labels; samples of a label outside ``estimator.classes_`` are outsiders.

        axes : matplotlib Axes or array-like of them, default=None
            Axes to draw on, as many as there are pairs of histograms; None makes a figure.

        **kwargs : dict
            Further parameters of :meth:`plot`.

        Returns
        -------
        display : DistanceDisplay
            The display.

        Raises
        ------
        TypeError
            If ``estimator`` is not one of those, or is not fitted.
        """
        model, decision = judged_for(cls, estimator, X)
        y = checked_labels(y, "y")
        check_consistent_length(y, decision.scores)
        display = cls(
            y_true=y,
            y_pred=decision.predicted,
            scores=decision.scores,
            rejected=decision.rejected,
            labels=model.classes_,
            thresholds=np.where(model._against_former, -np.inf, model.score_thresholds_),
        )
        return display.plot(axes=axes, **kwargs)


def _edges(distances, bins):
    """Return bin edges that a few far samples do not stretch."""
    span = (distances.min(), np.quantile(distances, 0.99)) if len(distances) else None
    return np.histogram_bin_edges(distances, bins, range=span)
