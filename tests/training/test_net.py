"""Tests of the skorch net: its loss, its epoch loop, its life beside skorch."""

import pickle
from collections import Counter

import numpy as np
import pytest
import torch
from net_cases import WatchBatches, X, fitted, small, y
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import log_softmax, softmax
from sklearn.base import clone
from skorch.callbacks import (
    Callback,
)
from skorch.dataset import ValidSplit
from torch.utils.data import DataLoader, TensorDataset

import sk_center.centers.center as centers
from sk_center import CenterLossNet
from sk_center.batches import ArrayDataset
from sk_center.networks import MLP


class Recording(CenterLossNet):
    """Record the loss and the size of each batch, by itself and not by skorch."""

    def get_loss(self, y_pred, y_true, X=None, training=False):
        loss = super().get_loss(y_pred, y_true, X, training)
        if not hasattr(self, "seen_"):
            self.seen_ = []
        self.seen_.append((training, float(loss.detach()), len(y_true)))
        return loss


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
    with pytest.raises(ValueError, match="n_classes must be an integer where y is None"):
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


def test_pickle_brings_the_history_back():
    """Check that a pickle brings all of the history back, and training goes on."""
    long = fitted(max_epochs=60)
    again = pickle.loads(pickle.dumps(long))
    assert again.history == long.history
    assert type(again.history) is type(long.history)
    again.partial_fit(X, y)
    assert len(again.history) == len(long.history) + long.max_epochs


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


def test_part_in_evaluation_mode_trains_again():
    """Check that each epoch sets the mode of all modules, as skorch's steps do."""
    net = fitted()
    net.module_.train()
    net.module_.body.eval()
    net.partial_fit(X, y)
    assert net.module_.body.training
