"""The map of the package in docs/how_it_works.md: what is on it, and who imports whom."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
if not (ROOT / "README.md").exists():
    pytest.skip("reads files of the source tree", allow_module_level=True)
PAGE = (ROOT / "docs" / "how_it_works.md").read_text(encoding="utf-8")
MODULES = sorted({path.stem for path in ROOT.glob("sk_center/*.py")} - {"__init__"})
# _saved_net needs torch, and _kinds must not: it asks only where a net is saved or loaded.
UPWARDS = {"_kinds": {"_saved_net"}}


def layers():
    """Return each line of the map, from top to bottom: its heading and its modules."""
    found, heading = [], None
    text = re.search(r"^```text\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)[1]
    for line in filter(None, text.split("\n")):
        if line.startswith("  "):
            found.append((heading, line.split()))
        else:
            heading = line
    return found


LEVELS = {module: i for i, (_, line) in enumerate(layers()) for module in line}
HEADINGS = {module: heading for heading, line in layers() for module in line}


def imports(module, inside_functions):
    """Return the names that a module imports at its top, or inside functions."""

    def statements(node, inside=False):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue  # never run
            if inside == inside_functions:
                yield child
            yield from statements(child, inside or isinstance(child, ast.FunctionDef))

    source = (ROOT / "sk_center" / f"{module}.py").read_text(encoding="utf-8")
    names = set()
    for node in statements(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def modules_in(names):
    """Return the modules of the package that are among imported names."""
    paths = [name.split(".") for name in names]
    return {path[1] for path in paths if path[0] == "sk_center"} & {*MODULES}


def test_every_module_is_on_the_page():
    """Check that the map names every module once, and a table says what it is for."""
    assert sorted(module for _, line in layers() for module in line) == MODULES
    told = re.findall(r"^\| `(\w+)` \| ", PAGE, re.MULTILINE)
    assert sorted(name for name in told if not name.startswith("test_")) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_modules_import_from_below(module):
    """Check that a module imports only modules on lines below its own."""
    found = modules_in(imports(module, inside_functions=False))
    found |= modules_in(imports(module, inside_functions=True)) - UPWARDS.get(module, set())
    assert [name for name in found if LEVELS[name] <= LEVELS[module]] == []


def test_imports_are_found():
    """Check that the tests here see imports."""
    found = imports("_responses", inside_functions=False)
    assert {"_nested", "scores"} == modules_in(found)
    assert {"batches"} == modules_in(imports("_responses", inside_functions=True))


def test_modules_with_torch():
    """Check that those modules import torch that the map says need it."""
    needing = {module for module in MODULES if "with torch" in HEADINGS[module]}
    for module in needing:
        found = imports(module, inside_functions=False)
        assert "torch" in {name.partition(".")[0] for name in found}, module


def test_modules_without_torch():
    """Check that all others are imported without torch."""
    modules = [module for module in MODULES if "without torch" in HEADINGS[module]]
    assert len(modules) > 10
    code = "import sys; from importlib import import_module\n"
    code += f"for name in {modules}: import_module(f'sk_center.{{name}}')\n"
    code += "print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


def test_names_on_the_page_exist():
    """Check that what the page writes as code is to be found in the code."""
    sources = [
        path for part in ("sk_center", "tests") for path in ROOT.glob(f"{part}/*.py")
    ]
    sources += ROOT.glob("benchmarks/*.py")
    words = {*(path.stem for path in [*sources, *ROOT.iterdir()]), "py", "md"}
    for path in sources:
        words |= {*re.findall(r"\w+", path.read_text(encoding="utf-8"))}
    text = re.sub(r"^```.*?^```$|\{ref\}`[^`]*`", "", PAGE, flags=re.DOTALL | re.MULTILINE)
    used = re.findall(r"\w+", " ".join(re.findall(r"`([^`\n]+)`", text)))
    assert len(used) > 100
    assert sorted({*used} - words) == []
