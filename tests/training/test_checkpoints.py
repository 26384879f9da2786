"""Tests of checkpoints: a training that is killed goes on as if it had not been."""

import errno
import os
import re
import signal
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback, EpochScoring, LRScheduler

from sk_center import CenterLossClassifier, CenterLossNet, OpenSetClassifier

X, y = load_iris(return_X_y=True)


class Kill(Callback):
    """End the process, or only the training, as the environment says."""

    def on_grad_computed(self, net, **kwargs):
        """Do so in the middle of an epoch."""
        when = os.environ.get("KILL_IN_EPOCH")
        if when is not None and len(net.history) == int(when):
            if os.environ.get("KILL_BY") == "error":
                raise RuntimeError("killed")
            if os.environ.get("KILL_BY") == "ctrl-c":
                raise KeyboardInterrupt
            os.kill(os.getpid(), signal.SIGKILL)


class Drift(torch.nn.Module):
    """A network with dropout, whose draws must go on where they ended."""

    def __init__(self, width=8):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(4, width),
            torch.nn.BatchNorm1d(width),
            torch.nn.Dropout(0.3),
            torch.nn.Linear(width, 3),
        )

    def forward(self, X):
        """Return the features."""
        return self.layers(X)


def schedule(policy="CosineAnnealingLR", **kwargs):
    """Return a callback that changes the learning rate."""
    return LRScheduler(policy=policy, **kwargs)


TRAININGS = {
    "default": {},
    "constant": {"lr_schedule": None},
    "dropout": {"module": Drift},
    "schedule": {"callbacks": [schedule(T_max=9)]},
    "schedule by batch": {
        "callbacks": [
            schedule("CyclicLR", base_lr=1e-3, max_lr=1e-2, step_every="batch"),
        ],
        "optimizer": torch.optim.SGD,
        "optimizer__momentum": 0.9,
    },
    "plateau": {
        "callbacks": [
            schedule("ReduceLROnPlateau", monitor="train_loss", threshold=0.5, patience=0)
        ]
    },
    "early stopping": {"early_stopping": True, "n_iter_no_change": 2, "lr": 0.05},
    "cumulative": {"center_update": "cumulative", "lambda_center": 1.0},
    "accumulation": {"gradient_accumulation_steps": 3},
    "weights": {"class_weight": "balanced"},
    "scores": {"callbacks": [EpochScoring("accuracy", on_train=True, name="score")]},
}


def classifier(name, folder=None, **params):
    """Return one of the classifiers that are interrupted here."""
    params = {
        "hidden_layer_sizes": (8, 3),
        "max_epochs": 9,
        "batch_size": 32,
        "random_state": 0,
        "checkpoint_dir": folder,
        **TRAININGS[name],
        **params,
    }
    params["callbacks"] = [*params.get("callbacks", []), ("kill", Kill())]
    return CenterLossClassifier(**params)


def run_and_kill(name, folder, epoch, **params):
    """Train in another process, which dies in the middle of an epoch."""
    code = (
        "from tests.training.test_checkpoints import *\n"
        f"classifier({name!r}, {str(folder)!r}, **{params!r}).fit(X, y)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "KILL_IN_EPOCH": str(epoch)}
    )
    assert done.returncode == -signal.SIGKILL


def fail(model, monkeypatch, epoch, X=X, y=y):
    """Train, and fail in the middle of an epoch."""
    with monkeypatch.context() as patch:
        patch.setenv("KILL_IN_EPOCH", str(epoch))
        patch.setenv("KILL_BY", "error")
        with pytest.raises(RuntimeError, match="killed"):
            model.fit(X, y)


def assert_same_training(model, expected):
    """Check that two trainings are equal to the last bit."""
    assert model.n_iter_ == expected.n_iter_
    for key in ("train_loss", "valid_loss", "event_lr", "score"):
        if key in expected.history_[-1]:
            assert model.history_[:, key] == expected.history_[:, key]
    found = model.module_.state_dict()
    for key, value in expected.module_.state_dict().items():
        assert torch.equal(found[key], value), key
    moments = model.net_.optimizer_.state_dict()["state"]
    for i, state in expected.net_.optimizer_.state_dict()["state"].items():
        for key, value in state.items():
            assert torch.equal(torch.as_tensor(moments[i][key]), torch.as_tensor(value))
    assert_array_equal(model.centers_, expected.centers_)
    assert model.tau_ == expected.tau_
    assert_array_equal(model.decision_function(X), expected.decision_function(X))


