"""How the objects of a class are saved: its parameters, and what fitting has set."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass

from sk_center._utils.compat import (
    NOT_OF_THE_MODEL,
    OUTPUT_CONFIG,
    REQUESTS,
    validate_parameter_constraints,
)
from sk_center._utils.schema import check_state, saved_state

# Parameters of a training or of a machine, and prefixes of such: how many processes and
# compilers are started, and where is written, the one who loads a model decides.
NOT_SAVED = (
    "callbacks",
    "checkpoint_dir",
    "checkpoint_every",
    "compile",
    "memory",
    "n_jobs",
    "torch_load_kwargs",
)
# The same of the loaders of data, and what goes with their processes alone.
NOT_SAVED_OF_LOADERS = (
    "multiprocessing_context",
    "num_workers",
    "persistent_workers",
    "prefetch_factor",
    "worker_init_fn",
)


def parameters(value):
    """Return the parameters of an object by name: of ``get_params``, or ``__init__``."""
    if hasattr(value, "get_params"):
        return value.get_params(deep=False)
    names = inspect.signature(type(value)).parameters
    return {name: getattr(value, name) for name in names}


@dataclass(eq=False)
class Kind:
    """How the objects of one class are saved.

    A class of sk_center declares what fitting sets, see :mod:`sk_center._utils.schema`.
    """

    id: str  # stands for the class in files
    class_: type
    # Checks of the attributes that are saved, where the class does not declare them.
    state: dict | None = None
    strict: bool = True  # whether further attributes are an error; else they are left out
    params: Callable = parameters

    def __post_init__(self):
        if self.state is None:
            self.state = saved_state(self.class_)

    @property
    def is_record(self):
        """Whether objects have nothing but state: they are no estimators."""
        return is_dataclass(self.class_)

    def params_of(self, value):
        """Return the parameters of an object, as they are saved."""
        params = {} if self.is_record else self.params(value)
        return {name: params[name] for name in params if is_saved(name)}

    def state_of(self, value, params):
        """Return what fitting has set on an object."""
        apart = {*params, *NOT_OF_THE_MODEL, OUTPUT_CONFIG, REQUESTS, "_versions"}
        state = {
            name: attribute
            for name, attribute in value.__getstate__().items()  # as lean as a pickle
            if name not in apart and is_saved(name)
        }
        known = {name.removeprefix("?") for name in self.state}
        unknown = sorted({*state} - known)
        if unknown and self.strict:
            raise ValueError(
                f"it has the attributes {unknown}, of which sk_center knows nothing"
            )
        return {name: state[name] for name in state if name in known}

    def make(self, params):
        """Return an object that is not fitted."""
        if self.is_record:
            return object.__new__(self.class_)
        # skorch lets any attribute pass as a parameter.
        hidden = [name for name in params if name.startswith("_") or name.endswith("_")]
        if hidden:
            raise ValueError(f"{hidden} are no parameters of a {self.id}")
        value = self.class_(**params)
        constraints = getattr(self.class_, "_parameter_constraints", {})
        validate_parameter_constraints(constraints, params, caller_name=self.id)
        return value

    def restore(self, value, state):
        """Give an object what fitting had set."""
        check_state(self.id, self.state, state)
        vars(value).update(state)
        if hasattr(value, "_check_loaded"):
            value._check_loaded()


def is_saved(name):
    """Return whether a parameter belongs to the model, not to a training or a machine."""
    prefix, _, rest = name.partition("__")
    return prefix not in NOT_SAVED and rest not in NOT_SAVED_OF_LOADERS
