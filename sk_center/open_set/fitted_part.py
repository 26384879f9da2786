"""Fit estimator and score on one part of the samples, and score the calibration samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import _check_method_params, _num_samples

from sk_center._utils.callbacks import Task
from sk_center.open_set.outputs import outputs_of, rows_of
from sk_center.open_set.scoring import (
    BLOCK_NUMBERS,
    LEARNT_NUMBERS,
    blocks_of,
    score_of,
    score_outputs,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sk_center.scores import BaseScore

# Rounding is measured on so many calibration samples, of which some are scored alone, and
# scores that differ by less than so many times as much are equal.
ROUNDING_SAMPLES, ROUNDING_ALONE, ROUNDING_FACTOR = 16, 3, 16
# It is asked for so many calibration samples at most how other classes see them.
MOST_COMPARED = 1000


@dataclass(frozen=True, eq=False)
class Calibrated:
    """What calibration samples, one an entry, are to the estimator and the score.

    Parameters
    ----------
    y, predicted : ndarray of shape (n_samples,), int
        Index of the class, and of the class that the estimator predicts.

    own, scores : ndarray of shape (n_samples,), float64
        Score for the class, and for the predicted class.

    compared, by_class : ndarray of shape (n_compared,), (n_compared, n_classes)
        Which samples were scored for all classes, and these scores; NaN for a class that
        the score does not know.

    rounding : float
        Largest difference seen between scores of the same sample in different batches.
    """

    y: NDArray[np.intp]
    predicted: NDArray[np.intp]
    own: NDArray[np.float64]
    scores: NDArray[np.float64]
    compared: NDArray[np.intp]
    by_class: NDArray[np.float64]
    rounding: float

    @property
    def tolerance(self) -> float:
        """Scores that differ by no more than this count as equal."""
        finite = self.scores[np.isfinite(self.scores)]
        floor = 16 * np.finfo(np.float64).eps * np.abs(finite).max(initial=0.0)
        return ROUNDING_FACTOR * self.rounding + floor


def joined(parts: list[Calibrated], n_classes: int) -> Calibrated:
    """Return the calibration samples of all splits together, perhaps none."""
    no_index, no_score = np.zeros(0, dtype=np.intp), np.zeros(0)
    none = (no_index, no_index, no_score, no_score, no_index, np.zeros((0, n_classes)), 0.0)
    parts = [Calibrated(*none), *parts]
    starts = np.cumsum([0, *(len(part.y) for part in parts)])[:-1]
    names = ("y", "predicted", "own", "scores", "by_class")
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in names
    }
    compared = [part.compared + start for part, start in zip(parts, starts)]
    rounding = max(part.rounding for part in parts)
    return Calibrated(compared=np.concatenate(compared), rounding=rounding, **arrays)


def seeded_clone(estimator: Any, random_state: Any, rng: np.random.RandomState) -> Any:
    """Return a clone to fit, with seeds where it has none and ``random_state`` is one."""
    estimator = clone(estimator)
    if random_state is None:
        return estimator
    seeds = {
        name: rng.randint(np.iinfo(np.int32).max)
        for name, value in sorted(estimator.get_params().items())
        if value is None and name.split("__")[-1] == "random_state"
    }
    estimator.set_params(**seeds)  # returns nothing where the estimator is frozen
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
    """Return the estimator and the score fitted on some rows, and what they say of others.

    The estimator also trains on the negatives.
    """
    rows = np.union1d(train, negatives)
    part = rows_of(X, rows)
    params = _check_method_params(X, params, indices=rows)
    is_frozen = isinstance(estimator, FrozenEstimator)
    task = Task(context, model, part, labels[rows], params.get("sample_weight"))
    with task.around(None if is_frozen else estimator):
        estimator.fit(part, labels[rows], **params)
    trained = np.arange(len(classes)) if is_frozen else np.unique(y[train])
    known = getattr(estimator, "classes_", classes[trained])
    if not np.array_equal(known, classes[trained]):
        raise ValueError(
            f"The estimator knows the classes {list(known)}, but y holds "
            f"{classes[trained].tolist()}."
        )
    part = rows_of(X, train) if len(negatives) else part
    score = score_of(conformity_score, estimator, part, len(trained))
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
    """Fit the score on what the estimator makes of its training samples.

    Where that is a number for each class, they are limited in number, to save memory.
    """
    if {"logits", "probabilities"} & {*score.needs}:
        most = max(LEARNT_NUMBERS // n_classes, 1)
        if _num_samples(X) > most:
            # Every so many of them, class by class.
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
) -> Calibrated:
    """Return what the estimator and the score say of calibration samples."""
    n_samples, n_trained = len(y), len(trained)
    own_index = np.searchsorted(trained, y)
    predicted = np.empty(n_samples, dtype=np.intp)
    own, scores = np.empty(n_samples), np.empty(n_samples)
    n_compared = min(n_samples, MOST_COMPARED, max(BLOCK_NUMBERS // n_trained, 1))
    compared = np.linspace(0, n_samples - 1, n_compared).astype(np.intp)
    by_class = np.full((n_compared, len(classes)), np.nan)
    for rows, outputs in blocks_of(estimator, X, ["labels", *score.needs], n_trained):
        index = np.searchsorted(classes[trained], outputs["labels"])
        predicted[rows] = trained[index]
        scores[rows] = score_outputs(score, outputs, index)
        own[rows] = score_outputs(score, outputs, own_index[rows])
        inside = np.flatnonzero((compared >= rows.start) & (compared < rows.stop))
        some = compared[inside] - rows.start
        picked = {name: outputs[name][some] for name in score.needs}
        if len(inside):
            by_class[np.ix_(inside, trained)] = score_outputs(score, picked)
    index = np.searchsorted(trained, predicted)
    rounding = rounding_of(estimator, score, X, scores, index)
    # One way to the score of a class must not differ from the other by more than counts as
    # equal.
    at = by_class[np.arange(n_compared), y[compared]]
    rounding = max(rounding, largest_difference(at, own[compared]))
    return Calibrated(y, predicted, own, scores, compared, by_class, rounding)


def rounding_of(
    estimator: Any,
    score: BaseScore,
    X: Any,
    scores: NDArray[np.float64],
    index: NDArray[np.intp],
) -> float:
    """Return the largest difference between scores of samples in one batch and in others.

    A network or a matrix product gives the last digits by the size of the batch.
    """
    order = np.argsort(scores, kind="stable")
    n = min(len(scores), ROUNDING_SAMPLES)
    some = order[np.linspace(0, len(order) - 1, n).astype(np.intp)]
    found = 0.0
    for rows in [some, *some[:ROUNDING_ALONE, None]]:
        outputs = outputs_of(estimator, rows_of(X, rows), score.needs)
        again = score_outputs(score, outputs, index[rows])
        found = max(found, largest_difference(again, scores[rows]))
    return found


def largest_difference(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Return the largest difference of the numbers that are finite in both."""
    finite = np.isfinite(first) & np.isfinite(second)
    return float(np.abs(first[finite] - second[finite]).max(initial=0.0))
