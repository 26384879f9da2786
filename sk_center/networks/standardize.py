"""A first layer that brings columns of any unit to one scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterable

# The least scale, as a share of the largest distance from the mean. A column that is almost
# constant, such as that of a rare word, would otherwise become the largest of all.
LEAST_SHARE = 0.4
# Rounding of a constant column, as a share of its mean.
ROUNDING = 1e-6


class Standardize(nn.Module):
    """Subtract the mean of each column, and divide by its scale.

    The scale is the standard deviation, or 0.4 of the largest distance from the mean if
    that is more. Both are learned before training, see :meth:`learn`; a constant column is
    only shifted.

    Parameters
    ----------
    in_features : int
        Number of columns.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(in_features))
        self.register_buffer("scale", torch.ones(in_features))

    def forward(self, X: Tensor) -> Tensor:
        return (X - self.mean) / self.scale

    def learn(self, blocks: Iterable[Any]) -> None:
        """Learn means and scales from the samples, which come in blocks of rows."""
        mean, scale = means_and_scales(blocks)
        with torch.no_grad():
            self.mean.copy_(torch.from_numpy(mean))
            self.scale.copy_(torch.from_numpy(scale))


def means_and_scales(blocks: Iterable[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the scale of each column, by one pass over blocks of rows."""
    n, mean, squares = 0, np.zeros(()), np.zeros(())
    least, most = np.full((), np.inf), np.full((), -np.inf)
    # Samples that are not finite are refused by training, which can name them.
    with np.errstate(invalid="ignore", over="ignore"):
        for block in blocks:
            rows = np.asarray(block, dtype=np.float64)
            n += len(rows)
            away = rows.mean(axis=0) - mean
            # Sums of squares around the mean of all rows so far (Chan et al. 1979).
            squares = squares + ((rows - rows.mean(axis=0)) ** 2).sum(axis=0)
            squares = squares + away**2 * len(rows) * (n - len(rows)) / n
            mean = mean + away * len(rows) / n
            least = np.minimum(least, rows.min(axis=0))
            most = np.maximum(most, rows.max(axis=0))
        farthest = np.maximum(most - mean, mean - least)
        scale = np.maximum(np.sqrt(squares / n), LEAST_SHARE * farthest)
        scale[farthest <= ROUNDING * np.abs(mean)] = 1
    return mean, scale
