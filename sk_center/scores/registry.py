"""Scores by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass
from sk_center.scores.density import InputDensity
from sk_center.scores.distances import CenterDistance, Mahalanobis
from sk_center.scores.logits import Energy, MaxLogit, MaxSoftmax, OpenMax, ViM
from sk_center.scores.neighbors import KNeighbors

SCORES = {
    "center_distance": CenterDistance,
    "energy": Energy,
    "input_density": InputDensity,
    "knn": KNeighbors,
    "mahalanobis": Mahalanobis,
    "max_logit": MaxLogit,
    "max_softmax": MaxSoftmax,
    "openmax": OpenMax,
    "vim": ViM,
}
