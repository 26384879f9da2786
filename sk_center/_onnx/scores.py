"""Scores, p-values and the thresholds of them as parts of an ONNX graph."""

import numpy as np
from scipy.special import betaln
from sklearn.mixture import GaussianMixture

from sk_center.calibration import (
    ConformalCalibration,
    GaussianCalibration,
    WeibullCalibration,
)
from sk_center.calibration.base import SMALLEST
from sk_center.scores import (
    CenterDistance,
    Combined,
    Energy,
    InputDensity,
    KNeighbors,
    Mahalanobis,
    MaxLogit,
    MaxSoftmax,
    OpenMax,
    PerClass,
    ViM,
)

# A continued fraction takes rounds in proportion to the square root of the degrees of
# freedom; these are enough for the most that a calibration finds, 2e6 times 1000 samples.
MOST_ROUNDS = 1_000_000
# It ends when a round changes it by no more, relative to it. Rounding errors of the factor
# before it are larger: 1e-8 where the degrees of freedom of a class are a million.
EPSILON = 1e-13


def distances(features, points):
    """Return the Euclidean distance of each sample to each point, from differences."""
    return features.graph.each_row(lambda point: norm(features - point), np.asarray(points))


def norm(vectors):
    """Return the length of each row."""
    return vectors.reduce("SumSquare", 1).sqrt()


def score_classes(score, parts):
    """Return the score of each class, as :meth:`BaseScore.score_classes` does.

    Parameters
    ----------
    score : BaseScore
        A fitted score.

    parts : dict of Value of shape (n_samples, n_columns)
        What a score may consume: features, inputs, logits, probabilities.

    Returns
    -------
    scores : Value of shape (n_samples, n_classes)
        Scores, of the dtype that all that is consumed has in common.
    """
    if type(score) not in EXPORTED:
        raise ValueError(
            f"conformity_score must be one of {[cls.__name__ for cls in EXPORTED]} to be "
            f"exported; got {score!r}, which only Python can compute."
        )
    names = score.needs
    dtype = np.result_type(*(parts[name].dtype for name in names))
    parts = {name: parts[name].astype(dtype) for name in names}
    scores = EXPORTED[type(score)](score, **parts)
    # Of one column for all classes, this makes as many as there are classes.
    lowest = np.full((1, len(score.classes_)), -np.inf)
    return scores.graph.where(scores.isnan(), lowest, scores).astype(dtype)


# These are the _score_classes of the scores, of what each consumes.


def center_distance(score, features):
    return -distances(features.astype(np.float64), score.centers_)


def mahalanobis(score, features):
    if score.covariance == "tied":
        white = score._whitening[0]
        away = distances(features @ white, score.means_ @ white)
    else:
        white = np.array(score._whitening)
        middles = np.einsum("ki,kij->kj", score.means_, white)
        features = features.astype(np.float64)
        away = features.graph.each_row(
            lambda matrix, middle: norm(features @ matrix - middle), white, middles
        )
    if not score.relative:
        return -away
    background = distances(features @ score._background, score._mean @ score._background)
    return background * background - away * away


def k_neighbors(score, features):
    if score.metric != "euclidean":
        raise ValueError(
            "conformity_score=KNeighbors must have metric='euclidean' to be exported; got "
            f"metric={score.metric!r}."
        )
    graph, features = features.graph, features.astype(np.float64)
    if score.normalize:
        length = features.reduce("SumSquare", 1, keepdims=True).sqrt()
        features = features / graph.where(length > 0.0, length, 1.0)
    columns = []
    for k in range(len(score.classes_)):
        if k not in score.neighbors_:
            columns.append(features.columns(0, 1) * np.nan)
            continue
        search = score.neighbors_[k]
        members = search if isinstance(search, np.ndarray) else search._fit_X
        k_th = min(score.n_neighbors, len(members))
        away = features - score._origins[k]
        # Squared distances, less the square of the sample itself, which changes no order,
        # find the neighbor; how far that is tells the difference from it.
        squares = (members * members).sum(axis=1)
        members = graph.constant(members)
        order = graph.op("Gemm", away, members, squares, alpha=-2.0, transB=1)
        found = order.top(k_th, largest=False).columns(k_th - 1, k_th)
        nearest = graph.op("GatherND", members, found)
        columns.append(-(away - nearest).reduce("SumSquare", 1, keepdims=True).sqrt())
    return graph.op("Concat", *columns, axis=1)


def max_softmax(score, probabilities):
    return probabilities


def max_logit(score, logits):
    return logits


def energy(score, logits):
    return log_sum_exp(logits / float(score.temperature)) * float(score.temperature)


def log_sum_exp(logits):
    return logits.reduce("LogSumExp", 1, keepdims=True)


