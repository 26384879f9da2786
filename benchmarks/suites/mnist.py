"""Six known digits of MNIST, four unknown ones, in the splits of the literature."""

from benchmarks.data import ARPL, NEAL
from benchmarks.recipes import NETWORKS
from benchmarks.runs import Job
from benchmarks.splits import Split
from benchmarks.suites.shared import images, scores_for
from benchmarks.tables import comparison_tables as tables

__all__ = ["jobs", "tables"]

FAMILIES = {"ARPL/Vaze": ARPL, "Neal": NEAL}


def jobs(args):
    """Return the jobs: both families of splits."""
    budget = images(15, shift=2, rotation=15, scale=0.15, shear=0.15)
    return [
        Job(
            Split(f"MNIST, {family} splits", str(i), "mnist", unknown, i),
            seed,
            recipe,
            scores_for(recipe, images=True),
            budget=budget,
        )
        for family, unknown_sets in FAMILIES.items()
        for i, unknown in enumerate(unknown_sets[: args.draws])
        for seed in range(args.seeds or 1)
        for recipe in NETWORKS
    ]
