"""Samples in the forms in which users give them."""

from collections.abc import Mapping
from contextlib import contextmanager

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.validation import check_consistent_length

from sk_center._utils.compat import safe_indexing

# How an error begins that float() raises of text, and numpy.
NO_NUMBER = "could not convert string to float: "


class Inputs(dict):
    """Several inputs by name, which are indexed by samples as one array is."""

    @property
    def shape(self):
        """The number of samples, as an array has it."""
        return (len(next(iter(self.values()))),)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, key):
        if isinstance(key, str):
            return super().__getitem__(key)
        rows = key[0] if isinstance(key, tuple) else key  # of X[rows, ...]
        return Inputs({name: safe_indexing(part, rows) for name, part in self.items()})


def holds_inputs(X):
    """Return whether X holds several inputs by name; one sparse format is a dict, too."""
    return isinstance(X, Mapping) and not issparse(X)


def indexable_samples(X):
    """Return samples that scikit-learn can index and numpy can read."""
    if holds_inputs(X) and not hasattr(X, "shape"):  # skorch's SliceDict has one
        check_consistent_length(*X.values())
        return Inputs({name: indexable_samples(part) for name, part in X.items()})
    if hasattr(X, "detach"):
        X = X.detach()
        return X.float() if str(X.dtype) == "torch.bfloat16" else X
    return X


def as_array(X):
    """Return a tensor of torch as an array, also of a dtype that numpy does not have."""
    return indexable_samples(X).cpu().numpy() if hasattr(X, "detach") else X


def some_rows(n_samples, most=1000):
    """Return the indices of at most so many samples, spread over all."""
    return np.unique(np.linspace(0, n_samples - 1, most).astype(np.intp))


@contextmanager
def naming_text(X):
    """Name the columns of X that hold the text which an error calls no number."""
    try:
        yield
    except ValueError as error:
        names = columns_that_hold(X, str(error).removeprefix(NO_NUMBER))
        if not (names and str(error).startswith(NO_NUMBER)):
            raise
        raise ValueError(
            f"{error}, in the columns {names} of X. Encode text by a step before the "
            "classifier, such as a ColumnTransformer, or leave it out."
        ) from error


def columns_that_hold(X, text):
    """Return which columns of a table hold a value, by its representation."""
    frame = hasattr(X, "iloc")
    values = X.to_numpy() if frame else X
    if not (isinstance(values, np.ndarray) and values.ndim == 2):
        return []
    names = X.columns.tolist() if frame else range(values.shape[1])

    def is_text(value):
        return isinstance(value, str) and text in (repr(value), repr(str(value)))

    return [name for name, column in zip(names, values.T) if any(map(is_text, column))]


def check_no_tuple(X, y):
    """Raise ValueError where X seems to be several inputs without names."""
    n_samples = len(y) if hasattr(y, "__len__") else -1
    several = isinstance(X, (tuple, list)) and len(X) not in (0, n_samples)
    if several and all(np.shape(part)[:1] == (n_samples,) for part in X):
        raise ValueError(
            f"X is a {type(X).__name__} of {len(X)} inputs; give several inputs as a dict "
            "of arrays, by the names of the arguments of forward."
        )


def check_values(X, name="X"):
    """Raise ValueError where values would be lost, or become numbers that they are not."""
    if np.ma.is_masked(X):
        raise ValueError(f"{name} has masked entries; fill them, or drop those samples.")
    dtypes = X.dtypes if hasattr(X, "iloc") else [getattr(X, "dtype", None)]
    if any(getattr(dtype, "kind", None) in ("m", "M") for dtype in np.atleast_1d(dtypes)):
        raise ValueError(
            f"{name} holds dates or durations, which are no numbers; give differences, in "
            "days for example."
        )
