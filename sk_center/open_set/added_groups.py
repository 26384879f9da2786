"""Calibration samples of added classes, as groups beside those of the former classes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sk_center._utils.labels import shortened
from sk_center._utils.user_warning import warn_user
from sk_center.calibration import ConformalCalibration
from sk_center.calibration.conformal import rejected_ranks
from sk_center.calibration.groups import rates_of_groups
from sk_center.open_set.decision import FORMER, decide_between, evidence_of
from sk_center.open_set.sets import margin_threshold

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sk_center.open_set.fitted_part import Calibrated

# Evidence is the difference of two scores that rise and fall together: it lies this share
# as far around its median as scores do.
NARROWER = 0.7


def against_former(
    model: Any, found: Calibrated, kept: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Return which classes share the group that samples of added classes calibrate."""
    counts = np.bincount(found.y, minlength=len(kept))
    return np.where(kept < 0, counts > 0, model._against_former[np.maximum(kept, 0)])


def compared_with_former(
    model: Any, found: Calibrated, kept: NDArray[np.intp]
) -> Calibrated:
    """Return calibration samples of added classes with evidence in place of scores.

    That is the largest one of the added classes, whatever class is predicted.
    """
    against, new = against_former(model, found, kept), len(model.calibration_.n_samples_)
    groups = np.where(kept < 0, new, model.groups_[np.maximum(kept, 0)])
    by_class = evidence_of(found.by_class, model.calibration_, groups, against)
    scores = np.where(against, by_class, -np.inf).max(axis=1)
    return replace(found, predicted=found.y, scores=scores, by_class=by_class)


def margin_of_added(model: Any, found: Calibrated, rate: float) -> float:
    """Return the threshold of added classes in prediction sets, by their samples."""
    rule = model.calibration_, model.groups_, model.thresholds_, model._against_former
    _, rejected, index, _ = decide_between(found.by_class, found.predicted, *rule)
    label = found.by_class[np.arange(len(index)), index]
    margins = found.own - label - found.tolerance(found.own) - found.tolerance(label)
    margins = np.where(index == found.y, np.inf, np.nan_to_num(margins, nan=0.0))
    rate = rate if model.error_rate is None else model.error_rate
    return margin_threshold(margins, ~rejected, float(rate), model.confidence)


class Added(NamedTuple):
    """How added classes are calibrated."""

    groups: list[tuple[NDArray[np.float64], NDArray[np.bool_]]]  # samples, which classes
    lone: NDArray[np.bool_]  # classes without samples
    shared: NDArray[np.bool_]  # classes that share a group
    n_few: int  # samples of that group where these are too few, else 0


def add_groups(
    model: Any,
    found: Calibrated,
    kept: NDArray[np.intp],
    rates: NDArray[np.float64],
    needed: NDArray[np.intp],
    held_out: bool,
) -> None:
    """Add the groups of added classes to the calibrations of a model.

    The samples that calibrate are grouped, filled up unless they were held out, and join
    the former groups.
    """
    added = grouped(model, *calibrating(model, found), kept, needed)
    groups, marginal = added.groups, model.guarantee == "marginal"
    former = model.calibration_._samples()
    borrowed = former[:1] if marginal else former
    is_conformal = isinstance(model.calibration_, ConformalCalibration)
    if is_conformal and model.confidence is None and not held_out:
        spread = NARROWER if marginal else 1.0
        groups = [
            (filled(part, borrowed, rates[own].min(), spread), own) for part, own in groups
        ]
    if added.lone.any():
        groups = [*groups, (np.concatenate(borrowed), added.lone)]
    join_groups(model, groups, kept, rates)
    if model.guarantee == "class":
        model.class_calibration_ = model.calibration_
    else:
        join_classes(model, found, kept, rates)
    if marginal:
        model._against_former = against_former(model, found, kept) & ~added.lone
    else:
        model._against_former = np.zeros(len(kept), dtype=np.bool_)
    warn_of_few(model.classes_, added, needed.max())


