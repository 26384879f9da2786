"""The risk of answers against their share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from sk_center.metrics.risk import aurc_score, risk_coverage_curve
from sk_center.plotting.base import judged_for
from sk_center.plotting.curve import CurveDisplayMixin

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

    from sk_center._utils.types import Samples


class RiskCoverageDisplay(CurveDisplayMixin):
    """Risk-coverage curve: share of wrong answers when the least certain are withheld.

    Parameters
    ----------
    risk : ndarray of shape (n_thresholds,)
        Shares of wrong answers, of :func:`sk_center.metrics.risk_coverage_curve`.

    coverage : ndarray of shape (n_thresholds,)
        Shares of the samples that are answered.

    aurc : float, default=None
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
    sk_center.metrics.risk_coverage_curve : The points of the curve.
    OSCRCurveDisplay : Separates known samples from outsiders, too.

    Examples
    --------
    >>> from sk_center import RiskCoverageDisplay
    >>> display = RiskCoverageDisplay.from_predictions(
    ...     [0, 1, 1, 0], [0, 1, 0, 0], [4, 3, 1, 2], labels=[0, 1], name="mine")
    >>> display.line_.get_label()
    'mine (AURC = 0.062)'
    """

    _axes = {
        "xlabel": "samples answered (coverage)",
        "ylabel": "wrong answers among them (risk)",
    }
    _legend = "upper left"

    def __init__(
        self,
        *,
        risk: NDArray[Any],
        coverage: NDArray[Any],
        aurc: float | None = None,
        name: str | None = None,
    ) -> None:
        self.risk = risk
        self.coverage = coverage
        self.aurc = aurc
        self.name = name

    def _curve(self):
        area = None if self.aurc is None else f"AURC = {self.aurc:.3f}"
        return self.coverage, self.risk, area

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Samples,
        y: ArrayLike,
        *,
        response_method: Literal["score_samples", "predict_proba"] = "predict_proba",
        sample_weight: ArrayLike | None = None,
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the curve of the samples that a classifier accepts.

        Parameters
        ----------
        estimator : estimator instance
            A fitted :class:`~sk_center.OpenSetClassifier`, a Pipeline that ends in one or
            a search of one.

        X : array-like of shape (n_samples, ...)
            Samples.

        y : array-like of shape (n_samples,)
            True labels; samples of a label outside ``estimator.classes_`` are outsiders,
            which have no right answer.

        response_method : {"score_samples", "predict_proba"}, default="predict_proba"
            The certainty of an answer: how typical the sample is of its class, or how
            probable its class is among the known ones.

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
        display : RiskCoverageDisplay
            The display.

        Raises
        ------
        TypeError
            If ``estimator`` is not one of those, or is not fitted.

        ValueError
            If there is no known sample.

        See Also
        --------
        RiskCoverageDisplay.from_predictions : Draws existing predictions.
        """
        model, decision = judged_for(cls, estimator, X)
        sure = decision.scores
        if response_method == "predict_proba":
            sure = np.max(estimator.predict_proba(X), axis=1)
        accepted = ~decision.rejected
        if sample_weight is not None:
            sample_weight = np.asarray(sample_weight)[accepted]
        return cls.from_predictions(
            np.asarray(y)[accepted],
            decision.predicted[accepted],
            sure[accepted],
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
            True labels; samples of a label outside ``labels`` are outsiders.

        y_pred : array-like of shape (n_samples,)
            Class given to each sample without withholding any.

        y_score : array-like of shape (n_samples,)
            Certainty of each answer, larger is more certain, such as the largest
            probability.

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
        display : RiskCoverageDisplay
            The display.

        Raises
        ------
        ValueError
            If there is no known sample.

        See Also
        --------
        RiskCoverageDisplay.from_estimator : Draws the predictions of an estimator.
        """
        given: dict[str, Any] = {"labels": labels, "sample_weight": sample_weight}
        risk, coverage, _ = risk_coverage_curve(y_true, y_pred, y_score, **given)
        aurc = aurc_score(y_true, y_pred, y_score, **given)
        name = "Classifier" if name is None else name
        return cls(risk=risk, coverage=coverage, aurc=aurc, name=name).plot(ax=ax, **kwargs)
