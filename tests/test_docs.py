"""Docstrings, README, names and what importing them costs."""

import inspect
import os
import re
import subprocess
import sys
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path

import pytest
from numpydoc.hooks.validate_docstrings import parse_config
from numpydoc.validate import validate

import sk_center

ROOT = Path(__file__).parents[1]
# The section [tool.numpydoc_validation] of pyproject.toml, less what it leaves out.
CHECKS = parse_config(ROOT)["checks"]
MODULES = [
    "centers",
    "losses",
    "metrics",
    "model_selection",
    "networks",
    "persistence",
    "plotting",
    "scores",
]
NAMES = [
    name for name in sk_center.__all__ if not inspect.ismodule(getattr(sk_center, name))
]


def is_ours(thing):
    """Whether a class or function is defined in sk_center, and not inherited."""
    return (getattr(thing, "__module__", None) or "").startswith("sk_center.")


def public_functions(cls):
    """Yield our public methods and properties of a class, as functions."""
    for name in dir(cls):
        if name.startswith("_"):
            continue
        member = getattr(cls, name)
        function = member.fget if isinstance(member, property) else inspect.unwrap(member)
        if inspect.isfunction(function) and is_ours(function):
            yield function


def public_names():
    """Return the full names of all that is public and has a docstring of ours."""
    modules = [import_module(f"sk_center.{name}") for name in MODULES]
    things = [getattr(sk_center, name) for name in NAMES]
    for module in modules:
        things += [
            thing
            for name, thing in vars(module).items()
            if not name.startswith("_")
            and (inspect.isclass(thing) or inspect.isfunction(thing))
            and thing.__module__ == module.__name__
        ]
    for cls in filter(inspect.isclass, things.copy()):
        things += public_functions(cls)
    names = {f"{thing.__module__}.{thing.__qualname__}" for thing in things}
    return sorted({"sk_center", *(module.__name__ for module in modules), *names})


@pytest.mark.parametrize("name", public_names())
def test_docstring_follows_numpydoc(name):
    """Check that a public docstring passes numpydoc's validation."""
    found = validate(name)["errors"]
    assert [f"{code}: {text}" for code, text in found if code in CHECKS] == []


@pytest.mark.parametrize("name", NAMES)
def test_docstring_has_example(name):
    """Check that the docstring of a public class or function shows an example."""
    assert "EX01" not in [code for code, _ in validate(f"sk_center.{name}")["errors"]]


def pages():
    """Return the README and the pages of the documentation that hold python code."""
    files = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    texts = {
        str(file.relative_to(ROOT)): file.read_text(encoding="utf-8") for file in files
    }
    return [name for name, text in texts.items() if "```python" in text]


@pytest.mark.parametrize("name", pages())
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


def test_benchmark_tables_are_those_of_the_results():
    """Check that every measured number of the benchmark pages is in a generated table."""
    folder = ROOT / "docs" / "benchmarks"
    results = "".join(
        file.read_text(encoding="utf-8") for file in (folder / "results").glob("*.md")
    )
    shown = (folder / "index.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"\d+\.\d+ ± \d+\.\d+", shown))
    assert len(shown) > 100
    assert {number for number in shown if number not in results} == set()


@pytest.mark.parametrize(
    "statement",
    [
        "import sk_center",
        "from sk_center import OpenSetClassifier",
        "from sk_center import LeaveClassesOut, metrics, scores",
    ],
)
def test_import_without_torch(statement):
    """Check that what needs no torch does not import it."""
    code = f"{statement}; import sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


@pytest.mark.parametrize("name", sorted({*sk_center.__all__, *dir(sk_center)}))
def test_name_resolves(name):
    """Check that every name that the package lists is there."""
    assert hasattr(sk_center, name)


def test_all_names_are_listed():
    """Check that dir() shows the lazy names, for completion in a shell."""
    assert set(sk_center.__all__) <= set(dir(sk_center))


def test_no_machine_paths():
    """Check that no file holds an absolute path of somebody's machine."""
    path = re.compile(r"(?<![\w.~])(?<!:/)/(?:home|mnt|opt|root|srv|tmp|Users|work)\b")
    lines = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    ignored = [".git", *(line.rstrip("/") for line in lines)]

    def kept(names):
        return [name for name in names if not any(fnmatch(name, line) for line in ignored)]

    found = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = kept(folders)
        for file in kept(files):
            text = Path(folder, file).read_text(encoding="utf-8", errors="ignore")
            found += [f"{Path(folder, file)}: {match[0]}" for match in path.finditer(text)]
    assert found == []
