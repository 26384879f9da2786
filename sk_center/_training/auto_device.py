"""The device that ``"auto"`` takes: the accelerator, unless it lacks what a net needs."""

from copy import deepcopy

import torch
from torch.nn.functional import cross_entropy

from sk_center._training.log import logger
from sk_center._utils.devices import CPU, find_device, kept_generators, module_of
from sk_center.losses import center_loss
from sk_center.networks.dry_run import copied


def chosen_device(module, example):
    """Return the accelerator, or the CPU where there is none, or where it lacks something.

    The choice is logged. A module that must not be run has no example.
    """
    device = find_device("auto")
    if device.type == "cpu":
        logger.info("device='auto' takes the CPU: torch finds no accelerator.")
        return device
    missing = what_is_missing(module, example, device)
    if missing is None:
        name = getattr(module_of(device), "get_device_name", lambda: "the accelerator")()
        logger.info("device='auto' takes %s: %s.", device, name)
        return device
    logger.info("device='auto' takes the CPU: %s lacks something: %s", device, missing)
    return CPU


def what_is_missing(module, example, device):
    """Return the error that a device raises in a training step, or None.

    It may lack a dtype, such as float64 on MPS, or an operator. CUDA lacks neither.
    """
    if device.type == "cuda" or example is None:
        return None
    try:
        trial = deepcopy(module).train()
    except Exception:  # not to be tried
        return None
    try:
        trial.to(device)
    except (RuntimeError, TypeError) as error:  # a dtype that is missing
        return error
    try:
        with torch.enable_grad(), kept_generators(device):
            logits, features = trial(copied(example, device))
            labels = torch.zeros(len(features), dtype=torch.int64, device=device)
            loss = cross_entropy(logits, labels)
            (loss + center_loss(features, labels, trial.center)).backward()
    except (NotImplementedError, TypeError) as error:
        return error
    except Exception:  # another error, which training will raise
        return None
    return None
