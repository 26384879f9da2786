"""
Train on many processes
=======================

The same script trains on one process, on two of one machine, and on many of several::

    python examples/distributed/train_torchrun.py
    torchrun --standalone --nproc-per-node=2 examples/distributed/train_torchrun.py

Only the process group differs: if there is one, ``fit`` trains on all its processes.
Every process calls it with the same data and runs its part of each batch, and all end with
the estimator that one process would have found, up to the order of sums.

A process that dies ends the others, because ``torchrun`` watches them, and the timeout ends
them where it cannot. The same command then resumes from the last checkpoint. Several
machines need only another command, see
``docs/guide/large_label_sets.md``.
"""

import os
import time
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sk_center import CenterLossClassifier, save

OUT = Path(os.environ.get("OUT", "figures"))
IS_TEAM = "RANK" in os.environ  # as torchrun sets it

if IS_TEAM:
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    # A machine that is cut off sends nothing: wait for a minute, not for half an hour.
    dist.init_process_group("nccl" if on_gpu else "gloo", timeout=timedelta(seconds=60))
is_first = not IS_TEAM or dist.get_rank() == 0

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, test_size=0.3, stratify=y, random_state=0
)
classifier = CenterLossClassifier(
    max_epochs=20,
    batch_size=128,  # of all processes together
    random_state=0,
    checkpoint_dir=OUT / "checkpoints",  # of rank 0: the others need not see it
)
start = time.perf_counter()
classifier.fit(X_train, y_train)
seconds = time.perf_counter() - start

if is_first:
    n_processes = dist.get_world_size() if IS_TEAM else 1
    print(
        f"{n_processes} processes: {seconds:.1f} s, train loss "
        f"{classifier.history_[-1]['train_loss']:.5f}, accuracy "
        f"{classifier.score(X_test, y_test):.3f}"
    )
    save(classifier, OUT / "digits.skc")  # knows nothing of processes

if IS_TEAM:
    dist.destroy_process_group()
