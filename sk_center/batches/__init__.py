"""Batches by slicing tensors, instead of one ``__getitem__`` per sample."""

from sk_center.batches.datasets import ArrayDataset
from sk_center.batches.tensor_batches import TensorBatches

__all__ = ["ArrayDataset", "TensorBatches"]
