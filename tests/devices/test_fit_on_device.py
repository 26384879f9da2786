"""Tests of training and prediction on a second device, against those on the CPU."""

import copy
import logging

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from skorch.callbacks import Callback, EpochScoring, LRScheduler
from stand_in import DEVICE, NAME, State, present
from torch import nn
from torch.utils.data import TensorDataset

from sk_center import Center, CenterLossClassifier, CenterLossNet, OpenSetClassifier
from sk_center.batches import ArrayDataset, TensorBatches, transfers
from sk_center.losses import center_loss
from sk_center.networks import ConvNet

rng = np.random.default_rng(0)
y = rng.integers(3, size=120)
X = (rng.normal(size=(120, 6)) + 2 * np.eye(6)[y]).astype(np.float32)
weights = rng.random(120)


def made(device=NAME, **params):
    """Return a small classifier."""
    defaults = {
        "hidden_layer_sizes": (8,),
        "max_epochs": 2,
        "batch_size": 20,
        "random_state": 0,
    }
    return CenterLossClassifier(device=device, **{**defaults, **params})


def assert_alike(model, reference):
    """Check that two fitted classifiers predict the same."""
    assert_allclose(model.centers_, reference.centers_, rtol=1e-4, atol=1e-5)
    assert_allclose(model.tau_, reference.tau_, rtol=1e-3)
    names = ("labels", "features", "logits", "probabilities", "distances")
    ours, theirs = model.outputs(X, names), reference.outputs(X, names)
    assert_array_equal(ours.pop("labels"), theirs.pop("labels"))
    for name, values in ours.items():
        assert_allclose(values, theirs[name], rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"center_update": "sum", "alpha": 0.99},
        {"center_update": "wen"},
        {"center_update": "cumulative"},
        {"anchors": "simplex", "head": "distance"},
        {"metric": "cosine", "predict_with": "softmax"},
        {"negative_label": 2, "negative_loss": "background"},
        {"negative_label": 2, "negative_loss": "objectosphere"},
        {"lambda_norm": 0.01, "gradient_accumulation_steps": 2},
        {"early_stopping": True, "iterator_train__resident": False},
        {"lambda_center": 0, "class_weight": "balanced"},
        {"optimizer": torch.optim.SGD, "lr": 0.1, "iterator_train__shuffle": False},
    ],
    ids=lambda params: "-".join(params) or "defaults",
)
def test_fit(params, counts):
    """Check that a fit on the device is that on the CPU, and how often data travel."""
    model = made(**params).fit(X, y)
    # Once: about two for each tensor of the module and its optimizer, and the samples.
    assert counts["to device"] <= 30
    assert counts["to host"] <= 3
    # Of an epoch the host wants the loss; where centers may diverge, it looks ever less.
    per_epoch = 2 if "early_stopping" in params else 1
    assert counts["waits"] <= 2 * per_epoch + (6 if "alpha" in params else 0)
    counts.clear()
    model.predict(X)
    assert counts == {"to device": 2, "to host": 1}  # the samples and the centers; labels
    assert_alike(model, made("cpu", **params).fit(X, y))
    assert {part.device for part in model.net_.module_.state_dict().values()} == {DEVICE}


def test_transfers_do_not_grow_with_batches(counts):
    """Check that no number of batches or samples makes more transfers or waits."""
    found = []
    for batch_size, n_samples in ((60, 60), (10, 120), (5, 120)):
        made(batch_size=batch_size).fit(X[:n_samples], y[:n_samples])
        found.append(dict(counts))
        counts.clear()
    assert found[0] == found[1] == found[2]


def test_sample_weights_and_partial_fit(counts):
    """Check weighted streams, one batch of which holds negative samples alone."""
    models = [made(device, negative_label=2) for device in (NAME, "cpu")]
    for model in models:
        model.partial_fit(X[:60], y[:60], classes=[0, 1, 2], sample_weight=weights[:60])
        model.partial_fit(X[y == 2], y[y == 2])
        model.partial_fit(X[60:], y[60:])
    assert_alike(*models)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_images_and_half_precision(metric, counts):
    """Check a convolutional network with batch normalization, in bfloat16 on the device."""
    images = rng.integers(256, size=(60, 1, 8, 8)).astype(np.uint8)
    labels = rng.integers(2, size=60)
    params = {"module": ConvNet, "module__image_shape": (1, 8, 8), "metric": metric}
    params["module__augment"] = None  # shifts that the device draws are others
    model, reference = (
        made(device, **params).fit(images, labels) for device in (NAME, "cpu")
    )
    assert_allclose(model.transform(images), reference.transform(images), atol=1e-3)
    half = made(precision="bf16", **params).fit(images, labels)
    assert half.centers_.dtype == np.float32
    assert_allclose(half.centers_, model.centers_, atol=0.2)


