"""Tests of the first layer of the default network for tables."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_wine
from sklearn.preprocessing import StandardScaler
from torch.utils.data import TensorDataset

from sk_center import CenterLossClassifier
from sk_center.networks import MLP
from sk_center.networks.standardize import Standardize, means_and_scales

rng = np.random.default_rng(0)
# Columns of several units; one is constant, and one nearly so.
table = rng.normal([0, 1e6, -3, 5, 0], [1, 1e3, 1e-4, 0, 0], size=(1000, 5))
table[7, 4] = 2.0


@pytest.mark.parametrize("n_blocks", [1, 7])
def test_means_and_scales_are_the_formula(n_blocks):
    """Check columns of any unit against numpy, whatever the blocks."""
    two_values = np.where(np.arange(1000) % 2, 3.0, 1.0)[:, None]  # one scale away, both
    data = np.hstack([table, two_values])
    mean, scale = means_and_scales(np.array_split(data, n_blocks))
    assert_allclose(mean, data.mean(axis=0), rtol=1e-9, atol=1e-12)
    farthest = np.abs(data - data.mean(axis=0)).max(axis=0)
    expected = np.maximum(data.std(axis=0), 0.4 * farthest)
    expected[3] = 1
    assert_allclose(scale, expected, rtol=1e-9)
    assert scale[5] == pytest.approx(1)


def test_no_training_value_is_far_out():
    """Check that a column nearly always the same is not blown up, nor a constant one."""
    layer = Standardize(5)
    X = torch.from_numpy(table).float()
    layer.learn([X[:300], X[300:]])
    output = layer(X)
    assert output.abs().max() == pytest.approx(2.5, rel=1e-3)
    assert StandardScaler().fit_transform(table).max() > 30
    assert (output[:, 3] == 0).all()


def test_a_network_that_does_not_standardize_learns_nothing():
    """Check that learn asks for the samples only where they are needed."""
    network = MLP(5)
    network.learn(iter(()))
    assert not list(network.buffers())


@pytest.mark.parametrize("as_dataset", [False, True])
def test_raw_columns_need_no_scaler(as_dataset):
    """Check that raw wines, and those with odd columns, are told apart like scaled ones."""
    X, y = load_wine(return_X_y=True)
    X = np.column_stack([X, np.full(len(X), 7), 1e8 + 1e5 * rng.normal(size=len(X))])
    X = X.astype(np.float32)
    half = np.arange(len(X)) % 2 == 0
    classifier = CenterLossClassifier(max_epochs=15, random_state=0)
    samples = TensorDataset(torch.from_numpy(X[half])) if as_dataset else X[half]
    classifier.fit(samples, y[half])
    assert classifier.score(X[~half], y[~half]) > 0.93
    layer = classifier.module_.body[0]
    assert_allclose(layer.mean, X[half].mean(axis=0, dtype=float), rtol=1e-5)


def test_scales_stay_in_further_fits():
    """Check that partial_fit and a warm start keep what the first samples taught."""
    X, y = load_wine(return_X_y=True)
    classifier = CenterLossClassifier(random_state=0)
    classifier.partial_fit(X[::2], y[::2], classes=[0, 1, 2])
    mean = classifier.module_.body[0].mean.clone()
    classifier.partial_fit(10 * X, y)
    assert_array_equal(classifier.module_.body[0].mean, mean)
    assert_allclose(mean, X[::2].mean(axis=0), rtol=1e-5)
