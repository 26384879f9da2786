"""Batches for a Center, and its rules in numpy."""

import numpy as np
import torch

RULES = ("ema", "sum", "wen", "cumulative", "fixed")
MOVING_RULES = RULES[:-1]

N_CLASSES, N_FEATURES = 7, 5

# float32 against float64: a few roundings of numbers of the size of one.
CLOSE = {"rtol": 1e-5, "atol": 2e-6}


def reference_step(
    centers, count, features, labels, update, alpha, *, given=False, weight=None, first=None
):
    """Move float64 ``centers`` and ``count`` in place by the rule of the design.

    ``first="mean"`` starts a class at its batch mean when it first appears.
    """
    features, labels = np.asarray(features, np.float64), np.asarray(labels)
    weight = np.ones(len(labels)) if weight is None else np.asarray(weight, np.float64)
    if update == "fixed":
        return
    for j in np.unique(labels):
        rows = (labels == j) & np.isfinite(features).all(axis=1)
        n = np.count_nonzero(rows)
        if n == 0:
            continue
        m = np.average(features[rows], axis=0, weights=weight[rows])
        appears = count[j] == 0 and not given
        count[j] += n if update == "cumulative" else 1
        if appears and first == "mean":
            centers[j] = m
        elif update == "ema":
            debias = 1.0 if given else 1 - alpha ** count[j]
            centers[j] += (1 - alpha) / debias * (m - centers[j])
        elif update == "sum":
            centers[j] += (1 - alpha) * n * (m - centers[j])
        elif update == "wen":
            centers[j] += (1 - alpha) * n / (1 + n) * (m - centers[j])
        elif update == "cumulative":
            centers[j] += n / count[j] * (m - centers[j])


def start_of_reference(module):
    """Return the centers of ``module`` in float64 and a zero count of each class."""
    return module.predict().double().numpy(), np.zeros(module.center_num, dtype=int)


def random_batches(seed, n_batches=6, n_samples=12):
    """Return batches in which classes repeat, one at least is absent, means differ."""
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(N_CLASSES, N_FEATURES))
    batches = []
    for i in range(n_batches):
        y = (i + rng.integers(1, N_CLASSES, size=n_samples)) % N_CLASSES
        X = (means[y] + rng.normal(size=(n_samples, N_FEATURES))).astype(np.float32)
        batches.append((torch.from_numpy(X), torch.from_numpy(y)))
    return batches


def one_batch(seed=0):
    """Return a batch with class 0 three times, 1 once, 4 twice, the others absent."""
    rng = np.random.default_rng(seed)
    X = torch.from_numpy(rng.normal(size=(6, N_FEATURES)).astype(np.float32))
    return X, torch.tensor([0, 4, 0, 1, 0, 4])


def given_centers(seed=5):
    """Return an array of centers that a caller could give."""
    return np.random.default_rng(seed).normal(size=(N_CLASSES, N_FEATURES))
