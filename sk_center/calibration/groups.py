"""Groups of classes that share a threshold because they have few calibration samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def shared_groups(
    counts: NDArray[np.intp], needed: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return the group of each class, and which classes share the last one.

    Classes with fewer samples than they need share a group; if these are too few even
    together, the next larger classes join them.
    """
    rare = counts < needed
    if rare.any():
        for class_ in np.argsort(counts, kind="stable"):
            if counts[rare].sum() >= needed[rare].max():
                break
            rare[class_] = True
    groups = np.cumsum(~rare) - 1
    groups[rare] = (~rare).sum()
    return groups, rare


def rates_of_groups(
    groups: NDArray[np.intp], rates: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the rate of each group, the smallest of its classes that is not zero.

    On average over a shared group its smallest rate keeps the rates of all classes; a rate
    of 0, which rejects nothing, is used only if all rates are 0.
    """
    found = np.zeros(groups.max() + 1)
    for group in range(len(found)):
        inside = rates[groups == group]
        found[group] = inside[inside > 0].min(initial=1.0) if inside.any() else 0.0
    return found
