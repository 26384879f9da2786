"""The course of the learning rate over a training: it warms up, then falls to zero."""

from __future__ import annotations

import math
from contextlib import contextmanager
from operator import length_hint
from typing import TYPE_CHECKING, Any

from skorch.callbacks import LRScheduler

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEDULES = ("cosine",)
# Share of the steps over which the rate rises.
WARM_UP = 0.1


def cosine(step: int, n_steps: int) -> float:
    """Return the share of the learning rate at a step of a training."""
    warm_up = int(WARM_UP * n_steps)
    if step < warm_up:
        return (step + 1) / (warm_up + 1)
    return (1 + math.cos(math.pi * (step - warm_up) / (n_steps - warm_up))) / 2


class Schedule:
    """Sets the learning rate before each step, by the number of the step alone.

    A training that resumes from a checkpoint has the same rates as without a break.
    """

    def __init__(self, net: Any, n_epochs: int) -> None:
        self.net, self.n_epochs = net, n_epochs
        self.n_before = len(net.history)
        self.rates = [group["lr"] for group in groups_of(net)]

    def begin_epoch(self, iterator: Any) -> None:
        """Find the number of the first step of an epoch."""
        n_batches = -(-length_hint(iterator, 1) // self.net.gradient_accumulation_steps)
        self.n_steps = self.n_epochs * n_batches
        self.step = (len(self.net.history) - 1 - self.n_before) * n_batches

    def before_step(self) -> None:
        """Set the rate of a step."""
        # An iterator may not know its number of batches.
        self._set(cosine(min(self.step, self.n_steps - 1), self.n_steps))
        self.step += 1

    def end(self) -> None:
        """Restore the rates of the optimizer."""
        self._set(1)

    def _set(self, share):
        for group, rate in zip(groups_of(self.net), self.rates):
            group["lr"] = share * rate


def groups_of(net: Any) -> list[dict[str, Any]]:
    """Return the groups of parameters that a net trains; a checkpoint replaces them."""
    optimizers = [getattr(net, f"{name}_") for name in net._optimizers]
    return [group for optimizer in optimizers for group in optimizer.param_groups]


class Constant:
    """Leaves the learning rate as it is, with the interface of a :class:`Schedule`."""

    def begin_epoch(self, iterator: Any) -> None:
        """Do nothing."""

    def before_step(self) -> None:
        """Do nothing."""


@contextmanager
def scheduled(net: Any, n_epochs: int, whole: bool) -> Iterator[Schedule | Constant]:
    """Yield the object that sets the learning rate while a net trains.

    The rate stays as it is if the training is not ``whole`` but an epoch of a stream, or if
    the user brings a scheduler.
    """
    if net.lr_schedule not in (*SCHEDULES, None):
        raise ValueError(
            f"lr_schedule must be one of {SCHEDULES} or None; got {net.lr_schedule!r}."
        )
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
