"""Tests of the course of the learning rate over a training."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris
from skorch.callbacks import LRScheduler
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from sk_center import CenterLossClassifier, CenterLossNet

X, y = load_iris(return_X_y=True)


class Recorded(torch.optim.SGD):
    """Note the learning rates of each step."""

    rates: list = []

    def step(self, closure=None):
        """Step, and note the rate of each group of parameters."""
        Recorded.rates.append([group["lr"] for group in self.param_groups])
        return super().step(closure)


def rates_of(model, train=lambda model: model.fit(X, y)):
    """Return the learning rate of each step, one column for each group of parameters."""
    Recorded.rates = []
    train(model)
    return np.array(Recorded.rates)


def classifier(**params):
    """Return a small classifier that notes its learning rates."""
    params = {"hidden_layer_sizes": (8, 3), "max_epochs": 5, "batch_size": 32, **params}
    return CenterLossClassifier(optimizer=Recorded, random_state=0, **params)


def expected_rates(n_steps, lr):
    """Return what schedulers of torch make of a learning rate."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    n_first = n_steps // 10
    parts = [CosineAnnealingLR(optimizer, T_max=n_steps - n_first)]
    if n_first:
        start = 1 / (n_first + 1)
        parts.insert(0, LinearLR(optimizer, start_factor=start, total_iters=n_first))
    scheduler = SequentialLR(optimizer, parts, milestones=[n_first] * (len(parts) - 1))
    rates = []
    for _ in range(n_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(
    ("max_epochs", "batch_size", "accumulated", "n_steps"),
    [(5, 32, 1, 25), (1, 150, 1, 1), (20, 40, 3, 40)],
)
def test_schedule_is_that_of_torch(max_epochs, batch_size, accumulated, n_steps):
    """Check each step against torch's schedulers, also of accumulated gradients."""
    model = classifier(
        max_epochs=max_epochs,
        batch_size=batch_size,
        gradient_accumulation_steps=accumulated,
        lr=0.02,
    )
    rates = rates_of(model)
    assert rates.shape == (n_steps, 1)
    assert_allclose(rates[:, 0], expected_rates(n_steps, 0.02), rtol=1e-9)
    assert model.net_.lr == 0.02


def test_groups_keep_the_ratio_of_their_rates():
    """Check that parameters with a rate of their own follow the same course."""
    groups = [("*bias", {"lr": 0.1})]
    rates = rates_of(classifier(lr=0.01, optimizer__param_groups=groups))
    assert_allclose(rates[:, 0], 10 * rates[:, 1], rtol=1e-12)
    assert_allclose(rates.max(axis=0), [0.1, 0.01], rtol=1e-12)


def test_rate_stays_where_no_end_is_known():
    """Check None, partial_fit, early stopping and a scheduler of the user's own."""
    own = [LRScheduler("StepLR", step_size=1, gamma=0.1)]
    for model in (
        classifier(lr=0.02, lr_schedule=None),
        classifier(lr=0.02, early_stopping=True),
    ):
        assert set(rates_of(model).ravel()) == {0.02}
    model = classifier(lr=0.02)
    rates = rates_of(model, lambda model: model.partial_fit(X, y, classes=[0, 1, 2]))
    assert set(rates.ravel()) == {0.02}
    rates = rates_of(classifier(lr=0.02, callbacks=own))
    assert_allclose(rates[::5, 0], 0.02 / 10.0 ** np.arange(5))


def test_each_fit_has_a_course_of_its_own():
    """Check that a warm start begins a schedule, and partial_fit goes on at the rate."""
    model = classifier(lr=0.02, warm_start=True)
    first = rates_of(model)
    assert model.net_.optimizer_.param_groups[0]["lr"] == 0.02
    assert_array_equal(rates_of(model), first)
    again = pickle.loads(pickle.dumps(model)).set_params(lr=0.01, max_epochs=2)
    assert_allclose(rates_of(again)[:, 0], expected_rates(10, 0.01), rtol=1e-9)
    assert set(rates_of(again, lambda model: model.partial_fit(X, y)).ravel()) == {0.01}


def test_rate_is_given_back_after_an_error():
    """Check that a fit that fails leaves the rate of the fit before it."""
    model = classifier(lr=0.02, warm_start=True).fit(X, y)

    broken = X.copy()
    broken[0, 0] = 1e30
    with pytest.raises(ValueError, match="loss is"):
        model.fit(broken, y)
    assert model.net_.optimizer_.param_groups[0]["lr"] == 0.02
    assert rates_of(model).max() == 0.02


def test_batch_size_follows_the_number_of_samples():
    """Check that batches grow with the number of samples, as documented."""
    for n_samples, expected in ((40, 32), (1024, 32), (1025, 64), (4096, 64), (9000, 128)):
        rows = 37 * np.arange(n_samples) % len(y)
        model = classifier(batch_size="auto", max_epochs=1).fit(X[rows], y[rows])
        assert model.net_.batch_size == expected


def test_a_net_keeps_its_rate_by_default():
    """Check that a net has the constant rate of skorch, and names a wrong schedule."""
    net = CenterLossNet(
        torch.nn.Linear,
        module__in_features=4,
        module__out_features=2,
        optimizer=Recorded,
        lr=0.1,
        max_epochs=2,
    )
    data = X.astype(np.float32)
    assert set(rates_of(net, lambda net: net.fit(data, y)).ravel()) == {0.1}
    with pytest.raises(ValueError, match=r"'lr_schedule' .*'cosine'.* Got 'linear'"):
        net.set_params(lr_schedule="linear").fit(data, y)
