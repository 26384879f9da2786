"""Tests of the skorch net: its loss, its epoch loop, its life beside skorch."""

import pickle
import re
from collections import Counter
from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import log_softmax, softmax
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EpochScoring,
    GradientNormClipping,
    LRScheduler,
)
from skorch.dataset import ValidSplit
from torch.utils.data import DataLoader, TensorDataset

import sk_center.centers.center as centers
from sk_center import CenterLossNet
from sk_center.batches import ArrayDataset
from sk_center.networks import MLP, ConvNet

X, y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X).astype(np.float32)


def small(module=MLP, **params):
    """Return a small net for the iris data."""
    if module is MLP:
        params = {
            "module__in_features": 4,
            "module__hidden_layer_sizes": (16, 4),
            **params,
        }
    return CenterLossNet(module, **{"lr": 0.02, "max_epochs": 5, **params})


def fitted(X=X, y=y, **params):
    """Return a small net fitted from a fixed seed."""
    torch.manual_seed(0)
    return small(**params).fit(X, y)


class Recording(CenterLossNet):
    """Record the loss and the size of each batch, by itself and not by skorch."""

    def get_loss(self, y_pred, y_true, X=None, training=False):
        loss = super().get_loss(y_pred, y_true, X, training)
        if not hasattr(self, "seen_"):
            self.seen_ = []
        self.seen_.append((training, float(loss.detach()), len(y_true)))
        return loss


class WatchBatches(Callback):
    """Look at batches, as a user's callback does."""

    def on_batch_end(self, net, batch=None, training=None, **kwargs):
        pass


def test_net_learns_as_a_skorch_net():
    """Check fit, predict and predict_proba, the head's softmax as computed by hand."""
    net = fitted(max_epochs=20)
    with torch.no_grad():
        logits, features = net.module_.eval()(torch.from_numpy(X))
    assert features.shape == (150, 4)
    expected = softmax(logits.double().numpy(), axis=1)
    assert_allclose(net.predict_proba(X), expected, rtol=1e-5, atol=1e-7)
    assert_array_equal(net.predict(X), expected.argmax(axis=1))
    assert (net.predict(X) == y).mean() > 0.9
    assert net.score(X, y) == (net.predict(X) == y).mean()
    assert len(net.history) == 20
    assert net.history[-1, "train_loss"] < net.history[0, "train_loss"]


@pytest.mark.parametrize("lambda_center", [0, 0.1, 2.5])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("criterion", [{}, {"criterion__label_smoothing": 0.2}])
def test_loss_of_a_batch_is_the_formula(lambda_center, weighted, criterion):
    """Check mean(w CE) + lambda/2 mean(w |f - c|^2) against numpy in float64."""
    net = fitted(lambda_center=lambda_center, center_update="fixed", **criterion)
    net.module_.eval()
    batch, labels = torch.from_numpy(X[::4]), torch.from_numpy(y[::4])
    weight = np.random.default_rng(0).exponential(size=len(labels)).astype(np.float32)
    given = {"X": batch, "sample_weight": torch.from_numpy(weight)} if weighted else batch
    with torch.no_grad():
        logits, features = net.infer(given)
        loss = net.get_loss((logits, features), labels, given, training=False)
        centers = net.module_.center.predict().double().numpy()
    log_p = log_softmax(logits.double().numpy(), axis=1)
    index = labels.numpy()
    smoothing = criterion.get("criterion__label_smoothing", 0)
    entropy = -(1 - smoothing) * log_p[np.arange(len(index)), index]
    entropy -= smoothing * log_p.mean(axis=1)
    spread = ((features.double().numpy() - centers[index]) ** 2).sum(axis=1) / 2
    w = weight.astype(float) if weighted else np.ones(len(index))
    expected = (w * entropy).mean() + lambda_center * (w * spread).mean()
    assert loss.shape == ()
    assert_allclose(float(loss), expected, rtol=1e-5)


