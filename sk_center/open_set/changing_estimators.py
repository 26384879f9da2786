"""Fitted estimators with classes added or removed, without training anew.

A classifier of ours has a method ``_with_classes`` for it. Those of scikit-learn whose
classes stand for themselves have a function here: a center or samples, more or less.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import issparse, vstack
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import validate_data

from sk_center._utils.nested import transformed
from sk_center.scores.rows import present_index

if TYPE_CHECKING:
    from numpy.typing import NDArray


def with_classes(
    estimator: Any,
    classes: NDArray[Any],
    kept: NDArray[np.intp],
    X: Any = None,
    y: NDArray[np.intp] | None = None,
) -> Any:
    """Return a copy of a fitted estimator that knows other classes.

    ``kept`` has the former index of each class, or -1 for one of which X are samples; y are
    their indices. The steps of a pipeline stay as they are.
    """
    if isinstance(estimator, Pipeline):
        found, (name, last) = copy(estimator), estimator.steps[-1]
        X = X if X is None or len(estimator) == 1 else transformed([estimator[:-1]], X)
        found.steps = [
            *estimator.steps[:-1],
            (name, with_classes(last, classes, kept, X, y)),
        ]
        return found
    if isinstance(estimator, FrozenEstimator):
        return FrozenEstimator(with_classes(estimator.estimator, classes, kept, X, y))
    if hasattr(estimator, "best_estimator_"):
        found = copy(estimator)
        best = with_classes(estimator.best_estimator_, classes, kept, X, y)
        found.best_estimator_ = best
        return found
    if hasattr(estimator, "_with_classes"):
        return estimator._with_classes(classes, kept, X, y)
    change = CHANGES.get(type(estimator))
    if change is None:
        raise ValueError(
            f"{type(estimator).__name__} cannot add or remove classes without training "
            "anew. Fit again with all classes, or put its features before a "
            "NearestCentroid, KNeighborsClassifier or CenterLossClassifier."
        )
    if X is not None:
        X = validate_data(estimator, X, accept_sparse="csr", reset=False)
    return change(estimator, classes, kept, X, y)


def nearest_centroid(estimator, classes, kept, X, y):
    """Return a NearestCentroid with other centroids, on the scale that it had."""
    if estimator.shrink_threshold is not None or not np.ptp(estimator.class_prior_) < 1e-12:
        raise ValueError(
            "NearestCentroid adds and removes classes with shrink_threshold=None and "
            "priors='uniform' alone, where a centroid depends on no other class; got "
            f"shrink_threshold={estimator.shrink_threshold!r}, "
            f"priors={estimator.priors!r}."
        )
    found = copy(estimator)
    found.classes_ = classes
    found.centroids_ = estimator.centroids_[np.maximum(kept, 0)]
    found.deviations_ = estimator.deviations_[np.maximum(kept, 0)]
    found.deviations_[kept < 0] = np.nan
    found.class_prior_ = np.full(len(classes), 1 / len(classes))
    middle = np.median if estimator.metric == "manhattan" else np.mean
    for k in np.flatnonzero(kept < 0):
        rows = X[np.flatnonzero(y == k)]
        rows = rows.toarray() if issparse(rows) else rows
        found.centroids_[k] = middle(rows, axis=0)
    return found


def nearest_neighbors(estimator, classes, kept, X, y):
    """Return a KNeighborsClassifier with further samples, or without some."""
    index = present_index(kept, len(estimator.classes_))[estimator._y]
    stay = np.flatnonzero(index >= 0)
    samples, index = estimator._fit_X[stay], index[stay]
    if X is not None:
        stack = vstack if issparse(samples) else np.concatenate
        samples, index = stack([samples, X]), np.concatenate([index, y])
    found = clone(estimator).fit(samples, classes[index])
    if hasattr(estimator, "feature_names_in_"):
        found.feature_names_in_ = estimator.feature_names_in_
    return found


CHANGES = {NearestCentroid: nearest_centroid, KNeighborsClassifier: nearest_neighbors}
