"""MNIST against notMNIST, the near-OOD pair of OpenOOD's MNIST benchmark."""

from benchmarks.data import NOT_MNIST
from benchmarks.recipes import NETWORKS
from benchmarks.runs import Job
from benchmarks.splits import Split
from benchmarks.suites.shared import images, scores_for
from benchmarks.tables import comparison_tables as tables

__all__ = ["jobs", "tables"]

LENET = (("module__channels", (6, 16, 120)), ("hidden_layer_sizes", (84,)))


def jobs(args):
    """Return the jobs, by the default network and by one of LeNet's size."""
    name, data = "MNIST against notMNIST", "mnist, notmnist"
    networks = {name: images(5), f"{name}, LeNet": (*images(5), *LENET)}
    return [
        Job(
            Split(case, "0", data, (NOT_MNIST,)),
            seed,
            recipe,
            scores_for(recipe, images=True),
            budget=budget,
        )
        for case, budget in networks.items()
        for seed in range(args.seeds or 3)
        for recipe in NETWORKS
    ]
