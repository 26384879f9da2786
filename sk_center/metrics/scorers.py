"""Scorers for model selection."""

from __future__ import annotations

from inspect import signature
from math import nan
from typing import TYPE_CHECKING, Any

from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import UndefinedMetricWarning

from sk_center._utils.compat import BaseScorer
from sk_center._utils.nested import judge, open_set_inside
from sk_center._utils.user_warning import warn_user
from sk_center.metrics.base import NoOutsiderError
from sk_center.metrics.curves import auroc_score, fpr_at_tpr, oscr_score
from sk_center.metrics.decisions import (
    correct_acceptance_rate,
    false_rejection_rate,
    normalized_accuracy_score,
    open_set_f1_score,
    outsider_rejection_rate,
)
from sk_center.metrics.risk import aurc_score

if TYPE_CHECKING:
    from collections.abc import Callable

    from sk_center._utils.types import Scorer


def make_open_set_scorer(
    metric: Callable[..., float], *, greater_is_better: bool = True, **params: Any
) -> Scorer:
    """Make a scorer for open-set classifiers from an open-set metric.

    :func:`sklearn.metrics.make_scorer` cannot, because the known classes are those of the
    classifier: the scorer gives the metric ``labels=estimator.classes_``.

    Parameters
    ----------
    metric : callable
        Called as ``metric(y_true, ..., labels=classes_, **params)``. Its other parameters
        are passed by name: ``y_score`` is ``score_samples(X)``; ``y_pred`` is
        ``predict(X)`` for a metric that takes ``outlier_label``, too, else the class that
        is predicted without rejection; ``sample_weight`` is passed on.

    greater_is_better : bool, default=True
        Whether larger is better. False makes a scorer that gives minus the metric.

    **params : dict
        Further parameters of the metric, such as ``tpr=0.99``.

    Returns
    -------
    scorer : callable
        Called as ``scorer(estimator, X, y, sample_weight=None)`` with a fitted
        :class:`~sk_center.OpenSetClassifier`, also at the end of a Pipeline or inside a
        search such as ``GridSearchCV``. It returns a float, larger is better. If the metric
        needs outsiders and ``y`` holds none, it is NaN, and one warning suggests
        :class:`~sk_center.LeaveClassesOut`.

    Raises
    ------
    TypeError
        If the metric takes no ``labels``, or not one of ``params``.

    See Also
    --------
    sklearn.metrics.make_scorer : The same for metrics that only compare predictions.

    Notes
    -----
    Several scorers of one cross-validation share a single pass through the model.

    With metadata routing enabled, ``set_score_request(sample_weight=True)`` requests
    weights. It changes the scorer itself, so call it on one of your own and not on those of
    this module.

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
    return _OpenSetScorer(metric, 1 if greater_is_better else -1, params)


class _OpenSetScorer(BaseScorer):
    """A scorer that passes the known classes and the requested values to the metric.

    Weights, metadata routing and responses shared by several scorers are scikit-learn's.
    """

    GIVEN = (
        *("y_true", "y_pred", "y_score", "labels", "outlier_label", "ambiguous_label"),
        "sample_weight",
    )

    def _score(self, method_caller, estimator, X, y_true, sample_weight=None):
        asked = signature(self._score_func).parameters
        model, _ = open_set_inside(estimator)
        decision = method_caller(_Judge(estimator), "judge", X)
        given = {"labels": model.classes_, **self._kwargs}
        if "outlier_label" in asked:
            given["y_pred"] = decision.labels
            given["outlier_label"] = model.outlier_label_
            if "ambiguous_label" in asked:
                given["ambiguous_label"] = model.ambiguous_label_
        elif "y_pred" in asked:
            given["y_pred"] = decision.predicted
        if "y_score" in asked:
            given["y_score"] = decision.scores
        if sample_weight is not None:
            given["sample_weight"] = sample_weight
        try:
            return self._sign * self._score_func(y_true, **given)
        except NoOutsiderError as error:
            # As for scikit-learn's AUROC of one class: if raised, it would appear as a
            # traceback in a warning for each fold of each candidate.
            _warn_once(model.classes_, str(error))
            return nan

    def __repr__(self):
        sign = "" if self._sign > 0 else ", greater_is_better=False"
        params = "".join(f", {name}={value!r}" for name, value in self._kwargs.items())
        return f"make_open_set_scorer({self._score_func.__name__}{sign}{params})"


class _Judge(ClassifierMixin, BaseEstimator):
    """Calls ``judge`` for the X of an outer estimator; scikit-learn caches the result."""

    def __init__(self, estimator):
        self.estimator = estimator

    @property
    def classes_(self):
        return open_set_inside(self.estimator)[0].classes_

    def judge(self, X):
        return judge(self.estimator, X)


_WARNED: set[tuple[Any, ...]] = set()


def _warn_once(classes, message):
    """Warn the first time that samples of these classes come without outsiders.

    Python's own filter cannot: scikit-learn resets it for each fold of a search.
    """
    key = tuple(classes.tolist())
    if key not in _WARNED:
        _WARNED.add(key)
        warn_user(f"The score is NaN: {message}", UndefinedMetricWarning)


auroc_scorer = make_open_set_scorer(auroc_score)
neg_aurc_scorer = make_open_set_scorer(aurc_score, greater_is_better=False)
neg_fpr_at_tpr_scorer = make_open_set_scorer(fpr_at_tpr, greater_is_better=False)
oscr_scorer = make_open_set_scorer(oscr_score)
normalized_accuracy_scorer = make_open_set_scorer(normalized_accuracy_score)
correct_acceptance_scorer = make_open_set_scorer(correct_acceptance_rate)
outsider_rejection_scorer = make_open_set_scorer(outsider_rejection_rate)
neg_false_rejection_scorer = make_open_set_scorer(
    false_rejection_rate, greater_is_better=False
)
open_set_f1_scorer = make_open_set_scorer(open_set_f1_score)
