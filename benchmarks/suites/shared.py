"""Rows and trainings that several suites have."""

from skorch.callbacks import LRScheduler
from torch.optim.lr_scheduler import CosineAnnealingLR

from benchmarks.detectors import CONFIDENCE, FIVE_LINES, OF_FEATURES, PYOD
from benchmarks.recipes import NETWORKS
from sk_center.networks import RandomAffine

# Every network is judged by these, images by all but the density of inputs.
SCORES = (
    "auto",
    "center_distance",
    "mahalanobis",
    "relative mahalanobis",
    "knn",
    "max_softmax",
    "max_logit",
    "energy",
    "openmax",
    "vim",
    "input_density",
)
IMAGE_SCORES = tuple(score for score in SCORES if score != "input_density")
# Around classifiers without features.
PEER_SCORES = ("max_softmax", "auto")


def rivals(recipe):
    """Return the default and what it is compared to around a classifier."""
    features = OF_FEATURES if recipe in NETWORKS else ()
    return ("auto", CONFIDENCE, *FIVE_LINES, *features)


def rivals_and_pyod(recipe):
    """Return the same and PyOD's detectors."""
    return (*rivals(recipe), *PYOD)


def images(max_epochs, **augment):
    """Return what networks on images train by; the epochs end at a learning rate of 0."""
    cosine = LRScheduler(CosineAnnealingLR, T_max=max_epochs)
    return (
        ("max_epochs", max_epochs),
        ("batch_size", 128),
        ("precision", "bf16"),
        ("callbacks", [("lr", cosine)]),
        ("module__augment", RandomAffine(**augment) if augment else None),
    )
