"""Callbacks of a net, and the history that they read."""

import numpy as np
import torch
from net_cases import WatchBatches, X, fitted, small, y
from numpy.testing import assert_allclose, assert_array_equal
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EpochScoring,
    GradientNormClipping,
    LRScheduler,
)
from skorch.dataset import ValidSplit

from sk_center import CenterLossNet


def test_history_has_no_rows_of_batches():
    """Check that the lean epoch records losses and no batches."""
    net = fitted(max_epochs=3, train_split=ValidSplit(0.2, random_state=0))
    for row in net.history:
        assert row["batches"] == []
        names = {"train_loss", "train_loss_best", "valid_loss", "valid_loss_best"}
        assert names <= set(row)
    best = np.minimum.accumulate(net.history[:, "valid_loss"])
    assert_array_equal(
        net.history[:, "valid_loss_best"], net.history[:, "valid_loss"] <= best
    )


def test_callback_that_looks_at_batches_gets_them():
    """Check that on_batch_end brings skorch's rows back, and changes no weight."""
    lean = fitted(train_split=ValidSplit(0.2, random_state=0), batch_size=32)
    watched = fitted(
        train_split=ValidSplit(0.2, random_state=0),
        batch_size=32,
        callbacks=[WatchBatches()],
    )
    assert len(watched.history[-1, "batches", :, "train_loss"]) == 4  # 120 / 32
    for name in ("train_loss", "valid_loss"):
        assert_allclose(lean.history[:, name], watched.history[:, name], rtol=1e-6)
    for name in ("train_loss_best", "valid_loss_best"):
        assert lean.history[:, name] == watched.history[:, name]
    ours, theirs = lean.module_.state_dict(), watched.module_.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_net_that_looks_at_batches_gets_them():
    """Check that a net with a hook of its own is called for each batch."""
    seen = []

    class Looking(CenterLossNet):
        def on_batch_end(self, net, batch=None, training=None, **kwargs):
            seen.append(len(batch[1]))

    Looking(lambda X: X, max_epochs=1, batch_size=50).fit(X, y)
    assert seen == [50, 50, 50]


def test_epoch_scoring_callback():
    """Check EpochScoring on training data against the accuracy computed by hand."""
    scoring = EpochScoring("accuracy", name="train_acc", on_train=True, use_caching=False)
    net = fitted(callbacks=[scoring], max_epochs=8)
    assert_allclose(net.history[-1, "train_acc"], (net.predict(X) == y).mean())


def test_epoch_scoring_with_cached_predictions():
    """Check EpochScoring in its default form, which looks at batches, on a split."""
    callbacks = [("valid_acc", EpochScoring("accuracy", lower_is_better=False))]
    net = fitted(callbacks=callbacks, train_split=ValidSplit(5, stratified=True))
    assert len(net.history[:, "accuracy"]) == 5
    assert net.history[-1, "accuracy"] > 0.6


def test_checkpoint_on_the_best_validation_loss(tmp_path):
    """Check that Checkpoint saves the epoch of the least validation loss."""
    # Random labels can only be learned by heart, so that the validation loss soon rises.
    labels = np.random.default_rng(0).permutation(y)
    params = {"train_split": ValidSplit(3, stratified=True), "max_epochs": 40}
    checkpoint = Checkpoint(monitor="valid_loss_best", dirname=tmp_path, f_criterion=None)
    net = fitted(X, labels, callbacks=[checkpoint], **params)
    best = int(np.argmin(net.history[:, "valid_loss"])) + 1
    assert [row["epoch"] for row in net.history if row["valid_loss_best"]][-1] == best < 40
    other = small()
    other.measure(X, labels)
    other.initialize()
    other.load_params(f_params=tmp_path / "params.pt")
    # Without the callback, as many epochs give the weights of the best epoch.
    again = fitted(X, labels, **{**params, "max_epochs": best})
    assert_array_equal(other.predict_proba(X), again.predict_proba(X))


def test_gradient_clipping_callback():
    """Check that GradientNormClipping bounds the step that SGD makes."""
    params = {"optimizer": torch.optim.SGD, "max_epochs": 1, "batch_size": 150}
    torch.manual_seed(0)
    start = small(**params)
    start.measure(X, y)
    start.initialize()
    limit = GradientNormClipping(gradient_clip_value=1e-3)
    net = fitted(callbacks=[limit], lr=1.0, **params)
    step = [
        (after - before).detach().flatten()
        for after, before in zip(net.module_.parameters(), start.module_.parameters())
    ]
    assert_allclose(float(torch.cat(step).norm()), 1e-3, rtol=1e-3)


def test_learning_rate_scheduler_callback():
    """Check that LRScheduler sets the learning rate of each epoch."""
    scheduler = LRScheduler(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)
    net = fitted(callbacks=[scheduler], lr=0.08, max_epochs=3)
    assert_allclose(net.history[:, "event_lr"], [0.08, 0.04, 0.02])
    assert_allclose(net.optimizer_.param_groups[0]["lr"], 0.01)


def test_hook_set_on_a_callback():
    """Check that a hook on the instance is called as one of the class is."""
    calls = []
    callback = Callback()
    callback.on_grad_computed = lambda net, **kwargs: calls.append(1)
    fitted(callbacks=[callback], max_epochs=1, batch_size=75)
    assert calls == [1, 1]
