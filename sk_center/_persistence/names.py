"""Classes and functions by name: which a file may use, and what they are called in it."""

from functools import cache
from pkgutil import resolve_name

# The networks that a file may name without being trusted.
NETWORKS = ("networks.ConvNet", "networks.MLP")
# What else a file may name of sk_center.
PARTS = (
    "batches.ArrayDataset",
    "batches.TensorBatches",
    "centers.simplex_etf",
    *NETWORKS,
)


def name_of(value):
    """Return what a class or function is called in files."""
    package = value.__module__.partition(".")[0]
    if package == "sk_center":
        for name in PARTS:
            if name.endswith(f".{value.__qualname__}") and built_in(name) is value:
                return name
    known = public_of_torch().get(value) if package == "torch" else None
    return known or f"{value.__module__}.{value.__qualname__}"


def built_in(name):
    """Return what every file may name, by its name, or None."""
    if name in PARTS:
        return imported(f"sk_center.{name}")
    if name.startswith("torch."):
        for value, public in public_of_torch().items():
            if public == name:
                return value
    return None


def imported(name):
    """Import a class or function by its full name; raise ValueError if there is none."""
    try:
        return resolve_name(name)
    except (AttributeError, ImportError, ValueError) as error:
        raise ValueError(
            f"{name} cannot be imported here; make it importable, or pass the class "
            "itself: module=... for the module, trusted=[...] for others"
        ) from error


def is_importable(name):
    """Return whether there is a class or function of that full name."""
    try:
        imported(name)
    except ValueError:
        return False
    return True


@cache
def public_of_torch():
    """Return what every file may name of torch, with its public name.

    Those are optimizers and losses. No layers: some take as long, and as much memory, as
    a number that they are given says.
    """
    import torch
    from torch.utils.data import DataLoader

    names = {DataLoader: "torch.utils.data.DataLoader"}
    for name, found in vars(torch.optim).items():
        if isinstance(found, type) and issubclass(found, torch.optim.Optimizer):
            names[found] = f"torch.optim.{name}"
    for name, found in vars(torch.nn).items():
        # That one has layers.
        if name.endswith("Loss") and name != "AdaptiveLogSoftmaxWithLoss":
            names[found] = f"torch.nn.{name}"
    return names
