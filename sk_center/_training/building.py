"""The parts of a net, built for the data: module, criterion, optimizer."""

from __future__ import annotations

from functools import partial
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from skorch import NeuralNetClassifier
from skorch.dataset import unpack_data
from torch import Tensor

from sk_center._training.auto_device import chosen_device
from sk_center._training.compiled import CompiledMethods
from sk_center._training.params import check_params
from sk_center.batches import ArrayDataset, TensorBatches
from sk_center.batches.datasets import of_inputs, parts_of
from sk_center.batches.tensor_batches import source_of
from sk_center.networks import MLP, CenterModule
from sk_center.networks.dry_run import find_feature_dim, widest_output
from sk_center.networks.extractors import Function

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

    from sk_center._utils.torch_types import NetInput


# Samples from which a first layer learns means and scales: the size of a block, and the
# most that are read one by one.
BLOCK, MOST_CALLS = 4096, 1000


class PartsNet(NeuralNetClassifier):
    """A net whose module is a feature extractor with a head and centers."""

    module_: CenterModule
    device: str | torch.device | None
    n_classes_: int
    # Weights and width of a module that must not be run before it has them.
    _given: tuple[dict[str, Tensor], int] | None = None
    # The samples, between the time they are measured and the time the parts are built.
    _dataset: Any = None

    def measure(self, X: NetInput, y: ArrayLike | Tensor | None = None) -> None:
        """Find the properties of the data that ``initialize`` needs: shape and classes.

        Parameters
        ----------
        X : array, tensor, dict or torch Dataset
            The samples.

        y : ndarray or tensor of shape (n_samples,), default=None
            Class index of each sample, needed where ``n_classes`` is None.

        Raises
        ------
        ValueError
            If the number of classes follows neither from ``n_classes`` nor from ``y``, or
            ``y`` holds a value that is not a class index.
        """
        indices = None if y is None else as_indices(y)
        self._dataset = self.get_dataset(X, y)
        sample, _ = parts_of(unpack_data(self._dataset[0])[0])
        self.example_ = zeros_like(sample)
        self.n_classes_ = self.n_classes
        if self.n_classes_ is None:
            if indices is None or self.negative_loss is not None:
                raise ValueError(
                    "n_classes must be an integer where y is None, or with a "
                    "negative_loss; got None."
                )
            self.n_classes_ = int(indices.max(initial=0)) + 1
        self._check_labels(y)

    def _check_labels(self, y):
        """Raise ValueError unless given labels are class indices."""
        if y is None:
            return
        indices = as_indices(y)
        n_labels = self.n_classes_ + (self.negative_loss is not None)
        for label in (indices.min(initial=0), indices.max(initial=0)):
            if not 0 <= label < n_labels:
                last = "" if n_labels == self.n_classes_ else ", the last for negatives"
                raise ValueError(
                    f"y must hold class indices in [0, {n_labels}){last}; got {label}."
                )

    def initialize_module(self) -> Self:
        """Build the feature extractor and add the head and the centers to it.

        Returns
        -------
        self : CenterLossNet
            The net.

        Raises
        ------
        ValueError
            If the data are not known, neither by ``fit`` nor by :meth:`measure`, the module
            does not give features (n_samples, D), or a parameter is invalid.
        """
        if not hasattr(self, "example_"):
            raise ValueError(
                "The features D and the classes come from the data: call fit, or "
                "net.measure(X, y) before net.initialize()."
            )
        check_params(self)
        check_orientation(self)
        body = self.make_body()
        # Layers are created in torch's default dtype, which may differ from that of the
        # samples.
        if torch.get_default_dtype() != torch.float32 and is_floating(self.example_):
            body = body.to(self.example_.dtype)
        if self._given is None:
            feature_dim, self.example_ = settled(body, self.example_)
        else:
            feature_dim = self._given[0]["center.center"].shape[1]
        dataset, self._dataset = self._dataset, None
        if dataset is not None and isinstance(body, MLP):
            body.learn(blocks_of(dataset))
        self.module_ = CenterModule(
            body,
            feature_dim,
            self.n_classes_,
            alpha=self.alpha,
            update=self.center_update,
            center=self.center,
            head=self.head,
            metric=self.metric,
            precision=self.precision,
            background=self.negative_loss == "background",
            orientation=self.lambda_orientation > 0,
        )
        self._compiled_ = CompiledMethods()
        if self._given is None:
            width = widest_output(self.module_, self.example_)
            self.width_ = max(width, self.n_classes_)
        else:
            weights, self.width_ = self._given
            self.module_.load_state_dict(weights)
        if self.device == "auto":
            example = self.example_ if self._given is None else None
            self.device = str(chosen_device(self.module_, example))
        return self

    def initialize_from(self, weights: dict[str, Tensor], width: int) -> Self:
        """Initialize the net with the weights of another, without running the module.

        Parameters
        ----------
        weights : dict of tensors
            The state of the other net's ``module_``. Lazy layers get their shape from it.

        width : int
            Numbers that a sample becomes in the widest layer.

        Returns
        -------
        self : CenterLossNet
            The net.
        """
        self._given = weights, width
        try:
            return self.initialize()
        finally:
            del self._given

    def make_body(self) -> torch.nn.Module:
        """Return a new feature extractor.

        Returns
        -------
        body : torch.nn.Module
            The module that the parameters describe.
        """
        kwargs = self.get_params_for("module")
        if not kwargs and maps_batches(self.module):
            return Function(self.module)
        return self.initialized_instance(self.module, kwargs)

    def initialize_criterion(self) -> Self:
        """Build the criterion so that it gives one loss per sample.

        Returns
        -------
        self : CenterLossNet
            The net.

        Raises
        ------
        TypeError
            If the criterion takes no ``reduction``.
        """
        kwargs = {"reduction": "none", **self.get_params_for("criterion")}
        try:
            self.criterion_ = self.initialized_instance(self.criterion, kwargs)
        except TypeError as error:
            if "'reduction'" not in str(error):
                raise
            raise TypeError(
                "criterion must take reduction='none', and then return one loss per "
                f"sample; got {self.criterion!r}."
            ) from error
        return self

    def get_params_for_optimizer(
        self, prefix: str, named_parameters: Iterable[tuple[str, torch.nn.Parameter]]
    ) -> tuple[Any, dict[str, Any]]:
        """Return the arguments of an optimizer, with ``fused=True`` where it works.

        Parameters
        ----------
        prefix : str
            Prefix of the parameters of the optimizer.

        named_parameters : iterable of (str, torch.nn.Parameter)
            What it optimizes.

        Returns
        -------
        args : tuple
            Positional arguments.

        kwargs : dict
            Keyword arguments.
        """
        named_parameters = list(named_parameters)
        args, kwargs = super().get_params_for_optimizer(prefix, named_parameters)
        optimizer = getattr(self, prefix, None)
        if (
            not isinstance(optimizer, type)
            or "fused" not in signature(optimizer).parameters
        ):
            return args, kwargs
        chosen = {"fused", "foreach", "differentiable", "capturable"} & set(kwargs)
        sparse = any(getattr(part, "sparse", False) for part in self.module_.modules())
        fusing = ["cpu"]
        if issubclass(optimizer, (torch.optim.Adam, torch.optim.SGD)):
            fusing += ["cuda", "mps", "xpu"]  # the other fused updates are for CPUs only
        # The fused update needs parameters that are contiguous in memory.
        plain = all(
            parameter.is_floating_point()
            and parameter.device.type in fusing
            and is_dense(parameter)
            for _, parameter in named_parameters
        )
        if plain and not chosen and not sparse:
            kwargs["fused"] = True
        return args, kwargs

    def torch_compile(self, module: torch.nn.Module, name: str) -> torch.nn.Module:
        """Return the module unchanged: the whole step is compiled instead.

        Parameters
        ----------
        module : torch.nn.Module
            The module.

        name : str
            Its name.

        Returns
        -------
        module : torch.nn.Module
            The same module, so that it can be pickled and inspected.
        """
        return module

    def without_optimizer(self) -> Self:
        """Return a net that shares everything with this one but the optimizer.

        Returns
        -------
        net : CenterLossNet
            A net with the same predictions. If it continues training, its optimizer starts
            again.
        """
        net = object.__new__(type(self))
        vars(net).update(vars(self))  # type: ignore[attr-defined]
        if self.initialized_:
            net.optimizer_, net._compiled_ = None, CompiledMethods()
        return net

    def ensure_optimizer(self) -> None:
        """Build the optimizer if there is none, as after :meth:`without_optimizer`."""
        if self.optimizer_ is None:
            self.initialize_optimizer()


