"""Measure open-set recognition, and write the tables that the docs show.

    python -m benchmarks.open_set --suite bundled

Suites:

- ``openood``: MNIST against notMNIST, the near-OOD pair of OpenOOD's MNIST benchmark.
- ``mnist``: six known digits, four unknown ones, in the splits of the literature.
- ``letter``: LETTER at three degrees of openness, also against classifiers and outlier
  detectors of scikit-learn and PyOD.
- ``bundled``: the data that come with scikit-learn, in about a minute.
- ``promise``: the false-rejection rate that is promised against the one that is kept.
- ``defaults``: what decides the defaults of the package.

Every classifier is trained on 80 % of the training samples of the known classes, in each
class, and the rest calibrates, as ``OpenSetClassifier`` does by default; see
:mod:`benchmarks.runs`. Nothing is chosen on unknown classes. Results are appended to a CSV
file as they come and a run that was cut off goes on where it stopped; to measure anew,
delete the file or name another ``--out``.
"""

import argparse
import os
import shlex
import sys
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

from skorch.callbacks import LRScheduler
from torch.optim.lr_scheduler import CosineAnnealingLR

from benchmarks.data import ARPL, NEAL, Split, draw_letters
from benchmarks.recipes import AUTO, GRID, NETWORKS, OUTLIER_SCORES, PEERS, PYOD_SCORES
from benchmarks.runs import Job, read, run_all
from benchmarks.tables import write_tables
from sk_center.metrics import openness
from sk_center.networks import RandomAffine

# Every network is judged by these, images by all but the density of inputs.
SCORES = (
    "auto",
    "center_distance",
    "mahalanobis",
    "relative mahalanobis",
    "knn",
    "max_softmax",
    "max_logit",
    "energy",
    "openmax",
    "vim",
    "input_density",
    "sum(center_distance, vim)",
)
IMAGE_SCORES = tuple(score for score in SCORES if score != "input_density")
# Around classifiers without features, and what their "auto" was chosen from.
PEER_SCORES = ("max_softmax", "auto")
PEER_CHOICE = (
    *PEER_SCORES,
    "min(max_softmax, input_density)",
    "sum(max_softmax, input_density)",
)
COMBINATIONS = [
    ("center_distance", "mahalanobis"),
    ("center_distance", "vim"),
    ("mahalanobis", "knn"),
    ("mahalanobis", "energy"),
    ("knn", "energy"),
    ("center_distance", "mahalanobis", "energy"),
    # Where inputs are images, these are without the density.
    ("center_distance", "input_density"),
    ("mahalanobis", "input_density"),
    ("center_distance", "vim", "input_density"),
    ("center_distance", "energy", "input_density"),
    ("mahalanobis", "energy", "input_density"),
    ("mahalanobis", "knn", "energy", "input_density"),
]
HOW = ("min", "sum")
FAMILIES = {"ARPL/Vaze": ARPL, "Neal": NEAL}
LENET = (("module__channels", (6, 16, 120)), ("hidden_layer_sizes", (84,)))
# The AUROC of center loss with the default score, below which --floor fails.
FLOORS = {"digits": 0.97, "wine": 0.95}


def images(max_epochs, **augment):
    """Return what networks on images train by; the epochs end at a learning rate of 0."""
    cosine = LRScheduler(CosineAnnealingLR, T_max=max_epochs)
    return (
        ("max_epochs", max_epochs),
        ("batch_size", 128),
        ("precision", "bf16"),
        ("callbacks", [("lr", cosine)]),
        ("module__augment", RandomAffine(**augment) if augment else None),
    )


def openood(args):
    """MNIST against notMNIST, by a network of LeNet's size."""
    split = Split("MNIST against notMNIST", "0", "mnist, notmnist", ("notMNIST",))
    budget = (*images(5), *LENET)
    return [
        Job(split, seed, recipe, IMAGE_SCORES, budget=budget)
        for seed in range(args.seeds or 3)
        for recipe in NETWORKS
    ]


def mnist(args):
    """Six known digits against four unknown ones."""
    budget = images(15, shift=2, rotation=15, scale=0.15, shear=0.15)
    return [
        Job(
            Split(f"MNIST, {family} splits", str(i), "mnist", unknown, i),
            seed,
            recipe,
            IMAGE_SCORES,
            budget=budget,
        )
        for family, unknown_sets in FAMILIES.items()
        for i, unknown in enumerate(unknown_sets)
        for seed in range(args.seeds or 1)
        for recipe in NETWORKS
    ]


