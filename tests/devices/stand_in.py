"""A second device without hardware: its tensors wrap tensors of the CPU, and are counted.

It stands behind the key that torch keeps for devices of others, ``PrivateUse1``. A tensor
of it mixed with one of the CPU is an error, as on a GPU. It has a random generator of its
own and, if asked, lacks float64 or operators. Importing this registers it for the whole
process; ``torch.accelerator`` finds it within :func:`present` only.
"""

from collections import Counter
from contextlib import contextmanager, nullcontext

import torch
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "standin"
aten = torch.ops.aten

# What takes tensors of both devices: copies, and an index, which a GPU fetches by itself.
MIXES = {
    aten.copy_.default,
    aten._to_copy.default,
    aten.index.Tensor,
    aten.index_put_.default,
    aten._index_put_impl_.default,
}
# Operators whose result has a size, or is a number, that the host waits for.
WAITS = {
    aten._local_scalar_dense.default,
    aten.equal.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten._unique2.default,
    aten.unique_dim.default,
    aten.bincount.default,
    aten.repeat_interleave.Tensor,
}


class Counts(Counter):
    """How often data went to the device, to the host, and the host waited."""

    @property
    def total(self):
        """All of them together."""
        return sum(self.values())


class State:
    """What the device is at the moment."""

    present = False
    float64 = True
    lacks = ()
    counts = Counts()
    generator = torch.Generator()


@contextmanager
def present(float64=True, lacks=()):
    """Let the device be there for a block, and give what is counted in it."""
    State.present, State.counts = True, Counts()
    State.float64, State.lacks = float64, lacks
    try:
        yield State.counts
    finally:
        State.present, State.float64, State.lacks = False, True, ()


class Backend:
    """What torch asks ``torch.<device>`` for."""

    is_initialized = staticmethod(lambda: True)
    is_available = staticmethod(lambda: State.present)
    current_device = staticmethod(lambda: 0)
    device_count = staticmethod(lambda: int(State.present))
    _is_in_bad_fork = staticmethod(lambda: False)
    get_amp_supported_dtype = staticmethod(lambda: [torch.bfloat16])
    manual_seed = staticmethod(lambda seed: State.generator.manual_seed(seed))
    manual_seed_all = staticmethod(lambda seed: State.generator.manual_seed(seed))
    get_rng_state = staticmethod(lambda device=0: State.generator.get_state())
    set_rng_state = staticmethod(lambda state, device=0: State.generator.set_state(state))
    mem_get_info = staticmethod(lambda device=0: (2**30, 2**30))


class Wrapped(torch.Tensor):
    """A tensor of the device: all that is known of it is ``raw``, a tensor of the CPU."""

    @staticmethod
    def __new__(cls, raw):
        """Make a tensor with the shape of the other, and no numbers."""
        return torch.Tensor._make_wrapper_subclass(
            cls,
            raw.shape,
            strides=raw.stride(),
            storage_offset=raw.storage_offset(),
            dtype=raw.dtype,
            device=DEVICE,
        )

    def __init__(self, raw):
        self.raw = raw

    def __repr__(self):
        """Return the numbers, which counts as no transfer."""
        return f"Wrapped({self.raw})"

    def __reduce_ex__(self, protocol):
        """Pickle as a tensor that only a machine with the device can make."""
        return placed, (self.detach().cpu(), NAME, self.requires_grad)

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        """Run an operator on what its tensors wrap."""
        return run(function, args, kwargs or {})


def placed(tensor, device, requires_grad):
    """Return a tensor on a device that must be there."""
    if not State.present:
        raise RuntimeError(f"Attempting to deserialize object on {device}, which is away.")
    return tensor.to(device).requires_grad_(requires_grad)


