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
    """Return the jobs: both families of splits, by the default and by more changes."""
    budgets = {"": images(15), ", affine": images(15, augment="affine")}
    return [
        Job(
            Split(f"MNIST, {family} splits{name}", str(i), "mnist", unknown, i),
            seed,
            recipe,
            scores_for(recipe, images=True),
            budget=budget,
        )
        for name, budget in budgets.items()
        for family, unknown_sets in FAMILIES.items()
        for i, unknown in enumerate(unknown_sets[: args.draws])
        for seed in range(args.seeds or 1)
        for recipe in NETWORKS
    ]
