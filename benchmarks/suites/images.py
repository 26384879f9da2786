"""Images: digits in the splits of the literature, letters, and letters against digits.

Beside epochs nothing is set, but ``precision="bf16"`` for the two families of splits, which
takes half of the time on some processors. Small data are trained by the defaults alone.
"""

from benchmarks.data import ARPL, NEAL, NOT_MNIST, draw_unknown
from benchmarks.runs import Job
from benchmarks.splits import Split
from benchmarks.tables import comparison_tables as tables

__all__ = ["jobs", "tables"]

SCORES = (
    "auto",
    "knn",
    "mahalanobis",
    "center_distance",
    "max_softmax",
    "max_logit",
    "energy",
)
LARGE = ("center loss", "softmax")
SMALL = (*LARGE, "upright alone")


def jobs(args):
    """Return the jobs: MNIST in two families of splits, beside notMNIST, and small data."""
    made = []
    for family, unknown_sets in {"ARPL/Vaze": ARPL, "Neal": NEAL}.items():
        case = f"MNIST, {family} splits, 6 epochs"
        splits = [Split(case, str(i), "mnist", u, i) for i, u in enumerate(unknown_sets)]
        made.append((splits, LARGE, (("max_epochs", 6), ("precision", "bf16"))))
    case = "MNIST against notMNIST, 5 epochs"
    pair = Split(case, "0", "mnist, notmnist", (NOT_MNIST,))
    made.append(([pair], LARGE, (("max_epochs", 5),)))
    for data, case in {"digits, images": "8 x 8 digits", "notmnist": "letters"}.items():
        draws = [draw_unknown(range(10), 6, i) for i in range(5)]
        splits = [Split(case, str(i), data, u, i) for i, u in enumerate(draws)]
        made.append((splits, SMALL, ()))
    return [
        Job(split, seed, recipe, SCORES, budget=budget)
        for splits, recipes, budget in made
        for split in splits[: args.draws]
        for seed in range(args.seeds or 1)
        for recipe in recipes
    ]
