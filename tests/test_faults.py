"""What no sane program does, and every long-lived one meets: each works or says why not."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from sk_center import Center, CenterLossClassifier, CenterLossNet
from sk_center.losses import center_loss
from sk_center.networks import ConvNet, RandomAffine

RULES = ("ema", "sum", "wen", "cumulative", "fixed")
N_SAMPLES = 60
y = np.arange(N_SAMPLES) % 3
X = np.random.default_rng(0).normal(size=(N_SAMPLES, 4)) + 3 * np.eye(3, 4)[y]
X = X.astype(np.float32)


def small(**params):
    """Return a classifier that trains in a blink."""
    defaults = {"hidden_layer_sizes": (8, 2), "max_epochs": 4, "random_state": 0}
    return CenterLossClassifier(**{**defaults, **params})


@pytest.fixture
def default_dtype(request):
    """Set torch's default dtype for a test."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(request.param)
    yield request.param
    torch.set_default_dtype(before)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"module": torch.nn.Linear(4, 2)},
        {"module": torch.nn.LazyLinear, "module__out_features": 2},
        {"head": "distance"},
        {"center": "simplex", "center_update": "fixed"},
        {"precision": "bf16"},
    ],
    ids=["auto", "instance", "lazy", "distance", "simplex", "bf16"],
)
@pytest.mark.parametrize(
    "default_dtype", [torch.float64, torch.bfloat16, torch.float16], indirect=True
)
def test_default_dtype(default_dtype, params):
    """Check that training is in float32 whatever torch's default dtype is."""
    model = small(max_epochs=60, lr=0.05, **params).fit(X, y)
    model.partial_fit(X, y, sample_weight=np.ones(N_SAMPLES))
    assert {p.dtype for p in model.module_.parameters()} == {torch.float32}
    assert model.module_.center.center.dtype == torch.float32
    assert model.transform(X).dtype == np.float32
    assert model.score(X, y) > 0.8
    assert torch.get_default_dtype() == default_dtype


@pytest.mark.parametrize("default_dtype", [torch.float64], indirect=True)
def test_default_dtype_of_images(default_dtype):
    """Check that images, and what changes them, are float32 under another default."""
    images = np.random.default_rng(0).integers(0, 256, (30, 1, 8, 8), dtype=np.uint8)
    augmented = {"module": ConvNet, "module__image_shape": (1, 8, 8)}
    augmented["module__augment"] = RandomAffine(shift=1, rotation=10)
    for params in ({}, augmented):
        model = small(**params).fit(images, y[:30])
        assert model.transform(images).dtype == np.float32


@pytest.mark.parametrize("default_dtype", [torch.float64], indirect=True)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_default_dtype_of_a_net(default_dtype, dtype):
    """Check that a net computes in the dtype of its samples under another default."""
    params = {"module__in_features": 4, "module__out_features": 2, "max_epochs": 2}
    net = CenterLossNet(torch.nn.Linear, **params, dataset__dtype=None)
    net.fit(torch.from_numpy(X).to(dtype), y)
    assert net.module_.body.weight.dtype == dtype
    assert net.module_.head.weight.dtype == torch.float32


@pytest.mark.parametrize("default_dtype", [torch.float64, torch.float16], indirect=True)
@pytest.mark.parametrize("update", RULES)
def test_default_dtype_of_centers(default_dtype, update):
    """Check that centers are float32 and move alike under another default."""
    features = torch.from_numpy(X[:, :2])
    labels = torch.from_numpy(y)
    center = Center(2, 3, center=[[0, 0], [1, 1], [2, 2]], update=update, alpha=0.95)
    center_loss(features, labels, center)
    center(features, labels)
    torch.set_default_dtype(torch.float32)
    expected = Center(2, 3, center=[[0, 0], [1, 1], [2, 2]], update=update, alpha=0.95)
    center_loss(features, labels, expected)
    expected(features, labels)
    assert_array_equal(center.predict(), expected.predict())
    assert Center(2, 3).predict().dtype == torch.float32
