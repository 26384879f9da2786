"""Warnings that point at the user's line."""

import sys
import warnings

# Between the user's call and a warning lie frames of these packages alone.
INTERNAL = ("sk_center", "sklearn", "skorch", "joblib", "torch", "contextlib", "functools")


def warn_user(message, category=UserWarning):
    """Warn at the innermost line that is neither ours nor of the packages between."""
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and _package_of(frame) in INTERNAL:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def _package_of(frame):
    return frame.f_globals.get("__name__", "").partition(".")[0]
