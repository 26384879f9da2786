"""The package itself: its modules, and what importing them costs."""

import pkgutil
import subprocess
import sys

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
    """Check that modules need no import of their own, and load when they are touched."""
    code = (
        "import sys, sk_center\n"
        f"for name in {NEED_NO_TORCH}: assert getattr(sk_center, name).__all__\n"
        "print('torch' in sys.modules, 'matplotlib' in sys.modules)\n"
        f"for name in {MODULES}:\n"
        "    assert getattr(sk_center, name).__name__ == 'sk_center.' + name\n"
        "print('torch' in sys.modules)\n"
    )
    assert set(NEED_NO_TORCH) < set(MODULES)
    assert printed_by(code) == ["False", "False", "True"]


def test_names_of_the_package_are_listed():
    """Check that dir, which editors read, names modules, classes and functions."""
    listed = dir(sk_center)
    assert set(MODULES) | set(sk_center.__all__) <= set(listed)
    assert set(MODULES) <= set(sk_center.__all__)
