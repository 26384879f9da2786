"""Tests of training by several processes: what one process does, cut into parts."""

import copy
import os
import pickle
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from skorch.callbacks import Callback, GradientNormClipping
from skorch.hf import AccelerateMixin
from torch.nn.functional import cross_entropy

from sk_center import Center, CenterLossClassifier, CenterLossNet
from sk_center._utils.processes import from_rank_0, part_sizes
from sk_center.batches.tensor_batches import own_part
from sk_center.networks import ConvNet

try:
    import accelerate
except ImportError:  # of the extra
    accelerate = None

RULES = ("ema", "sum", "wen", "cumulative", "fixed")
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


class CentersOfEpochs(Callback):
    """Keep the bits of the centers after each epoch."""

    def on_epoch_end(self, net, **kwargs):
        """Keep them."""
        center = net.module_.center
        bits = center.center.numpy().tobytes(), center.count.numpy().tobytes()
        net.kept = [*getattr(net, "kept", []), bits]


def data(n_samples=203):
    """Return digits of nine classes, and one of a class that has a single sample."""
    X, y = load_digits(return_X_y=True)
    X, y = X[y < 9][:n_samples].astype(np.float32) / 16, y[y < 9][:n_samples].copy()
    y[17] = 9
    return X, np.array([f"digit {label}" for label in y])


def trained(params, X=None, y=None, sample_weight=None):
    """Return what a classifier knows after three epochs."""
    if X is None:
        X, y = data()
    params = {
        "hidden_layer_sizes": (16, 4),
        "max_epochs": 3,
        "batch_size": 31,
        "random_state": 0,
        "callbacks": [CentersOfEpochs()],
        **params,
    }
    model = CenterLossClassifier(**params).fit(X, y, sample_weight=sample_weight)
    state = {name: value.numpy() for name, value in model.module_.state_dict().items()}
    rows = [
        {name: row[name] for name in ("train_loss", "valid_loss") if name in row}
        for row in model.history_
    ]
    return {
        "state": state,
        "epochs": getattr(model.net_, "kept", []),
        "history": rows,
        "centers_": model.centers_,
        "tau_": model.tau_,
        "decision": model.decision_function(X),
        "classes_": model.classes_,
    }


def assert_same_everywhere(results):
    """Check that processes ended with the same bits."""
    first = results[0]
    for other in results[1:]:
        assert other["epochs"] == first["epochs"]
        assert other["history"] == first["history"]
        assert other["tau_"] == first["tau_"]
        for name in ("centers_", "decision", "classes_"):
            assert_array_equal(other[name], first[name])
        for name, value in first["state"].items():
            assert_array_equal(other["state"][name], value, err_msg=name)


def assert_as_one(result, expected, **tolerance):
    """Check that processes found what one process finds."""
    tolerance = {**CLOSE, **tolerance}
    assert len(result["history"]) == len(expected["history"])
    for row, one in zip(result["history"], expected["history"]):
        assert row == pytest.approx(one, rel=1e-4)
    for name, value in expected["state"].items():
        assert_allclose(result["state"][name], value, **tolerance, err_msg=name)
    assert_array_equal(result["state"]["center.count"], expected["state"]["center.count"])
    assert_allclose(result["centers_"], expected["centers_"], **tolerance)
    assert_allclose(result["tau_"], expected["tau_"], rtol=1e-3)


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


def with_other(name):
    """Train with one thing other than on rank 0."""
    X, y = data()
    weight = np.ones(len(y))
    params = {"hidden_layer_sizes": (16, 4), "max_epochs": 2, "random_state": 0}
    if dist.get_rank():
        if name == "classes":
            y = np.char.add(y, "!")
        elif name == "the number of samples":
            X, y, weight = X[:-1], y[:-1], weight[:-1]
        elif name == "y":
            y = y[::-1]
        elif name == "X":
            X = X[::-1]
        elif name == "sample_weight":
            weight[3] = 2
        elif name == "n_epochs":
            params["max_epochs"] = 3
        else:
            params[name] = 0.5
    CenterLossClassifier(**params).fit(X, y, sample_weight=weight)


@pytest.mark.parametrize(
    "name",
    ["classes", "the number of samples", "y", "X", "sample_weight", "lr", "n_epochs"],
)
def test_what_differs_is_told_on_every_process(name, pair):
    """Check that processes with other data or parameters do not train."""
    for succeeded, error in pair.outcomes(with_other, name):
        assert not succeeded
        assert isinstance(error, ValueError)
        assert f"{name} (rank [1])" in str(error)


