"""Private pieces of other packages, each with the version that has it."""

# Checks parameters as fit does (scikit-learn 1.2 to 1.9).
from sklearn.utils._param_validation import validate_parameter_constraints

__all__ = [
    "NOT_OF_THE_MODEL",
    "OUTPUT_CONFIG",
    "REQUESTS",
    "validate_parameter_constraints",
]

# Where set_output and set_fit_request keep what they set (scikit-learn 1.3 to 1.9).
OUTPUT_CONFIG, REQUESTS = "_sklearn_output_config", "_metadata_request"
# What scikit-learn keeps on an estimator beside its state: the version in a pickle (0.18 to
# 1.9), callbacks of a fit (1.9).
NOT_OF_THE_MODEL = ("_sklearn_version", "_skl_callbacks")