@pytest.mark.parametrize(
    "name", ["default", pytest.param("schedule", marks=pytest.mark.slow)]
)
def test_a_killed_fit_goes_on_to_the_same_bits(name, tmp_path):
    """Check that a training that was killed by the system ends as without the kill."""
    expected = classifier(name).fit(X, y)
    run_and_kill(name, tmp_path, epoch=7)
    (left,) = tmp_path.glob("*.pt")
    assert len(torch.load(left, weights_only=True)["history"]) == 6
    before = torch.random.get_rng_state()
    model = classifier(name, tmp_path).fit(X, y)
    assert_same_training(model, expected)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not [*tmp_path.iterdir()]  # what has ended takes no room


@pytest.mark.parametrize("name", TRAININGS)
def test_a_failed_fit_goes_on_to_the_same_bits(name, tmp_path, monkeypatch):
    """Check that optimizer, schedule, stopping, counters and generators are all kept."""
    expected = classifier(name).fit(X, y)
    epoch = max(expected.n_iter_ - 2, 2)
    fail(classifier(name, tmp_path), monkeypatch, epoch)
    assert len([*tmp_path.iterdir()]) == 1
    begun = []

    class Count(Kill):
        def on_epoch_begin(self, net, **kwargs):
            begun.append(len(net.history))

    monkeypatch.setattr(Kill, "on_epoch_begin", Count.on_epoch_begin)
    model = classifier(name, tmp_path).fit(X, y)
    assert begun[0] == epoch  # not from the start
    assert_same_training(model, expected)
    assert not [*tmp_path.iterdir()]


def test_checkpoints_stay_for_who_interrupts(tmp_path, monkeypatch):
    """Check that a fit that Ctrl-C ended goes on from its last whole epoch."""
    model = classifier("default", tmp_path)
    with monkeypatch.context() as patch:
        patch.setenv("KILL_IN_EPOCH", "5")
        patch.setenv("KILL_BY", "ctrl-c")
        with pytest.warns(UserWarning, match="interrupted"):
            model.fit(X, y)
    (path,) = tmp_path.iterdir()
    assert len(torch.load(path, weights_only=True)["history"]) == 4
    assert_same_training(model.fit(X, y), classifier("default").fit(X, y))
    assert not path.exists()


def test_checkpoints_come_every_so_many_epochs(tmp_path, monkeypatch):
    """Check that checkpoint_every counts epochs."""
    model = classifier("default", tmp_path, checkpoint_every=3)
    fail(model, monkeypatch, 6)
    (path,) = tmp_path.iterdir()
    assert len(torch.load(path, weights_only=True)["history"]) == 3
    assert_same_training(model.fit(X, y), classifier("default").fit(X, y))


def test_other_data_or_parameters_start_anew(tmp_path, monkeypatch):
    """Check that a checkpoint is found by the same training only."""
    fail(classifier("default", tmp_path), monkeypatch, 5)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    weights = np.ones(len(y))
    weights[0] = 2
    moved = X.copy()
    moved[17, 2] += 1e-3
    others = [
        (classifier("default", tmp_path, lr=0.002), X, {}),
        (classifier("default", tmp_path, hidden_layer_sizes=(8, 4)), X, {}),
        (classifier("default", tmp_path), moved, {}),
        (classifier("default", tmp_path), X, {"sample_weight": weights}),
        (classifier("schedule", tmp_path), X, {}),
        (classifier("default", tmp_path, max_epochs=12), X, {}),
    ]
    for model, data, params in others:
        expected = clone(model).set_params(checkpoint_dir=None).fit(data, y, **params)
        assert_same_training(model.fit(data, y, **params), expected)
        assert path.read_bytes() == content
    # Another place to compute is the same training, and so is talking of it.
    again = classifier("default", tmp_path, device="cpu", verbose=1).fit(X, y)
    assert_same_training(again, classifier("default").fit(X, y))
    assert not path.exists()


