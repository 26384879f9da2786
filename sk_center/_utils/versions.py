"""What a pickle should say of itself: versions it was made with, classes it needs."""

import platform
import sys
import warnings
from importlib import import_module

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


class Required:
    """Classes and functions that a pickle needs, by full name, looked up before all else.

    pickle itself raises an AttributeError at the first class that it cannot import, which
    tells nothing of the model nor of what to do.
    """

    def __init__(self, names):
        self.names = tuple(names)

    @classmethod
    def by(cls, estimator, *parts):
        """Return the classes that users give an estimator, some of whose modules are parts.

        Those of packages that are there anyway are left out.
        """
        callbacks = estimator.callbacks if isinstance(estimator.callbacks, list) else []
        parts = [
            estimator.module,
            estimator.optimizer,
            *(part[1] if isinstance(part, tuple) else part for part in callbacks),
            *parts,
        ]
        found = {part if hasattr(part, "__qualname__") else type(part) for part in parts}
        return cls(
            sorted(
                f"{value.__module__}:{value.__qualname__}"
                for value in found
                if value.__module__.partition(".")[0] not in ("builtins", *PACKAGES)
            )
        )

    def __reduce__(self):
        # cloudpickle, which joblib's workers use, carries classes that others do not have.
        return (Required, ((),)) if in_cloudpickle() else (find, (self.names,))

    def __deepcopy__(self, memo):
        return self


def find(names):
    """Return the requirement, or raise ImportError if one of the names is not there.

    A name is a module and the name within it, with a colon between.
    """
    for name in names:
        module, _, path = name.partition(":")
        try:
            found = import_module(module)
            for part in path.split("."):
                found = getattr(found, part)
        except (ImportError, AttributeError) as error:
            raise ImportError(
                f"The pickled model needs {path} of the module {module!r}, which is not "
                "to be found here. Make it importable under that name: define it in a "
                "module that both programs import. Or write the model with sk_center.save "
                f"and read it with sk_center.load(path, module={path})."
            ) from error
    return Required(names)


def in_cloudpickle():
    """Return whether cloudpickle is writing the pickle; a pickler does not show itself."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__", "").endswith("cloudpickle.cloudpickle"):
            return True
        frame = frame.f_back
    return False