def test_inputs_by_name_and_datasets(counts):
    """Check several inputs, which lie on the device too, and a Dataset of a user."""

    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 4)

        def forward(self, left, right):
            return self.layer(left) + self.layer(right)

    nets = []
    for device in (NAME, "cpu"):
        torch.manual_seed(0)
        counts.clear()
        net = CenterLossNet(Sum, device=device, max_epochs=2, batch_size=20, lr=0.01)
        nets.append(net.fit({"left": X[:, :3], "right": X[:, 3:]}, y))
        assert counts["to device"] <= 20
    inputs = {"left": X[:, :3], "right": X[:, 3:]}
    assert_allclose(nets[0].predict_proba(inputs), nets[1].predict_proba(inputs), atol=1e-5)
    dataset = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    assert_alike(made().fit(dataset), made("cpu").fit(dataset))


def test_open_set(counts):
    """Check that a rejecting classifier around one on the device decides the same."""
    given = {"conformity_score": "center_distance", "cv": 0.5, "random_state": 0}
    params = {"max_epochs": 10}
    model, reference = (
        OpenSetClassifier(made(device, **params), **given).fit(X, y)
        for device in (NAME, "cpu")
    )
    assert_allclose(model.score_samples(X), reference.score_samples(X), rtol=1e-3)
    assert_allclose(model.p_values(X), reference.p_values(X), atol=0.1)  # one rank


def test_callbacks(counts):
    """Check a schedule, a score by epoch and a callback that predicts."""

    class Predicts(Callback):
        def on_epoch_end(self, net, **kwargs):
            self.features_ = net.forward(X)[1]

    rows = []
    for device in (NAME, "cpu"):
        callbacks = [
            LRScheduler("StepLR", step_size=1, gamma=0.5),
            ("score", EpochScoring("accuracy", on_train=True, use_caching=False)),
            ("predicts", Predicts()),
        ]
        model = made(device, callbacks=callbacks).fit(X, y)
        rows.append([(row["train_loss"], row["accuracy"]) for row in model.history_])
        assert dict(model.net_.callbacks_)["predicts"].features_.device.type == "cpu"
    assert_allclose(*rows, rtol=1e-4)


# The generators of the device


def test_generators_are_put_back(counts):
    """Check that a fit leaves the generators as they were, and that its seed is theirs."""
    params = {"module": nn.Sequential(nn.Linear(6, 8), nn.Dropout())}
    State.generator.manual_seed(7)
    torch.manual_seed(8)
    before = State.generator.get_state(), torch.get_rng_state()
    first = made(**params).fit(X, y)
    assert torch.equal(State.generator.get_state(), before[0])
    assert torch.equal(torch.get_rng_state(), before[1])
    State.generator.manual_seed(9)
    assert_array_equal(made(**params).fit(X, y).centers_, first.centers_)
    other = made(random_state=1, **params).fit(X, y)
    assert not np.allclose(other.centers_, first.centers_)


# The centers alone


@pytest.mark.parametrize("update", ["ema", "sum", "wen", "cumulative", "fixed"])
def test_centers(update, counts):
    """Check centers and loss of some batches, of which the host sees nothing."""
    centers = Center(6, 3, update=update, alpha=0.95, center=np.zeros((3, 6)))
    there = copy.deepcopy(centers).to(DEVICE)
    features, labels = torch.from_numpy(X), torch.from_numpy(y)
    batches = list(zip(features.split(50), labels.split(50)))
    sent = [(part.to(DEVICE), label.to(DEVICE)) for part, label in batches]
    counts.clear()
    losses = [center_loss(*batch, there) for batch in sent]
    assert counts.total <= (3 if update == "sum" else 0)
    expected = [center_loss(*batch, centers) for batch in batches]
    assert_allclose([loss.item() for loss in losses], expected, rtol=1e-5)
    assert_allclose(there.predict().cpu(), centers.predict(), rtol=1e-5, atol=1e-6)


