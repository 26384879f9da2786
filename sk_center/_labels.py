"""Labels of any kind."""

import numpy as np


def equals_label(y, label):
    """Return which labels equal one, whatever their kinds.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
        Labels.

    label : object
        The label; None equals none.

    Returns
    -------
    equal : ndarray of shape (n_samples,)
        Boolean.
    """
    if label is None:
        return np.zeros(len(y), dtype=bool)
    # As objects of Python: numpy would compare numbers with strings as strings.
    return np.asarray(y.astype(object) == label, dtype=bool)


def shortened(names, limit=20):
    """Return names as a list for a message, of many the first and their number.

    Parameters
    ----------
    names : list of str
        What to list.

    limit : int, default=20
        Largest number of names.

    Returns
    -------
    text : str
        The names, separated by commas.
    """
    more = [f"... ({len(names)} in all)"] if len(names) > limit else []
    return ", ".join([*names[:limit], *more])
