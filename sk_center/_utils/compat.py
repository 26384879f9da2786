"""Private pieces of packages that need no torch, each with the versions that have it."""
# ruff: noqa: F401 - others import them from here

from collections.abc import Callable
from typing import Any, TypeVar

# Validates parameters before fit, unless that is switched off (scikit-learn 1.3 to 1.9).
from sklearn.base import _fit_context

# Scorers that share calls and take part in metadata routing (scikit-learn 1.6 to 1.9).
from sklearn.metrics._scorer import _BaseScorer as BaseScorer

# Searches of any kind before they are fitted (scikit-learn 0.18 to 1.9).
from sklearn.model_selection._search import BaseSearchCV

# Rows of arrays, sparse matrices, frames and lists (scikit-learn 0.22 to 1.9).
from sklearn.utils import _safe_indexing as safe_indexing

# Missing labels, pandas installed or not (scikit-learn 1.2 to 1.9).
from sklearn.utils._missing import is_pandas_na, is_scalar_nan

# Checks parameters as fit does (scikit-learn 1.2 to 1.9).
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    StrOptions,
    validate_parameter_constraints,
)

# Hands set_output on, where there is one (scikit-learn 1.2 to 1.9).
from sklearn.utils._set_output import _safe_set_output as safe_set_output

# Whether a user has switched metadata routing on (scikit-learn 1.3 to 1.9).
from sklearn.utils.metadata_routing import _routing_enabled as routing_enabled

# Parameters of fit by rows, and weights (scikit-learn 1.4 to 1.9); the number of samples of
# what has any (0.16 to 1.9); whether a nested estimator has a method (1.3 to 1.9).
from sklearn.utils.validation import _check_method_params as check_method_params
from sklearn.utils.validation import _check_sample_weight as check_sample_weight
from sklearn.utils.validation import _estimator_has as estimator_has
from sklearn.utils.validation import _num_samples as num_samples

# Where set_output and set_fit_request keep what they set (scikit-learn 1.3 to 1.9).
OUTPUT_CONFIG, REQUESTS = "_sklearn_output_config", "_metadata_request"
# What scikit-learn keeps on an estimator beside its state: the version in a pickle (0.18 to
# 1.9), callbacks of a fit (1.9).
NOT_OF_THE_MODEL = ("_sklearn_version", "_skl_callbacks")
# Where a ColumnTransformer keeps the positions of the columns of each of its transformers
# (scikit-learn 1.0 to 1.9).
COLUMN_POSITIONS = "_transformer_to_input_indices"

_Method = TypeVar("_Method", bound=Callable[..., Any])


def fit_context(*, prefer_skip_nested_validation: bool) -> Callable[[_Method], _Method]:
    """Return scikit-learn's decorator of fit, with types."""
    return _fit_context(prefer_skip_nested_validation=prefer_skip_nested_validation)
