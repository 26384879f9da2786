"""Parameters of the skorch net on a scikit-learn estimator, by their skorch names."""

from __future__ import annotations

import inspect
from typing import Any, Self

from torch.utils.data import DataLoader

from sk_center._classifier.names import OTHER_NAMES, did_you_mean
from sk_center._training.params import NET_CONSTRAINTS
from sk_center._utils.compat import validate_parameter_constraints
from sk_center.batches import TensorBatches

NET_PREFIXES = (
    "module",
    "optimizer",
    "criterion",
    "iterator_train",
    "iterator_valid",
    "dataset",
    "callbacks",
    "compile",
    "negative_loss",
)


class NetParamsMixin:
    """Let an estimator take, list, set and clone parameters of its skorch net.

    The parameters come as keyword arguments of ``__init__``, which hands them to
    ``_store_net_params``, and lie beside the others as attributes.
    """

    def _store_net_params(self, params, error):
        """Store keyword arguments, or raise ``error`` that names the closest valid one."""
        for name in params:
            if _is_net_param(name):
                continue
            # scikit-learn's checks set each name in the signature of __init__, that of
            # the catch-all too, and expect a refusal in fit at the earliest.
            if name == "skorch_params":
                continue
            known = [*self._get_param_names(), *NET_CONSTRAINTS]
            rest = name.partition("__")[2]
            known += [f"{prefix}__{rest}" for prefix in NET_PREFIXES if rest]
            known += [OTHER_NAMES[name]] if name in OTHER_NAMES else []
            raise error(
                f"{name!r} is not a parameter of {type(self).__name__}"
                f"{did_you_mean(name, known)}"
            )
        vars(self).update(params)

    def _net_params(self):
        """Return the stored parameters of the net."""
        return {name: value for name, value in vars(self).items() if _is_net_param(name)}

    def _validate_params(self):
        """Raise an error that names a parameter of a wrong value, also one of the net."""
        super()._validate_params()
        validate_parameter_constraints(
            NET_CONSTRAINTS, self._net_params(), caller_name=type(self).__name__
        )

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the parameters, those of the net among them.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the parameters of estimators among the parameters.

        Returns
        -------
        params : dict
            Parameter names mapped to their values.
        """
        # A subclass may fix parameters of the net in an __init__ without arguments.
        arguments = inspect.signature(type(self).__init__).parameters.values()
        takes_them = any(argument.kind == argument.VAR_KEYWORD for argument in arguments)
        net = self._net_params() if takes_them else {}
        return {**super().get_params(deep=deep), **net}  # type: ignore[misc]

    def set_params(self, **params: Any) -> Self:
        """Set parameters, those of the net by their skorch names.

        Parameters
        ----------
        **params : dict
            Parameter names mapped to their values.

        Returns
        -------
        self : estimator
            This estimator.
        """
        names = self._get_param_names()  # type: ignore[attr-defined]
        own = {name: value for name, value in params.items() if name in names}
        net = {name: value for name, value in params.items() if name not in names}
        self._store_net_params(net, ValueError)
        return super().set_params(**own)  # type: ignore[misc]


def check_prefixed(params, prefix, target, also=()):
    """Raise ValueError if ``target`` takes no argument of a name with this prefix."""
    try:
        arguments = inspect.signature(target).parameters
    except (TypeError, ValueError):  # a callable without a signature raises its own error
        return
    if target is TensorBatches:
        arguments = {**arguments, **inspect.signature(DataLoader).parameters}
        arguments = arguments.keys() - {"loader", "device"}
    elif any(argument.kind == argument.VAR_KEYWORD for argument in arguments.values()):
        return
    names = [*arguments, *also]
    for name in params:
        head, _, rest = name.partition("__")
        if head == prefix and rest and rest.partition("__")[0] not in names:
            right = [f"{prefix}__{known}" for known in names]
            raise ValueError(
                f"{name!r} is not a parameter of {getattr(target, '__name__', target)}"
                f"{did_you_mean(name, right)}"
            )


def check_callback_names(params, callbacks):
    """Raise ValueError if ``callbacks__<name>`` names none of the callbacks."""
    names = ["early_stopping", "epoch_timer", "print_log"]
    for callback in [] if callbacks in (None, "disable") else callbacks:
        if isinstance(callback, tuple):
            names.append(callback[0])
        else:
            names.append(getattr(callback, "__name__", type(callback).__name__))
    for name in params:
        head, _, rest = name.partition("__")
        callback = rest.partition("__")[0]
        # skorch numbers callbacks of one class: EpochScoring_1, EpochScoring_2.
        if head == "callbacks" and not {callback, callback.rpartition("_")[0]} & {*names}:
            right = [f"callbacks__{known}" for known in names]
            raise ValueError(f"{name!r} names no callback{did_you_mean(name, right)}")


def _is_net_param(name):
    prefix, _, rest = name.partition("__")
    return name in NET_CONSTRAINTS or (rest != "" and prefix in NET_PREFIXES)
