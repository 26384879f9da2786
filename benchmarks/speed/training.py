"""Training and prediction of networks against hand-written code and skorch."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from skorch import NeuralNetClassifier
from torch import nn

from benchmarks.data import load
from benchmarks.speed.models import (
    N_CLASSES,
    N_FEATURES,
    N_INPUTS,
    Headed,
    handwritten_fit,
    ours_fit,
    skorch_fit,
    table,
)
from benchmarks.speed.timing import Row, compare, unit
from sk_center import Center, CenterLossClassifier
from sk_center.losses import center_loss
from sk_center.networks import ConvNet


def fits(size):
    """Yield comparisons of training on a table."""
    X, y = table(size.n_samples)
    epochs, repeats = size.epochs, size.repeats
    name = f"fit, {len(X)} x {N_INPUTS}, {epochs} epochs, batch "

    def ours(batch, weight):
        return lambda: ours_fit(X, y, epochs, batch, weight)

    for batch in (128, 256):
        yield compare(
            f"{name}{batch}, lambda 0.1",
            "hand-written loop with center loss",
            1.05,
            ours(batch, 0.1),
            lambda batch=batch: handwritten_fit(X, y, epochs, batch, 0.1),
            repeats,
        )
        yield compare(
            f"{name}{batch}, lambda 0",
            "MLPClassifier",
            1.1,
            ours(batch, 0),
            lambda batch=batch: MLPClassifier(
                (N_FEATURES,),
                batch_size=batch,
                max_iter=epochs,
                tol=0,
                n_iter_no_change=epochs,
            ).fit(X, y),
            repeats,
        )
        yield compare(
            f"{name}{batch}, lambda 0",
            "skorch as it comes",
            0.35,
            ours(batch, 0),
            lambda batch=batch: skorch_fit(X, y, epochs, batch),
            repeats,
        )
    for batch in (128, 256, 512):
        what = f"{name}{batch}, lambda 0.1"
        pair = ours(batch, 0.1), ours(batch, 0)
        yield compare(what, "the same with lambda 0", 1.15, *pair, repeats)


def compiled_steps(size):
    """Yield comparisons of an epoch with ``compile=True``, after those that compile."""
    X, y = table(size.n_samples)
    epochs = 2 * size.repeats + 1
    for batch in (128, 512):
        durations = {}
        for key, weight, compiled in (
            ("eager", 0.1, False),
            ("compiled", 0.1, True),
            ("lambda 0", 0, True),
        ):
            params = {"compile": True, "compile__backend": size.backend} if compiled else {}
            found = ours_fit(X, y, epochs, batch, weight, **params)
            durations[key] = np.array(found.history_[1:, "dur"])
        name = f"epoch, {len(X)} x {N_INPUTS}, batch {batch}, lambda 0.1, compiled"
        for against, other in (("eager", "eager"), ("lambda 0, compiled", "lambda 0")):
            sides = [np.median(durations[side]) for side in ("compiled", other)]
            yield Row(name, against, *map(unit, sides), sides[0] / sides[1])


def predictions(size):
    """Yield comparisons of predicting."""
    X, y = table(size.n_samples)
    model = handwritten_fit(X, y, 1, 256, 0)
    classifier, net = ours_fit(X, y, 1, 256, 0.1), skorch_fit(X, y, 1, 256)

    def loop(X):
        with torch.no_grad():
            return model(torch.from_numpy(X).float()).argmax(dim=1).numpy()

    for dtype in (np.float32, np.float64):
        given = X.astype(dtype)
        yield compare(
            f"predict, {len(X)} x {N_INPUTS}, {given.dtype}",
            "hand-written, in one chunk",
            1.2,
            lambda given=given: classifier.predict(given),
            lambda given=given: loop(given),
            5 * size.repeats,
        )
    one = X[:1]
    yield compare(
        "predict one row, 200 times",
        "skorch",
        0.5,
        lambda: [classifier.predict(one) for _ in range(200)],
        lambda: [net.predict(one) for _ in range(200)],
        5 * size.repeats,
    )


def large_label_sets(size):
    """Yield comparisons of one step at many classes with the rows it has to move."""
    n_samples = feature_dim = 512
    for n_classes in (1_000, 100_000, size.most_classes):
        center = Center(feature_dim, n_classes, center=torch.zeros)
        rows = torch.zeros(n_classes, feature_dim)
        features = torch.randn(n_samples, feature_dim, requires_grad=True)
        labels = torch.randint(n_classes, (n_samples,))

        def loss(features, labels, center=center):
            return center_loss(features, labels, center)

        def step(loss=loss, features=features, labels=labels):
            features.grad = None
            loss(features, labels).backward()

        def floor(rows=rows, features=features, labels=labels):
            with torch.no_grad():
                gathered = rows.index_select(0, labels)
                rows.index_add_(0, labels, gathered - features)

        yield compare(
            f"loss, gradient and update, {n_classes} classes",
            "gather and scatter of the same rows",
            2.0,
            lambda step=step: [step() for _ in range(20)],
            lambda floor=floor: [floor() for _ in range(20)],
            5 * size.repeats,
        )
    compiled = torch.compile(loss, backend=size.backend)
    yield compare(
        f"the same, {n_classes} classes, compiled",
        "gather and scatter of the same rows",
        None,
        lambda: [step(compiled) for _ in range(20)],
        lambda: [floor() for _ in range(20)],
        5 * size.repeats,
    )


def images(size):
    """Yield the comparison of training a ConvNet on MNIST."""
    if size.mnist:
        X, y, _ = load("mnist", size.data_dir)
        X, y = X[: size.n_images], y[: size.n_images].astype(np.int64)
    else:
        X = np.zeros((size.n_images, 1, 28, 28), dtype=np.float32)
        y = np.arange(size.n_images) % N_CLASSES
    epochs = size.image_epochs

    def network():
        return ConvNet((1, 28, 28))

    yield compare(
        f"fit, ConvNet, {len(X)} images of MNIST, {epochs} epochs, batch 128",
        "hand-written loop with center loss",
        1.03,
        lambda: ours_fit(X, y, epochs, 128, 0.1, module=network()),
        lambda: handwritten_fit(X, y, epochs, 128, 0.1, Headed(network(), 128)),
        size.repeats,
    )


class Digits(nn.Module):
    """A network for digits that a search may size."""

    def __init__(self, hidden=64):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, N_CLASSES)
        )

    def forward(self, X):
        """Return the logits."""
        return self.layers(X)


def searches(size):
    """Yield the comparison of a grid search on digits."""
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    lrs = [1e-3, 2e-3, 5e-3]
    epochs = size.search_epochs

    def ours():
        grid = {"lr": lrs, "lambda_center": [0, 0.01, 0.1, 1]}
        classifier = CenterLossClassifier(
            hidden_layer_sizes=(64,), max_epochs=epochs, batch_size=64, random_state=0
        )
        return GridSearchCV(classifier, grid, cv=3, n_jobs=2).fit(X, y)

    def theirs():
        grid = {"lr": lrs, "optimizer__weight_decay": [0, 1e-4, 1e-3, 1e-2]}
        net = NeuralNetClassifier(
            Digits,
            criterion=nn.CrossEntropyLoss,
            optimizer=torch.optim.Adam,
            max_epochs=epochs,
            batch_size=64,
            train_split=None,
            iterator_train__shuffle=True,
            verbose=0,
        )
        return GridSearchCV(net, grid, cv=3, n_jobs=2).fit(X, y)

    yield compare(
        "GridSearchCV, 12 candidates x 3 folds of digits, n_jobs=2",
        "skorch",
        0.5,
        ours,
        theirs,
        max(size.repeats // 3, 1),
    )
