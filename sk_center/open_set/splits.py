"""Splits of samples into those that train the estimator and those that calibrate."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.model_selection import check_cv

if TYPE_CHECKING:
    from numpy.typing import NDArray

Split = tuple["NDArray[np.intp]", "NDArray[np.intp] | None"]

# The share that cv="auto" holds out, and the folds that it takes for fewer held-out
# samples than these: the rate that a threshold keeps would differ much between draws.
# In five folds of 60 samples models had so much less to learn from that 6.6 % of known
# samples were rejected in place of 5.
SHARE, FOLDS, ENOUGH = 0.2, 10, 100


def is_auto(cv: Any) -> bool:
    """Return whether the number of samples decides between a share and folds."""
    return isinstance(cv, str) and cv == "auto"


def share_of(cv: Any, auto: float = SHARE) -> float | None:
    """Return the share that is held out of every class, None for a splitter."""
    if is_auto(cv):
        return auto
    is_share = isinstance(cv, Real) and not isinstance(cv, Integral)
    return float(cv) if is_share else None


def split_samples(
    cv: Any,
    refit: bool,
    X: Any,
    labels: NDArray[Any],
    y: NDArray[np.intp],
    known: NDArray[np.intp],
    needed: int,
    grouping: dict[str, Any],
    rng: np.random.RandomState,
) -> list[Split]:
    """Return the rows that train and those that calibrate, for each split.

    A last split without calibration samples is the fit on all samples after the others.
    """
    share = share_of(cv)
    if share is not None:
        train, test = split_classes(y, known, share, rng)
        if not is_auto(cv) or not refit or len(test) >= max(ENOUGH, needed):
            return [(train, test)]
        return [*folds_of_classes(y, rng.permutation(known), FOLDS), (known, None)]
    splitter = check_cv(cv, labels, classifier=True)
    everything = np.arange(len(y))
    splits: list[Any] = [
        # A split may come as masks.
        tuple(np.intersect1d(everything[part], known) for part in parts)
        for parts in splitter.split(X, labels, **grouping)
    ]
    check_splits(splits, cv, refit, labels, known)
    return [*splits, (known, None)] if refit else splits


def check_splits(
    splits: list[Any], cv: Any, refit: bool, labels: NDArray[Any], known: NDArray[np.intp]
) -> None:
    """Raise ValueError for splits whose samples cannot calibrate."""
    if not splits:
        raise ValueError(f"cv must give at least one split; cv={cv!r} gives none.")
    if not refit and len(splits) != 1:
        raise ValueError(
            "refit=False takes a cv with one split, whose estimator is kept; "
            f"cv={cv!r} gives {len(splits)}."
        )
    classes = np.unique(labels[known])
    if not refit and len(np.unique(labels[splits[0][0]])) < len(classes):
        raise ValueError(
            "refit=False takes a training part with samples of every class; cv gives "
            f"one of {np.unique(labels[splits[0][0]]).tolist()}."
        )
    if np.bincount(np.concatenate([test for _, test in splits])).max(initial=0) > 1:
        raise ValueError(
            f"cv must hold each sample out at most once; {type(cv).__name__} gave some "
            "several times. The bound takes calibration samples drawn independently."
        )
    sorted_by_class = (
        "Samples sorted by class take a splitter that shuffles or stratifies, such as "
        "StratifiedKFold."
    )
    for train, _ in splits:
        found = np.unique(labels[train])
        if len(found) < 2:
            raise ValueError(
                f"cv={cv!r} gives a training part with the classes {found.tolist()} only. "
                f"{sorted_by_class}"
            )
    if not any(np.isin(labels[test], labels[train]).any() for train, test in splits):
        raise ValueError(
            f"cv={cv!r} holds out only samples of classes that the training part lacks, "
            f"which calibrate nothing. {sorted_by_class}"
        )


def split_classes(
    y: NDArray[np.intp], rows: NDArray[np.intp], share: float, rng: np.random.RandomState
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Hold a share of every class out, rounded up, but leave each at least one sample.

    Unlike ``train_test_split`` it takes some rows only, and classes of a single sample,
    which all train.
    """
    held_out = []
    for k in np.unique(y[rows]):
        own = rng.permutation(rows[y[rows] == k])
        # Rounded first: 0.07 * 100 is a little more than 7.
        n_held_out = int(np.ceil(round(float(share) * len(own), 9)))
        held_out.append(own[: min(n_held_out, len(own) - 1)])
    calibrating = np.sort(np.concatenate(held_out))
    return np.setdiff1d(rows, calibrating), calibrating


def folds_of_classes(
    y: NDArray[np.intp], rows: NDArray[np.intp], n_folds: int
) -> list[Split]:
    """Deal the samples of each class out to folds, in the order of the rows.

    Unlike ``StratifiedKFold`` it takes classes of fewer samples than folds. A sample that
    is alone in its class always trains.
    """
    order = np.argsort(y[rows], kind="stable")
    sizes = np.unique(y[rows], return_counts=True)[1]
    place = np.concatenate([np.arange(n) for n in sizes])
    fold = np.empty(len(rows), dtype=np.intp)
    fold[order] = np.where(np.repeat(sizes, sizes) > 1, place % n_folds, -1)
    folds = [np.sort(rows[fold == i]) for i in range(fold.max() + 1)]
    return [(np.setdiff1d(rows, test), test) for test in folds]


def rows_that_count(labels: NDArray[Any], params: dict[str, Any]) -> NDArray[np.intp]:
    """Return the rows whose ``sample_weight`` is not zero."""
    counts = np.ones(len(labels), dtype=bool)
    for name, values in params.items():
        if name.split("__")[-1] != "sample_weight" or values is None:
            continue
        if np.shape(values) != counts.shape:
            raise ValueError(
                f"{name} must have the shape ({len(labels)},), a weight for each sample of "
                f"y; got {np.shape(values)}."
            )
        counts &= np.asarray(values) != 0
    if counts.all() or not counts.any():
        return np.arange(len(labels))
    classes = np.unique(labels[counts])
    if len(classes) < 2:
        raise ValueError(
            f"sample_weight leaves samples of one class only, {classes.tolist()}."
        )
    return np.flatnonzero(counts)
