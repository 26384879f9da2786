"""Steps of the optimizer: fused, accumulated, compiled."""

import pickle
from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
import torch
from net_cases import WatchBatches, X, fitted, small, y
from numpy.testing import assert_allclose, assert_array_equal
from skorch.callbacks import (
    Callback,
)

from sk_center import CenterLossNet
from sk_center.networks import ConvNet


@pytest.mark.parametrize(
    "optimizer", [torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD]
)
def test_optimizer_updates_all_parameters_at_once(optimizer):
    """Check that the fused update is taken where torch has it, and trains alike."""
    nets = []
    for chosen in ({}, {"optimizer__foreach": False}):
        torch.manual_seed(0)
        nets.append(fitted(optimizer=optimizer, **chosen))
    assert nets[0].optimizer_.defaults["fused"]
    assert not nets[1].optimizer_.defaults["fused"]
    for fused, plain in zip(*(net.module_.parameters() for net in nets)):
        assert_allclose(fused.detach(), plain.detach(), rtol=1e-3, atol=1e-5)


def test_sparse_gradients_are_not_updated_at_once():
    """Check that a module with sparse gradients trains, which no fused update takes."""

    class Words(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.words = torch.nn.EmbeddingBag(10, 4, sparse=True, mode="sum")

        def forward(self, X):
            return self.words(X.long())

    inputs = np.arange(40).reshape(20, 2) % 10
    labels = np.arange(20) % 2
    net = CenterLossNet(Words, optimizer=torch.optim.SGD, max_epochs=2, head="distance")
    assert not net.fit(inputs, labels).optimizer_.defaults["fused"]


def test_optimizer_that_asks_for_a_closure():
    """Check that LBFGS, which runs the network as often as it likes, still learns."""
    torch.manual_seed(0)
    net = fitted(optimizer=torch.optim.LBFGS, lr=0.1, batch_size=len(X))
    assert net.history[-1, "train_loss"] < 0.5 * net.history[0, "train_loss"]


@pytest.mark.parametrize("callbacks", [None, [WatchBatches()]])
@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.SGD])
def test_accumulated_gradients_are_those_of_one_batch(optimizer, callbacks):
    """Check that three batches of 20 samples, the last of 10, step as 50 samples do."""
    nets = []
    for params in (
        {"batch_size": 50},
        {"batch_size": 20, "gradient_accumulation_steps": 3, "callbacks": callbacks},
    ):
        torch.manual_seed(0)
        # Anchors, which do not move between two batches.
        net = small(
            optimizer=optimizer,
            max_epochs=4,
            head="distance",
            center="simplex",
            center_update="fixed",
            iterator_train__shuffle=False,
            **params,
        )
        nets.append(net.fit(X[:50], y[::3]))
    one, several = nets
    assert_allclose(
        several.history[:, "train_loss"], one.history[:, "train_loss"], rtol=1e-5
    )
    for ours, theirs in zip(*(net.module_.parameters() for net in nets)):
        assert_allclose(ours.detach(), theirs.detach(), rtol=1e-3, atol=1e-5)


def test_accumulated_gradients_reach_the_callbacks_once_a_step():
    """Check that gradients are shown when they are whole, also at the end of an epoch."""
    seen = []

    class Watch(Callback):
        def on_grad_computed(self, net, named_parameters, batch=None, **kwargs):
            assert len(batch) == 2
            seen.append(sum(float(p.grad.abs().sum()) > 0 for _, p in named_parameters))

    params = {"batch_size": 20, "gradient_accumulation_steps": 3, "max_epochs": 2}
    fitted(callbacks=[Watch()], **params)  # eight batches an epoch
    assert len(seen) == 6
    assert min(seen) > 0


@pytest.mark.parametrize("steps", [0, 1.5, "2"])
def test_accumulation_of_a_strange_number_raises(steps):
    """Check that the number of batches must be one."""
    with pytest.raises(ValueError, match=r"'gradient_accumulation_steps' .* int"):
        fitted(gradient_accumulation_steps=steps)


