"""Tests of data larger than memory: what a training needs does not grow with them."""

import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch

from sk_center import CenterLossClassifier

N_FEATURES, N_CLASSES = 256, 10
FEW, MANY = 10_000, 100_000
# What numpy, torch and the interpreter keep or return as they like.
SLACK = 2**23
# Labels, classes and the order of an epoch are integers of a sample each.
BYTES_A_SAMPLE = 64

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


class Rows(torch.utils.data.Dataset):
    """Samples that are made when they are read."""

    def __init__(self, n_samples):
        self.targets = np.arange(n_samples) % N_CLASSES

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, index):
        label = self.targets[index]
        return np.full(N_FEATURES, label, dtype=np.float32), label


def anonymous_bytes():
    """Return the memory of this process, without what it has mapped from files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


def peak(kind, n_samples, path):
    """Return by how much a training lets the memory of this process grow."""
    torch.set_num_threads(1)
    X = np.memmap(path, dtype=np.float32, shape=(n_samples, N_FEATURES), mode="r")
    y = np.arange(n_samples) % N_CLASSES
    params = {"hidden_layer_sizes": (16, 8), "max_epochs": 1, "batch_size": 256}
    # What a training needs once, and the room that allocators keep for the next.
    CenterLossClassifier(**params).fit(X[:FEW], y[:FEW])
    start = highest = anonymous_bytes()
    done = threading.Event()

    def watch():
        nonlocal highest
        while not done.is_set():
            highest = max(highest, anonymous_bytes())
            time.sleep(0.002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    model = CenterLossClassifier(**params, random_state=0)
    if kind == "memmap":
        model.fit(X, y)
    elif kind == "dataset":
        model.fit(Rows(n_samples))
    else:
        for rows in np.array_split(np.arange(n_samples), n_samples // 1000):
            chunk = slice(rows[0], rows[-1] + 1)
            model.partial_fit(X[chunk], y[chunk], classes=np.arange(N_CLASSES))
    done.set()
    watcher.join()
    return highest - start


@pytest.fixture(scope="module")
def process():
    """Return a process whose memory no other test has touched."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield pool


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["memmap", "dataset", "stream"])
def test_memory_is_flat_in_the_number_of_samples(kind, process, tmp_path):
    """Check that ten times the data take no more memory but for their labels."""
    path = tmp_path / "X.bin"
    with open(path, "wb") as file:
        file.truncate(MANY * N_FEATURES * 4)  # zeros that take no room
    peaks = [process.submit(peak, kind, n, path).result() for n in (FEW, MANY)]
    data = (MANY - FEW) * N_FEATURES * 4
    allowed = SLACK + (MANY - FEW) * BYTES_A_SAMPLE
    assert allowed < data / 4
    assert peaks[1] - peaks[0] < allowed
