"""Measured comparisons: ``python -m benchmarks.open_set --help``."""
