"""Check and measure everything in one run on a GPU or another accelerator of torch.

    python -m benchmarks.gpu

It first checks that results are those of the CPU, then times training, prediction, the loss
and a search against what a user would write. Both sides of a comparison run in turn, data
on the device; a row has the median time of each, the median of the ratios with its
quartiles, and the largest ratio allowed. A failure, as for want of memory, costs its row
alone; rows that do not begin within ``--minutes`` are left out. The rows go to ``gpu.csv``
and ``gpu.md``, the rest to ``gpu.log``. Without a GPU, ``--device cpu --quick`` checks that
everything runs.
"""