def test_accumulation_does_not_go_with_a_closure():
    """Check that LBFGS, which runs the network itself, cannot wait for batches."""
    with pytest.raises(ValueError, match=r"LBFGS.*gradient_accumulation_steps=1; got 2"):
        fitted(optimizer=torch.optim.LBFGS, gradient_accumulation_steps=2)


@pytest.mark.parametrize("weighted", [pytest.param(False, marks=pytest.mark.slow), True])
def test_compiled_training_is_the_same(weighted):
    """Check that step and inference compile, each in one graph, and change nothing."""
    data = {"X": X, "sample_weight": np.linspace(0.5, 2, len(X)).astype(np.float32)}
    nets = []
    for params in (
        {},
        {"compile": True, "compile__backend": "aot_eager", "compile__fullgraph": True},
    ):
        torch.compiler.reset()
        torch.manual_seed(0)
        nets.append(small(**params).fit(data if weighted else X, y))
    plain, compiled = nets
    assert_allclose(
        compiled.history[:, "train_loss"], plain.history[:, "train_loss"], rtol=1e-4
    )
    for ours, theirs in zip(*(net.module_.state_dict().values() for net in nets)):
        assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)
    assert_allclose(compiled.predict_proba(X), plain.predict_proba(X), atol=1e-3)
    # What is compiled belongs to a process.
    again = pickle.loads(pickle.dumps(compiled))
    assert_array_equal(again.predict_proba(X), compiled.predict_proba(X))
    torch.compiler.reset()


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_deterministic_algorithms_for_the_training_alone(before, fails):
    """Check that torch's setting is on in training and as it was before afterwards."""
    seen = []

    class Watch(Callback):
        def on_epoch_end(self, net, **kwargs):
            seen.append(torch.are_deterministic_algorithms_enabled())
            if fails:
                raise RuntimeError("stop here")

    torch.use_deterministic_algorithms(before, warn_only=True)
    try:
        with pytest.raises(RuntimeError) if fails else nullcontext():
            fitted(deterministic=True, callbacks=[Watch()], max_epochs=1)
        assert torch.are_deterministic_algorithms_enabled() == before
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
    assert seen == [True]


def test_fused_update_is_left_where_it_does_not_fit():
    """Check optimizers and parameters that have a say of their own."""
    partial_adam = partial(torch.optim.Adam, foreach=True)
    assert fitted(optimizer=partial_adam).optimizer_.defaults["foreach"]

    class Strided(torch.nn.Linear):
        def __init__(self):
            super().__init__(4, 2)
            self.weight = torch.nn.Parameter(torch.randn(2, 8)[:, ::2])

    assert not small(Strided).fit(X, y).optimizer_.defaults["fused"]


def test_fused_update_of_channels_last():
    """Check that the order in memory of a ConvNet's weights is that of their moments."""
    images = np.random.default_rng(0).normal(size=(40, 1, 8, 8)).astype(np.float32)
    nets = []
    for chosen in ({}, {"optimizer__fused": False}):
        torch.manual_seed(0)
        net = CenterLossNet(ConvNet, module__image_shape=(1, 8, 8), max_epochs=3, **chosen)
        nets.append(net.fit(images, np.arange(40) % 4))
    assert nets[0].optimizer_.defaults["fused"]
    losses = [net.history[:, "train_loss"] for net in nets]
    assert_allclose(losses[0], losses[1], rtol=1e-3)


def test_optimizer_of_ones_own_gets_a_closure():
    """Check that only torch's own optimizers are stepped without one."""

    class Careful(torch.optim.SGD):
        def step(self, closure=None):
            assert closure is not None
            return super().step(closure)

    net = fitted(optimizer=Careful, lr=0.1)
    assert net.history[-1, "train_loss"] < net.history[0, "train_loss"]


def test_net_that_builds_its_own_optimizer():
    """Check the form of skorch's documentation, which calls no method of ours."""

    class Own(CenterLossNet):
        def initialize_optimizer(self, triggered_directly=None):
            self.optimizer_ = torch.optim.SGD(self.module_.parameters(), lr=0.1)
            return self

    net = Own(torch.nn.Linear, module__in_features=4, module__out_features=2, max_epochs=3)
    net.fit(X, y)
    assert net.history[-1, "train_loss"] < net.history[0, "train_loss"]
