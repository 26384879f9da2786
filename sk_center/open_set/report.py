"""Report of the calibration: rates allowed and kept, thresholds, and warnings."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import binom

from sk_center._utils.frames import frame_of
from sk_center._utils.labels import shortened
from sk_center._utils.schema import array, bounded, labels, number, one_of
from sk_center.calibration import ConformalCalibration
from sk_center.calibration.conformal import rejected_ranks
from sk_center.open_set.decision import GUARANTEES

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from sk_center.calibration.base import BaseCalibration
    from sk_center.open_set.fitted_part import Calibrated

# A rate differs significantly if chance would do so once in a thousand fits.
SIGNIFICANCE = 1e-3
# The largest share of samples that classes other than their own may accept without a
# warning.
NEARLY_ALL = 0.95
SHOWN = 10
HEAD = ("class", "samples", "allowed", "rejected", "score threshold")


@dataclass(frozen=True, eq=False, repr=False)
class CalibrationReport:
    """How a fitted :class:`~sk_center.OpenSetClassifier` treats its calibration samples.

    Arrays are in the order of ``classes``.

    Parameters
    ----------
    guarantee : {"marginal", "predicted", "class"}
        The samples over which the false-rejection rate is bounded.

    classes : ndarray of shape (n_classes,)
        The known classes.

    n_samples : ndarray of shape (n_classes,), int
        Number of calibration samples of each class.

    rate_allowed : ndarray of shape (n_classes,), float64
        The false-rejection rate that is allowed.

    rate_kept : ndarray of shape (n_classes,), float64
        Share of the calibration samples of each class that are rejected, each judged by the
        others; NaN for a class without samples.

    score_threshold : ndarray of shape (n_classes,), float64
        A sample of this predicted class is rejected when it scores below; under the
        guarantee "class", the class rejects samples that score below for it.

    rejects : ndarray of shape (n_classes,), bool
        Whether any sample can be rejected by this threshold.

    added : ndarray of shape (n_classes,), bool
        Classes that :meth:`~sk_center.OpenSetClassifier.add_classes` made a second group
        under "marginal". The table then has a row for each group, in place of one for all.

    overall_allowed, overall_kept : float
        The rates over all calibration samples, of both groups together.

    See Also
    --------
    sk_center.OpenSetClassifier : Keeps it as ``calibration_report_``.
    sk_center.FalseRejectionDisplay : Draws the rates of test samples.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sk_center import OpenSetClassifier
    >>> X, y = load_wine(return_X_y=True)
    >>> model = OpenSetClassifier(GaussianNB(), cv=5, random_state=0).fit(X, y)
    >>> model.calibration_report_.n_samples.tolist()
    [59, 71, 48]
    >>> float(round(model.calibration_report_.overall_kept, 3))
    0.045
    """

    _saved_state = {
        "guarantee": one_of(*GUARANTEES),
        "classes": labels,
        "n_samples": bounded(array("i", "K"), 0),
        "rate_allowed": bounded(array("f", "K"), 0, 1),
        "rate_kept": array("f", "K"),
        "score_threshold": bounded(array("f", "K")),
        "rejects": array("b", "K"),
        "added": array("b", "K"),
        "overall_allowed": number,
        "overall_kept": number,
    }

    guarantee: str
    classes: NDArray[Any]
    n_samples: NDArray[np.intp]
    rate_allowed: NDArray[np.float64]
    rate_kept: NDArray[np.float64]
    score_threshold: NDArray[np.float64]
    rejects: NDArray[np.bool_]
    added: NDArray[np.bool_]
    overall_allowed: float
    overall_kept: float

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas view, one row per class.

        Returns
        -------
        frame : pandas.DataFrame
            The columns ``n_samples``, ``rate_allowed``, ``rate_kept``, ``score_threshold``
            and ``rejects``.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        names = ("n_samples", "rate_allowed", "rate_kept", "score_threshold", "rejects")
        return frame_of({name: getattr(self, name) for name in names}, self.classes)

    def _rows(self):
        """The cells of a table, first the row of all classes, or of each group."""
        n, kept = self.n_samples, np.nan_to_num(self.rate_kept)
        total = [("all", n.sum(), self.overall_allowed, self.overall_kept)]
        if self.added.any():
            total = [
                (
                    name,
                    n[some].sum(),
                    self.rate_allowed[some].mean(),
                    (n * kept)[some].sum() / max(n[some].sum(), 1),
                )
                for name, some in (("all former", ~self.added), ("all added", self.added))
            ]
        total = [
            [name, str(count), _percent(allowed), _percent(rate), ""]
            for name, count, allowed, rate in total
        ]
        order = np.argsort(-kept, kind="stable")[:SHOWN]
        names = self.classes.tolist()
        return total + [
            [
                repr(names[k]),
                str(self.n_samples[k]),
                _percent(self.rate_allowed[k]),
                _percent(self.rate_kept[k]),
                f"{self.score_threshold[k]:.4g}" if self.rejects[k] else "rejects nothing",
            ]
            for k in order
        ]

    def __repr__(self):
        rows = [HEAD, *self._rows()]
        widths = [max(map(len, column)) for column in zip(*rows)]
        lines = [
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths)).rstrip()
            for row in rows
        ]
        more = len(self.classes) - SHOWN
        lines += [f"and {more} classes that lose no more"] if more > 0 else []
        return "\n".join([f"False rejections, guarantee={self.guarantee!r}", *lines])

    def _repr_html_(self):
        head = "".join(f"<th>{name}</th>" for name in HEAD)
        rows = "".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
            for row in self._rows()
        )
        return (
            f"<table><caption>False rejections, guarantee={self.guarantee!r}</caption>"
            f"<tr>{head}</tr>{rows}</table>"
        )


def rejected_by_others(
    calibration: BaseCalibration,
    scores: NDArray[np.float64],
    groups: NDArray[np.intp],
    rates: NDArray[np.float64],
    confidence: float | None,
) -> NDArray[np.bool_]:
    """Return which calibration samples are rejected when the others calibrate."""
    if not isinstance(calibration, ConformalCalibration):
        return calibration.p_values(scores, groups) <= calibration.thresholds_[groups]
    ranks = np.array(
        [
            rejected_ranks(n - 1, rate, confidence) if n else 0
            for n, rate in zip(calibration.n_samples_, rates)
        ]
    )
    # The sample itself is among those that score no higher.
    number = calibration._number_below(scores, groups)
    return number <= ranks[groups]


def _percent(rate):
    """Return a rate as text, a dash where there are no samples."""
    return "-" if np.isnan(rate) else f"{100 * rate:.3g} %"


def concerns_of(
    report: CalibrationReport,
    calibrated: Calibrated,
    far: float | None,
    confidence: float | None,
    score: Any,
) -> list[str]:
    """Return the warnings about the thresholds, each with a remedy."""
    found = []
    some = report.rate_allowed > 0
    stuck = some & ~report.rejects & (report.n_samples > 0)
    name = type(score).__name__
    if stuck.any():
        found.append(
            f"No sample of {_named(report.classes[stuck])} is rejected, because "
            f"conformity_score={name} gives minus infinity to more calibration samples "
            "than false_rejection_rate allows; use a score without a limited range, such "
            "as 'auto'."
        )
    if far is not None and far > 0.5 and not stuck.all():
        found.append(
            f"Samples far from all training samples are accepted: conformity_score={name} "
            "does not notice them, or outlying calibration samples set the threshold. Use "
            "conformity_score='auto', and look for outlying or repeated samples."
        )
    n = report.n_samples.sum()
    rejected = round(report.overall_kept * n)
    allowed = report.overall_allowed
    too_few = binom.cdf(rejected, n, allowed) < SIGNIFICANCE and confidence is None
    if some.any() and too_few and report.overall_kept < allowed / 2:
        helps = (
            "guarantee='marginal' uses the whole rate."
            if report.guarantee == "class"
            else "many calibration scores are equal; use a score with finer values."
        )
        found.append(
            f"Only {100 * report.overall_kept:.2g} % of the calibration samples are "
            f"rejected where {100 * allowed:.2g} % are allowed, so few outsiders will be: "
            f"{helps}"
        )
    accepted = None
    if all(part.per_class for part in getattr(score, "scores_", [score])):
        accepted = accepted_elsewhere(calibrated, report.score_threshold)
    if some.any() and not stuck.any() and accepted is not None and accepted > NEARLY_ALL:
        found.append(
            f"Hardly any outsider will be rejected: {100 * accepted:.0f} % of the "
            "calibration samples would be accepted as another class if their own were "
            "unknown. Look for wrong labels and outlying samples, or use another "
            "conformity_score."
        )
    if report.guarantee != "class":
        counts = np.nan_to_num(report.rate_kept * report.n_samples).round()
        chance = binom.sf(counts - 1, report.n_samples, report.rate_allowed)
        losing = some & (chance < SIGNIFICANCE / len(report.classes))
        if losing.any():
            rates = ", ".join(f"{100 * r:.0f} %" for r in report.rate_kept[losing][:5])
            found.append(
                f"More calibration samples of {_named(report.classes[losing])} are "
                f"rejected ({rates}) than the {100 * allowed:.3g} % that are allowed over "
                "all; guarantee='class' bounds the rate of each class, and rejects fewer "
                "outsiders."
            )
    return found


def accepted_elsewhere(
    calibrated: Calibrated, thresholds: NDArray[np.float64]
) -> float | None:
    """Return the share of samples that other classes than their own accept.

    None if the score is the same for all classes, or scores of other classes are unknown.
    """
    others = calibrated.by_class.copy()
    y = calibrated.y[calibrated.compared]
    others[np.arange(len(y)), y] = np.nan
    known = ~np.isnan(others).all(axis=1)
    differs = np.nanmax(calibrated.by_class[known], axis=1, initial=-np.inf) > np.nanmin(
        calibrated.by_class[known], axis=1, initial=np.inf
    )
    if not differs.any():
        return None
    with np.errstate(invalid="ignore"):
        return float((others[known][differs] >= thresholds).any(axis=1).mean())


def _named(classes):
    names = shortened([repr(label) for label in classes.tolist()], limit=5)
    return f"the class {names}" if len(classes) == 1 else f"the classes {names}"
