"""Memory of trainings, predictions and pickles, and imported modules."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from benchmarks.speed.models import (
    N_INPUTS,
    handwritten_fit,
    ours_fit,
    skorch_fit,
    table,
)
from benchmarks.speed.timing import Row, seconds, unit


def sizes(size):
    """Yield comparisons of pickles, trainings, predictions and imports."""
    X, y = table(2_000)
    for layers in ((64,), (512, 128)):
        # Not a module of one's own, which is a parameter and kept beside the trained one.
        params = {"module": "auto", "hidden_layer_sizes": layers}
        classifier = ours_fit(X, y, 100, 256, 0.1, **params)
        needed = sum(tensor.nbytes for tensor in classifier.module_.state_dict().values())
        needed += classifier.classes_.nbytes
        taken = len(pickle.dumps(classifier))
        yield Row(
            f"pickle after 100 epochs, layers {layers}",
            "parameters, centers and classes",
            f"{taken / 1e3:.4g} kB",
            f"{needed / 1e3:.4g} kB",
            taken / needed,
            target=1.2,
        )
    extra = peak(PREDICT, size.n_large)
    yield Row(
        f"peak memory of predict, {size.n_large} x {N_INPUTS}",
        "input and output, and 256 MB",
        f"{extra / 1e6:.4g} MB",
        "256 MB",
        extra / 256e6,
        target=1.0,
    )
    n_samples = 10 * size.n_samples
    # The least, since now and then the kernel counts pages that nobody has touched.
    taken = {
        side: max(min(peak(FIT, n_samples, side) for _ in range(size.repeats)), 1)
        for side in FITS
    }
    for side, name in (("handwritten", "hand-written loop"), ("skorch", "skorch")):
        yield Row(
            f"peak memory of fit, {n_samples} x {N_INPUTS}, above the data",
            name,
            f"{taken['ours'] / 1e6:.4g} MB",
            f"{taken[side] / 1e6:.4g} MB",
            taken["ours"] / taken[side],
        )
    for line in ("import sk_center", "from sk_center import OpenSetClassifier"):
        count = "sum(name.split('.')[0] == 'torch' for name in sys.modules)"
        n_modules = int(run_python(f"{line}; import sys; print({count})"))
        yield Row(
            f"{line}: modules of torch", "none", f"{n_modules}", "0", n_modules, target=0
        )
        against = "import sklearn.base, sklearn.utils.validation"
        runs = [
            [seconds(lambda code=code: run_python(code)) for code in (line, against)]
            for _ in range(size.repeats)
        ]
        ours, theirs = np.median(runs, axis=0)
        yield Row(line, against, unit(ours), unit(theirs), ours / theirs)


def run_python(code, *args):
    """Return the output of code that runs in a Python process of its own."""
    words = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


PEAK = """
import sys
import numpy as np, torch
from benchmarks.speed.memory import *
n, threads, side = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
torch.set_num_threads(threads)
"""
PREDICT = (
    PEAK
    + """
classifier = ours_fit(*table(2_000), 1, 256, 0.1)
classifier.predict(table(2_000)[0])
X = np.zeros((n, N_INPUTS), dtype=np.float32)
X += 1  # so that its pages are there
before = start_of_peak()
labels = classifier.predict(X)
print(peak_memory() - before - labels.nbytes)
"""
)
FIT = (
    PEAK
    + """
FITS[side](*table(2_000), 1, 128)
X, y = table(n)
before = start_of_peak()
FITS[side](X, y, 1, 128)
print(peak_memory() - before)
"""
)
FITS = {
    "ours": lambda *args: ours_fit(*args, 0.1),
    "handwritten": lambda *args: handwritten_fit(*args, 0.1),
    "skorch": lambda *args: skorch_fit(*args),
}


def peak_memory(name="VmHWM"):
    """Return the peak of the memory of this process in bytes, as Linux counts it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def start_of_peak():
    """Forget the peak so far and return the memory in use."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_memory("VmRSS")


def peak(code, n_samples, side="ours"):
    """Return by how many bytes code raises the peak of a process of its own."""
    return int(run_python(code, n_samples, torch.get_num_threads(), side))
