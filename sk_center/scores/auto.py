"""The score that ``conformity_score="auto"`` stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sk_center.scores.combined import Combined
from sk_center.scores.density import InputDensity
from sk_center.scores.distances import CenterDistance, Mahalanobis
from sk_center.scores.logits import Energy, MaxSoftmax

if TYPE_CHECKING:
    from sk_center.scores.base import BaseScore

# The density of many inputs, such as pixels, tells less of outsiders than it blurs.
LARGEST_TABLE = 100


@dataclass(frozen=True)
class Facts:
    """What decides the default score.

    Parameters
    ----------
    features, logits, probabilities : bool
        Whether the estimator gives them.

    inputs : bool
        Whether the last step of the estimator sees numbers.

    sparse : bool
        Whether these are a sparse matrix.

    n_columns, n_classes : int
        Number of columns of the inputs, and of known classes.
    """

    features: bool
    logits: bool
    probabilities: bool
    inputs: bool
    sparse: bool
    n_columns: int
    n_classes: int


def default_score(facts: Facts) -> BaseScore:
    """Return the default score, not fitted.

    Parameters
    ----------
    facts : Facts
        The parts that the estimator gives, and the kind of its inputs.

    Returns
    -------
    score : BaseScore
        The score.
    """
    table = facts.inputs and not facts.sparse and facts.n_columns <= LARGEST_TABLE
    if facts.features and facts.logits:
        parts = [Mahalanobis(), Energy()] + [InputDensity()] * table
        return Combined(parts, how="sum")
    if table:
        return InputDensity()
    if facts.probabilities:
        return MaxSoftmax()
    return CenterDistance()
