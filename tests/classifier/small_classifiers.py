"""Data, small classifiers and modules that tests of CenterLossClassifier share."""

from functools import cache

import numpy as np
import torch
from numpy.testing import assert_array_equal
from sklearn.datasets import load_digits, load_iris
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import Dataset

from sk_center import CenterLossClassifier
from sk_center.batches import ArrayDataset

X, y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X).astype(np.float32)
X_new = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
names = np.array(["setosa", "versicolor", "virginica"])[y]
# Images of 6 x 6 pixels.
images = load_digits().images[:200, None, 1:7, 1:7].astype(np.uint8)
digits = load_digits().target[:200]


def small(**params):
    """Return a classifier that trains in a blink."""
    defaults = {"hidden_layer_sizes": (16, 4), "max_epochs": 8, "lr": 0.01}
    return CenterLossClassifier(**{**defaults, "random_state": 0, **params})


@cache
def fitted(**params):
    """Return a small classifier fitted on iris; tests must not change it."""
    return small(**params).fit(X, y)


def features_of(model, X):
    """Return logits and features in float64, straight from the torch module."""
    with torch.no_grad():
        logits, features = model.module_.eval()(torch.as_tensor(X, dtype=torch.float32))
    return logits.double().numpy(), features.double().numpy()


def spy_on_training(seen):
    """Return a small classifier that notes the array it trains on."""

    class Spy(ArrayDataset):
        def __init__(self, X, y=None):
            seen.append(X)
            super().__init__(X, y)

    return small(dataset=Spy)


def assert_same_model(one, other, X=X_new):
    """Assert that two models predict the same to the last bit."""
    assert_array_equal(one.decision_function(X), other.decision_function(X))
    assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    assert_array_equal(one.predict(X), other.predict(X))


class Samples(Dataset):
    """A user's dataset of samples with or without labels."""

    def __init__(self, X, y=None):
        self.X, self.y = X, y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return self.X[i] if self.y is None else (self.X[i], self.y[i])


class Wide(nn.Module):
    """A module with a parameter of its own."""

    def __init__(self, width=5):
        super().__init__()
        self.layer = nn.Linear(4, width)

    def forward(self, X):
        return self.layer(X)


class Trailing(Wide):
    """The same, with a parameter that ends as fitted attributes do."""

    def __init__(self, width_=5):
        super().__init__(width_)
