"""Detectors that a user may take instead: one number a sample, and a threshold on it.

Five-liners are fitted on the training part, and their threshold is the quantile of the
held-out part, the same part that calibrates ``OpenSetClassifier``::

    detector = IsolationForest().fit(X_train)
    threshold = np.quantile(detector.score_samples(X_held_out), 0.05)
    outlier = detector.score_samples(X) < threshold
"""

from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.pipeline import make_pipeline

from benchmarks.recipes import SCORES, PyODDetector, make_preprocessing

CONFIDENCE = "largest probability"


class NearestSample(BaseEstimator):
    """Minus the distance to the nearest training sample."""

    def fit(self, X, y=None):
        """Keep the samples."""
        self.neighbors_ = NearestNeighbors(n_neighbors=1).fit(X)
        return self

    def score_samples(self, X):
        """Return minus the distances."""
        return -self.neighbors_.kneighbors(X)[0][:, 0]


# With their defaults: nothing here knows the share of outsiders in the test part.
FIVE_LINES = {
    "isolation forest": IsolationForest(random_state=0),
    "local outlier factor": LocalOutlierFactor(novelty=True),
    "nearest sample": NearestSample(),
}
# The same detectors on the features of a network.
OF_FEATURES = {
    f"{name}, features": FIVE_LINES[name]
    for name in ("local outlier factor", "nearest sample")
}


def pyod_detectors():
    """Return detectors of PyOD with their defaults, none where PyOD is not installed."""
    if find_spec("pyod") is None:
        return {}
    # ECOD ranks a sample among those that it judges together with it.
    detectors = {
        "PyOD ECOD": import_module("pyod.models.ecod").ECOD(),
        "PyOD INNE": import_module("pyod.models.inne").INNE(random_state=0),
        "PyOD KNN": import_module("pyod.models.knn").KNN(),
    }
    return {name: PyODDetector(detector) for name, detector in detectors.items()}


PYOD = pyod_detectors()
if PYOD:
    knn, inne = (import_module(f"pyod.models.{name}") for name in ("knn", "inne"))
    # Fitted to each class and calibrated by OpenSetClassifier, for which ECOD is not made.
    PYOD_PER_CLASS = {
        "PyOD KNN per class": PyODDetector(knn.KNN(n_neighbors=1)),
        "PyOD INNE per class": PyODDetector(inne.INNE(max_samples=128, random_state=0)),
    }
    SCORES.update(PYOD_PER_CLASS)
else:
    PYOD_PER_CLASS = {}
DETECTORS = {**FIVE_LINES, **OF_FEATURES, **PYOD}
BASELINES = (CONFIDENCE, *DETECTORS)


def confidence(estimator, X):
    """Return the largest probability, or without probabilities the largest decision."""
    if hasattr(estimator, "predict_proba"):
        return estimator.predict_proba(X).max(axis=1)
    decision = estimator.decision_function(X)
    return np.abs(decision) if decision.ndim == 1 else decision.max(axis=1)


def baseline_scores(name, estimator, split, seed, data_dir=None):
    """Return the scores of the held-out and the test part by a five-liner or a detector."""
    if name not in OF_FEATURES and name != CONFIDENCE:
        return input_scores(name, split, seed, data_dir)
    train, _, held_out, test = parts_of(split, seed, data_dir)
    if name == CONFIDENCE:
        return confidence(estimator, held_out), confidence(estimator, test)
    detector = clone(DETECTORS[name]).fit(estimator.transform(train))
    return [detector.score_samples(estimator.transform(X)) for X in (held_out, test)]


@lru_cache(maxsize=32)
def input_scores(name, split, seed, data_dir=None):
    """Return these scores by a detector on the inputs, which all classifiers share."""
    train, _, held_out, test = parts_of(split, seed, data_dir)
    steps = make_preprocessing(split.data, train) or ["passthrough"]
    before = make_pipeline(*steps).fit(train)
    train, held_out, test = (rows_of(before.transform(X)) for X in (train, held_out, test))
    detector = clone(DETECTORS[name]).fit(train)
    return detector.score_samples(held_out), detector.score_samples(test)


def rows_of(X):
    """Return samples of any shape as rows of numbers."""
    return X if X.ndim == 2 else X.reshape(len(X), -1)


@lru_cache(maxsize=2)
def parts_of(split, seed, data_dir=None):
    """Return the training part, its labels, the held-out part and the test part."""
    X, y, X_test, _ = split.parts(data_dir)
    train, held_out = split.held_out(y, seed, data_dir)
    take = X.iloc if hasattr(X, "iloc") else X
    return take[train], y[train], take[held_out], X_test