def open_max(score, logits):
    graph, n_classes = logits.graph, len(score.classes_)
    alpha = min(score.alpha or n_classes, n_classes)
    ranks = logits.top(n_classes).top(n_classes, largest=False)
    # A class without samples loses nothing: a scale without end.
    laws = [score.weibulls_.get(k) for k in range(n_classes)]
    scales = np.array([np.inf if law is None else law.kwds["scale"] for law in laws])
    shapes = np.array([1.0 if law is None else law.args[0] for law in laws])
    away = distances(logits.astype(np.float64), np.nan_to_num(score.means_))
    outside = 1.0 - (-((away / scales) ** shapes)).exp()
    left = alpha - ranks.astype(np.float64)
    lost = left.maximum(0.0) / alpha * outside
    unknown = (logits * lost).reduce("Sum", 1, keepdims=True)
    revised = graph.op("Concat", logits * (1.0 - lost), unknown, axis=1)
    return graph.op("Softmax", revised, axis=1).columns(0, n_classes)


def vim(score, features, logits):
    residual = (features - score.origin_) @ score.residual_space_
    length = residual.reduce("SumSquare", 1, keepdims=True).sqrt()
    return log_sum_exp(logits) - length * np.float64(score.alpha_)


def per_class(score, features):
    for estimator in score.estimators_.values():
        if type(estimator) is not GaussianMixture:
            raise ValueError(
                "conformity_score=PerClass must hold a GaussianMixture to be exported; "
                f"got {estimator!r}."
            )
    return mixture_densities(score.estimators_, features, len(score.classes_))


def input_density(score, inputs):
    return mixture_densities(score.mixtures_, inputs, len(score.classes_))


def mixture_densities(mixtures, X, n_classes):
    """Return the log density of samples under the mixture of each class that has one."""
    graph, n_columns = X.graph, int(next(iter(mixtures.values())).means_.shape[1])
    X = X.astype(np.float64)
    factors, middles, levels = [], [], []
    # The densities of components side by side, and last the one of none.
    n_components = sum(mixture.n_components for mixture in mixtures.values())
    most = max(mixture.n_components for mixture in mixtures.values())
    members = np.full((n_classes, most), n_components)
    for k, mixture in mixtures.items():
        factor = full_factors(mixture, n_columns)
        members[k, : len(factor)] = len(levels) + np.arange(len(factor))
        factors += [*factor]
        middles += [*np.einsum("ki,kij->kj", mixture.means_, factor)]
        log_det = np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
        constant = log_det - n_columns * np.log(2 * np.pi) / 2
        levels += [*(constant + np.log(mixture.weights_))]
    squares = graph.each_row(
        lambda factor, middle: (X @ factor - middle).reduce("SumSquare", 1),
        np.array(factors),
        np.array(middles),
    )
    densities = np.array(levels) - squares * 0.5
    densities = graph.op("Pad", densities, np.array([0, 0, 0, 1]), np.float64(-np.inf))
    gathered = graph.op("Gather", densities, members, axis=1)
    found = gathered.reduce("LogSumExp", 2)
    unknown = np.array([k not in mixtures for k in range(n_classes)])
    return graph.where(unknown, np.full(n_classes, np.nan), found)


def full_factors(mixture, n_columns):
    """Return the Cholesky factor of the precision of each component, as matrices."""
    factors = mixture.precisions_cholesky_
    if mixture.covariance_type == "tied":
        return np.repeat(factors[None], mixture.n_components, axis=0)
    if mixture.covariance_type == "full":
        return factors
    # Of diagonal matrices the diagonals, or one number for all of it.
    return np.eye(n_columns) * factors.reshape(mixture.n_components, 1, -1)


def combined(score, **parts):
    graph = next(iter(parts.values())).graph
    neutral = np.inf if score.how == "min" else 0.0
    total = None
    for part, known, median, spread in zip(
        score.scores_, score.known_, score.medians_, score.spreads_
    ):
        scaled = (score_classes(part, parts) - median) / spread
        scaled = graph.where(known, scaled, np.full(len(known), neutral))
        if total is None:
            total = scaled
        else:
            total = total.minimum(scaled) if score.how == "min" else total + scaled
    known = score.known_.any(axis=0)
    return graph.where(known, total, np.full(len(known), -np.inf))


EXPORTED = {
    CenterDistance: center_distance,
    Combined: combined,
    Energy: energy,
    InputDensity: input_density,
    KNeighbors: k_neighbors,
    Mahalanobis: mahalanobis,
    MaxLogit: max_logit,
    MaxSoftmax: max_softmax,
    OpenMax: open_max,
    PerClass: per_class,
    ViM: vim,
}


