"""How typical of each known class is a sample? Larger scores are more typical.

:class:`~sk_center.OpenSetClassifier` takes a score as ``conformity_score``, or the name of
one, which means the same as an instance with default parameters: ``"center_distance"`` is
:class:`CenterDistance`, ``"energy"`` :class:`Energy`, ``"fdbd"`` :class:`FDBD`, ``"gen"``
:class:`GEN`, ``"input_density"`` :class:`InputDensity`, ``"knn"`` :class:`KNeighbors`,
``"log_odds"`` :class:`LogOdds`, ``"mahalanobis"`` :class:`Mahalanobis`, ``"max_logit"``
:class:`MaxLogit`, ``"max_softmax"`` :class:`MaxSoftmax`, ``"openmax"`` :class:`OpenMax` and
``"vim"`` :class:`ViM`.
"""

from sk_center.scores.base import BaseScore
from sk_center.scores.combined import Combined
from sk_center.scores.density import InputDensity, PerClass
from sk_center.scores.distances import CenterDistance, Mahalanobis
from sk_center.scores.function import FunctionScore
from sk_center.scores.heads import FDBD, ViM
from sk_center.scores.logits import GEN, Energy, LogOdds, MaxLogit, MaxSoftmax
from sk_center.scores.neighbors import KNeighbors
from sk_center.scores.openmax import OpenMax
from sk_center.scores.principal import PrincipalDistance

__all__ = [
    "FDBD",
    "GEN",
    "BaseScore",
    "CenterDistance",
    "Combined",
    "Energy",
    "FunctionScore",
    "InputDensity",
    "KNeighbors",
    "LogOdds",
    "Mahalanobis",
    "MaxLogit",
    "MaxSoftmax",
    "OpenMax",
    "PerClass",
    "PrincipalDistance",
    "ViM",
]
