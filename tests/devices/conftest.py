"""The stand-in device, there for the tests of this folder."""

import pytest
from stand_in import present


@pytest.fixture
def counts():
    """Let the stand-in device be there, and return what is counted on it."""
    with present() as counts:
        yield counts
