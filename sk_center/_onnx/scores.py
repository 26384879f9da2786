"""Scores, p-values and the thresholds of them as parts of an ONNX graph."""

import numpy as np
from sklearn.mixture import GaussianMixture

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