def test_gradient_of_the_loss_is_the_formula():
    """Check the gradient at the features: the head's part plus lambda (f - c) / B."""
    net = fitted(lambda_center=0.7, center_update="fixed")
    labels = torch.from_numpy(y[::4])
    with torch.no_grad():
        _, features = net.infer(torch.from_numpy(X[::4]))
    features.requires_grad_()
    net.get_loss((net.module_.head(features), features), labels, training=True).backward()
    W = net.module_.head.weight.detach().double().numpy()
    logits = net.module_.head(features).detach().double().numpy()
    f, c = features.detach().double().numpy(), net.module_.center.predict().double().numpy()
    n_samples = len(labels)
    expected = (softmax(logits, axis=1) - np.eye(3)[labels]) @ W / n_samples
    expected += 0.7 * (f - c[labels]) / n_samples
    assert_allclose(features.grad, expected, rtol=1e-4, atol=1e-6)


def test_weights_reach_the_training():
    """Check that a sample of weight zero is as good as not there."""
    weight = np.ones(len(y))
    weight[y == 2] = 0
    net = fitted({"X": X, "sample_weight": weight}, y, n_classes=3, max_epochs=20)
    assert set(net.predict(X)) == {0, 1}


def test_lambda_zero_is_plain_softmax_training():
    """Check one SGD step at lambda 0 against one step of plain torch."""
    params = {"optimizer": torch.optim.SGD, "lr": 0.1, "batch_size": len(y)}
    net = fitted(lambda_center=0, max_epochs=1, iterator_train__shuffle=False, **params)
    torch.manual_seed(0)
    start = small(lambda_center=0, **params)
    start.measure(X, y)
    start.initialize()
    body, head = start.module_.body, start.module_.head
    loss = torch.nn.functional.cross_entropy(
        head(body(torch.from_numpy(X))), torch.from_numpy(y)
    )
    loss.backward()
    assert_allclose(net.history[0, "train_loss"], float(loss.detach()), rtol=1e-5)
    for trained, initial in zip(net.module_.parameters(), start.module_.parameters()):
        expected = (initial - 0.1 * initial.grad).detach()
        assert_allclose(trained.detach(), expected, rtol=1e-5, atol=1e-7)


def test_centers_move_at_lambda_zero_too():
    """Check that the centers are up to date where their loss has no weight."""
    net = fitted(lambda_center=0, max_epochs=20)
    features = net.forward(X)[1].numpy()
    means = np.stack([features[y == j].mean(axis=0) for j in range(3)])
    found = net.module_.center.predict().numpy()
    spread = np.linalg.norm(means[0] - means[1])
    assert np.linalg.norm(found - means, axis=1).max() < spread / 2


def test_validation_does_not_move_the_centers():
    """Check that a validation epoch leaves the centers and the weights alone."""
    net = fitted()
    before = {name: v.clone() for name, v in net.module_.state_dict().items()}
    dataset = net.get_dataset(X, y)
    net.history.new_epoch()
    net.run_single_epoch(
        net.get_iterator(dataset),
        training=False,
        prefix="valid",
        step_fn=net.validation_step,
    )
    for name, value in net.module_.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert net.history[-1, "valid_loss"] > 0


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


def test_memory_of_inference_follows_the_widest_layer():
    """Check that batches shrink where the network or the classes are wide."""
    wide = fitted(module__hidden_layer_sizes=(2**15, 4), max_epochs=1)
    sizes = [len(y) for _, y in wide.get_iterator(wide.get_dataset(np.tile(X, (9, 1))))]
    assert max(sizes) == wide.batch_size == 128
    wide = fitted(module__hidden_layer_sizes=(2**9, 4), max_epochs=1)
    sizes = [len(y) for _, y in wide.get_iterator(wide.get_dataset(np.tile(X, (9, 1))))]
    assert max(sizes) == 2**18 // 2**9


