"""Rows and trainings that several suites have."""

from benchmarks.detectors import CONFIDENCE, FIVE_LINES, OF_FEATURES, PYOD
from benchmarks.recipes import NETWORKS

# Every network is judged by these.
SCORES = (
    "auto",
    "center_distance",
    "mahalanobis",
    "mahalanobis, length one",
    "relative mahalanobis",
    "knn",
    "max_softmax",
    "log_odds",
    "max_logit",
    "energy",
    "gen",
    "openmax",
    "vim",
)
# Around classifiers without features.
PEER_SCORES = ("max_softmax", "auto")


def scores_for(recipe, images=False):
    """Return the scores that a network is judged by."""
    linear = () if recipe == "anchors" else ("fdbd",)  # whose head is none
    return (*SCORES, *linear, *(() if images else ("input_density",)))


def rivals(recipe):
    """Return the default and the scores that it is compared to around a classifier."""
    features = OF_FEATURES if recipe in NETWORKS else ()
    return ("auto", CONFIDENCE, *FIVE_LINES, *features)


def rivals_and_pyod(recipe):
    """Return these scores and PyOD's detectors."""
    return (*rivals(recipe), *PYOD)
