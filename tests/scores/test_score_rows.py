"""Tests of means of classes."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from score_problems import CLOSE, reference_means

from sk_center.scores.rows import class_means


@pytest.mark.parametrize("seed", range(3))
def test_class_means(seed):
    """Check the means of classes of uneven size against sums in loops."""
    rng = np.random.default_rng(seed)
    y = np.append(rng.integers(4, size=30), np.arange(4))
    X = rng.normal(size=(34, 5))
    means = class_means(X, y, 5)
    assert_allclose(means[:4], reference_means(X, y), **CLOSE)
    assert np.isnan(means[4]).all()  # a class without samples