class Poison(Callback):
    """Spoil the weights of one process in the second epoch."""

    def on_epoch_begin(self, net, **kwargs):
        """Do so."""
        if len(net.history) == 2 and dist.get_rank() == 1:
            with torch.no_grad():
                net.module_.body[0].weight.fill_(torch.nan)


def poisoned():
    """Train with it."""
    trained({"callbacks": [Poison()]})


def test_a_loss_that_is_not_finite_ends_all_processes_alike(pair):
    """Check that what one process finds stops all, with the same words."""
    outcomes = pair.outcomes(poisoned)
    assert not any(succeeded for succeeded, _ in outcomes)
    first, second = (str(error) for _, error in outcomes)
    assert first == second
    assert "The training loss is nan in epoch 2" in first
    pair.run(trained, {})  # and they are in step still


def with_loader():
    """Train with an iterator that cannot be cut."""
    trained({"iterator_train": torch.utils.data.DataLoader})


def test_other_iterators_are_refused(pair):
    """Check that batches are cut only where one process reads a part of each."""
    for succeeded, error in pair.outcomes(with_loader):
        assert not succeeded
        assert "TensorBatches" in str(error)


def test_a_function_of_rank_0_is_run_there_alone(pair):
    """Check the value of rank 0 on all, and its error."""
    assert pair.run(told, "value") == [(0, "value")] * 2
    for succeeded, error in pair.outcomes(told, None):
        assert not succeeded
        assert str(error) == "nothing to tell"


def told(value):
    """Return who told what."""

    def tell():
        if value is None:
            raise ValueError("nothing to tell")
        return dist.get_rank(), value

    return from_rank_0(tell)


@pytest.mark.parametrize("n_parts", range(1, 6))
@pytest.mark.parametrize("n_rows", [1, 2, 3, 5, 8, 31, 64])
def test_parts_of_a_batch(n_rows, n_parts):
    """Check that parts are a partition in order, and never a single row of several."""
    sizes = part_sizes(n_rows, n_parts)
    assert sum(sizes) == n_rows
    assert len(sizes) == n_parts
    assert sorted(sizes, reverse=True) == sizes
    assert n_rows == 1 or 1 not in sizes
    filled = [size for size in sizes if size]
    assert max(filled) - min(filled) <= 1
    rows = [own_part(100, 100 + n_rows, rank, n_parts) for rank in range(n_parts)]
    assert [row for a, b in rows[: len(filled)] for row in range(a, b)] == [
        *range(100, 100 + n_rows)
    ]
    assert all(0 < b - a <= 2 for a, b in rows[len(filled) :])


class Kill(Callback):
    """End one process by the system, in the middle of an epoch."""

    def on_grad_computed(self, net, **kwargs):
        """Do so."""
        when, rank = os.environ.get("KILL", "0 0").split()
        if len(net.history) == int(when) and dist.get_rank() == int(rank):
            os.kill(os.getpid(), signal.SIGKILL)


