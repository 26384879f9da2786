"""Which classes a file may hold, and what they are called in it.

An id is the public name of a class: of those of sk_center without the name of the package,
such as ``"OpenSetClassifier"`` or ``"scores.Mahalanobis"``, so a class may move to another
module.
"""

from functools import cache
from importlib import import_module

from sk_center import calibration, scores
from sk_center._persistence.kinds import Kind

PACKAGE = "sk_center"
OURS = (
    "CenterLossClassifier",
    "CenterLossNet",
    "LeaveClassesOut",
    "OpenSetClassifier",
    "RejectionMonitor",
    "monitoring.Bag",
    "monitoring.Martingales",
    "networks.RandomAffine",
    "open_set.CalibrationReport",
    *(f"scores.{name}" for name in scores.__all__),
    *(f"calibration.{name}" for name in calibration.__all__),
)
# Classes of others, of which parameters alone are saved.
OTHERS = (
    "skorch.dataset.ValidSplit",
    "sklearn.frozen.FrozenEstimator",
    "sklearn.pipeline.Pipeline",
)
# Kinds of objects that can be saved on their own.
MODELS = (
    "CenterLossClassifier",
    "OpenSetClassifier",
    "RejectionMonitor",
    "sklearn.frozen.FrozenEstimator",
    "sklearn.pipeline.Pipeline",
)
BY_CLASS_NAME = {id_.rpartition(".")[2]: id_ for id_ in (*OURS, *OTHERS)}


@cache
def kind_by(id_):
    """Return the kind of an id; raise ValueError if there is none."""
    if id_ not in OURS and id_ not in OTHERS:
        raise ValueError(f"it holds a {id_!r:.50}, of which this version knows nothing")
    full_name = f"{PACKAGE}.{id_}" if id_ in OURS else id_
    module, _, name = full_name.rpartition(".")
    class_ = getattr(import_module(module), name)
    if not isinstance(class_, type):
        raise ValueError(f"{id_} is no class")
    if id_ == "CenterLossNet":  # what its kind does takes torch
        return import_module("sk_center._persistence.saved_net").NetKind(id_, class_)
    if id_ in OTHERS:
        return Kind(id_, class_, state={}, strict=False)
    if id_ == "networks.RandomAffine":
        return Kind(id_, class_, {}, strict=False, params=lambda module: module.ranges)
    return Kind(id_, class_)


def kind_of(value):
    """Return the kind of an object, or None if it is of none.

    That is the kind of its very class: a subclass may do anything.
    """
    id_ = BY_CLASS_NAME.get(type(value).__name__)
    if id_ is None:
        return None
    kind = kind_by(id_)
    return kind if type(value) is kind.class_ else None