@pytest.mark.parametrize("callbacks", [[], [WatchBatches()]])
def test_train_loss_is_the_mean_over_samples(callbacks):
    """Check that batches of different sizes are weighted by their sizes."""
    torch.manual_seed(0)
    params = {"module__in_features": 4, "module__hidden_layer_sizes": (8, 2)}
    params |= {"train_split": ValidSplit(0.2, random_state=0), "max_epochs": 1}
    net = Recording(MLP, batch_size=50, lr=0.1, callbacks=callbacks, **params).fit(X, y)
    for training, name in [(True, "train_loss"), (False, "valid_loss")]:
        seen = [(loss, size) for train, loss, size in net.seen_ if train == training]
        losses, sizes = np.array(seen).T
        assert_allclose(net.history[0, name], np.average(losses, weights=sizes), rtol=1e-6)
    sizes = [size for train, _, size in net.seen_ if train]
    assert sizes == [50, 50, 20]


def test_one_transfer_an_epoch(monkeypatch):
    """Check that the lean epoch asks for no number batch by batch.

    On a GPU each such number waits for the device. The centers look at numbers where that
    is free, on the CPU: told that it is not, they must do without.
    """
    monkeypatch.setattr(centers, "hidden", lambda values: True)
    counts = Counter()

    def counted(name):
        original = getattr(torch.Tensor, name)

        def call(self, *args, **kwargs):
            # Labels on the CPU are checked by number; losses must not be.
            counts[name] += self.is_floating_point()
            return original(self, *args, **kwargs)

        return call

    def calls_of_an_epoch(batch_size):
        net = fitted(max_epochs=1, batch_size=batch_size, optimizer=torch.optim.SGD)
        dataset = net.get_dataset(X, y)
        counts.clear()
        net.partial_fit(dataset, None, epochs=1)
        return dict(counts)

    for name in ("item", "__float__", "__int__", "tolist"):
        monkeypatch.setattr(torch.Tensor, name, counted(name))
    few, many = calls_of_an_epoch(batch_size=75), calls_of_an_epoch(batch_size=5)
    assert few == many
    assert few == {"__float__": 1}


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


def test_data_loader_as_iterator():
    """Check that a DataLoader trains like slices do, where the order is the same."""
    slices = fitted(iterator_train__shuffle=False)
    loader = fitted(
        iterator_train=DataLoader, iterator_train__shuffle=False, iterator_valid=DataLoader
    )
    assert_array_equal(slices.history[:, "train_loss"], loader.history[:, "train_loss"])
    # Inference batches differ in size, and sums of other shapes round differently.
    assert_allclose(slices.predict_proba(X), loader.predict_proba(X), rtol=1e-5, atol=1e-7)


def test_data_loader_arguments():
    """Check a DataLoader with a sampler, drop_last and a dataset of the user's own."""
    dataset = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    torch.manual_seed(0)
    net = Recording(
        MLP,
        module__in_features=4,
        module__hidden_layer_sizes=(8, 2),
        n_classes=3,
        max_epochs=1,
        batch_size=40,
        iterator_train=DataLoader,
        iterator_train__drop_last=True,
    ).fit(dataset, None)
    assert [size for _, _, size in net.seen_] == [40, 40, 40]
    assert net.predict(dataset).shape == (150,)


@pytest.mark.parametrize("form", ["tensors", "dataset", "float64"])
def test_forms_of_data(form):
    """Check that tensors, datasets and other dtypes train exactly as float32 arrays."""
    data = {
        "tensors": (torch.from_numpy(X), torch.from_numpy(y)),
        "dataset": (ArrayDataset(X, y), None),
        "float64": (X.astype(np.float64), y),
    }[form]
    reference = fitted(n_classes=3)
    net = fitted(*data, n_classes=3)
    assert_array_equal(net.predict_proba(X), reference.predict_proba(X))


def test_initialize_needs_data():
    """Check that initialize before any data says what to call."""
    with pytest.raises(ValueError, match=r"call fit, or net\.measure\(X, y\) before"):
        small().initialize()
    net = small()
    net.measure(X, y)
    net.initialize()
    assert net.module_.head.out_features == 3
    assert net.predict_proba(X).shape == (150, 3)


