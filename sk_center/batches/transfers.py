"""How samples come to a device: all at once, or block by block ahead of their use."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sk_center.batches.datasets import ArrayDataset

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sk_center._utils.torch_types import Batch

# Numbers that are gathered at once when batches are shuffled: megabytes, whatever n is.
GATHERED_NUMBERS = 2**20


def is_plain(source: Any) -> bool:
    """Whether samples lie in one array, and no subclass has a say."""
    return type(source) is ArrayDataset and not isinstance(source.X, dict)


def rows_at_once(source: Any) -> int:
    """Return how many samples of an :class:`ArrayDataset` are gathered at once."""
    if not is_plain(source):
        return 1  # a subclass may treat each batch in a way of its own
    return max(GATHERED_NUMBERS // max(math.prod(source.X.shape[1:]), 1), 1)


def moved(
    source: ArrayDataset, rows: Tensor | None, device: str | torch.device
) -> ArrayDataset:
    """Return samples as a dataset on a device.

    Parameters
    ----------
    source : ArrayDataset
        The samples. A ``np.memmap`` is read block by block.

    rows : tensor of shape (n_samples,) or None
        Those that are wanted; None for all.

    device : str or torch.device
        The device.

    Returns
    -------
    dataset : ArrayDataset
        A copy.
    """
    raw: Any = ArrayDataset(source.X, source.y, dtype=None)
    index = torch.arange(len(source)) if rows is None else rows
    first, _ = raw[:1]
    X = torch.empty((len(index), *first.shape[1:]), dtype=first.dtype, device=device)
    start = 0
    for part in index.split(rows_at_once(source)):
        X[start : start + len(part)] = raw[part][0]
        start += len(part)
    weight = source.sample_weight
    if weight is not None:
        X = {"X": X, "sample_weight": weight[index].to(device)}
    return ArrayDataset(X, source.y[index].to(device), dtype=source.dtype)


def sent_ahead(
    blocks: Iterable[tuple[Batch, Tensor]], device: str | torch.device
) -> Iterator[tuple[Batch, Tensor]]:
    """Yield blocks of samples on a GPU, each when the next is already on its way.

    Parameters
    ----------
    blocks : iterable of tuples
        Samples, or a dict of samples and weights, and labels.

    device : str or torch.device
        The GPU.

    Yields
    ------
    block : tuple
        The same form.
    """

    def send(part):
        if isinstance(part, Mapping):
            return {name: send(value) for name, value in part.items()}
        part = part.pin_memory() if part.is_cpu else part
        return part.to(device, non_blocking=True)

    before = None
    for X, y in blocks:
        block = send(X), send(y)
        if before is not None:
            yield before
        before = block
    if before is not None:
        yield before
