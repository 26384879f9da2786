"""Rejection against hand-written code, and against the classifier alone.

The hand-written code makes one pass through the network, a score in numpy and a comparison.
"""

import numpy as np
import torch
from scipy.special import logsumexp, softmax
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors

from benchmarks.speed.memory import peak
from benchmarks.speed.models import N_CLASSES, N_INPUTS, handwritten_fit, table
from benchmarks.speed.timing import Row, compare
from sk_center import CenterLossClassifier, OpenSetClassifier

NAMES = {
    "energy": "energy",
    "mahalanobis": "mahalanobis",
    "k-NN": "knn",
    "density": "input_density",
    "auto": "auto",
}
N_TRAIN = 5_000
# The parts of the default score around a network on a table of 64 columns.
AUTO_PARTS = ("nearest direction", "largest density", "confidence")
MOST_MEMORY = 100e6


class ByHand:
    """A network with a threshold, as one would write it, and all scores of the table.

    The default is the sum of ``AUTO_PARTS``, here without scales, which take no time.
    """

    def __init__(self, model, X, y):
        self.model = model
        features, _ = self.outputs(X)
        own = [y == k for k in range(N_CLASSES)]
        self.means = np.array([features[rows].mean(axis=0) for rows in own])
        covariance = np.cov(features - self.means[y], rowvar=False)
        ridge = 1e-3 * np.trace(covariance) / len(covariance)
        precision = np.linalg.inv(covariance + ridge * np.eye(len(covariance)))
        self.whiten = np.linalg.cholesky(precision).astype(np.float32)
        self.white_means = (self.means @ self.whiten).astype(np.float32)
        self.neighbors = [NearestNeighbors(n_neighbors=5).fit(features[k]) for k in own]
        self.mixtures = [
            GaussianMixture(2, reg_covar=1e-3, random_state=0).fit(X[k]) for k in own
        ]
        directions = unit_rows(X)
        self.samples = [directions[k] for k in own]
        self.pca = PCA(32, whiten=True).fit(directions)
        reduced = self.pca.transform(directions)
        self.reduced_mixtures = [
            GaussianMixture(4, reg_covar=1e-3, random_state=0).fit(reduced[k]) for k in own
        ]
        self.threshold = -1e9

    def outputs(self, X):
        """Return features and logits."""
        with torch.no_grad():
            features = self.model.body(torch.from_numpy(X))
            return features.numpy(), self.model.head(features).numpy()

    def score(self, name, X, features, logits, predicted):
        """Return one number for each sample."""
        if name == "energy":
            return logsumexp(logits, axis=1)
        if name == "confidence":
            largest = softmax(logits, axis=1).max(axis=1)
            return np.log(largest) - np.log1p(-np.minimum(largest, 1 - 1e-7))
        if name == "mahalanobis":
            apart = features @ self.whiten - self.white_means[predicted]
            return -np.einsum("ij,ij->i", apart, apart)
        if name == "largest density":
            reduced = self.pca.transform(unit_rows(X))
            return np.max(
                [one.score_samples(reduced) for one in self.reduced_mixtures], axis=0
            )
        found = np.empty(len(X))
        for k in range(N_CLASSES):
            rows = np.flatnonzero(predicted == k)
            if not len(rows):
                continue
            if name == "k-NN":
                found[rows] = -self.neighbors[k].kneighbors(features[rows])[0][:, -1]
            elif name == "nearest direction":
                found[rows] = nearest(unit_rows(X[rows]), self.samples[k])
            else:
                found[rows] = self.mixtures[k].score_samples(X[rows])
        return found

    def predict(self, name, X):
        """Return the classes, -1 for outsiders."""
        features, logits = self.outputs(X)
        predicted = logits.argmax(axis=1)
        parts = AUTO_PARTS if name == "auto" else (name,)
        score = sum(self.score(part, X, features, logits, predicted) for part in parts)
        return np.where(score < self.threshold, -1, predicted)


def unit_rows(X):
    """Return samples of length one."""
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def nearest(X, samples, block=4096):
    """Return minus the distance of each sample to the nearest of others."""
    half = np.einsum("ij,ij->i", samples, samples) / 2
    found = np.empty(len(X))
    for start in range(0, len(X), block):
        rows = X[start : start + block]
        apart = rows - samples[(half - rows @ samples.T).argmin(axis=1)]
        found[start : start + block] = -np.sqrt(np.einsum("ij,ij->i", apart, apart))
    return found


