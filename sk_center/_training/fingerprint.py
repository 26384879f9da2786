"""What tells a training from others: its parameters and data, as a short text."""

import hashlib

import numpy as np
import torch
from skorch.dataset import ValidSplit

from sk_center._training.params import params_of
from sk_center.batches import ArrayDataset, LabelledDataset

# Parameters that another run of the same training may have otherwise.
FREE_PARAMETERS = ("device", "max_epochs", "verbose")
# Of larger arrays some rows tell which data they are.
HASHED_BYTES = 2**28
HASHED_ROWS = 1000


def fingerprint(net, dataset):
    """Return a text that is the same for the same parameters and data only."""
    params = {
        name: described(value)
        for name, value in sorted(params_of(net).items())
        if name not in FREE_PARAMETERS
    }
    callbacks = [
        (name, type(part).__qualname__, described(params_of(part)))
        for name, part in net.callbacks_
    ]
    data = [len(dataset)]
    if isinstance(dataset, ArrayDataset):
        rows = slice(None)
        if dataset.X.nbytes > HASHED_BYTES:
            rows = np.linspace(0, len(dataset) - 1, HASHED_ROWS).astype(int)
        data += [dataset.X.shape, described(dataset.X[rows]), described(dataset.y)]
        data += [described(dataset.sample_weight)]
    elif isinstance(dataset, LabelledDataset):
        data += [described(dataset.y), described(dataset.sample_weight)]
    text = repr((params, callbacks, data))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def described(value):
    """Return what tells a value from others, without what differs between processes."""
    if isinstance(value, torch.nn.Module):
        return type(value).__qualname__, described(dict(value.state_dict()))
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().contiguous()
        value = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    if isinstance(value, np.ndarray):
        content = np.array(value, order="C", copy=None).reshape(-1).view("u1").data
        return str(value.dtype), value.shape, hashlib.sha256(content).hexdigest()
    if isinstance(value, ValidSplit):
        return "ValidSplit", repr(value.cv), value.stratified
    if isinstance(value, (list, tuple)):
        return [described(part) for part in value]
    if isinstance(value, dict):
        return [(repr(key), described(part)) for key, part in value.items()]
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    if value is None or isinstance(value, (bool, int, float, str, np.generic)):
        return repr(value)
    return type(value).__qualname__
