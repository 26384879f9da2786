"""Mixtures of normal distributions, those of all classes side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sk_center.scores.rows import by_class as rows_by_class

if TYPE_CHECKING:
    from numpy.typing import NDArray


def weighted_densities(X, means, factors, levels):
    """Return the weighted log density of a few components, a line for each."""
    found = np.empty((len(means), len(X)))
    for line, mean, factor, level in zip(found, means, factors, levels):
        white = (X - mean) @ factor
        line[:] = level - np.einsum("nd,nd->n", white, white) / 2
    return found


def quadratic_forms(means, factors, levels):
    """Return the weighted log density of each component as a polynomial of degree two.

    That is one matrix for the products of two inputs, each pair once, one for the inputs,
    constants, and the pairs. With many components it is half the work, in one product.
    """
    precisions = factors @ factors.transpose(0, 2, 1)
    first, second = np.triu_indices(means.shape[1])
    squares = np.where(first == second, -0.5, -1.0) * precisions[:, first, second]
    slopes = np.einsum("mij,mj->mi", precisions, means)
    constants = levels - np.einsum("mi,mi->m", slopes, means) / 2
    return squares, slopes, constants[:, None], (first, second)


def values_of(forms, X):
    """Return the values of quadratic forms, a line for each, a column for each row of X."""
    squares, slopes, constants, (first, second) = forms
    columns = np.ascontiguousarray(X.T)
    products = columns[first]
    products *= columns[second]
    found = squares @ products
    found += slopes @ columns
    found += constants
    return found


def log_sum_exp(
    densities: NDArray[np.float64], starts: Any, groups: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return the logarithm of sums of exponentials over groups of lines.

    ``starts`` says at which line a group starts, ``groups`` of which group each line is.
    """
    if len(starts) == len(densities):
        return densities
    tops = np.maximum.reduceat(densities, starts, axis=0)
    tops[np.isinf(tops)] = 0
    above = densities - tops[groups]
    return tops + np.log(np.add.reduceat(np.exp(above, out=above), starts, axis=0))


def side_by_side(laws):
    """Return weights, means, factors and class index of the components of all classes."""
    index = [np.full(len(weights), k) for k, (weights, _, _) in laws.items()]
    parts = [np.concatenate(part) for part in zip(*laws.values())]
    return *parts, np.concatenate(index)


def levels_of(weights, factors):
    """Return the weighted log density of each component at its mean."""
    log_det = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
    return log_det - factors.shape[1] * np.log(2 * np.pi) / 2 + np.log(weights)


def full_factors(mixture, n_columns):
    """Return the Cholesky factor of the precision of each component, as matrices."""
    factors = mixture.precisions_cholesky_
    if mixture.covariance_type == "tied":
        return np.repeat(factors[None], mixture.n_components, axis=0)
    if mixture.covariance_type == "full":
        return factors
    # Diagonal matrices are kept as their diagonals, or one number for all of it.
    return np.eye(n_columns) * factors.reshape(mixture.n_components, 1, -1)


def densities_to_onnx(X, weights, means, factors, components, n_classes):
    """Return the log density under the mixture of each class, NaN for one without any."""
    graph, n_components = X.graph, len(weights)
    squares = graph.each_row(
        lambda mean, factor: ((X - mean) @ factor).reduce("SumSquare", 1), means, factors
    )
    densities = levels_of(weights, factors) - squares * 0.5
    # The densities of components side by side, and last the one of none.
    densities = graph.op("Pad", densities, np.array([0, 0, 0, 1]), np.float64(-np.inf))
    most = np.bincount(components, minlength=n_classes).max()
    places = np.full((n_classes, most), n_components)
    for k, rows in rows_by_class(components):
        own = np.arange(n_components)[rows]
        places[k, : len(own)] = own
    found = graph.op("Gather", densities, places, axis=1).reduce("LogSumExp", 2)
    unknown = ~np.isin(np.arange(n_classes), components)
    return graph.where(unknown, np.full(n_classes, np.nan), found)
