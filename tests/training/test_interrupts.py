"""Ctrl-C in training: where it comes, what is kept, what is told."""

import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback
from skorch.dataset import ValidSplit

from sk_center import CenterLossClassifier, CenterLossNet, OpenSetClassifier
from sk_center.batches import TensorBatches
from sk_center.networks import MLP

X, y = load_iris(return_X_y=True)
order = np.random.default_rng(0).permutation(len(y))
X, y = StandardScaler().fit_transform(X[order]).astype(np.float32), y[order]
WARNING = "Training was interrupted in epoch {} of {};"
# One epoch has five batches. The rate is that of a fit of any length.
SIZES = {"batch_size": 30, "max_epochs": 8, "lr": 0.01, "lr_schedule": None}


def small(**params):
    """Return a small classifier."""
    defaults = {**SIZES, "hidden_layer_sizes": (16, 4), "random_state": 0}
    return CenterLossClassifier(**{**defaults, **params})


def small_net(**params):
    """Return a small net, the same each time, whose batches come in order."""
    torch.manual_seed(0)
    defaults = {**SIZES, "module__in_features": 4, "module__hidden_layer_sizes": (16, 4)}
    defaults["iterator_train__shuffle"] = False
    return CenterLossNet(MLP, n_classes=3, **{**defaults, **params})


def batches(*at):
    """Return an iterator that brings Ctrl-C instead of its n-th batches, over all epochs.

    Counted from zero; ``iterator.n`` is the number of the next.
    """

    class Interrupting(TensorBatches):
        n = 0

        def __iter__(self):
            for batch in super().__iter__():
                type(self).n += 1
                if self.n - 1 in at:
                    raise KeyboardInterrupt
                yield batch

    return Interrupting


class Watch(Callback):
    """Have skorch record batches; count epochs and trainings; interrupt a hook."""

    def __init__(self, hook=None, at=0):
        self.hook, self.at = hook, at
        self.calls_ = {}

    def _count(self, hook):
        self.calls_[hook] = self.calls_.get(hook, 0) + 1
        if (hook, self.calls_[hook]) == (self.hook, self.at):
            raise KeyboardInterrupt

    def on_epoch_begin(self, net, **kwargs):
        self._count("on_epoch_begin")

    def on_batch_begin(self, net, training, **kwargs):
        self._count("on_batch_begin")

    def on_batch_end(self, net, training, **kwargs):
        self._count("on_batch_end")

    def on_epoch_end(self, net, **kwargs):
        self._count("on_epoch_end")

    def on_train_end(self, net, **kwargs):
        self._count("on_train_end")


def assert_same_weights(one, other):
    """Assert that the modules of two nets are equal but for rounding."""
    theirs = other.module_.state_dict()
    for name, value in one.module_.state_dict().items():
        assert_allclose(value, theirs[name], rtol=1e-5, atol=1e-6, err_msg=name)


def assert_usable(model, n_epochs):
    """Assert that a classifier predicts, by the class means, and has a whole history."""
    features = model.transform(X)
    means = [features[y == k].mean(axis=0) for k in range(3)]
    assert_allclose(model.centers_, means, rtol=1e-4, atol=1e-5)
    away = np.linalg.norm(features[:, None] - model.centers_, axis=2)
    assert_array_equal(model.predict(X), away.argmin(axis=1))
    assert_allclose(model.predict_proba(X).sum(axis=1), 1, rtol=1e-5)
    assert len({tuple(row) for row in model.history_}) == 1
    assert model.n_iter_ == len(model.history_) == n_epochs
    assert model.history_[:, "epoch"] == [*range(1, n_epochs + 1)]


def assert_intact(model, expected):
    """Assert that a classifier of eight epochs still gives the same probabilities."""
    assert_array_equal(model.predict_proba(X), expected)
    assert len(model.history_) == model.n_iter_ == 8


@pytest.fixture(params=["lean", "recorded"])
def callbacks(request):
    """Callbacks with which skorch records batches, or does not."""
    return [Watch()] if request.param == "recorded" else []


