"""Means of features by class, summed up batch by batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.sparse import csr_array

from sk_center._utils.devices import has_float64

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray
    from torch import Tensor


def add_class_sums(
    sums: NDArray[np.float64],
    batches: Iterable[Tensor],
    labels: NDArray[Any],
    sample_weight: NDArray[Any] | None = None,
) -> None:
    """Add the features of each class to its sum, in one pass over the batches.

    If they are on a device with float64, the sums are computed there.
    """
    weights = np.ones(len(labels)) if sample_weight is None else sample_weight
    start, there = 0, None
    for features in batches:
        part = slice(start, start + len(features))
        if not features.is_cpu and has_float64(features.device):
            if there is None:
                there = SumsThere(sums.shape, labels, weights, features.device)
            there.add(features.detach(), part)
        else:
            # A sparse indicator matrix sums each class without a loop over classes.
            present, position = np.unique(labels[part], return_inverse=True)
            indicator = csr_array(
                (weights[part], (position, np.arange(len(features)))),
                shape=(len(present), len(features)),
            )
            sums[present] += indicator @ features.detach().cpu().double().numpy()
        start = part.stop
    if there is not None:
        sums += there.sums.cpu().numpy()


class SumsThere:
    """Sums over classes on a device, without transferring features."""

    def __init__(self, shape, labels, weights, device):
        self.sums = torch.zeros(shape, dtype=torch.float64, device=device)
        self.labels = torch.from_numpy(labels).to(device, torch.int64)
        self.weights = torch.from_numpy(weights).to(device, torch.float64)[:, None]

    def add(self, features, part):
        """Add a batch, the samples of ``part``."""
        self.sums.index_add_(0, self.labels[part], features * self.weights[part])


def means_of_sums(
    sums: NDArray[np.float64],
    labels: NDArray[Any],
    sample_weight: NDArray[Any] | None = None,
) -> NDArray[np.float32]:
    """Return means from sums, divided in place; zero for an absent class."""
    totals = np.bincount(labels, weights=sample_weight, minlength=len(sums))
    sums /= np.where(totals > 0, totals, 1)[:, None]
    return sums.astype(np.float32)
