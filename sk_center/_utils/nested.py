"""Estimators inside of estimators."""

from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from sk_center._utils.compat import BaseSearchCV, num_samples


def nested(estimator, searches=False):
    """Yield an estimator with the steps before it, then what it wraps, and so on inwards.

    A Pipeline wraps its last step, a FrozenEstimator what is frozen, with ``searches`` a
    search its best estimator or, unfitted, the one that it searches with. The steps are
    those that transform X before it reaches the estimator.
    """
    before = []
    while True:
        yield estimator, before
        if isinstance(estimator, Pipeline):
            before = [*before, *(step for _, step in estimator.steps[:-1] if acts(step))]
            estimator = estimator.steps[-1][1]
        elif isinstance(estimator, FrozenEstimator):
            estimator = estimator.estimator
        elif searches and hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif searches and isinstance(estimator, BaseSearchCV):
            estimator = estimator.estimator
        else:
            return


def acts(step):
    """Return whether a step of a Pipeline changes samples that are predicted.

    One that resamples, as imbalanced-learn has them, acts on training alone.
    """
    if step is None or isinstance(step, str):
        return False
    return hasattr(step, "transform") or not hasattr(step, "fit_resample")


def last_step(estimator, searches=False):
    """Return the innermost estimator, and the steps that transform X before it."""
    *_, innermost = nested(estimator, searches)
    return innermost


def transformed(before, X):
    """Return X after the steps, the first one first."""
    for step in before:
        made = step.transform(X)
        # To a vectorizer a frame of texts is the list of its columns.
        if hasattr(X, "columns") and num_samples(made) != len(X):
            raise ValueError(
                f"X must be a list or a column of strings for {type(step).__name__}, which "
                f"made {num_samples(made)} rows of a {type(X).__name__} of {len(X)}."
            )
        X = made
    return X


def open_set_inside(estimator):
    """Return the open-set classifier inside an estimator, and the steps before it."""
    for inner, before in nested(estimator, searches=True):
        if hasattr(inner, "outlier_label_"):
            return inner, before
    raise TypeError(
        "estimator must be a fitted OpenSetClassifier, a Pipeline that ends in one or a "
        f"search of one; got {estimator!r}."
    )


def judge(estimator, X):
    """Return the decisions of the open-set classifier inside an estimator, in one pass."""
    model, before = open_set_inside(estimator)
    return model.judge(transformed(before, X))
