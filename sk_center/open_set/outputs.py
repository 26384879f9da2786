"""Outputs of an estimator by name: the only code that asks it for what scores need.

A call preprocesses the samples once. A classifier with a method ``outputs``, as
:class:`~sk_center.CenterLossClassifier` has it, gives all parts in one pass; of any other,
``predict`` and the response method that the parts need are called.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import issparse
from sklearn.ensemble import (
    ExtraTreesClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.utils import indexable

from sk_center._utils.compat import safe_indexing
from sk_center._utils.nested import last_step, transformed
from sk_center._utils.samples import as_array, indexable_samples

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

# Steps that only shift and scale columns.
COLUMN_SCALERS = (MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler)

# Sparse samples of at most so many columns are made dense.
FEW_COLUMNS = 100
# Their predict is the class of the largest probability, so it need not be computed twice.
PREDICT_BY_PROBABILITY = (ExtraTreesClassifier, RandomForestClassifier)


def outputs_of(estimator: Any, X: Any, needed: Collection[str]) -> dict[str, Any]:
    """Return the outputs of the estimator for samples, by name.

    Names are "labels", the result of ``predict``, and those of the parts: "inputs" of the
    last step; its "features", else the inputs; "layers", what all layers of its network
    say; "logits" and "probabilities", a column for each class.
    """
    last, before = last_step(estimator, searches=True)
    X, found = indexable_samples(X), {}
    if "raw_inputs" in needed:
        before, scalers = without_scalers(before)
        X = transformed(before, X)
        found["raw_inputs"] = numbers_of(X)
        before = scalers
    seen = transformed(before, X)
    if "inputs" in needed or ("features" in needed and not gives_features(last)):
        found["inputs"] = numbers_of(seen)
    if hasattr(last, "outputs"):
        names = [name for name in needed if name not in ("inputs", "raw_inputs")]
        return {**found, **(last.outputs(seen, names) if names else {})}
    if "layers" in needed:
        raise ValueError(
            "conformity_score needs layers: a CenterLossClassifier, whose module has a "
            f"method with_layers, gives them, and {type(last).__name__} does not."
        )
    if "features" in needed:
        if gives_features(last):
            found["features"] = numbers_of(last.transform(seen))
        else:
            found["features"] = found["inputs"]
    if "logits" in needed:
        found["logits"] = logits_of(last, seen)
    if "probabilities" in needed:
        found["probabilities"] = probabilities_of(last, seen)
    if "labels" in needed:
        if "probabilities" in found and predicts_by(last, found["probabilities"]):
            found["labels"] = last.classes_[found["probabilities"].argmax(axis=1)]
        else:
            found["labels"] = np.asarray(last.predict(seen))
    return found


def predicts_by(estimator: Any, probabilities: NDArray[Any]) -> bool:
    """Return whether predict is the class of the largest of these probabilities."""
    if type(estimator) is LogisticRegression:
        # Its predict compares numbers that probabilities may round to equal ones.
        largest = probabilities == probabilities.max(axis=1, keepdims=True)
        return np.count_nonzero(largest) == len(largest)
    return type(estimator) in PREDICT_BY_PROBABILITY


def without_scalers(before: list[Any]) -> tuple[list[Any], list[Any]]:
    """Return the steps before a last scaler of columns, and the list of that scaler."""
    n_scalers = int(bool(before) and isinstance(before[-1], COLUMN_SCALERS))
    return before[: len(before) - n_scalers], before[len(before) - n_scalers :]


def gives_features(estimator: Any) -> bool:
    """Return whether the last step transforms its inputs to features, not predictions."""
    predicts = isinstance(estimator, VotingClassifier | StackingClassifier)
    return hasattr(estimator, "transform") and not predicts


def gives_layers(estimator: Any) -> bool:
    """Return whether the last step tells what all layers of its network say."""
    return getattr(estimator, "_gives_layers", False)


def gives_logits(estimator: Any) -> bool:
    """Return whether the last step has one logit for each class."""
    if getattr(estimator, "decision_function_shape", "ovr") == "ovo":
        return False
    return hasattr(estimator, "outputs") or hasattr(estimator, "decision_function")


def logits_of(estimator: Any, X: Any) -> NDArray[Any]:
    """Return the last step's decision function, minus and plus a half for two classes."""
    if not gives_logits(estimator):
        raise ValueError(
            "conformity_score needs logits: a decision_function with one column a class, "
            f"which {type(estimator).__name__} does not have; use 'max_softmax', "
            "'center_distance' or 'mahalanobis'."
        )
    decision = np.asarray(estimator.decision_function(X))
    if decision.ndim == 1:
        return np.column_stack([-decision, decision]) / 2
    return decision


