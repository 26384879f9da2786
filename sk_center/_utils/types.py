"""Types that hints repeat. They are for type checkers: nothing imports them to run."""

from collections.abc import Callable
from os import PathLike
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

# What a decorator leaves as it is.
Method = TypeVar("Method", bound=Callable[..., Any])

UpdateRule: TypeAlias = Literal["ema", "sum", "wen", "cumulative", "fixed"]
Head: TypeAlias = Literal["linear", "distance"]
Metric: TypeAlias = Literal["euclidean", "cosine"]
Precision: TypeAlias = Literal["float32", "bf16"]
NegativeLoss: TypeAlias = Literal["background", "entropic", "objectosphere"]

Label: TypeAlias = int | float | str | np.integer[Any]
StrPath: TypeAlias = str | PathLike[str]


class Rows(Protocol):
    """What can be indexed by rows: a data frame, a sparse matrix, a torch Dataset."""

    def __getitem__(self, rows: Any, /) -> Any: ...


class Estimator(Protocol):
    """What can be fitted, which is all that an estimator is asked for by its type."""

    def fit(self, X: Any, y: Any, /) -> Any: ...


class DensityEstimator(Protocol):
    """What can be fitted without labels, and then tells how typical samples are."""

    def fit(self, X: Any, /) -> Any: ...

    @property
    def score_samples(self) -> Any: ...  # a method, or what gives one where it is available


class Score(Protocol):
    """A score of classes: :class:`sk_center.scores.BaseScore` is one."""

    def fit(self, X: Any, y: Any, /, classes: Any = None) -> Any: ...

    def score_classes(self, X: Any, /) -> Any: ...


class Splitter(Protocol):
    """A cross-validation generator."""

    def split(self, X: Any, y: Any, groups: Any, /) -> Any: ...


class Scorer(Protocol):
    """A scorer for ``scoring=``."""

    def __call__(
        self, estimator: Any, X: Any, y_true: Any, sample_weight: Any = None
    ) -> float: ...

    def set_score_request(self, **requests: Any) -> Any: ...


Samples: TypeAlias = ArrayLike | Rows
# A list may mix them, and a list of one kind would not be one of the others.
ConformityScore: TypeAlias = (
    str | Score | DensityEstimator | Callable[[NDArray[Any]], ArrayLike] | list[Any]
)
Steps: TypeAlias = list[tuple[str, Any]]
