"""What kind of columns samples have, by which the default score is chosen."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from sk_center.scores.rows import blocks

Kind = Literal["few", "table", "wide", "mixed", "text"]

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
# A text has few of the words: a smaller share of its numbers differs from zero than of
# pixels. Beside categories, numeric columns are used more.
USED, NUMERIC_USED = 0.07, 0.25
# The variances of the first 32 principal directions fall by a power of their rank: those of
# texts by 0.3 to 0.7, those of pixels and embeddings by 0.8 to 1.4. Fewer than 30 do not
# show it.
FEW_DIRECTIONS, RANKS, POWER = 30, 32, 0.75
# Bounds for directions that were learned with other classes: their order (Kendall's tau)
# and the mean square of their correlations.
ORDER, DIRECTION_CORRELATION = -0.6, 0.03
# TF-IDF makes texts of length one, and PCA subtracts their mean: no square is larger.
LONGEST = 2


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
    """Return the kind of some dense samples; for at most 29 columns a single one is enough.

    - ``"text"``: more than 50 columns, nearly all zero in a sample, as counts of words are;
      or 30 and more that are principal directions of texts, as of ``TruncatedSVD``.
    - ``"few"``: fewer than 8 columns, or so many numeric ones among more than 300.
    - ``"table"``: at most 50 columns, or 3 to 50 of more than two values among more; or up
      to 300 that are categories, with a column for each, or without correlations, as after
      ``sklearn.decomposition.PCA(whiten=True)``: principal directions tell nothing then.
    - ``"mixed"``: more, where some columns vary many times as much as most do, or a scaler
      has brought most to a standard deviation of about one. Not where numbers are missing.
    - ``"wide"``: all else, as embeddings and pixels.
    """
    if X.shape[1] >= FEW_DIRECTIONS and _are_directions_of_texts(X):
        return "text"
    if X.shape[1] <= LARGEST_TABLE:
        return "few" if X.shape[1] < FEW_COLUMNS else "table"
    numeric, small = numeric_columns(X, least=0), X.shape[1] <= LARGEST_COVARIANCE
    categories = numeric.sum() < 3 and _are_categories(X[:, ~numeric])
    if not categories and _are_words(X, numeric):
        return "text"
    if 3 <= numeric.sum() <= LARGEST_TABLE:
        return "table" if small or numeric.sum() >= FEW_COLUMNS else "few"
    if numeric.sum() < 3:
        return "table" if small and categories else "wide"
    X = X[:, numeric]
    with np.errstate(over="ignore", invalid="ignore"):
        spreads = X.std(axis=0, dtype=np.float64)
        low, middle, high, highest = np.quantile(spreads, [0.25, 0.5, 0.75, 0.95])
    if low > 1 / STANDARDIZED and high < STANDARDIZED:
        return "table" if small and _are_uncorrelated(X[:, spreads > 0]) else "mixed"
    return "mixed" if highest > UNITS * middle else "wide"


def _are_words(X, numeric):
    """Return whether nearly all numbers are zero, as counts and weights of words are."""
    used = X != 0
    if numeric.any() and used[:, numeric].mean() > NUMERIC_USED:  # numbers and categories
        return False
    n_columns = used.any(axis=0).sum()
    return 0 < used.sum() < USED * len(X) * n_columns


def _are_directions_of_texts(X):
    """Return whether columns are principal directions whose variances fall slowly.

    ``TruncatedSVD`` does not center samples, so that its first direction is off center.
    ``PCA`` does, also of tables: it must have left samples that are as short as TF-IDF
    makes them.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        means, variances = X.mean(axis=0, dtype=np.float64), X.var(axis=0, dtype=np.float64)
        off_center = means[0] ** 2 > variances[0]
        short = X.shape[1] > LARGEST_TABLE and np.square(X).sum(axis=1).max() < LONGEST
    if not (off_center or short) or not ((variances > 0) & (variances < np.inf)).all():
        return False
    ranks = np.arange(2, len(variances) + 1)
    if not kendalltau(ranks, variances[1:]).statistic < ORDER:  # NaN if all are equal
        return False
    largest = np.sort(variances)[::-1][1:RANKS]
    power = np.polyfit(np.log(ranks[: len(largest)]), np.log(largest), 1)[0]
    return power > -POWER and _are_uncorrelated(X, DIRECTION_CORRELATION)


def _are_categories(X):
    """Return whether columns of two values are categories in one-hot code.

    Those of a variable exclude each other, so that the number of ones in a row varies much
    less than if columns were independent; with pixels and words it varies more.
    """
    lowest, highest = _range(X)
    ones = (highest == X) & (highest > lowest)
    return ones.sum(axis=1).var() < ones.var(axis=0).sum() / 2


def _are_uncorrelated(X, least=LEAST_CORRELATION):
    """Return whether correlations are about as small as those of independent columns."""
    n_samples, n_columns = X.shape
    X = X.astype(np.float64)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        Z = (X - X.mean(axis=0)) / X.std(axis=0)
        # Products of rows have the same sum of squares as those of columns.
        products = Z @ Z.T if n_columns > n_samples else Z.T @ Z
        squares = np.square(products / n_samples).sum() - n_columns
    bound = max(CORRELATION / n_samples, least)
    return squares < bound * n_columns * (n_columns - 1)


def _range(X):
    """Return the smallest and the largest value of each column."""
    with np.errstate(invalid="ignore"):
        return np.fmin.reduce(X, axis=0), np.fmax.reduce(X, axis=0)
