"""scikit-learn's decorator of fit, with types."""

from collections.abc import Callable
from typing import Any, TypeVar

from sklearn.base import _fit_context

_Method = TypeVar("_Method", bound=Callable[..., Any])


def fit_context(*, prefer_skip_nested_validation: bool) -> Callable[[_Method], _Method]:
    """Return the decorator that validates parameters, unless a user has switched it off."""
    return _fit_context(prefer_skip_nested_validation=prefer_skip_nested_validation)
