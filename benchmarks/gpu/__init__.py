"""Check and measure everything on a GPU at once, or on what torch.accelerator names.

    python -m benchmarks.gpu

It first checks that results are those of the CPU, then times training, prediction, the loss
and a search against what a user would write. Both sides of a comparison run in turn, data
on the device; a row has the median time of each, the median of the ratios with its
quartiles, and the largest ratio allowed. What fails, as for want of memory, costs its row
alone; what does not begin within ``--minutes`` is left out. The rows go to ``gpu.csv`` and
``gpu.md``, the rest to ``gpu.log``. Without a GPU, ``--device cpu --quick`` tries that all
of it runs.
"""
