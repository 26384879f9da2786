"""The CSV file of the results, with the versions and the machine of each."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import pandas as pd

import sk_center
from benchmarks.measures import METRICS

KEY = ["case", "split", "seed", "recipe", "score", "rule", "rate"]
FIELDS = [*KEY, *METRICS, "by_class", "by_group", "seconds", "environment", "date"]


def key_of(result):
    """Return the key of a result."""
    return tuple(result[name] for name in KEY)


def finished(path):
    """Return the keys of the results in a CSV file, and remove an incomplete last line."""
    path = Path(path)
    if not path.is_file():
        return set()
    text = path.read_bytes()
    if not text.endswith(b"\n"):
        path.write_bytes(text[: text.rfind(b"\n") + 1])
    return set(read(path)[KEY].itertuples(index=False, name=None)) if text else set()


def read(path):
    """Return the results of a CSV file."""
    return pd.read_csv(path, dtype={"split": str, "seed": int, "rate": float})


def append(results, path):
    """Append results to a CSV file, all or none of them."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(results, columns=FIELDS)
    with path.open("a", encoding="utf-8") as file:
        file.write(table.to_csv(index=False, header=file.tell() == 0))


def environment():
    """Return versions and machine as one line, without names of hosts or folders."""
    names = ["torch", "scikit-learn", "skorch", "numpy"]
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return (
        f"sk_center {own_version()}, Python {platform.python_version()}, {versions}, "
        f"{os.cpu_count()} cores of {cpu_name()}"
    )


def own_version():
    """Return the version of sk_center, with the commit where it is known."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
    )
    commit = done.stdout.strip()
    return f"{sk_center.__version__} ({commit})" if commit else sk_center.__version__


def cpu_name():
    """Return the name of the processor."""
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.is_file() else []:
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()