def p_values(calibration, scores):
    """Return the p-values, as :meth:`BaseCalibration.p_values` does.

    Parameters
    ----------
    calibration : BaseCalibration
        A fitted calibration.

    scores : Value of shape (n_samples, n_classes)
        Scores, none of them NaN.

    Returns
    -------
    p_values : Value of shape (n_samples, n_classes)
        p-values, float64.
    """
    return CALIBRATED[type(calibration)](calibration, scores)


def conformal(calibration, scores):
    sizes = calibration.n_samples_
    return (number_below(calibration, scores) + 1.0) / (sizes + 1.0)


def number_below(calibration, scores):
    """Return how many calibration samples of each class score no higher, float64.

    A binary search: it holds no more than the scores, however many samples there are.
    """
    graph, groups = scores.graph, calibration.groups_
    members = np.concatenate([*calibration._members, [np.nan]])
    members = members.astype(calibration._members[0].dtype)
    lengths = [len(part) for part in calibration._members]
    starts = (np.cumsum(lengths) - lengths)[groups]
    sizes = calibration.n_samples_
    last = len(members) - 1
    found = scores.isnan().astype(np.int64)  # zeros, for there is none
    for step in 2 ** np.arange(int(sizes.max()).bit_length())[::-1]:
        tried = found + step
        inside = tried <= sizes
        at = (tried + (starts - 1)).minimum(np.int64(last))
        below = graph.op("Gather", members, at) <= scores
        found = graph.where(inside & below, tried, found)
    return found.astype(np.float64)


# And these the _p_values of the calibrations, of all groups at once.


def gaussian(calibration, scores):
    graph, groups = scores.graph, calibration.groups_
    sizes = calibration.n_samples_
    nu = calibration.degrees_of_freedom_
    # Of the largest float the square would be infinite, and infinite parts make no sum.
    ratio = scores * scores / np.array(calibration._means)[groups]
    ratio = ratio.astype(np.float64).minimum(1e300)
    found = fisher_sf(ratio, nu, np.maximum(sizes, 1))
    found = found.maximum(SMALLEST)
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


def weibull(calibration, scores):
    graph, groups = scores.graph, calibration.groups_
    sizes = calibration.n_samples_
    middle, unit, total, tail_size = [], [], [], []
    for group, (m, largest) in enumerate(calibration._tails):
        has_tail = largest > 0
        # Without a tail no score is below minus infinity.
        middle.append(calibration._members[group][m] if has_tail else -np.inf)
        unit.append(largest if has_tail else 1.0)
        total.append(calibration._sums[group] if has_tail else 1.0)
        tail_size.append(m)
    dtype = calibration._members[0].dtype
    middle, unit, total = (np.array(x, dtype=dtype)[groups] for x in (middle, unit, total))
    m = np.array(tail_size)[groups]
    excess = (middle - scores) / unit
    beyond = excess.maximum(0.0) ** float(calibration.shape_) / total
    share = ((m + 1) / (sizes + 1)).astype(dtype)
    tail = (beyond + 1.0) ** (-m).astype(dtype) * share
    tail = tail.astype(np.float64).maximum(SMALLEST)
    return graph.where(excess > 0.0, tail, conformal(calibration, scores))


CALIBRATED = {
    ConformalCalibration: conformal,
    GaussianCalibration: gaussian,
    WeibullCalibration: weibull,
}


def lowest_accepted(calibration, dtype):
    """Return the lowest score that each class accepts, to the last bit.

    A score is accepted when its p-value is above the threshold. Comparing scores with
    this instead gives the same decisions, whatever rounding does to p-values.

    Parameters
    ----------
    calibration : BaseCalibration
        A fitted calibration.

    dtype : dtype
        That of the scores, float32 or float64.

    Returns
    -------
    lowest : ndarray of shape (n_classes,)
        Scores; minus infinity for a class that accepts all.
    """
    dtype = np.dtype(dtype)
    whole = np.int32 if dtype == np.float32 else np.int64
    # Read as integers, floats of one sign are in order: a bisection of all there are.
    infinite = np.array(np.inf, dtype=dtype).view(whole)
    low = np.full(len(calibration.groups_), -infinite, dtype=whole)
    high = np.full(len(calibration.groups_), infinite, dtype=whole)

    def accepts(numbers):
        scores = np.copysign(np.abs(numbers).view(dtype), numbers.astype(dtype))
        return scores, calibration.p_values(scores[None])[0] > calibration.thresholds_

    lowest, always = accepts(low)
    while (low + 1 < high).any():
        middle = (low >> 1) + (high >> 1) + (low & high & 1)  # whose sum may be too large
        _, accepted = accepts(middle)
        low, high = np.where(accepted, low, middle), np.where(accepted, middle, high)
    return np.where(always, lowest, accepts(high)[0])
