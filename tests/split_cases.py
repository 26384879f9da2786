"""Labels to split."""

import numpy as np


def make_labels(sizes, seed=0):
    """Return shuffled labels 0, 1, ... of which there are as many as sizes say."""
    return np.random.RandomState(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
