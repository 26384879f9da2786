"""First centers, or anchors: random, given, or the corners of a simplex."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from sk_center._utils.samples import check_values

if TYPE_CHECKING:
    from sk_center._utils.torch_types import FirstCenters


def simplex_etf(shape: tuple[int, int], radius: float = 10.0) -> Tensor:
    """Place centers at the corners of a regular simplex, as anchors farthest apart.

    Every center has the norm ``radius`` and any two have the same distance,
    ``radius * sqrt(2 * C / (C - 1))``, the largest that C points can share
    (a simplex equiangular tight frame [1]_). Up to a shift and a rotation they are the
    anchors ``a * e_k`` of class anchor clustering [2]_ with
    ``a = radius * sqrt(C / (C - 1))``.

    Parameters
    ----------
    shape : tuple of (int, int)
        Number of classes C >= 2 and number of features D >= C - 1.

    radius : float, default=10.0
        Norm of every center, the default of ``"simplex"``, too; 10 is about the ``a`` of
        the program of [2]_. A larger radius sets the anchors further apart, and needs more
        epochs to reach them: after 40 on LETTER, 10 was less accurate than 3, and 30 than
        10. For another radius in a classifier with ``center_update="fixed"`` pass
        ``center=lambda shape: simplex_etf(shape, radius=3)``.

    Returns
    -------
    centers : tensor of shape (C, D)
        The corners, float32; the same at every call.

    Raises
    ------
    ValueError
        If C < 2 or D < C - 1.

    See Also
    --------
    sk_center.Center : Takes them as ``center="simplex"``.

    References
    ----------
    .. [1] V. Papyan, X. Y. Han, D. L. Donoho. "Prevalence of neural collapse during
       the terminal phase of deep learning training". PNAS 2020.
    .. [2] D. Miller, N. Sünderhauf, M. Milford, F. Dayoub. "Class anchor clustering: a loss
       for distance-based open set recognition". WACV 2021.

    Examples
    --------
    >>> import torch
    >>> from sk_center.centers import simplex_etf
    >>> corners = simplex_etf((3, 2), radius=1.0)
    >>> torch.pdist(corners)
    tensor([1.7321, 1.7321, 1.7321])
    """
    n_classes, feature_dim = shape
    if n_classes < 2 or feature_dim < n_classes - 1:
        raise ValueError(
            f"shape must be (C, D) with C >= 2 and D >= C - 1, the room that a simplex of "
            f"C corners needs; got {tuple(shape)}."
        )
    centered = torch.eye(n_classes, dtype=torch.float64) - 1 / n_classes
    # The rows of `centered` span C - 1 dimensions: express them in a basis of those.
    corners = centered @ torch.linalg.svd(centered).Vh[: n_classes - 1].T
    corners = corners * (radius / corners.norm(dim=1, keepdim=True))
    centers = torch.zeros(shape, dtype=torch.float32)
    centers[:, : n_classes - 1] = corners.to(torch.float32)
    return centers


def first_centers(center: FirstCenters | None, shape: tuple[int, int]) -> Tensor:
    """Return the first centers that a user asks for, or raise ValueError."""
    if center is None:
        return glorot_uniform(shape)
    if isinstance(center, str):
        if center != "simplex":
            raise ValueError(
                f"center must be an array, a callable, 'simplex' or None; got {center!r}."
            )
        center = simplex_etf
    points = real_numbers(center(shape) if callable(center) else center)
    points = points.detach().to(torch.float32, copy=True)
    if points.shape != shape:
        raise ValueError(
            f"center must have the shape (center_num, feature_dim) = {shape}; got "
            f"{tuple(points.shape)}."
        )
    if not torch.isfinite(points).all():
        raise ValueError("center must be finite; got NaN or infinity.")
    return points


def real_numbers(points: Any) -> Tensor:
    """Return points as a tensor of numbers, also from a data frame or objects."""
    if isinstance(points, Tensor):
        if points.is_complex():
            raise ValueError(f"center must hold real numbers; got dtype {points.dtype}.")
        return points
    check_values(points, "center")
    try:
        array = np.asarray(points)
        if array.dtype.kind not in "biufO":
            raise TypeError(f"dtype {array.dtype}")
        return torch.from_numpy(array.astype(np.float64))
    except (TypeError, ValueError) as error:
        raise ValueError(
            "center must be an array of real numbers; got "
            f"{type(points).__name__}: {error}."
        ) from error


def glorot_uniform(shape: tuple[int, int]) -> Tensor:
    """Draw centers uniformly with Glorot's bound ``sqrt(6 / (C + D))``."""
    bound = math.sqrt(6 / sum(shape))
    return torch.empty(shape, dtype=torch.float32).uniform_(-bound, bound)
