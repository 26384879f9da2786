"""Batches by slicing tensors, instead of one ``__getitem__`` per sample."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import skorch.dataset
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from sk_center._utils.processes import part_sizes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import ArrayLike, NDArray

    from sk_center._utils.torch_types import Batch

__all__ = ["ArrayDataset", "TensorBatches"]

# Numbers that are gathered at once when batches are shuffled: megabytes, whatever n is.
GATHERED_NUMBERS = 2**20


class ArrayDataset(skorch.dataset.Dataset):
    """Samples that lie in one array, indexed by number, slice or array of numbers.

    Parameters
    ----------
    X : ndarray or tensor of shape (n_samples, ...) or dict
        The samples. A ``np.memmap`` stays on disk: only batches are read. A dict holds
        several inputs of a module by name, and in ``"sample_weight"`` weights. A dict of
        ``"X"`` alone, beside weights, is that array.

    y : array-like of shape (n_samples,), default=None
        Class index of each sample; zeros where None.

    dtype : torch.dtype or "auto", default="auto"
        What a batch of X is converted to, whatever its dtype at rest. ``"auto"`` is
        float32, but leaves int32 and int64, which an embedding takes; of several inputs it
        converts none but floating ones. None leaves all.

    Raises
    ------
    ValueError
        If X and y differ in length.

    TypeError
        If y is not of numbers.

    See Also
    --------
    TensorBatches : Slices it.
    sk_center.CenterLossNet : Wraps arrays in one.

    Notes
    -----
    An item is ``(X, y)``, with weights ``({"X": X, "sample_weight": w}, y)``, the form
    in which skorch hands weights to the loss.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_center.batches import ArrayDataset
    >>> dataset = ArrayDataset(np.arange(6.0).reshape(3, 2), [0, 1, 1])
    >>> X, y = dataset[:2]
    >>> X
    tensor([[0., 1.],
            [2., 3.]])
    >>> y
    tensor([0, 1])
    """

    def __init__(
        self,
        X: Any,
        y: ArrayLike | Tensor | None = None,
        dtype: torch.dtype | Literal["auto"] | None = "auto",
    ) -> None:
        # Without super().__init__, which would index by sample: the base class is there
        # because skorch's scoring callbacks ask only datasets of its own for X and y.
        self.sample_weight = None
        X, weight = parts_of(X)
        if weight is not None:
            self.sample_weight = torch.as_tensor(weight, dtype=torch.float32)
        if isinstance(X, Mapping):
            self.X = {name: as_samples(part) for name, part in X.items()}
            lengths = {name: len(part) for name, part in self.X.items()}
            if len({*lengths.values()}) != 1:
                raise ValueError(f"Inputs must have the same length; got {lengths}.")
        else:
            self.X = as_samples(X)
        n_samples = len(self)
        if y is None:
            y = torch.zeros(1, dtype=torch.int64).expand(n_samples)
        self.y = torch.as_tensor(y)
        if len(self.y) != n_samples:
            raise ValueError(
                f"X and y must have the same length; got {n_samples} and {len(self.y)}."
            )
        self.dtype = dtype

    def __len__(self) -> int:
        return len(next(iter(self.X.values())) if isinstance(self.X, dict) else self.X)

    def __getitem__(self, index: Any) -> tuple[Batch, Tensor]:
        if isinstance(self.X, dict):
            X = {
                name: converted(rows_of(part, index), self.dtype, by_name=True)
                for name, part in self.X.items()
            }
        else:
            X = converted(rows_of(self.X, index), self.dtype)
        if self.sample_weight is not None:
            X = with_weight(X, self.sample_weight[index])
        return X, self.y[index]


def parts_of(X: Any) -> tuple[Any, Any]:
    """Return samples, or a dict of several inputs, and the weights, or None."""
    if not isinstance(X, Mapping):
        return X, None
    inputs = {name: part for name, part in X.items() if name != "sample_weight"}
    only_X = [*inputs] == ["X"]
    return inputs["X"] if only_X else inputs, X.get("sample_weight")


def with_weight(X: Any, weight: Any) -> dict[str, Any]:
    """Return samples, or a dict of several inputs, together with weights."""
    inputs = X if isinstance(X, dict) else {"X": X}
    return {**inputs, "sample_weight": weight}


def as_samples(X: Any) -> Any:
    """Return samples as an array, or the tensor that they are."""
    return X if isinstance(X, (np.ndarray, torch.Tensor)) else np.asarray(X)


def rows_of(X: NDArray[Any] | Tensor, index: Any) -> Tensor:
    """Return some samples as a tensor, in their dtype."""
    if isinstance(X, torch.Tensor):
        return X[index]
    # An array takes a tensor of one number for that number, and drops the axis.
    rows = index.numpy() if isinstance(index, torch.Tensor) else index
    # Picked rows are a copy already. A slice is not, and a module may work in place; nor
    # does torch hold another byte order, or memory in any order.
    picked = isinstance(index, (torch.Tensor, list))
    native = X.dtype.newbyteorder("=")
    return torch.from_numpy(np.array(X[rows], dtype=native, copy=None if picked else True))


def converted(X: Tensor, dtype: Any, by_name: bool = False) -> Tensor:
    """Return samples in the dtype for a module; ``by_name``, if they are one of inputs."""
    if dtype is None:
        return X
    if dtype != "auto":
        return X.to(dtype)
    stays = by_name or X.dtype in (torch.int32, torch.int64)
    return X if stays and not X.is_floating_point() else X.to(torch.float32)


class LabelledDataset(Dataset):
    """A user's map-style dataset with labels and weights of our own.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        Yields a sample or a pair of sample and label; the label is replaced. The sample,
        an array or tensor or a dict of such, is converted as :class:`ArrayDataset` does.

    y : ndarray of shape (n_samples,), default=None
        Class index of each sample; zeros where None.

    sample_weight : ndarray of shape (n_samples,), default=None
        Weight of each sample.
    """

    def __init__(
        self,
        dataset: Any,
        y: NDArray[Any] | None = None,
        sample_weight: NDArray[Any] | None = None,
    ) -> None:
        self.dataset = dataset
        self.y = np.zeros(len(dataset), dtype=np.int64) if y is None else y
        self.sample_weight = sample_weight

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        X = sample_of(self.dataset[index])
        if isinstance(X, Mapping):
            X = {
                name: converted(torch.as_tensor(part), "auto", by_name=True)
                for name, part in X.items()
            }
        else:
            X = converted(torch.as_tensor(X), "auto")
        if self.sample_weight is not None:
            X = with_weight(X, np.float32(self.sample_weight[index]))
        return X, self.y[index]


class TensorBatches:
    """Iterate over batches as a ``DataLoader`` does, by slicing where that is possible.

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
        Whether each pass has an order of its own, drawn from torch's global random
        generator.

    device : str or torch.device, default=None
        Where batches are wanted; None leaves them where the samples are.

    resident : bool or "auto", default="auto"
        Whether all samples of an :class:`ArrayDataset` are moved to the device by the first
        pass, and stay there for the others, in the dtype they have at rest. ``"auto"``
        moves them to a GPU if they take at most half of its free memory. What is not moved
        at once is pinned and sent ahead, block by block.

    **loader : dict
        Further arguments of ``torch.utils.data.DataLoader``, such as ``num_workers``, but
        none that chooses the samples of a batch. Given any, the ``DataLoader`` is used
        for every dataset.

    Raises
    ------
    ValueError
        If ``resident`` is something else, or ``loader`` chooses samples. What else is wrong
        with it or with ``batch_size`` is told by the first pass.

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

    # Arguments of DataLoader that do not go with batches chosen here.
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
        bounds = self._bounds()
        source, rows = source_of(self.dataset)
        if self.loader or not isinstance(source, ArrayDataset):
            order = self._order()
            batches = [order[i:j].tolist() for i, j in bounds]
            loader = {"pin_memory": self._on_gpu(), **self.loader}
            yield from DataLoader(self.dataset, batch_sampler=batches, **loader)
            return
        if self._on_device is None and self._stays(source):
            self._on_device = moved(source, rows, self.device or "cpu")
        if self._on_device is not None:
            source, rows = self._on_device, None
        if rows is None and not self.shuffle:
            for i, j in bounds:  # a slice, which needs no order
                yield source[i:j]
            return
        order = self._order()
        if self.part[1] > 1:
            order = torch.cat([order[i:j] for i, j in bounds])
        if rows is not None:
            order = rows[order]
        order = order.to(source.y.device)
        # Many small batches are gathered together and then cut: one pass through Python.
        n_together = max(rows_at_once(source) // self.batch_size, 1)
        edges = [0, *accumulate(j - i for i, j in bounds)]
        spans = [edges[i : i + n_together + 1] for i in range(0, len(bounds), n_together)]
        blocks = (source[order[span[0] : span[-1]]] for span in spans)
        if self._on_gpu() and self._on_device is None:
            blocks = sent_ahead(blocks, self.device)  # type: ignore[arg-type]
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

    def _on_gpu(self):
        return self.device is not None and torch.device(self.device).type == "cuda"

    def _stays(self, source):
        """Whether all samples are to lie on the device."""
        if not is_plain(source):
            return False  # what a subclass does to a batch must go on
        if self.resident != "auto":
            return self.resident
        if not self._on_gpu():
            return False
        size = len(self.dataset) * source.X[:1].nbytes
        free, _ = torch.cuda.mem_get_info(self.device)
        return size <= free / 2

    def _starts(self):
        starts = list(range(0, len(self.dataset), self.batch_size))
        if len(starts) > 1 and len(self.dataset) - starts[-1] == 1:
            starts.pop()
        return starts


def own_part(start: int, stop: int, rank: int, n_parts: int) -> tuple[int, int]:
    """Return where the part of a batch begins and ends that one of several processes runs.

    Parameters
    ----------
    start, stop : int
        Where the batch does.

    rank : int
        Number of the process.

    n_parts : int
        Number of processes.

    Returns
    -------
    start, stop : int
        Where the part does. Where that is empty, a process runs the first two samples, for
        nothing: the others wait for what it makes of a batch.
    """
    sizes = part_sizes(stop - start, n_parts)
    if not sizes[rank]:
        return start, min(start + 2, stop)
    first = start + sum(sizes[:rank])
    return first, first + sizes[rank]


def source_of(dataset: Any) -> tuple[Any, Tensor | None]:
    """Return what a Subset is of and its rows, or the dataset itself and None.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        The samples.

    Returns
    -------
    source : torch.utils.data.Dataset
        A dataset.

    rows : tensor of shape (n_samples,) or None
        Indices into it; None for all of it.
    """
    if isinstance(dataset, Subset):
        return dataset.dataset, torch.as_tensor(dataset.indices)
    return dataset, None


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


def cut(batch: tuple[Batch, Tensor], sizes: list[int]) -> Iterator[tuple[Batch, Tensor]]:
    """Return the batches of given sizes that follow each other in a larger one.

    Parameters
    ----------
    batch : tuple
        Samples, or a dict of samples and weights, and labels.

    sizes : list of int
        Number of samples of each batch.

    Returns
    -------
    batches : iterable of tuples
        Views of the larger batch, of the same form.
    """
    X, y = batch
    if isinstance(X, Mapping):
        parts = zip(*(value.split(sizes) for value in X.values()))
        return zip((dict(zip(X, part)) for part in parts), y.split(sizes))
    return zip(X.split(sizes), y.split(sizes))


def sample_of(item: Any) -> Any:
    """Return the sample of an item that may be a pair of sample and label."""
    return item[0] if isinstance(item, (tuple, list)) else item


def check_dataset(dataset: Any) -> Any:
    """Return the dataset, or raise ValueError if it is empty or cannot be indexed.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        A user's dataset.

    Returns
    -------
    dataset : torch.utils.data.Dataset
        The same.
    """
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
        raise ValueError(
            f"X must be a map-style Dataset with a length; got {type(dataset).__name__}. "
            "Stream an iterable one as arrays through partial_fit."
        )
    if not len(dataset):
        raise ValueError("X is an empty Dataset; at least one sample is required.")
    return dataset


def labels_of(dataset: Any) -> NDArray[Any]:
    """Return the labels of a dataset: its ``targets``, or those of one pass over it.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        Yields pairs of sample and label.

    Returns
    -------
    labels : ndarray of shape (n_samples,)
        The labels.

    Raises
    ------
    ValueError
        If the dataset yields no labels.
    """
    targets = getattr(dataset, "targets", None)
    if targets is not None and len(targets) == len(dataset):
        return np.asarray(targets)
    first = dataset[0]
    if not isinstance(first, (tuple, list)) or len(first) < 2:
        raise ValueError("y is needed: the Dataset yields samples without labels.")
    return np.array([dataset[i][1] for i in range(len(dataset))])
