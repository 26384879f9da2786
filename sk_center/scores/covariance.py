"""Shrunk covariances, computed in blocks of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_center.scores.rows import blocks


def covariance_of(
    X: NDArray[np.floating[Any]],
    rows: NDArray[np.intp],
    centers: NDArray[np.float64],
    index: NDArray[np.intp],
    shrinkage: str | None,
    prepare: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None = None,
) -> NDArray[np.float64]:
    """Return the shrunk covariance of some rows about their centers.

    ``index`` is the center of each row of X. The shrinkage is that of
    :class:`sklearn.covariance.LedoitWolf`, or none. ``prepare`` is applied to rows first.
    """
    n_rows, n_columns = len(rows), X.shape[1]
    products, fourth = np.zeros((n_columns, n_columns)), 0.0
    for some in blocks(n_rows, n_columns):
        own = rows[some]
        part = X[own].astype(np.float64)
        part = (part if prepare is None else prepare(part)) - centers[index[own]]
        products += part.T @ part
        fourth += np.square(np.einsum("ij,ij->i", part, part)).sum()
    covariance = products / n_rows
    mean = np.trace(covariance) / n_columns
    share = 0.0
    if shrinkage == "ledoit_wolf":
        # Ledoit and Wolf 2004: how much the products of single rows differ from their mean.
        square = np.square(covariance).sum()
        spread = (square - n_columns * mean**2) / n_columns
        noise = (fourth / n_rows - square) / (n_columns * n_rows)
        noise = min(noise, spread)
        share = noise / spread if noise > 0 and n_columns > 1 else 0.0
    covariance *= 1 - share
    covariance[np.diag_indices(n_columns)] += share * mean
    return covariance


def whitening(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrix that transforms a covariance to the identity."""
    variances, axes = np.linalg.eigh(covariance)
    # Constant columns have no variance to divide by.
    floor = np.finfo(float).eps * (variances.max() or 1.0)
    return axes / np.sqrt(np.maximum(variances, floor))
