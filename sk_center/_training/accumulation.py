"""Training steps that may accumulate the gradients of several batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from skorch.dataset import unpack_data
from torch import Tensor

from sk_center._training.distributed import Alone
from sk_center._training.schedule import Constant
from sk_center._utils.devices import device_of

if TYPE_CHECKING:
    from sk_center._utils.torch_types import Batch


class Waiting(NamedTuple):
    """Batches whose gradients wait for a step, samples in them, and the last batch."""

    n_batches: int = 0
    n_samples: int = 0
    batch: Any = None


class StepNet(NeuralNetClassifier):
    """A net that accumulates gradients, alone or together with other processes."""

    _workers = Alone()
    _waiting = Waiting()
    _schedule: Any = Constant()

    def train_step_single(
        self, batch: tuple[Batch, Tensor], **fit_params: Any
    ) -> dict[str, Any]:
        """Run a batch through the network and back, as skorch does.

        Parameters
        ----------
        batch : tuple
            Samples and labels.

        **fit_params : dict
            Further arguments of the module.

        Returns
        -------
        step : dict
            The ``loss`` and the output of the module, ``y_pred``.

        Raises
        ------
        ValueError
            If the batch is a single sample, and the module has batch normalization.
        """
        if not (self.module_.training and self.criterion_.training):
            self._set_training(True)  # a callback may have predicted
        forget_casts(self)
        X, y = unpack_data(batch)
        workers = self._workers
        try:
            loss, y_pred = workers.step_of(self)(X, y, **fit_params)
        except ValueError as error:
            if len(y) > 1 or "more than 1 value per channel" not in str(error):
                raise
            raise ValueError(
                "The module has batch normalization, which cannot train on a batch of one "
                f"sample; give at least two, at a batch_size of at least 2 (batch_size="
                f"{self.batch_size})."
            ) from error
        factor = workers.factor
        if self.gradient_accumulation_steps > 1:
            factor *= workers.n_joint(batch)  # a sum, averaged over several batches later
        (loss if factor == 1 else loss * factor).backward()
        if workers.several and not steps_alone(self):
            loss = workers.joint_loss(loss)  # by which the optimizer decides
        return {"loss": loss, "y_pred": y_pred}

    def train_step(self, batch: tuple[Batch, Tensor], **fit_params: Any) -> dict[str, Any]:
        """Train on a batch, without the closure of skorch where no optimizer needs it.

        Parameters
        ----------
        batch : tuple
            Samples and labels.

        **fit_params : dict
            Further arguments of the module.

        Returns
        -------
        step : dict
            The ``loss`` and the output of the module, ``y_pred``.

        Raises
        ------
        ValueError
            If the batch is a single sample, and the module has batch normalization.
        """
        if self.gradient_accumulation_steps == 1:
            if not steps_alone(self) or listens(self, "on_grad_computed"):
                return super().train_step(batch, **fit_params)
            self._zero_grad_optimizer()
            step = self.train_step_single(batch, **fit_params)
            self._step_optimizer(None)
            return step
        n_batches, n_samples, _ = self._waiting
        if n_batches == 0:
            self._zero_grad_optimizer()
        step = self.train_step_single(batch, **fit_params)
        n_samples += self._workers.n_joint(batch)
        self._waiting = Waiting(n_batches + 1, n_samples, batch)
        if n_batches + 1 == self.gradient_accumulation_steps:
            self._step_on_waiting()
        return step

    def _step_optimizer(self, step_fn):
        """Let the optimizers step at the scheduled learning rate."""
        self._schedule.before_step()
        super()._step_optimizer(step_fn)

    def _step_on_waiting(self):
        """Let the optimizer step on the mean gradient of the accumulated batches."""
        n_batches, n_samples, batch = self._waiting
        if not n_batches:
            return
        named = list(self.get_all_learnable_params())
        for _, parameter in named:
            if parameter.grad is not None:
                parameter.grad /= n_samples
        self.notify("on_grad_computed", named_parameters=named, batch=batch, training=True)
        self._step_optimizer(None)
        self._waiting = Waiting()


def steps_alone(net):
    """Whether the optimizers are known to step without running the network."""
    return all(
        type(optimizer).__module__.startswith("torch.optim")
        and not isinstance(optimizer, torch.optim.LBFGS)
        for optimizer in (getattr(net, f"{name}_") for name in net._optimizers)
    )


def listens(net, *hooks):
    """Whether a callback, or the net, does anything when skorch calls one of the hooks."""
    lookers = [(net, NeuralNetClassifier)]
    lookers += [(callback, Callback) for _, callback in net.callbacks_]
    return any(
        getattr(type(looker), hook, None) is not getattr(base, hook) or hook in vars(looker)
        for looker, base in lookers
        for hook in hooks
    )


def forget_casts(net):
    """Let an autocast around all of this cast weights as they are now.

    Until its block ends, it reuses the weights that it cast first.
    """
    if torch.is_autocast_enabled(device_of(net).type):
        torch.clear_autocast_cache()
