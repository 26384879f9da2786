"""What differs or fails among the processes of a training."""

import os
import pickle
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from distributed_cases import (
    assert_as_one,
    assert_same_everywhere,
    data,
    trained,
)
from numpy.testing import assert_allclose
from skorch.callbacks import Callback
from skorch.hf import AccelerateMixin

from sk_center import CenterLossClassifier, CenterLossNet
from sk_center._utils.processes import from_rank_0, part_sizes
from sk_center.batches.tensor_batches import own_part

try:
    import accelerate
except ImportError:  # of the extra
    accelerate = None


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
                net.module_.body[1].weight.fill_(torch.nan)


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
    dist.init_process_group("gloo", timeout=timedelta(minutes=30))
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
    """Run that, and return the finished process, long before a timeout of torch."""
    code = f"from test_distributed_faults import main\nmain({str(folder)!r}, {how!r})"
    script = Path(folder, "script.py")
    script.write_text(code)
    return subprocess.run(
        [sys.executable, *LAUNCHER, str(script)],
        env={**os.environ, "KILL": kill, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
@pytest.mark.parametrize("rank", [1, 0], ids=["other", "writer"])
def test_a_killed_process_ends_all_and_training_goes_on(rank, pair, tmp_path):
    """Check that no process waits for a dead one, and what the next run comes to."""
    done = torchrun(tmp_path, "killed", kill=f"4 {rank}")
    assert done.returncode != 0
    assert "SIGKILL" in done.stderr
    (left,) = (tmp_path / "checkpoints").glob("*.pt")  # beside its lock
    assert len(torch.load(left, weights_only=True)["history"]) == 3
    done = torchrun(tmp_path, "resumed")
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
