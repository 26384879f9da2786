"""Class means and temperature, found after training by one pass over the data."""

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from torch.utils.data import Subset

from sk_center._training.state import deterministic_algorithms
from sk_center._utils.devices import device_of
from sk_center._utils.processes import from_rank_0, joint_sum, own_rows
from sk_center.centers.class_means import add_class_sums, means_of_sums
from sk_center.centers.distances import distances

# Number of samples, spread over the data, to which the temperature is fitted.
TEMPERATURE_SAMPLES = 5_000


def centers_and_temperature(net, dataset, y, weight, streams, tau):
    """Return the centers and the temperature of a trained net.

    The centers are the class means; of a stream, the moving averages. ``tau`` is the
    temperature where there is no sample of a known class.
    """
    center = net.module_.center
    known = np.flatnonzero(y < center.center_num)  # the others are negative samples
    y, weight = y[known], None if weight is None else weight[known]
    rows = spread_rows(len(y), center.center_num)
    seen = np.ones(center.center_num, dtype=bool)
    if streams:
        centers, seen = center.predict().cpu().numpy(), center.known.cpu().numpy()
        kept = features_of(net, Subset(dataset, known[rows]))
    else:
        centers, kept = class_means(net, dataset, y, weight, known, rows)
        if center.update != "fixed":
            center.center.copy_(torch.from_numpy(centers))
            # Centers that no batch has moved count as given, so that a stream can continue.
            center.informed |= not (net.lambda_center or net.track_centers)
    if net.metric == "cosine":
        norms = np.linalg.norm(centers, axis=1, keepdims=True)
        centers /= np.where(norms > 0, norms, 1)
    centers[~seen] = np.inf  # no sample so far: infinitely far from everything
    with torch.no_grad():
        logits = net.module_.logits(kept.to(net.device)).cpu().float()
    logits = without_background(logits, len(centers)).numpy()[:, seen].astype(float)
    away = distances(kept, torch.from_numpy(centers[seen])).numpy()
    finite = all(np.isfinite(part).all() for part in (centers[seen], away, logits))
    # Features whose squares overflow have moved no center: their class is not seen yet.
    if not (finite and seen[y].all()):
        raise ValueError(
            "The features of the trained network are not finite, or so large that the "
            "squares of distances are not. Scale the inputs (StandardScaler helps) or "
            f"lower lr={net.lr}."
        )
    if len(y):
        weight = None if weight is None else weight[rows]
        p = softmax(logits, axis=1)
        tau = from_rank_0(lambda: match_temperature(away, p, weight))
    return centers, tau


def spread_rows(n_samples, n_classes):
    """Return the samples to which the temperature is fitted, ascending."""
    n_rows = min(n_samples, TEMPERATURE_SAMPLES, max(2**22 // n_classes, 100))
    return np.linspace(0, n_samples - 1, n_rows).astype(int)


def features_of(net, dataset):
    """Return the features of a dataset, which may be empty."""
    parts = [features for _, features in net.forward_iter(dataset, with_logits=False)]
    if not parts:
        return torch.empty(0, net.module_.center.feature_dim)
    return torch.cat(parts)


def class_means(net, dataset, y, weight, known, rows):
    """Return the mean features of each class and the features of some samples.

    Where several processes train, each passes over a part of the data.
    """
    center = net.module_.center
    own = own_rows(len(y))
    if len(known[own]) < len(dataset):
        dataset = Subset(dataset, known[own])
    # Allocated at once: small pieces between the batches would fragment memory.
    kept = torch.zeros(len(rows), center.feature_dim, dtype=center.center.dtype)
    first, last = np.searchsorted(rows, [own.start, own.stop])
    outputs = net.forward_iter(dataset, device=device_of(net), with_logits=False)
    features = keep_rows(outputs, rows[first:last] - own.start, kept[first:last])
    sums = np.zeros((center.center_num, center.feature_dim))
    with deterministic_algorithms(net.deterministic):
        add_class_sums(sums, features, y[own], None if weight is None else weight[own])
    sums = joint_sum(torch.from_numpy(sums), net.device).numpy()
    return means_of_sums(sums, y, weight), joint_sum(kept, net.device)


def keep_rows(outputs, rows, kept):
    """Yield the features of each batch, and store those of some rows in ``kept``."""
    start = 0
    for _, features in outputs:
        first, last = np.searchsorted(rows, [start, start + len(features)])
        kept[first:last] = features[rows[first:last] - start]
        start += len(features)
        yield features


def without_background(logits, n_classes):
    """Return the logits of the classes, minus that of the background where it has one."""
    if logits.shape[1] == n_classes:
        return logits
    return logits[:, :n_classes] - logits[:, n_classes:]


def match_temperature(distances, probabilities, sample_weight=None):
    """Return the temperature tau at which distances match given probabilities.

    It is that of least cross entropy from ``probabilities`` to
    ``softmax(-distances / tau)``, within five decades around the mean distance.
    """
    distances = distances.astype(np.float64)
    scale = distances.mean()
    if not scale > 0:
        return 1.0
    distances = distances - distances.min(axis=1, keepdims=True)  # no exp can overflow
    expected = np.average((probabilities * distances).sum(axis=1), weights=sample_weight)

    def cross_entropy(log_beta):
        beta = np.exp(log_beta) / scale
        log_norm = np.log(np.exp(-beta * distances).sum(axis=1))
        return beta * expected + np.average(log_norm, weights=sample_weight)

    decades = 5 * np.log(10)
    found = minimize_scalar(cross_entropy, bounds=(-decades, decades), method="bounded")
    return float(scale / np.exp(found.x))
