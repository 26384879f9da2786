"""Checks of what fitting sets, for files that may hold anything.

A class that can be saved says beside its ``fit`` what that sets, as a class attribute::

    _saved_state = {"means_": array("f", "K", "columns"), "?feature_names_in_": names}

A check is a function of a value and of the sizes that are known so far, by name. It raises
ValueError where the value is not as fitting sets it, and adds the sizes that the value
tells. A name that begins with "?" may be missing. A class has the attributes of its bases,
too. What several attributes must fulfill together, a method ``_check_loaded(self)`` checks,
which may also set what follows from the rest.
"""

from math import isfinite
from numbers import Integral, Real

import numpy as np
from scipy.sparse import issparse


def saved_state(class_):
    """Return the checks of all attributes that fitting an object of a class sets."""
    found = {}
    for base in reversed(class_.__mro__):
        found.update(vars(base).get("_saved_state", {}))
    return found


def check_state(owner, checks, state):
    """Raise ValueError, which names the owner, unless a state passes the checks."""
    known = {name.removeprefix("?") for name in checks}
    missing = sorted({name for name in checks if not name.startswith("?")} - {*state})
    unknown = sorted({*state} - known)
    if unknown or missing:
        raise ValueError(f"a {owner} has no attributes {unknown}, and needs {missing}")
    sizes = {}
    for name, check in checks.items():
        name = name.removeprefix("?")
        if name in state:
            try:
                check(state[name], sizes)
            except ValueError as error:
                raise ValueError(f"{owner}.{name} {error}") from error


def check_that(what, holds):
    """Return a check that a value is ``what``: that a function of it is true."""

    def check(value, sizes):
        if not holds(value):
            raise ValueError(f"must be {what}; got {value!r:.50}")

    return check


def is_number(value, kind=Real):
    """Return whether a value is a finite number of a kind, and no boolean."""
    return isinstance(value, kind) and not isinstance(value, bool) and isfinite(value)


none = check_that("None", lambda value: value is None)
label = check_that("a label", lambda value: isinstance(value, (str, Real, np.generic)))
boolean = check_that("a boolean", lambda value: isinstance(value, bool))
number = check_that("a finite number", is_number)
positive = check_that("a positive number", lambda value: is_number(value) and value > 0)
integer = check_that(
    "an integer >= 0", lambda value: is_number(value, Integral) and value >= 0
)


def one_of(*known):
    """Return a check for one of some strings."""
    return check_that(
        f"one of {known}", lambda value: isinstance(value, str) and value in known
    )


def instance_of(class_):
    """Return a check for instances of a class."""
    return check_that(f"a {class_.__name__}", lambda value: isinstance(value, class_))


def having(method):
    """Return a check for objects with a method."""
    return check_that(
        f"an object with the method {method}",
        lambda value: callable(getattr(value, method, None)),
    )


def array(kinds, *dims, sparse=False):
    """Return a check for arrays, and for CSR matrices where these may be ``sparse``.

    ``kinds`` are the kinds of dtype that are allowed. Each of ``dims`` is the size of an
    axis, the name of a size that axes have in common, or None for any.
    """

    def check(value, sizes):
        known = isinstance(value, np.ndarray)
        known |= sparse and issparse(value) and value.format == "csr"
        if not known or value.dtype.kind not in kinds:
            got = " ".join([type(value).__name__, str(getattr(value, "dtype", ""))]).strip()
            raise ValueError(f"must be an array of one of the kinds {kinds!r}; got {got}")
        expected = [
            dim if isinstance(dim, int) else sizes.get(dim, "any size") for dim in dims
        ]
        if value.ndim != len(dims) or any(
            n not in (found, "any size") for n, found in zip(expected, value.shape)
        ):
            raise ValueError(f"must have the shape {tuple(expected)}; got {value.shape}")
        sizes.update((dim, n) for n, dim in zip(value.shape, dims) if isinstance(dim, str))

    return check


def bounded(check, least=-np.inf, most=np.inf):
    """Return a check for arrays of numbers, none of them NaN, between two bounds."""

    def check_bounds(value, sizes):
        check(value, sizes)
        if not ((value >= least) & (value <= most)).all():
            raise ValueError(f"must be between {least} and {most}")

    return check_bounds


def labels(value, sizes):
    """Check class labels: different ones, in order."""
    array("biufUO", "K")(value, sizes)
    if len(value) < 2 or not (value[1:] > value[:-1]).all():
        raise ValueError("must be sorted and hold no label twice")


def names(value, sizes):
    """Check names of features."""
    array("O", "inputs")(value, sizes)
    if not all(isinstance(name, str) for name in value):
        raise ValueError("must hold strings")


def size(dim):
    """Return a check for an integer that is the size of an axis."""

    def check(value, sizes):
        integer(value, sizes)
        if sizes.setdefault(dim, value) != value:
            raise ValueError(f"must be {sizes[dim]}; got {value}")

    return check


def sizes_of(names, total):
    """Return a check for a dict of sizes by name, whose sum is a size by the last name."""

    def check(value, sizes):
        if not isinstance(value, dict) or not value or not {*value} <= {*names}:
            raise ValueError(f"must be a dict of sizes by {names}; got {value!r:.50}")
        for name, n in value.items():
            size(name)(n, sizes)
        sizes[total] = sum(value.values())

    return check


def shape(value, sizes):
    """Check the shape of a sample."""
    if not isinstance(value, tuple):
        raise ValueError(f"must be a tuple; got {value!r:.50}")
    for n in value:
        integer(n, sizes)


def by_input(one):
    """Return a check for what holds of a sample, or by name of each of its inputs."""

    def check(value, sizes):
        if not isinstance(value, dict):
            return one(value, sizes)
        if not value or not all(isinstance(name, str) for name in value):
            raise ValueError(f"must name inputs; got {value!r:.50}")
        for part in value.values():
            one(part, sizes)

    return check


def each(one, length=None):
    """Return a check for the items of a list, as many as the number or named size says."""

    def check(value, sizes):
        expected = length if isinstance(length, int) else sizes.get(length, "any")
        if not isinstance(value, list) or expected not in ("any", len(value)):
            raise ValueError(f"must be a list of {expected} items; got {value!r:.50}")
        if isinstance(length, str):
            sizes[length] = len(value)
        # The same array may stand there many times.
        for item in {id(item): item for item in value}.values():
            one(item, sizes)

    return check


def by_class(one):
    """Return a check for a dict of what there is for some of the classes, by index."""

    def check(value, sizes):
        if not isinstance(value, dict) or not {*value} <= {*range(sizes["K"])}:
            raise ValueError(f"must be a dict by class index; got {value!r:.50}")
        for item in value.values():
            one(item, sizes)

    return check


def either(*checks):
    """Return a check that passes where one of several does."""

    def check(value, sizes):
        for i, one in enumerate(checks):
            try:
                return one(value, sizes)
            except ValueError:
                if i == len(checks) - 1:
                    raise

    return check