def test_n_classes():
    """Check that classes come from the labels or from n_classes, never too few."""
    assert fitted(max_epochs=1).module_.head.out_features == 3
    assert fitted(n_classes=7, max_epochs=1).module_.head.out_features == 7
    assert fitted(n_classes=7, max_epochs=1).module_.center.predict().shape == (7, 4)
    dataset = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    with pytest.raises(ValueError, match="n_classes must be given where y is None"):
        fitted(dataset, None)


def test_labels_are_counted_anew_in_each_fit():
    """Check that a second fit forgets the classes of the first."""
    net = fitted(max_epochs=1)
    net.fit(X[y < 2], y[y < 2])
    assert net.module_.head.out_features == 2


def test_partial_fit_goes_on():
    """Check that partial_fit initializes once and then adds epochs."""
    torch.manual_seed(0)
    net = small(max_epochs=2).partial_fit(X, y)
    module = net.module_
    net.partial_fit(X, y)
    assert net.module_ is module
    assert len(net.history) == 4


def test_warm_start_goes_on():
    """Check that fit with warm_start keeps the module, and without builds a new one."""
    net = fitted(warm_start=True)
    module, loss = net.module_, net.history[-1, "train_loss"]
    net.fit(X, y)
    assert net.module_ is module
    assert len(net.history) == 10
    assert net.history[5, "train_loss"] < loss
    net.set_params(warm_start=False).fit(X, y)
    assert net.module_ is not module


def test_first_centers_are_given():
    """Check that `center` places the centers, and "fixed" keeps them there."""
    anchors = 10 * np.eye(3, 4)
    net = fitted(center=anchors, center_update="fixed", max_epochs=2)
    assert_array_equal(net.module_.center.predict(), anchors)
    net = fitted(center=anchors, center_update="ema", alpha=0.0, max_epochs=2)
    assert np.abs(net.module_.center.predict().numpy() - anchors).max() > 1


def test_center_parameters_reach_the_module():
    """Check alpha and the update rule of the module."""
    center = fitted(alpha=0.3, center_update="wen", max_epochs=1).module_.center
    assert (center.alpha, center.update) == (0.3, "wen")


def test_no_optimizer_holds_the_centers():
    """Check that the parameters are the body's and the head's."""
    net = fitted(max_epochs=1)
    trained = [p for group in net.optimizer_.param_groups for p in group["params"]]
    expected = [*net.module_.body.parameters(), *net.module_.head.parameters()]
    assert {id(p) for p in trained} == {id(p) for p in expected}


@pytest.mark.parametrize("callbacks", [None, [WatchBatches()]])
def test_loss_that_is_not_finite_is_an_error(callbacks):
    """Check that the error names the epoch, the learning rate and other causes."""
    with pytest.raises(ValueError, match=r"loss is .* in epoch [12]\..*lr=1e\+20") as error:
        fitted(lr=1e20, callbacks=callbacks)
    assert "lambda_center=0.1" in str(error.value)


def test_module_gets_arguments_and_instances_are_taken():
    """Check a class with arguments, an instance, and a function as module."""
    by_class = fitted(module=torch.nn.Linear, module__in_features=4, module__out_features=2)
    assert by_class.module_.body.out_features == 2
    instance = torch.nn.Linear(4, 3)
    assert fitted(module=instance).module_.center.predict().shape == (3, 3)
    function = fitted(module=lambda X: X[:, :2])
    assert_array_equal(function.forward(X)[1], X[:, :2])


def test_inference_batches_are_large_unless_chosen():
    """Check that prediction takes few large batches, or those that the user chose."""
    net = fitted(batch_size=10, max_epochs=1)
    dataset = net.get_dataset(X, y)
    assert len(net.get_iterator(dataset, training=False)) == 1
    assert len(net.get_iterator(dataset, training=True)) == 15
    chosen = fitted(batch_size=10, max_epochs=1, iterator_valid__batch_size=50)
    assert len(chosen.get_iterator(dataset, training=False)) == 3


def test_get_params_and_clone():
    """Check that scikit-learn's clone carries the parameters of the center loss."""
    net = small(lambda_center=0.5, alpha=0.2, center_update="sum", n_classes=4)
    params = clone(net).get_params()
    assert params["lambda_center"] == 0.5
    assert params["alpha"] == 0.2
    assert params["center_update"] == "sum"
    assert params["n_classes"] == 4
    assert params["module__hidden_layer_sizes"] == (16, 4)