def calibrating(
    model: Any, found: Calibrated
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return the samples that calibrate added classes, and the class of each."""
    scores = found.own if model.guarantee == "class" else found.scores
    if model.guarantee == "marginal":  # evidence is made of two scores
        tolerance = (1 + FORMER) * found.tolerance(found.own)
    else:
        tolerance = found.tolerance(scores)
    class_ = found.predicted if model.guarantee == "predicted" else found.y
    return samples_of(scores, tolerance), class_


def grouped(
    model: Any,
    samples: NDArray[np.float64],
    class_: NDArray[np.intp],
    kept: NDArray[np.intp],
    needed: NDArray[np.intp],
) -> Added:
    """Return the groups of added classes: their own, or one that several share."""
    counts, new = np.bincount(class_, minlength=len(kept)), kept < 0
    alone = new & (counts >= needed) & (model.guarantee != "marginal")
    shared, lone = new & (counts > 0) & ~alone, new & (counts == 0)
    pooled = samples[shared[class_]]
    n_pooled = len(pooled)
    earlier = model._against_former[np.maximum(kept, 0)] & ~new
    if shared.any() and earlier.any():  # under "marginal" they share a group with these
        group = model.groups_[kept[earlier][0]]
        pooled = np.concatenate([model.calibration_._samples()[group], pooled])
        n_pooled += model.calibration_report_.n_samples[kept[earlier]].sum()
        shared |= earlier
    few = bool(shared.any()) and n_pooled < needed[shared].max()
    if few and model.confidence is not None:  # which takes samples of its own
        shared, lone, few = shared & ~new, lone | (shared & new), False
    classes = np.arange(len(kept))
    groups = [(samples[class_ == k], classes == k) for k in np.flatnonzero(alone)]
    groups += [(pooled, shared)] * bool(shared[new].any())
    return Added(groups, lone, shared & new, n_pooled if few else 0)


def join_groups(
    model: Any,
    further: list[tuple[NDArray[np.float64], NDArray[np.bool_]]],
    kept: NDArray[np.intp],
    rates: NDArray[np.float64],
) -> None:
    """Set the calibration of a model with further groups, and the group of each class."""
    calibration = model.calibration_
    groups = np.where(kept < 0, 0, model.groups_[np.maximum(kept, 0)])
    for part, own in further:
        groups[own] = len(calibration.n_samples_)
        rate = rates_of_groups(np.zeros(own.sum(), dtype=np.intp), rates[own])[0]
        calibration = calibration.with_groups([part], [rate], model.confidence)
    used, model.groups_ = np.unique(groups, return_inverse=True)
    model.calibration_ = calibration.take(used)


def join_classes(
    model: Any, found: Calibrated, kept: NDArray[np.intp], rates: NDArray[np.float64]
) -> None:
    """Set the calibration by class of a model, with the scores of added classes."""
    samples = samples_of(found.own, found.tolerance(found.own))
    calibration, new = model.class_calibration_, np.flatnonzero(kept < 0)
    order = kept.copy()
    order[new] = len(calibration.n_samples_) + np.arange(len(new))
    model.class_calibration_ = calibration.with_groups(
        [samples[found.y == k] for k in new], rates[new].tolist()
    ).take(order)


def filled(
    samples: NDArray[np.float64],
    former: list[NDArray[np.float64]],
    rate: float,
    spread: float,
) -> NDArray[np.float64]:
    """Return calibration samples and others that lie around their median as former ones do.

    These make them as many as the next number of which the rate is a whole one more.
    """
    finite = [part[np.isfinite(part[:, 0]), 0] for part in former]
    around = [part - np.median(part) for part in finite if len(part)]
    if not rate or not around:
        return samples
    total = len(samples)
    while rejected_ranks(total, rate) == rejected_ranks(total - 1, rate):
        total += 1
    share = np.arange(1, total - len(samples) + 1) / (total - len(samples) + 1)
    further = np.median(samples[:, 0]) + spread * np.quantile(np.concatenate(around), share)
    tolerance = np.full(len(share), samples[:, 1].max())
    return np.concatenate([samples, samples_of(further + tolerance, tolerance)])


def samples_of(
    scores: NDArray[np.float64], tolerance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return calibration samples in the form that ``with_groups`` takes."""
    return np.column_stack([scores - tolerance, tolerance])


def warn_of_few(classes: NDArray[Any], added: Added, needed: int) -> None:
    """Warn once of added classes whose bound has too few samples."""

    def named(some):
        return shortened([repr(label) for label in classes[some].tolist()])

    said = []
    if added.n_few:
        said.append(
            f"The added classes [{named(added.shared)}] have {added.n_few} calibration "
            f"samples together, where the bound takes {needed}: it holds as far as their "
            "scores vary as former ones do, and more outsiders are accepted."
        )
    if added.lone.any() and needed:
        said.append(
            f"The added classes [{named(added.lone)}] have too few samples to calibrate "
            "with, and are compared with the former calibration samples: nothing bounds "
            "how often their samples are rejected."
        )
    if said:
        said.append("Give more samples, or call recalibrate when there are some.")
        warn_user(" ".join(said))