def letter(args):
    """LETTER, against everything else that scikit-learn and PyOD have."""
    jobs = []
    for n_known in (20, 13, 6):
        case = f"LETTER, {n_known} known letters, openness {openness(n_known, 26):.0%}"
        for i in range(10):
            split = Split(case, str(i), "letter", draw_letters(n_known, i), i)
            for seed in range(args.seeds or 1):
                jobs += [Job(split, seed, recipe, SCORES) for recipe in NETWORKS]
                jobs += [Job(split, seed, recipe, PEER_SCORES) for recipe in PEERS]
                outlier_scores = (*OUTLIER_SCORES, *PYOD_SCORES)
                jobs.append(Job(split, seed, "random forest", outlier_scores))
    return jobs


def bundled(args):
    """The data that come with scikit-learn.

    Of digits, four classes are unknown; of wine, each of the three in turn. Breast cancer
    has two classes, of which none can be left out: it shows what rejection costs.
    """
    splits = [Split("digits", str(i), "digits", u, i) for i, u in enumerate(NEAL)]
    # Smaller parts to test on, since fewer samples would be too few to calibrate on.
    splits += [
        Split("wine", f"{u}.{fold}", "wine", (u,), fold=(fold, 10))
        for u in range(3)
        for fold in range(10)
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
            *(Job(split, seed, recipe, SCORES) for recipe in NETWORKS),
            Job(split, seed, "random forest", PEER_SCORES),
            Job(split, seed, "logistic regression", PEER_SCORES),
        )
    ]


def promise(args):
    """Promised and kept false-rejection rates, of five folds that test each sample once."""
    folds = [(index, 5) for index in range(5)]
    cases = [
        ("digits, 6 known", "digits", NEAL[0], folds),
        ("LETTER, 20 known letters", "letter", draw_letters(20, 0), folds),
        ("MNIST, 6 known", "mnist", ARPL[0], [None]),  # its own test set
    ]
    rules = ("held out", "training quantile")
    jobs = []
    for case, data, unknown, parts in cases:
        for i, fold in enumerate(parts):
            # Else two folds would calibrate on the same samples, and err alike.
            split = Split(case, str(i), data, unknown, fold=fold, calibrate_next=bool(fold))
            scores = IMAGE_SCORES if data == "mnist" else SCORES
            base = Job(split, 0, "random forest", scores, (0.01, 0.05, 0.1), rules)
            budget = images(3) if data == "mnist" else ()
            jobs += [replace(base, recipe=name, budget=budget) for name in NETWORKS]
            if data != "mnist":
                jobs.append(Job(split, 0, "center loss", ("auto",), rules=("cv=5",)))
                jobs.append(replace(base, scores=PEER_SCORES))
            if data == "letter":  # what the parameters of the detectors were chosen for
                jobs.append(replace(base, scores=(*OUTLIER_SCORES,)))
            if data == "letter" and PYOD_SCORES:
                rules_of_pyod = ("held out", "contamination")
                jobs.append(replace(base, scores=(*PYOD_SCORES,), rules=rules_of_pyod))
    return jobs


def defaults(args):
    """What decides lambda_center, conformity_score and cv.

    Each split is looked at twice: with classes that are left out of the known ones, which
    is what a choice may be made on, and with the classes that are unknown.
    """
    combined = [f"{how}({', '.join(names)})" for names in COMBINATIONS for how in HOW]
    combined.remove(AUTO)  # which has a row by that name
    scores = tuple(dict.fromkeys([*IMAGE_SCORES, *combined]))  # each once
    plans = [
        ("digits", NEAL, {}, (2, 3)),
        ("letter", [draw_letters(13, i) for i in range(3)], {"max_train": 4000}, (4, 2)),
        ("mnist", ARPL[:2], {"max_train": 20_000}, (2, 2)),
    ]
    jobs, cv_jobs = [], []
    for data, unknown_sets, size, (n_left_out, n_ways) in plans:
        budget = images(3) if data == "mnist" else ()
        for i, unknown in enumerate(unknown_sets):
            looks = [Split(f"{data}, unknown classes", str(i), data, unknown, i, **size)]
            looks += [
                replace(
                    looks[0],
                    case=f"{data}, classes left out",
                    name=f"{i}.{way}",
                    left_out=(n_left_out, n_ways, way),
                )
                for way in range(n_ways)
            ]
            jobs += [
                Job(look, i, recipe, scores, budget=budget)
                for look in looks
                for recipe in GRID
            ]
            if data != "mnist":
                jobs += [
                    Job(look, i, recipe, PEER_CHOICE) for look in looks for recipe in PEERS
                ]
            if data == "digits" or (data == "letter" and i < 2):
                cv_jobs += [
                    Job(looks[0], i, "center loss", ("auto",), rules=(f"cv={cv}",))
                    for cv in (0.1, 0.2, 0.3, 0.5, 5, 10)
                ]
    return jobs + cv_jobs


