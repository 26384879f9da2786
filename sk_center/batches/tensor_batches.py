"""Batches by slicing tensors, instead of one ``__getitem__`` per sample."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from sk_center._utils.devices import CPU, OVERLAPPING
from sk_center._utils.processes import part_sizes
from sk_center.batches.datasets import ArrayDataset
from sk_center.batches.transfers import fits, is_plain, moved, rows_at_once, sent_ahead

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sk_center._utils.torch_types import Batch


class TensorBatches:
    """Iterate over batches as a ``DataLoader`` does, by slicing if possible.

    An :class:`ArrayDataset`, or a ``torch.utils.data.Subset`` of one, is sliced; any
    other dataset goes through a ``DataLoader``.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        The samples.

    batch_size : int
        Number of samples of a batch, at least 1. A last batch of a single sample joins the
        batch before it, because batch normalization cannot train on one.

    shuffle : bool, default=False
        Whether to draw a new order for each pass, from torch's global random generator.

    device : str or torch.device, default=None
        Device of the batches; None leaves them on that of the samples.

    resident : bool or "auto", default="auto"
        Whether all samples of an :class:`ArrayDataset` are moved to the device by the first
        pass, and stay there for the others, in the dtype they have at rest. ``"auto"``
        moves them, to another device than the CPU, if they take at most half of its free
        memory. Blocks that are not moved at once are each sent while the one before it is
        used, by CUDA and XPU from pinned memory and beside the computation.

    **loader : dict
        Further arguments of ``torch.utils.data.DataLoader``, such as ``num_workers``, but
        none that chooses the samples of a batch. Given any, the ``DataLoader`` is used
        for every dataset.

    Raises
    ------
    ValueError
        If ``resident`` has another value, or ``loader`` chooses samples. Other errors in it
        or in ``batch_size`` are raised by the first pass.

    See Also
    --------
    sk_center.CenterLossNet : Takes these parameters as ``iterator_train__resident`` and so
        on.

    Examples
    --------
    A last batch of one sample joins the one before it:

    >>> import numpy as np
    >>> from sk_center.batches import ArrayDataset, TensorBatches
    >>> batches = TensorBatches(ArrayDataset(np.zeros((9, 2))), batch_size=4)
    >>> [tuple(X.shape) for X, y in batches]
    [(4, 2), (5, 2)]
    """

    # Arguments of DataLoader that choose samples, as this class does itself.
    EXCLUDED = ("batch_sampler", "drop_last", "sampler")
    # The rank among processes that train together, and their number: each yields a
    # part of every batch.
    part = (0, 1)

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        shuffle: bool = False,
        device: str | torch.device | None = None,
        resident: bool | Literal["auto"] = "auto",
        **loader: Any,
    ) -> None:
        if not (isinstance(resident, bool) or resident == "auto"):
            raise ValueError(f"resident must be True, False or 'auto'; got {resident!r}.")
        for name in self.EXCLUDED:
            if name in loader:
                raise ValueError(
                    f"{name} does not go with TensorBatches, which chooses the samples of "
                    "a batch itself; torch.utils.data.DataLoader in its place takes it."
                )
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.device = device
        self.resident = resident
        self.loader = loader
        self._on_device: ArrayDataset | None = None

    def __len__(self) -> int:
        return len(self._starts())

    def sizes(self) -> list[int]:
        """Return the number of samples of each batch, all its parts together.

        Returns
        -------
        sizes : list of int
            The sizes.
        """
        return np.diff([*self._starts(), len(self.dataset)]).tolist()

    def __iter__(self) -> Iterator[tuple[Batch, Tensor]]:
        bounds, elsewhere = self._bounds(), self._elsewhere()
        source, rows = source_of(self.dataset)
        if self.loader or not isinstance(source, ArrayDataset):
            order = self._order()
            batches = [order[i:j].tolist() for i, j in bounds]
            pins = elsewhere is not None and elsewhere.type in OVERLAPPING
            loader = {"pin_memory": pins, **self.loader}
            yield from DataLoader(self.dataset, batch_sampler=batches, **loader)
            return
        if self._on_device is None and self._stays(source):
            self._on_device = moved(source, rows, elsewhere or CPU)
        if self._on_device is not None:
            source, rows, elsewhere = self._on_device, None, None
        if rows is None and not self.shuffle and elsewhere is None:
            for i, j in bounds:  # a slice, which needs no order
                yield source[i:j]
            return
        order = self._order()
        if self.part[1] > 1:
            order = torch.cat([order[i:j] for i, j in bounds])
        if rows is not None:
            order = rows[order]
        order = order.to(source.y.device)
        # Many small batches are gathered together and then cut, which is faster in Python.
        n_together = max(rows_at_once(source) // self.batch_size, 1)
        edges = [0, *accumulate(j - i for i, j in bounds)]
        spans = [edges[i : i + n_together + 1] for i in range(0, len(bounds), n_together)]
        blocks = (source[order[span[0] : span[-1]]] for span in spans)
        if elsewhere is not None:
            blocks = sent_ahead(blocks, elsewhere)
        for span, block in zip(spans, blocks):
            yield from cut(block, np.diff(span).tolist())

    def _bounds(self):
        """First and last sample of each batch, or of this process's part of it."""
        starts = self._starts()
        bounds = list(zip(starts, [*starts[1:], len(self.dataset)]))
        rank, n_parts = self.part
        return (
            bounds if n_parts == 1 else [own_part(*pair, rank, n_parts) for pair in bounds]
        )

    def _order(self):
        n_samples = len(self.dataset)
        return torch.randperm(n_samples) if self.shuffle else torch.arange(n_samples)

    def _elsewhere(self):
        """Return the device of the batches, or None if that is the CPU."""
        device = torch.device(self.device or CPU)
        return None if device.type == "cpu" else device

    def _stays(self, source):
        """Whether all samples stay on the device."""
        if not is_plain(source):
            return False  # a subclass may process each batch
        if self.resident != "auto":
            return self.resident
        device = self._elsewhere()
        return device is not None and fits(source, len(self.dataset), device)

    def _starts(self):
        starts = list(range(0, len(self.dataset), self.batch_size))
        if len(starts) > 1 and len(self.dataset) - starts[-1] == 1:
            starts.pop()
        return starts


def own_part(start: int, stop: int, rank: int, n_parts: int) -> tuple[int, int]:
    """Return where the part of a batch begins and ends that one of several processes runs.

    If the part is empty, the process runs the first two samples without counting them: the
    other processes wait for its result.
    """
    sizes = part_sizes(stop - start, n_parts)
    if not sizes[rank]:
        return start, min(start + 2, stop)
    first = start + sum(sizes[:rank])
    return first, first + sizes[rank]


def source_of(dataset: Any) -> tuple[Any, Tensor | None]:
    """Return the source of a Subset and its rows, or the dataset itself and None."""
    if isinstance(dataset, Subset):
        return dataset.dataset, torch.as_tensor(dataset.indices)
    return dataset, None


def cut(batch: tuple[Batch, Tensor], sizes: list[int]) -> Iterator[tuple[Batch, Tensor]]:
    """Return the batches of given sizes that follow each other in a larger one."""
    X, y = batch
    if isinstance(X, Mapping):
        parts = zip(*(value.split(sizes) for value in X.values()))
        return zip((dict(zip(X, part)) for part in parts), y.split(sizes))
    return zip(X.split(sizes), y.split(sizes))
