"""What kind of columns samples have, by which the default score is chosen."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sk_center.scores.rows import blocks

Kind = Literal["few", "table", "wide", "mixed"]

# The direction of fewer columns tells little.
FEW_COLUMNS = 8
# More columns are an embedding or pixels: their direction tells more than their length.
LARGEST_TABLE = 50
# Covariances of more columns take more time than they are worth.
LARGEST_COVARIANCE = 300
# Columns have different units if standard deviations differ by a larger factor than the
# first, and a scaler has removed the units if the middle half is this close to one.
UNITS, STANDARDIZED = 6, 1.25
# The mean square of the correlations of independent columns is one over the number of
# samples. The least bound is for inputs that were whitened together with other classes.
CORRELATION, LEAST_CORRELATION = 2.25, 0.015


def numeric_columns(X: NDArray[np.floating[Any]], least: int = 3) -> NDArray[np.bool_]:
    """Return which columns have more than two values, all if fewer than ``least`` have.

    Columns of two values are mostly one-hot categories. A category that is rare in a class
    does not indicate an outsider.
    """
    lowest, highest = _range(X)
    numeric = np.zeros(X.shape[1], dtype=np.bool_)
    for rows in blocks(*X.shape):
        part = X[rows]
        numeric |= ((part > lowest) & (part < highest)).any(axis=0)
    return numeric if numeric.sum() >= least else np.ones_like(numeric)


def kind_of_columns(X: NDArray[np.floating[Any]]) -> Kind:
    """Return the kind of some dense samples; for at most 50 columns a single one is enough.

    - ``"few"``: fewer than 8 columns, or so many numeric ones among more than 300.
    - ``"table"``: at most 50 columns, or 3 to 50 of more than two values among more; or up
      to 300 that are categories, with a column for each, or without correlations, as after
      ``sklearn.decomposition.PCA(whiten=True)``: principal directions tell nothing then.
    - ``"mixed"``: more, where some columns vary many times as much as most do, or a scaler
      has brought most to a standard deviation of about one. Not where numbers are missing.
    - ``"wide"``: all else, as embeddings and pixels.
    """
    if X.shape[1] <= LARGEST_TABLE:
        return "few" if X.shape[1] < FEW_COLUMNS else "table"
    numeric, small = numeric_columns(X, least=0), X.shape[1] <= LARGEST_COVARIANCE
    if 3 <= numeric.sum() <= LARGEST_TABLE:
        return "table" if small or numeric.sum() >= FEW_COLUMNS else "few"
    if numeric.sum() < 3:
        return "table" if small and _are_categories(X[:, ~numeric]) else "wide"
    X = X[:, numeric]
    with np.errstate(over="ignore", invalid="ignore"):
        spreads = X.std(axis=0, dtype=np.float64)
        low, middle, high, highest = np.quantile(spreads, [0.25, 0.5, 0.75, 0.95])
    if low > 1 / STANDARDIZED and high < STANDARDIZED:
        return "table" if small and _are_uncorrelated(X[:, spreads > 0]) else "mixed"
    return "mixed" if highest > UNITS * middle else "wide"


def _are_categories(X):
    """Return whether columns of two values are categories in one-hot code.

    Those of a variable exclude each other, so that the number of ones in a row varies much
    less than if columns were independent; with pixels and words it varies more.
    """
    lowest, highest = _range(X)
    ones = (highest == X) & (highest > lowest)
    return ones.sum(axis=1).var() < ones.var(axis=0).sum() / 2


def _are_uncorrelated(X):
    """Return whether correlations are about as small as those of independent columns."""
    n_samples, n_columns = X.shape
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.square(np.corrcoef(X, rowvar=False)).sum() - n_columns
    bound = max(CORRELATION / n_samples, LEAST_CORRELATION)
    return squares < bound * n_columns * (n_columns - 1)


def _range(X):
    """Return the smallest and the largest value of each column."""
    with np.errstate(invalid="ignore"):
        return np.fmin.reduce(X, axis=0), np.fmax.reduce(X, axis=0)