def test_two_devices_do_not_mix(counts):
    """Check that a forgotten transfer is an error on the device that the tests take."""
    with pytest.raises(RuntimeError, match="same device"):
        torch.zeros(3, device=DEVICE) + torch.zeros(3)


# What "auto" takes


def auto(caplog, **params):
    """Return a classifier fitted with device="auto", and what the log says of that."""
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="sk_center"):
        model = made("auto", **params).fit(X, y)
    lines = [record.getMessage() for record in caplog.records]
    return model, [line for line in lines if "device=" in line]


def test_auto_takes_the_accelerator(counts, caplog):
    """Check that the device is taken where it is there, and that the log says so once."""
    model, lines = auto(caplog)
    assert model.net_.device == NAME
    assert lines == [f"device='auto' takes {NAME}: the accelerator."]
    assert model.get_params()["device"] == "auto"
    net = CenterLossNet(
        nn.Linear, module__in_features=6, module__out_features=2, max_epochs=1
    )
    assert net.fit(X, y).module_.center.center.device == DEVICE


def test_auto_without_an_accelerator(caplog):
    """Check that the CPU is taken where there is no other device."""
    model, lines = auto(caplog)
    assert model.net_.device == "cpu"
    assert lines == ["device='auto' takes the CPU: torch finds no accelerator."]


def test_auto_where_the_device_lacks_something(caplog):
    """Check that a missing dtype or operator makes it the CPU, which the log explains."""
    double = nn.Sequential(nn.Linear(6, 8, dtype=torch.float64))
    with present(float64=False):
        model, lines = auto(caplog)
        assert model.net_.device == NAME  # nothing of ours needs float64 there
        assert_alike(model, made("cpu").fit(X, y))
        params = {"module": double, "dataset__dtype": torch.float64}
        model, lines = auto(caplog, **params)
        assert model.net_.device == "cpu"
        assert "float64" in lines[0]
    with present(lacks=[torch.ops.aten.index_add_.default]):
        model, lines = auto(caplog)
        assert model.net_.device == "cpu"
        assert "index_add_" in lines[0]


def test_float64_samples_without_float64():
    """Check that samples of 64 bits come to a device that has none."""
    for resident in (True, False):
        params = {"iterator_train__resident": resident, "max_epochs": 1, "lr": 0.01}
        net = CenterLossNet(
            nn.Linear, module__in_features=6, module__out_features=2, **params
        )
        with present(float64=False):
            assert net.fit(X.astype(np.float64), y).device == NAME


# Batches


@pytest.mark.parametrize("free", [2000, 8000])
def test_samples_move_where_they_fit(free, counts, monkeypatch):
    """Check that samples are moved if they take at most half of the free memory."""
    monkeypatch.setattr(torch.standin, "mem_get_info", lambda device: (free, free))
    batches = TensorBatches(ArrayDataset(X[:100], y[:100]), 10, device=DEVICE, shuffle=True)
    passes = [list(batches) for _ in range(2)]
    assert (batches._on_device is not None) == (free == 8000)
    for batch in passes:
        assert {part.device for pair in batch for part in pair} == {DEVICE}
        labels = torch.cat([labels for _, labels in batch]).cpu()
        rows = torch.cat([rows for rows, _ in batch]).cpu()
        assert_array_equal(np.sort(labels), np.sort(y[:100]))
        assert_array_equal(np.sort(rows.numpy(), axis=0), np.sort(X[:100], axis=0))


def test_blocks_go_on_a_stream_of_their_own(counts, monkeypatch):
    """Check that pinned blocks sent beside the computation arrive in order."""
    monkeypatch.setattr(transfers, "OVERLAPPING", (NAME,))
    monkeypatch.setattr(transfers, "GATHERED_NUMBERS", 120)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    dataset = ArrayDataset({"X": X, "sample_weight": weights}, y)
    batches = TensorBatches(dataset, 10, device=DEVICE, resident=False)
    found = list(batches)
    assert counts["to device"] == 3 * 6  # samples, weights and labels of six blocks
    assert_array_equal(torch.cat([batch["X"] for batch, _ in found]).cpu(), X)
    assert_array_equal(torch.cat([labels for _, labels in found]).cpu(), y)