SUITES = {
    suite.__name__: suite for suite in (openood, mnist, letter, bundled, promise, defaults)
}


def quick(jobs):
    """Return a few short jobs: the first split and seed of each case."""
    first = {}
    for job in jobs:
        first.setdefault(job.split.case, (job.split, job.seed))
    return [
        replace(
            job,
            split=replace(job.split, max_train=min(job.split.max_train or 2000, 2000)),
            budget=(*job.budget, ("max_epochs", 2)),
        )
        for job in jobs
        if (job.split, job.seed) == first[job.split.case]
    ]


def chosen(jobs, pattern):
    """Return the jobs with the scores whose row matches a pattern."""
    found = []
    for job in jobs:
        row = f"{job.split.case}: {job.recipe}, "
        scores = tuple(score for score in job.scores if fnmatch(row + score, pattern))
        found += [replace(job, scores=scores)] if scores else []
    return found


def below_floor(path):
    """Return what is wrong with the AUROC of the default, a list of texts."""
    results = read(path)
    default = (results["recipe"] == "center loss") & (results["score"] == "auto")
    found = results[default].groupby("case")["auroc"].mean()
    return [
        f"{case}: AUROC {found.get(case, float('nan')):.4f} of center loss with the "
        f"default score is below {floor}"
        for case, floor in FLOORS.items()
        if not found.get(case, 0) >= floor
    ]


def main(argv=None):
    """Run one suite, write its tables and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.open_set",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--suite", choices=SUITES, required=True)
    parser.add_argument(
        "--data-dir",
        help="folder with mnist.npz, notmnist_test.npz and letter.csv.gz; without it, "
        "MNIST and LETTER come from OpenML",
    )
    parser.add_argument("--out", default="benchmarks/results", help="folder of the results")
    parser.add_argument("--seeds", type=int, help="trainings of each split")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument(
        "--rows", default="*", help="which 'case: training, score', as *center loss, knn"
    )
    parser.add_argument("--quick", action="store_true", help="only try that all runs")
    parser.add_argument(
        "--floor", action="store_true", help="fail where the default got worse: bundled"
    )
    args = parser.parse_args(argv)
    if args.floor and args.suite != "bundled":
        parser.error(f"--floor goes with --suite bundled; got {args.suite}.")
    jobs = SUITES[args.suite](args)
    if args.suite in ("letter", "promise") and not PYOD_SCORES:
        print("PyOD is not installed: no rows of it (pip install pyod)", file=sys.stderr)
    jobs = chosen(quick(jobs) if args.quick else jobs, args.rows)
    if not jobs:
        parser.error(f"--rows must match a row; {args.rows!r} matches none.")
    name = f"{args.suite}-quick" if args.quick else args.suite
    path = Path(args.out, f"{name}.csv")
    run_all(jobs, path, args.data_dir, args.jobs)
    print(write_tables(path, command_of(args)))
    wrong = below_floor(path) if args.floor else []
    print(*wrong, sep="\n", end="\n" if wrong else "", file=sys.stderr)
    return 1 if wrong else 0


def command_of(args):
    """Return the command that makes the results again, without folders of this machine."""
    words = ["python -m benchmarks.open_set", "--suite", args.suite]
    words += ["--data-dir", "DIR"] if args.data_dir else []
    words += ["--seeds", str(args.seeds)] if args.seeds else []
    words += ["--rows", shlex.quote(args.rows)] if args.rows != "*" else []
    words += ["--quick"] if args.quick else []
    return " ".join(words)


if __name__ == "__main__":
    sys.exit(main())