def main(folder, how):
    """Train under torchrun; rank 0 tells what came out."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", timeout=timedelta(seconds=30))
    result = dropped_out(Path(folder, "checkpoints"))
    if dist.get_rank() == 0:
        Path(folder, f"{how}.pickle").write_bytes(pickle.dumps(result))
    dist.destroy_process_group()


def dropped_out(checkpoint_dir):
    """Return what a network learns of which all that lasts is to be kept."""
    torch.manual_seed(0)
    params = {
        "module": torch.nn.Sequential(
            torch.nn.Linear(64, 16),
            torch.nn.BatchNorm1d(16),
            torch.nn.Dropout(0.2),
            torch.nn.Linear(16, 4),
        ),
        "max_epochs": 6,
        "early_stopping": True,
        "n_iter_no_change": 50,
        "checkpoint_dir": checkpoint_dir,
        "callbacks": [Kill()],
    }
    X, y = data()
    known = y != "digit 9"
    return trained(params, X[known], y[known])


LAUNCHER = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")


def torchrun(folder, how, kill="0 0"):
    """Run that, and return the result or what was printed, and how long it took."""
    code = f"from test_distributed import main\nmain({str(folder)!r}, {how!r})"
    script = Path(folder, "script.py")
    script.write_text(code)
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, *LAUNCHER, str(script)],
        env={**os.environ, "KILL": kill, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    return done, time.monotonic() - start


@pytest.mark.slow
@pytest.mark.parametrize("rank", [1, 0], ids=["other", "writer"])
def test_a_killed_process_ends_all_and_training_goes_on(rank, pair, tmp_path):
    """Check that no process waits for a dead one, and what the next run comes to."""
    done, seconds = torchrun(tmp_path, "killed", kill=f"4 {rank}")
    assert done.returncode != 0
    assert "SIGKILL" in done.stderr
    assert seconds < 60
    (left,) = (tmp_path / "checkpoints").glob("*.pt")  # beside its lock
    assert len(torch.load(left, weights_only=True)["history"]) == 3
    done, _ = torchrun(tmp_path, "resumed")
    assert done.returncode == 0, done.stderr
    resumed = pickle.loads((tmp_path / "resumed.pickle").read_bytes())
    assert not [*(tmp_path / "checkpoints").iterdir()]
    (whole, _) = pair.run(dropped_out, None)
    whole["epochs"] = resumed["epochs"] = []
    assert_same_everywhere([resumed, whole])


class Fail(Callback):
    """End a training of several processes in its second epoch."""

    def on_grad_computed(self, net, **kwargs):
        """Do so."""
        if len(net.history) == 2 and dist.is_initialized():
            raise RuntimeError("killed")


def failing(folder):
    """Train with it."""
    return trained({"checkpoint_dir": folder, "callbacks": [Fail()]})


def test_another_number_of_processes_goes_on(pair, tmp_path):
    """Check that one process goes on from the checkpoint of two."""
    for succeeded, error in pair.outcomes(failing, tmp_path):
        assert not succeeded
        assert str(error) == "killed"
    (left,) = tmp_path.glob("*.pt")
    resumed = failing(tmp_path)
    assert not left.exists()
    assert_as_one(resumed, trained({}))


def with_checkpoints(folder, fails):
    """Train with checkpoints that cannot be written."""
    save = torch.save

    def full(state, file, **kwargs):
        if "generators" in state:
            raise OSError(28, "No space left on device")
        save(state, file, **kwargs)

    torch.save = full if fails else save
    try:
        return trained({"checkpoint_dir": folder})
    finally:
        torch.save = save


def test_rank_0_tells_of_a_full_disk(pair, tmp_path):
    """Check that the others do not wait for a checkpoint that cannot be written."""
    for succeeded, error in pair.outcomes(with_checkpoints, tmp_path, True):
        assert not succeeded
        assert "No space left" in str(error)
    results = pair.run(with_checkpoints, tmp_path, False)
    assert_same_everywhere(results)
    assert not [*tmp_path.iterdir()]


def with_accelerate():
    """Train under accelerate."""
    accelerator = accelerate.Accelerator(cpu=True)
    assert accelerator.num_processes == dist.get_world_size()
    return trained({})


def test_accelerate_starts_processes(pair):
    """Check that its processes train as those of torchrun do."""
    pytest.importorskip("accelerate")
    results = pair.run(with_accelerate)
    assert_same_everywhere(results)
    assert_as_one(results[0], trained({}))


def wrapped():
    """Train a net whose module is wrapped, as skorch's mixin does it on GPUs."""
    X, y = data()
    y = np.unique(y, return_inverse=True)[1]
    net = CenterLossNet(torch.nn.Linear, module__in_features=64, module__out_features=4)
    net.measure(X, y)
    net.initialize()
    net.module_ = torch.nn.parallel.DistributedDataParallel(net.module_)
    net.partial_fit(X, y)


def test_wrapped_modules_are_refused(pair):
    """Check that a net that accelerate wraps is told to do without."""
    for succeeded, error in pair.outcomes(wrapped):
        assert not succeeded
        assert "Use CenterLossNet without AccelerateMixin" in str(error)


class AcceleratedNet(AccelerateMixin, CenterLossNet):
    """A net as skorch's documentation builds it."""


def test_accelerate_in_one_process():
    """Check that skorch's mixin trains alone as the net does without it."""
    pytest.importorskip("accelerate")
    X, y = data()
    y = np.unique(y, return_inverse=True)[1]
    losses = []
    for cls, params in (
        (CenterLossNet, {}),
        (AcceleratedNet, {"accelerator": accelerate.Accelerator(cpu=True)}),
    ):
        torch.manual_seed(0)
        net = cls(
            torch.nn.Linear,
            module__in_features=64,
            module__out_features=4,
            max_epochs=3,
            **params,
        )
        losses.append(net.fit(X, y).history[:, "train_loss"])
    assert_allclose(*losses, rtol=1e-5)
