"""Scorers for searches."""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, Any

from sklearn.metrics._scorer import _BaseScorer

from sk_center._utils.nested import nested, transformed

if TYPE_CHECKING:
    from collections.abc import Callable

    from sk_center._utils.types import Scorer
from sk_center.metrics.curves import (
    aupr_score,
    auroc_score,
    ccr_at_fpr,
    detection_error,
    fpr_at_tpr,
    oscr_score,
)
from sk_center.metrics.decisions import normalized_accuracy_score, open_set_f1_score

__all__ = [
    "aupr_in_scorer",
    "aupr_out_scorer",
    "auroc_scorer",
    "ccr_at_fpr_scorer",
    "make_open_set_scorer",
    "neg_detection_error_scorer",
    "neg_fpr_at_tpr_scorer",
    "normalized_accuracy_scorer",
    "open_set_f1_scorer",
    "oscr_scorer",
]


def make_open_set_scorer(
    metric: Callable[..., float], *, greater_is_better: bool = True, **params: Any
) -> Scorer:
    """Make a scorer for open-set classifiers from an open-set metric.

    :func:`sklearn.metrics.make_scorer` cannot, because what is known is told by the
    classifier: the scorer gives the metric ``labels=estimator.classes_``.

    Parameters
    ----------
    metric : callable
        Called as ``metric(y_true, ..., labels=classes_, **params)``. The names of its
        parameters tell what else it gets: ``y_score`` is ``score_samples(X)``; ``y_pred``
        is the class given without rejection, but where there is an ``outlier_label`` too
        it is ``predict(X)``; ``sample_weight`` is passed on.

    greater_is_better : bool, default=True
        Whether larger is better. False makes a scorer that gives minus the metric.

    **params : dict
        Further parameters of the metric, such as ``tpr=0.99``.

    Returns
    -------
    scorer : callable
        Called as ``scorer(estimator, X, y, sample_weight=None)`` with a fitted
        :class:`~sk_center.OpenSetClassifier`, also at the end of a Pipeline or inside a
        search such as ``GridSearchCV``. It gives a float, larger is better.

    Raises
    ------
    TypeError
        If the metric takes no ``labels``, or not one of ``params``.

    See Also
    --------
    sklearn.metrics.make_scorer : The same for metrics that only compare predictions.

    Notes
    -----
    With metadata routing enabled, ``set_score_request(sample_weight=True)`` asks for
    weights. It changes the scorer that it is called on, so call it on one of your own and
    not on those of this module.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sk_center import OpenSetClassifier
    >>> from sk_center.metrics import fpr_at_tpr, make_open_set_scorer
    >>> X, y = load_iris(return_X_y=True)
    >>> known = y < 2
    >>> model = OpenSetClassifier(GaussianNB(), conformity_score="mahalanobis", cv=5)
    >>> scorer = make_open_set_scorer(fpr_at_tpr, greater_is_better=False, tpr=0.9)
    >>> scorer
    make_open_set_scorer(fpr_at_tpr, greater_is_better=False, tpr=0.9)
    >>> scorer(model.fit(X[known], y[known]), X, y)
    -0.02
    """
    accepted = signature(metric).parameters
    if "labels" not in accepted:
        raise TypeError(
            f"metric must take labels, the known classes; {metric!r} takes {[*accepted]}."
        )
    for name in params:
        if name not in accepted or name in _OpenSetScorer.GIVEN:
            choice = [other for other in accepted if other not in _OpenSetScorer.GIVEN]
            raise TypeError(f"params may hold {choice} for {metric!r}; got {name!r}.")
    response_method = "score_samples" if "y_score" in accepted else "predict"
    return _OpenSetScorer(metric, 1 if greater_is_better else -1, params, response_method)


class _OpenSetScorer(_BaseScorer):
    """A scorer that gives the metric the known classes and what it asks for.

    Weights, metadata routing and responses shared by several scorers are scikit-learn's.
    """

    GIVEN = ("y_true", "y_pred", "y_score", "labels", "outlier_label", "sample_weight")

    def _score(self, method_caller, estimator, X, y_true, sample_weight=None):
        asked = signature(self._score_func).parameters
        given = {"labels": estimator.classes_, **self._kwargs}
        if "outlier_label" in asked:
            given["y_pred"] = method_caller(estimator, "predict", X)
            given["outlier_label"] = _open_set_classifier(estimator)[0].outlier_label_
        elif "y_pred" in asked:
            given["y_pred"] = _predict_known(estimator, X)
        if "y_score" in asked:
            given["y_score"] = method_caller(estimator, "score_samples", X)
        if sample_weight is not None:
            given["sample_weight"] = sample_weight
        return self._sign * self._score_func(y_true, **given)

    def __repr__(self):
        sign = "" if self._sign > 0 else ", greater_is_better=False"
        params = "".join(f", {name}={value!r}" for name, value in self._kwargs.items())
        return f"make_open_set_scorer({self._score_func.__name__}{sign}{params})"


def _open_set_classifier(estimator):
    """Return the open-set classifier inside an estimator, and what transforms X for it."""
    for inner, before in nested(estimator, searches=True):
        if hasattr(inner, "outlier_label_"):
            return inner, before
    raise TypeError(
        "estimator must be a fitted OpenSetClassifier, a Pipeline that ends in one or a "
        f"search of one; got {estimator!r}."
    )


def _predict_known(estimator, X):
    """Return the class that is given to each sample without rejection."""
    classifier, before = _open_set_classifier(estimator)
    return classifier.estimator_.predict(transformed(before, X))


auroc_scorer = make_open_set_scorer(auroc_score)
aupr_in_scorer = make_open_set_scorer(aupr_score)
aupr_out_scorer = make_open_set_scorer(aupr_score, positive="unknown")
neg_fpr_at_tpr_scorer = make_open_set_scorer(fpr_at_tpr, greater_is_better=False)
neg_detection_error_scorer = make_open_set_scorer(detection_error, greater_is_better=False)
oscr_scorer = make_open_set_scorer(oscr_score)
ccr_at_fpr_scorer = make_open_set_scorer(ccr_at_fpr)
open_set_f1_scorer = make_open_set_scorer(open_set_f1_score)
normalized_accuracy_scorer = make_open_set_scorer(normalized_accuracy_score)
