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
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, OneClassSVM

from sk_center import CenterLossClassifier
from sk_center.scores import BaseScore, Mahalanobis, PerClass
from sk_center.scores.registry import SCORES

# Pixels have one scale already.
SCALERS = {
    "wine": StandardScaler(),
    "breast cancer": StandardScaler(),
    "letter": StandardScaler(),
}

# Parameters of CenterLossClassifier. One line for each way to train: every suite runs all.
NETWORKS = {
    "softmax": {"lambda_center": 0, "predict_with": "softmax"},
    "center loss": {},
    # The control: as much as small features alone explain.
    "norm penalty": {"lambda_center": 0, "lambda_norm": 0.1},
    "anchors": {"head": "distance", "center": "simplex", "center_update": "fixed"},
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
    """A detector of PyOD as scikit-learn has them: larger scores are more typical."""

    def __init__(self, detector):
        self.detector = detector

    def fit(self, X, y=None):
        """Fit the detector."""
        self.detector_ = clone(self.detector).fit(X)
        return self

    def score_samples(self, X):
        """Return minus how outlying the samples look."""
        return -self.detector_.decision_function(X)


class Together(BaseScore):
    """What one outlier detector says that is fitted on all classes together."""

    def __init__(self, estimator):
        self.estimator = estimator

    per_class = False

    def _fit(self, y, features):
        self.estimators_ = {0: clone(self.estimator).fit(features)}

    def _score_classes(self, features):
        return self.estimators_[0].score_samples(features)


def pyod_scores():
    """Return scores made of PyOD's detectors, none where PyOD is not installed."""
    if find_spec("pyod") is None:
        return {}
    ecod, inne, knn = (
        import_module(f"pyod.models.{name}") for name in ("ecod", "inne", "knn")
    )
    nearest, isolation = knn.KNN(n_neighbors=1), inne.INNE(max_samples=128, random_state=0)
    return {
        "PyOD KNN per class": PerClass(PyODDetector(nearest)),
        "PyOD KNN together": Together(PyODDetector(nearest)),
        "PyOD INNE per class": PerClass(PyODDetector(isolation)),
        "PyOD INNE together": Together(PyODDetector(isolation)),
        # ECOD ranks what it judges among the samples judged with it: not for one class.
        "PyOD ECOD together": Together(PyODDetector(ecod.ECOD())),
    }


# Parameters chosen on letters left out of the known ones, of three draws of 13 letters.
FOREST = IsolationForest(n_estimators=300, max_samples=1.0, random_state=0)
OUTLIER_SCORES = {
    "one-class SVM per class": PerClass(OneClassSVM(nu=0.05, gamma=0.8)),
    "isolation forest per class": PerClass(FOREST),
    "isolation forest together": Together(FOREST),
    "local outlier factor per class": PerClass(
        LocalOutlierFactor(n_neighbors=5, novelty=True)
    ),
    "gaussian mixture per class": PerClass(
        GaussianMixture(8, reg_covar=0.01, random_state=0)
    ),
}
PYOD_SCORES = pyod_scores()
BASE_SCORES = {
    **{name: score() for name, score in SCORES.items()},
    "relative mahalanobis": Mahalanobis(relative=True),
    **OUTLIER_SCORES,
    **PYOD_SCORES,
}

# What conformity_score="auto" stands for where the estimator gives features and logits,
# and where it gives no features. The density has no say where inputs are images, here as
# in OpenSetClassifier.
AUTO = "sum(mahalanobis, energy, input_density)"
AUTO_OF_PEERS = "input_density"
IMAGES = ("mnist", "mnist, notmnist")


def make_estimator(recipe, data, seed, **budget):
    """Return the classifier of a recipe, not fitted, after a scaler where data need one.

    The budget holds the parameters of the training that all networks share; it means
    nothing to other classifiers.
    """
    if recipe in PEERS:
        classifier = clone(PEERS[recipe])
        if "random_state" in classifier.get_params(deep=False):
            classifier.set_params(random_state=seed)
    else:
        params = {**budget, **{**GRID, **NETWORKS}[recipe]}
        classifier = CenterLossClassifier(random_state=seed, **params)
    return make_pipeline(SCALERS[data], classifier) if data in SCALERS else classifier


def parse_score(name, recipe, data):
    """Return the keys of BASE_SCORES that a name stands for, and how they are combined.

    A name is ``"knn"``, ``"min(center_distance, knn)"``, ``"sum(...)"`` or ``"auto"``.
    """
    if name == "auto":
        name = AUTO_OF_PEERS if recipe in PEERS else AUTO
    combined = re.fullmatch(r"(min|sum)\((.*)\)", name)
    if not combined:
        return [name], "min"
    names = combined[2].split(", ")
    if data in IMAGES:
        names = [name for name in names if name != "input_density"]
    return names, combined[1]
