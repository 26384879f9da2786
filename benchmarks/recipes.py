"""What is compared: recipes that make a classifier, and scores by name."""

import re

from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from sk_center import CenterLossClassifier
from sk_center.scores import SCORES, KNeighbors, Mahalanobis

# Images go to the network as they are.
SCALERS = {
    "digits": MinMaxScaler(),
    "wine": StandardScaler(),
    "breast cancer": StandardScaler(),
    "letter": StandardScaler(),
}

# Parameters of CenterLossClassifier, one line for each way to train.
NETWORKS = {
    "softmax": {"lambda_center": 0, "predict_with": "softmax"},
    "center loss": {},
    **{f"lambda {weight:g}": {"lambda_center": weight} for weight in (0.01, 0.03, 0.1)},
    **{f"lambda {weight:g}": {"lambda_center": weight} for weight in (0.3, 1.0)},
}

BASE_SCORES = {
    **{name: score() for name, score in SCORES.items()},
    "relative mahalanobis": Mahalanobis(relative=True),
    "mahalanobis per class": Mahalanobis("class"),
    "knn normalized": KNeighbors(normalize=True),
}

# What conformity_score="auto" stands for where the estimator gives features.
AUTO = "min(center_distance, mahalanobis)"


def make_estimator(recipe, data, seed, **budget):
    """Return the classifier of a recipe, not fitted.

    Parameters
    ----------
    recipe : str
        A key of NETWORKS.

    data : str
        Data, which decides about scaling.

    seed : int
        Seed of the classifier.

    **budget : dict
        Parameters of the training that all networks share.

    Returns
    -------
    estimator : estimator instance
        The classifier, after a scaler where the data need one.
    """
    classifier = CenterLossClassifier(random_state=seed, **{**budget, **NETWORKS[recipe]})
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
