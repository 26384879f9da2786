"""Docstrings, README, names and what importing them costs."""

import inspect
import os
import pkgutil
import re
import subprocess
import sys
from doctest import DocTestParser
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from numpydoc.docscrape import NumpyDocString
from numpydoc.hooks.validate_docstrings import parse_config
from numpydoc.validate import validate
from sklearn.datasets import load_iris
from sklearn.mixture import GaussianMixture

import sk_center
from sk_center import CenterLossClassifier, OpenSetClassifier

ROOT = Path(__file__).parents[1]
# The section [tool.numpydoc_validation] of pyproject.toml, less what it leaves out.
CHECKS = parse_config(ROOT)["checks"]
# What is public: the names in the ``__all__`` of every module without an underscore.
MODULES = [
    import_module(f"sk_center.{module.name}")
    for module in pkgutil.iter_modules(sk_center.__path__)
    if not module.name.startswith("_")
]
PUBLIC = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in MODULES
    for name in module.__all__
}
DOCUMENTED = {
    name: thing
    for name, thing in PUBLIC.items()
    if inspect.isclass(thing) or inspect.isfunction(thing)
}


def is_ours(thing):
    """Whether a class or function is defined in sk_center, and not inherited."""
    return (getattr(thing, "__module__", None) or "").startswith("sk_center.")


def public_functions(cls):
    """Yield our public methods and properties of a class, as functions."""
    for name in dir(cls):
        if name.startswith("_"):
            continue
        member = getattr(cls, name)
        member = member.fget if isinstance(member, property) else member
        function = inspect.unwrap(getattr(member, "__func__", member))  # of a class method
        if inspect.isfunction(function) and is_ours(function):
            yield function


def validated_names():
    """Return the full names of all that is public and has a docstring of ours."""
    things = [*DOCUMENTED.values()]
    for cls in filter(inspect.isclass, things.copy()):
        things += public_functions(cls)
    names = {f"{thing.__module__}.{thing.__qualname__}" for thing in things}
    # numpydoc looks for a definition, and packages define nothing themselves.
    modules = {m.__name__ for m in MODULES if not hasattr(m, "__path__")}
    return sorted({"sk_center", *modules, *names})


@pytest.mark.parametrize("name", validated_names())
def test_docstring_follows_numpydoc(name):
    """Check that a docstring passes numpydoc, and shows an example where it must."""
    wanted = CHECKS | ({"EX01"} if name in DOCUMENTED else set())
    found = validate(name)["errors"]
    assert [f"{code}: {text}" for code, text in found if code in wanted] == []


@pytest.mark.parametrize("name", DOCUMENTED)
def test_docstring_has_doctest(name):
    """Check that the docstring of a public class or function has an example that runs."""
    assert DocTestParser().get_examples(DOCUMENTED[name].__doc__) != []


def test_public_names_agree():
    """Check that what the package lists is public in the module that it comes from."""
    public = {name.rpartition(".")[2]: thing for name, thing in PUBLIC.items()}
    for name in sk_center.__all__:
        thing = getattr(sk_center, name)
        assert thing in MODULES or public[name] is thing


def test_reference_lists_public_names(tree):
    """Check that the API reference has a page for each public class and function."""
    reference = (tree / "docs" / "api.rst").read_text(encoding="utf-8")
    entries = re.findall(r"^   ([a-z_]+\.)?(\w+)$", reference, re.MULTILINE)
    listed = [
        getattr(import_module(f"sk_center.{module.rstrip('.')}"), name)
        if module
        else getattr(sk_center, name)
        for module, name in entries
    ]
    assert set(listed) == set(DOCUMENTED.values())
    assert len(listed) == len(DOCUMENTED)


