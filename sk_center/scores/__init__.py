"""How typical of each known class is a sample? Larger scores are more typical.

:class:`~sk_center.OpenSetClassifier` takes a score as ``conformity_score``, or the name of
one, such as ``"knn"`` for :class:`KNeighbors`, which means the same as an instance with
default parameters. The guide to scores lists them.
"""

# One line for each score, which makes it public and known by name to save and load.
from sk_center.scores.base import BaseScore as BaseScore
from sk_center.scores.combined import Combined as Combined
from sk_center.scores.density import InputDensity as InputDensity
from sk_center.scores.distances import CenterDistance as CenterDistance
from sk_center.scores.distances import Mahalanobis as Mahalanobis
from sk_center.scores.function import FunctionScore as FunctionScore
from sk_center.scores.heads import FDBD as FDBD
from sk_center.scores.heads import ViM as ViM
from sk_center.scores.logits import GEN as GEN
from sk_center.scores.logits import Energy as Energy
from sk_center.scores.logits import LogOdds as LogOdds
from sk_center.scores.logits import MaxLogit as MaxLogit
from sk_center.scores.logits import MaxSoftmax as MaxSoftmax
from sk_center.scores.neighbors import KNeighbors as KNeighbors
from sk_center.scores.openmax import OpenMax as OpenMax
from sk_center.scores.per_class import PerClass as PerClass
from sk_center.scores.principal import PrincipalDistance as PrincipalDistance

__all__ = sorted(name for name, value in vars().items() if isinstance(value, type))
