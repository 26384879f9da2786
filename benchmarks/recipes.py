"""What is compared: recipes that make a classifier, and scores by name."""

import re
from importlib import import_module
from importlib.util import find_spec

from sklearn.base import BaseEstimator, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC, OneClassSVM

from sk_center import CenterLossClassifier
from sk_center.scores import SCORES, Mahalanobis, PerClass

# Images go to the network as they are.
SCALERS = {
    "digits": MinMaxScaler(),
    "wine": StandardScaler(),
    "breast cancer": StandardScaler(),
    "letter": StandardScaler(),
}

# Parameters of CenterLossClassifier. One line for each way to train: every suite runs all.
NETWORKS = {
    "softmax": {"lambda_center": 0, "predict_with": "softmax"},
    "center loss": {},
}

# Weights of the center loss that the suite ``defaults`` chooses from.
GRID = {
    "softmax": NETWORKS["softmax"],
    **{f"lambda {w:g}": {"lambda_center": w} for w in (0.01, 0.03, 0.1, 0.3, 1)},
}

# Classifiers of scikit-learn. The network of MLPClassifier and its training are ours.
PEERS = {
    "random forest": RandomForestClassifier(),
    "gradient boosting": HistGradientBoostingClassifier(),
    "logistic regression": LogisticRegression(max_iter=1000),
    "SVM": CalibratedClassifierCV(SVC(C=10), ensemble=False),
    "MLPClassifier": MLPClassifier((512, 128), batch_size=64, max_iter=100),
}


class PyODDetector(BaseEstimator):
    """A detector of PyOD as scikit-learn has them: larger scores are more typical.

    Parameters
    ----------
    detector : pyod detector
        The detector, not fitted.

    Attributes
    ----------
    detector_ : pyod detector
        The fitted detector, whose ``decision_scores_`` are those of its training samples.
    """

    def __init__(self, detector):
        self.detector = detector

    def fit(self, X, y=None):
        """Fit the detector."""
        self.detector_ = clone(self.detector).fit(X)
        return self

    def score_samples(self, X):
        """Return minus how outlying the samples look."""
        return -self.detector_.decision_function(X)


def pyod_scores():
    """Return scores made of PyOD's detectors, none where PyOD is not installed."""
    if find_spec("pyod") is None:
        return {}
    names = {"knn": "KNN", "ecod": "ECOD", "cblof": "CBLOF", "inne": "INNE"}
    found = {}
    for module, name in names.items():
        detector = getattr(import_module(f"pyod.models.{module}"), name)()
        if "random_state" in detector.get_params():
            detector.set_params(random_state=0)
        found[f"PyOD {name} per class"] = PerClass(PyODDetector(detector))
    return found


PYOD_SCORES = pyod_scores()
OUTLIER_SCORES = {
    "one-class SVM per class": PerClass(OneClassSVM(nu=0.05)),
    "isolation forest per class": PerClass(IsolationForest(random_state=0)),
    "local outlier factor per class": PerClass(LocalOutlierFactor(novelty=True)),
    "gaussian mixture per class": PerClass(GaussianMixture(reg_covar=1e-3, random_state=0)),
}
BASE_SCORES = {
    **{name: score() for name, score in SCORES.items()},
    "relative mahalanobis": Mahalanobis(relative=True),
    **OUTLIER_SCORES,
    **PYOD_SCORES,
}

# What conformity_score="auto" stands for where the estimator gives features.
AUTO = "min(center_distance, mahalanobis)"


def make_estimator(recipe, data, seed, **budget):
    """Return the classifier of a recipe, not fitted.

    Parameters
    ----------
    recipe : str
        A key of NETWORKS, GRID or PEERS.

    data : str
        Data, which decides about scaling.

    seed : int
        Seed of the classifier.

    **budget : dict
        Parameters of the training that all networks share; for the others without
        meaning.

    Returns
    -------
    estimator : estimator instance
        The classifier, after a scaler where the data need one.
    """
    if recipe in PEERS:
        classifier = clone(PEERS[recipe])
        if "random_state" in classifier.get_params(deep=False):
            classifier.set_params(random_state=seed)
    else:
        params = {**budget, **{**GRID, **NETWORKS}[recipe]}
        classifier = CenterLossClassifier(random_state=seed, **params)
    return make_pipeline(SCALERS[data], classifier) if data in SCALERS else classifier


def parse_score(name):
    """Return the base scores that a name stands for, and how they are combined.

    Parameters
    ----------
    name : str
        ``"knn"``, ``"min(center_distance, knn)"``, ``"sum(...)"`` or ``"auto"``.

    Returns
    -------
    names : list of str
        Keys of BASE_SCORES.

    how : {"min", "sum"}
        How :class:`~sk_center.scores.Combined` combines them.
    """
    combined = re.fullmatch(r"(min|sum)\((.*)\)", AUTO if name == "auto" else name)
    return (combined[2].split(", "), combined[1]) if combined else ([name], "min")
