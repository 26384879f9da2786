"""Parameters and history of a net, without the parts that belong to one training."""

from numbers import Integral, Real
from os import PathLike
from typing import Any

from sklearn import get_config

from sk_center._training.loss_terms import NEGATIVE_LOSSES
from sk_center._training.schedule import SCHEDULES
from sk_center._utils.compat import Interval, StrOptions, validate_parameter_constraints
from sk_center.centers.update_rules import UPDATE_RULES
from sk_center.networks.center_module import HEADS, METRICS, PRECISIONS

# Parameters of CenterLossNet that the classifier passes on, and what they may be.
NET_CONSTRAINTS: dict[str, Any] = {
    "alpha": [Interval(Real, 0, 1, closed="left")],
    "center": ["array-like", StrOptions({"simplex"}), callable, None],
    "center_update": [StrOptions(set(UPDATE_RULES))],
    "checkpoint_dir": [str, PathLike, None],
    "checkpoint_every": [Interval(Integral, 1, None, closed="left")],
    "compile": ["boolean"],
    "criterion": "no_validation",
    "dataset": "no_validation",
    "deterministic": ["boolean"],
    "gradient_accumulation_steps": [Interval(Integral, 1, None, closed="left")],
    "head": [StrOptions(set(HEADS))],
    "iterator_train": "no_validation",
    "iterator_valid": "no_validation",
    "lambda_norm": [Interval(Real, 0, None, closed="left")],
    "lambda_orientation": [Interval(Real, 0, None, closed="left")],
    "metric": [StrOptions(set(METRICS))],
    "negative_loss": [StrOptions(set(NEGATIVE_LOSSES))],
    "precision": [StrOptions(set(PRECISIONS))],
    "torch_load_kwargs": "no_validation",
    "train_split": "no_validation",
    "use_caching": "no_validation",
}
# Those of CenterLossNet itself.
CONSTRAINTS: dict[str, Any] = {
    **NET_CONSTRAINTS,
    "lambda_center": [Interval(Real, 0, None, closed="left")],
    "lr_schedule": [StrOptions(set(SCHEDULES)), None],
    "negative_loss": [StrOptions(set(NEGATIVE_LOSSES)), None],
}
# Parameters of a training, not of the model, and prefixes of such.
OF_TRAINING = ("callbacks", "checkpoint_dir", "checkpoint_every")


def check_params(net):
    """Raise an error that names a parameter of a wrong value, unless that is skipped."""
    if not get_config()["skip_parameter_validation"]:
        validate_parameter_constraints(
            net._parameter_constraints, vars(net), caller_name=type(net).__name__
        )


def params_of(net):
    """Return the parameters of a net, or of a callback, as they were given."""
    return {
        name: value
        for name, value in vars(net).items()
        if not name.endswith("_")
        and not name.startswith("_")
        and name != "classes"
        and name.partition("__")[0] not in OF_TRAINING
    }


def without_batches(history):
    """Return copies of the rows of a history, without the records of batches."""
    return [{**row, "batches": []} if "batches" in row else dict(row) for row in history]
