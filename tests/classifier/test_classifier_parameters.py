"""Tests of parameters: passed through, cloned, searched, misspelled."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from skorch.callbacks import EpochScoring, LRScheduler
from small_classifiers import Trailing, Wide, X, X_new, names, small, y
from torch import nn

from sk_center import CenterLossClassifier


def test_net_parameters_come_by_their_skorch_names():
    """Check module__, optimizer__ and criterion__ parameters through get, set, clone."""
    model = small(module=Wide, module__width=7, optimizer__weight_decay=0.1)
    params = clone(model).get_params()
    assert params["module__width"] == 7
    assert params["optimizer__weight_decay"] == 0.1
    model.set_params(module__width=3, criterion__label_smoothing=0.1).fit(X, y)
    assert model.centers_.shape == (3, 3)
    assert model.net_.optimizer_.param_groups[0]["weight_decay"] == 0.1
    assert model.net_.criterion_.label_smoothing == 0.1
    assert "module__width=3" in repr(model)


@pytest.mark.parametrize(
    ("params", "nearest"),
    [
        ({"lambda_centre": 1}, "lambda_center"),
        ({"max_epoch": 1}, "max_epochs"),
        ({"optimiser": torch.optim.SGD}, "optimizer"),
        ({"modul__width": 3}, "module__width"),
    ],
)
def test_misspelled_parameter(params, nearest):
    """Check that an unknown name is an error at once that names the nearest right one."""
    with pytest.raises(TypeError, match=f"did you mean '{nearest}'"):
        CenterLossClassifier(**params)
    model = CenterLossClassifier()
    with pytest.raises(ValueError, match=f"did you mean '{nearest}'"):
        model.set_params(**params)


@pytest.mark.parametrize(
    ("params", "nearest"),
    [
        ({"module": Wide, "module__widht": 3}, "module__width"),
        ({"optimizer__weight_deccay": 3}, "optimizer__weight_decay"),
        ({"criterion__label_smooting": 3}, "criterion__label_smoothing"),
        ({"iterator_train__shufle": 3}, "iterator_train__shuffle"),
        ({"module__dropuot": 0.1}, "module__dropout"),
    ],
)
def test_misspelled_parameter_of_a_part(params, nearest):
    """Check that fit names the nearest right parameter of module, optimizer and so on."""
    with pytest.raises(ValueError, match=f"did you mean '{nearest}'"):
        small(**params).fit(X, y)


def test_callbacks():
    """Check that callbacks run, are copied, and are reached by their names."""
    scheduler = LRScheduler(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)
    scoring = EpochScoring("accuracy", name="acc", on_train=True, use_caching=False)
    model = small(callbacks=[("lr", scheduler), scoring], max_epochs=3)
    model.set_params(callbacks__lr__gamma=0.1).fit(X, names)
    assert_allclose(model.history_[:, "event_lr"], [0.01, 0.001, 0.0001])
    assert model.history_[-1, "acc"] > 0.3
    assert not hasattr(scheduler, "lr_scheduler_")
    assert small(callbacks="disable").fit(X, y).net_.callbacks_ == []


class Note(CenterLossClassifier):
    """A subclass with a short signature."""

    def __init__(self, width=16):
        super().__init__(hidden_layer_sizes=(width, 4), max_epochs=2, module__dropout=0.1)
        self.width = width


def test_attributes_are_no_parameters():
    """Check that only net parameters are taken for parameters, whatever their names."""
    model = small(module=Trailing, module__width_=3)
    assert clone(model).get_params()["module__width_"] == 3
    with pytest.raises(NotFittedError):
        model.predict(X)
    assert model.fit(X, y).centers_.shape == (3, 3)
    model.remark = "best so far"
    assert "remark" not in clone(model).get_params()
    subclass = clone(Note(width=8)).fit(X, y)
    assert subclass.module_.body[1].out_features == 8


@pytest.mark.parametrize("update", ["ema", "sum", "wen", "cumulative", "fixed"])
def test_center_parameters(update):
    """Check that update rule, alpha and first centers reach the module."""
    anchors = 3 * np.eye(3, 4, dtype=np.float32)
    model = small(center_update=update, alpha=0.99, center=anchors).fit(X, y)
    center = model.module_.center
    assert (center.update, center.alpha) == (update, 0.99)
    assert np.array_equal(center.predict(), anchors) == (update == "fixed")


def test_module_kinds():
    """Check a class, an instance (left as it is), a lazy module and a function."""
    instance = nn.Sequential(nn.LazyLinear(6), nn.Tanh(), nn.Linear(6, 2))
    torch.manual_seed(0)
    instance(torch.zeros(1, 4))
    before = {name: value.clone() for name, value in instance.state_dict().items()}
    model = small(module=instance).fit(X, y)
    assert model.transform(X_new).shape == (40, 2)
    for name, value in instance.state_dict().items():
        assert torch.equal(value, before[name])
    assert not torch.equal(model.module_.body[0].weight, instance[0].weight)
    lazy = small(module=nn.LazyLinear, module__out_features=5).fit(X, y)
    assert lazy.transform(X_new).shape == (40, 5)
    function = small(module=torch.tanh).fit(X, y)
    assert_array_equal(function.transform(X_new), torch.tanh(torch.from_numpy(X_new)))


def test_start_at_given_weights():
    """Check that a module instance starts every fit at its own weights."""
    torch.manual_seed(0)
    instance = nn.Linear(4, 3)
    params = {"module": instance, "lr": 1e-12, "max_epochs": 1, "random_state": None}
    for _ in range(2):
        model = small(**params).fit(X, y)
        with torch.no_grad():
            assert_allclose(model.transform(X), instance(torch.from_numpy(X)), rtol=1e-5)


def test_arguments_for_a_module_instance():
    """Check that arguments which would replace a given module, with its weights, raise."""
    model = small(module=nn.Linear(4, 3), module__out_features=3)
    with pytest.raises(ValueError, match=r"module__out_features is .* class, Linear"):
        model.fit(X, y)


def test_device_that_is_not_here():
    """Check the errors for devices that do not exist."""
    with pytest.raises(ValueError, match="torch finds here; got 'cuda:99'"):
        small(device="cuda:99").fit(X, y)
    with pytest.raises(ValueError, match=r"device must be 'auto' or .* got 'gpu'"):
        small(device="gpu").fit(X, y)