# The net


def test_net_keeps_the_batches_so_far(callbacks):
    """Check weights, losses and number of batches against training on those alone."""
    # Ctrl-C instead of the fourth batch of the third epoch.
    net = small_net(iterator_train=batches(13), callbacks=callbacks).fit(X, y)
    alone = small_net(max_epochs=2).fit(X, y)
    alone.partial_fit(X[:90], y[:90], epochs=1)
    assert net.interrupted_
    assert not alone.interrupted_
    assert_same_weights(net, alone)
    assert_allclose(net.history[:, "train_loss"], alone.history[:, "train_loss"], rtol=1e-6)
    assert len(net.history) == 3
    if callbacks:
        watch = dict(net.callbacks_)["Watch"]
        assert watch.calls_["on_epoch_end"] == 3
        assert watch.calls_["on_train_end"] == 1
        assert net.history[:, "train_batch_count"] == [5, 5, 3]
        assert len(net.history[-1, "batches"]) == 3


def test_net_interrupted_amid_a_step(callbacks):
    """Check that a batch that did not come to its step leaves no trace in the history."""

    class Interrupted(MLP):
        n_passes = 0

        def forward(self, X):
            type(self).n_passes += torch.is_grad_enabled()
            if self.n_passes == 5 + 3:
                raise KeyboardInterrupt
            return super().forward(X)

    net = small_net(callbacks=callbacks).set_params(module=Interrupted).fit(X, y)
    alone = small_net(max_epochs=1).fit(X, y).partial_fit(X[:60], y[:60], epochs=1)
    assert_same_weights(net, alone)
    assert_allclose(net.history[:, "train_loss"], alone.history[:, "train_loss"], rtol=1e-6)
    assert all("train_loss" in row for row in net.history[-1, "batches"])


@pytest.mark.parametrize(
    ("hook", "at", "sizes"),
    [
        ("on_batch_begin", 8, [5, 2]),
        ("on_batch_end", 8, [5, 3]),
        ("on_batch_begin", 6, [5]),
        ("on_epoch_begin", 2, [5]),
    ],
)
def test_net_interrupted_by_a_callback(hook, at, sizes):
    """Check that batches count that were trained, and epochs that have such."""
    net = small_net(callbacks=[Watch(hook, at)]).fit(X, y)
    assert net.interrupted_
    assert net.history[:, "train_batch_count"] == sizes
    assert all("train_loss" in row for row in net.history[-1, "batches"])
    assert {"train_loss", "dur"} <= set(net.history[-1])


def test_callback_that_ends_training_after_an_epoch_is_no_interrupt():
    """Check that KeyboardInterrupt in on_epoch_end ends training as in skorch."""
    model = small(callbacks=[Watch("on_epoch_end", 3)]).fit(X, y)  # warns of nothing
    assert not model.net_.interrupted_
    assert_usable(model, 3)


def test_accumulated_gradients_that_wait_are_left_out(callbacks):
    """Check that of three batches, two make a step, and that less than a step is none."""
    params = {"callbacks": callbacks, "iterator_train": batches(5 + 3)}
    net = small_net(gradient_accumulation_steps=2, **params).fit(X, y)
    alone = small_net(gradient_accumulation_steps=2, max_epochs=1).fit(X, y)
    before = [value.detach().clone() for value in alone.module_.parameters()]
    alone.partial_fit(X[:60], y[:60], epochs=1)
    for ours, theirs, old in zip(
        net.module_.parameters(), alone.module_.parameters(), before
    ):
        assert_allclose(ours.detach(), theirs.detach(), rtol=1e-5, atol=1e-6)
        assert not torch.equal(theirs, old)
    params["iterator_train"] = batches(2)
    with pytest.raises(KeyboardInterrupt):
        small_net(gradient_accumulation_steps=3, **params).fit(X, y)


