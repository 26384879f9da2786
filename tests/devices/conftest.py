"""The stand-in device, there for the tests of this folder."""

import os

import pytest
from torch.utils import backend_registration

# A backend stays for the rest of a process, where forks and other devices then differ, so
# tests/test_devices.py runs these tests in one of their own. And a backend in Python is
# more than the oldest torch of the tests has.
if "STAND_IN_DEVICE" not in os.environ or not hasattr(
    backend_registration, "_setup_privateuseone_for_python_backend"
):
    collect_ignore_glob = ["*.py"]  # all, since a search for doctests imports modules


@pytest.fixture
def counts():
    """Let the stand-in device be there, and return what is counted on it."""
    from stand_in import present  # here, since it registers the device for the process

    with present() as counts:
        yield counts
