"""Tests of training by several processes: what one process does, cut into parts."""

import copy
import pickle

import numpy as np
import pytest
import torch
import torch.distributed as dist
from distributed_cases import (
    CLOSE,
    assert_as_one,
    assert_same_everywhere,
    data,
    trained,
)
from numpy.testing import assert_allclose, assert_array_equal
from skorch.callbacks import Callback, GradientNormClipping
from torch.nn.functional import cross_entropy

from sk_center import Center, CenterLossClassifier
from sk_center.networks import ConvNet

RULES = ("ema", "sum", "wen", "cumulative", "fixed")


@pytest.mark.parametrize("update", RULES)
def test_processes_train_as_one_does(update, team):
    """Check parameters and centers after three epochs, for each rule.

    203 samples in batches of 31 give uneven parts and a last batch of 17; one class has a
    single sample, which only one process sees.
    """
    params = {"center_update": update, "alpha": 0.9, "lambda_center": 0.1}
    results = team.run(trained, params)
    assert len(results[0]["epochs"]) == 3
    assert_same_everywhere(results)
    assert_as_one(results[0], trained(params))


class TwoTowers(torch.nn.Module):
    """A network with weights that it does not use, and memory in any order."""

    def __init__(self):
        super().__init__()
        self.body = ConvNet((1, 8, 8), channels=(4,), hidden_layer_sizes=(8, 3))
        self.unused = torch.nn.Linear(3, 3)

    def forward(self, X):
        """Return the features."""
        return self.body(X)


class Scaled(torch.nn.Module):
    """A criterion with a weight of its own."""

    def __init__(self, reduction="none"):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(1.0))

    def forward(self, logits, y):
        """Return the loss of each sample."""
        return cross_entropy(self.scale * logits, y, reduction="none")


class Batches(Callback):
    """Look at batches, as skorch's own callbacks do."""

    def on_batch_end(self, net, loss, training, **kwargs):
        """Keep the loss."""
        net.losses = [*getattr(net, "losses", []), loss.item()]


class Digits(torch.utils.data.Dataset):
    """Digits that are read one by one."""

    def __init__(self):
        self.X, self.targets = data()

    def __len__(self):
        return len(self.X)

    def __getitem__(self, index):
        return self.X[index], self.targets[index]