def test_a_training_at_a_constant_rate_may_go_on_for_longer(tmp_path, monkeypatch):
    """Check that max_epochs may change where no step depends on it."""
    fail(classifier("constant", tmp_path), monkeypatch, 5)
    longer = classifier("constant", tmp_path, max_epochs=12)
    assert_same_training(longer.fit(X, y), classifier("constant", max_epochs=12).fit(X, y))
    assert not [*tmp_path.iterdir()]


def test_unseeded_training_keeps_its_validation_data(tmp_path, monkeypatch):
    """Check that samples held out before a break are those held out after it."""
    params = {"random_state": None, "n_iter_no_change": 50}
    model = classifier("early stopping", tmp_path, **params)
    fail(model, monkeypatch, 5)
    (path,) = tmp_path.iterdir()
    seed = torch.load(path, weights_only=True)["split"]
    model.fit(X, y)
    assert model.net_.train_split.random_state == seed


@pytest.mark.slow
def test_folds_of_a_search_do_not_meet(tmp_path):
    """Check that trainings which share a folder, also in processes, do not disturb."""
    grid = {"lambda_center": [0.0, 0.1]}
    alone = GridSearchCV(classifier("default"), grid, cv=2).fit(X, y)
    shared = GridSearchCV(classifier("default", tmp_path), grid, cv=2, n_jobs=2).fit(X, y)
    assert_array_equal(
        shared.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"]
    )
    open_set = OpenSetClassifier(classifier("default", tmp_path), cv=2, random_state=0)
    assert len(open_set.fit(X, y).predict(X)) == len(X)
    assert not [*tmp_path.iterdir()]


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    """Check that a checkpoint that cannot be written is an error, and the last stays."""
    calls = []
    save = torch.save

    def full(state, file):
        calls.append(file)
        if len(calls) == 4:
            file.write(b"a beginning")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(state, file)

    model = classifier("default", tmp_path)
    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match=r"cannot write '.*\.pt': No space left"):
        model.fit(X, y)
    (path,) = tmp_path.iterdir()  # and nothing half written beside it
    assert len(torch.load(path, weights_only=True)["history"]) == 3
    with pytest.raises(NotFittedError):
        model.predict(X)
    monkeypatch.setattr(torch, "save", save)
    assert_same_training(model.fit(X, y), classifier("default").fit(X, y))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Linux limits the size of files so")
