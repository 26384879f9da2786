"""Small nets."""

import numpy as np
import torch
from sklearn.datasets import load_iris
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import (
    Callback,
)

from sk_center import CenterLossNet
from sk_center.networks import MLP

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


class WatchBatches(Callback):
    """Look at batches, as a user's callback does."""

    def on_batch_end(self, net, batch=None, training=None, **kwargs):
        pass
