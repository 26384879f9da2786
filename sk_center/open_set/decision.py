"""From scores to decisions: pure functions of scores, predicted classes and thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sk_center.calibration import GaussianCalibration

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sk_center.calibration.base import BaseCalibration

GUARANTEES = ("marginal", "predicted", "class")
# What the best former score counts against an added class, and how far below its threshold,
# in distances of that from the median; and in the same, what more an added class scores if
# the estimator predicts one.
FORMER, REACH, LEAD = 0.5, 2, 0.25


@dataclass(frozen=True, eq=False)
class Decision:
    """Decisions about samples, from one pass through the model.

    It is made by :meth:`OpenSetClassifier.judge <sk_center.OpenSetClassifier.judge>`.

    Parameters
    ----------
    labels : ndarray of shape (n_samples,)
        Labels as returned by ``predict``: known classes, the outlier label, or the label of
        ambiguous samples.

    predicted : ndarray of shape (n_samples,)
        Predictions of the estimator alone, which never rejects.

    rejected : ndarray of shape (n_samples,), bool
        Whether each sample is rejected, as ``is_outlier`` returns it.

    p_known : ndarray of shape (n_samples,), float64
        The p-value of "this is a known sample".

    scores : ndarray of shape (n_samples,)
        Score for the predicted class, as ``score_samples`` returns it.

    ambiguous : ndarray of shape (n_samples,), bool, default=None
        Accepted samples that are withheld, since their prediction set holds several
        classes; None if ``ambiguous="keep"``.

    See Also
    --------
    sk_center.Explanation : The same for one sample, with its prediction set.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sk_center import OpenSetClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = OpenSetClassifier(
    ...     LogisticRegression(max_iter=500), conformity_score="mahalanobis", cv=5
    ... ).fit(X, y)
    >>> decision = model.judge([[5.0, 3.4, 1.5, 0.2], [5.0, 3.4, 3.0, 0.2]])
    >>> decision
    <Decision: 2 samples, 1 rejected, 0 ambiguous>
    >>> decision.labels, decision.predicted, decision.rejected
    (array([ 0, -1]), array([0, 0]), array([False,  True]))
    """

    labels: NDArray[Any]
    predicted: NDArray[Any]
    rejected: NDArray[np.bool_]
    p_known: NDArray[np.float64]
    scores: NDArray[np.floating[Any]]
    ambiguous: NDArray[np.bool_] | None = None

    def __repr__(self) -> str:
        ambiguous = 0 if self.ambiguous is None else self.ambiguous.sum()
        return (
            f"<Decision: {len(self.labels)} samples, {self.rejected.sum()} rejected, "
            f"{ambiguous} ambiguous>"
        )


def decide(
    scores: NDArray[Any],
    predicted: NDArray[np.intp],
    calibration: BaseCalibration,
    groups: NDArray[np.intp],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the p-value of being known, and which samples it rejects.

    A sample is compared with the calibration samples in the group of its predicted class; a
    single group gives the marginal guarantee.
    """
    if len(calibration.n_samples_) == 1:
        p_known = calibration.p_values(scores)
        return p_known, p_known <= calibration.thresholds_[0]
    own = groups[predicted]
    p_known = calibration.p_values(scores, own)
    return p_known, p_known <= calibration.thresholds_[own]


def evidence_of(
    scores: NDArray[Any],
    calibration: BaseCalibration,
    groups: NDArray[np.intp],
    against: NDArray[np.bool_],
) -> NDArray[Any]:
    """Return the scores, of some classes less a share of the best former score.

    The features were made to tell the former classes apart, and outsiders are as typical
    of an added class as its samples often are; but they are more often like a former class.
    Former scores count down to a floor: far from everything no sample may gain.
    """
    rule = former_rule(calibration, against)
    if rule is None:
        return scores
    share, floor = rule
    best = np.where(groups == 0, scores, -np.inf).max(axis=1, keepdims=True)
    return np.where(against, scores - share * np.maximum(best, floor), scores)


def former_rule(
    calibration: BaseCalibration, against: NDArray[np.bool_]
) -> tuple[float, float] | None:
    """Return what share former scores count, and their floor; None where they do not."""
    if isinstance(calibration, GaussianCalibration) or not against.any():
        return None  # a distribution of distances is none of differences
    spread = former_spread(calibration)
    if spread is None:
        return None
    return FORMER, float(calibration.score_thresholds_[0] - REACH * spread)