def run(function, args, kwargs):
    """Run an operator on what tensors wrap, and wrap what comes of it."""
    composite = torch._C.DispatchKey.CompositeImplicitAutograd
    # Without autograd, as in inference mode, these come here before they are taken apart.
    if function.has_kernel_for_dispatch_key(composite):
        return function.decompose(*args, **kwargs)
    if function is aten.record_stream.default:
        return None  # nothing runs beside anything here
    if function in State.lacks:
        raise NotImplementedError(f"The operator {function} is not implemented for {NAME}.")
    tensors = tensors_of((args, kwargs))
    wrapped = [tensor for tensor in tensors if isinstance(tensor, Wrapped)]
    hosted = [tensor for tensor in tensors if not isinstance(tensor, Wrapped)]
    if wrapped and function not in MIXES and any(tensor.ndim for tensor in hosted):
        raise RuntimeError(
            f"Expected all tensors to be on the same device; {function} got some on "
            f"{DEVICE} and some on the CPU."
        )
    device = kwargs.get("device")
    here = bool(wrapped) if device is None else torch.device(device).type == NAME
    note(function, args, wrapped, hosted, here)
    owners = {id(tensor.raw): tensor for tensor in wrapped}
    owners.update({id(tensor): tensor for tensor in hosted})
    args, kwargs = tree_map_only(Wrapped, lambda tensor: tensor.raw, (args, kwargs))
    if device is not None:
        kwargs["device"] = "cpu"
    kwargs.pop("pin_memory", None)
    with drawing() if torch.Tag.nondeterministic_seeded in function.tags else nullcontext():
        result = function(*args, **kwargs)

    def given_back(tensor):
        if id(tensor) in owners:
            return owners[id(tensor)]
        return wrap(tensor) if here else tensor

    return tree_map_only(torch.Tensor, given_back, result)


def wrap(tensor):
    """Return a tensor of the CPU as one of the device."""
    if tensor.dtype == torch.float64 and not State.float64:
        raise TypeError(f"Cannot convert a tensor to float64: {NAME} has none.")
    return Wrapped(tensor)


def note(function, args, wrapped, hosted, here):
    """Count what goes from one device to the other, and what the host waits for."""
    counts = State.counts
    if function is aten.copy_.default and wrapped and hosted:
        counts["to device" if isinstance(args[0], Wrapped) else "to host"] += 1
    elif wrapped and not here:
        counts["to host"] += 1
    elif hosted and wrapped and any(tensor.ndim for tensor in hosted):
        counts["to device"] += 1
    masks = any(
        tensor.dtype in (torch.bool, torch.uint8) for tensor in tensors_of(args[1:])
    )
    if function in WAITS or (function in MIXES and "index" in str(function) and masks):
        counts["waits"] += 1


def tensors_of(parts):
    """Return the tensors among arguments."""
    return [part for part in tree_leaves(parts) if isinstance(part, torch.Tensor)]


@contextmanager
def drawing():
    """Let an operator of the CPU draw from the generator of the device."""
    before = torch.get_rng_state()
    torch.set_rng_state(State.generator.get_state())
    try:
        yield
    finally:
        State.generator.set_state(torch.get_rng_state())
        torch.set_rng_state(before)


class Hooks(torch._C._acc.PrivateUse1Hooks):
    """What the C++ side of torch asks for."""

    def is_available(self):
        """Whether there is a device."""
        return State.present

    def is_built(self):
        """Whether torch knows of it."""
        return True

    def has_primary_context(self, device):
        """Whether it was used."""
        return True


_setup_privateuseone_for_python_backend(NAME, Backend, Hooks())
DEVICE = torch.device(NAME, 0)
# Tensors that come from nothing, such as torch.empty makes, meet no tensor of the device.
library = torch.library.Library("_", "IMPL")
library.fallback(
    lambda function, *args, **kwargs: run(function, args, kwargs), "PrivateUse1"
)
library.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")


@torch.library.impl("aten::linear", "AutocastPrivateUse1")
def linear(X, weight, bias=None):
    """Compute a dense layer in the precision of autocast; no other operator heeds it."""
    dtype = torch.get_autocast_dtype(NAME)
    with torch.autocast(NAME, enabled=False):
        bias = None if bias is None else bias.to(dtype)
        return torch.nn.functional.linear(X.to(dtype), weight.to(dtype), bias)
