"""How cost grows with the data, and where the time of a training step goes."""

import time

import numpy as np
import torch

from benchmarks.speed.models import N_FEATURES, ours_fit, table
from benchmarks.speed.timing import seconds, unit
from sk_center import Center
from sk_center.centers.distances import nearest
from sk_center.losses import center_loss


def growth(size):
    """Yield times while one size grows tenfold: rows of the second table."""
    largest = size.most_classes

    def timed(function):
        function()
        return unit(np.median([seconds(function) for _ in range(size.repeats)]))

    def row(what, values, function):
        cells = [f"{value}: {timed(function(value))}" for value in values]
        return [what, ", ".join(cells)]

    def fit(n):
        X, y = table(n)
        return lambda: ours_fit(X, y, 1, 128, 0.1)

    def step(n_classes, feature_dim):
        center = Center(feature_dim, n_classes, center=torch.zeros)
        features = torch.randn(512, feature_dim, requires_grad=True)
        labels = torch.randint(n_classes, (512,))
        return lambda: [center_loss(features, labels, center).backward() for _ in range(20)]

    def predict(n_classes):
        features = torch.randn(1_000, N_FEATURES)
        centers = torch.randn(n_classes, N_FEATURES)
        return lambda: nearest(features, centers)

    n = size.n_samples
    yield row("an epoch, by n", (n // 10, n, 10 * n), fit)
    yield row(
        "20 steps of 512 x D, 1,000 classes, by D",
        (64, 512, 4096),
        lambda d: step(1_000, d),
    )
    yield row(
        "20 steps of 512 x 512, by classes C",
        (1_000, largest // 10, largest),
        lambda c: step(c, 512),
    )
    yield row(
        "nearest of K centers, 1,000 samples, D = 64, by K", (10, 1_000, 100_000), predict
    )


def profile(size):
    """Yield where the time of a training step goes: rows of the third table."""
    X, y = table(size.n_samples)
    for weight in (0, 0.1):
        classifier = ours_fit(X, y, 1, 128, weight)
        net, spent = classifier.net_, {}
        net.ensure_optimizer()

        def clock(owner, name, spent=spent):
            function = getattr(owner, name)

            def run(*args, **kwargs):
                start = time.perf_counter()
                try:
                    return function(*args, **kwargs)
                finally:
                    spent[name] = spent.get(name, 0) + time.perf_counter() - start

            vars(owner)[name] = run

        center = net.module_.center
        for owner, name in (
            (net, "train_step"),
            (net, "train_step_single"),
            (net, "infer"),
            (net, "get_loss"),
            (net, "_zero_grad_optimizer"),
            (net, "_step_optimizer"),
            (center, "pull"),
        ):
            clock(owner, name)
        start = time.perf_counter()
        net.partial_fit(X, y, epochs=size.epochs)
        total = time.perf_counter() - start
        n_steps = size.epochs * -(-len(X) // 128)
        pull = spent.get("pull", 0)
        optimizer = spent["_zero_grad_optimizer"] + spent["_step_optimizer"]
        inside = spent["infer"] + spent["get_loss"]
        parts = {
            "batches and epoch": total - spent["train_step"],
            "network": spent["infer"],
            "cross entropy and node of center loss": spent["get_loss"] - pull,
            "centers: deviations and update": pull,
            "backward": spent["train_step_single"] - inside,
            "optimizer": optimizer,
            "skorch's step": spent["train_step"] - spent["train_step_single"] - optimizer,
        }
        for part, value in parts.items():
            yield [f"lambda {weight}", part, unit(value / n_steps), f"{value / total:.0%}"]
