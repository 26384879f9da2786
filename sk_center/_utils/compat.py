"""Private pieces of other packages, each with the version that has it."""

# Scorers that share calls and take part in metadata routing (scikit-learn 1.6 to 1.9).
from sklearn.metrics._scorer import _BaseScorer as BaseScorer

# Searches of any kind before they are fitted (scikit-learn 0.18 to 1.9).
from sklearn.model_selection._search import BaseSearchCV

# Missing labels, pandas installed or not (scikit-learn 1.2 to 1.9).
from sklearn.utils._missing import is_pandas_na, is_scalar_nan

# Checks parameters as fit does (scikit-learn 1.2 to 1.9).
from sklearn.utils._param_validation import validate_parameter_constraints

__all__ = [
    "NOT_OF_THE_MODEL",
    "OUTPUT_CONFIG",
    "REQUESTS",
    "BaseScorer",
    "BaseSearchCV",
    "is_pandas_na",
    "is_scalar_nan",
    "validate_parameter_constraints",
]

# Where set_output and set_fit_request keep what they set (scikit-learn 1.3 to 1.9).
OUTPUT_CONFIG, REQUESTS = "_sklearn_output_config", "_metadata_request"
# What scikit-learn keeps on an estimator beside its state: the version in a pickle (0.18 to
# 1.9), callbacks of a fit (1.9).
NOT_OF_THE_MODEL = ("_sklearn_version", "_skl_callbacks")