def fitted(estimator, score, size, **params):
    """Return an OpenSetClassifier on the table of the comparisons."""
    X, y = table(min(size.n_samples, N_TRAIN))
    model = OpenSetClassifier(estimator, conformity_score=score, random_state=0, **params)
    return model.fit(X, y)


def network(**params):
    """Return our classifier, trained for an epoch."""
    return CenterLossClassifier(
        max_epochs=1, batch_size=256, random_state=0, device="cpu", **params
    )


def small_network():
    """Return our classifier with a network as small as the one by hand."""
    return network(hidden_layer_sizes=(64,))


def rejection(size):
    """Yield comparisons of predicting many rows with hand-written code."""
    X, y = table(min(size.n_samples, N_TRAIN))
    many, _ = table(size.n_samples, seed=1)
    hand = ByHand(handwritten_fit(X, y, 1, 256, 0), X, y)
    for name, score in NAMES.items():
        model = fitted(small_network(), score, size)
        yield compare(
            f"predict, {len(many)} x {N_INPUTS}, {name}",
            "the same by hand",
            1.3,
            lambda model=model: model.predict(many),
            lambda name=name: hand.predict(name, many),
            size.repeats,
        )


def calls(size):
    """Yield comparisons of predicting with the classifier alone."""
    many, _ = table(size.n_samples, seed=1)
    one = many[:1]
    linear = LogisticRegression(max_iter=200)
    for estimator, kind, names, most_one, most_many in (
        (network(), "CenterLossClassifier", NAMES, 2.0, 5.0),
        (small_network(), "CenterLossClassifier, layers (64,)", ["auto"], None, None),
        (linear, "LogisticRegression", NAMES, 3.0, 20.0),
    ):
        for name in names:
            score = NAMES[name]
            model = fitted(estimator, score, size)
            bare = model.estimator_
            yield compare(
                f"predict one row, 200 times, {kind}, {name}",
                "the classifier alone",
                most_one if name == "auto" else 3.0,
                lambda model=model: [model.predict(one) for _ in range(200)],
                lambda bare=bare: [bare.predict(one) for _ in range(200)],
                size.repeats,
            )
        yield compare(
            f"predict, {len(many)} x {N_INPUTS}, {kind}, auto",
            "the classifier alone",
            most_many,
            lambda model=model: model.predict(many),
            lambda bare=bare: bare.predict(many),
            size.repeats,
        )


FIT_MANY = """
import sys
import numpy as np, torch
from sklearn.frozen import FrozenEstimator
from benchmarks.speed.memory import peak_memory, start_of_peak
from benchmarks.speed.rejection import many_classes, small_network
from sk_center import OpenSetClassifier
n, threads, score = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
torch.set_num_threads(threads)
X, y = many_classes(n)
frozen = FrozenEstimator(small_network().fit(X, y))
OpenSetClassifier(frozen, conformity_score=score).fit(*many_classes(2_000, 10))
before = start_of_peak()
OpenSetClassifier(frozen, conformity_score=score).fit(X, y)
print(peak_memory() - before)
"""


def many_classes(n_samples, n_classes=1_000):
    """Return samples of many clouds in 64 dimensions, float32, and their labels."""
    rng = np.random.default_rng(0)
    y = np.arange(n_samples) % n_classes
    X = 2 * rng.normal(size=(n_classes, N_INPUTS))[y]
    return (X + rng.normal(size=X.shape)).astype(np.float32), y


def fit_memory(size):
    """Yield the memory that ``fit`` takes beyond the data with a thousand classes."""
    n_samples = 2 * size.n_samples
    for score in ("max_softmax", "energy", "center_distance", "mahalanobis", "knn", "auto"):
        taken = peak(FIT_MANY, n_samples, score)
        yield Row(
            f"peak memory of fit, {n_samples} x {N_INPUTS}, 1,000 classes, {score}",
            "100 MB above the data",
            f"{taken / 1e6:.4g} MB",
            f"{MOST_MEMORY / 1e6:.4g} MB",
            taken / MOST_MEMORY,
            target=1.0,
        )
