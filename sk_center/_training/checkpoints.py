"""Checkpoints of a training, from which it goes on as if nothing had ended it."""

import hashlib
import os
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from skorch.dataset import ValidSplit
from skorch.history import History

from sk_center._training.params import params_of
from sk_center._utils.files import atomic_write
from sk_center._utils.processes import from_rank_0
from sk_center.batches import ArrayDataset, LabelledDataset

# Parameters that another run of the same training may have otherwise.
FREE_PARAMETERS = ("device", "max_epochs", "verbose")
# Of larger arrays some rows tell which data they are.
HASHED_BYTES = 2**28
HASHED_ROWS = 1000


class Checkpoints:
    """Where the state of one training is kept, from epoch to epoch, until it ends.

    Of several processes that train together, rank 0 alone looks at files: the others need
    not see its disk, and all of them learn of an error.

    Parameters
    ----------
    net : CenterLossNet
        An initialized net, before its first epoch.

    dataset : torch.utils.data.Dataset
        The training data. The name of the file comes from them and from the parameters:
        no other training finds it.

    n_epochs : int
        Number of the last epoch.
    """

    def __init__(self, net, dataset, n_epochs):
        self.path = from_rank_0(lambda: find_path(net, dataset))
        self.every = net.checkpoint_every
        self.n_epochs = n_epochs
        self._generators = None

    def resume(self, net):
        """Bring a net to where an earlier run of the training had come, if there was one.

        Parameters
        ----------
        net : CenterLossNet
            Its callbacks have begun the training.

        Returns
        -------
        n_epochs : int
            Number of epochs that it has trained.

        Raises
        ------
        ValueError
            If the checkpoint cannot be read.
        """
        try:
            state = from_rank_0(self._read)
            if state is None or len(state["history"]) >= self.n_epochs:
                return 0
            restore(net, state)
        except Exception as error:  # a file may be damaged in any way
            raise ValueError(
                f"The checkpoint {str(self.path)!r} cannot be used ({error}); delete it to "
                "start anew."
            ) from error
        self._generators = state["generators"]
        return len(net.history_)

    def _read(self):
        if not self.path.exists():
            return None
        return torch.load(self.path, map_location="cpu", weights_only=True)

    def before_epoch(self, net):
        """Give the generators their state back, right before they are used again."""
        if self._generators is not None:
            torch.set_rng_state(self._generators["cpu"])
            if "cuda" in self._generators and is_on_cuda(net):
                torch.cuda.set_rng_state(self._generators["cuda"], net.device)
            self._generators = None

    def after_epoch(self, net):
        """Write a checkpoint where one is due; after the last epoch none is.

        Raises
        ------
        OSError
            If it cannot be written. The one before it is still there.
        """
        n_epochs = len(net.history_)
        if n_epochs % self.every or n_epochs >= self.n_epochs:
            return
        from_rank_0(lambda: self._write(net))

    def _write(self, net):
        with atomic_write(self.path) as temporary, open(temporary, "wb") as file:
            try:
                torch.save(state_of(net), file)
            except RuntimeError as error:  # what torch makes of an OSError
                raise error.__context__ or error from None

    def delete(self):
        """Delete the file, after the training has ended."""
        from_rank_0(lambda: self.path.unlink(missing_ok=True))


def find_path(net, dataset):
    """Return the path of the checkpoint of a training, in a folder that is there then.

    Parameters
    ----------
    net : CenterLossNet
        An initialized net.

    dataset : torch.utils.data.Dataset
        The training data.

    Returns
    -------
    path : pathlib.Path
        Named after the parameters and the data.

    Raises
    ------
    OSError
        If there can be no such folder.
    """
    folder = Path(net.checkpoint_dir)
    os.makedirs(folder, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(
            f"checkpoint_dir={net.checkpoint_dir!r} is not a folder to write to."
        )
    return folder / f"{fingerprint(net, dataset)}.pt"


def state_of(net):
    """Return what the rest of a training depends on, of plain kinds only.

    Parameters
    ----------
    net : CenterLossNet
        A net between two epochs.

    Returns
    -------
    state : dict
        What ``torch.load(weights_only=True)`` reads.
    """
    generators = {"cpu": torch.get_rng_state()}
    if is_on_cuda(net):
        generators["cuda"] = torch.cuda.get_rng_state(net.device)
    return {
        "module": net.module_.state_dict(),
        "criterion": net.criterion_.state_dict(),
        "optimizer": net.optimizer_.state_dict(),
        "history": plain(list(net.history_)),
        "callbacks": {name: callback_state(part) for name, part in net.callbacks_},
        "split": seed_of_split(net),
        "generators": generators,
    }


def restore(net, state):
    """Give a net what :func:`state_of` found.

    Parameters
    ----------
    net : CenterLossNet
        An initialized net of the same parameters.

    state : dict
        The state.
    """
    net.module_.load_state_dict(state["module"])
    net.criterion_.load_state_dict(state["criterion"])
    net.optimizer_.load_state_dict(state["optimizer"])
    net.history_ = History(state["history"])
    if state["split"] is not None:
        net.train_split.random_state = state["split"]
    for name, callback in net.callbacks_:
        known = state["callbacks"].get(name, {})
        vars(callback).update(known.get("attributes", {}))
        for attribute, inner in known.get("inner", {}).items():
            getattr(callback, attribute).load_state_dict(inner)


def callback_state(callback):
    """Return what a callback has found so far: its attributes that end in an underscore."""
    attributes, inner = {}, {}
    for name, value in vars(callback).items():
        if not name.endswith("_"):
            continue
        if hasattr(value, "state_dict") and not isinstance(value, type):
            inner[name] = plain(value.state_dict())
        elif is_plain(value):
            attributes[name] = plain(value)
    return {"attributes": attributes, "inner": inner}


def is_plain(value):
    """Return whether a value consists of numbers, strings, tensors and containers."""
    if isinstance(value, (list, tuple)):
        return all(map(is_plain, value))
    if isinstance(value, dict):
        return all(map(is_plain, value)) and all(map(is_plain, value.values()))
    kinds = (bool, int, float, str, np.number, np.bool_, torch.Tensor)
    return value is None or isinstance(value, kinds)


def plain(value):
    """Return a plain value without scalars of numpy and containers of other classes."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        kind = OrderedDict if isinstance(value, OrderedDict) else dict
        return kind((key, plain(part)) for key, part in value.items())
    if isinstance(value, (list, tuple)):
        return (tuple if isinstance(value, tuple) else list)(map(plain, value))
    return value


def seed_of_split(net):
    """Return the seed by which validation data were chosen, where there is one."""
    seed = getattr(net.train_split, "random_state", None)
    return seed if isinstance(seed, int) else None


def is_on_cuda(net):
    """Return whether a net computes on a GPU of CUDA."""
    return torch.device(net.device or "cpu").type == "cuda"


def fingerprint(net, dataset):
    """Return a text that is the same for the same parameters and data only.

    Parameters
    ----------
    net : CenterLossNet
        An initialized net.

    dataset : torch.utils.data.Dataset
        The training data. Of a Dataset of the user only the number of samples and the
        labels count, because items may differ from call to call.

    Returns
    -------
    fingerprint : str
        Hexadecimal digits.
    """
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