def former_spread(calibration: BaseCalibration) -> float | None:
    """Return how far the threshold lies below the median, None where that is infinite."""
    median = calibration.scores_[calibration.n_samples_[0] // 2]
    threshold = calibration.score_thresholds_[0]
    if not (np.isfinite(median) and np.isfinite(threshold)):
        return None
    return float(median - threshold)


def lead_of(calibration: BaseCalibration) -> float:
    """Return what more an added class scores if the estimator predicts one."""
    return LEAD * (former_spread(calibration) or 0.0)


def decide_between(
    scores: NDArray[Any],
    predicted: NDArray[np.intp],
    calibration: BaseCalibration,
    groups: NDArray[np.intp],
    thresholds: NDArray[np.float64],
    against: NDArray[np.bool_],
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.intp], NDArray[np.bool_]]:
    """Return what ``decide`` does for former and added classes, and the class of samples.

    Also return which classes accept a sample, where only one former class is asked if that
    is predicted.

    Every group must reject a sample, the former classes as if there were no others. Else
    its class is the accepting one of the largest score, among equal ones the predicted one.
    If the estimator predicts an added class, added ones have a lead: a former class has
    more samples, one of which is near by chance.
    """
    rows, former = np.arange(len(predicted)), groups == 0
    p_values = calibration.p_values(
        evidence_of(scores, calibration, groups, against), groups
    )
    # The predicted class stands for the former ones where it is one of them.
    others = former[predicted][:, None] & former
    others[rows, predicted] = False
    p_values = np.where(others, 0.0, p_values)
    accepted = p_values > thresholds
    lead = lead_of(calibration)
    led = scores + lead * (~former[predicted][:, None] & ~former)
    ranking = np.where(accepted, np.maximum(led, np.finfo(np.float64).min), -np.inf)
    index = ranking.argmax(axis=1)
    index = np.where(ranking[rows, predicted] >= ranking[rows, index], predicted, index)
    return p_values.max(axis=1), np.logical_not(accepted.any(axis=1)), index, accepted


def decide_by_class(
    p_values: NDArray[np.float64],
    scores: NDArray[Any],
    predicted: NDArray[np.intp],
    thresholds: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.intp]]:
    """Return the same as ``decide`` if every class decides, and the class of each sample.

    A sample is rejected when every class rejects it. Its class is the predicted one if that
    accepts it, else the accepting class with the largest p-value, and among equal ones with
    the largest score.
    """
    accepted = p_values > thresholds
    rejected = np.logical_not(accepted.any(axis=1))
    index = predicted.copy()
    others = np.flatnonzero(~rejected & ~accepted[np.arange(len(index)), predicted])
    if len(others):
        p, s = np.where(accepted[others], p_values[others], -1.0), scores[others]
        largest = p == p.max(axis=1, keepdims=True)
        index[others] = np.where(largest, s, -np.inf).argmax(axis=1)
    return p_values.max(axis=1), rejected, index


def all_answers(
    classes: NDArray[Any], outlier_label: Any, ambiguous_label: Any
) -> NDArray[Any]:
    """Return the classes, then the outlier label and that of ambiguous samples, if any."""
    answers = answers_of(classes, outlier_label)
    if ambiguous_label is None:
        return answers
    return answers_of(answers, ambiguous_label, "ambiguous")


def answers_of(
    classes: NDArray[Any], given: Any, name: str = "outlier_label"
) -> NDArray[Any]:
    """Return the classes, followed by another label, in a dtype that holds all exactly."""
    label = np.asarray(given)
    kind = label.dtype if label.dtype.kind in "US" else np.min_scalar_type(label)
    if kind.kind == "O":  # an integer beyond all dtypes
        kind = np.dtype(np.float64)
    if classes.dtype.kind != "b":  # booleans have no other label of their kind
        wider = np.result_type(classes.dtype, kind)
        for dtype in (classes.dtype, wider, np.int64, np.float64):
            try:
                with np.errstate(invalid="ignore"):  # infinity is not an integer
                    answers = np.append(classes.astype(dtype), label.astype(dtype))
            except OverflowError:
                continue
            # As Python numbers, which compare exactly.
            if answers.tolist() == [*classes.tolist(), label.item()]:
                return answers
    if classes.dtype.kind in "iuf":
        raise ValueError(
            f"{name}={given!r} and the classes, {classes.dtype} such as "
            f"{classes[-1].item()!r}, have no dtype in common that holds both exactly; "
            f"give {name} in the classes' dtype, or classes as strings."
        )
    answers = np.empty(len(classes) + 1, dtype=object)
    answers[:-1], answers[-1] = classes, given
    return answers
