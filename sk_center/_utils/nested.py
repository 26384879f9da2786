"""Estimators inside of estimators."""

from sklearn.frozen import FrozenEstimator
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline


def nested(estimator, searches=False):
    """Yield an estimator, then what it wraps as its last step, and so on inwards.

    Parameters
    ----------
    estimator : estimator instance
        Perhaps a Pipeline or a FrozenEstimator.

    searches : bool, default=False
        Whether to go into searches, too: into the best estimator of a fitted one, else
        into the one that is searched with.

    Yields
    ------
    inner : estimator instance
        The estimator, the last step of a Pipeline, what is frozen.

    before : list of Pipeline
        The steps that transform X before it reaches ``inner``.
    """
    before = []
    while True:
        yield estimator, before
        if isinstance(estimator, Pipeline):
            before = [*before, estimator[:-1]] if len(estimator) > 1 else before
            estimator = estimator[-1]
        elif isinstance(estimator, FrozenEstimator):
            estimator = estimator.estimator
        elif searches and hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif searches and isinstance(estimator, BaseSearchCV):
            estimator = estimator.estimator
        else:
            return


def last_step(estimator, searches=False):
    """Return the innermost estimator, and the steps that transform X before it.

    Parameters
    ----------
    estimator : estimator instance
        Perhaps a Pipeline or a FrozenEstimator.

    searches : bool, default=False
        Whether to go into searches, too, see :func:`nested`.

    Returns
    -------
    last : estimator instance
        The innermost estimator.

    before : list of Pipeline
        The steps before it.
    """
    *_, innermost = nested(estimator, searches)
    return innermost


def transformed(before, X):
    """Return X after the steps.

    Parameters
    ----------
    before : list of Pipeline
        The steps, the first one first.

    X : array-like of shape (n_samples, ...)
        Samples.

    Returns
    -------
    X : array-like of shape (n_samples, ...)
        What the steps make of them.
    """
    for pipeline in before:
        for _, step in pipeline.steps:
            # A step that resamples, as imbalanced-learn has them, acts on training alone.
            acts = step is not None and step != "passthrough"
            if acts and (hasattr(step, "transform") or not hasattr(step, "fit_resample")):
                X = step.transform(X)
    return X
