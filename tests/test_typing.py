"""Hints of the public classes and functions; ``make lint`` has mypy check them."""

from __future__ import annotations

import ast
import inspect
import pkgutil
import typing
from functools import cache
from importlib import import_module

import pytest
import typed_use
from sklearn.utils._param_validation import StrOptions, make_constraint

import sk_center

MODULES = [
    import_module(f"sk_center.{module.name}")
    for module in pkgutil.iter_modules(sk_center.__path__)
    if not module.name.startswith("_")
]


def is_ours(thing):
    """Whether a class is defined in the package, and not inherited from another."""
    return thing.__module__.startswith("sk_center.")


def functions_of(thing):
    """Yield public functions and those of a class, with __init__, as (name, function)."""
    if inspect.isfunction(thing):
        yield thing.__name__, inspect.unwrap(thing)
        return
    ours = [base for base in reversed(thing.__mro__) if is_ours(base)]
    members = {name: member for base in ours for name, member in vars(base).items()}
    for name, member in members.items():
        if isinstance(member, classmethod | staticmethod):
            member = member.__func__
        if isinstance(member, property):
            member = member.fget
        # Methods of available_if lie in a descriptor.
        member = inspect.unwrap(getattr(member, "fn", member))
        if inspect.isfunction(member) and (name == "__init__" or not name.startswith("_")):
            yield f"{thing.__name__}.{name}", member


def is_defined_in(thing, module):
    """Whether a class or function is defined in a module or, of a package, a file of it."""
    return (getattr(thing, "__module__", "") + ".").startswith(module.__name__ + ".")


def hinted():
    """Return the public functions and methods of all public modules by their names."""
    found = {}
    for module in MODULES:
        for name, thing in vars(module).items():
            public = inspect.isclass(thing) or inspect.isfunction(thing)
            if public and not name.startswith("_") and is_defined_in(thing, module):
                for place, function in functions_of(thing):
                    if is_defined_in(function, module):  # not one of a dataclass
                        found[f"{module.__name__}.{place}"] = function
    return found


HINTED = hinted()
CLASSES = [
    thing
    for module in MODULES
    for thing in vars(module).values()
    if inspect.isclass(thing)
    and is_defined_in(thing, module)
    and vars(thing).get("_parameter_constraints")
]


@cache
def names_for_checkers(module):
    """Return what a module imports for type checkers, by name."""
    names = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            imports = ast.Module(node.body, type_ignores=[])
            exec(compile(imports, module.__name__, "exec"), names)
    return names


def hints_of(function):
    """Return the hints of a function, evaluated."""
    module = import_module(function.__module__)
    names = {**vars(module), **names_for_checkers(module)}
    return typing.get_type_hints(function, globalns=names)


def literals(hint):
    """Return the strings of a hint, and None where it is among them."""
    if typing.get_origin(hint) is typing.Literal:
        return {*typing.get_args(hint)}
    if hint is type(None):
        return {None}
    if typing.get_origin(hint) in (list, tuple, dict, typing.Callable):
        return set()
    return {value for part in typing.get_args(hint) for value in literals(part)}


def test_all_of_the_api_is_looked_at():
    """Check that classes, decorated methods, class methods and functions are found."""
    assert {
        "sk_center.open_set.OpenSetClassifier.predict_proba",
        "sk_center.classifier.CenterLossClassifier.fit",
        "sk_center.plotting.OSCRCurveDisplay.from_estimator",
        "sk_center.centers.Center.known",
        "sk_center.centers.Center.__init__",
        "sk_center.metrics.auroc_score",
    } <= {*HINTED}


@pytest.mark.parametrize("name", HINTED)
def test_hints_are_complete(name):
    """Check that each parameter and the result has a hint, of names that are there."""
    function = HINTED[name]
    parameters = [*inspect.signature(function).parameters]
    if "." in function.__qualname__:
        parameters = parameters[1:]  # self or cls
    assert {*hints_of(function)} == {*parameters, "return"}


@pytest.mark.parametrize("cls", CLASSES)
def test_hints_are_what_is_checked(cls):
    """Check that hints name the strings that fit accepts, and None where it does."""
    hints = hints_of(cls.__init__)
    for name, constraints in cls._parameter_constraints.items():
        if name not in hints:
            continue  # of a base class
        if constraints == "no_validation":
            continue  # the class checks it by itself
        options = [part.options for part in constraints if isinstance(part, StrOptions)]
        accepted = {option for part in options for option in part}
        if any(make_constraint(part).is_satisfied_by(None) for part in constraints):
            accepted.add(None)
        if str not in constraints:
            assert literals(hints[name]) == accepted, name


def test_names_load_as_checkers_read_them():
    """Check that the package imports for type checkers what it loads when used."""
    imported = names_for_checkers(sk_center)
    assert {name: imported[name] for name in sk_center.__all__} == {
        name: getattr(sk_center, name) for name in sk_center.__all__
    }
    assert {*imported} - {"__builtins__"} == {*sk_center.__all__}


def test_typed_program_runs(tmp_path, monkeypatch):
    """Check that the program whose types mypy checks runs, and gives those types."""
    monkeypatch.chdir(tmp_path)
    typed_use.main()


@pytest.mark.slow
def test_typed_export_runs(tmp_path, monkeypatch):
    """Check that the last part of that program runs."""
    monkeypatch.chdir(tmp_path)
    typed_use.exported(typed_use.main())
