"""What all calibrations share."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from sk_center._utils.labels import shortened

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Parametric tails have no smallest p-value, but none is zero: a rate of 0 rejects nothing.
SMALLEST = np.finfo(np.float64).tiny


class BaseCalibration:
    """Base class of the calibrations.

    Parameters
    ----------
    false_rejection_rate : ndarray of shape (n_classes,)
        Share of the members of each class that may be turned away.

    confidence : float, default=None
        See :class:`ConformalCalibration`.

    Attributes
    ----------
    thresholds_ : ndarray of shape (n_classes,)
        A class turns a sample down when its p-value is at most this.

    score_thresholds_ : ndarray of shape (n_classes,)
        The same in units of the score: it turns down what scores below this.

    groups_ : ndarray of shape (n_classes,)
        Index of the calibration group of each class: its own, or the one that classes
        too rare to calibrate alone share, with the smallest of their rates.

    n_samples_ : ndarray of shape (n_classes,)
        Number of calibration samples in the group of each class.
    """

    def __init__(
        self, false_rejection_rate: NDArray[np.float64], confidence: float | None = None
    ) -> None:
        self.false_rejection_rate = false_rejection_rate
        self.confidence = confidence

    def fit(self, scores: NDArray[Any], y: NDArray[np.intp], classes: NDArray[Any]) -> Self:
        """Learn the scores of true members.

        Parameters
        ----------
        scores : ndarray of shape (n_samples,)
            Score of each calibration sample for its own class.

        y : ndarray of shape (n_samples,)
            Class index of each calibration sample.

        classes : ndarray of shape (n_classes,)
            Labels of the classes, for messages.

        Returns
        -------
        self : BaseCalibration
            The fitted calibration.

        Raises
        ------
        ValueError
            If all samples together are too few for the bound, or the calibration does
            not go with the scores.
        """
        counts = np.bincount(y, minlength=len(classes))
        self.groups_ = self._group(counts, classes)
        groups, scores = self.groups_[y], _comparable(scores)
        self._members = [
            np.sort(scores[groups == group]) for group in range(self.groups_.max() + 1)
        ]
        # On average over the group that rare classes share, its smallest rate is what keeps
        # the rates of all. A rate of 0 turns down nothing anyway.
        rates = self.false_rejection_rate.copy()
        merged = (np.bincount(self.groups_)[self.groups_] > 1) & (rates > 0)
        rates[merged] = rates[merged].min(initial=1)
        self.n_samples_ = np.array([len(self._members[group]) for group in self.groups_])
        self._fit(rates)  # type: ignore[attr-defined]
        return self

    def p_values(self, scores: NDArray[Any]) -> NDArray[np.float64]:
        """Return the p-value of each sample for each class.

        Parameters
        ----------
        scores : ndarray of shape (n_samples, n_classes)
            Scores of the samples.

        Returns
        -------
        p_values : ndarray of shape (n_samples, n_classes)
            In (0, 1]; 1 for a class without calibration samples.
        """
        columns = zip(self.groups_, _comparable(scores).T)
        p_values = self._p_values  # type: ignore[attr-defined]
        return np.transpose([p_values(group, column) for group, column in columns])

    def _group(self, counts, classes):
        """Give each class a group of its own, but the rare ones one together."""
        rates = self.false_rejection_rate
        needed = np.array([self._samples_needed(rate) for rate in rates])
        rare = counts < needed
        groups = np.cumsum(~rare) - 1
        if not rare.any():
            return groups
        if counts.sum() < needed.max():
            n_samples = int(counts.sum())
            at = "" if self.confidence is None else f" at confidence={self.confidence:g}"
            advice = "Give more data, or let more of it calibrate (cv=5: all of it)."
            smallest = self._smallest_rate(n_samples)
            if smallest is not None:
                advice = (
                    f"With {n_samples} in all the smallest rate is {smallest}. Give more "
                    "data, let more of it calibrate (cv=5: all of it), or allow a larger "
                    "false_rejection_rate, which does no harm in a search by OSCR or AUROC."
                )
            raise ValueError(
                f"{n_samples} calibration samples are too few: false_rejection_rate="
                f"{rates[np.argmax(needed)]:g}{at} takes at least {needed.max()}. {advice}"
            )
        # Rare classes may be too few even together: then the next larger ones join.
        for class_ in np.argsort(counts, kind="stable"):
            if counts[rare].sum() >= needed[rare].max():
                break
            rare[class_] = True
        labels = np.asarray(classes).tolist()
        names = [f"{labels[i]!r} ({counts[i]})" for i in np.flatnonzero(rare)]
        warnings.warn(
            f"Classes with too few calibration samples share one threshold: "
            f"{shortened(names)}; {needed[rare].max()} are needed for one class. The bound "
            "on false rejections holds on average over these classes, not for each.",
            UserWarning,
            stacklevel=6,
        )
        groups = np.cumsum(~rare) - 1
        groups[rare] = (~rare).sum()
        return groups


def _comparable(scores):
    """Return the scores with -inf where one is no number: nothing looks less typical."""
    return np.where(np.isnan(scores), -np.inf, scores)