def probabilities_of(estimator: Any, X: Any) -> NDArray[Any]:
    """Return the probabilities that the last step gives."""
    if not hasattr(estimator, "predict_proba"):
        raise ValueError(
            "conformity_score needs predict_proba, which "
            f"{type(estimator).__name__} does not have; use 'center_distance' or "
            "'mahalanobis', or wrap the estimator in CalibratedClassifierCV."
        )
    return np.asarray(estimator.predict_proba(X))


def numbers_of(X: Any) -> Any:
    """Return samples as rows of floats, CSR where they are sparse and of many columns.

    Anything but numbers stays as it is. A table with one-hot categories may come as a
    sparse matrix, depending on the share of zeros; it still counts as a table.
    """
    if type(X) is np.ndarray and X.ndim == 2 and X.dtype in (np.float32, np.float64):
        return X  # at once, since the checks below take longer than many scores
    if issparse(X):
        X = X.tocsr().astype(float_type(X.dtype), copy=False)
        return X.toarray() if X.shape[1] <= FEW_COLUMNS else X
    if is_dataset(X):
        X = stacked(X)
    X = as_array(X)
    if hasattr(X, "dtypes") and hasattr(X, "to_numpy"):
        X = numbers_of_frame(X)
    if type(X) is not np.ndarray:
        X = np.ma.filled(X, np.nan) if np.ma.isMaskedArray(X) else np.asarray(X)
    if X.dtype == object and not any(isinstance(value, str) for value in X.flat):
        try:
            X = X.astype(np.float64)
        except (TypeError, ValueError):
            return X
    if X.dtype.kind not in "biuf" or X.ndim == 0:
        return X
    return X.astype(float_type(X.dtype), copy=False).reshape(len(X), -1)


def numbers_of_frame(X: Any) -> NDArray[Any]:
    """Return a data frame as an array, of floats where all its columns are numbers.

    pandas converts numbers beside booleans, and its nullable types, to objects.
    """
    if hasattr(X, "iloc"):
        kinds = {getattr(dtype, "kind", "O") for dtype in np.atleast_1d(X.dtypes)}
        if kinds <= set("biuf"):
            return X.to_numpy(dtype=np.float64, na_value=np.nan)
    return X.to_numpy()


def float_type(dtype: np.dtype[Any]) -> type[np.floating[Any]]:
    """Return the float type for numbers: float32 for those of at most two bytes."""
    small = dtype == np.float32 or (dtype.kind in "fbiu" and dtype.itemsize <= 2)
    return np.float32 if small else np.float64


def is_dataset(X: Any) -> bool:
    """Return whether X is a torch Dataset."""
    data = sys.modules.get("torch.utils.data")  # where X is a Dataset, torch is loaded
    return data is not None and isinstance(X, data.Dataset)


def stacked(dataset: Any) -> NDArray[Any]:
    """Return the samples of a torch Dataset as an array."""
    items = (dataset[i] for i in range(len(dataset)))
    return np.stack(
        [np.asarray(item[0] if isinstance(item, tuple | list) else item) for item in items]
    )


def rows_of(X: Any, rows: Any) -> Any:
    """Return some rows of X, a Subset of a torch Dataset."""
    if is_dataset(X):
        return sys.modules["torch.utils.data"].Subset(X, rows)
    # Some sparse formats and array-likes cannot be indexed by rows.
    (X,) = indexable(indexable_samples(X))
    return safe_indexing(X, rows)


def negative_label_of(estimator: Any) -> Any:
    """Return the label of the samples that train the estimator as negatives, or None."""
    last, _ = last_step(estimator, searches=True)
    return getattr(last, "negative_label", None)


def centers_of(estimator: Any) -> Any:
    """Return the centers of a center-loss classifier, however it is nested, or None."""
    last, _ = last_step(estimator, searches=True)
    return getattr(last, "centers_", None) if hasattr(last, "transform") else None
