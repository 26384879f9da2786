"""False-rejection rates, allowed and observed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy.stats import binomtest
from sklearn.utils import check_consistent_length

from sk_center.metrics.base import checked_decisions, checked_labels, known_classes
from sk_center.plotting.base import axes_for, class_index, judged_for, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import ErrorbarContainer
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from numpy.typing import ArrayLike, NDArray

    from sk_center._utils.types import Estimator, Label, Samples


class FalseRejectionDisplay:
    """Shares of known test samples that are rejected, overall and by class.

    Each row has the share of one group that is rejected, with the 95 % confidence interval
    of Clopper and Pearson for a binomial rate. The dashed line is the rate that is allowed.

    Parameters
    ----------
    groups : list of length n_groups
        Names of the groups, that of all known samples first.

    n_rejected : ndarray of shape (n_groups,)
        Number of samples of each group that are rejected.

    n_samples : ndarray of shape (n_groups,)
        Number of known samples of each group, at least one.

    allowed : ndarray of shape (n_groups,)
        False-rejection rate that is allowed for each group.

    name : str, default=None
        Name of the points in the legend. None shows none.

    Attributes
    ----------
    points_ : matplotlib ErrorbarContainer
        The shares and their intervals.

    allowed_line_ : matplotlib Line2D or None
        The rates allowed; None if the axes had them already.

    intervals_ : ndarray of shape (n_groups, 2)
        Lower and upper ends of the intervals.

    ax_ : matplotlib Axes
        The axes.

    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    sk_center.metrics.false_rejection_rate : The share overall.
    DistanceDisplay : Which samples are rejected.

    Notes
    -----
    ``guarantee="marginal"`` bounds the rate overall: a class may lose more, and the line
    shows which. ``"class"`` bounds the rate of each true class, ``"predicted"`` that
    of the samples of each predicted class, by which they are then grouped.

    An interval entirely to the right of the line is evidence against the bound. One in
    forty is there by chance, so one class among forty is no evidence. Bounds of a conformal
    calibration hold on average over calibration samples; with few of those, the rate of one
    classifier deviates by more than the intervals show.

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
    >>> display.groups[:3], int(display.n_samples[0])
    (['all classes', 0, 1], 450)
    """

    points_: ErrorbarContainer
    allowed_line_: Line2D | None
    intervals_: NDArray[Any]
    ax_: Axes
    figure_: Figure

    def __init__(
        self,
        *,
        groups: list[Any],
        n_rejected: NDArray[Any],
        n_samples: NDArray[Any],
        allowed: NDArray[Any],
        name: str | None = None,
    ) -> None:
        self.groups = groups
        self.n_rejected = n_rejected
        self.n_samples = n_samples
        self.allowed = allowed
        self.name = name

    def plot(
        self,
        ax: Axes | None = None,
        *,
        name: str | None = None,
        point_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the rates.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure. On axes that hold another display of the
            same groups, the points go beside the others.

        name : str, default=None
            Name of the points in the legend; None is the ``name`` of the display.

        point_kwargs : dict, default=None
            Keywords of matplotlib's ``errorbar``.

        Returns
        -------
        display : FalseRejectionDisplay
            This display.
        """
        rows = np.arange(len(self.groups))
        ax = axes_for(self, ax, figsize=(6.4, 1.5 + 0.25 * len(rows)))
        rates = self.n_rejected / self.n_samples
        self.intervals_ = np.array(
            [
                binomtest(int(k), int(n)).proportion_ci(0.95, method="exact")
                for k, n in zip(self.n_rejected, self.n_samples)
            ]
        )
        there = ax.get_legend_handles_labels()[1]
        self.allowed_line_ = None
        if "allowed" not in there:
            (self.allowed_line_,) = ax.plot(
                np.repeat(self.allowed, 2),
                np.repeat(rows, 2) + np.tile([-0.5, 0.5], len(rows)),
                color="black",
                linestyle="--",
                linewidth=1,
                label="allowed",
            )
        style = {"linestyle": "", "marker": "o", "markersize": 4}
        style |= {"label": (self.name if name is None else name) or "known samples"}
        self.points_ = ax.errorbar(
            rates,
            rows + 0.2 * len(ax.containers),
            xerr=np.abs(self.intervals_.T - rates),
            **styled("line", style, point_kwargs),
        )
        names = [f"{group} (n = {n})" for group, n in zip(self.groups, self.n_samples)]
        ax.set_yticks(rows, names)
        ax.set(xlabel="share of known samples rejected", ylim=(len(rows) - 0.5, -0.5))
        ax.set_xlim(0, 1.05 * ax.dataLim.x1)
        ax.legend(fontsize="small")
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator: Estimator,
        X: Samples,
        y: ArrayLike,
        *,
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the rates of a classifier.

        Parameters
        ----------
        estimator : estimator instance
            A fitted :class:`~sk_center.OpenSetClassifier`, a Pipeline that ends in one or
            a search of one.

        X : array-like of shape (n_samples, ...)
            Samples that it was not fitted on.

        y : array-like of shape (n_samples,)
            True labels; samples of a label outside ``estimator.classes_`` are outsiders,
            and left out.

        name : str, default=None
            Name of the points in the legend; None is the name of the class.

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
            If ``estimator`` is not one of those, or is not fitted.

        ValueError
            If there is no known sample.

        See Also
        --------
        FalseRejectionDisplay.from_predictions : Draws existing predictions.
        """
        model, decision = judged_for(cls, estimator, X)
        labels, report = decision.labels, model.calibration_report_
        if decision.ambiguous is not None:  # withheld is not rejected
            labels = np.where(decision.ambiguous, decision.predicted, labels)
        return cls.from_predictions(
            y,
            labels,
            labels=model.classes_,
            outlier_label=model.outlier_label_,
            allowed=report.rate_allowed,
            groups=decision.predicted if report.guarantee == "predicted" else None,
            name=type(estimator).__name__ if name is None else name,
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
        allowed: ArrayLike,
        groups: ArrayLike | None = None,
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the rates of predictions.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            True labels; samples of a label outside ``labels`` are outsiders, and left out.

        y_pred : array-like of shape (n_samples,)
            Class given to each sample, or ``outlier_label`` if it is rejected:
            ``predict``.

        labels : array-like of shape (n_classes,)
            The known classes, ``classes_`` of the classifier.

        outlier_label : int, float or str
            Label of rejected samples in ``y_pred``: ``outlier_label_`` of the classifier.

        allowed : float or array-like of shape (n_classes,)
            False-rejection rate that is allowed, or that of each class in the order of
            ``labels``.

        groups : array-like of shape (n_samples,), default=None
            Classes to group the samples by, such as the predicted ones. None is ``y_true``.

        name : str, default=None
            Name of the points in the legend; None is ``"Classifier"``.

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
            If there is no known sample, ``y_pred`` holds other labels, ``allowed`` is out
            of range, or shapes do not match.

        See Also
        --------
        FalseRejectionDisplay.from_estimator : Draws the rates of an estimator.
        """
        true, predicted, _, reject = checked_decisions(
            y_true, y_pred, labels, outlier_label, None, None, sides=("known",)
        )
        classes, order = np.unique(known_classes(labels), return_index=True)
        try:
            rates = np.broadcast_to(allowed, np.shape(labels))[order]
        except ValueError:
            raise ValueError(
                f"allowed must be a number, or one for each of {len(classes)} labels; got "
                f"the shape {np.shape(allowed)}."
            ) from None
        if not ((rates >= 0) & (rates <= 1)).all():
            raise ValueError(f"allowed must be within [0, 1]; got {allowed!r}.")
        index = true
        if groups is not None:
            groups = checked_labels(groups, "groups")
            check_consistent_length(y_true, groups)
            index = class_index(groups, classes, "groups")
        index, rejected = index[true < reject], predicted[true < reject] == reject
        n_samples = np.bincount(index, minlength=reject)
        n_rejected = np.bincount(index[rejected], minlength=reject)
        there = np.flatnonzero(n_samples)
        display = cls(
            groups=["all classes", *classes[there].tolist()],
            n_rejected=np.append(rejected.sum(), n_rejected[there]),
            n_samples=np.append(len(index), n_samples[there]),
            # The rate overall is at most the mean of the rates of the groups.
            allowed=np.append(rates[index].mean(), rates[there]),
            name="Classifier" if name is None else name,
        )
        return display.plot(ax=ax, **kwargs)
