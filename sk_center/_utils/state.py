"""The fitted state of an estimator: kept when a call on it fails, and copied."""

from contextlib import contextmanager


@contextmanager
def restored_on_error(estimator):
    """Restore the attributes of an estimator if the block raises or is interrupted.

    Objects that the block changes in place are not covered.
    """
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


def bare_copy(owner):
    """Return a copy with the same attributes; copy.copy would make what a pickle holds."""
    found = object.__new__(type(owner))
    vars(found).update(vars(owner))
    return found
