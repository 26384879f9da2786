"""Mixtures of normal distributions, those of all classes side by side."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from sk_center.scores.rows import by_class as rows_by_class

# Polynomials of more inputs than these take longer than whitening in float32.
MANY = 24
# Among fewer rows, pairs of inputs are sooner found by their index than one by one.
FEW = 32


def weighted_densities(X, means, factors, levels):
    """Return the weighted log density of a few components, a line for each."""
    found = np.empty((len(means), len(X)))
    for line, mean, factor, level in zip(found, means, factors, levels):
        white = (X - mean) @ factor
        line[:] = level - np.einsum("nd,nd->n", white, white) / 2
    return found


class Mixtures:
    """Mixtures of all classes, whose densities are one product of matrices.

    The weighted log density of a component is a polynomial of degree two. A matrix holds
    the coefficients of all: those of products of two inputs, each pair once, of the inputs,
    and constants. The first components of classes come first, then the second ones of those
    classes that have two, and so on, so that sums over components are sums of slices.

    Parameters
    ----------
    means, factors, levels, components : ndarray of shape (n_components, ...)
        Mean and Cholesky factor of the precision of each component, weighted log density
        at the mean, and class index, in ascending order.
    """

    def __init__(self, means, factors, levels, components):
        known, groups, sizes = np.unique(
            components, return_inverse=True, return_counts=True
        )
        places = np.arange(len(groups)) - (np.cumsum(sizes) - sizes)[groups]
        # Classes of many components before those of few.
        by_size = np.argsort(-sizes, kind="stable")
        order = np.lexsort((np.argsort(by_size)[groups], places))
        self.classes, stops = known[by_size], np.cumsum([0, *np.bincount(places)])
        self.slices = [slice(*pair) for pair in pairwise(stops)]
        self._prepare(means[order], factors[order], levels[order])

    def _prepare(self, means, factors, levels):
        """Compute the coefficients."""
        precisions = factors @ factors.transpose(0, 2, 1)
        first, second = self.pairs = np.triu_indices(means.shape[1])
        squares = np.where(first == second, -0.5, -1.0) * precisions[:, first, second]
        slopes = np.einsum("mij,mj->mi", precisions, means)
        constants = levels - np.einsum("mi,mi->m", slopes, means) / 2
        self.table = np.hstack([squares, slopes, constants[:, None]])

    def log_densities(self, X, pooled):
        """Return log densities, a line for each class, or the largest of any class."""
        return log_sum_exp(self._densities(X), self.slices, pooled)

    def _densities(self, X):
        """Return the weighted log density of each component, a line for each."""
        # Products of two inputs, the inputs, and one, a column for each row.
        monomials = np.empty((self.table.shape[1], len(X)))
        first, second = self.pairs
        products, columns = monomials[: len(first)], monomials[len(first) : -1]
        columns[:], monomials[-1] = X.T, 1
        if len(X) < FEW:
            np.multiply(columns[first], columns[second], out=products)
            return self.table @ monomials
        start = 0
        for i, column in enumerate(columns):
            stop = start + len(columns) - i
            np.multiply(column, columns[i:], out=products[start:stop])
            start = stop
        return self.table @ monomials


class NarrowMixtures(Mixtures):
    """The same in float32, from differences, in which little is lost by rounding.

    The differences of rows from the mean of each component are whitened by one product of
    matrices, which takes less time than polynomials of many inputs.
    """

    def _prepare(self, means, factors, levels):
        offsets = np.einsum("md,mde->me", means, factors).reshape(1, -1)
        self.table = np.vstack([np.hstack(factors), -offsets]).astype(np.float32)
        self.levels, self.shape = levels[:, None], means.shape

    def _densities(self, X):
        rows = np.ones((len(X), len(self.table)), dtype=np.float32)
        rows[:, :-1] = X
        white = (rows @ self.table).reshape(-1, self.shape[1])
        squares = np.einsum("ij,ij->i", white, white).reshape(len(X), -1)
        return np.subtract(self.levels, squares.T / 2, order="C")


def log_sum_exp(densities, slices, pooled=False):
    """Return the logarithm of sums of exponentials over the components of each class.

    Line i of every slice is of class i. If they are pooled, return the largest of any.
    """
    if len(slices) == 1:
        return densities.max(axis=0) if pooled else densities
    sums, *further = [densities[some] for some in slices]
    if pooled:
        tops = densities.max(axis=0)
        densities -= tops
    else:
        tops = sums.copy()
        for part in further:
            np.maximum(tops[: len(part)], part, out=tops[: len(part)])
        for part in (sums, *further):
            part -= tops[: len(part)]
    np.exp(densities, out=densities)
    for part in further:
        sums[: len(part)] += part
    sums = sums.max(axis=0) if pooled else sums
    return tops + np.log(sums, out=sums)


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
