"""Metrics of open-set recognition, and scorers of them for model selection.

Samples whose true label is none of the known classes, ``labels``, are unknown: they stand
for the outsiders to come. Known is the positive side throughout, but where a function is
told otherwise.

The scorers go into ``scoring=`` of scikit-learn's tools, such as ``GridSearchCV``, for an
:class:`~sk_center.OpenSetClassifier`: ``auroc_scorer``, ``aupr_in_scorer``,
``aupr_out_scorer``, ``neg_fpr_at_tpr_scorer``, ``neg_detection_error_scorer``,
``oscr_scorer``, ``ccr_at_fpr_scorer``, ``open_set_f1_scorer`` and
``normalized_accuracy_scorer``. Larger is always better. :func:`make_open_set_scorer`
makes more.
"""

from sk_center.metrics.curves import (
    aupr_score,
    auroc_score,
    ccr_at_fpr,
    detection_error,
    fpr_at_tpr,
    oscr_curve,
    oscr_score,
)
from sk_center.metrics.decisions import (
    normalized_accuracy_score,
    open_set_f1_score,
    openness,
)
from sk_center.metrics.scorers import (
    aupr_in_scorer,
    aupr_out_scorer,
    auroc_scorer,
    ccr_at_fpr_scorer,
    make_open_set_scorer,
    neg_detection_error_scorer,
    neg_fpr_at_tpr_scorer,
    normalized_accuracy_scorer,
    open_set_f1_scorer,
    oscr_scorer,
)

__all__ = [
    "aupr_in_scorer",
    "aupr_out_scorer",
    "aupr_score",
    "auroc_score",
    "auroc_scorer",
    "ccr_at_fpr",
    "ccr_at_fpr_scorer",
    "detection_error",
    "fpr_at_tpr",
    "make_open_set_scorer",
    "neg_detection_error_scorer",
    "neg_fpr_at_tpr_scorer",
    "normalized_accuracy_score",
    "normalized_accuracy_scorer",
    "open_set_f1_score",
    "open_set_f1_scorer",
    "openness",
    "oscr_curve",
    "oscr_score",
    "oscr_scorer",
]
