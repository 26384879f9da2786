"""Keep the fitted state of an estimator when a call on it fails."""

from contextlib import contextmanager


@contextmanager
def restored_on_error(estimator):
    """Give an estimator back its attributes if the block raises or is interrupted.

    Objects that the block changes in place are not covered.
    """
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise
