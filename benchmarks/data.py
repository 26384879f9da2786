"""The data of the benchmarks, and which samples of them train and test."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import fetch_openml, load_breast_cancer, load_digits, load_wine
from sklearn.model_selection import StratifiedKFold, train_test_split

from sk_center import LeaveClassesOut

# The unknown digits of the "Neal" family of splits, and the known ones of the "ARPL/Vaze"
# family. Numbers of one family are not comparable with those of the other.
NEAL = [(3, 6, 7, 8), (1, 2, 4, 6), (2, 3, 4, 9), (0, 1, 2, 6), (4, 5, 6, 9)]
ARPL_KNOWN = [
    (2, 4, 5, 9, 8, 3),
    (3, 2, 6, 9, 4, 0),
    (5, 8, 3, 2, 4, 6),
    (3, 7, 8, 4, 0, 5),
    (6, 3, 4, 9, 8, 2),
]
ARPL = [tuple(sorted({*range(10)} - {*known})) for known in ARPL_KNOWN]
NOT_MNIST = "notMNIST"  # the label of everything that is no digit
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def draw_letters(n_known, draw):
    """Return the letters that are unknown in one random draw."""
    order = np.random.default_rng([n_known, draw]).permutation(list(LETTERS))
    return tuple(sorted(order[n_known:].tolist()))


@lru_cache(maxsize=2)
def load(name, data_dir=None):
    """Return samples, labels and the mask of the test set, None where there is none.

    MNIST and LETTER come from ``data_dir``, a folder with ``mnist.npz``,
    ``notmnist_test.npz`` and ``letter.csv.gz``; without it scikit-learn fetches them from
    OpenML into its cache.
    """
    if name in ("digits", "wine", "breast cancer"):
        source = {"digits": load_digits, "wine": load_wine}.get(name, load_breast_cancer)
        X, y = source(return_X_y=True)
        # Pixels keep one scale: each by itself, those of the margin would be blown up.
        return X / 16 if name == "digits" else X, y, None
    if name == "letter":
        return *load_letter(data_dir), None
    X, y, test = load_mnist(data_dir)
    if name == "mnist, notmnist":
        others = load_notmnist(data_dir)
        X = np.concatenate([X, others])
        y = np.concatenate([y.astype(str), np.full(len(others), NOT_MNIST)])
        test = np.concatenate([test, np.ones(len(others), dtype=bool)])
    return X, y, test


def load_letter(data_dir=None):
    """Return the 16 features and the letters of the LETTER data."""
    if data_dir is None:
        X, y = fetch_openml("letter", version=1, return_X_y=True, as_frame=False)
        return X.astype(float), y.astype(str)
    table = pd.read_csv(existing(data_dir, "letter.csv.gz"))
    return table.drop(columns="letter").to_numpy(float), table["letter"].to_numpy(str)


def load_mnist(data_dir=None):
    """Return MNIST as images of shape (1, 28, 28), digits and the mask of the test set."""
    if data_dir is None:
        X, y = fetch_openml("mnist_784", version=1, return_X_y=True, as_frame=False)
        X, y = X.astype(np.uint8), y.astype(int)
        test = np.arange(len(y)) >= 60_000
    else:
        with np.load(existing(data_dir, "mnist.npz")) as file:
            X = np.concatenate([file["X_train"], file["X_test"]])
            y = np.concatenate([file["y_train"], file["y_test"]]).astype(int)
            test = np.arange(len(y)) >= len(file["y_train"])
    return X.reshape(-1, 1, 28, 28), y, test


def load_notmnist(data_dir=None):
    """Return the test images of notMNIST, of shape (1, 28, 28)."""
    if data_dir is None:
        raise ValueError(
            "notMNIST is not on OpenML: pass --data-dir, a folder that holds "
            "notmnist_test.npz with an array X of shape (n_samples, 28, 28), uint8. It is "
            "the test set of https://github.com/davidflanagan/notMNIST-to-MNIST."
        )
    with np.load(existing(data_dir, "notmnist_test.npz")) as file:
        return file["X"].reshape(-1, 1, 28, 28)


def existing(data_dir, name):
    """Return the path of a file of the data folder, or say what is missing."""
    path = Path(data_dir, name)
    if not path.is_file():
        raise FileNotFoundError(
            f"data_dir must be a folder that holds {name}; got {str(data_dir)!r}, which "
            "does not. Without --data-dir, MNIST and LETTER come from OpenML."
        )
    return path


@dataclass(frozen=True)
class Split:
    """Which classes of which data are unknown, and which samples train and test.

    Attributes
    ----------
    case : str
        What splits have in common whose results are averaged.

    name : str
        Name of the split, different from those of the other splits of the case.

    data : str
        Data, see :func:`load`.

    unknown : tuple
        Labels of the unknown classes.

    seed : int
        Seed of what is drawn.

    fold : (int, int) or None
        Which of how many parts of the known samples to test on, so that all are tested
        once. None tests the test set of the data, or 30 % where there is none.

    calibrate_next : bool
        Whether the part after the one of ``fold`` calibrates, so that the calibration
        samples of two folds are never the same. Else a fifth is drawn.

    max_train : int or None
        Largest number of training samples.

    left_out : (int, int, int) or None
        To look at the training samples alone: leave so many of the known classes out, in
        so many ways, of which this is the one with that index.
    """

    case: str
    name: str
    data: str
    unknown: tuple = ()
    seed: int = 0
    fold: tuple | None = None
    calibrate_next: bool = False
    max_train: int | None = None
    left_out: tuple | None = None

    def parts(self, data_dir=None):
        """Return the samples and labels that train, and those that test."""
        X, y, test = load(self.data, data_dir)
        known = ~np.isin(y, self.unknown)
        rows = np.flatnonzero(known)
        if self.fold is not None:
            train = rows[np.setdiff1d(np.arange(len(rows)), self._folds(y[rows])[0])]
            test = np.ones(len(y), dtype=bool)
        elif test is None:
            train, _ = train_test_split(
                rows, test_size=0.3, stratify=y[rows], random_state=self.seed
            )
            test = np.ones(len(y), dtype=bool)
        else:
            train = rows[~test[rows]]
        rest = np.setdiff1d(np.flatnonzero(test), train)
        if self.max_train is not None and len(train) > self.max_train:
            train, _ = train_test_split(
                train, train_size=self.max_train, stratify=y[train], random_state=self.seed
            )
        if self.left_out is not None:
            n_unknown, n_ways, index = self.left_out
            ways = LeaveClassesOut(n_unknown, n_splits=n_ways, random_state=self.seed)
            parts = [*ways.split(None, y[train])][index]
            train, rest = train[parts[0]], train[parts[1]]
        return X[train], y[train], X[rest], y[rest]

    def held_out(self, y_train, seed, data_dir=None):
        """Return which of the training samples train and which calibrate, sorted."""
        everything = np.arange(len(y_train))
        if not self.calibrate_next:
            parts = train_test_split(
                everything, test_size=0.2, stratify=y_train, random_state=seed
            )
            return [np.sort(part) for part in parts]
        _, y, _ = load(self.data, data_dir)
        tested, calibrating, *_ = self._folds(y[~np.isin(y, self.unknown)])
        # Training samples are what is left of all known ones without those of the test.
        held_out = np.sort(calibrating - np.searchsorted(np.sort(tested), calibrating))
        return [np.setdiff1d(everything, held_out), held_out]

    def _folds(self, y):
        """Return the samples of each part, that of ``fold`` first, then the next ones."""
        index, n_folds = self.fold
        folds = StratifiedKFold(n_folds, shuffle=True, random_state=self.seed)
        parts = [part for _, part in folds.split(y, y)]
        return parts[index:] + parts[:index]
