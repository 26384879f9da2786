"""Which classes are in the prediction set of an accepted sample beside its label.

The support of a class that is not predicted is the logarithm of its probability, else the
difference of its logit, or its score, from that of the predicted class.
Calibration samples whose class is the predicted one have infinite support, since the label
is in every set. Under the guarantee "class", or after classes were added under "predicted",
the p-value of each class replaces support.

Where former and added classes are two groups, the former ones have the set that they had,
if they accept the sample. An added class joins it where its score is not much less than
that of the label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sk_center._utils.nested import last_step
from sk_center.calibration.conformal import rejected_ranks
from sk_center.open_set.outputs import gives_logits

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from sk_center.scores import BaseScore

SET_PARTS = ("probabilities", "logits", "scores", "p_values")


def part_of_sets(estimator: Any, needs: Collection[str]) -> str:
    """Return the part by which sets are decided; the score may need it as well."""
    for part in ("probabilities", "logits"):
        if part in needs:
            return part
    last, _ = last_step(estimator, searches=True)
    if hasattr(last, "predict_proba"):
        return "probabilities"
    return "logits" if gives_logits(last) else "scores"


def parts_needed(score: BaseScore, set_part: str) -> list[str]:
    """Return the parts that the score and the prediction sets need."""
    given = [] if set_part in ("scores", "p_values") else [set_part]
    return [*dict.fromkeys([*score.needs, *given])]


def support_of(part: str, values: NDArray[Any], index: NDArray[np.intp]) -> NDArray[Any]:
    """Return the support of each class, beside the predicted one by index."""
    if part == "probabilities":
        with np.errstate(divide="ignore"):
            return np.log(values)
    predicted = values[np.arange(len(index)), index, None]
    with np.errstate(invalid="ignore"):
        support = values - predicted
    # Infinite scores have no difference.
    return np.where(np.isnan(support), 0.0, support)


def own_support(
    part: str, values: NDArray[Any], index: NDArray[np.intp], own: NDArray[np.intp]
) -> NDArray[Any]:
    """Return the support of one class of each sample, by index."""
    return support_of(part, values, index)[np.arange(len(own)), own]


def rounding_of(
    part: str, values: NDArray[Any], support: NDArray[Any]
) -> NDArray[np.float64]:
    """Return how far rounding moves the support of one class per sample, at least."""
    size = np.abs(np.where(np.isfinite(support), support, 0.0)) + 1
    if part == "logits":
        size = size + np.abs(values).max(axis=1)
    return np.finfo(values.dtype).eps * size


def support_thresholds(
    support: NDArray[np.float64],
    accepted: NDArray[np.bool_],
    groups: NDArray[np.intp],
    rates: NDArray[np.float64],
    confidence: float | None,
) -> NDArray[np.float64]:
    """Return for each group the smallest support of a class in the set.

    With n calibration samples in the group it is the m-th smallest support of the true
    class of an accepted one, m = floor(rate * (n + 1)).
    """
    thresholds = np.full(len(rates), -np.inf)
    for group, rate in enumerate(rates):
        inside = groups == group
        rank = rejected_ranks(int(inside.sum()), rate, confidence)
        ordered = np.sort(support[inside & accepted])
        if rank:
            thresholds[group] = ordered[rank - 1] if rank <= len(ordered) else np.inf
    return thresholds


def sets_of(
    support: NDArray[Any],
    thresholds: NDArray[np.float64],
    index: NDArray[np.intp],
    rejected: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Return the prediction sets: empty if rejected, else the label and its rivals."""
    sets = support >= thresholds
    sets[np.arange(len(index)), index] = True
    sets[rejected] = False
    return sets


def sets_with_added(
    part: str,
    values: NDArray[Any],
    scores: NDArray[Any],
    thresholds: NDArray[np.float64],
    predicted: NDArray[np.intp],
    index: NDArray[np.intp],
    accepted: NDArray[np.bool_],
    former: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Return the prediction sets where former and added classes are two groups.

    ``accepted`` says for each sample which classes accept it, ``former`` which are former.
    """
    rows = np.arange(len(index))
    # The class among the former ones alone, and where these accept the sample.
    first = np.where(former, scores, -np.inf).argmax(axis=1)
    first = np.where(former[predicted], predicted, first)
    accepts = accepted[:, former].any(axis=1)
    # A score that is the same for both says nothing of the former class.
    accepts &= former[index] | (scores[rows, first] != scores[rows, index])
    if part == "probabilities":
        total = np.where(former, values, 0).sum(axis=1, keepdims=True)
        values = values / np.where(total > 0, total, 1)
    support = support_of(part, values, first) >= thresholds[first, None]
    support[rows, first] = True
    margin = support_of("scores", scores, index) >= thresholds
    joins = np.where(former, support & accepts[:, None], margin)
    return sets_of(joins, np.ones(1), index, np.logical_not(accepted.any(axis=1)))


def margin_threshold(
    margins: NDArray[np.float64],
    accepted: NDArray[np.bool_],
    rate: float,
    confidence: float | None,
) -> float:
    """Return how much less an added class may score than the label to be in the set.

    Where the samples are too few for the rate, the lowest of them tells.
    """
    groups = np.zeros(len(margins), dtype=np.intp)
    rule = margins, accepted, groups, np.array([rate]), confidence
    (threshold,) = support_thresholds(*rule)
    if rate and np.isneginf(threshold):
        return float(margins[accepted].min(initial=np.inf))
    return float(threshold)
