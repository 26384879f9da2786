"""Transfer of samples to a device: all at once, or block by block ahead of their use."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sk_center._utils.devices import OVERLAPPING, free_memory
from sk_center._utils.torch_compat import tree_leaves, tree_map
from sk_center.batches.datasets import ArrayDataset, with_weight

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sk_center._utils.torch_types import Batch

# Numbers that are gathered at once when batches are shuffled: some megabytes.
GATHERED_NUMBERS = 2**20


def is_plain(source: Any) -> bool:
    """Whether samples lie in arrays, of this class and not of a subclass."""
    return type(source) is ArrayDataset


def inputs_of(source: Any) -> list[Any]:
    """Return the arrays of an :class:`ArrayDataset`, one or several."""
    return [*source.X.values()] if isinstance(source.X, dict) else [source.X]


def rows_at_once(source: Any) -> int:
    """Return how many samples of an :class:`ArrayDataset` are gathered at once."""
    if not is_plain(source):
        return 1  # a subclass may process each batch
    size = sum(math.prod(X.shape[1:]) for X in inputs_of(source))
    return max(GATHERED_NUMBERS // max(size, 1), 1)


def fits(source: ArrayDataset, n_samples: int, device: torch.device) -> bool:
    """Return whether samples take at most half of the free memory of a device."""
    size = n_samples * sum(X[:1].nbytes for X in inputs_of(source))
    return size <= free_memory(device) / 2


def moved(source: ArrayDataset, rows: Tensor | None, device: torch.device) -> ArrayDataset:
    """Return samples, or some rows of them, as a dataset on a device.

    A ``np.memmap`` is read block by block.
    """
    inputs = inputs_of(source)
    if rows is None and all(isinstance(X, Tensor) and X.device == device for X in inputs):
        return dataset_on(source.X, source, slice(None), device)
    raw: Any = ArrayDataset(source.X, source.y, dtype=None)
    index = torch.arange(len(source)) if rows is None else rows
    first, _ = raw[:1]

    def narrow(part):
        # Larger dtypes are converted first: MPS has no float64 either.
        single = source.dtype in ("auto", torch.float32)
        return part.float() if single and part.dtype == torch.float64 else part

    def room(part):
        dtype = narrow(part).dtype
        return torch.empty((len(index), *part.shape[1:]), dtype=dtype, device=device)

    X = tree_map(room, first)
    start = 0
    for block in index.split(rows_at_once(source)):
        target = slice(start, start + len(block))
        for whole, part in zip(tree_leaves(X), tree_leaves(raw[block][0])):
            whole[target] = narrow(part)
        start = target.stop
    return dataset_on(X, source, index, device)


def dataset_on(X: Any, source: ArrayDataset, rows: Any, device: torch.device) -> Any:
    """Return samples that are on a device with their labels and weights."""
    weight = source.sample_weight
    if weight is not None:
        X = with_weight(X, weight[rows].to(device))
    return ArrayDataset(X, source.y[rows].to(device), dtype=source.dtype)


def sent_ahead(
    blocks: Iterable[tuple[Batch, Tensor]], device: torch.device
) -> Iterator[tuple[Batch, Tensor]]:
    """Yield blocks of samples on a device, each while the next one is transferred.

    A GPU copies them, from pinned memory, on a stream of its own, while it computes.
    """
    overlaps = device.type in OVERLAPPING
    stream = torch.Stream(device) if overlaps else None

    def send(part):
        if overlaps and part.is_cpu:
            part = part.pin_memory()
        return part.to(device, non_blocking=overlaps)

    def arrived(block, event):
        if event is not None:
            current = torch.accelerator.current_stream(device)
            current.wait_event(event)
            for part in tree_leaves(block):  # not to be reused before it is read
                part.record_stream(current)
        return block

    before = None
    for block in blocks:
        with nullcontext() if stream is None else stream:
            sent = tree_map(send, block)
        event = None if stream is None else stream.record_event()
        if before is not None:
            yield arrived(*before)
        before = sent, event
    if before is not None:
        yield arrived(*before)
