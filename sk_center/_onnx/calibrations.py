"""Calibrations as parts of an ONNX graph."""

import numpy as np
from scipy.special import betaln

from sk_center.calibration import (
    ConformalCalibration,
    GaussianCalibration,
    WeibullCalibration,
)
from sk_center.calibration.base import SMALLEST

# A continued fraction takes rounds in proportion to the square root of the degrees of
# freedom; these are enough for the most that a calibration finds, 2e6 times 1000 samples.
MOST_ROUNDS = 1_000_000
# It ends when a round changes it by no more, relative to it. Rounding errors of the factor
# before it are larger: 1e-8 where the degrees of freedom of a group are a million.
EPSILON = 1e-13


def p_values(calibration, scores, groups):
    """Return the p-values of scores, a column for each group that is named.

    ``scores`` has a column for each group, or one that is compared with all of them.
    """
    scores = scores.astype(np.float64).maximum(np.full(len(groups), -np.inf))
    return CALIBRATED[type(calibration)](calibration, scores, groups)


def conformal(calibration, scores, groups):
    sizes = calibration.n_samples_[groups]
    return (number_below(calibration, scores, groups) + 1.0) / (sizes + 1.0)


def number_below(calibration, scores, groups):
    """Return how many calibration samples of each group score no higher, float64.

    A binary search: it holds no more than the scores, however many samples there are.
    """
    graph = scores.graph
    known = np.append(calibration.scores_, np.nan)
    starts, sizes = calibration._starts[groups], calibration.n_samples_[groups]
    last = len(known) - 1
    found = scores.isnan().astype(np.int64)  # zeros, for there is none
    for step in 2 ** np.arange(int(sizes.max()).bit_length())[::-1]:
        tried = found + step
        inside = tried <= sizes
        at = (tried + (starts - 1)).minimum(np.int64(last))
        below = graph.op("Gather", known, at) <= scores
        found = graph.where(inside & below, tried, found)
    return found.astype(np.float64)


def gaussian(calibration, scores, groups):
    graph = scores.graph
    sizes = calibration.n_samples_[groups]
    nu = calibration.degrees_of_freedom_
    # The largest float has an infinite square, and infinite parts make no sum.
    ratio = (scores * scores / calibration.means_[groups]).minimum(1e300)
    found = fisher_sf(ratio, nu, np.maximum(sizes, 1)).maximum(SMALLEST)
    return graph.where(sizes == 0, np.ones(len(groups)), found)


def fisher_sf(ratio, nu, n):
    """Return P(F(nu, n nu) >= ratio): a regularized incomplete beta function.

    I_x(a, b) at x = 1 / (1 + ratio / n), a = n nu / 2, b = nu / 2, by its continued
    fraction, which is used on the side where it converges fast, and Lentz's algorithm.
    """
    graph = ratio.graph
    z = ratio / n.astype(np.float64)
    a, b = nu * n / 2, nu / 2
    x, rest = 1.0 / (1.0 + z), z / (1.0 + z)
    log_front = a * x.log() + b * rest.log() - betaln(a, b)
    beyond = x >= (a + 1) / (a + b + 2)
    shape = np.array(a)
    first = graph.where(beyond, np.full_like(shape, b), shape)
    second = graph.where(beyond, shape, np.full_like(shape, b))
    at = graph.where(beyond, rest, x)
    total = first + second

    def next_round(i, c, d, h, change):
        m = i.astype(np.float64) + 1.0
        even = m * (second - m) * at / ((first - 1.0 + 2.0 * m) * (first + 2.0 * m))
        d = 1.0 / (even * d + 1.0)
        c = even / c + 1.0
        h = h * d * c
        odd = first + m
        odd = -odd * (total + m) * at / ((first + 2.0 * m) * (first + 1.0 + 2.0 * m))
        d = 1.0 / (odd * d + 1.0)
        c = odd / c + 1.0
        change = d * c
        h = h * change
        furthest = (change - 1.0).abs()
        furthest = graph.op("ReduceMax", furthest, keepdims=0)
        return furthest > EPSILON, [c, d, h, change]

    start = 1.0 / (1.0 - total * at / (first + 1.0))
    ones = start * 0.0 + 1.0
    _, _, fraction, _ = graph.repeat(next_round, [ones, start, start, ones], MOST_ROUNDS)
    part = log_front.exp() * fraction / first
    return graph.where(beyond, 1.0 - part, part)


def weibull(calibration, scores, groups):
    graph = scores.graph
    sizes, m = calibration.n_samples_[groups], calibration.tail_sizes_[groups]
    has_tail = calibration.units_[groups] > 0
    unit = np.where(has_tail, calibration.units_[groups], 1.0)
    total = np.where(has_tail, calibration.sums_[groups], 1.0)
    # Without a tail no score is below minus infinity.
    excess = (calibration._tops[groups] - scores) / unit
    beyond = excess.maximum(0.0) ** float(calibration.shape_) / total
    tail = (beyond + 1.0) ** (-m).astype(np.float64) * ((m + 1) / (sizes + 1))
    tail = tail.maximum(SMALLEST)
    return graph.where(excess > 0.0, tail, conformal(calibration, scores, groups))


CALIBRATED = {
    ConformalCalibration: conformal,
    GaussianCalibration: gaussian,
    WeibullCalibration: weibull,
}
