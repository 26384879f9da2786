"""Warnings that point at the user's line, once."""

import sys
import warnings
from weakref import WeakSet

from sklearn.base import BaseEstimator

from sk_center._utils.compat import BaseSearchCV

# Between the user's call and a warning lie frames of these packages alone.
INTERNAL = ("sk_center", "sklearn", "skorch", "joblib", "torch", "contextlib", "functools")
# Estimators, given to a cross-validation, of which a warning has told.
_told: WeakSet = WeakSet()


def warn_user(message, category=UserWarning):
    """Warn at the innermost line that is neither ours nor of the packages between."""
    level = len(_frames_between()) + 1
    warnings.warn(message, category, stacklevel=level)


def warn_of_fit(message):
    """Warn of what a fit found in the data; over the folds of one call, once.

    Each fold finds its own. A search says what its last fit, of all data, finds; without
    that, and in a cross-validation, the first fold that finds something says it.
    """
    frames = _frames_between()
    names = [frame.f_code.co_name for frame in frames]
    if "_fit_and_score" in names:
        outer = [frame.f_locals for frame in frames[names.index("_fit_and_score") + 1 :]]
        called = [found.get("self", found.get("estimator")) for found in outer]
        by = [one for one in called if isinstance(one, BaseEstimator)]
        refits = any(isinstance(one, BaseSearchCV) and one.refit for one in by)
        if not by or refits or by[-1] in _told:
            return
        _told.add(by[-1])
    warnings.warn(message, stacklevel=len(frames) + 1)


def _frames_between():
    """Return the frames between the user's and this one, the innermost first."""
    frame, frames = sys._getframe(1), []
    while frame.f_back is not None and _package_of(frame) in INTERNAL:
        frames.append(frame)
        frame = frame.f_back
    return frames


def _package_of(frame):
    return frame.f_globals.get("__name__", "").partition(".")[0]
