"""Reject samples of unknown classes, around any classifier."""

from sk_center.open_set.classifier import OpenSetClassifier
from sk_center.open_set.explanation import Explanation

__all__ = ["Explanation", "OpenSetClassifier"]
