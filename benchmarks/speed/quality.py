"""Time to quality: seconds of a whole training, and the accuracy that it reaches."""

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.data import load
from benchmarks.speed.models import Headed, handwritten_fit, skorch_fit, table
from benchmarks.speed.timing import Row, seconds, unit
from sk_center import CenterLossClassifier
from sk_center.networks import MLP, ConvNet

# A training at a constant rate.
CONSTANT = {
    "lr_schedule": None,
    "lr": 0.001,
    "batch_size": 64,
    "lambda_orientation": 0,
}


def quality(size):
    """Yield comparisons of the default with trainings that reach a similar accuracy.

    All run to the end: a rate that falls to zero shows its accuracy there alone. The
    hand-written loop and skorch have the network of the default, at a constant rate.
    """
    for name, X, y, max_epochs in problems(size):
        parts = train_test_split(X, y, test_size=0.3, stratify=y, random_state=0)
        default = {"random_state": 0, "device": "cpu"}
        if X.ndim > 2:
            default["max_epochs"] = max(max_epochs // 2, 1)
        CenterLossClassifier(**default).fit(X[:200], y[:200])  # imports modules
        ours = measured(CenterLossClassifier(**default).fit, parts)
        for against, target, fit in rivals(X, y, max_epochs, default):
            theirs = measured(fit, parts)
            yield Row(
                f"fit, {name}, to the end",
                against,
                f"{unit(ours[0])}, {ours[1]:.1%}",
                f"{unit(theirs[0])}, {theirs[1]:.1%}",
                ours[0] / theirs[0],
                target=target,
            )


def problems(size):
    """Yield names, samples, class indices and epochs at a constant rate."""
    names = ("digits", "letter", "mnist") if size.mnist else ("digits",)
    for name in names:
        X, y, _ = load(name, size.data_dir)
        X, y = X[: size.n_quality], np.unique(y[: size.n_quality], return_inverse=True)[1]
        epochs = size.image_epochs if X.ndim > 2 else 10 * size.epochs
        yield f"{name}, {len(X)} samples", X.astype(np.float32), y, epochs
    X, y = table(size.n_quality, spread=2)
    yield f"{len(X)} x {X.shape[1]}", X, y, 10 * size.epochs


def rivals(X, y, max_epochs, default):
    """Yield names, targets and functions that fit a classifier to samples."""
    constant = CenterLossClassifier(**{**default, **CONSTANT, "max_epochs": max_epochs})
    yield f"constant rate, {max_epochs} epochs", 0.4, constant.fit
    if X.ndim == 2:
        yield "MLPClassifier", 0.7, make_pipeline(StandardScaler(), MLPClassifier()).fit

    def model():
        body = MLP(X.shape[1]) if X.ndim == 2 else ConvNet(X.shape[1:])
        return Headed(body, 128, y.max() + 1)

    yield (
        f"hand-written loop, {max_epochs} epochs",
        None,
        lambda X, y: Fitted(handwritten_fit(X, y, max_epochs, 64, 0.1, model())),
    )
    yield (
        f"skorch, {max_epochs} epochs",
        None,
        lambda X, y: skorch_fit(X, y, max_epochs, 64, model=model()),
    )


class Fitted:
    """A network with a method ``predict``."""

    def __init__(self, model):
        self.model = model

    def predict(self, X):
        """Return the classes of samples."""
        with torch.no_grad():
            parts = torch.from_numpy(X).split(1000)
            return np.concatenate([self.model(part).argmax(dim=1) for part in parts])


def measured(fit, parts):
    """Return the seconds of a fit, and the accuracy on the test samples."""
    X_train, X_test, y_train, y_test = parts
    found = []
    time = seconds(lambda: found.append(fit(X_train, y_train)))
    return time, np.mean(found[0].predict(X_test) == y_test)
