"""Warnings at the line of the user."""

import sys
import warnings

INSIDE = ("sk_center", "sklearn", "joblib", "contextlib")


def warn_user(message, category=UserWarning):
    """Warn at the nearest line that is outside of this package and of scikit-learn."""
    level, frame = 1, sys._getframe()
    while frame and frame.f_globals.get("__name__", "").partition(".")[0] in INSIDE:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
