"""Versions that a saved model was made with."""

import platform
import sys
import warnings

PACKAGES = ("sk_center", "numpy", "scipy", "sklearn", "skorch", "torch")


def versions():
    """Return the versions of Python and of the packages that are loaded, by name."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        if name in sys.modules:
            # Without that of a local build.
            found[name] = str(sys.modules[name].__version__).partition("+")[0]
    return found


def warn_of_versions(made_with, names=None):
    """Warn if a model was made with other versions of some packages than those here.

    Patch releases keep what others rely on: only what comes before them counts.
    """
    here = versions()
    differing = [
        f"{name} {made_with[name]} (here {here[name]})"
        for name in (made_with if names is None else names)
        if name in here
        and name in made_with
        and here[name].split(".")[:2] != made_with[name].split(".")[:2]
    ]
    if differing:
        warnings.warn(
            f"The model was made with {', '.join(differing)}. It may not work here as it "
            "did there: install those versions, or fit it anew. A file of sk_center.save "
            "depends less on versions than a pickle.",
            UserWarning,
            stacklevel=3,
        )
