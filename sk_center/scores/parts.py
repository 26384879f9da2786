"""Inputs of scores: checked arrays by name."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.validation import check_array, check_consistent_length

from sk_center._utils.samples import as_array, check_values, holds_inputs

# Parts of any width, in which distances and densities are measured.
SPACES = ("features", "inputs", "layers", "raw_inputs")
PARTS = (*SPACES, "logits", "probabilities")
# Beyond it sums of squares overflow.
LARGEST = 1e150


def checked_parts(score: Any, X: Any) -> dict[str, Any]:
    """Return the parts that a score needs of X, an array or a mapping of parts by name."""
    if holds_inputs(X) and not hasattr(X, "to_numpy"):
        missing = [name for name in score.needs if name not in X]
        if missing:
            raise ValueError(
                f"X must hold the parts {list(score.needs)} for {type(score).__name__}; "
                f"got {list(X)}."
            )
        parts = {name: _checked(score, X[name], f"X[{name!r}]") for name in score.needs}
    elif len(score.needs) > 1:
        raise ValueError(
            f"X must be a mapping of the parts {list(score.needs)} for "
            f"{type(score).__name__}, such as {{{score.needs[0]!r}: ...}}; got "
            f"{type(X).__name__}."
        )
    else:
        parts = {score.needs[0]: _checked(score, X, "X")}
    check_consistent_length(*parts.values())
    return parts


def check_columns(score: Any, parts: dict[str, Any]) -> None:
    """Raise ValueError unless the parts have the columns that they had in fit."""
    for name, part in parts.items():
        expected = score.n_columns_[name]
        if part.shape[1] != expected:
            what = "X" if len(parts) == 1 else f"X[{name!r}]"
            raise ValueError(
                f"{what} has {part.shape[1]} features, but {type(score).__name__} is "
                f"expecting {expected} features as input."
            )


def check_sizes(parts: dict[str, Any]) -> None:
    """Raise ValueError if squares of the values would not be finite."""
    for name, part in parts.items():
        values = part.data if issparse(part) else part
        if not values.size:
            continue
        top, bottom = np.fmax.reduce(values, axis=None), np.fmin.reduce(values, axis=None)
        largest = max(float(top), -float(bottom))  # NaN only if all values are
        if largest > LARGEST:
            raise ValueError(
                f"X must be at most {LARGEST:g} in size, so that squares stay finite; got "
                f"{largest:g} among the {name}. Scale it (StandardScaler helps)."
            )


def _checked(score, X, what):
    """Return one part as an array of floats, or a CSR matrix if the score takes it."""
    if issparse(X) and not score.accepts_sparse:
        raise ValueError(
            f"{what} is sparse, and {type(score).__name__} takes dense arrays only: put "
            "sklearn.decomposition.TruncatedSVD before the classifier, or use 'knn' with "
            "metric='cosine', 'center_distance' or 'max_softmax', which take sparse ones."
        )
    return check_array(
        _numbers(X, what),
        accept_sparse="csr",
        dtype=[np.float64, np.float32],
        ensure_all_finite="allow-nan" if score.allow_nan else True,
        input_name=what,
    )


def _numbers(X, what):
    """Return X in a form that numpy reads as numbers, or raise ValueError."""
    check_values(X, what)
    X = as_array(X)
    if issparse(X) or hasattr(X, "dtypes"):  # a frame, of columns of any kind
        return X
    found = np.asarray(X)
    if found.dtype.kind in "OUS":
        try:
            if found.dtype.kind != "O":
                raise ValueError("strings")
            return found.astype(np.float64)
        except (TypeError, ValueError):
            raise ValueError(
                f"{what} must hold numbers; got values of the dtype {found.dtype}. Encode "
                "strings before the classifier, as OneHotEncoder or TfidfVectorizer does."
            ) from None
    return found
