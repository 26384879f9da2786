"""Fit estimator and score on one part of the samples, and score the calibration samples."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from sk_center._utils.callbacks import Task
from sk_center._utils.compat import check_method_params, num_samples
from sk_center._utils.samples import naming_text
from sk_center.open_set.outputs import outputs_of, rows_of
from sk_center.open_set.scoring import (
    BLOCK_NUMBERS,
    LEARNT_NUMBERS,
    blocks_of,
    score_of,
    score_outputs,
)
from sk_center.open_set.sets import own_support, part_of_sets, parts_needed, rounding_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sk_center.scores import BaseScore

# Number of calibration samples on which rounding is measured, how many of them are scored
# alone, by which factor a difference must exceed rounding, and how many samples on each
# side measure it, since it depends on the size of the score.
ROUNDING_SAMPLES, ROUNDING_ALONE, ROUNDING_FACTOR, ROUNDING_REACH = 16, 3, 16, 2
# The most calibration samples that are scored for all classes.
MOST_COMPARED = 1000


@dataclass(frozen=True, eq=False)
class Calibrated:
    """Scores and predictions of calibration samples, one entry per sample.

    Parameters
    ----------
    y, predicted : ndarray of shape (n_samples,), int
        Index of the class, and of the class that the estimator predicts.

    own, scores : ndarray of shape (n_samples,), float64
        Score for the class, and for the predicted class.

    compared, by_class : ndarray of shape (n_compared,), (n_compared, n_classes)
        The samples that were scored for all classes, and these scores; NaN for a class that
        the score does not know.

    nudged, batched : ndarray of shape (n, 2), float64
        Scores of some samples, and how much they differ when the last digit of the outputs
        of the estimator differs, and when samples come in other batches.

    support : ndarray of shape (n_samples,), float64
        Support of the class relative to the predicted one, less possible rounding; infinite
        if it is the predicted one. See :mod:`sk_center.open_set.sets`.
    """

    y: NDArray[np.intp]
    predicted: NDArray[np.intp]
    own: NDArray[np.float64]
    scores: NDArray[np.float64]
    compared: NDArray[np.intp]
    by_class: NDArray[np.float64]
    nudged: NDArray[np.float64]
    batched: NDArray[np.float64]
    support: NDArray[np.float64]

    def tolerance(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return for each score the largest difference that counts as rounding."""
        size = np.abs(np.where(np.isfinite(scores), scores, 0.0))
        seen = np.maximum(
            largest_near(scores, *self.nudged.T), largest_near(scores, *self.batched.T)
        )
        # Equal rows may all give equal scores if few are measured, and differ otherwise.
        changed = self.batched[self.batched[:, 1] > 0, 1]
        seen = np.maximum(seen, np.median(changed)) if len(changed) else seen
        return ROUNDING_FACTOR * (seen + np.finfo(np.float64).eps * size)


def joined(parts: list[Calibrated], n_classes: int) -> Calibrated:
    """Return the calibration samples of all splits together."""
    no_index, no_score = np.zeros(0, dtype=np.intp), np.zeros(0)
    none = (no_index, no_index, no_score, no_score, no_index, np.zeros((0, n_classes)))
    parts = [Calibrated(*none, np.zeros((0, 2)), np.zeros((0, 2)), no_score), *parts]
    starts = np.cumsum([0, *(len(part.y) for part in parts)])[:-1]
    names = ("y", "predicted", "own", "scores", "by_class", "nudged", "batched", "support")
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in names
    }
    compared = [part.compared + start for part, start in zip(parts, starts)]
    return Calibrated(compared=np.concatenate(compared), **arrays)


def limited(found: Calibrated, model: Any, X: Any, y: NDArray[np.intp]) -> Calibrated:
    """Return scores by models of folds that are no higher than those by the final model.

    Samples score higher with a model that learned from them, unless it scores everything
    lower than the models of folds did. Where many samples are equal, as where all columns
    are categories, a threshold in between would reject all of them.
    """
    by_class, scores = model.guarantee == "class", np.empty(len(y))
    estimator, score, classes = model.estimator_, model.score_, model.classes_
    needed = ["labels", *score.needs]
    for rows, outputs in blocks_of(estimator, X, needed, len(classes)):
        predicted = np.searchsorted(classes, outputs["labels"])
        scores[rows] = score_outputs(score, outputs, y[rows] if by_class else predicted)
    if by_class:
        return replace(found, own=lowered(found.own, scores))
    return replace(found, scores=lowered(found.scores, scores))


