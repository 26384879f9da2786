"""The loop over epochs: it reads the flag that ends training, and writes the history."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
from sklearn import get_config
from sklearn.utils.metadata_routing import MetadataRouter, process_routing
from skorch.callbacks import Checkpoint, PassthroughScoring, TrainEndCheckpoint

from sk_center._training.accumulation import StepNet, Waiting, forget_casts, listens
from sk_center._training.checkpoints import checkpoints_of
from sk_center._training.distributed import trained_together
from sk_center._training.interrupts import ctrl_c_as_flag
from sk_center._training.log import EpochLog
from sk_center._training.params import check_params
from sk_center._training.schedule import scheduled
from sk_center._training.state import deterministic_algorithms
from sk_center._utils.devices import device_of
from sk_center.batches import TensorBatches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import ArrayLike
    from torch import Tensor

    from sk_center._utils.torch_types import NetInput


class LoopNet(StepNet):
    """A net that ends training cleanly, and records the mean losses of epochs."""

    interrupted_ = False

    def fit_loop(
        self,
        X: NetInput,
        y: ArrayLike | Tensor | None = None,
        epochs: int | None = None,
        **params: Any,
    ) -> Self:
        """Train for a number of epochs.

        Parameters
        ----------
        X : array, tensor, dict or torch Dataset
            The samples.

        y : array-like of shape (n_samples,), default=None
            Class index of each sample.

        epochs : int, default=None
            Number of epochs, by default ``max_epochs``.

        **params : dict
            Arguments of the module's ``forward``, and of ``train_split``.

        Returns
        -------
        self : CenterLossNet
            The net.

        Raises
        ------
        ValueError
            If a parameter of the training is invalid, or the training loss is not finite.

        KeyboardInterrupt
            If training was interrupted before a step of the optimizer, or twice.
        """
        check_params(self)
        check_accumulation(self)
        method = params.pop("_routing_method", "fit")  # by which skorch asks scikit-learn
        n_epochs = self.max_epochs if epochs is None else epochs
        self.interrupted_ = False
        try:
            with (
                deterministic_algorithms(self.deterministic),
                trained_together(self, X, y, n_epochs) as self._workers,
                scheduled(self, n_epochs, epochs is None) as self._schedule,
                checkpoints_of(self, X, y, n_epochs) as checkpoints,
            ):
                self._run_epochs(X, y, n_epochs, checkpoints, params, method)
                if not self.interrupted_:
                    checkpoints.on_train_end(self)
        finally:
            for of_training in {"_workers", "_waiting", "_schedule"} & {*vars(self)}:
                delattr(self, of_training)
        return self

    def _run_epochs(self, X, y, n_epochs, checkpoints, params, routing_method):
        """Run epochs until all are done, a callback ends them, or the flag is set."""
        start = len(self.history)
        log = EpochLog(start + n_epochs)
        checkpoints.on_train_begin(self)  # which may restore the first epochs
        self.check_data(X, y)
        self.check_training_readiness()
        split = self.get_split_datasets(X, y, **split_params(self, params, routing_method))
        told = dict(zip(("dataset_train", "dataset_valid"), split))
        batches = [
            None if part is None else self.get_iterator(part, training=training)
            for part, training in zip(split, (True, False))
        ]
        for part in batches:
            if isinstance(part, TensorBatches) and part.device is None:
                part.device = self.device
        n_finished, last = len(self.history), start + n_epochs
        ended = n_finished >= last
        with nullcontext() if self._workers.several else ctrl_c_as_flag(self):
            try:
                while not (ended or self.interrupted_):
                    checkpoints.on_epoch_begin(self)
                    self.notify("on_epoch_begin", **told)
                    if not self._run_epoch(*batches, params):
                        break
                    n_finished = len(self.history)
                    ended = self._end_epoch(told) or n_finished >= last
                    log.on_epoch_end(self)
                    if not (ended or self.interrupted_):
                        checkpoints.on_epoch_end(self)
            except KeyboardInterrupt:
                amid = len(self.history) > n_finished
                if amid and (self.interrupted_ or self._workers.several):
                    raise
                self.interrupted_ = True
        del self.history[n_finished:]  # an epoch without a training step
        if self.interrupted_ and n_finished == start:
            raise KeyboardInterrupt

    def _run_epoch(self, train, valid, params):
        """Train and validate once; return whether the optimizer made a step."""
        self.run_single_epoch(train, True, "train", self.train_step, **params)
        if self.interrupted_ and "train_loss" not in self.history[-1]:
            return False
        self.run_single_epoch(valid, False, "valid", self.validation_step, **params)
        return True

    def _end_epoch(self, told):
        """Tell callbacks that an epoch ends; return whether one of them ends training."""
        try:
            self.notify("on_epoch_end", **told)
        except KeyboardInterrupt:  # by which skorch's callbacks end training
            return True
        return False

    def run_single_epoch(
        self,
        iterator: Iterable[Any] | None,
        training: bool,
        prefix: Literal["train", "valid"],
        step_fn: Callable[..., dict[str, Any]],
        **fit_params: Any,
    ) -> None:
        """Run one epoch of training or validation and record its mean loss.

        Parameters
        ----------
        iterator : iterable or None
            The batches; None skips the epoch.

        training : bool
            Whether this epoch trains.

        prefix : {"train", "valid"}
            Prefix of the names in the history.

        step_fn : callable
            Runs one batch and returns a dict with its loss.

        **fit_params : dict
            Further arguments of ``step_fn``.

        Raises
        ------
        ValueError
            If the training loss is not finite.
        """
        if iterator is None:
            return
        if training:
            self._set_training(True)
            self._schedule.begin_epoch(iterator)
        forget_casts(self)
        self._waiting = Waiting()
        n_before = len(self.history[-1]["batches"])
        epoch = EpochLoss(self, prefix)
        try:
            epoch.run(iterator, training, step_fn, fit_params)
            if not self.interrupted_:
                self._step_on_waiting()
        except KeyboardInterrupt:
            # Other processes would wait forever for this one.
            if self.interrupted_ or self._workers.several:
                raise
            self.interrupted_ = True
            if not training:  # the history needs the losses, so run it again
                del self.history[-1]["batches"][n_before:]
                self.run_single_epoch(iterator, training, prefix, step_fn, **fit_params)
                return
        if training and self.interrupted_ and epoch.n_samples <= self._waiting.n_samples:
            return  # no training
        loss = epoch.mean()
        if training:
            self._workers.share_buffers()
            check_finite(self, loss)
        name = f"{prefix}_loss"
        earlier = [row[name] for row in self.history[:-1] if name in row]
        self.history.record(name, loss)
        self.history.record(f"{name}_best", loss < min(earlier, default=np.inf))

    def _run_recorded(self, iterator, training, prefix, step_fn, fit_params):
        """Run an epoch as skorch does, with a row in the history for each batch."""
        super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)


class EpochLoss:
    """The mean loss of an epoch, with rows of batches only if a callback reads them."""

    def __init__(self, net, prefix):
        self.net, self.prefix = net, prefix
        self.records = records_batches(net)
        self.total, self.counted = 0, 0

    def run(self, iterator, training, step_fn, fit_params):
        """Run the batches, those of training until the flag is set."""
        net, workers = self.net, self.net._workers
        batches = workers.batches(iterator, training)
        if training:
            batches = until_interrupted(batches, net)
        if self.records:
            step_fn = workers.with_joint_loss(step_fn)
            net._run_recorded(batches, training, self.prefix, step_fn, fit_params)
            return
        for batch in batches:
            loss = step_fn(batch, **fit_params)["loss"].detach()
            size = workers.n_own(batch)
            # One transfer from the device per epoch, not per batch. In one statement, so
            # that an interrupt cannot separate the sum from the count.
            self.total, self.counted = (
                torch.add(self.total, loss, alpha=size),
                self.counted + size,
            )

    @property
    def n_samples(self):
        """Number of samples whose batches have ended."""
        return sum(self._whole_rows()[1]) if self.records else self.counted

    def mean(self):
        """Return the mean loss over the samples."""
        workers = self.net._workers
        if not self.records:
            total, n_samples = workers.joint_sums(self.total, self.counted)
            return float(total) / n_samples
        losses, sizes = self._whole_rows()
        return float(np.average(losses, weights=workers.joint_sizes(sizes)))

    def _whole_rows(self):
        """Losses and sizes of the batches in the history; drop an incomplete row."""
        names = f"{self.prefix}_loss", f"{self.prefix}_batch_size"
        batches = self.net.history[-1]["batches"]
        if self.net.interrupted_ and self.prefix == "train":
            batches[:] = [row for row in batches if names[1] in row]
            self.net.history.record("train_batch_count", len(batches))
        rows = [row for row in batches if names[1] in row]
        return tuple([row[name] for row in rows] for name in names)


def until_interrupted(batches, net):
    """Yield batches as long as the flag of a net is not set."""
    for batch in batches:
        if net.interrupted_:
            return
        yield batch


def records_batches(net):
    """Whether a callback looks at batches, as they come or later in the history."""
    readers = (Checkpoint, PassthroughScoring, TrainEndCheckpoint)
    return listens(net, "on_batch_begin", "on_batch_end") or any(
        isinstance(callback, readers) for _, callback in net.callbacks_
    )


def check_accumulation(net):
    """Raise ValueError if an optimizer cannot wait for gradients of several batches."""
    n_batches = net.gradient_accumulation_steps
    if n_batches > 1 and isinstance(net.optimizer_, torch.optim.LBFGS):
        raise ValueError(
            f"{type(net.optimizer_).__name__} runs the network itself; it takes "
            f"gradient_accumulation_steps=1; got {n_batches}."
        )


def check_finite(net, loss):
    """Raise ValueError, with the likely causes, if the training loss is not finite."""
    if np.isfinite(loss):
        return
    causes = []
    if net.lambda_norm:
        causes.append(f"a lambda_norm too large (lambda_norm={net.lambda_norm}), ")
    if net.center is not None and not isinstance(net.center, str):
        largest = net.module_.center.predict().abs().max().item()
        causes.append(f"first centers too far out (center, up to {largest:.3g}), ")
    device_type = device_of(net).type
    if torch.is_autocast_enabled(device_type):
        dtype = torch.get_autocast_dtype(device_type)
        largest = torch.finfo(dtype).max
        causes.append(f"autocast to {dtype}, which ends at {largest:.3g}, ")
    raise ValueError(
        f"The training loss is {loss} in epoch {len(net.history)}. Likely causes: "
        f"a learning rate too large (lr={net.lr}), inputs that are not scaled "
        "(StandardScaler helps) or not finite, a lambda_center too large "
        f"(lambda_center={net.lambda_center}), {''.join(causes)}or centers "
        f"that diverge (center_update={net.center_update!r})."
    )


def split_params(net, params, method):
    """Return those arguments of fit that scikit-learn routes to the splitter."""
    if not get_config().get("enable_metadata_routing"):
        return params
    if not isinstance(net.get_metadata_routing(), MetadataRouter):  # skorch before 1.4
        return params
    routed = process_routing(net, method, **params)
    return routed.get("splitter", {"split": {}})["split"]
