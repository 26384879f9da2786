"""Tests of where centers begin: at random, at given points, at the corners of a simplex."""

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist

from sk_center import Center
from sk_center.centers import simplex_etf
from sk_center.centers.first_centers import glorot_uniform


def test_default_centers_are_glorot_uniform():
    """Check the bound, the spread and the seeding of the default centers."""
    n_classes, n_features = 300, 200
    bound = np.sqrt(6 / (n_classes + n_features))
    torch.manual_seed(0)
    first = Center(n_features, n_classes).predict()
    second = Center(n_features, n_classes).predict()
    torch.manual_seed(0)
    again = glorot_uniform((n_classes, n_features))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    values = first.double().numpy()
    assert np.abs(values).max() <= np.float32(bound)
    assert np.abs(values).max() > 0.999 * bound
    # Four standard errors of the mean and of the variance of 60,000 uniform draws.
    n = values.size
    assert abs(values.mean()) < 4 * bound / np.sqrt(3 * n)
    assert abs(values.var() / (bound**2 / 3) - 1) < 4 * np.sqrt(0.8 / n)


@pytest.mark.parametrize("radius", [1.0, 0.25, 30.0])
@pytest.mark.parametrize("shape", [(2, 1), (2, 5), (3, 2), (10, 9), (10, 64), (50, 49)])
def test_simplex_etf_is_a_regular_simplex(shape, radius):
    """Check that all norms are the radius and all distances the largest possible."""
    centers = simplex_etf(shape, radius)
    assert centers.dtype == torch.float32
    assert tuple(centers.shape) == shape
    centers, n_classes = centers.double().numpy(), shape[0]
    assert_allclose(np.linalg.norm(centers, axis=1), radius, rtol=1e-6)
    pairs = cdist(centers, centers)[~np.eye(n_classes, dtype=bool)]
    assert_allclose(pairs, radius * np.sqrt(2 * n_classes / (n_classes - 1)), rtol=1e-6)
    assert_allclose(centers.sum(axis=0), 0, atol=1e-6 * n_classes * radius)


def test_simplex_etf_has_radius_ten_and_is_reproducible():
    """Check that the default radius is ten and that no random numbers are drawn."""
    torch.manual_seed(0)
    first = simplex_etf((5, 8))
    torch.manual_seed(1)
    assert torch.equal(simplex_etf((5, 8)), first)
    assert_allclose(first.norm(dim=1).numpy(), 10, rtol=1e-6)


@pytest.mark.parametrize("shape", [(1, 4), (0, 4), (3, 1), (10, 8)])
def test_simplex_etf_without_room_raises(shape):
    """Check that fewer than 2 classes or C - 1 features are an error."""
    with pytest.raises(ValueError, match="shape"):
        simplex_etf(shape)


def test_simplex_etf_as_fixed_centers():
    """Check that the simplex can initialize a module of anchors."""
    module = Center(4, 5, center="simplex", update="fixed")
    assert torch.equal(module.predict(), simplex_etf((5, 4)))
    # By name it is knowledge: the first batch does not replace it.
    module = Center(4, 5, center="simplex", alpha=0.5)
    module(torch.ones(1, 4), torch.tensor([2]))
    expected = simplex_etf((5, 4))
    expected[2] = (expected[2] + 1) / 2
    assert_allclose(module.predict(), expected, rtol=1e-6)
    with pytest.raises(ValueError, match="'simplex' or None; got 'complex'"):
        Center(4, 5, center="complex")


def test_center_as_data_frame_or_objects():
    """Check that numbers are taken in whatever they come."""
    points = np.array([[0.0, 1.5], [2.0, 3.0], [4.0, 5.0]])
    for given in (
        pd.DataFrame(points),
        pd.DataFrame(points).astype("Float64"),
        points.astype(object),
        points.astype(">f4"),
        points.tolist(),
        np.asfortranarray(points, dtype=np.float16),
    ):
        assert_array_equal(Center(2, 3, center=given).predict(), points)


@pytest.mark.parametrize(
    "given",
    [
        np.zeros((3, 2), complex),
        torch.zeros(3, 2, dtype=torch.complex64),
        np.full((3, 2), "a"),
        pd.DataFrame({"a": ["x", "y", "z"], "b": [1, 2, 3]}),
        pd.DataFrame({"a": [1, 2, pd.NA], "b": [1, 2, 3]}),
        np.zeros((3, 2), "datetime64[s]"),
        [[1, 2], [3], [4]],
        np.ma.array(np.ones((3, 2)), mask=[[0, 1], [0, 0], [0, 0]]),
    ],
)
def test_center_that_is_no_number(given):
    """Check that there is one clear error, which names the parameter."""
    with pytest.raises(
        ValueError,
        match=r"^center (must (be an array of|hold) real|has masked|holds dates)",
    ):
        Center(2, 3, center=given)
