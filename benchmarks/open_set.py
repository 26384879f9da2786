"""Measure open-set recognition, and write the tables that the docs show.

    python -m benchmarks.open_set --suite bundled

Every classifier is trained on 80 % of the training samples of the known classes, in each
class, and the rest calibrates, as ``OpenSetClassifier`` does by default; see
:mod:`benchmarks.runs`. Nothing is chosen on unknown classes. Each result is appended to a
CSV file at once, and an interrupted run goes on where it stopped; to measure anew, delete
the file or name another ``--out``.
"""

import argparse
import os
import shlex
import sys
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

from benchmarks.detectors import PYOD
from benchmarks.results import read
from benchmarks.runs import run_all
from benchmarks.suites import SUITES
from benchmarks.suites.bundled import FLOORS
from benchmarks.tables import write_tables

WITH_PYOD = ("letter", "tables")


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
    """Return a message for each case in which the AUROC of the default is too low."""
    results = read(path)
    default = (results["recipe"] == "center loss") & (results["score"] == "auto")
    found = results[default].groupby("case")["auroc"].mean()
    return [
        f"{case}: AUROC {found.get(case, float('nan')):.4f} of center loss with the "
        f"default score is below {floor}"
        for case, floor in FLOORS.items()
        if not found.get(case, 0) >= floor
    ]


def parse(argv=None):
    """Return the parser and the arguments."""
    lines = [f"- {name}: {suite.__doc__.splitlines()[0]}" for name, suite in SUITES.items()]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.open_set",
        description="\n".join([__doc__, "Suites:", *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--suite", choices=SUITES, required=True)
    parser.add_argument(
        "--data-dir", help="folder with the data that are not in scikit-learn"
    )
    parser.add_argument("--out", default="benchmarks/results", help="folder of the results")
    parser.add_argument("--draws", type=int, help="draws or folds of each case, at most")
    parser.add_argument("--seeds", type=int, help="trainings of each draw")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument(
        "--rows",
        default="*",
        help="pattern of 'case: training, score', as *center loss, knn",
    )
    parser.add_argument("--quick", action="store_true", help="only check that it runs")
    parser.add_argument(
        "--floor", action="store_true", help="fail where the default is below its floor"
    )
    return parser, parser.parse_args(argv)


def main(argv=None):
    """Run one suite, write its tables and return the exit code."""
    parser, args = parse(argv)
    if args.floor and args.suite != "bundled":
        parser.error(f"--floor goes with --suite bundled; got {args.suite}.")
    suite = SUITES[args.suite]
    jobs = suite.jobs(args)
    if args.suite in WITH_PYOD and not PYOD:
        print("PyOD is not installed: no rows of it (pip install pyod)", file=sys.stderr)
    jobs = chosen(quick(jobs) if args.quick else jobs, args.rows)
    if not jobs:
        parser.error(f"--rows must match a row; {args.rows!r} matches none.")
    name = f"{args.suite}-quick" if args.quick else args.suite
    path = Path(args.out, f"{name}.csv")
    run_all(jobs, path, args.data_dir, args.jobs)
    print(write_tables(path, command_of(args), suite.tables))
    wrong = below_floor(path) if args.floor else []
    print(*wrong, sep="\n", end="\n" if wrong else "", file=sys.stderr)
    return 1 if wrong else 0


def command_of(args):
    """Return the command that makes the results again, without folders of this machine."""
    words = ["python -m benchmarks.open_set", "--suite", args.suite]
    words += ["--data-dir", "DIR"] if args.data_dir else []
    words += ["--draws", str(args.draws)] if args.draws else []
    words += ["--seeds", str(args.seeds)] if args.seeds else []
    words += ["--rows", shlex.quote(args.rows)] if args.rows != "*" else []
    words += ["--quick"] if args.quick else []
    return " ".join(words)


if __name__ == "__main__":
    sys.exit(main())
