"""Settings of the whole suite."""

import os
from pathlib import Path

import pytest

# Before torch is imported, and for the processes that tests start: the networks of the
# tests are so small that threads only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Displays draw into memory, also where there is a screen.
os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(scope="session")
def tree():
    """Return the source tree, of which more than tests/ may be missing: then skip."""
    tree = Path(__file__).parents[1]
    if not (tree / "README.md").exists():
        pytest.skip("reads files of the source tree, which is not here")
    return tree


@pytest.fixture(scope="session")
def teams():
    """Return process groups by their number of processes, started when they are needed."""
    from teams import Teams  # here, since it imports torch

    teams = Teams()
    yield teams
    teams.close()


@pytest.fixture(scope="session", params=[2, pytest.param(3, marks=pytest.mark.slow)])
def team(request, teams):
    """Return two processes, or three."""
    return teams[request.param]


@pytest.fixture(scope="session")
def pair(teams):
    """Return two processes."""
    return teams[2]