def test_what_torch_makes_of_a_full_disk_is_told(tmp_path):
    """Check that the error of the system arrives, not that of torch about its archive."""
    limit = (
        "import resource, signal\n"
        "from tests.training.test_checkpoints import *\n"
        "import torch.distributed.nn  # which torch 2.8 writes code for\n"
        "model = classifier('default', sys.argv[1])\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "model.fit(X, y)"
    )
    done = subprocess.run(
        [sys.executable, "-c", limit, str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert re.search(r"^OSError: .*cannot write '.*\.pt'", done.stderr.splitlines()[-1])
    assert not [*tmp_path.iterdir()]


def test_a_folder_that_is_none_is_told_before_training(tmp_path):
    """Check that a checkpoint_dir that cannot be used is refused at once."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        classifier("default", tmp_path / "file").fit(X, y)


def test_a_damaged_checkpoint_is_told(tmp_path, monkeypatch):
    """Check that a damaged checkpoint is an error that says what to do."""
    fail(classifier("default", tmp_path), monkeypatch, 5)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    flipped = []
    for position in np.linspace(0, len(whole) - 1, 30).astype(int):
        flipped.append(bytearray(whole))
        flipped[-1][position] ^= 1
    for content in (whole[:1000], b"", *flipped):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"cannot be used \(it is damaged.*delete it"):
            classifier("default", tmp_path).fit(X, y)
    path.write_bytes(whole)
    assert_same_training(
        classifier("default", tmp_path).fit(X, y), classifier("default").fit(X, y)
    )


@pytest.mark.parametrize("every", [0, -1, 1.5])
def test_checkpoint_every_is_a_number_of_epochs(every, tmp_path):
    """Check that checkpoint_every is validated."""
    with pytest.raises(ValueError, match=r"'checkpoint_every' .* must be an int"):
        classifier("default", tmp_path, checkpoint_every=every).fit(X, y)
    net = CenterLossNet(Drift, checkpoint_dir=tmp_path, checkpoint_every=every)
    with pytest.raises(ValueError, match=r"'checkpoint_every' .* must be an int"):
        net.fit(X, y)


def test_nets_have_checkpoints_too(tmp_path, monkeypatch):
    """Check that CenterLossNet goes on from a checkpoint, for which nobody seeds it."""

    def net(folder):
        torch.manual_seed(0)
        return CenterLossNet(
            Drift, max_epochs=6, checkpoint_dir=folder, callbacks=[("kill", Kill())]
        )

    expected = net(None).fit(X, y)
    fail(net(tmp_path), monkeypatch, 4)
    resumed = net(tmp_path)
    torch.rand(17)  # another state than at the break
    resumed.fit(X, y)
    assert resumed.history[:, "train_loss"] == expected.history[:, "train_loss"]
    for key, value in expected.module_.state_dict().items():
        assert torch.equal(resumed.module_.state_dict()[key], value)
    other = net(tmp_path)
    fail(other, monkeypatch, 4)
    torch.manual_seed(17)
    other = net(tmp_path).set_params(checkpoint_dir=tmp_path)
    torch.manual_seed(17)
    other.fit(X, y)
    assert other.history[0, "train_loss"] != expected.history[0, "train_loss"]


def test_another_seed_starts_anew(tmp_path, monkeypatch):
    """Check that a fit of another seed does not return the model of the first."""
    fail(classifier("dropout", tmp_path, random_state=1), monkeypatch, 5)
    for seed in (2, np.random.RandomState(1)):
        model = classifier("dropout", tmp_path, random_state=seed).fit(X, y)
        if isinstance(seed, int):
            expected = classifier("dropout", random_state=seed).fit(X, y)
            assert_same_training(model, expected)
    assert not [*tmp_path.iterdir()]  # a generator of the same state is the same seed


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"module": partial(Drift, width=8)}, {"module": partial(Drift, width=9)}),
        ({"module": lambda: Drift(8)}, {"module": lambda: Drift(9)}),
        (
            {"center": lambda shape: np.ones(shape)},
            {"center": lambda shape: np.zeros(shape)},
        ),
        ({"optimizer__betas": (0.9, 0.99)}, {"optimizer__betas": (0.8, 0.99)}),
    ],
)
def test_parameters_that_are_functions_tell_trainings_apart(
    one, other, tmp_path, monkeypatch
):
    """Check that a checkpoint is not that of a function with other contents."""
    fail(classifier("default", tmp_path, **one), monkeypatch, 5)
    (path,) = tmp_path.glob("*.pt")
    fail(classifier("default", tmp_path, **other), monkeypatch, 3)
    assert len({*tmp_path.glob("*.pt")} - {path}) == 1


def test_other_versions_start_anew(tmp_path, monkeypatch):
    """Check that what another torch has begun is left alone."""
    fail(classifier("default", tmp_path), monkeypatch, 5)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    monkeypatch.setattr(torch, "__version__", "1.0")
    classifier("default", tmp_path).fit(X, y)
    assert path.read_bytes() == content


def test_two_fits_of_one_training_at_a_time(tmp_path, monkeypatch):
    """Check that the second is an error that names the first, which goes on."""
    told = []

    class Second(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) != 4 or told:
                return
            told.append(None)
            with pytest.raises(RuntimeError, match=rf"right now: process {os.getpid()} on"):
                model(tmp_path).fit(X, y)
            told[0] = True

    def model(folder):
        return classifier("default", folder, callbacks=[Second()])

    expected = model(None).set_params(callbacks=[]).fit(X, y)
    assert_same_training(model(tmp_path).fit(X, y), expected)
    assert told == [True]
    assert not [*tmp_path.iterdir()]
