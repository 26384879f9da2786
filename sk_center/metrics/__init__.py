"""Metrics of open-set recognition, and scorers of them for model selection.

Samples whose true label is none of the known classes, ``labels``, are outsiders (in the
literature: unknown samples). Known is the positive side, unless a function is told
otherwise.

Pass the scorers as ``scoring=`` to scikit-learn's tools, such as ``GridSearchCV``, for an
:class:`~sk_center.OpenSetClassifier`. Larger is always better.

- Over all thresholds, how well a score separates: ``oscr_scorer``, ``auroc_scorer`` and
  ``neg_fpr_at_tpr_scorer``, and for correct predictions against all others
  ``neg_aurc_scorer``. They do not depend on the threshold, and are as good for a classifier
  that rejects nothing.
- At the threshold of the classifier: ``normalized_accuracy_scorer``, the mean of
  ``correct_acceptance_scorer`` (known samples accepted and classified correctly) and
  ``outsider_rejection_scorer``; ``neg_false_rejection_scorer``; ``open_set_f1_scorer``.

:func:`make_open_set_scorer` makes further ones.
"""

from sk_center.metrics.curves import (
    aupr_score,
    auroc_score,
    ccr_at_fpr,
    fpr_at_tpr,
    oscr_curve,
    oscr_score,
)
from sk_center.metrics.decisions import (
    correct_acceptance_rate,
    false_rejection_rate,
    normalized_accuracy_score,
    open_set_f1_score,
    openness,
    outsider_rejection_rate,
)
from sk_center.metrics.risk import aurc_score, risk_coverage_curve
from sk_center.metrics.scorers import (
    auroc_scorer,
    correct_acceptance_scorer,
    make_open_set_scorer,
    neg_aurc_scorer,
    neg_false_rejection_scorer,
    neg_fpr_at_tpr_scorer,
    normalized_accuracy_scorer,
    open_set_f1_scorer,
    oscr_scorer,
    outsider_rejection_scorer,
)

__all__ = [
    "aupr_score",
    "aurc_score",
    "auroc_score",
    "auroc_scorer",
    "ccr_at_fpr",
    "correct_acceptance_rate",
    "correct_acceptance_scorer",
    "false_rejection_rate",
    "fpr_at_tpr",
    "make_open_set_scorer",
    "neg_aurc_scorer",
    "neg_false_rejection_scorer",
    "neg_fpr_at_tpr_scorer",
    "normalized_accuracy_score",
    "normalized_accuracy_scorer",
    "open_set_f1_score",
    "open_set_f1_scorer",
    "openness",
    "oscr_curve",
    "oscr_score",
    "oscr_scorer",
    "outsider_rejection_rate",
    "outsider_rejection_scorer",
    "risk_coverage_curve",
]
