"""Seven tables, every classifier of the recipes, and five-liners."""

from itertools import product

import numpy as np

from benchmarks.data import draw_unknown, load
from benchmarks.recipes import NETWORKS, PEERS
from benchmarks.runs import Job
from benchmarks.splits import Split
from benchmarks.suites.shared import rivals_and_pyod
from benchmarks.tables import lead_tables

__all__ = ["jobs", "tables"]

# Fewer training samples calibrate in folds by default, so that the default trains anew.
SMALL = ("vowel", "vehicle")
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
            for seed, recipe in product(range(args.seeds or 1), (*PEERS, *NETWORKS)):
                scores = rivals_and_pyod(recipe)
                if data in SMALL:
                    made.append(Job(split, seed, recipe, ("auto",), rules=("cv=auto",)))
                    scores = tuple(name for name in scores if name != "auto")
                made.append(Job(split, seed, recipe, scores))
    return made


def tables(results):
    """Yield how the default calibrates, and the tables of its leads."""
    yield (
        f"On {' and '.join(SMALL)}, with fewer than 500 training samples, the default "
        "calibrates in ten folds; all else has the held-out part."
    )
    yield from lead_tables(results)