def zeros(shape, dtype):
    """Return a batch of zeros that takes the memory of one number."""
    return torch.zeros((), dtype=dtype).expand(2, *shape)


def zeros_like(sample):
    """Return a batch of zeros of the form of a sample."""
    return of_inputs(
        lambda part: zeros(np.shape(part), torch.as_tensor(part).dtype), sample
    )


def shape_of(example):
    """Return the shape of a sample, or by name those of its inputs."""
    return of_inputs(lambda part: tuple(part.shape[1:]), example)


def check_orientation(net):
    """Raise ValueError if samples that are no images are to be turned upside down."""
    shape = shape_of(net.example_)
    if net.lambda_orientation and (isinstance(shape, dict) or len(shape) != 3):
        raise ValueError(
            "lambda_orientation above 0 takes images, X of shape (n_samples, channels, "
            f"height, width); got lambda_orientation={net.lambda_orientation} and samples "
            f"of shape {shape}."
        )


def blocks_of(dataset):
    """Yield the samples of a dataset in blocks; only some if each costs a call."""
    if isinstance(source_of(dataset)[0], ArrayDataset):
        for X, _ in TensorBatches(dataset, BLOCK):
            yield parts_of(X)[0].cpu()
        return
    rows = np.linspace(0, len(dataset) - 1, min(len(dataset), MOST_CALLS)).astype(int)
    yield np.stack(
        [np.asarray(parts_of(unpack_data(dataset[i])[0])[0]) for i in rows.tolist()]
    )


