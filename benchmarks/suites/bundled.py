"""The data that come with scikit-learn, in about two minutes.

Four classes of digits are unknown, and each of the three of wine in turn. Breast cancer has
two classes, and none can be left out: it shows the cost of rejection.
"""

from benchmarks.data import NEAL
from benchmarks.recipes import NETWORKS
from benchmarks.runs import Job
from benchmarks.splits import Split
from benchmarks.suites.shared import PEER_SCORES, scores_for
from benchmarks.tables import comparison_tables as tables

__all__ = ["FLOORS", "jobs", "tables"]

# The AUROC of center loss with the default score, below which --floor fails.
FLOORS = {"digits": 0.97, "wine": 0.95}


def jobs(args):
    """Return the jobs."""
    splits = [Split("digits", str(i), "digits", u, i) for i, u in enumerate(NEAL)]
    # Smaller parts to test on, since fewer samples would be too few to calibrate on.
    splits += [
        Split("wine", f"{u}.{fold}", "wine", (u,), fold=(fold, 10))
        for u in range(3)
        for fold in range(args.draws or 10)
    ]
    splits += [
        Split("breast cancer (no outsiders)", str(fold), "breast cancer", fold=(fold, 5))
        for fold in range(5)
    ]
    return [
        job
        for split in splits
        for seed in range(args.seeds or 1)
        for job in (
            *(Job(split, seed, recipe, scores_for(recipe)) for recipe in NETWORKS),
            Job(split, seed, "random forest", PEER_SCORES),
            Job(split, seed, "logistic regression", PEER_SCORES),
        )
    ]
