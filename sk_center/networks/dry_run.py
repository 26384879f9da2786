"""A dry run of a module finds its number of features D and its widest layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sk_center._utils.user_warning import warn_user

if TYPE_CHECKING:
    from collections.abc import Callable

    from sk_center._utils.torch_types import Batch


def apply(body: nn.Module, X: Batch, **params: Any) -> Any:
    """Return the output of a module for a batch; inputs in a dict are passed by name."""
    return body(**X, **params) if isinstance(X, dict) else body(X, **params)


def find_feature_dim(body: nn.Module, example: Batch) -> int:
    """Return the number of features D of a module, or raise ValueError."""
    try:
        features = dry_run(body, example, call=apply)
    except RuntimeError as error:
        raise ValueError(
            f"module cannot take a batch of {shown(example)}, the form of X: "
            f"{sizes_of(body, example)}{error}."
        ) from error
    n_samples = n_samples_of(example)
    if not isinstance(features, torch.Tensor):
        got = type(features).__name__
    elif features.ndim != 2 or len(features) != n_samples or features.shape[1] < 1:
        got = f"a tensor of shape {tuple(features.shape)}"
    elif not features.is_floating_point():
        got = f"a tensor of dtype {features.dtype}"
    else:
        if is_softmax(features):
            warn_user(
                "module ends in a softmax, and features are expected: the classifier adds "
                "the head itself. Leave the softmax out, and the layer before it."
            )
        return features.shape[1]
    raise ValueError(
        f"module must map a batch of {shown(example)} to features, a floating "
        f"tensor of shape ({n_samples}, D); got {got}. The classifier adds the head and "
        "the centers itself."
    )


def is_softmax(features: Tensor) -> bool:
    """Return whether features are probabilities, or their logarithms."""
    if features.shape[1] < 2:
        return False
    one = torch.ones(len(features), dtype=torch.float64)
    probabilities = features.detach().cpu().double()
    return any(
        bool((p >= 0).all()) and torch.allclose(p.sum(dim=1), one, atol=1e-4)
        for p in (probabilities, probabilities.exp())
    )


def sizes_of(body: nn.Module, example: Batch) -> str:
    """Return a sentence that names the size that the first layer takes, if it is known."""
    if isinstance(example, dict):
        return ""
    for part in body.modules():
        for name, axis in (("in_features", -1), ("in_channels", 1)):
            size = getattr(part, name, None)
            if isinstance(size, int):
                if example.ndim < 2 or size in (0, example.shape[axis]):
                    return ""
                kind = name.removeprefix("in_")
                gray = name == "in_channels" and size == 1 and example.ndim == 3
                return (
                    f"its first layer, {part}, takes {size} {kind}, and X has "
                    f"{example.shape[axis]}; {'gray images are X[:, None]; ' * gray}"
                )
    return ""


def shown(example: Batch) -> str:
    """Return the shape of a batch, or those of its inputs, for a message."""
    if isinstance(example, dict):
        return " and ".join(f"{name} of {shown(part)}" for name, part in example.items())
    return f"shape {tuple(example.shape)} and dtype {example.dtype}"


def copied(example: Batch, device: torch.device) -> Any:
    """Return a copy of a batch on a device, for a module that may change it in place."""
    if isinstance(example, dict):
        return {name: copied(part, device) for name, part in example.items()}
    return example.to(device).clone()


def n_samples_of(batch: Batch) -> int:
    """Return the number of samples of a batch."""
    return len(next(iter(batch.values()))) if isinstance(batch, dict) else len(batch)


def widest_output(module: nn.Module, example: Batch) -> int:
    """Return the size of the widest output for one sample.

    It determines the memory of a batch.
    """
    parts = example.values() if isinstance(example, dict) else [example]
    sizes = [part.numel() for part in parts]

    def note(output):
        if isinstance(output, torch.Tensor):
            sizes.append(output.numel())

    dry_run(module, example, note)
    return max(sizes) // n_samples_of(example)


def dry_run(
    module: nn.Module,
    example: Batch,
    hook: Callable[[Any], object] | None = None,
    call: Callable[[nn.Module, Batch], Any] = nn.Module.__call__,
) -> Any:
    """Return the output of a module in eval mode, without changing the module.

    It gives lazy layers their shape. ``hook`` is called with the output of every module
    inside.
    """
    device = next(module.parameters(), torch.empty(0)).device
    modes = {part: part.training for part in module.modules()}
    handles = [
        part.register_forward_hook(lambda part, inputs, output: hook(output))
        for part in modes
        if hook is not None
    ]
    try:
        with torch.no_grad():
            return call(module.eval(), copied(example, device))
    finally:
        for part, training in modes.items():
            part.training = training
        for handle in handles:
            handle.remove()
