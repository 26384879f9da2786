"""Tests of means by class, summed up batch by batch."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from sk_center.centers.class_means import add_class_sums, means_of_sums

N_CLASSES, N_FEATURES = 7, 5
# float32 against float64: a few roundings of numbers of the size of one.
CLOSE = {"rtol": 1e-5, "atol": 2e-6}


def class_means(batches, labels, shape, sample_weight=None):
    """Return the mean features of each class, from sums over batches."""
    sums = np.zeros(shape)
    add_class_sums(sums, batches, labels, sample_weight)
    return means_of_sums(sums, labels, sample_weight)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("sizes", [(90,), (40, 40, 10), (1, 88, 1), (45, 0, 45)])
def test_class_means_over_batches(sizes, weighted, dtype):
    """Check the class means over batches against numpy's, absent classes at zero."""
    rng = np.random.default_rng(25)
    X = rng.normal(size=(90, N_FEATURES))
    y = rng.choice([0, 1, 2, 5, 6], size=90)
    weight = rng.uniform(0, 2, size=90) if weighted else None
    batches = torch.from_numpy(X).to(dtype).split(sizes)
    expected = np.zeros((N_CLASSES, N_FEATURES))
    for j in np.unique(y):
        rows = y == j
        expected[j] = np.average(
            X[rows], axis=0, weights=weight[rows] if weighted else None
        )
    means = class_means(batches, y, expected.shape, weight)
    assert means.dtype == np.float32
    assert_allclose(means, expected, **CLOSE)
    assert_array_equal(means[[3, 4]], 0)


def test_class_means_take_an_iterator():
    """Check that one pass over a generator is enough, and zero weights give zeros."""
    X = torch.arange(8.0).reshape(4, 2)
    y, weight = np.array([0, 0, 1, 1]), np.array([1.0, 3.0, 0.0, 0.0])
    means = class_means((row[None] for row in X), y, (2, 2), weight)
    assert_allclose(means, [[1.5, 2.5], [0.0, 0.0]], rtol=1e-6)


@pytest.mark.parametrize(
    "weight", [None, np.ones(50_000, dtype=np.float32)], ids=["none", "float32"]
)
def test_class_means_sum_in_float64(weight):
    """Check that the mean of many large numbers is exact to float32."""
    rng = np.random.default_rng(26)
    X = (1e4 + rng.normal(size=(50_000, 2))).astype(np.float32)
    y = np.zeros(len(X), dtype=int)
    means = class_means(torch.from_numpy(X).split(100), y, (1, 2), weight)
    assert_array_equal(means[0], X.astype(np.float64).mean(axis=0).astype(np.float32))
