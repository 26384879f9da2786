"""Samples in one array, or in a user's dataset with separate labels and weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import skorch.dataset
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    from sk_center._utils.torch_types import Batch


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
        Dtype to which a batch of X is converted. ``"auto"`` is float32, but keeps int32 and
        int64, which an embedding takes; of several inputs it converts only floating ones.
        None converts nothing.

    Raises
    ------
    ValueError
        If X and y differ in length.

    TypeError
        If y does not hold numbers.

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
        self.X = of_inputs(as_samples, X)
        lengths = of_inputs(len, self.X)
        if isinstance(lengths, dict) and len({*lengths.values()}) != 1:
            raise ValueError(f"Inputs must have the same length; got {lengths}.")
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
        X = converted(of_inputs(lambda part: rows_of(part, index), self.X), self.dtype)
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


def of_inputs(function: Callable[..., Any], *values: Any) -> Any:
    """Apply a function to samples, or by name to each of their inputs."""
    if not isinstance(values[0], Mapping):
        return function(*values)
    return {name: function(*(value[name] for value in values)) for name in values[0]}


def as_samples(X: Any) -> Any:
    """Return samples as an array, unless they are a tensor."""
    return X if isinstance(X, (np.ndarray, torch.Tensor)) else np.asarray(X)


def rows_of(X: NDArray[Any] | Tensor, index: Any) -> Tensor:
    """Return some samples as a tensor of the same dtype."""
    if isinstance(X, torch.Tensor):
        return X[index]
    # An array takes a tensor of one number for that number, and drops the axis.
    rows = index.numpy() if isinstance(index, torch.Tensor) else index
    # Picked rows are a copy already. A slice is not, and a module may work in place; nor
    # does torch hold another byte order, or memory in any order.
    picked = isinstance(index, (torch.Tensor, list))
    native = X.dtype.newbyteorder("=")
    return torch.from_numpy(np.array(X[rows], dtype=native, copy=None if picked else True))


def converted(X: Any, dtype: Any, by_name: bool = False) -> Any:
    """Return samples in the dtype for a module; ``by_name`` for one of several inputs."""
    if isinstance(X, dict):
        return of_inputs(lambda part: converted(part, dtype, by_name=True), X)
    if dtype is None:
        return X
    if dtype != "auto":
        return X.to(dtype)
    stays = by_name or X.dtype in (torch.int32, torch.int64)
    return X if stays and not X.is_floating_point() else X.to(torch.float32)


class LabelledDataset(Dataset):
    """A user's map-style dataset with separate labels (or zeros) and weights (or none).

    It yields a sample or a pair of sample and label; the label is replaced. The sample, an
    array or tensor or a dict of such, is converted as :class:`ArrayDataset` does.
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
        X = converted(of_inputs(torch.as_tensor, X), "auto")
        if self.sample_weight is not None:
            X = with_weight(X, np.float32(self.sample_weight[index]))
        return X, self.y[index]


def sample_of(item: Any) -> Any:
    """Return the sample of an item that may be a pair of sample and label."""
    return item[0] if isinstance(item, (tuple, list)) else item


def check_dataset(dataset: Any) -> Any:
    """Return the dataset, or raise ValueError if it is empty or cannot be indexed."""
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
        raise ValueError(
            f"X must be a map-style Dataset with a length; got {type(dataset).__name__}. "
            "Stream an iterable one as arrays through partial_fit."
        )
    if not len(dataset):
        raise ValueError("X is an empty Dataset; at least one sample is required.")
    return dataset


def labels_of(dataset: Any) -> NDArray[Any]:
    """Return the labels of a dataset: its ``targets``, or those of one pass over it."""
    targets = getattr(dataset, "targets", None)
    if targets is not None and len(targets) == len(dataset):
        return np.asarray(targets)
    first = dataset[0]
    if not isinstance(first, (tuple, list)) or len(first) < 2:
        raise ValueError("y is needed: the Dataset yields samples without labels.")
    return np.array([dataset[i][1] for i in range(len(dataset))])