def test_compiled_step(callbacks):
    """Check that a compiled step is interrupted as any other."""
    params = {"compile": True, "compile__backend": "eager", "callbacks": callbacks}
    torch.compiler.reset()
    net = small_net(iterator_train=batches(7), **params).fit(X, y)
    torch.compiler.reset()
    alone = small_net(max_epochs=1).fit(X, y).partial_fit(X[:60], y[:60], epochs=1)
    assert net.interrupted_
    assert_same_weights(net, alone)


def test_next_training_is_not_interrupted():
    """Check that what ended one training does not end the next."""
    net = small_net(iterator_train=batches(7)).fit(X, y)
    net.partial_fit(X, y, epochs=2)
    assert not net.interrupted_
    assert len(net.history) == 2 + 2


# The classifier


def test_interrupted_fit_is_fitted(callbacks):
    """Check that the classifier is usable, that one warning tells, and that it goes on."""
    params = {"callbacks": callbacks, "warm_start": True}
    model = small(iterator_train=batches(13), **params)
    with pytest.warns(UserWarning, match=WARNING.format(3, 8)) as caught:
        model.fit(X, y)
    assert [warning.filename for warning in caught] == [__file__]
    assert_usable(model, 3)
    model.fit(X, y)
    assert_usable(model, 3 + 8)


def test_interrupted_partial_fit():
    """Check that partial_fit keeps the batches so far, and warns."""
    model = small(iterator_train=batches(5 + 2))
    model.partial_fit(X, y, classes=[0, 1, 2])
    with pytest.warns(UserWarning, match=WARNING.format(2, 2)) as caught:
        model.partial_fit(X, y)
    assert [warning.filename for warning in caught] == [__file__]
    assert model.n_iter_ == len(model.history_) == 2
    assert (model.predict(X) == y).mean() > 0.5


def test_interrupt_before_a_batch_is_trained(callbacks):
    """Check that Ctrl-C then goes to the caller, and that an earlier fit is intact."""
    fresh = small(iterator_train=batches(0), callbacks=callbacks)
    with pytest.raises(KeyboardInterrupt):
        fresh.fit(X, y)
    assert not hasattr(fresh, "net_")
    for warm_start in (False, True):
        # Each fit counts its batches on, but a new one does not begin anew.
        model = small(warm_start=warm_start, callbacks=callbacks)
        model.set_params(iterator_train=batches(40, 41)).fit(X, y)
        expected = model.predict_proba(X)
        with pytest.raises(KeyboardInterrupt):
            model.fit(X, y)
        assert_intact(model, expected)
        with pytest.raises(KeyboardInterrupt):
            model.partial_fit(X, y)
        assert_intact(model, expected)


def test_interrupt_before_the_first_batch_of_a_later_epoch(callbacks):
    """Check that the epochs before are kept, and the one without a batch is not."""
    model = small(iterator_train=batches(10), callbacks=callbacks)
    with pytest.warns(UserWarning, match=WARNING.format(2, 8)):
        model.fit(X, y)
    assert_usable(model, 2)
    assert_same_weights(model.net_, small(max_epochs=2).fit(X, y).net_)


def test_interrupt_in_validation(callbacks):
    """Check that the first Ctrl-C lets validation take place, and a second ends it."""
    params = {"train_split": ValidSplit(0.2, random_state=0), "callbacks": callbacks}
    params |= {"iterator_valid__batch_size": 10}  # three batches
    model = small(iterator_valid=batches(3 + 1), **params)
    with pytest.warns(UserWarning, match=WARNING.format(2, 8)):
        model.fit(X, y)
    whole = small(max_epochs=2, **params).fit(X, y)
    assert_usable(model, 2)
    assert_same_weights(model.net_, whole.net_)
    for name in ("train_loss", "valid_loss"):
        assert_allclose(model.history_[:, name], whole.history_[:, name], rtol=1e-6)
    n_rows = [len(row["batches"]) for row in whole.history_]
    assert [len(row["batches"]) for row in model.history_] == n_rows
    if callbacks:
        assert n_rows == [4 + 3, 4 + 3]

    with pytest.raises(KeyboardInterrupt):
        small(iterator_valid=batches(3 + 1, 3 + 3), **params).fit(X, y)
    with pytest.raises(KeyboardInterrupt):  # the first amid the batches
        small(iterator_train=batches(2), iterator_valid=batches(1), **params).fit(X, y)


