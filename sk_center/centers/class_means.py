"""Means of features by class, summed up batch by batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sk_center._utils.devices import CPU, has_float64

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

    The sums are computed on the device of the features if that has float64, else on the
    CPU.
    """
    start, device = 0, CPU
    total, index = torch.from_numpy(sums), torch.from_numpy(labels).to(torch.int64)
    weights = None
    if sample_weight is not None:
        weights = torch.from_numpy(sample_weight).to(torch.float64)[:, None]
    for features in batches:
        if start == 0 and not features.is_cpu and has_float64(features.device):
            device = features.device
            total, index = total.to(device), index.to(device)
            weights = None if weights is None else weights.to(device)
        part = slice(start, start + len(features))
        rows = features.detach().to(device).double()
        rows = rows if weights is None else rows * weights[part]
        total.index_add_(0, index[part], rows)
        start = part.stop
    if not total.is_cpu:  # else it is the memory of the sums
        sums[:] = total.cpu().numpy()


def means_of_sums(
    sums: NDArray[np.float64],
    labels: NDArray[Any],
    sample_weight: NDArray[Any] | None = None,
) -> NDArray[np.float32]:
    """Return means from sums, divided in place; zero for an absent class."""
    totals = np.bincount(labels, weights=sample_weight, minlength=len(sums))
    sums /= np.where(totals > 0, totals, 1)[:, None]
    return sums.astype(np.float32)
