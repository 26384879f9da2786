"""Tests of CenterLossClassifier.outputs: several outputs of one pass."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError

from sk_center import CenterLossClassifier

X, y = load_iris(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std(axis=0)
names = np.array(["setosa", "versicolor", "virginica"])[y]
METHODS = {
    "labels": "predict",
    "features": "transform",
    "logits": "logits",
    "probabilities": "predict_proba",
    "distances": "center_distances",
}


def small(**params):
    """Return a classifier that trains in a blink."""
    defaults = {"hidden_layer_sizes": (16, 4), "max_epochs": 5, "lr": 0.01}
    return CenterLossClassifier(**{**defaults, "random_state": 0, **params})


@pytest.mark.parametrize("predict_with", ["center", "softmax"])
@pytest.mark.parametrize("rows", [1, 150, 20_000])
def test_outputs_equal_those_of_the_methods(predict_with, rows):
    """Check that each output is what its method returns, in one batch and in many."""
    model = small(predict_with=predict_with).fit(X, names)
    many = np.random.default_rng(0).normal(scale=3, size=(rows, 4))
    outputs = model.outputs(many)
    assert list(outputs) == list(METHODS)
    for name, method in METHODS.items():
        expected = getattr(model, method)(many)
        assert_array_equal(outputs[name], expected, strict=True)
        assert_array_equal(model.outputs(many, [name])[name], expected, strict=True)


@pytest.mark.parametrize("names", [["labels"], ["distances", "labels"], list(METHODS)])
def test_the_network_runs_once(names):
    """Check that however much is asked for, a sample goes through the network once."""
    model = small().fit(X, y)
    seen = []
    model.module_.body.register_forward_hook(lambda *args: seen.append(len(args[1][0])))
    assert list(model.outputs(X, names)) == names
    assert sum(seen) == len(X)


def test_only_what_is_asked_for_is_computed():
    """Check that the head does not run where nobody asks for what it gives."""
    model = small().fit(X, y)
    calls = []
    model.module_.head.register_forward_hook(lambda *args: calls.append(1))
    model.outputs(X, ("labels", "features", "probabilities", "distances"))
    assert not calls
    model.outputs(X, ("logits",))
    assert calls


def test_outputs_of_features_that_are_not_finite():
    """Check that labels are the same alone and beside distances, which are infinite."""
    model = small().fit(X, y)
    last = model.module_.body[-1]
    with torch.no_grad():
        last.bias.fill_(torch.inf)
    outputs = model.outputs(X)
    assert np.isinf(outputs["distances"]).all()
    assert_array_equal(outputs["labels"], model.predict(X))
    assert_array_equal(outputs["probabilities"], np.full((150, 3), 1 / 3, np.float32))


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_layers_of_images(precision):
    """Check that layers come with the other outputs, from a network that has them."""
    images = np.random.default_rng(0).normal(size=(150, 1, 4, 4))
    model = small(module__channels=(3, 2), precision=precision).fit(images, y)
    outputs = model.outputs(images, ("layers", "labels", "features"))
    assert list(outputs) == ["layers", "labels", "features"]
    assert outputs["layers"].shape == (150, 3 + 2 + 4)
    assert outputs["layers"].dtype == np.float32
    assert_array_equal(outputs["features"], model.transform(images))
    assert "layers" not in model.outputs(images)
    with pytest.raises(ValueError, match="with_layers, as ConvNet has it; MLP has none"):
        small().fit(X, y).outputs(X, "layers")


def test_outputs_refuses_other_names():
    """Check that the message tells which names there are, and that fit comes first."""
    with pytest.raises(NotFittedError):
        small().outputs(X)
    model = small().fit(X, y)
    with pytest.raises(ValueError, match=r"names must be some of .*got \['scores'\]"):
        model.outputs(X, ["scores"])
    with pytest.raises(ValueError, match="names must be some of"):
        model.outputs(X, ())
