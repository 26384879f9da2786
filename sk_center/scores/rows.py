"""Rows of samples: blocks of them, those of each class, and their lengths."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse
from sklearn.preprocessing import normalize

# Numbers that are computed at once, 2 MB.
BLOCK = 2**18
# Of shorter rows some squares may be lost.
LEAST = {code: np.sqrt(np.finfo(code).tiny / np.finfo(code).eps) for code in ("f", "d")}


def blocks(n_rows: int, width: int, size: int = BLOCK) -> Iterator[slice]:
    """Yield slices of rows, so that a block of rows has at most ``size`` numbers."""
    step = max(size // max(width, 1), 1)
    for start in range(0, max(n_rows, 1), step):
        yield slice(start, min(start + step, n_rows))


def by_class(index: NDArray[np.intp]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Yield each class index that occurs, with its rows."""
    if len(index) == 1:
        yield int(index[0]), np.zeros(1, dtype=np.intp)
        return
    order = index.argsort(kind="stable")
    found = index[order]
    starts = np.flatnonzero(np.r_[True, found[1:] != found[:-1]][: len(found)])
    for start, stop in zip(starts, [*starts[1:], len(found)]):
        yield int(found[start]), order[start:stop]


def lengths(rows: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Return the Euclidean length of each row."""
    return np.sqrt(np.einsum("ij,ij->i", rows, rows))


def length_one(rows: Any) -> Any:
    """Return rows of length one, except rows of zeros."""
    if issparse(rows):
        return normalize(rows)
    length = lengths(rows)
    if len(rows) and LEAST[rows.dtype.char] < length.min() and length.max() < np.inf:
        return rows / length[:, None]
    # Squares of large and small numbers end at infinity or zero.
    largest = np.abs(rows).max(axis=1, keepdims=True)
    rows = rows / np.where(largest > 0, largest, 1)
    length = lengths(rows)[:, None]
    return rows / np.where(length > 0, length, 1)


def regrouped(
    values: NDArray[Any], kept: NDArray[np.intp], new: NDArray[Any]
) -> NDArray[Any]:
    """Return the values of each class after classes were added or removed.

    ``kept`` has for each class its former index, or -1 for a new one, whose value is that
    at its own index in ``new``.
    """
    found = values[np.maximum(kept, 0)]
    found[kept < 0] = new[kept < 0]
    return found


def present_index(kept: NDArray[np.intp], n_former: int) -> NDArray[np.intp]:
    """Return the present index of each former class, -1 if it was removed."""
    found = np.full(n_former, -1)
    found[kept[kept >= 0]] = np.flatnonzero(kept >= 0)
    return found


def class_means(
    X: Any,
    y: NDArray[np.intp],
    n_classes: int,
    prepare: Callable[[Any], Any] | None = None,
) -> NDArray[np.float64]:
    """Return the mean of each class in float64, NaN for a class without samples.

    ``prepare`` is applied to rows first.
    """
    sums: Any = None
    for rows in blocks(X.shape[0], X.shape[1]):
        part = X[rows] if issparse(X) else X[rows].astype(np.float64)
        part = part if prepare is None else prepare(part)
        sums = np.zeros((n_classes, part.shape[1])) if sums is None else sums
        own = y[rows]
        shape = (n_classes, len(own))
        sums += (
            csr_array((np.ones(len(own)), (own, np.arange(len(own)))), shape=shape) @ part
        )
    with np.errstate(invalid="ignore"):
        return sums / np.bincount(y, minlength=n_classes)[:, None]
