"""The package itself: its modules, and what importing them costs."""

import pkgutil
import subprocess
import sys

import pytest

import sk_center

MODULES = [
    module.name
    for module in pkgutil.iter_modules(sk_center.__path__)
    if not module.name.startswith("_")
]
NEED_NO_TORCH = [
    "calibration",
    "metrics",
    "model_selection",
    "open_set",
    "plotting",
    "scores",
]


def printed_by(code):
    """Return what a program prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_every_public_module_is_an_attribute():
    """Check that modules load when they are touched, without torch where none is needed."""
    code = (
        "import sys, sk_center\n"
        f"for name in {NEED_NO_TORCH}: assert getattr(sk_center, name).__all__\n"
        "from sk_center import OpenSetClassifier, LeaveClassesOut, FeatureSpaceDisplay\n"
        "print('torch' in sys.modules, 'matplotlib' in sys.modules)\n"
        f"for name in {MODULES}:\n"
        "    assert getattr(sk_center, name).__name__ == 'sk_center.' + name\n"
        "print('torch' in sys.modules)\n"
    )
    assert set(NEED_NO_TORCH) < set(MODULES)
    assert printed_by(code) == ["False", "False", "True"]


@pytest.mark.parametrize("name", sorted({*sk_center.__all__, *dir(sk_center)}))
def test_name_resolves(name):
    """Check that every name that the package lists is there."""
    assert hasattr(sk_center, name)


def test_all_names_are_listed():
    """Check that dir() shows the lazy names, for completion in a shell."""
    assert set(MODULES) <= set(sk_center.__all__) <= set(dir(sk_center))
