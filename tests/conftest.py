"""Settings of the whole suite."""

import os

# Before torch is imported, and for the processes that tests start: the networks of the
# tests are so small that threads only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Displays draw into memory, also where there is a screen.
os.environ.setdefault("MPLBACKEND", "Agg")