def test_interrupt_while_centers_are_found():
    """Check that it goes to the caller, and that an earlier fit is intact."""
    valid = batches(5, 6)
    params = {"iterator_valid": valid, "iterator_valid__batch_size": 30}
    model = small(warm_start=True, **params).fit(X, y)
    assert valid.n == 5
    valid.n = -1000
    expected, centers = model.predict_proba(X), model.centers_
    for _ in range(2):
        valid.n = 6
        with pytest.raises(KeyboardInterrupt):
            model.fit(X, y)
        assert valid.n == 7
        valid.n = -1000
        assert_intact(model, expected)
        assert_array_equal(model.centers_, centers)


def test_interrupt_with_early_stopping():
    """Check that the best epoch is returned to, be it not the last."""
    seen = []

    class Look(Callback):
        def on_epoch_end(self, net, **kwargs):
            # As if this epoch were worse than the one before.
            net.history.record("valid_loss", float(len(net.history)))
            seen.append([value.detach().clone() for value in net.module_.parameters()])

    params = {"early_stopping": True, "iterator_train": batches(3 * 5 + 2)}
    with pytest.warns(UserWarning, match=WARNING.format(4, 8)):
        model = small(callbacks=[Look()], **params).fit(X, y)
    assert len(seen) == 4
    for value, first in zip(model.module_.parameters(), seen[0]):
        assert torch.equal(value, first)


# A real signal

SCRIPT = """
import signal
import warnings
import numpy as np
from skorch.callbacks import Callback
from sk_center import CenterLossClassifier

# A shell's background jobs ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)

class Ready(Callback):
    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 4:
            print("ready", flush=True)

X = np.random.default_rng(0).normal(size=(3000, 4)).astype(np.float32)
y = np.arange(3000) % 3
X[:, 0] += 5 * y
model = CenterLossClassifier(
    hidden_layer_sizes=(16, 4), max_epochs=10**6, batch_size=16, random_state=0,
    lr=0.001, lr_schedule=None,
    callbacks=[Ready()],
)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    model.fit(X, y)
assert 3 <= model.n_iter_ == len(model.history_) < 10**6
assert len({tuple(row) for row in model.history_}) == 1
assert (model.predict(X) == y).mean() > 0.9
print([f"{w.category.__name__}: {w.message}" for w in caught])
"""


@pytest.mark.slow
def test_signal():
    """Check that SIGINT, which Ctrl-C sends, ends training with a fitted classifier."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n", process.stderr.read()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert out.count("UserWarning: Training was interrupted in epoch ") == 1
    assert err == ""


# Inside OpenSetClassifier


def test_interrupt_in_a_split():
    """Check that it ends the training of that split alone, and the rest is fitted."""
    iterator = batches(7)
    model = OpenSetClassifier(
        make_pipeline(StandardScaler(), small(iterator_train=iterator)),
        cv=3,
        false_rejection_rate=0.1,
    )
    with pytest.warns(UserWarning, match=WARNING.format(2, 8)) as caught:
        model.fit(X, y)
    assert len(caught) == 1
    # 100 samples are four batches; the last training is on all samples.
    assert iterator.n == 4 + 4 + 2 * 8 * 4 + 8 * 5
    assert model.estimator_[-1].n_iter_ == 8
    assert model.is_outlier(X).mean() <= 0.15


def test_interrupt_that_ends_a_split_keeps_an_earlier_fit():
    """Check that OpenSetClassifier is as before where Ctrl-C comes through to it."""
    model = OpenSetClassifier(small(), cv=0.3, random_state=0)
    model.set_params(false_rejection_rate=0.1).fit(X, y)
    expected = model.p_values(X)
    model.set_params(estimator=small(iterator_train=batches(0)))
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert_array_equal(model.p_values(X), expected)