VARIANTS = {
    "no center loss": {"lambda_center": 0},
    "early stopping": {"early_stopping": True, "n_iter_no_change": 1, "lr": 0.02},
    "class weights": {"class_weight": "balanced"},
    "negatives": {"negative_label": "digit 3", "negative_loss": "objectosphere"},
    "background": {"negative_label": "digit 3", "negative_loss": "background"},
    "distances": {"head": "distance", "center_update": "fixed", "center": "simplex"},
    "cosine": {"metric": "cosine"},
    "norm": {"lambda_norm": 0.01},
    "accumulation": {"gradient_accumulation_steps": 3},
    "criterion": {"criterion": Scaled},
    "batches": {"callbacks": [Batches()]},
    "clipped": {"callbacks": [GradientNormClipping(0.5)]},
    "closure": {"optimizer": torch.optim.LBFGS, "optimizer__max_iter": 2, "lr": 0.1},
    "momentum": {"optimizer": torch.optim.SGD, "optimizer__momentum": 0.9, "lr": 0.1},
    "small batches": {"batch_size": 4},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_train_as_one_process_does(name, pair):
    """Check what else enters a step: weights, negatives, heads, closures, callbacks."""
    params = VARIANTS[name]
    if name in ("early stopping", "distances"):
        X, y = data()
        X, y = X[y != "digit 9"], y[y != "digit 9"]
        params = {"hidden_layer_sizes": (16, 9), **params}
        results = pair.run(trained, params, X, y)
        expected = trained(params, X, y)
    else:
        results, expected = pair.run(trained, params), trained(params)
    assert_same_everywhere(results)
    assert_as_one(results[0], expected, atol=5e-5)


def test_sample_weights_are_those_of_the_joint_batch(pair):
    """Check weights, zeros among them."""
    X, y = data()
    weight = np.random.default_rng(0).uniform(0, 3, size=len(y))
    weight[::7] = 0
    results = pair.run(trained, {}, X, y, weight)
    assert_same_everywhere(results)
    assert_as_one(results[0], trained({}, X, y, weight))


@pytest.mark.parametrize(
    "workers",
    [{}, pytest.param({"iterator_train__num_workers": 1}, marks=pytest.mark.slow)],
)
def test_datasets_train_as_one_process_does(pair, workers):
    """Check a Dataset, of which each process reads its part."""
    results = pair.run(trained_on_dataset, workers)
    assert_same_everywhere(results)
    assert_as_one(results[0], trained_on_dataset(workers))


def trained_on_dataset(params):
    """Return what a classifier learns of a Dataset."""
    return trained(params, Digits(), None)


def unequal_start(seed):
    """Return what a network learns that draws from everywhere, unseeded by the caller."""
    rank = dist.get_rank()
    torch.manual_seed(rank)
    X, y = data()
    return trained(
        {
            "module": torch.nn.Sequential(
                torch.nn.Linear(64, 12),
                torch.nn.BatchNorm1d(12),
                torch.nn.Dropout(0.5),
                torch.nn.Linear(12, 3),
            ),
            "random_state": seed,
            "max_epochs": 4,
            "early_stopping": True,
        },
        X[y != "digit 9"],
        y[y != "digit 9"],
    )


@pytest.mark.parametrize("seed", [None, 0])
def test_processes_agree_without_a_seed(seed, pair):
    """Check that weights, order, split and running statistics are those of rank 0."""
    assert_same_everywhere(pair.run(unequal_start, seed))


def dropped_units():
    """Return which units dropout switches off in the first step."""
    kept = []

    class Keep(torch.nn.Dropout):
        def forward(self, X):
            X = super().forward(X)
            if self.training:
                kept.append((X == 0).numpy())
            return X

    X, y = data()
    CenterLossClassifier(
        torch.nn.Sequential(Keep(), torch.nn.Linear(64, 3)),
        max_epochs=1,
        batch_size=32,
        random_state=0,
    ).fit(np.ones_like(X), y)
    return kept[0]


def test_processes_drop_out_units_of_their_own(pair):
    """Check that the noise of two processes is not the same."""
    first, second = pair.run(dropped_units)
    assert first.shape == second.shape
    assert 0.4 < (first != second).mean() < 0.6


def test_unused_weights_and_any_order_of_memory(pair):
    """Check a network with weights that get no gradient, and channels last."""
    X, y = data()
    X = X.reshape(-1, 1, 8, 8)
    results = pair.run(trained, {"module": TwoTowers, "lr": 1e-4}, X, y)
    assert_same_everywhere(results)


def compiled():
    """Return what a compiled classifier learns."""
    torch._dynamo.reset()
    return trained({"compile": True, "compile__backend": "eager", "max_epochs": 2})


@pytest.mark.slow
def test_compiled_steps_train_as_one_process_does(pair):
    """Check compile=True."""
    results = pair.run(compiled)
    assert_same_everywhere(results)
    assert_as_one(results[0], trained({"max_epochs": 2}))


def streamed(n_calls):
    """Return what a classifier learns of a stream."""
    X, y = data()
    model = CenterLossClassifier(hidden_layer_sizes=(16, 4), random_state=0)
    for part in np.array_split(np.arange(len(y)), n_calls):
        model.partial_fit(X[part], y[part], classes=np.unique(y))
    state = {name: value.numpy() for name, value in model.module_.state_dict().items()}
    return state, model.centers_, model.tau_, pickle.dumps(model)


def test_streams_train_as_one_process_does(pair):
    """Check partial_fit, and that what comes out of it knows no processes."""
    results, expected = pair.run(streamed, 5), streamed(5)
    for result in results:
        for name, value in expected[0].items():
            assert_allclose(result[0][name], value, **CLOSE)
        assert_allclose(result[1], expected[1], **CLOSE)
        model = pickle.loads(result[3])
        X, y = data()
        assert model.module_.center.process_group is None
        assert_array_equal(model.predict(X), pickle.loads(results[0][3]).predict(X))
        model.partial_fit(X, y)  # alone


def continued():
    """Return what a classifier learns in two calls of fit."""
    X, y = data()
    model = CenterLossClassifier(
        hidden_layer_sizes=(16, 4), max_epochs=2, random_state=0, warm_start=True
    )
    model.fit(X, y).fit(X, y)
    return model.module_.center.predict().numpy(), model.n_iter_


def test_warm_starts_train_as_one_process_does(pair):
    """Check that fit goes on."""
    for centers, n_iter in pair.run(continued):
        expected, n_epochs = continued()
        assert n_iter == n_epochs == 4
        assert_allclose(centers, expected, **CLOSE)


def joint_batches(n_classes, weighted):
    """Return batches of features, labels and weights."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for _ in range(4):
        X = torch.randn(14, 3, generator=generator) + 5
        y = torch.randint(min(n_classes, 9), (14,), generator=generator)
        y[0] = n_classes - 1  # on one process only
        X[3] = torch.nan
        X[6, 0] = torch.inf
        X[5] = 1e25  # whose squares float32 does not hold
        weight = torch.rand(14, generator=generator)
        weight[8], weight[9] = 0, torch.inf
        found.append((X, y, weight if weighted else None))
    return found


# Where the joint batches are cut: uneven, and with nothing for some.
CUTS = {
    1: [[0, 14]] * 4,
    2: [[0, 9, 14], [0, 1, 14], [0, 14, 14], [0, 0, 14]],
    3: [[0, 4, 9, 14], [0, 14, 14, 14], [0, 0, 1, 14], [0, 6, 6, 14]],
}


def moved_together(params, method, n_classes, weighted, alone):
    """Return centers, counters and what was returned for a few batches."""
    torch.manual_seed(0)
    module = Center(3, n_classes, 0.9, **params)
    rank, size = (0, 1) if alone else (dist.get_rank(), dist.get_world_size())
    if not alone:
        module.process_group = dist.group.WORLD
    found = []
    for (X, y, weight), cut in zip(joint_batches(n_classes, weighted), CUTS[size]):
        rows = slice(cut[rank], cut[rank + 1])
        if method == "forward":
            found.append(module(X[rows], y[rows]))
        else:
            weight = None if weight is None else weight[rows]
            found.append(module.deviation(X[rows], y[rows], weight))
    if not rank:
        module.eval().deviation(X, y)  # moves nothing and waits for nobody
    return module.center.numpy(), module.count.numpy(), found


@pytest.mark.parametrize("method", ["forward", "deviation", "weighted"])
@pytest.mark.parametrize("n_classes", [5, 40])
@pytest.mark.parametrize("update", RULES)
def test_centers_move_as_with_the_joint_batch(update, n_classes, method, team):
    """Check sums of few classes and features of many, with parts of any size.

    Rows that are not finite are left out, a class begins at its mean over all processes.
    """
    for params in ({}, {"center": np.ones((n_classes, 3))}):
        params = {"update": update, **params}
        call = method.replace("weighted", "deviation")
        args = (params, call, n_classes, method == "weighted")
        results = team.run(moved_together, *args, alone=False)
        centers, count, expected = moved_together(*args, alone=True)
        for result in results:
            assert_array_equal(result[0], results[0][0])
            assert_array_equal(result[1], count)
            assert_allclose(result[0], centers, rtol=1e-5, atol=2e-6)
        for step, whole in enumerate(expected):
            parts = [result[2][step] for result in results]
            whole = [whole] * len(parts) if method == "forward" else [whole]
            parts = parts if method == "forward" else [torch.cat(parts)]
            for part, one in zip(parts, whole):
                assert_allclose(part, one, rtol=1e-5, atol=1e-5)


def test_a_copy_of_centers_is_alone(pair):
    """Check that pickles and copies of a module hold no processes."""
    assert pair.run(copied) == [True, True]


def copied():
    """Return whether copies know no process group."""
    module = Center(3, 2)
    module.process_group = dist.group.WORLD
    copies = copy.deepcopy(module), pickle.loads(pickle.dumps(module))
    return all(part.process_group is None for part in copies)
