"""Tests of distances to centers and of the nearest one."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist

import sk_center.centers.distances as distances_module
from sk_center.centers.distances import distances, nearest


@pytest.mark.parametrize(
    ("dtype", "noise", "rtol"), [(np.float64, 1e-4, 1e-10), (np.float32, 0.5, 1e-5)]
)
def test_distances_without_cancellation(dtype, noise, rtol):
    """Check small distances between large vectors, which the expansion gets wrong."""
    rng = np.random.default_rng(24)
    # torch.cdist turns to the expansion by itself above 25 rows.
    X = (1e4 + noise * rng.normal(size=(60, 8))).astype(dtype)
    centers = (1e4 + noise * rng.normal(size=(40, 8))).astype(dtype)
    expected = cdist(X.astype(np.float64), centers.astype(np.float64))
    out = distances(torch.from_numpy(X), torch.from_numpy(centers)).numpy()
    assert out.dtype == dtype
    assert_allclose(out, expected, rtol=rtol)
    squares = (X**2).sum(1)[:, None] + (centers**2).sum(1) - 2 * X @ centers.T
    expanded = np.sqrt(np.maximum(squares, 0))
    assert np.abs(expanded / expected - 1).max() > 0.01


def test_distances_to_an_infinite_center():
    """Check that an infinite center is infinitely far and the others are not."""
    X = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    centers = torch.tensor([[0.0, 0.0], [np.inf, np.inf]])
    assert_array_equal(distances(X, centers).numpy(), [[5.0, np.inf], [0.0, np.inf]])


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e15])
@pytest.mark.parametrize("offset", [0, 1e4])
@pytest.mark.parametrize("block", [3, 4096])
def test_nearest_is_the_least_distance(scale, offset, block, monkeypatch):
    """Check the index against the distances, also where a matrix product misjudges."""
    monkeypatch.setattr(distances_module, "NEAREST_BLOCK", block)
    rng = np.random.default_rng(0)
    centers = offset + rng.normal(size=(11, 6))
    # Samples of a cloud, some on a center, and some between two of them but for a little.
    between = (centers[:5] + centers[5:10]) / 2 + 1e-3 * (centers[:5] - centers[5:10])
    X = np.concatenate([offset + rng.normal(size=(1500, 6)), centers, between])
    X, centers = (torch.from_numpy(scale * part).float() for part in (X, centers))
    found = nearest(X, centers)
    assert_array_equal(found, distances(X, centers).argmin(dim=1))
    assert_array_equal(found[1500:1511], np.arange(11))
    assert len(np.unique(found)) == 11


def test_nearest_needs_few_distances(monkeypatch):
    """Check that of separate clouds no distance is computed, and of equals each is."""
    asked = []

    def counting(features, centers):
        asked.append(len(features))
        return distances(features, centers)

    monkeypatch.setattr(distances_module, "distances", counting)
    rng = np.random.default_rng(0)
    centers = torch.from_numpy(10 * rng.normal(size=(20, 16))).float()
    labels = torch.from_numpy(rng.integers(20, size=5000))
    X = centers[labels] + torch.from_numpy(rng.normal(size=(5000, 16))).float()
    assert_array_equal(nearest(X, centers), labels)
    assert sum(asked) == 0
    twice = torch.cat([centers, centers])
    assert_array_equal(nearest(X, twice), labels)  # the first of equals
    assert sum(asked) == 5000


def test_nearest_of_infinite_and_undefined_numbers():
    """Check that a class that was never seen is never nearest, nor hides others."""
    rng = np.random.default_rng(0)
    X = torch.from_numpy(rng.normal(size=(2000, 4))).float()
    centers = torch.from_numpy(rng.normal(size=(9, 4))).float()
    centers[[2, 5]] = torch.inf
    X[0, 0], X[1, 1], X[2] = torch.nan, torch.inf, 1e30
    found = nearest(X, centers)
    expected = distances(X, centers).nan_to_num(torch.inf, torch.inf).argmin(dim=1)
    assert_array_equal(found, expected)
    assert not np.isin(found, [2, 5]).any()
