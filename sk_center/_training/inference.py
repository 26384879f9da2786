"""Inference of a net: large batches, and a short path for arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from skorch import NeuralNetClassifier
from skorch.dataset import unpack_data
from torch import Tensor

from sk_center._training.accumulation import forget_casts
from sk_center._utils.devices import device_of
from sk_center.batches import ArrayDataset, TensorBatches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch.utils.data import Dataset

    from sk_center._utils.torch_types import NetInput

# Numbers in the widest layer of an inference batch: as many as fit the cache of a core, and
# on a GPU or another device enough to keep it busy.
INFERENCE_NUMBERS = 2**18
INFERENCE_NUMBERS_ELSEWHERE = 2**24


class InferenceNet(NeuralNetClassifier):
    """A net that chooses the size of inference batches by its widest layer."""

    def get_iterator(self, dataset: Dataset[Any], training: bool = False) -> Any:
        """Return batches, larger ones for inference.

        Parameters
        ----------
        dataset : torch.utils.data.Dataset
            The samples.

        training : bool, default=False
            Whether the batches are for training.

        Returns
        -------
        iterator : iterable
            Yields batches.
        """
        iterator = super().get_iterator(dataset, training=training)
        chosen = hasattr(self, "iterator_valid__batch_size")
        if not training and not chosen and isinstance(iterator, TensorBatches):
            iterator.batch_size = self._inference_batch_size()
        return iterator

    def _inference_batch_size(self):
        """Return how many samples an inference batch has."""
        on_cpu = device_of(self).type == "cpu"
        numbers = INFERENCE_NUMBERS if on_cpu else INFERENCE_NUMBERS_ELSEWHERE
        return max(self.batch_size, numbers // self.width_)

    def _inference_batches(self, X):
        """Return batches of samples, for arrays without the search for their parameters."""
        prefixes = ("dataset__", "iterator_valid__")
        if (
            type(X) is np.ndarray
            and type(self).get_dataset is NeuralNetClassifier.get_dataset
            and type(self).get_iterator is InferenceNet.get_iterator
            and self.dataset is ArrayDataset
            and self.iterator_valid is TensorBatches
            and not any(name.startswith(prefixes) for name in vars(self))
        ):
            return TensorBatches(ArrayDataset(X), self._inference_batch_size())
        return self.get_iterator(self.get_dataset(X))

    def forward_iter(
        self, X: NetInput, training: bool = False, device: str = "cpu", **infer_params: Any
    ) -> Iterator[tuple[Tensor | None, Tensor]]:
        """Yield the output of the module for each batch, as skorch does.

        Parameters
        ----------
        X : array, tensor, dict or torch Dataset
            The samples.

        training : bool, default=False
            Whether the module is in training mode.

        device : str, default="cpu"
            Where the outputs go.

        **infer_params : dict
            Arguments of the module: ``with_logits=False`` leaves the logits out.

        Yields
        ------
        output : tuple of (tensor, tensor)
            Logits, or None, and features of a batch.
        """
        plain = type(self).evaluation_step is NeuralNetClassifier.evaluation_step
        if training or not plain:
            yield from super().forward_iter(X, training=training, device=device)
            return
        if not self.initialized_:
            self.check_is_fitted()
        if self.module_.training:
            self._set_training(False)  # once, where skorch does it for each batch
        forget_casts(self)
        for batch in self._inference_batches(X):
            with torch.no_grad():
                output = self._compiled_(self, "infer")(
                    unpack_data(batch)[0], **infer_params
                )
            yield tuple(  # type: ignore[misc]
                None if part is None else part.to(device) for part in output
            )
