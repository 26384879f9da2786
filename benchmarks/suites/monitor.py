"""Whether a monitor notices that a stream has changed, how soon, and how often in error.

    python -m benchmarks.suites.monitor --streams 200

Six digits are known. Each stream has calibration samples of its own and 2,000 samples,
which change from the 501st on. They are drawn with replacement from digits that trained
nothing. A Kolmogorov-Smirnov test stands beside the monitor: it compares each window of
100 samples with the calibration samples, at the rate of the monitor and at a twentieth of
that, since there are twenty windows.
"""

import argparse
import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from scipy.stats import binomtest, ks_2samp
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import NearestNeighbors

from benchmarks.results import environment
from benchmarks.tables import markdown
from sk_center import OpenSetClassifier, RejectionMonitor

RATE, OUTSIDER_RATE = 0.01, 0.02
N_SAMPLES, CHANGE, WINDOW = 2000, 500, 100
CALIBRATION = (50, 200, 1000)
SHIFTS = {"noise of 0.05": 0.05, "noise of 0.1": 0.1, "noise of 0.2": 0.2}
SHARES = {"5 % outsiders": 0.05, "20 % outsiders": 0.2, "50 % outsiders": 0.5}
CHANGES = ("none", *SHIFTS, *SHARES)
ALARMS = ("stream", "known", "outsiders", "KS", "KS / 20")


class Digits:
    """A classifier of six digits with a given score, and samples to draw from."""

    def __init__(self):
        X, y = load_digits(return_X_y=True)
        X, known = X / 16, y < 6
        X_train, self.X, y_train, self.y = train_test_split(
            X[known], y[known], test_size=0.5, stratify=y[known], random_state=0
        )
        self.outsiders = X[~known]
        self.classifier = LogisticRegression(C=10, max_iter=1000).fit(X_train, y_train)
        self.search = NearestNeighbors(n_neighbors=1).fit(X_train)

    def score(self, X):
        """Return minus the distance to the nearest sample that trained."""
        return -self.search.kneighbors(X)[0][:, 0]

    def draw(self, n, rng):
        """Return known samples and their labels."""
        rows = rng.integers(len(self.y), size=n)
        return self.X[rows], self.y[rows]

    def stream(self, change, rng):
        """Return a stream that changes, and its labels."""
        X, y = self.draw(N_SAMPLES, rng)
        late = np.arange(N_SAMPLES) >= CHANGE
        if change in SHIFTS:
            X = X + SHIFTS[change] * late[:, None] * rng.normal(size=X.shape)
        if change in SHARES:
            rows = np.flatnonzero(late & (rng.random(N_SAMPLES) < SHARES[change]))
            X[rows] = self.outsiders[rng.integers(len(self.outsiders), size=len(rows))]
            y[rows] = 9
        return X, y


def alarms_of(digits, n_calibration, change, seed):
    """Return the number of the sample at which each alarm is raised, or infinity."""
    rng = np.random.default_rng(seed)
    model = OpenSetClassifier(
        FrozenEstimator(digits.classifier), conformity_score=digits.score
    )
    model.fit(*digits.draw(n_calibration, rng))
    X, y = digits.stream(change, rng)
    monitor = RejectionMonitor(
        model, false_alarm_rate=RATE, outsider_rate=OUTSIDER_RATE, random_state=seed
    )
    decision = model.judge(X)
    known = y < 6
    frame = monitor.fit().update(decision).update(X, y).to_frame()
    at = frame["alarmed_at"].loc[["stream", "known", "outsiders"]].to_numpy(dtype=float)
    # Samples of the question "known" are counted without the outsiders among them.
    if at[1] > 0:
        at[1] = np.flatnonzero(known)[int(at[1]) - 1] + 1
    at[at < 0] = np.inf
    windows = decision.scores.reshape(-1, WINDOW)
    reference = model.calibration_.scores_
    p = np.array([ks_2samp(window, reference).pvalue for window in windows])
    for level in (RATE, RATE / len(windows)):
        over = np.flatnonzero(p <= level)
        at = np.append(at, (over[0] + 1) * WINDOW if len(over) else np.inf)
    return at


def cells(found, changed):
    """Return the cells of a table for the alarms of some streams."""
    early = (found <= CHANGE if changed else np.isfinite(found)).sum()
    if not changed:
        low, high = binomtest(int(early), len(found)).proportion_ci(method="exact")
        return f"{100 * early / len(found):.1f} [{100 * low:.1f}, {100 * high:.1f}]"
    later = found[found > CHANGE] - CHANGE
    noticed = np.isfinite(later)
    if not noticed.any():
        return "0"
    delay = np.median(later)
    text = f"{delay:.0f}" if np.isfinite(delay) else "-"
    return f"{100 * noticed.mean():.0f}, after {text}"


def main(argv=None):
    """Measure, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=200, help="of each kind")
    parser.add_argument("--false-alarms", type=int, default=1000, help="without change")
    parser.add_argument("--out", default="benchmarks/results", help="folder of the tables")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    args = parser.parse_args(argv)
    digits, found = Digits(), {}
    for n in CALIBRATION:
        for change in CHANGES:
            if n == CALIBRATION[0] and change != "none":
                continue
            n_streams = args.false_alarms if change == "none" else args.streams
            found[n, change] = np.array(
                Parallel(args.jobs)(
                    delayed(alarms_of)(digits, n, change, seed) for seed in range(n_streams)
                )
            )
    text = [
        "# Results of the suite monitor",
        f"Streams of {N_SAMPLES} samples, with the change after {CHANGE}, and calibration "
        "samples of their own. Without change: streams with an alarm in percent, with the "
        f"exact 95 % interval; a false-alarm rate of {100 * RATE:g} % is allowed, to each "
        "question. With change: streams with an alarm after it in percent, of those "
        "without one before, and the median number of samples until then.",
    ]
    lines = [
        [str(n), change, *(cells(column, change != "none") for column in part.T)]
        for (n, change), part in found.items()
    ]
    text.append(markdown(["calibration samples", "change", *ALARMS], lines))
    text.append(
        f"## How these numbers were made\n\n    python -m benchmarks.suites.monitor "
        f"--streams {args.streams} --false-alarms {args.false_alarms}\n\n"
        f"Date: {datetime.now(UTC):%Y-%m-%d}. Made with:\n\n- {environment()}"
    )
    path = Path(args.out, "monitor.md")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join(text) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
