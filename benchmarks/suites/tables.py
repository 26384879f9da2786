"""Seven tables, every classifier of the recipes, and five-liners."""

import numpy as np

from benchmarks.data import draw_unknown, load
from benchmarks.recipes import NETWORKS, PEERS
from benchmarks.runs import Job
from benchmarks.splits import Split
from benchmarks.suites.shared import rivals_and_pyod
from benchmarks.tables import lead_tables as tables

__all__ = ["jobs", "tables"]

# Classes that are left out in each draw.
LEFT_OUT = {
    "vowel": 4,
    "segment": 2,
    "satimage": 2,
    "vehicle": 1,
    "obesity": 2,
    "letter": 13,
    "digits": 4,
}


def jobs(args):
    """Return the jobs: draws of the classes left out, 4,000 training samples at most."""
    made = []
    for data, n_left_out in LEFT_OUT.items():
        labels = np.unique(load(data, args.data_dir)[1])
        case = f"{data}, {len(labels) - n_left_out} of {len(labels)} classes known"
        for i in range(args.draws or 5):
            unknown = draw_unknown(labels, len(labels) - n_left_out, i)
            split = Split(case, str(i), data, unknown, i, max_train=4000)
            made += [
                Job(split, seed, recipe, rivals_and_pyod(recipe))
                for seed in range(args.seeds or 1)
                for recipe in (*PEERS, *NETWORKS)
            ]
    return made
