"""Tests of Ctrl-C: it ends the training, and leaves an estimator that works."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback, EpochScoring

from sk_center import CenterLossClassifier, CenterLossNet, OpenSetClassifier

X, y = load_iris(return_X_y=True)
X = X.astype(np.float32)
N_BATCHES = 5


class Interrupted(torch.nn.Module):
    """A network at which somebody presses Ctrl-C, in calls of given numbers."""

    presses = ()
    calls = 0

    def __init__(self, interrupts_evaluation=False):
        super().__init__()
        self.layers = torch.nn.Linear(4, 3)
        self.interrupts_evaluation = interrupts_evaluation

    def forward(self, X):
        """Return the features."""
        if self.training != self.interrupts_evaluation:
            Interrupted.calls += 1
            if Interrupted.calls in Interrupted.presses:
                raise KeyboardInterrupt
        return self.layers(X)


class Press(Callback):
    """Press Ctrl-C after a batch, which makes skorch record batches."""

    def __init__(self, epoch=None, batch=None):
        self.epoch = epoch
        self.batch = batch

    def on_batch_end(self, net, training=None, **kwargs):
        """Press it."""
        row = net.history[-1]
        if training and (row["epoch"], len(row["batches"])) == (self.epoch, self.batch):
            raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def nobody_presses(monkeypatch):
    """Start counting anew."""
    monkeypatch.setattr(Interrupted, "presses", ())
    monkeypatch.setattr(Interrupted, "calls", 0)


def classifier(module=Interrupted, **params):
    """Return a classifier of five batches an epoch."""
    params = {"max_epochs": 6, "batch_size": 30, "random_state": 0, **params}
    return CenterLossClassifier(module, **params)


def press_at(*calls):
    """Press Ctrl-C in training steps of these numbers, from now on."""
    Interrupted.presses = calls
    Interrupted.calls = 0


def class_means(model):
    """Return the mean features of each class."""
    features = model.transform(X).astype(float)
    return [features[y == k].mean(axis=0) for k in model.classes_]


@pytest.mark.parametrize("steps", [1, 3])
def test_ctrl_c_ends_the_epoch_and_leaves_a_fitted_classifier(steps):
    """Check that what was trained counts, and that all works after it."""
    press_at(2 * N_BATCHES + 3)  # in the third step of the third epoch
    model = classifier(gradient_accumulation_steps=steps)
    with pytest.warns(UserWarning, match=r"interrupted in epoch 3; .*warm_start=True"):
        model.fit(X, y)
    assert model.n_iter_ == 3
    assert model.net_.interrupted_
    assert {len(row) for row in model.history_} == {len(model.history_[0])}
    assert np.isfinite(model.history_[:, "train_loss"]).all()
    np.testing.assert_allclose(model.centers_, class_means(model), rtol=1e-5)
    assert model.score(X, y) > 0.5
    press_at()
    assert not model.fit(X, y).net_.interrupted_
    assert model.n_iter_ == 6


def test_an_interrupted_epoch_has_the_loss_of_its_batches():
    """Check that train_loss is the mean over the steps that were made."""
    expected = classifier(callbacks=[Press()]).fit(X, y)
    losses = expected.history_[2, "batches", :, "train_loss"]
    press_at(2 * N_BATCHES + 3)
    model = classifier()
    with pytest.warns(UserWarning, match="interrupted"):
        model.fit(X, y)
    assert model.history_[-1, "train_loss"] == pytest.approx(np.mean(losses[:2]), rel=1e-5)
    assert model.history_[:2, "train_loss"] == pytest.approx(
        expected.history_[:2, "train_loss"], rel=1e-5
    )


def test_ctrl_c_where_batches_are_recorded():
    """Check that it works in the way of skorch, too, and keeps whole batches only."""
    model = classifier(callbacks=[Press(epoch=2, batch=3)])
    with pytest.warns(UserWarning, match="interrupted in epoch 2"):
        model.fit(X, y)
    batches = model.history_[-1, "batches"]
    assert len(batches) == model.history_[-1, "train_batch_count"] == 3
    assert model.history_[-1, "train_loss"] == pytest.approx(
        np.mean([row["train_loss"] for row in batches])
    )
    press_at(N_BATCHES + 2)
    model = classifier(callbacks=[Press()])
    with pytest.warns(UserWarning, match="interrupted in epoch 2"):
        model.fit(X, y)
    assert len(model.history_[-1, "batches"]) == 1


def test_validation_and_callbacks_still_see_the_last_epoch():
    """Check that an interrupted epoch ends as others do."""
    press_at(N_BATCHES + 2)
    scoring = EpochScoring("accuracy", name="score", lower_is_better=False)
    model = classifier(early_stopping=True, callbacks=[scoring])
    with pytest.warns(UserWarning, match="interrupted in epoch 2"):
        model.fit(X, y)
    assert len(model.history_[:, ("train_loss", "valid_loss", "score")]) == 2


def test_training_goes_on_after_ctrl_c():
    """Check that warm_start and partial_fit go on from an interrupted fit."""
    press_at(N_BATCHES + 2)
    model = classifier(warm_start=True)
    with pytest.warns(UserWarning, match="interrupted in epoch 2"):
        model.fit(X, y)
    press_at()
    assert model.fit(X, y).n_iter_ == 8
    press_at(2)
    with pytest.warns(UserWarning, match="interrupted in epoch 9"):
        model.partial_fit(X, y)
    assert model.n_iter_ == 9
    press_at()
    assert model.partial_fit(X, y).n_iter_ == 10


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_ctrl_c_before_the_first_batch_is_for_the_caller(method):
    """Check that nothing is kept of an epoch without a batch, and an earlier fit is."""
    model = classifier(warm_start=True).fit(X, y)
    before = model.decision_function(X), len(model.history_)
    press_at(1)
    with pytest.raises(KeyboardInterrupt):
        getattr(model, method)(X, y)
    assert_array_equal(model.decision_function(X), before[0])
    assert len(model.history_) == before[1]
    press_at(1)
    with pytest.raises(KeyboardInterrupt):
        classifier().fit(X, y)


@pytest.mark.parametrize("when", ["validation", "centers"])
def test_a_second_ctrl_c_is_for_the_caller(when):
    """Check that who presses again gets out, and finds an earlier fit."""
    model = classifier(module__interrupts_evaluation=True)
    if when == "validation":
        model.set_params(early_stopping=True)
    model.fit(X, y)
    before = model.decision_function(X)
    press_at(2)  # the second pass in evaluation mode, or the first after training
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    press_at()
    assert_array_equal(model.decision_function(X), before)


def test_checkpoints_stay_for_who_interrupts(tmp_path):
    """Check that an interrupted fit goes on later, from its last whole epoch."""
    expected = classifier().fit(X, y)
    press_at(3 * N_BATCHES + 2)
    model = classifier(checkpoint_dir=tmp_path)
    with pytest.warns(UserWarning, match="interrupted in epoch 4"):
        model.fit(X, y)
    (path,) = tmp_path.iterdir()
    assert len(torch.load(path, weights_only=True)["history"]) == 3
    press_at()
    model.fit(X, y)
    assert_array_equal(model.decision_function(X), expected.decision_function(X))
    assert model.history_[:, "train_loss"] == expected.history_[:, "train_loss"]
    assert not [*tmp_path.iterdir()]


def test_open_set_classifiers_are_fitted_too():
    """Check that the classifier inside ends its training, and calibration follows."""
    press_at(8)  # in the third epoch: three batches train, the rest calibrates
    model = OpenSetClassifier(make_pipeline(StandardScaler(), classifier()), cv=0.4)
    with pytest.warns(UserWarning, match="interrupted in epoch"):
        model.fit(X, y)
    assert model.p_values(X).shape == (len(X), 3)


def test_nets_are_usable_too():
    """Check that CenterLossNet ends as skorch does, with a whole history."""
    press_at(N_BATCHES + 2)
    net = CenterLossNet(Interrupted, max_epochs=6, batch_size=30).fit(X, y)
    assert net.interrupted_
    assert len(net.history[:, "train_loss"]) == 2
    assert net.predict(X).shape == (len(X),)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_real_ctrl_c():
    """Check that SIGINT from outside leaves a fitted classifier in the same process."""
    code = """
import warnings
from tests.test_interrupts import *
from skorch.callbacks import Callback

class Tell(Callback):
    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            print("trains", flush=True)

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    model = classifier(torch.nn.Linear, module__in_features=4, module__out_features=3,
                       max_epochs=10**6, callbacks=[Tell()]).fit(X, y)
print(len(caught), model.n_iter_ > 1, model.predict(X).shape)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "trains\n"
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert out == "1 True (150,)\n"
