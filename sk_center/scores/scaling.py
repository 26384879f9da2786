"""Linear maps of columns that make distances more informative."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_center.scores.columns import FEW_COLUMNS, numeric_columns
from sk_center.scores.covariance import covariance_of, whitening
from sk_center.scores.rows import blocks, class_means

SCALES = ("standard", "discriminant", "whiten", "numeric_whiten")
# Lower bounds of the weight of a column, and of its spread within classes.
LEAST_SHARE = 0.02


def scaling_of(
    X: NDArray[np.floating[Any]], y: NDArray[np.intp], n_classes: int, how: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the offsets that are subtracted from columns, and their factors.

    There is one factor per column, or a matrix where columns are whitened.
    """
    if how == "numeric_whiten":
        numeric = np.flatnonzero(numeric_columns(X, least=FEW_COLUMNS))
        shift, factor = np.zeros(X.shape[1]), np.zeros((X.shape[1], len(numeric)))
        shift[numeric], factor[numeric] = scaling_of(X[:, numeric], y, n_classes, "whiten")
        return shift, factor
    means, shift = class_means(X, y, n_classes), class_means(X, y * 0, 1)[0]
    total, within = _spreads(X, y, shift[None], y * 0), _spreads(X, y, means, y)
    # A column that is constant up to rounding has no scale.
    varies = total > 1e-10 * np.abs(X).max(axis=0)
    total = np.where(varies, total, 1)
    if how == "standard":
        return shift, varies / total
    if how == "discriminant":
        within = np.maximum(np.where(varies, within, 1), LEAST_SHARE * total)
        shares = np.maximum(1 - np.square(within / total), LEAST_SHARE)
        return shift, varies * np.sqrt(shares) / within
    factors = varies / total
    centers = (means - shift) * factors
    covariance = covariance_of(
        X,
        np.arange(len(y)),
        centers,
        y,
        "ledoit_wolf",
        lambda rows: (rows - shift) * factors,
    )
    return shift, factors[:, None] * whitening(covariance)


def scaled(
    X: NDArray[np.floating[Any]], shift: NDArray[np.float64], factor: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return rows after the map, float64."""
    return (X - shift) * factor if factor.ndim == 1 else (X - shift) @ factor


def _spreads(X, y, centers, index):
    """Return the root mean square of the deviations of each column from its centers."""
    squares = np.zeros(X.shape[1])
    for rows in blocks(*X.shape):
        squares += np.square(X[rows] - centers[index[rows]]).sum(axis=0)
    return np.sqrt(squares / len(X))
