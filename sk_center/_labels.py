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
