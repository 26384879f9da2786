"""Checks of a batch, and deviations of its samples from the centers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sk_center._utils.torch_compat import assert_async

if TYPE_CHECKING:
    from collections.abc import Sequence

# The square root of the largest number of float32.
LARGEST_NORM = 2.0**64


def check_tensors(**arguments: Tensor | None) -> None:
    """Raise TypeError, which names the argument, if one is neither a tensor nor None."""
    for name, value in arguments.items():
        if not (isinstance(value, Tensor) or (value is None and name == "sample_weight")):
            raise TypeError(f"{name} must be a torch tensor; got {type(value).__name__}.")


def check_batch(
    features: Tensor,
    labels: Tensor,
    shape: Sequence[int],
    sample_weight: Tensor | None = None,
) -> Tensor:
    """Return the labels of a batch as int64, or raise ValueError if it is invalid."""
    check_tensors(features=features, labels=labels, sample_weight=sample_weight)
    if not features.is_floating_point():
        raise ValueError(f"features must be real floats; got dtype {features.dtype}.")
    if features.ndim != 2 or features.shape[1] != shape[1]:
        raise ValueError(
            f"features must have the shape (n_samples, {shape[1]}); "
            f"got {tuple(features.shape)}."
        )
    if labels.ndim != 1 or labels.shape[0] != features.shape[0]:
        raise ValueError(
            f"labels must have the shape ({features.shape[0]},), one for each row of "
            f"features; got {tuple(labels.shape)}."
        )
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(f"labels must be integers; got dtype {labels.dtype}.")
    if sample_weight is not None and sample_weight.shape != labels.shape:
        raise ValueError(
            f"sample_weight must have the shape ({features.shape[0]},), one for each row "
            f"of features; got {tuple(sample_weight.shape)}."
        )
    return labels.to(torch.int64)


def deviations(features: Tensor, centers: Tensor, labels: Tensor) -> Tensor:
    """Return ``features - centers[labels]`` in at least float32, without gradient."""
    if torch.compiler.is_compiling():
        inside = (labels >= 0) & (labels < len(centers))
        assert_async(inside.all(), "labels must lie in [0, center_num)")
    try:  # index_select checks each label anyway, on CUDA without waiting for the device
        rows = centers.detach().index_select(0, labels)
    except IndexError as error:
        low, high = (bound.item() for bound in labels.aminmax())
        raise ValueError(
            f"labels must lie in [0, {len(centers)}), the classes of the centers; got "
            f"{low if low < 0 else high}."
        ) from error
    rows = rows.to(torch.promote_types(features.dtype, torch.float32))
    return torch.sub(features.detach(), rows, out=rows)  # faster than new memory


def has_squares(deviation: Tensor) -> Tensor:
    """Return which rows have a finite sum of squares in float32.

    Rows with numbers beyond 1e19 are excluded too, even if float64 holds their squares.
    """
    return torch.linalg.vector_norm(deviation, dim=1) <= LARGEST_NORM


def is_positive(weight: Tensor) -> Tensor:
    """Return which weights count: those that are positive and finite."""
    return (weight > 0) & torch.isfinite(weight)


def sum_of_squares(deviation: Tensor, sample_weight: Tensor | None = None) -> Tensor:
    """Return the sum of all squares, each row times its weight."""
    # Neither way writes squares to memory.
    if sample_weight is None:
        flat = deviation.view(-1)
        return torch.dot(flat, flat)
    norm = torch.linalg.vector_norm(deviation, dim=1)
    return torch.dot(norm * sample_weight.to(norm.dtype), norm)


def hidden(values: Tensor) -> bool:
    """Return whether reading a value would wait for a device, or break a graph."""
    return not values.is_cpu or torch.compiler.is_compiling()
