"""Find the k-th nearest sample by matrix products, and measure the distance exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_center.scores.rows import blocks, lengths

# So many squared distances are in hand at once, 4 MB; so many samples that are as near but
# for rounding are measured.
TILE, N_NEAR = 2**20, 8
ROUNDING = 16 * np.finfo(np.float32).eps


class Nearest:
    """Samples among which to search.

    A product of float32 matrices finds the samples that may be the k-th nearest one, in
    spite of its rounding; the difference in float64 then tells which is, and how far. So
    the distance hardly depends on the rows that are searched with it.

    Parameters
    ----------
    samples : ndarray of shape (n_samples, n_columns)
        Samples around the origin.

    k_th : int
        Which neighbor, counted from the nearest one, at most n_samples.
    """

    def __init__(self, samples: NDArray[np.floating[Any]], k_th: int) -> None:
        self.samples, self.k_th = samples, k_th
        # Squares in float32 end at 1e38.
        self.unit = float(np.abs(samples).max()) or 1.0
        narrow = (samples / self.unit).astype(np.float32)
        squares = np.einsum("ij,ij->i", narrow, narrow)
        # A row, less the square of itself, which changes no order, is one product away.
        self.table = np.vstack([-2 * narrow.T, squares])
        self.largest = float(squares.max())

    def distances(self, X: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return the distance of each row to its k-th nearest sample."""
        if len(X) == 1:
            return self._of_one_row(X)
        find = self._to_nearest if self.k_th == 1 else self._to_kth
        found = [find(X[rows]) for rows in blocks(len(X), self.table.shape[1], TILE)]
        return found[0] if len(found) == 1 else np.concatenate(found)

    def _products(self, X):
        """Return squared distances less the squares of the rows, and their rounding."""
        narrow = np.ones((len(X), X.shape[1] + 1), dtype=np.float32)
        np.divide(X, self.unit, out=narrow[:, :-1], casting="same_kind")
        squares = np.einsum("ij,ij->i", narrow, narrow) - 1
        return narrow @ self.table, ROUNDING * (squares + self.largest)

    def _of_one_row(self, X):
        """Return the distance of one row to its k-th nearest sample."""
        narrow = (X[0] / self.unit).astype(np.float32)
        order, last = narrow @ self.table[:-1], self.k_th - 1
        order += self.table[-1]
        kth = order.min() if last == 0 else np.partition(order, last)[last]
        rounding = ROUNDING * (narrow @ narrow + self.largest)
        near = (order <= kth + rounding).nonzero()[0]
        near = near if len(near) >= self.k_th else np.s_[:]
        away = lengths(self.samples[near] - X.astype(np.float64))
        return np.sort(away)[last : last + 1]

    def _to_nearest(self, X):
        """Return the distance of each row to the nearest sample."""
        order, rounding = self._products(X)
        found, rows = np.full(len(X), np.inf), np.arange(len(X))
        places, own = order.argmin(axis=1), rows
        limits = order[own, places] + rounding
        for _ in range(N_NEAR):
            # Any sample tells the distance of rows so far away that squares overflow.
            away = lengths(X.astype(np.float64, copy=False) - self.samples[places])
            found[rows] = np.minimum(found[rows], away)
            order[own, places] = np.inf
            places = order.argmin(axis=1)
            near = np.flatnonzero(order[own, places] <= limits)
            if not len(near):
                break
            X, order, rows, limits = X[near], order[near], rows[near], limits[near]
            places, own = places[near], np.arange(len(near))
        return found

    def _to_kth(self, X):
        """Return the distance of each row to the k-th nearest sample."""
        order, rounding = self._products(X)
        last, rounding = self.k_th - 1, rounding[:, None]
        kth = np.partition(order, last, axis=1)[:, last, None]
        told = (np.isfinite(kth) & np.isfinite(rounding))[:, 0]  # unless squares overflow
        with np.errstate(invalid="ignore"):
            order -= kth
        # Only samples as near as the k-th one but for rounding need be measured.
        nearer = np.count_nonzero(order < -rounding, axis=1)
        near = np.abs(order, out=order) <= rounding
        rows, samples = np.divmod(np.flatnonzero(near), order.shape[1])
        counts, found = np.bincount(rows, minlength=len(X)), np.empty(len(X))
        # Those of many rows with few candidates at once, of others one by one.
        few = told & (counts <= N_NEAR)
        if few.any():
            rows, samples = rows[few[rows]], samples[few[rows]]
            away = lengths(X[rows].astype(np.float64) - self.samples[samples])
            away = away[np.lexsort([away, rows])]
            found[few] = away[rows.searchsorted(np.flatnonzero(few)) + last - nearer[few]]
        for i in np.flatnonzero(~few):
            some, rank = (near[i], last - nearer[i]) if told[i] else (np.s_[:], last)
            away = lengths(self.samples[some] - X[i].astype(np.float64))
            found[i] = np.partition(away, rank)[rank]
        return found
