"""Pickles of a net: with versions, without the state of a training."""

from copy import deepcopy

import torch
from skorch import NeuralNetClassifier
from skorch.history import History
from torch import Tensor

from sk_center._training.log import logger
from sk_center._training.params import without_batches
from sk_center._utils.devices import device_of, is_present
from sk_center._utils.versions import versions, warn_of_versions


class PickleNet(NeuralNetClassifier):
    """A net whose pickles are small and record the versions that they need."""

    def __getstate__(self):
        # skorch pickles modules separately, for nets that move from a CUDA GPU to a machine
        # without one. That prevents cloudpickle, and so joblib's workers and notebooks,
        # from carrying modules that no other process can import.
        state = vars(self).copy()
        if self.initialized_ and device_of(self).type != "cpu":
            state.update(on_cpu(self))
        for of_training in ("_workers", "_waiting", "_schedule"):
            state.pop(of_training, None)
        if state.get("history_"):  # None before it is initialized
            state["history_"] = History(without_batches(state["history_"]))
        # First, so that pickle reads the versions before it needs them.
        return {"_versions": versions(), **state}

    def __setstate__(self, state):
        state = dict(state)
        warn_of_versions(state.pop("_versions", {}))
        vars(self).update(state)
        if not self.initialized_:
            return
        if not is_present(self.device):
            logger.info(
                "A net of %s, which is not here, is loaded on the CPU.", self.device
            )
            self.device = "cpu"
        elif device_of(self).type != "cpu":
            to_device(self)


def on_cpu(net):
    """Return copies on the CPU of the attributes of a net that lie on a device."""
    names = net.cuda_dependent_attributes_
    parts = {name: vars(net)[name] for name in names if name in vars(net)}
    memo = {}
    for part in parts.values():
        if isinstance(part, torch.nn.Module):
            for tensor in (*part.parameters(), *part.buffers()):
                copy = tensor.detach().cpu()
                if isinstance(tensor, torch.nn.Parameter):
                    copy = torch.nn.Parameter(copy, tensor.requires_grad)
                memo[id(tensor)] = copy
        elif isinstance(part, torch.optim.Optimizer):
            for state in part.state.values():
                found = (value for value in state.values() if isinstance(value, Tensor))
                memo.update({id(value): value.detach().cpu() for value in found})
    return deepcopy(parts, memo)


def to_device(net):
    """Move a net that was loaded on the CPU to its device."""
    optimizers = [f"{name}_" for name in net._optimizers if getattr(net, f"{name}_")]
    states = {name: getattr(net, name).state_dict() for name in optimizers}
    for part in (getattr(net, f"{name}_") for name in net._modules + net._criteria):
        if isinstance(part, torch.nn.Module):
            part.to(net.device)
    if states:  # their parameters may have been replaced
        net.initialize_optimizer()
    for name, state in states.items():
        getattr(net, name).load_state_dict(state)
