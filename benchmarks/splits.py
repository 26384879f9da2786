"""Which classes of which data are unknown, and which samples train, calibrate and test."""

from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.utils import _safe_indexing

from benchmarks.data import load
from sk_center import LeaveClassesOut


@dataclass(frozen=True)
class Split:
    """Which classes of which data are unknown, and which samples train and test.

    Attributes
    ----------
    case : str
        Name that splits share whose results are averaged.

    name : str
        Name of the split, different from those of the other splits of the case.

    data : str
        Data, see :func:`benchmarks.data.load`.

    unknown : tuple
        Labels of the unknown classes.

    seed : int
        Seed of the draws.

    test_size : float
        Share of the known samples to test on, where neither data nor ``fold`` say which.

    fold : (int, int) or None
        Which of how many parts of the known samples to test on, so that all are tested
        once. None tests the test set of the data, or ``test_size`` where there is none.

    calibrate_next : bool
        Whether the part after the one of ``fold`` calibrates, so that the calibration
        samples of two folds are never the same. Else a fifth is drawn.

    max_train : int or None
        Largest number of training samples.

    left_out : (int, int, int) or None
        Number of known classes that are left out to look at the training samples alone,
        number of ways to do so, and the index of this one.
    """

    case: str
    name: str
    data: str
    unknown: tuple = ()
    seed: int = 0
    test_size: float = 0.3
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
                rows, test_size=self.test_size, stratify=y[rows], random_state=self.seed
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
        return _safe_indexing(X, train), y[train], _safe_indexing(X, rest), y[rest]

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
        # The known samples that do not test train.
        held_out = np.sort(calibrating - np.searchsorted(np.sort(tested), calibrating))
        return [np.setdiff1d(everything, held_out), held_out]

    def _folds(self, y):
        """Return the samples of each part, that of ``fold`` first, then the next ones."""
        index, n_folds = self.fold
        folds = StratifiedKFold(n_folds, shuffle=True, random_state=self.seed)
        parts = [part for _, part in folds.split(y, y)]
        return parts[index:] + parts[:index]
