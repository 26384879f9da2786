"""Models to save, and how two of them are compared."""

import os

import numpy as np
import pandas as pd
import pytest
import skorch
import torch
from fuzz_load import samples
from numpy.testing import assert_array_equal

from sk_center import CenterLossClassifier, OpenSetClassifier, load, save

POSIX = pytest.mark.skipif(os.name != "posix", reason="takes pipes, links and modes")
METHODS = (
    "predict",
    "predict_proba",
    "decision_function",
    "transform",
    "p_values",
    "predict_set",
    "score_samples",
    "logits",
)
X, Y = samples()
IMAGES = np.repeat(X, 3, axis=1).reshape(60, 1, 3, 3)
NAMES = np.array(["", "bb", "\N{SNOWMAN} long"])
FRAME = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": np.where(X[:, 2] > 1, "u", "v")})


class Net(torch.nn.Module):
    """Two dense layers."""

    def __init__(self, width=4):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(3, width), torch.nn.ReLU(), torch.nn.Linear(width, 2)
        )

    def forward(self, X):
        return self.layers(X)


class Unusual(torch.nn.Module):
    """What a state dict makes difficult: tied, lazy, half and not persistent tensors."""

    def __init__(self):
        super().__init__()
        self.first, self.tied = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
        self.tied.weight = self.first.weight
        self.lazy = torch.nn.LazyLinear(2)
        self.register_buffer("tenth", torch.full((3,), 0.1, dtype=torch.bfloat16))
        self.register_buffer("unsaved", torch.full((3,), 2.0), persistent=False)

    def forward(self, X):
        return self.lazy(self.tied(self.first(X * self.tenth)) * self.unsaved)


def doubled(X):
    """Return features: a function may be a module."""
    return 2 * X


def minus_norm(X):
    """Return a score."""
    return -np.linalg.norm(X, axis=1)


def local_function():
    """Return a function that has no name in its module."""

    def hidden(X):
        return X

    return hidden


def small(**params):
    """Return a classifier that trains in no time."""
    params = {"hidden_layer_sizes": (4, 2), "max_epochs": 2, "random_state": 0, **params}
    return CenterLossClassifier(**params)


def small_open_set(estimator=None, **params):
    """Return an open-set classifier that trains in no time."""
    params = {"false_rejection_rate": 0.25, "cv": 0.2, "random_state": 0, **params}
    return OpenSetClassifier(small() if estimator is None else estimator, **params)


def answers(model, X):
    """Return what a model says by each of its methods."""
    return {name: getattr(model, name)(X) for name in METHODS if hasattr(model, name)}


def assert_alike(first, second, X):
    """Check that two models give the same bits."""
    expected, found = answers(first, X), answers(second, X)
    assert expected.keys() == found.keys()
    for name in expected:
        assert type(found[name]) is type(expected[name])
        one, other = np.asarray(expected[name]), np.asarray(found[name])
        assert one.dtype == other.dtype, name
        assert_array_equal(one, other, strict=True)


def round_trip(model, path, **kwargs):
    """Return a model that was saved and loaded."""
    save(model, path / "model")
    return load(path / "model", **kwargs)


def plain(value):
    """Return a value in a form that can be compared."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(plain(part) for part in value)
    if isinstance(value, torch.Tensor):
        return value.dtype, value.tolist()
    if isinstance(value, np.ndarray):
        return value.dtype, value.tolist()
    if isinstance(value, np.random.RandomState):
        return plain(value.get_state())
    if hasattr(value, "get_params"):
        return type(value), plain(value.get_params(deep=False))
    if isinstance(value, (skorch.dataset.ValidSplit, torch.nn.Module)):
        return repr(vars(value).get("ranges", vars(value)))
    return type(value), value
