"""Time two sides in turn, and say how much slower one is."""

import gc
import time
from dataclasses import dataclass

import numpy as np


@dataclass
class Row:
    """A line of the table: the times of both sides, and the target if any."""

    what: str
    against: str
    ours: str
    theirs: str
    ratio: float
    quartiles: tuple = (0, 0)
    target: float | None = None

    def cells(self):
        """Return the line as texts."""
        low, high = self.quartiles
        spread = "" if low == high else f" [{low:.2f}, {high:.2f}]"
        # Rounded up, so that a ratio over its target is shown to be over it.
        shown = np.ceil(100 * self.ratio) / 100
        ratio = f"{shown:.2f}{spread}"
        target = within = ""
        if self.target is not None:
            target = f"{self.target:g}"
            within = "yes" if shown <= self.target else "**no**"
        return [
            self.what,
            self.against,
            self.ours,
            self.theirs,
            ratio,
            target,
            within,
        ]


def compare(what, against, target, ours, theirs, repeats, n_samples=None):
    """Time two functions in turn, after one run of each that does not count.

    With ``n_samples``, the number in a run, the times have a rate beside them.
    """
    ours(), theirs()
    times = np.array([[seconds(side) for side in (ours, theirs)] for _ in range(repeats)])
    ratios = times[:, 0] / times[:, 1]
    medians = [
        unit(value) + ("" if n_samples is None else f", {n_samples / value:.3g}/s")
        for value in np.median(times, axis=0)
    ]
    quartiles = tuple(np.quantile(ratios, [0.25, 0.75]))
    return Row(what, against, *medians, float(np.median(ratios)), quartiles, target)


def seconds(function):
    """Return how long a call takes."""
    gc.collect()
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def unit(value):
    """Return seconds as text."""
    for name, size in (("s", 1), ("ms", 1e-3)):
        if value >= size:
            return f"{value / size:.3g} {name}"
    return f"{value / 1e-6:.3g} µs"


@dataclass
class Size:
    """Sizes of the measurements."""

    n_samples: int = 50_000
    n_images: int = 3_200
    image_epochs: int = 10
    n_large: int = 1_000_000
    n_quality: int = 500_000
    most_classes: int = 1_000_000
    epochs: int = 10
    search_epochs: int = 20
    repeats: int = 5
    data_dir: str | None = None
    mnist: bool = True
    backend: str = "inductor"


QUICK = Size(
    n_samples=2_000,
    n_images=256,
    image_epochs=1,
    n_large=20_000,
    n_quality=500,
    most_classes=100_000,
    epochs=1,
    search_epochs=2,
    repeats=1,
    mnist=False,
    backend="eager",
)
