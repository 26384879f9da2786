"""State of torch and of a net that training changes, restored after a block."""

import os
from contextlib import contextmanager
from copy import deepcopy
from threading import RLock

import torch

from sk_center._utils.devices import kept_generators, seed_generators

# Attributes that may change between two calls that train the same net.
WARM_PARAMETERS = (
    "batch_size",
    "lambda_center",
    "lambda_norm",
    "lr",
    "lr_schedule",
    "max_epochs",
    "track_centers",
    "verbose",
)
# torch's random generators and flags belong to the process, not to the thread that trains.
_SHARED = RLock()


def _release_in_child():
    """Replace the lock, which in a forked process would never be released."""
    global _SHARED
    _SHARED = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_in_child)


@contextmanager
def deterministic_algorithms(wanted):
    """Let torch use only algorithms that always give the same bits, for a block, if wanted.

    One thread at a time is let into the block.
    """
    if not wanted:
        yield
        return
    with _SHARED:
        before = torch.are_deterministic_algorithms_enabled()
        warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
        benchmark = torch.backends.cudnn.benchmark
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before, warn_only=warn_only)
            torch.backends.cudnn.benchmark = benchmark


@contextmanager
def seeded(seed, device):
    """Seed torch's generators for a block, and restore their state after it.

    One thread at a time is let into the block. Only the generators of the CPU and of the
    device are touched.
    """
    with _SHARED, kept_generators(device):
        seed_generators(device, seed)
        yield


@contextmanager
def unchanged_on_error(net, initialized=True):
    """Restore an initialized net if a block that trains it further raises.

    This covers weights, optimizer, history and the parameters that may change.
    """
    if not initialized:
        yield
        return
    net.ensure_optimizer()
    params = {name: getattr(net, name) for name in WARM_PARAMETERS}
    module = deepcopy(net.module_.state_dict())
    optimizer = deepcopy(net.optimizer_.state_dict())
    n_epochs = len(net.history_)
    try:
        yield
    except BaseException:
        net.module_.load_state_dict(module)
        net.optimizer_.load_state_dict(optimizer)
        del net.history_[n_epochs:]
        vars(net).update(params)
        raise
