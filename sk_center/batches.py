"""Batches by slicing tensors, instead of one ``__getitem__`` per sample."""

import math
from collections.abc import Mapping

import numpy as np
import skorch.dataset
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

# Numbers that are gathered at once when batches are shuffled: four megabytes.
GATHERED_NUMBERS = 2**20


class ArrayDataset(skorch.dataset.Dataset):
    """Samples that lie in one array, indexed by number, slice or array of numbers.

    Parameters
    ----------
    X : ndarray or tensor of shape (n_samples, ...) or dict
        The samples. A ``np.memmap`` stays on disk: only batches are read. A dict with
        the keys ``"X"`` and ``"sample_weight"`` brings weights along.

    y : array-like of shape (n_samples,), default=None
        Class index of each sample; zeros where None.

    dtype : torch.dtype, default=torch.float32
        What a batch of X is converted to, whatever its dtype at rest. None leaves it.

    Notes
    -----
    An item is ``(X, y)``, with weights ``({"X": X, "sample_weight": w}, y)``, the form
    in which skorch hands weights to the loss.
    """

    def __init__(self, X, y=None, dtype=torch.float32):
        # Without super().__init__, which would index by sample: the base class is there
        # because skorch's scoring callbacks ask only datasets of its own for X and y.
        self.sample_weight = None
        if isinstance(X, Mapping):
            weight = X.get("sample_weight")
            if weight is not None:
                self.sample_weight = torch.as_tensor(weight, dtype=torch.float32)
            X = X["X"]
        self.X = X if isinstance(X, (np.ndarray, torch.Tensor)) else np.asarray(X)
        n_samples = len(self.X)
        if y is None:
            y = torch.zeros(1, dtype=torch.int64).expand(n_samples)
        self.y = torch.as_tensor(y)
        if len(self.y) != n_samples:
            raise ValueError(
                f"X and y must have the same length; got {n_samples} and {len(self.y)}."
            )
        self.dtype = dtype

    def __len__(self):
        return len(self.X)

    def __getitem__(self, index):
        if isinstance(self.X, torch.Tensor):
            X = self.X[index]
        else:
            # An array takes a tensor of one number for that number, and drops the axis.
            rows = index.numpy() if isinstance(index, torch.Tensor) else index
            # torch holds neither another byte order than the machine's nor the scalar that
            # one number of a 1-D array gives, nor read-only memory.
            X = np.asarray(self.X[rows], dtype=self.X.dtype.newbyteorder("="))
            X = torch.from_numpy(X if X.flags.writeable else X.copy())
        if self.dtype is not None:
            X = X.to(self.dtype)
        if self.sample_weight is not None:
            X = {"X": X, "sample_weight": self.sample_weight[index]}
        return X, self.y[index]


class LabelledDataset(Dataset):
    """A user's map-style dataset with labels and weights of our own.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        Yields a sample or a pair of sample and label; the label is replaced. The sample,
        an array or tensor of any dtype, becomes a float32 tensor.

    y : ndarray of shape (n_samples,), default=None
        Class index of each sample; zeros where None.

    sample_weight : ndarray of shape (n_samples,), default=None
        Weight of each sample.
    """

    def __init__(self, dataset, y=None, sample_weight=None):
        self.dataset = dataset
        self.y = np.zeros(len(dataset), dtype=np.int64) if y is None else y
        self.sample_weight = sample_weight

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        X = torch.as_tensor(sample_of(self.dataset[index])).to(torch.float32)
        if self.sample_weight is not None:
            X = {"X": X, "sample_weight": np.float32(self.sample_weight[index])}
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
        Number of samples of a batch. A last batch of a single sample joins the batch
        before it, because batch normalisation cannot train on one.

    shuffle : bool, default=False
        Whether each pass has an order of its own, drawn from torch's global random
        generator.

    **loader : dict
        Further arguments of ``torch.utils.data.DataLoader``, such as ``num_workers``, but
        none that chooses the samples of a batch. Given any, the ``DataLoader`` is used
        for every dataset.
    """

    # Arguments of DataLoader that do not go with batches chosen here.
    EXCLUDED = ("batch_sampler", "drop_last", "sampler")

    def __init__(self, dataset, batch_size, shuffle=False, **loader):
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.loader = loader

    def __len__(self):
        return len(self._starts())

    def __iter__(self):
        n_samples = len(self.dataset)
        starts = self._starts()
        ranges = zip(starts, [*starts[1:], n_samples])
        subset = isinstance(self.dataset, Subset)
        source = self.dataset.dataset if subset else self.dataset
        sliced = isinstance(source, ArrayDataset) and not self.loader
        if sliced and not self.shuffle and not subset:
            for start, stop in ranges:  # a slice, which needs no order
                yield source[start:stop]
            return
        order = torch.randperm(n_samples) if self.shuffle else torch.arange(n_samples)
        if not sliced:
            batches = [order[start:stop].tolist() for start, stop in ranges]
            yield from DataLoader(self.dataset, batch_sampler=batches, **self.loader)
            return
        if subset:
            order = torch.as_tensor(self.dataset.indices)[order]
        # Many small batches are gathered together and then cut: one pass through Python.
        n_numbers = self.batch_size * max(math.prod(source.X.shape[1:]), 1)
        n_together = max(GATHERED_NUMBERS // n_numbers, 1)
        for i in range(0, len(starts), n_together):
            edges = [*starts, n_samples][i : i + n_together + 1]
            yield from cut(source[order[edges[0] : edges[-1]]], np.diff(edges).tolist())

    def _starts(self):
        starts = list(range(0, len(self.dataset), self.batch_size))
        if len(starts) > 1 and len(self.dataset) - starts[-1] == 1:
            starts.pop()
        return starts


def cut(batch, sizes):
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


def sample_of(item):
    """Return the sample of an item that may be a pair of sample and label."""
    return item[0] if isinstance(item, (tuple, list)) else item


def check_dataset(dataset):
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


def labels_of(dataset):
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
