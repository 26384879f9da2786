"""Files that the tests of this folder share."""

import pytest
from fuzz_load import seeds


@pytest.fixture(scope="session")
def files():
    """Return files of models that have all in them that a model can have."""
    return seeds()
