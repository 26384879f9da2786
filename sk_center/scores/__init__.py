"""How typical of each known class is a sample? Larger scores are more typical.

:class:`~sk_center.OpenSetClassifier` takes a score as ``conformity_score``, or the name of
one with default parameters: ``"center_distance"`` is :class:`CenterDistance`,
``"energy"`` :class:`Energy`, ``"input_density"`` :class:`InputDensity`, ``"knn"``
:class:`KNeighbors`, ``"mahalanobis"`` :class:`Mahalanobis`, ``"max_logit"``
:class:`MaxLogit`, ``"max_softmax"`` :class:`MaxSoftmax`, ``"openmax"`` :class:`OpenMax` and
``"vim"`` :class:`ViM`.
"""

from sk_center.scores.base import BaseScore
from sk_center.scores.combined import Combined
from sk_center.scores.density import InputDensity, PerClass
from sk_center.scores.distances import CenterDistance, Mahalanobis
from sk_center.scores.function import FunctionScore
from sk_center.scores.logits import Energy, MaxLogit, MaxSoftmax, OpenMax, ViM
from sk_center.scores.neighbors import KNeighbors

__all__ = [
    "BaseScore",
    "CenterDistance",
    "Combined",
    "Energy",
    "FunctionScore",
    "InputDensity",
    "KNeighbors",
    "Mahalanobis",
    "MaxLogit",
    "MaxSoftmax",
    "OpenMax",
    "PerClass",
    "ViM",
]