def lowered(
    scores: NDArray[np.float64], others: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return scores of which the i-th lowest is at most the i-th lowest of others."""
    order, found = np.argsort(scores, kind="stable"), np.empty(len(scores))
    found[order] = np.fmin(scores[order], np.sort(others)[: len(scores)])
    return found


def seeded_clone(estimator: Any, random_state: Any, rng: np.random.RandomState) -> Any:
    """Return a clone to fit, with seeds for what has none if ``random_state`` is given."""
    estimator = clone(estimator)
    if random_state is None:
        return estimator
    seeds = {
        name: rng.randint(np.iinfo(np.int32).max)
        for name, value in sorted(estimator.get_params().items())
        if value is None and name.split("__")[-1] == "random_state"
    }
    estimator.set_params(**seeds)  # returns None if the estimator is frozen
    return estimator


def fit_part(
    model: Any,
    context: Any,
    estimator: Any,
    conformity_score: Any,
    X: Any,
    labels: NDArray[Any],
    y: NDArray[np.intp],
    classes: NDArray[Any],
    train: NDArray[np.intp],
    test: NDArray[np.intp] | None,
    negatives: NDArray[np.intp],
    params: dict[str, Any],
) -> tuple[Any, BaseScore, Calibrated | None]:
    """Return estimator and score fitted on some rows, and the scores of the others.

    The estimator also trains on the negatives.
    """
    rows = np.union1d(train, negatives)
    part = rows_of(X, rows)
    params = check_method_params(X, params, indices=rows)
    is_frozen = isinstance(estimator, FrozenEstimator)
    task = Task(context, model, part, labels[rows], params.get("sample_weight"))
    with task.around(None if is_frozen else estimator), naming_text(part):
        estimator.fit(part, labels[rows], **params)
    trained = np.arange(len(classes)) if is_frozen else np.unique(y[train])
    known = getattr(estimator, "classes_", classes[trained])
    if not np.array_equal(known, classes[trained]):
        raise ValueError(
            f"The estimator knows the classes {list(known)}, but y holds "
            f"{classes[trained].tolist()}."
        )
    part = rows_of(X, train) if len(negatives) else part
    score = score_of(conformity_score, estimator, part)
    fit_score(score, estimator, part, np.searchsorted(trained, y[train]), len(trained))
    if test is None:
        return estimator, score, None
    test = test[np.isin(y[test], trained)]
    if not len(test):
        return estimator, score, None
    part = rows_of(X, test)
    return estimator, score, calibrate(estimator, score, part, y[test], trained, classes)


def fit_score(
    score: BaseScore, estimator: Any, X: Any, y: NDArray[np.intp], n_classes: int
) -> None:
    """Fit the score on the outputs of the estimator for its training samples.

    Outputs with a number for each class are limited to some samples, to save memory.
    """
    if {"logits", "probabilities"} & {*score.needs}:
        most = max(LEARNT_NUMBERS // n_classes, 1)
        if num_samples(X) > most:
            # Evenly spaced samples, class by class.
            order = np.argsort(y, kind="stable")
            rows = np.sort(order[np.linspace(0, len(y) - 1, most).astype(np.intp)])
            X, y = rows_of(X, rows), y[rows]
    outputs = outputs_of(estimator, X, score.needs)
    parts = {name: outputs[name] for name in score.needs}
    score.fit(parts, y, classes=np.arange(n_classes))


def calibrate(
    estimator: Any,
    score: BaseScore,
    X: Any,
    y: NDArray[np.intp],
    trained: NDArray[np.intp],
    classes: NDArray[Any],
    compare_all: bool = False,
) -> Calibrated:
    """Return the outputs and scores of calibration samples."""
    n_samples, n_trained = len(y), len(trained)
    own_index = np.searchsorted(trained, y)
    predicted = np.empty(n_samples, dtype=np.intp)
    own, scores = np.empty(n_samples), np.empty(n_samples)
    n_compared = min(n_samples, MOST_COMPARED, max(BLOCK_NUMBERS // n_trained, 1))
    n_compared = n_samples if compare_all else n_compared
    compared = np.linspace(0, n_samples - 1, n_compared).astype(np.intp)
    by_class = np.full((n_compared, len(classes)), np.nan)
    differs = np.zeros(n_compared)
    support, rounding = np.zeros(n_samples), np.zeros(n_samples)
    set_part = part_of_sets(estimator, score.needs)
    needed = parts_needed(score, set_part)
    for rows, outputs in blocks_of(estimator, X, ["labels", *needed], n_trained):
        index = np.searchsorted(classes[trained], outputs["labels"])
        predicted[rows] = trained[index]
        scores[rows] = score_outputs(score, outputs, index)
        own[rows] = score_outputs(score, outputs, own_index[rows])
        if set_part != "scores":
            values = outputs[set_part]
            support[rows] = own_support(set_part, values, index, own_index[rows])
            rounding[rows] = rounding_of(set_part, values, support[rows])
        inside = np.flatnonzero((compared >= rows.start) & (compared < rows.stop))
        some = compared[inside] - rows.start
        picked = {name: outputs[name][some] for name in score.needs}
        if len(inside):
            by_class[np.ix_(inside, trained)] = every = score_outputs(score, picked)
            at = index[some]
            ways = [every[np.arange(len(at)), at], score_outputs(score, picked, at)]
            ways.append(score_outputs(score, nudged(outputs, picked), at))
            if any(part.dtype == np.float32 for part in picked.values()):
                wide = {name: part.astype(np.float64) for name, part in picked.items()}
                ways.append(score_outputs(score, wide, at))
            for way in ways:
                change = difference(way, scores[rows][some])
                differs[inside] = np.maximum(differs[inside], change)
    index = np.searchsorted(trained, predicted)
    changes = np.column_stack([scores[compared], differs])
    batched, change = batched_of(
        estimator, score, X, scores, index, set_part, support, own_index
    )
    found = Calibrated(
        y, predicted, own, scores, compared, by_class, changes, batched, support
    )
    if set_part == "scores":
        pair = np.column_stack([own, scores])
        support = own_support(set_part, pair, np.ones_like(y), np.zeros_like(y))
        rounding = found.tolerance(own) + found.tolerance(scores)
    else:
        rounding = ROUNDING_FACTOR * (rounding + change)
    support = np.where(own_index == index, np.inf, support - rounding)
    return replace(found, support=support)


def nudged(outputs: dict[str, Any], picked: dict[str, Any]) -> dict[str, Any]:
    """Return picked rows of outputs, with another last digit in those that are computed."""
    found, signs = dict(picked), np.random.RandomState(0)
    for name, part in picked.items():
        given = name in ("inputs", "raw_inputs") or outputs[name] is outputs.get("inputs")
        if given or issparse(part) or part.dtype.kind != "f":
            continue
        digit = np.finfo(part.dtype).eps * np.abs(part).max(axis=1, keepdims=True)
        found[name] = part + digit * signs.choice([-1, 1], part.shape).astype(part.dtype)
    return found


def batched_of(
    estimator: Any,
    score: BaseScore,
    X: Any,
    scores: NDArray[np.float64],
    index: NDArray[np.intp],
    set_part: str,
    support: NDArray[np.float64],
    own_index: NDArray[np.intp],
) -> tuple[NDArray[np.float64], float]:
    """Return scores of some samples, and how much they differ from those in other batches.

    Also return how much the support differs at most. The last digits of a network or a
    matrix product depend on the size of the batch.
    """
    order = np.argsort(scores, kind="stable")
    n = min(len(scores), ROUNDING_SAMPLES)
    some = order[np.linspace(0, len(order) - 1, n).astype(np.intp)]
    found, change, needed = [], 0.0, parts_needed(score, set_part)
    for rows in [some, *some[:ROUNDING_ALONE, None]]:
        outputs = outputs_of(estimator, rows_of(X, rows), needed)
        again = score_outputs(score, outputs, index[rows])
        found.append(np.column_stack([scores[rows], difference(again, scores[rows])]))
        if set_part != "scores":
            own = own_support(set_part, outputs[set_part], index[rows], own_index[rows])
            change = max(change, difference(own, support[rows]).max())
    return np.concatenate(found), float(change)


def largest_near(
    scores: NDArray[np.float64], at: NDArray[np.float64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return for each score the largest of the values at the scores nearest to it."""
    if not len(at):
        return np.zeros(len(scores))
    order = np.argsort(at)
    near = np.searchsorted(at[order], scores)[:, None]
    near = near + np.arange(-ROUNDING_REACH, ROUNDING_REACH)
    return values[order][np.clip(near, 0, len(at) - 1)].max(axis=1)


def difference(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float64]:
    """Return how much numbers differ, zero where one is not finite."""
    finite = np.isfinite(first) & np.isfinite(second)
    return np.abs(np.where(finite, first, 0.0) - np.where(finite, second, 0.0))
