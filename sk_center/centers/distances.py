"""Distances to centers, and the nearest one."""

import torch
from torch import Tensor

# Products of samples and centers that are computed at once: some 64 megabytes.
NEAREST_BLOCK = 4096
# Below this number of products, exact distances are faster than bounds on rounding.
FEW_PRODUCTS = 4096


def distances(features: Tensor, centers: Tensor) -> Tensor:
    """Return the Euclidean distance of each sample to each center, which may be infinite.

    Computed from differences. The expansion ``|x|^2 + |c|^2 - 2 x c`` would lose a small
    distance between large vectors to cancellation.
    """
    return torch.cdist(features, centers, compute_mode="donot_use_mm_for_euclid_dist")


def nearest(features: Tensor, centers: Tensor) -> Tensor:
    """Return the index of the nearest center of each sample.

    It is that of the smallest of :func:`distances`, the first of equal ones, ignoring NaN.
    On a CPU a matrix product finds it, several times as fast, for samples where rounding
    cannot change the result; another device would have to wait for that check.
    """
    if features.numel() * len(centers) < FEW_PRODUCTS or not features.is_cpu:
        return _nearest_exactly(features, centers)
    return torch.cat([_nearest(rows, centers) for rows in features.split(NEAREST_BLOCK)])


def _nearest(features, centers):
    # Half the squared distance is half the squared norm of the features minus this:
    half = centers.square().sum(dim=1) / 2
    # The error of a sum of products is below D times its rounding, here and in distances.
    size = torch.linalg.vector_norm(features, dim=1) + (2 * half.max()).sqrt()
    rounding = torch.finfo(features.dtype).eps * (features.shape[1] + 8)
    margin = 2 * rounding * size.square()
    best = index = doubtful = None
    for start in range(0, len(centers), NEAREST_BLOCK):
        block = slice(start, start + NEAREST_BLOCK)
        # Centers by samples: the order in which a maximum over centers is fast.
        likeness = torch.addmm(-half[block, None], centers[block], features.T)
        high = likeness.amax(dim=0)
        near = (likeness >= high - margin).to(likeness.dtype)
        # The sum of the numbers of near centers is that of the center where it is single.
        numbers = torch.arange(len(near), dtype=near.dtype, device=near.device)
        count, number = torch.stack([torch.ones_like(numbers), numbers]) @ near
        unsure, number = count != 1, number.long() + start  # a NaN leaves none near
        if best is None:
            best, index, doubtful = high, number, unsure
        else:
            better = high > best
            doubtful = torch.where(better, unsure, doubtful)
            doubtful |= ~((high - best).abs() > margin)
            index = torch.where(better, number, index)
            best = best.maximum(high)
    if doubtful.any():
        rows = doubtful.nonzero()[:, 0]
        for part in rows.split(max(NEAREST_BLOCK**2 // len(centers), 1)):
            index[part] = _nearest_exactly(features[part], centers)
    return index


def _nearest_exactly(features, centers):
    """Return the index of the smallest distance, ignoring NaN."""
    return distances(features, centers).nan_to_num(torch.inf, torch.inf).argmin(dim=1)
