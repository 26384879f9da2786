"""Add five classes by a few samples each, beside training anew with all classes.

    python -m benchmarks.suites.new_classes --data-dir DIR

Five of the classes that a draw makes unknown (digits and clouds: two) come later and the
others stay outsiders. The rest is known and trains. The later classes are added to the
fitted classifier by 1, 3, 5, 10 and 20 samples, and for comparison a classifier is fitted
to all samples anew.
"""

import argparse
import warnings

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.model_selection import train_test_split

from benchmarks.data import load
from benchmarks.results import environment
from sk_center import CenterLossClassifier, OpenSetClassifier

SIZES = (1, 3, 5, 10, 20)
# Classes that come later, those that stay outsiders, and epochs of a training.
CASES = {"banking77 embeddings": (5, 10, 10), "digits": (2, 2, 50), "clouds": (2, 2, 30)}
GUARANTEES = ("marginal", "class")
COLUMNS = {
    "accuracy": "estimator's known accuracy",
    "right_old": "known named right",
    "false_old": "known rejected",
    "false_new": "new rejected",
    "right": "new named right",
    "outsiders": "outsiders rejected",
}


def drawn(data, draw, data_dir):
    """Return parts that train, that may be added and that test, and the three kinds."""
    if data == "clouds":  # that overlap
        shape, test = {"centers": 12, "n_features": 8, "cluster_std": 4.5}, None
        X, y = make_blobs(2400, **shape, random_state=draw)
    else:
        X, y, test = load(data, data_dir)
    if test is None:
        rows = np.arange(len(y))
        train, _ = train_test_split(rows, test_size=0.4, stratify=y, random_state=draw)
        test = ~np.isin(rows, train)
    order = np.random.default_rng(draw).permutation(np.unique(y))
    n_new, n_outsiders, _ = CASES[data]
    kinds = np.split(order, [n_new, n_new + n_outsiders])  # new, outsiders, known
    return (X[~test], y[~test]), (X[test], y[test]), kinds


def few(X, y, new, n, draw):
    """Return so many samples of each new class; more of them include the fewer."""
    order = np.random.default_rng(draw).permutation(len(y))
    rows = np.concatenate([order[y[order] == k][:n] for k in new])
    return X[rows], y[rows]


def measured(model, X, y, kinds):
    """Return rates of a fitted model, in percent."""
    new, outsiders, known = (np.isin(y, kind) for kind in kinds)
    decision = model.judge(X)

    def named_right(some):
        accepted = some & ~decision.rejected
        right = decision.labels[accepted] == y[accepted]
        return right.mean() if accepted.any() else np.nan

    found = {
        "accuracy": (decision.predicted[known] == y[known]).mean(),
        "right_old": named_right(known),
        "false_old": decision.rejected[known].mean(),
        "false_new": decision.rejected[new].mean(),
        "right": named_right(new),
        "outsiders": decision.rejected[outsiders].mean(),
    }
    return {name: 100 * value for name, value in found.items()}


def results_of(data, draw, guarantees, data_dir):
    """Yield a row for each way and number of samples."""
    (X, y), test, kinds = drawn(data, draw, data_dir)
    known = np.isin(y, kinds[2])
    classifier = CenterLossClassifier(max_epochs=CASES[data][2], random_state=draw)
    for guarantee in guarantees:
        model = OpenSetClassifier(classifier, guarantee=guarantee, random_state=draw)
        key = {"data": data, "guarantee": guarantee, "draw": draw}
        model.fit(X[known], y[known])
        yield {**key, "way": "before", "n": 0, **measured(model, *test, kinds)}
        for n in SIZES:
            added = few(X, y, kinds[0], n, draw)
            more = object.__new__(type(model))
            vars(more).update(vars(model))
            more.add_classes(*added)
            yield {**key, "way": "added", "n": n, **measured(more, *test, kinds)}
            again = clone(model).fit(
                np.concatenate([X[known], added[0]]), np.concatenate([y[known], added[1]])
            )
            yield {**key, "way": "trained anew", "n": n, **measured(again, *test, kinds)}


def main(argv=None):
    """Print the tables of the page ``docs/benchmarks/new_classes.md``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.suites.new_classes")
    parser.add_argument("--data-dir", help="folder with the data of BANKING77")
    parser.add_argument("--data", nargs="+", choices=CASES, default=[*CASES])
    parser.add_argument("--guarantees", nargs="+", choices=GUARANTEES, default=["marginal"])
    parser.add_argument("--draws", type=int, default=3)
    args = parser.parse_args(argv)
    warnings.simplefilter("ignore")
    rows = []
    for data in args.data:
        for draw in range(args.draws):
            for row in results_of(data, draw, args.guarantees, args.data_dir):
                rows.append(row)
                print(row, flush=True)
    means = pd.DataFrame(rows).groupby(["data", "guarantee", "n", "way"])[[*COLUMNS]].mean()
    for (data, guarantee), table in means.groupby(level=[0, 1]):
        print(f"\n## {data}, guarantee={guarantee!r}, {args.draws} draws\n")
        print("| samples a class |", " | ".join(["way", *COLUMNS.values()]), "|")
        print("| ---: | --- |", " | ".join(["---:"] * len(COLUMNS)), "|")
        for (_, _, n, way), row in table.iterrows():
            cells = ["-" if np.isnan(value) else f"{value:.1f}" for value in row]
            print(f"| {n} | {way} |", " | ".join(cells), "|")
    print(f"\n{environment()}")


if __name__ == "__main__":
    main()
