"""Scores by name, and from other values of ``conformity_score``."""

from __future__ import annotations

from typing import Any

from sklearn.base import clone

from sk_center._utils.labels import nearest_name
from sk_center.scores.base import SCORES, BaseScore
from sk_center.scores.function import FunctionScore
from sk_center.scores.per_class import PerClass

__all__ = ["SCORES", "make_score"]


def make_score(given: Any) -> BaseScore:
    """Return an unfitted score from a name, score, estimator or callable."""
    if isinstance(given, BaseScore):
        return clone(given)
    if isinstance(given, str) and given in SCORES:
        return SCORES[given]()
    if not isinstance(given, type | str):
        if hasattr(given, "fit") and hasattr(given, "score_samples"):
            return PerClass(clone(given))
        if callable(given):
            return FunctionScore(given)
    nearest = nearest_name(given, SCORES) if isinstance(given, str) else None
    raise ValueError(
        f"conformity_score must be one of {sorted(SCORES)}, a score, an estimator with "
        f"score_samples, a callable, a list of those, or 'auto' alone; got {given!r}"
        + (f"; did you mean {nearest!r}?" if nearest else ".")
    )
