"""Embeddings of images and of texts under a linear head, an SVM and center loss."""

import numpy as np

from benchmarks.data import PHOTOGRAPH, draw_unknown, load
from benchmarks.runs import Job
from benchmarks.splits import Split
from benchmarks.suites.shared import rivals
from benchmarks.tables import lead_tables as tables

__all__ = ["jobs", "tables"]

HEADS = ("logistic regression", "SVM", "SVM, decisions", "softmax", "center loss")


def jobs(args):
    """Return the jobs: draws of the samples, and of 39 of the 77 intents."""
    n_draws = args.draws or 5
    splits = [
        Split("house numbers, other photographs", str(i), "svhn", (PHOTOGRAPH,), i)
        for i in range(n_draws)
    ]
    data = "banking77 embeddings"
    intents = np.unique(load(data, args.data_dir)[1])
    splits += [
        Split("BANKING77, 39 known intents", str(i), data, draw_unknown(intents, 39, i), i)
        for i in range(n_draws)
    ]
    return [
        Job(split, seed, recipe, rivals(recipe))
        for split in splits
        for seed in range(args.seeds or 1)
        for recipe in HEADS
    ]