def fitted():
    """Yield fitted estimators, scores and calibrations, and displays that were drawn."""
    X, y = load_iris(return_X_y=True, as_frame=True)
    known = y < 2
    classifier = CenterLossClassifier(max_epochs=2, random_state=0)
    model = OpenSetClassifier(
        classifier, conformity_score="center_distance", false_rejection_rate=0.1, cv=0.5
    )
    yield model.fit(X[known], y[known])
    yield model.estimator_
    for calibration in ("conformal", "gaussian", "weibull"):
        yield model.set_params(calibration=calibration).fit(X, y).calibration_
    features, labels = X.to_numpy(), y.to_numpy()
    parts = {"features": features, "inputs": features, "logits": features[:, :3]}
    parts["probabilities"] = parts["logits"]
    for name in sk_center.scores.__all__:
        score = getattr(sk_center.scores, name)
        if name == "BaseScore":
            continue
        needs = {
            "Combined": [[sk_center.scores.KNeighbors()]],
            "FunctionScore": [np.sum],
            "PerClass": [GaussianMixture()],
        }
        score = score(*needs.get(name, []))
        yield score.fit(parts, y)
    model.fit(X[known], y[known])
    monitor = sk_center.RejectionMonitor(model).fit(X[known], y[known]).update(X)
    yield monitor
    yield sk_center.MonitorDisplay.from_estimator(monitor)
    for name in {*sk_center.plotting.__all__} - {"MonitorDisplay"}:
        yield getattr(sk_center, name).from_estimator(model, X, labels)


def test_attributes_are_documented():
    """Check that sections Attributes list what ends in an underscore, all and only that."""
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.close("all")  # figures of other tests
    differ = {}
    for thing in fitted():
        cls = type(thing)
        section = NumpyDocString(inspect.getdoc(cls))["Attributes"]
        listed = {name for entry in section for name in entry.name.split(", ")}
        there = {name for name in dir(thing) if hasattr(thing, name)}
        differ[cls.__name__] = {
            name
            for name in listed ^ there
            if name.endswith("_") and not name.startswith("_")
        }
    plt.close("all")
    assert {name: names for name, names in differ.items() if names} == {}


def pages():
    """Return the README and the pages that hold python code; none away from the tree."""
    files = [*ROOT.glob("README.md"), *sorted(ROOT.glob("docs/**/*.md"))]
    texts = {
        str(file.relative_to(ROOT)): file.read_text(encoding="utf-8") for file in files
    }
    return [name for name, text in texts.items() if "```python" in text]


# It imports all anew, as all do; the others train for longer.
QUICK = str(Path("docs", "guide", "open_set_recognition.md"))


@pytest.mark.parametrize(
    "name",
    [k if k == QUICK else pytest.param(k, marks=pytest.mark.slow) for k in pages()],
)
def test_page_runs(name, tmp_path):
    """Check that the python blocks of a page run in order, as one script."""
    page = (ROOT / name).read_text(encoding="utf-8")
    blocks = list(re.finditer(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE))
    assert len(blocks) == page.count("```python")
    code = ""
    for block in blocks:
        # Blank lines give the code the line numbers that it has in the page.
        code += "\n" * (page.count("\n", 0, block.start(1)) - code.count("\n")) + block[1]
    script = tmp_path / "page.py"
    script.write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_benchmark_tables_are_those_of_the_results(tree):
    """Check that every measured number of the benchmark pages is in a generated table."""
    folder = tree / "docs" / "benchmarks"
    results = "".join(
        file.read_text(encoding="utf-8") for file in (folder / "results").glob("*.md")
    )
    pages = "".join(file.read_text(encoding="utf-8") for file in folder.glob("*.md"))
    shown = set(re.findall(r"\d+\.\d+ ± \d+\.\d+", pages))
    assert len(shown) > 30
    assert {number for number in shown if number not in results} == set()


@pytest.mark.parametrize("name", pages())
def test_no_line_is_lost(name):
    """Check that no line begins with the percent sign, which starts a comment in MyST."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("%")] == []


def test_no_machine_paths(tree):
    """Check that no file holds an absolute path of somebody's machine."""
    path = re.compile(r"(?<![\w.~])(?<!:/)/(?:home|mnt|opt|root|srv|tmp|Users|work)\b")
    lines = (tree / ".gitignore").read_text(encoding="utf-8").splitlines()
    ignored = [".git", *(line.rstrip("/") for line in lines)]

    def kept(names):
        return [name for name in names if not any(fnmatch(name, line) for line in ignored)]

    found = []
    for folder, folders, files in os.walk(tree):
        folders[:] = kept(folders)
        for file in kept(files):
            text = Path(folder, file).read_text(encoding="utf-8", errors="ignore")
            found += [f"{Path(folder, file)}: {match[0]}" for match in path.finditer(text)]
    assert found == []
