"""Measure speed and memory, see :mod:`benchmarks.speed`."""

import argparse
import sys
from dataclasses import replace
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._testing import ignore_warnings
from threadpoolctl import threadpool_limits

import benchmarks.speed
from benchmarks.results import environment
from benchmarks.speed.growth import growth, profile
from benchmarks.speed.memory import sizes
from benchmarks.speed.quality import quality
from benchmarks.speed.rejection import calls, fit_memory, rejection
from benchmarks.speed.timing import QUICK, Size
from benchmarks.speed.training import (
    compiled_steps,
    fits,
    images,
    large_label_sets,
    predictions,
    searches,
)
from benchmarks.tables import markdown

GROUPS = (
    fits,
    compiled_steps,
    predictions,
    large_label_sets,
    images,
    searches,
    quality,
    sizes,
    rejection,
    calls,
    fit_memory,
)
TABLES = {
    growth: ("How cost grows", ["what", "time"]),
    profile: ("Where the time of a step goes", ["training", "part", "time", "share"]),
}


@ignore_warnings(category=ConvergenceWarning)
def main(argv=None):
    """Run the comparisons, write the table and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed",
        description=benchmarks.speed.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data-dir", help="folder with mnist.npz")
    parser.add_argument("--out", default="benchmarks/results", help="folder of the table")
    parser.add_argument("--groups", default="*", help="which, of " + names_of_groups())
    parser.add_argument("--threads", type=int, default=1, help="threads of torch and BLAS")
    parser.add_argument("--quick", action="store_true", help="only check that it runs")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    threadpool_limits(args.threads)  # of BLAS, too
    size = replace(QUICK if args.quick else Size(), data_dir=args.data_dir)
    rows = []
    for group in GROUPS:
        if fnmatch(group.__name__, args.groups):
            for row in group(size):
                rows.append(row)
                print(" | ".join(row.cells()), file=sys.stderr)
    if not rows:
        parser.error(
            f"--groups must match one of {names_of_groups()}; got {args.groups!r}."
        )
    header = ["what", "against", "ours", "theirs", "ratio", "target", "within"]
    text = [
        "# Speed",
        f"Threads of torch and BLAS: {args.threads}. Made on "
        f"{datetime.now(UTC):%Y-%m-%d} with {environment()}.",
        markdown(header, [row.cells() for row in rows]),
    ]
    for function, (title, header) in TABLES.items() if args.groups == "*" else ():
        text += [f"## {title}", markdown(header, list(function(size)))]
    path = Path(args.out, "speed-quick.md" if args.quick else "speed.md")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join(text) + "\n", encoding="utf-8")
    print(path)
    return 0


def names_of_groups():
    """Return the names of the groups of comparisons."""
    return ", ".join(group.__name__ for group in GROUPS)


if __name__ == "__main__":
    sys.exit(main())
