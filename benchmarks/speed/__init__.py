"""Measure speed and memory against hand-written code and other packages.

    python -m benchmarks.speed

Both sides of a comparison run in turn in one process, with the same number of threads, so
that other work of the machine meets both. A row has the median time of each side and the
median of the ratios of neighboring runs, with the lower and upper quartile; the target is
the largest ratio allowed. Two more tables show how cost grows and where the time of a step
goes. ``--data-dir`` is the folder with ``mnist.npz``; without it MNIST comes from OpenML.
"""
