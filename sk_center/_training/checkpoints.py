"""Checkpoints, from which an interrupted training resumes as if never interrupted."""

import hashlib
import io
import os
from collections import OrderedDict
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import torch
from skorch.callbacks import Callback
from skorch.history import History

from sk_center._training.fingerprint import fingerprint
from sk_center._training.lock import locked
from sk_center._utils.devices import device_of, generator_state, set_generator_state
from sk_center._utils.files import atomic_write
from sk_center._utils.processes import from_rank_0
from sk_center._utils.torch_compat import tree_map_only

# A SHA-256 of the rest, at the end of the file.
DIGEST_BYTES = 32


@contextmanager
def checkpoints_of(net, X, y, n_epochs):
    """Yield the callback that keeps the checkpoints of a training, if requested."""
    if net.checkpoint_dir is None or net.history:
        yield Callback()
        return
    dataset = net.get_dataset(X, y)
    path = from_rank_0(lambda: find_path(net, dataset))
    with ExitStack() as stack:
        from_rank_0(lambda: stack.enter_context(locked(path)))
        yield Checkpoints(path, net.checkpoint_every, n_epochs)


class Checkpoints(Callback):
    """Keep the state of one training in a file, from epoch to epoch, until it ends.

    If several processes train together, only rank 0 accesses files: the others need not see
    its disk, and an error is raised on all.
    """

    def __init__(self, path, every, n_epochs):
        self.path, self.every, self.n_epochs = path, every, n_epochs
        self._generators = None

    def on_train_begin(self, net, **kwargs):
        """Restore the net from the checkpoint of an earlier run, if there is one."""
        try:
            state = from_rank_0(self._read)
            if state is None or len(state["history"]) >= self.n_epochs:
                return
            restore(net, state)
        except Exception as error:  # a file may be damaged in any way
            raise ValueError(
                f"The checkpoint {str(self.path)!r} cannot be used ({error}); delete it to "
                "start anew."
            ) from error
        self._generators = state["generators"]

    def _read(self):
        if not self.path.exists():
            return None
        content = self.path.read_bytes()
        state, digest = content[:-DIGEST_BYTES], content[-DIGEST_BYTES:]
        if hashlib.sha256(state).digest() != digest:
            raise ValueError("it is damaged: its checksum is another")
        return torch.load(io.BytesIO(state), map_location="cpu", weights_only=True)

    def on_epoch_begin(self, net, **kwargs):
        """Restore the random generators, right before they are used again."""
        if self._generators is not None:
            torch.set_rng_state(self._generators["cpu"])
            device = device_of(net)
            set_generator_state(device, self._generators.get(device.type))
            self._generators = None

    def on_epoch_end(self, net, **kwargs):
        """Write a checkpoint if one is due, but not after the last epoch."""
        n_epochs = len(net.history_)
        if n_epochs % self.every or n_epochs >= self.n_epochs:
            return
        from_rank_0(lambda: self._write(net))

    def _write(self, net):
        with atomic_write(self.path) as temporary, open(temporary, "w+b") as file:
            try:
                # Tensors on the CPU, so that training can resume on another device.
                state = tree_map_only(torch.Tensor, torch.Tensor.cpu, state_of(net))
                torch.save(state, file)
            except RuntimeError as error:  # by which torch replaces an OSError
                raise error.__context__ or error from None
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").digest()
            file.seek(0, os.SEEK_END)
            file.write(digest)

    def on_train_end(self, net, **kwargs):
        """Delete the file, after the training has ended."""
        from_rank_0(lambda: self.path.unlink(missing_ok=True))


def find_path(net, dataset):
    """Return the path of the checkpoint of a training, and create its folder."""
    folder = Path(net.checkpoint_dir)
    os.makedirs(folder, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(
            f"checkpoint_dir={net.checkpoint_dir!r} is not a folder to write to."
        )
    return folder / f"{fingerprint(net, dataset)}.pt"


def state_of(net):
    """Return the state on which the rest of a training depends, as plain values."""
    device = device_of(net)
    generators = {device.type: generator_state(device), "cpu": torch.get_rng_state()}
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
    """Restore the state that :func:`state_of` returned."""
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
    """Return the state of a callback: its attributes that end in an underscore."""
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
    """Return the seed by which validation data were chosen, if there is one."""
    seed = getattr(net.train_split, "random_state", None)
    return seed if isinstance(seed, int) else None
