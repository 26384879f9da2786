"""What an estimator gives to a score: features, inputs, logits, probabilities."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _estimator_has

from sk_center._utils.nested import last_step, transformed

if TYPE_CHECKING:
    from collections.abc import Callable

    from sk_center._utils.types import Method


def if_estimator_has(name: str) -> Callable[[Method], Method]:
    """Return a decorator for a method that is there where the estimator has one.

    It is that of scikit-learn, but that the method keeps its type.

    Parameters
    ----------
    name : str
        Name of the method of the estimator.

    Returns
    -------
    decorator : callable
        What :func:`sklearn.utils.metaestimators.available_if` gives.
    """
    return available_if(_estimator_has(name))


def consumed(estimator, score, X):
    """Return the parts of X that the score needs."""
    give = {
        "features": lambda: features_of(estimator, X),
        "inputs": lambda: flat(inputs_of(estimator, X)),
        "logits": lambda: logits_of(estimator, score, X),
        "probabilities": lambda: probabilities_of(estimator, score, X),
    }
    return {name: np.asarray(give[name]()) for name in score.needs}


def flat(X):
    """Return samples of any shape as rows of numbers."""
    return X.reshape(len(X), -1)


def features_of(estimator, X):
    """Return what the estimator makes of X, else what its last step sees, else X."""
    if hasattr(estimator, "transform"):
        return estimator.transform(X)
    _, before = last_step(estimator, searches=True)
    return transformed(before, X)


def inputs_of(estimator, X):
    """Return what the last step of the estimator sees, an array of a row each sample."""
    _, before = last_step(estimator, searches=True)
    seen = transformed(before, X)
    if issparse(seen):
        return seen.toarray()
    if is_dataset(seen):
        from sk_center.batches import sample_of  # which imports torch, as X did

        seen = [sample_of(seen[i]) for i in range(len(seen))]
    found = np.asarray(seen)
    if found.dtype == object and hasattr(seen, "to_numpy"):
        # pandas makes objects of numbers beside booleans, and of its nullable types.
        kinds = {getattr(dtype, "kind", "O") for dtype in seen.dtypes}
        if kinds <= set("biuf"):
            return seen.to_numpy(dtype=np.float64, na_value=np.nan)
    return found


def is_dataset(X):
    """Return whether X is a torch Dataset."""
    data = sys.modules.get("torch.utils.data")  # where X is a Dataset, torch is loaded
    return data is not None and isinstance(X, data.Dataset)


def gives_logits(estimator):
    """Return whether an estimator has what logits are made of."""
    last, _ = last_step(estimator, searches=True)
    return hasattr(last, "logits") or hasattr(estimator, "decision_function")


def logits_of(estimator, score, X):
    """Return the logits of the estimator, one column for each class."""
    last, before = last_step(estimator, searches=True)
    if hasattr(last, "logits"):
        return last.logits(transformed(before, X))
    if not hasattr(estimator, "decision_function"):
        raise ValueError(
            f"conformity_score={type(score).__name__} needs logits: a decision_function, "
            f"which {type(estimator).__name__} does not have; use 'max_softmax', "
            "'center_distance' or 'mahalanobis'."
        )
    decision = estimator.decision_function(X)
    if decision.ndim == 1:
        return np.column_stack([-decision, decision]) / 2
    return decision


def probabilities_of(estimator, score, X):
    """Return the probabilities that the estimator gives."""
    if not hasattr(estimator, "predict_proba"):
        raise ValueError(
            f"conformity_score={type(score).__name__} needs predict_proba, which "
            f"{type(estimator).__name__} does not have; use 'center_distance' or "
            "'mahalanobis', or wrap the estimator in CalibratedClassifierCV."
        )
    return estimator.predict_proba(X)


def negative_label_of(estimator):
    """Return the label of the samples that train the estimator as negatives, or None."""
    last, _ = last_step(estimator, searches=True)
    return getattr(last, "negative_label", None)


def centers_of(estimator):
    """Return the centers of a center-loss classifier, inside whatever it is, or None."""
    last, _ = last_step(estimator, searches=True)
    return getattr(last, "centers_", None) if hasattr(last, "transform") else None
