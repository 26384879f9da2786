"""Devices of torch: which there are, their free memory, their random generators."""

from contextlib import contextmanager, nullcontext

import torch

CPU = torch.device("cpu")
# Devices that copy from pinned memory, on a stream of its own, while they compute.
OVERLAPPING = ("cuda", "xpu")


def is_present(device):
    """Return whether torch finds a device here; a kind of device unknown to it counts."""
    try:
        device = torch.device(device or CPU)
    except RuntimeError:  # of an extension of torch that is not here
        return False
    module = module_of(device)
    return module is None or (
        module.is_available() and (device.index or 0) < module.device_count()
    )


def module_of(device):
    """Return ``torch.cuda``, ``torch.mps`` and so on; None for the CPU and its like."""
    return None if device.type in ("cpu", "meta") else getattr(torch, device.type, None)


def find_device(device):
    """Return the torch device that ``device`` names, "auto" the accelerator or the CPU."""
    if device == "auto":
        return torch.accelerator.current_accelerator(check_available=True) or CPU
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            f"device must be 'auto' or a torch device; got {device!r}."
        ) from error
    if not is_present(found):
        raise ValueError(
            f"device must be 'auto' or a device that torch finds here; got {str(device)!r}."
        )
    return found


def device_of(net):
    """Return the device of a net; the CPU where none is named."""
    return find_device("auto") if net.device == "auto" else torch.device(net.device or CPU)


def free_memory(device):
    """Return how many bytes are free on a device; none where torch cannot tell."""
    module = module_of(device)
    if hasattr(module, "mem_get_info"):
        return module.mem_get_info(device)[0]
    if hasattr(module, "recommended_max_memory"):  # MPS
        return module.recommended_max_memory() - module.driver_allocated_memory()
    return 0


def has_float64(device):
    """Return whether a device has numbers of 64 bits, as MPS has not."""
    try:
        torch.empty(1, dtype=torch.float64, device=device)
    except (RuntimeError, TypeError):
        return False
    return True


def generator_state(device):
    """Return the state of the random generator of a device; None where it has none."""
    module = module_of(device)
    if not hasattr(module, "get_rng_state"):
        return None
    # MPS is one device, and takes no number.
    return module.get_rng_state(*([] if device.type == "mps" else [device]))


def set_generator_state(device, state):
    """Give the random generator of a device a state that :func:`generator_state` found."""
    module = module_of(device)
    if module is not None and state is not None:
        module.set_rng_state(state, *([] if device.type == "mps" else [device]))


@contextmanager
def kept_generators(device):
    """Give the generators of the CPU and of a device their state back after a block."""
    states = torch.get_rng_state(), generator_state(device)
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        set_generator_state(device, states[1])


def seed_generators(device, seed):
    """Seed the random generators of the CPU and of a device, and of no other."""
    torch.default_generator.manual_seed(seed)
    module = module_of(device)
    if not hasattr(module, "manual_seed"):
        return
    chosen = device.index is not None and hasattr(module, "device")
    with module.device(device.index) if chosen else nullcontext():
        module.manual_seed(seed)
