"""Identify a training by its parameters and data, as a short text."""

import hashlib
import re
from functools import partial
from types import CodeType

import numpy as np
import torch
from skorch.dataset import ValidSplit

from sk_center._training.params import params_of
from sk_center._utils.versions import versions
from sk_center.batches.datasets import ArrayDataset, LabelledDataset, of_inputs

# Parameters that may differ between runs of the same training.
FREE_PARAMETERS = ("device", "max_epochs", "verbose")
# Larger arrays are identified by some of their rows.
HASHED_BYTES = 2**28
HASHED_ROWS = 1000


def fingerprint(net, dataset):
    """Return a text that differs between different parameters or data."""
    params = {
        name: described(value)
        for name, value in sorted(params_of(net).items())
        if name not in FREE_PARAMETERS
    }
    if net.lr_schedule is not None:  # each step depends on the total number of steps
        params["max_epochs"] = net.max_epochs
    callbacks = [
        (name, type(part).__qualname__, described(params_of(part)))
        for name, part in net.callbacks_
    ]
    data = [len(dataset)]
    if isinstance(dataset, ArrayDataset):
        data += [described_samples(dataset.X, HASHED_BYTES), described(dataset.y)]
        data += [described(dataset.sample_weight)]
    elif isinstance(dataset, LabelledDataset):
        data += [described(dataset.y), described(dataset.sample_weight)]
    # None if any seed is accepted, as with random_state=None.
    seed = getattr(net, "seed_", torch.initial_seed())
    text = repr((params, callbacks, data, seed, sorted(versions().items())))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def described_samples(X, most_bytes):
    """Return a description of samples: only some rows if they take more bytes."""
    if isinstance(X, dict):
        return of_inputs(lambda part: described_samples(part, most_bytes), X)
    rows = slice(None)
    if X.nbytes > most_bytes:
        rows = np.unique(np.linspace(0, len(X) - 1, HASHED_ROWS).astype(int))
    return tuple(X.shape), described(X[rows])


def described(value, within=()):
    """Return a description of a value that does not differ between processes."""
    if id(value) in within:
        return "..."
    inner = partial(described, within=(*within, id(value)))
    if isinstance(value, torch.nn.Module):
        return type(value).__qualname__, shown(value), inner(dict(value.state_dict()))
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().contiguous()
        value = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            return str(value.dtype), value.shape, inner(value.tolist())
        content = np.array(value, order="C", copy=None).reshape(-1).view("u1").data
        return str(value.dtype), value.shape, hashlib.sha256(content).hexdigest()
    if isinstance(value, ValidSplit):  # its seed may be drawn again, see seed_of_split
        return "ValidSplit", inner(value.cv), value.stratified
    if isinstance(value, (list, tuple)):
        return [inner(part) for part in value]
    if isinstance(value, dict):
        return [(repr(key), inner(part)) for key, part in value.items()]
    if isinstance(value, (set, frozenset)):
        return sorted(repr(inner(part)) for part in value)
    if isinstance(value, partial):
        return "partial", inner(value.func), inner(value.args), inner(value.keywords)
    if isinstance(value, CodeType):
        return value.co_code.hex(), value.co_names, inner(value.co_consts)
    if hasattr(value, "__code__"):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        cells += [
            value.__defaults__,
            value.__kwdefaults__,
            getattr(value, "__self__", None),
        ]
        name = f"{value.__module__}.{value.__qualname__}"
        return name, inner(value.__code__), inner(cells)
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    if value is None or isinstance(value, (bool, int, float, str, bytes, np.generic)):
        return repr(value)
    if not hasattr(value, "__dict__"):
        return type(value).__qualname__, shown(value)
    return type(value).__qualname__, inner(vars(value))


def shown(value):
    """Return the representation of a value without its memory address."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
