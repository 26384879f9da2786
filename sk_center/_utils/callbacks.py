"""Support of scikit-learn's callbacks, which exist from 1.9 on."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from functools import wraps
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sk_center._utils.types import Method

try:
    from sklearn.callback import CallbackSupportMixin
    from sklearn.callback import with_callbacks as tell_callbacks
except ImportError:

    class NoContext:
        """Stand in for scikit-learn's ``CallbackContext``."""

        def call_on_fit_task_begin(self, **told):
            return self

        def call_on_fit_task_end(self, **told):
            return False

        def subcontext(self, **form):
            return self

        def propagate_callback_context(self, sub_estimator):
            return nullcontext()

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Offer no ``set_callbacks``."""

        def _init_callback_context(self, **form):
            return NoContext()

    def tell_callbacks(method):
        """Return the method in one more frame, so that warnings find the caller alike."""

        @wraps(method)
        def call(estimator, *args, **kwargs):
            return method(estimator, *args, **kwargs)

        return call


def with_callbacks(method: Method) -> Method:
    """Return the method as scikit-learn wants it, of the type that it has."""
    return tell_callbacks(method)


class Task:
    """A task of a fit: its place in the tree of tasks, and what callbacks are told."""

    def __init__(self, context, estimator, X, y, sample_weight=None):
        weights = None if sample_weight is None else {"sample_weight": sample_weight}
        self._context = context
        self._told = {"estimator": estimator, "X": X, "y": y, "metadata": weights}

    def begin(self):
        """Tell that the task begins, and return it."""
        self._context.call_on_fit_task_begin(**self._told)
        return self

    def end(self, attributes=None):
        """Tell that the task ends, and return whether a callback asks for no more.

        The attributes, a dict or a callable that gives one, make the estimator one that
        is fitted up to here.
        """
        return self._context.call_on_fit_task_end(
            **self._told, reconstruction_attributes=attributes
        )

    def part(self, name):
        """Return the next of the tasks that this one consists of."""
        part = object.__new__(Task)
        part._context = self._context.subcontext(task_name=name)
        part._told = self._told
        return part

    @contextmanager
    def around(self, sub_estimator):
        """Run a block as this task, and let callbacks reach the estimator that it fits."""
        reaching = nullcontext()
        if sub_estimator is not None:
            reaching = self._context.propagate_callback_context(sub_estimator)
        with reaching:
            self.begin()
            yield
            self.end()
