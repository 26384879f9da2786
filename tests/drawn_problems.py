"""Problems that hypothesis draws."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings


def holds(few, **strategies):
    """Turn a check of drawn values into a test, with many more examples if it is slow."""

    def decorate(check):
        def test(n_examples):
            profile = settings(
                max_examples=n_examples,
                deadline=None,
                database=None,
                derandomize=True,  # the same examples every day
                suppress_health_check=list(HealthCheck),
            )
            profile(given(**strategies)(check))()

        test.__name__, test.__doc__ = check.__name__, check.__doc__
        sizes = [few, pytest.param(40 * few, marks=pytest.mark.slow)]
        return pytest.mark.parametrize("n_examples", sizes)(test)

    return decorate


def numbers(n_samples, n_features, dtype, scale, seed):
    """Return samples of any dtype, some of them equal."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features)) * scale
    if seed % 3 == 0:
        X[rng.integers(n_samples, size=n_samples // 2)] = X[0]
    if seed % 5 == 0:
        X[:, 0] = X[0, 0]
    kind = np.dtype(dtype)
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        X = X.clip(limits.min / 2, limits.max / 2)
    if kind == np.float16:
        X = X.clip(-6e4, 6e4)
    return X > 0 if kind.kind == "b" else X.astype(kind)


ALPHABETS = {
    "ints": lambda k: np.arange(k) * 7 - 20,
    "unsigned": lambda k: np.arange(k, dtype=np.uint8) + 200,
    "large": lambda k: np.arange(k) + 2**60,
    "floats": lambda k: np.arange(k) * 2.0,
    "strings": lambda k: np.array(["a", "bb", "b", "ä", "", "zzz", "Z", "10"])[:k],
    "objects": lambda k: np.array([f"class {i}" for i in range(k)], dtype=object),
    "bools": lambda k: np.array([True, False]),
}


def labels_for(n_samples, kind, n_classes, seed):
    """Return a label of some kind for every sample, each class at least once."""
    alphabet = ALPHABETS[kind](n_classes)
    rng = np.random.default_rng(seed)
    index = rng.integers(len(alphabet), size=n_samples)
    index[: len(alphabet)] = rng.permutation(len(alphabet))
    return alphabet[index]