def test_nothing_is_printed_by_default(capsys):
    """Check that the net is silent, and prints a line an epoch with verbose=1."""
    fitted(max_epochs=2)
    assert capsys.readouterr().out == ""
    fitted(max_epochs=2, verbose=1)
    assert "train_loss" in capsys.readouterr().out


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


def test_features_alone():
    """Check that inference leaves the head out where nobody wants logits."""
    net = fitted()
    calls = []
    net.module_.head.register_forward_hook(lambda *args: calls.append(1))
    (_, features), *_ = net.forward_iter(X)
    assert calls == [1]
    (logits, alone), *_ = net.forward_iter(X, with_logits=False)
    assert calls == [1]
    assert logits is None
    assert_array_equal(alone, features)


def test_centers_that_nobody_needs_stay():
    """Check that without center loss batches need not move the centers."""
    net = fitted(lambda_center=0, track_centers=False)
    assert not net.module_.center.known.any()
    assert fitted(lambda_center=0.1, track_centers=False).module_.center.known.all()


def test_module_set_to_evaluation_trains_again():
    """Check that a callback that predicts in the middle does not end training mode."""

    class Predicts(Callback):
        def on_batch_begin(self, net, batch=None, training=False, **kwargs):
            net.predict(X[:2])

    modes = []

    class Watch(torch.nn.Linear):
        def forward(self, X):
            modes.append((self.training, torch.is_grad_enabled()))
            return super().forward(X)

    small(
        Watch,
        module__in_features=4,
        module__out_features=2,
        max_epochs=1,
        batch_size=75,
        callbacks=[Predicts()],
    ).fit(X, y)
    assert [training for training, grad in modes if grad] == [True, True]


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
    with pytest.raises(ValueError, match="gradient_accumulation_steps must be an integer"):
        fitted(gradient_accumulation_steps=steps)


def test_accumulation_does_not_go_with_a_closure():
    """Check that LBFGS, which runs the network itself, cannot wait for batches."""
    with pytest.raises(ValueError, match=r"LBFGS.*gradient_accumulation_steps=1; got 2"):
        fitted(optimizer=torch.optim.LBFGS, gradient_accumulation_steps=2)


@pytest.mark.parametrize("weighted", [False, True])
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


def test_pickle_holds_the_history_in_columns():
    """Check that a pickle brings all of the history back, of which it holds numbers."""
    long = fitted(max_epochs=60)
    again = pickle.loads(pickle.dumps(long))
    assert again.history == long.history
    assert type(again.history) is type(long.history)
    again.partial_fit(X, y)
    assert len(again.history) == len(long.history) + long.max_epochs
    dicts = len(pickle.dumps(list(long.history)))
    columns = pickle.dumps(long.__getstate__()["history_columns"])
    assert len(columns) < 0.5 * dicts
    # Rows that differ are kept as they are.
    split = {"train_split": ValidSplit(0.2), "max_epochs": 2}
    long.set_params(**split).partial_fit(X, y)
    assert pickle.loads(pickle.dumps(long)).history == long.history


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


def test_net_that_looks_after_its_data():
    """Check that inference goes through get_dataset and get_iterator of a subclass."""

    class Blind(CenterLossNet):
        def get_dataset(self, X, y=None):
            dataset = super().get_dataset(X, y)
            dataset.X = np.zeros_like(dataset.X)
            return dataset

    net = Blind(
        torch.nn.Linear, module__in_features=4, module__out_features=2, max_epochs=1
    )
    net.measure(X, y)
    assert np.ptp(net.initialize().predict_proba(X), axis=0).max() == 0


@pytest.mark.parametrize(
    "body",
    [
        lambda X: X.sub_(1),
        lambda X: torch.nn.functional.relu(X, inplace=True),
        lambda X: X,
    ],
)
def test_modules_that_work_in_place(body):
    """Check that neither the data nor the dry run suffer from a module that writes."""
    given = X.copy()
    net = CenterLossNet(body, max_epochs=1).fit(given, y)
    outputs = [features for _, features in net.forward_iter(given)]
    assert_array_equal(given, X)
    for features in outputs:
        features += 1
    assert_array_equal(given, X)


def test_hook_set_on_a_callback():
    """Check that a hook on the instance is called as one of the class is."""
    calls = []
    callback = Callback()
    callback.on_grad_computed = lambda net, **kwargs: calls.append(1)
    fitted(callbacks=[callback], max_epochs=1, batch_size=75)
    assert calls == [1, 1]


def test_part_in_evaluation_mode_trains_again():
    """Check that each epoch sets the mode of all modules, as skorch's steps do."""
    net = fitted()
    net.module_.train()
    net.module_.body.eval()
    net.partial_fit(X, y)
    assert net.module_.body.training


def test_reduction_of_the_criterion():
    """Check that a sum as criterion is what is minimized."""
    torch.manual_seed(0)
    mean = fitted(lambda_center=0, max_epochs=1, lr=1e-9)
    torch.manual_seed(0)
    total = fitted(lambda_center=0, max_epochs=1, lr=1e-9, criterion__reduction="sum")
    sizes = np.array([128, 22])
    expected = mean.history[0, "train_loss"] * (sizes @ sizes) / sizes.sum()
    assert_allclose(total.history[0, "train_loss"], expected, rtol=0.05)


@pytest.mark.parametrize("label", [-100, -1, 3])
@pytest.mark.parametrize("track", [True, False])
def test_no_label_is_passed_over(label, track):
    """Check that the label which torch's cross entropy skips is an error too."""
    labels = torch.tensor(y)
    labels[5] = label
    samples = TensorDataset(torch.tensor(X), labels)  # whose labels nobody reads before
    with pytest.raises((ValueError, IndexError)):
        fitted(samples, None, lambda_center=0, track_centers=track, n_classes=3)


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
@pytest.mark.parametrize(
    ("label", "params", "accepted"),
    [
        (-1, {}, "[0, 2)"),
        (3, {"n_classes": 3}, "[0, 3)"),
        (2, {"n_classes": 2, "lambda_center": 0, "track_centers": False}, "[0, 2)"),
        (
            3,
            {"n_classes": 2, "negative_loss": "entropic"},
            "[0, 3), the last for negatives",
        ),
    ],
)
def test_labels_outside_the_classes_are_refused(label, params, accepted, kind):
    """Check that fit and partial_fit name such a label before they train."""
    labels = np.where(y == 2, 1, y)
    net = fitted(y=labels, **params)
    before = net.module_.head.weight.detach().clone()
    labels[5] = label
    match = re.escape(f"y must hold class indices in {accepted}; got {label}.")
    with pytest.raises(ValueError, match=match):
        fitted(y=kind(labels), **params)
    with pytest.raises(ValueError, match=match):
        net.fit(X, kind(labels))
    with pytest.raises(ValueError, match=match):
        net.partial_fit(X, kind(labels))
    assert_array_equal(net.module_.head.weight.detach(), before)


@pytest.mark.parametrize("labels", [y.astype(str), y.astype(float), y == 0])
def test_labels_that_are_no_integers_are_refused(labels):
    """Check that the error says who takes such labels."""
    with pytest.raises(ValueError, match=r"integers from 0 on; got dtype .*Classifier"):
        fitted(y=labels)


@pytest.mark.parametrize("name", ["lambda_center", "lambda_norm"])
@pytest.mark.parametrize("value", [-0.1, np.nan, "0.1", None])
def test_weights_of_the_loss_are_validated(name, value):
    """Check that a negative weight, which would blow features up, is refused."""
    match = re.escape(f"{name} must be a number >= 0; got {value!r}.")
    with pytest.raises(ValueError, match=match):
        fitted(**{name: value})
    net = fitted().set_params(**{name: value})
    with pytest.raises(ValueError, match=match):
        net.partial_fit(X, y)
