"""Settings of the whole suite."""

import os

import pytest

# Before torch is imported, and for the processes that tests start: the networks of the
# tests are so small that threads only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Displays draw into memory, also where there is a screen.
os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(scope="session")
def teams():
    """Return process groups by their number of processes, started when they are needed."""
    from teams import Teams  # here, since it imports torch

    teams = Teams()
    yield teams
    teams.close()


@pytest.fixture(scope="session", params=[2, 3])
def team(request, teams):
    """Return two processes, or three."""
    return teams[request.param]


@pytest.fixture(scope="session")
def pair(teams):
    """Return two processes."""
    return teams[2]
