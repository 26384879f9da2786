"""Means of features by class, summed up batch by batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array

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
    """Add the features of each class to its sum, in one pass over batches."""
    weights = np.ones(len(labels)) if sample_weight is None else sample_weight
    start = 0
    for features in batches:
        part = slice(start, start + len(features))
        present, position = np.unique(labels[part], return_inverse=True)
        # A sparse indicator matrix sums each class without a loop over classes.
        indicator = csr_array(
            (weights[part], (position, np.arange(len(features)))),
            shape=(len(present), len(features)),
        )
        sums[present] += indicator @ features.detach().cpu().double().numpy()
        start = part.stop


def means_of_sums(
    sums: NDArray[np.float64],
    labels: NDArray[Any],
    sample_weight: NDArray[Any] | None = None,
) -> NDArray[np.float32]:
    """Return the means that belong to sums, which are divided in place; zero if absent."""
    totals = np.bincount(labels, weights=sample_weight, minlength=len(sums))
    sums /= np.where(totals > 0, totals, 1)[:, None]
    return sums.astype(np.float32)
