"""The course of the learning rate over a training: it warms up, then falls to zero."""

import math
from contextlib import contextmanager
from operator import length_hint

from skorch.callbacks import LRScheduler

SCHEDULES = ("cosine",)
# Share of the steps over which the rate rises.
WARM_UP = 0.1


def cosine(step, n_steps):
    """Return the share of the learning rate at a step of a training."""
    warm_up = int(WARM_UP * n_steps)
    if step < warm_up:
        return (step + 1) / (warm_up + 1)
    return (1 + math.cos(math.pi * (step - warm_up) / (n_steps - warm_up))) / 2


class Schedule:
    """Sets the learning rate before each step, by the number of the step alone.

    A training that resumes from a checkpoint has the same rates as without a break.
    """

    def __init__(self, net, n_epochs):
        self.net, self.n_epochs = net, n_epochs
        self.n_before = len(net.history)
        self.rates = [group["lr"] for group in groups_of(net)]

    def begin_epoch(self, iterator):
        """Find the number of the first step of an epoch."""
        n_batches = -(-length_hint(iterator, 1) // self.net.gradient_accumulation_steps)
        self.n_steps = self.n_epochs * n_batches
        self.step = (len(self.net.history) - 1 - self.n_before) * n_batches

    def before_step(self):
        """Set the rate of a step."""
        # An iterator may not know its number of batches.
        self._set(cosine(min(self.step, self.n_steps - 1), self.n_steps))
        self.step += 1

    def end(self):
        """Restore the rates of the optimizer."""
        self._set(1)

    def _set(self, share):
        for group, rate in zip(groups_of(self.net), self.rates):
            group["lr"] = share * rate


def groups_of(net):
    """Return the groups of parameters that a net trains; a checkpoint replaces them."""
    optimizers = [getattr(net, f"{name}_") for name in net._optimizers]
    return [group for optimizer in optimizers for group in optimizer.param_groups]


class Constant:
    """Leaves the learning rate as it is, with the interface of a :class:`Schedule`."""

    def begin_epoch(self, iterator):
        """Do nothing."""

    def before_step(self):
        """Do nothing."""


@contextmanager
def scheduled(net, n_epochs, whole):
    """Yield the object that sets the learning rate while a net trains.

    The rate stays as it is if the training is not ``whole`` but an epoch of a stream, or if
    the user brings a scheduler.
    """
    callbacks = [callback for _, callback in net.callbacks_]
    if (
        net.lr_schedule is None
        or not whole
        or any(isinstance(callback, LRScheduler) for callback in callbacks)
    ):
        yield Constant()
        return
    schedule = Schedule(net, n_epochs)
    try:
        yield schedule
    finally:
        schedule.end()
