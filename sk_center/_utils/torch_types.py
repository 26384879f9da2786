"""Types with torch that hints repeat. They are for type checkers alone."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

# Not any array-like, which a misspelled "simplex" would be too.
Points: TypeAlias = NDArray[Any] | Tensor | Sequence[Sequence[float]]
FirstCenters: TypeAlias = Points | Literal["simplex"] | Callable[[tuple[int, int]], Points]
# A module that maps a batch to features, its class, a function that does so or makes one.
Module: TypeAlias = nn.Module | Callable[..., nn.Module | Tensor]
Batch: TypeAlias = Tensor | dict[str, Tensor]
NetInput: TypeAlias = ArrayLike | Tensor | dict[str, Any] | Dataset[Any]
