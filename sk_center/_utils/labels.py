"""Labels and names of any kind."""

from difflib import get_close_matches

import numpy as np

from sk_center._utils.compat import is_pandas_na, is_scalar_nan


def equals_label(y, label):
    """Return which labels of an array equal one, whatever their kinds; None equals none."""
    if label is None:
        return np.zeros(len(y), dtype=bool)
    # As objects of Python: numpy would compare numbers with strings as strings.
    return np.asarray(y.astype(object) == label, dtype=bool)


def check_no_label_missing(y, name="y"):
    """Raise ValueError if a label is masked, None, NaN or the NA of pandas."""
    if np.ma.is_masked(y):
        raise ValueError(f"{name} has masked entries; drop those samples.")
    # In a list of strings, numpy would make a NaN the string "nan".
    y = np.asarray(y, dtype=object if isinstance(y, (list, tuple)) else None)
    if y.ndim == 0 or y.dtype.kind not in "fOmM":
        return
    labels = y.ravel()
    if y.dtype.kind in "fmM":
        missing = np.flatnonzero(np.isnan(labels))
    else:
        missing = [i for i, label in enumerate(labels) if is_missing(label)]
    if len(missing):
        raise ValueError(
            f"{name} holds a missing label, {labels[missing[0]]} at sample {missing[0]}, "
            f"the first of {len(missing)}. Every sample needs a label; drop those without."
        )


def is_missing(label):
    """Return whether a label is None, NaN or the NA of pandas."""
    if isinstance(label, str):
        return False
    return label is None or is_scalar_nan(label) or is_pandas_na(label)


def nearest_name(name, known):
    """Return the known name that a misspelled one probably means, or None."""
    return next(iter(get_close_matches(name, known, n=1, cutoff=0.4)), None)


def shortened(names, limit=20):
    """Return names separated by commas for a message; where many, the first and a count."""
    more = [f"... ({len(names)} in all)"] if len(names) > limit else []
    return ", ".join([*names[:limit], *more])
