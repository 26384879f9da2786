"""Problems for tests of scores, and references by scipy, scikit-learn and loops."""

import numpy as np
from scipy.spatial.distance import cdist, mahalanobis
from sklearn.covariance import LedoitWolf

from sk_center.scores import (
    CenterDistance,
    Combined,
    Mahalanobis,
    MaxSoftmax,
)
from sk_center.scores.combined import held_out_folds

N_CLASSES, N_FEATURES, N_SAMPLES = 3, 4, 60


FEATURE_SCORES = {
    "center_distance": CenterDistance(),
    "mahalanobis": Mahalanobis(),
    "combined": Combined([CenterDistance(), Mahalanobis()]),
}


ALL_SCORES = {**FEATURE_SCORES, "max_softmax": MaxSoftmax()}


# float64 against float64, through the inverse of a well-conditioned matrix.
CLOSE = {"rtol": 1e-9, "atol": 1e-12}


def random_problem(seed=0, n_samples=N_SAMPLES, n_features=N_FEATURES):
    """Return correlated features of uneven spread, class indices and new samples."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(n_features, n_features)) * np.arange(1, n_features + 1)
    y = rng.permutation(np.arange(n_samples) % N_CLASSES)
    offsets = 5 * rng.normal(size=(N_CLASSES, n_features))
    X = rng.normal(size=(n_samples, n_features)) @ mixing + offsets[y]
    return X, y, 10 * rng.normal(size=(7, n_features))


def probabilities(seed=0, n_samples=N_SAMPLES):
    """Return rows that sum to one, and class indices."""
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(N_CLASSES), n_samples), np.arange(n_samples) % N_CLASSES


def problem_of(score):
    """Return training samples of the kind that a score needs, labels, new samples."""
    if score.needs == ("features",):
        return random_problem()
    return *probabilities(), probabilities(1, 7)[0]


def reference_means(X, y):
    """Return the mean of each class, class by class and feature by feature."""
    return np.array(
        [
            [sum(x[d] for x, k in zip(X, y) if k == label) / sum(k == label for k in y)]
            for label in sorted(set(y))
            for d in range(X.shape[1])
        ]
    ).reshape(-1, X.shape[1])


def reference_mahalanobis(X, y, new):
    """Return minus the distances of scipy under the covariance of scikit-learn."""
    means = reference_means(X, y)
    labels = sorted(set(y))
    deviations = np.array([x - means[labels.index(k)] for x, k in zip(X, y)])
    inverse = np.linalg.inv(LedoitWolf(assume_centered=True).fit(deviations).covariance_)
    return -np.array([[mahalanobis(x, mean, inverse) for mean in means] for x in new])


def reference_distance(X, y, new):
    """Return minus the Euclidean distances to the class means, by scipy."""
    return -cdist(new, reference_means(X, y))


def interpolated(values, share):
    """Return a quantile by linear interpolation between the sorted values."""
    values = sorted(values)
    position = share * (len(values) - 1)
    low = int(position)
    high = min(low + 1, len(values) - 1)
    return values[low] + (position - low) * (values[high] - values[low])


def reference_scale(X, y, reference):
    """Return median and spread of the own scores of samples in folds held out in turn."""
    own = []
    for rows in held_out_folds(y, 3):
        others = [i for i in range(len(y)) if i not in rows]
        scores = reference(X[others], y[others], X[rows])
        own += [row[k] for row, k in zip(scores, y[rows])]
    return interpolated(own, 0.5), interpolated(own, 0.5) - interpolated(own, 0.05)


def reference_combined(X, y, new, references):
    """Return the least of several reference scores, each on its own scale."""
    scaled = []
    for reference in references:
        median, spread = reference_scale(X, y, reference)
        scaled.append((reference(X, y, new) - median) / spread)
    return np.min(scaled, axis=0)


REFERENCES = {
    "center_distance": reference_distance,
    "mahalanobis": reference_mahalanobis,
    "combined": lambda *problem: reference_combined(
        *problem, [reference_distance, reference_mahalanobis]
    ),
}


def counts(n_samples=600, n_topics=30, n_words=900):
    """Return counts of words in short texts, each about a topic with words of its own."""
    rng = np.random.default_rng(0)
    common = 1 / np.arange(1, n_words + 1)
    topics = common * rng.gamma(0.1, size=(n_topics, n_words)) + 0.1 * common
    topics /= topics.sum(axis=1, keepdims=True)
    return np.array([rng.multinomial(12, topics[i % n_topics]) for i in range(n_samples)])
