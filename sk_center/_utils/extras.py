"""Packages that only some of what sk_center does takes."""

from importlib import import_module


def import_extra(name, extra, purpose):
    """Return a module of a package that an extra brings, or raise ImportError.

    ``purpose`` begins a sentence that the name ends, such as ``"to_onnx needs"``.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(
            f"{purpose} {name.partition('.')[0]}, which is not installed: "
            f'pip install "sk-center[{extra}]".'
        ) from error
