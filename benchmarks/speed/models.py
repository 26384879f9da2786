"""The networks and the trainings that are compared."""

import numpy as np
import torch
from skorch import NeuralNetClassifier
from torch import nn

from sk_center import CenterLossClassifier

N_INPUTS, N_FEATURES, N_CLASSES = 64, 64, 10


def table(n_samples, seed=0, spread=1):
    """Return samples of ten clouds in 64 dimensions, float32, and their labels."""
    rng = np.random.default_rng(seed)
    y = rng.integers(N_CLASSES, size=n_samples)
    middles = 2 * rng.normal(size=(N_CLASSES, N_INPUTS))
    X = middles[y] + spread * rng.normal(size=(n_samples, N_INPUTS))
    return X.astype(np.float32), y


def hidden_layer():
    """Return the network of the comparisons: one hidden layer, rectified."""
    return nn.Sequential(nn.Linear(N_INPUTS, N_FEATURES), nn.ReLU())


class Headed(nn.Module):
    """Any body with a dense layer on its features, as one would write it."""

    def __init__(self, body=None, feature_dim=N_FEATURES, n_classes=N_CLASSES):
        super().__init__()
        self.body = hidden_layer() if body is None else body
        self.head = nn.Linear(feature_dim, n_classes)

    def forward(self, X):
        """Return the logits."""
        return self.head(self.body(X))


def handwritten_fit(X, y, max_epochs, batch_size, lambda_center, model=None, device="cpu"):
    """Train by a hand-written loop, with center loss and moving averages."""
    torch.manual_seed(0)
    model = (Headed() if model is None else model).to(device)
    optimizer = torch.optim.Adam(model.parameters())
    X, y = torch.from_numpy(X).to(device), torch.from_numpy(y).to(device)
    n_classes = model.head.out_features
    centers = torch.zeros(n_classes, model.head.in_features, device=device)
    for _ in range(max_epochs):
        order = torch.randperm(len(X), device=device)
        for start in range(0, len(X), batch_size):
            rows = order[start : start + batch_size]
            inputs, labels = X[rows].float(), y[rows]
            features = model.body(inputs)
            loss = nn.functional.cross_entropy(model.head(features), labels)
            if lambda_center:
                apart = features - centers[labels]
                loss = loss + lambda_center * 0.5 * apart.square().sum(dim=1).mean()
                with torch.no_grad():
                    counts = torch.bincount(labels, minlength=n_classes)[:, None]
                    moves = torch.zeros_like(centers).index_add_(0, labels, apart.detach())
                    centers += 0.1 * moves / counts.clamp(min=1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


def ours_fit(X, y, max_epochs, batch_size, lambda_center, **params):
    """Train with this package."""
    classifier = CenterLossClassifier(
        params.pop("module", hidden_layer()),
        max_epochs=max_epochs,
        batch_size=batch_size,
        lambda_center=lambda_center,
        random_state=0,
        **{"device": "cpu", **params},
    )
    return classifier.fit(X, y)


def skorch_fit(X, y, max_epochs, batch_size, device="cpu", model=Headed):
    """Train with the defaults of skorch, without its validation split."""
    net = NeuralNetClassifier(
        model,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=1e-3,
        max_epochs=max_epochs,
        batch_size=batch_size,
        train_split=None,
        iterator_train__shuffle=True,
        verbose=0,
        device=device,
    )
    return net.fit(X, y)