def is_floating(example):
    """Whether a batch is one tensor of floating numbers."""
    return not isinstance(example, dict) and example.is_floating_point()


def settled(body, example):
    """Return the number of features, and the example in the dtype that the module takes.

    Integers are converted to float32 for a module that does not take them as they are.
    """
    if isinstance(example, dict) or is_floating(example):
        return find_feature_dim(body, example), example
    try:
        return find_feature_dim(body, example), example
    except (RuntimeError, TypeError, ValueError) as error:
        try:
            return find_feature_dim(body, example.float()), example.float()
        except (RuntimeError, TypeError, ValueError) as other:
            raise (other if "dtype" in str(error) else error) from None


def maps_batches(module):
    """Whether a callable maps batches to features, as one that takes an argument does.

    A class, and a function or a ``partial`` that takes none, makes a module.
    """
    if isinstance(module, (torch.nn.Module, type)):
        return False
    if isinstance(module, partial) and isinstance(module.func, type):
        return False
    try:
        arguments = signature(module).parameters.values()
    except (TypeError, ValueError):  # a function of C
        return True
    return any(
        (
            argument.default is Parameter.empty
            and argument.kind
            in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
        )
        or argument.kind is Parameter.VAR_POSITIONAL
        for argument in arguments
    )


def as_indices(y: ArrayLike | Tensor) -> NDArray[Any]:
    """Return labels as an array, or raise ValueError if they are not integers."""
    indices = np.asarray(y.cpu() if isinstance(y, Tensor) else y)
    if indices.dtype.kind not in "iu":
        raise ValueError(
            f"y must hold class indices, integers from 0 on; got dtype {indices.dtype}. "
            "CenterLossClassifier takes labels of any kind."
        )
    return indices


def is_dense(tensor: Tensor) -> bool:
    """Return whether a tensor is contiguous in one of the memory formats of torch."""
    formats = [torch.contiguous_format] + [torch.channels_last] * (tensor.ndim == 4)
    return any(tensor.is_contiguous(memory_format=order) for order in formats)
