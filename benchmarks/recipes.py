"""Classifiers and scores that are compared, by name."""

import re

import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC, OneClassSVM

from benchmarks.data import TABLES
from sk_center import CenterLossClassifier
from sk_center.scores import (
    CenterDistance,
    Combined,
    Energy,
    InputDensity,
    KNeighbors,
    Mahalanobis,
    MaxSoftmax,
    ViM,
)

# Pixels and embeddings have one scale already.
SCALED = ("wine", "breast cancer", "letter", *TABLES)

# Parameters of CenterLossClassifier. One line for each way to train.
NETWORKS = {
    "softmax": {"lambda_center": 0, "predict_with": "softmax"},
    "center loss": {},
    # The control: how much small features alone explain.
    "norm penalty": {"lambda_center": 0, "lambda_norm": 0.1},
    "anchors": {"anchors": "simplex"},
}
# Without the orientation loss, for twice as many epochs by default.
OF_IMAGES = {"upright alone": {"lambda_orientation": 0}}

# The default and trainings that differ in one thing; the last in all, at a constant rate.
CHANGES = {
    "default": {},
    "softmax": NETWORKS["softmax"],
    **{f"lambda_center={w:g}": {"lambda_center": w} for w in (0.01, 0.03, 0.3, 1)},
    **{f"max_epochs={n}": {"max_epochs": n} for n in (10, 20, 40, 80)},
    **{f"lr={rate:g}": {"lr": rate} for rate in (0.001, 0.01)},
    **{f"batch_size={n}": {"batch_size": n} for n in (32, 256)},
    "constant rate": {
        "lr_schedule": None,
        "lr": 0.001,
        "batch_size": 64,
        "max_epochs": 100,
    },
}

# Classifiers of scikit-learn. The network of MLPClassifier and its training are ours.
PEERS = {
    "random forest": RandomForestClassifier(),
    "gradient boosting": HistGradientBoostingClassifier(),
    "logistic regression": LogisticRegression(max_iter=1000),
    "SVM": CalibratedClassifierCV(SVC(C=10), ensemble=False),
    "SVM, decisions": SVC(C=10),  # no probabilities by default
    "MLPClassifier": MLPClassifier((512, 128), batch_size=64, max_iter=100),
}

# Estimators that are fitted to each class and calibrated as scores. Parameters were chosen
# on letters left out of the known ones, of three draws of 13 letters.
FOREST = IsolationForest(n_estimators=300, max_samples=1.0, random_state=0)
PER_CLASS = {
    "one-class SVM per class": OneClassSVM(nu=0.05, gamma=0.8),
    "isolation forest per class": FOREST,
    "local outlier factor per class": LocalOutlierFactor(n_neighbors=5, novelty=True),
    "gaussian mixture per class": GaussianMixture(8, reg_covar=0.01, random_state=0),
}
# Scores that can be combined, and those without a name of their own in the package.
SCORES = {
    "center_distance": CenterDistance(),
    "energy": Energy(),
    "input_density": InputDensity(),
    "knn": KNeighbors(),
    "mahalanobis": Mahalanobis(),
    "mahalanobis, length one": Mahalanobis(normalize=True),
    "relative mahalanobis": Mahalanobis(relative=True),
    "max_softmax": MaxSoftmax(),
    "vim": ViM(),
    **PER_CLASS,
}


def make_preprocessing(data, X):
    """Return the steps before every classifier, a list of transformers, not fitted."""
    if data == "banking77 texts":
        return [TfidfVectorizer(sublinear_tf=True)]
    if data == "banking77 directions of texts":
        return [TfidfVectorizer(sublinear_tf=True), TruncatedSVD(100, random_state=0)]
    if isinstance(X, pd.DataFrame):  # numbers and categories
        numbers = make_column_selector(dtype_include="number")
        others = make_column_selector(dtype_exclude="number")
        encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
        return [make_column_transformer((StandardScaler(), numbers), (encoder, others))]
    return [StandardScaler()] if data in SCALED else []


def make_classifier(recipe, seed, **budget):
    """Return the classifier of a recipe, not fitted.

    The budget holds the parameters of the training that all networks share; other
    classifiers take none of them.
    """
    if recipe not in PEERS:
        params = {**budget, **{**CHANGES, **NETWORKS, **OF_IMAGES}[recipe]}
        return CenterLossClassifier(random_state=seed, **params)
    classifier = clone(PEERS[recipe])
    if "random_state" in classifier.get_params(deep=False):
        classifier.set_params(random_state=seed)
    return classifier


def make_score(name):
    """Return the ``conformity_score`` that a name stands for.

    A name is one of :class:`~sk_center.OpenSetClassifier`, such as ``"auto"``, a key of
    ``SCORES``, ``"min(center_distance, knn)"`` or ``"sum(...)"``.
    """
    combined = re.fullmatch(r"(min|sum)\((.*)\)", name)
    if combined:
        scores = [clone(SCORES[part]) for part in combined[2].split(", ")]
        return Combined(scores, how=combined[1])
    return clone(SCORES[name]) if name in SCORES else name


class Trained:
    """Makes a fitted estimator one that ``clone`` and ``fit`` leave as it is.

    Unlike in a FrozenEstimator, the scores of an OpenSetClassifier still learn from the
    part that trained.
    """

    def __sklearn_clone__(self):
        return self

    def fit(self, X, y=None, **params):
        """Return the estimator, which is fitted."""
        return self


def trained(estimator):
    """Return a fitted estimator that can be given to several OpenSetClassifiers."""
    kind = type(estimator)
    estimator.__class__ = type(kind.__name__, (Trained, kind), {"__module__": __name__})
    return estimator


def make_estimator(data, X, classifier):
    """Return the classifier after the steps that the data need, a Pipeline."""
    return make_pipeline(*make_preprocessing(data, X), classifier)


class PyODDetector(BaseEstimator):
    """A detector of PyOD with scikit-learn's methods: larger scores are more typical."""

    def __init__(self, detector):
        self.detector = detector

    def fit(self, X, y=None):
        """Fit the detector."""
        self.detector_ = clone(self.detector).fit(X)
        return self

    def score_samples(self, X):
        """Return minus how outlying the samples are."""
        return -self.detector_.decision_function(X)
