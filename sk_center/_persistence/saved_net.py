"""A trained net as what is saved of it: tensors by name, and what builds the net again."""

import numpy as np
import torch
from skorch.history import History
from torch.overrides import TorchFunctionMode

from sk_center._persistence.kinds import Kind
from sk_center._training.building import shape_of, zeros
from sk_center._training.params import params_of, without_batches
from sk_center._training.state import seeded
from sk_center._utils.devices import CPU, is_present
from sk_center._utils.schema import (
    by_input,
    check_state,
    each,
    instance_of,
    integer,
    shape,
)
from sk_center.batches.datasets import of_inputs

# What tensors that are computed anew may take beyond those that the file holds.
UNSAVED_BYTES = 2**28
# What making a layer may ask of torch for each tensor that is its.
CALLS_PER_TENSOR = 1000


def positive_integer(value, sizes):
    """Check a positive integer."""
    integer(value, sizes)
    if not value:
        raise ValueError("must be positive")


STATE = {
    "module": instance_of(dict),
    "criterion": instance_of(dict),
    "?optimizer": instance_of(dict),
    "history": each(instance_of(dict)),
    "n_classes": positive_integer,
    "sample_shape": by_input(shape),
    "sample_dtype": by_input(instance_of(torch.dtype)),
    "width": positive_integer,
}


class NetKind(Kind):
    """How a CenterLossNet is saved: its module by the state dict, and what builds it."""

    def __init__(self, id_, class_):
        super().__init__(id_, class_, STATE, params=params_of)

    def state_of(self, net, params):
        """Return what training has set on a net."""
        state = {
            "module": dict(net.module_.state_dict()),
            "criterion": dict(net.criterion_.state_dict()),
            "history": without_batches(net.history_),
            "n_classes": net.n_classes_,
            "sample_shape": shape_of(net.example_),
            "sample_dtype": of_inputs(lambda part: part.dtype, net.example_),
            "width": net.width_,
        }
        if net.optimizer_ is not None:
            state["optimizer"] = net.optimizer_.state_dict()
        return state

    def restore(self, net, state):
        """Make a new net what it was after training.

        Nothing is built that is larger than what the state holds.
        """
        check_state(self.id, self.state, state)
        weights = state["module"]
        center = weights["center.center"]
        if center.ndim != 2 or len(center) != state["n_classes"] or not center.numel():
            raise ValueError(
                f"the centers must be a row for each of {state['n_classes']} classes; got "
                f"the shape {tuple(center.shape)}"
            )
        net.example_ = of_inputs(zeros, state["sample_shape"], state["sample_dtype"])
        net.n_classes_ = state["n_classes"]
        net.classes_inferred_ = np.arange(net.n_classes_)
        if not is_present(net.device):
            net.device = "cpu"
        body = {
            name.removeprefix("body."): tensor
            for name, tensor in weights.items()
            if name.startswith("body.")
        }
        first_centers = net.center
        with seeded(0, CPU):
            check_size(net, body)
            # Where the centers lie now comes from the file.
            net.center = None
            # With the weights at once: lazy layers get their shape from them.
            net.initialize_from(weights, state["width"])
        net.center = first_centers
        net.criterion_.load_state_dict(state["criterion"])
        if "optimizer" in state:
            net.optimizer_.load_state_dict(state["optimizer"])
            fit_moments(net.optimizer_)
        else:
            net.optimizer_ = None
        net.history_ = History(state["history"])


def check_size(net, weights):
    """Raise ValueError if the feature extractor is not that of the weights.

    It is built without memory first, because its parameters come from a file and may ask
    for any size.
    """
    if isinstance(net.module, torch.nn.Module):
        return  # it is there already
    try:
        with torch.device("meta"), OnMeta(CALLS_PER_TENSOR * (len(weights) + 1)):
            body = net.make_body()
    except Exception as error:
        raise ValueError(
            f"the module cannot be measured without building it ({error}); pass an "
            "instance: load(path, module=...)"
        ) from error
    expected = {
        name: tuple(tensor.shape)
        for name, tensor in body.state_dict().items()
        if not torch.nn.parameter.is_lazy(tensor)
    }
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    differing = [name for name in expected if expected[name] != found.get(name)]
    if differing:
        name = differing[0]
        raise ValueError(
            f"the module wants {expected[name]} for {name!r}, the file has "
            f"{found.get(name, 'none')}"
        )
    unsaved = sum(
        buffer.numel() * buffer.element_size()
        for name, buffer in body.named_buffers()
        if name not in expected and not torch.nn.parameter.is_lazy(buffer)
    )
    if unsaved > UNSAVED_BYTES:
        raise ValueError(
            f"the module makes buffers of {unsaved} bytes that are not in the file; pass "
            "an instance: load(path, module=...)"
        )


class OnMeta(TorchFunctionMode):
    """Make tensors without memory also where a device is named."""

    def __init__(self, n_calls):
        super().__init__()
        self.n_calls = n_calls

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.n_calls -= 1
        if self.n_calls < 0:
            raise ValueError("it has more layers than the file has weights")
        kwargs = dict(kwargs or {})
        if kwargs.get("device") is not None:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def fit_moments(optimizer):
    """Bring what an optimizer remembers into the order of memory of its weights.

    Fused updates walk through memory without a look at sizes and strides.
    """
    fused = any(group.get("fused") for group in optimizer.param_groups)
    for parameter, moments in optimizer.state.items():
        for name, value in moments.items():
            if not isinstance(value, torch.Tensor):
                continue
            if value.shape == parameter.shape:
                ordered = torch.empty_like(parameter, dtype=value.dtype)
                moments[name] = ordered.copy_(value)
            elif fused and not (name == "step" and value.numel() == 1):
                raise ValueError(
                    f"the optimizer holds {name} of the shape {tuple(value.shape)} for "
                    f"weights of {tuple(parameter.shape)}"
                )
