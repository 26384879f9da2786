"""Reject samples of unknown classes, around any classifier."""

from sk_center.open_set.classifier import OpenSetClassifier
from sk_center.open_set.decision import Decision
from sk_center.open_set.explanation import Explanation
from sk_center.open_set.rejected_groups import RejectedGroups, group_rejected
from sk_center.open_set.report import CalibrationReport

__all__ = [
    "CalibrationReport",
    "Decision",
    "Explanation",
    "OpenSetClassifier",
    "RejectedGroups",
    "group_rejected",
]
