"""Files that the tests of this folder share."""

import warnings

import pytest
from fuzz_load import seeds


@pytest.fixture(scope="session")
def files():
    """Return files of models that have all in them that a model can have."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of models that are small, whoever asks first
        return seeds()
