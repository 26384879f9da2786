"""A dry run of a module finds its number of features D and its widest layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sk_center._utils.user_warning import warn_user

if TYPE_CHECKING:
    from collections.abc import Callable


def find_feature_dim(body: nn.Module, example: Tensor) -> int:
    """Return the number of features D that a module gives, or raise ValueError."""
    shape, n_samples = tuple(example.shape), len(example)
    try:
        features = dry_run(body, example)
    except RuntimeError as error:
        raise ValueError(
            f"module cannot take a batch of shape {shape} and dtype {example.dtype}, the "
            f"form of X: {error}."
        ) from error
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
        f"module must map a batch of shape {shape} to features, a floating "
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


def widest_output(module: nn.Module, example: Tensor) -> int:
    """Return how many numbers a sample becomes where it becomes most.

    That decides the memory of a batch.
    """
    sizes = [example.numel()]

    def note(output):
        if isinstance(output, torch.Tensor):
            sizes.append(output.numel())

    dry_run(module, example, note)
    return max(sizes) // len(example)


def dry_run(
    module: nn.Module, example: Tensor, hook: Callable[[Any], object] | None = None
) -> Any:
    """Return what a module in eval mode makes of a batch, and leave no trace in it.

    It gives lazy layers their shape. ``hook`` is called with the output of every module
    inside.
    """
    parameter = next(module.parameters(), None)
    if parameter is not None:
        example = example.to(parameter.device)
    example = example.clone()  # on which a module may work in place
    modes = {part: part.training for part in module.modules()}
    handles = [
        part.register_forward_hook(lambda part, inputs, output: hook(output))
        for part in modes
        if hook is not None
    ]
    try:
        with torch.no_grad():
            return module.eval()(example)
    finally:
        for part, training in modes.items():
            part.training = training
        for handle in handles:
            handle.remove()
