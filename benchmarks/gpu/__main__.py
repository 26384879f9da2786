"""Check and measure everything on a GPU in one run, see :mod:`benchmarks.gpu`."""

import argparse
import csv
import logging
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path

import torch

import benchmarks.gpu
from benchmarks.gpu.groups import GROUPS
from benchmarks.gpu.sizes import QUICK, Size
from benchmarks.results import environment
from benchmarks.tables import markdown
from sk_center._utils.devices import find_device, module_of

HEADER = ["what", "against", "ours", "theirs", "ratio", "target", "within"]
log = logging.getLogger("benchmarks.gpu")


def main(argv=None):
    """Run all groups, write table, rows and log, and return the exit code."""
    names = ", ".join(group.__name__ for group in GROUPS)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=benchmarks.gpu.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--device", default="auto", help="a device of torch")
    parser.add_argument("--out", default="benchmarks/results", help="folder of the results")
    parser.add_argument("--groups", default="*", help=f"some of {names}")
    parser.add_argument("--minutes", type=float, default=7, help="no row begins later")
    parser.add_argument("--quick", action="store_true", help="only check that it runs")
    args = parser.parse_args(argv)
    device = find_device(args.device)
    if args.device == "auto" and device.type == "cpu":
        parser.error(
            "torch finds no accelerator; --device cpu --quick checks that all runs."
        )
    size = Size(device, **(QUICK if args.quick else {}))
    chosen = [group for group in GROUPS if fnmatch(group.__name__, args.groups)]
    if not chosen:
        parser.error(f"--groups must match one of {names}; got {args.groups!r}.")
    out = Path(args.out, "gpu-quick" if args.quick else "gpu")
    out.parent.mkdir(parents=True, exist_ok=True)
    with logged(out.with_suffix(".log")):
        log.info("%s on %s", environment(), name_of(device))
        deadline = time.monotonic() + 60 * args.minutes
        found, missing = measured(chosen, size, deadline, out.with_suffix(".csv"))
    text = [
        "# GPU",
        f"{name_of(device)}, {datetime.now(UTC):%Y-%m-%d}, {environment()}.",
        markdown(HEADER, found),
    ]
    if missing:
        text.append(markdown(["not measured", "why"], missing))
    out.with_suffix(".md").write_text("\n\n".join(text) + "\n", encoding="utf-8")
    print(text[-2 if missing else -1])
    print(out.with_suffix(".md"))
    return 0


@contextmanager
def logged(path):
    """Write the log of a block to a file and to the console."""
    log.setLevel(logging.INFO)
    handlers = logging.FileHandler(path, "w", encoding="utf-8"), logging.StreamHandler()
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        log.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            log.removeHandler(handler)
            handler.close()


def measured(groups, size, deadline, path):
    """Return rows as texts, and what failed and why; write each row at once."""
    found, missing = [], []
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["group", *HEADER])
        for group in groups:
            for what, function in cases(group, size):
                row, why = guarded(function, deadline)
                if row is None:
                    missing.append([f"{group.__name__}: {what}", why])
                    continue
                cells = row.cells()
                log.info(" | ".join(cells))
                found.append(cells)
                writer.writerow([group.__name__, *cells])
                file.flush()
    return found, missing


def cases(group, size):
    """Yield the cases of a group; if it fails, a case that fails with the same error."""
    try:
        yield from group(size)
    except Exception as error:

        def fail(error=error):
            raise error

        yield "the rest", fail


def guarded(function, deadline):
    """Return the row of a function and None, or None and why it has no row."""
    if time.monotonic() > deadline:
        return None, "no time left"
    try:
        return function(), None
    except Exception as error:
        log.exception("This row failed:")
        return None, f"{type(error).__name__}: {error}".splitlines()[0][:120]


def name_of(device):
    """Return the name of a device."""
    name = getattr(module_of(device), "get_device_name", lambda: "")()
    return f"{device}, {name}, torch {torch.__version__}"


if __name__ == "__main__":
    sys.exit(main())
