"""A splitter that leaves whole classes out of training, to tune without outsiders."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from itertools import combinations
from math import comb
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_array, check_random_state, column_or_1d, indexable
from sklearn.utils.multiclass import type_of_target

from sk_center._utils.compat import Interval, validate_parameter_constraints
from sk_center._utils.labels import check_no_label_missing
from sk_center.metrics import openness
from sk_center.metrics.base import checked_labels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

    from sk_center._utils.types import Samples

__all__ = ["LeaveClassesOut"]

# A classifier needs two classes.
MIN_KNOWN = 2
# Sets of unknown classes are drawn before the first split; more would not end.
MAX_SPLITS = 100_000


class LeaveClassesOut(BaseCrossValidator):
    """Cross-validator that leaves whole classes out of training, as unknown classes.

    Each split declares some classes unknown. The test part holds all samples of those,
    which are outsiders to a classifier of the rest, and a stratified share of the samples
    of every other class; the remaining samples train. So an open-set classifier is tuned on
    classes that are not in its training part, without outsiders.

    Parameters
    ----------
    n_unknown : int or float, default=None
        Number of classes to leave out in each split, or their share of all classes in
        (0, 1), rounded to at least one class. A larger number gives more outsiders, and
        leaves fewer classes to train on. None leaves one out, unless ``openness`` or
        ``unknown_classes`` is given; only one of the three may be given.

    n_splits : int, default=None
        Number of splits, at most 100,000. More splits leave more classes out at least once,
        in proportionally more time. None is 5, or one for each entry of
        ``unknown_classes``, with which it may not be given.

    test_size : float, default=0.2
        Share of every known class to test on, in (0, 1). A larger share tests more known
        samples, and leaves fewer to train on. With ``1 / n_splits`` it is a K-fold; any
        other share may be tested more or less than once, see Notes.

    unknown_classes : list of lists of labels, default=None
        The classes to leave out, one entry for each split, as in
        ``[["a", "b"], ["c"]]``. An entry that occurs again is tested with other samples
        of the known classes.

    openness : float, default=None
        Openness of each split in (0, 1), see Notes; the number of classes that comes
        closest is left out.

    random_state : int, RandomState instance or None, default=None
        Seed of the choice of classes and samples that are held out. An int gives the same
        splits at every call.

    Raises
    ------
    ValueError
        If a parameter is out of range, or parameters that exclude each other are given.

    See Also
    --------
    sk_center.OpenSetClassifier : The classifier to tune with it.
    sk_center.metrics.oscr_score : Measures classification of known samples and detection of
        outsiders; its scorer is ``sk_center.metrics.oscr_scorer``.
    sklearn.model_selection.LeavePGroupsOut : Leaves groups out, and every sample of them.
    sklearn.model_selection.StratifiedGroupKFold : Leaves no class out.

    Notes
    -----
    **Classes.** Drawn sets of unknown classes are balanced: over the splits, no class is
    left out more than once more often than another. No set occurs again before all
    have. At least two classes are left for training, and none of them lacks a training
    sample.

    **Samples.** The samples of a known class are shuffled once and tested in turn: each
    split in which the class is known tests the next ``test_size`` of it, and starts again
    at the end. Hence the number that is tested in a split is within one of
    ``test_size * n_class_samples``, and how often two samples of a class were tested as
    known never differs by more than one. The only sample of a known class always trains.
    Samples of unknown classes are tested as often as their class is left out, so test parts
    overlap: :func:`sklearn.model_selection.cross_val_predict` refuses such splits,
    :func:`sklearn.model_selection.cross_validate` and searches take them.

    **Groups.** No group is in both parts. Groups are held out whole, those tested least
    first, so that the shares of the known classes come near ``test_size`` over the splits;
    a known class of a single group always trains. A group of unknown classes alone is
    tested. A group that holds known samples, too, is tested whole, or it trains with its
    known samples and its other samples are in neither part: if they were tested, nothing
    would be left for training when each group, such as a writer or a patient, has samples
    of all classes. At least one group of each unknown class is tested.

    **Openness** is that of :func:`sk_center.metrics.openness`, 0 if all test classes are
    known.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_center.model_selection import LeaveClassesOut
    >>> X, y = np.zeros((12, 2)), np.array(list("aaabbbcccddd"))
    >>> cv = LeaveClassesOut(2, n_splits=2, test_size=0.34, random_state=0)
    >>> for train, test in cv.split(X, y):
    ...     print("train", "".join(y[train]), "test", "".join(y[test]))
    train aabb test abcccddd
    train ccdd test aaabbbcd

    A search that never sees an outsider:

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.preprocessing import scale
    >>> from sk_center import OpenSetClassifier
    >>> from sk_center.metrics import auroc_scorer
    >>> X, y = load_iris(return_X_y=True)
    >>> search = GridSearchCV(
    ...     OpenSetClassifier(LogisticRegression(), cv=5, random_state=0),
    ...     {"conformity_score": ["center_distance", "mahalanobis"]},
    ...     cv=LeaveClassesOut(n_splits=3, random_state=0),
    ...     scoring=auroc_scorer,
    ... ).fit(scale(X), y)
    >>> search.best_params_
    {'conformity_score': 'mahalanobis'}
    """

    # As scikit-learn's private GroupsConsumerMixin does: with metadata routing, groups that
    # are given arrive here.
    __metadata_request__split = {"groups": True}

    _parameter_constraints: dict = {
        "n_unknown": [
            Interval(Integral, 1, None, closed="left"),
            Interval(Real, 0, 1, closed="neither"),
            None,
        ],
        "n_splits": [Interval(Integral, 1, MAX_SPLITS, closed="both"), None],
        "test_size": [Interval(Real, 0, 1, closed="neither")],
        "openness": [Interval(Real, 0, 1, closed="neither"), None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_unknown: float | None = None,
        *,
        n_splits: int | None = None,
        test_size: float = 0.2,
        unknown_classes: Collection[Collection[Any]] | None = None,
        openness: float | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        _check_exclusive(
            n_unknown=n_unknown, openness=openness, unknown_classes=unknown_classes
        )
        _check_exclusive(n_splits=n_splits, unknown_classes=unknown_classes)
        self.n_unknown = n_unknown
        self.n_splits = n_splits
        self.test_size = test_size
        self.unknown_classes = unknown_classes
        self.openness = openness
        self.random_state = random_state
        validate_parameter_constraints(
            self._parameter_constraints, vars(self), caller_name=type(self).__name__
        )
        if not (unknown_classes is None or _is_list_of_lists(unknown_classes)):
            raise ValueError(
                "unknown_classes must be a list of lists of labels, none of them empty, or "
                f"None; got {unknown_classes!r}."
            )

    def split(
        self, X: Samples, y: ArrayLike, groups: ArrayLike | None = None
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Generate the indices of the training and the test part of each split.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Samples; only their number is used, and None is accepted.

        y : array-like of shape (n_samples,)
            Class labels.

        groups : array-like of shape (n_samples,), default=None
            Groups of samples that must stay together.

        Yields
        ------
        train : ndarray of shape (n_train_samples,)
            Rising indices of the training part, samples of known classes only.

        test : ndarray of shape (n_test_samples,)
            Rising indices of the test part, samples of known and of unknown classes.

        Raises
        ------
        ValueError
            If ``y`` does not hold one class label for each sample, less than two classes
            would be left for training, or the test part would lack known samples or those
            of an unknown class.
        """
        check_no_label_missing(y)
        kind = None if y is None else type_of_target(y, input_name="y")
        if kind not in ("binary", "multiclass"):
            raise ValueError(
                f"y must hold one class label for each sample, binary or multiclass; got "
                f"{kind}."
            )
        X, y, groups = indexable(X, checked_labels(y, "y"), groups)
        if groups is not None:
            groups = check_array(groups, input_name="groups", ensure_2d=False, dtype=None)
            groups = np.unique(column_or_1d(groups), return_inverse=True)[1]
        classes, y = np.unique(y, return_inverse=True)
        rng = check_random_state(self.random_state)
        unknown_sets = self._unknown_sets(classes, rng)

        # Shares that are not whole numbers of samples are rounded in different splits for
        # different classes, so that their sum is even.
        phases = (rng.permutation(len(classes)) + 0.5) / len(classes)
        if groups is None:
            held_out = _SampleRotation(y, self.test_size, phases, rng)
        else:
            held_out = _GroupRotation(y, groups, self.test_size, phases, rng)
        for split, unknown in enumerate(unknown_sets):
            is_unknown = np.zeros(len(classes), dtype=bool)
            is_unknown[unknown] = True
            train, test = held_out.next_masks(is_unknown)
            untested = np.setdiff1d(unknown, y[test])
            if len(untested):
                raise ValueError(
                    "groups must let each class that is left out be tested; in split "
                    f"{split} each group of the classes {classes[untested].tolist()} holds "
                    "the last training samples of another class."
                )
            if is_unknown[y[test]].all():
                known_counts = np.bincount(y)[~is_unknown]
                raise ValueError(
                    "test_size must hold out a sample of the known classes in each split, "
                    "and leave one of each for training; "
                    f"got {self.test_size!r}, which holds out none in split {split}, where "
                    f"the known classes have {known_counts[:10].tolist()} samples"
                    f"{'' if groups is None else ' in groups of which none can be spared'}."
                )
            yield np.flatnonzero(train), np.flatnonzero(test)

    def get_n_splits(
        self,
        X: Samples | None = None,
        y: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> int:
        """Return the number of splits.

        Parameters
        ----------
        X, y, groups : object, default=None
            Ignored, exist for API compatibility.

        Returns
        -------
        n_splits : int
            Number of splits.
        """
        if self.unknown_classes is not None:
            return len(self.unknown_classes)
        return 5 if self.n_splits is None else int(self.n_splits)

    def _unknown_sets(self, classes, rng):
        """Return the indices of the classes to leave out, one array for each split."""
        most = len(classes) - MIN_KNOWN
        if most < 1:
            raise ValueError(
                f"y must hold at least {MIN_KNOWN + 1} classes, one to leave out and "
                f"{MIN_KNOWN} to train on; got {classes.tolist()}."
            )
        if self.unknown_classes is not None:
            return [_indices_of(labels, classes) for labels in self.unknown_classes]
        if self.openness is not None:
            size = _n_unknown_for(self.openness, len(classes))
        elif self.n_unknown is None:
            size = 1
        elif isinstance(self.n_unknown, Integral):
            size = int(self.n_unknown)
        else:
            size = max(1, round(self.n_unknown * len(classes)))
        if size > most:
            raise ValueError(
                f"n_unknown must leave at least {MIN_KNOWN} of the {len(classes)} classes "
                f"in y for training, so be at most {most}; got {self.n_unknown!r}."
            )
        return _balanced_sets(len(classes), size, self.get_n_splits(), rng)


class _SampleRotation:
    """Hold out the next share of each class in each split."""

    def __init__(self, y, share, phases, rng):
        counts = np.bincount(y)
        # The sort is stable, so shuffled samples stay shuffled within their class.
        shuffled = rng.permutation(len(y))
        order = shuffled[np.argsort(y[shuffled], kind="stable")]
        self.rows = np.split(order, np.cumsum(counts)[:-1])
        # One sample of each class always trains.
        self.steps = np.minimum(share * counts, counts - 1)
        self.phases = phases
        self.turns = np.zeros(len(counts), dtype=int)
        self.y = y

    def next_masks(self, is_unknown):
        """Return the masks of the training and the test part of the next split."""
        test = is_unknown[self.y]
        for known in np.flatnonzero(~is_unknown):
            turn = self.turns[known] + np.arange(2)
            start, stop = np.floor(turn * self.steps[known] + self.phases[known])
            rows = self.rows[known]
            test[rows[np.arange(start, stop, dtype=int) % len(rows)]] = True
        self.turns += ~is_unknown
        return ~test, test


class _GroupRotation:
    """Hold out whole groups, so that each class comes near its share over the splits."""

    def __init__(self, y, groups, share, phases, rng):
        shape = groups.max() + 1, y.max() + 1
        cells = np.bincount(groups * shape[1] + y, minlength=shape[0] * shape[1])
        self.table = cells.reshape(shape)
        self.share = share
        # The share of its samples that each class still has to hold out by now.
        self.due = (phases - 0.5) / (self.table > 0).sum(axis=0)
        self.n_tested = np.zeros(shape[0], dtype=int)
        self.rng = rng
        self.y, self.groups = y, groups

    def next_masks(self, is_unknown):
        """Return the masks of the training and the test part of the next split."""
        known_counts = self.table[:, ~is_unknown]
        tested = ~known_counts.any(axis=1)
        left = known_counts.sum(axis=0)
        rows = known_counts / left
        due = self.due[~is_unknown] + self.share
        mixed = np.flatnonzero(~tested)
        mixed = mixed[np.lexsort((self.rng.permutation(len(mixed)), self.n_tested[mixed]))]

        def spare(group):
            return (left - known_counts[group] > 0)[known_counts[group] > 0].all()

        def take(group):
            nonlocal left, due
            tested[group] = True
            self.n_tested[group] += 1
            left = left - known_counts[group]
            due = due - rows[group]

        for unknown in np.flatnonzero(is_unknown):
            if not self.table[tested, unknown].any():
                holders = mixed[self.table[mixed, unknown] > 0]
                group = next(filter(spare, holders), None)
                if group is not None:
                    take(group)
        for group in mixed:
            # Whether taking the group reduces the sum of the squares of the remaining
            # shares.
            less = rows[group] @ (2 * due - rows[group]) > 0
            if less and not tested[group] and spare(group):
                take(group)
        if not tested[mixed].any():
            spared = [group for group in mixed if spare(group)]
            if spared:
                take(max(spared, key=lambda group: rows[group] @ (2 * due - rows[group])))
        # A class that cannot give its share must not outweigh the others more and more.
        self.due[~is_unknown] = np.clip(due, -1, 1)
        test = tested[self.groups]
        return ~test & ~is_unknown[self.y], test


def _balanced_sets(n_items, size, n_sets, rng):
    """Draw sets of items, of rising indices; all items and all sets come equally often."""
    rounds = []
    # There are at least n_items sets, and more than can be listed unless n_sets is larger.
    if n_sets > n_items and n_sets >= comb(n_items, size):
        every = list(combinations(range(n_items), size))
        while n_sets >= len(every):
            rounds += [every[i] for i in rng.permutation(len(every))]
            n_sets -= len(every)

    drawn, counts = [], np.zeros(n_items, dtype=int)
    seen = set()
    for _ in range(n_sets):
        # Items that occurred least come first, in random order.
        items = np.lexsort((rng.permutation(n_items), counts))[:size]
        while frozenset(items.tolist()) in seen:
            items = rng.permutation(n_items)[:size]
        drawn.append(frozenset(items.tolist()))
        seen.add(drawn[-1])
        counts[items] += 1
    # A set drawn at random may have upset the balance: then a set gets the rarest item for
    # the most frequent one. Some set can take it without becoming another: those with only
    # the frequent item outnumber those with only the rare one, and stay different.
    while counts.max() - counts.min() > 1:
        often, rarely = int(counts.argmax()), int(counts.argmin())
        place, new = next(
            (place, items - {often} | {rarely})
            for place, items in enumerate(drawn)
            if often in items
            and rarely not in items
            and items - {often} | {rarely} not in seen
        )
        seen.remove(drawn[place])
        seen.add(new)
        drawn[place] = new
        counts[[often, rarely]] += -1, 1
    return [np.array(sorted(items)) for items in [*rounds, *drawn]]


def _n_unknown_for(wanted, n_classes):
    """Return how many classes to leave out to come nearest to an openness."""
    # With 0, 1, ... classes left out; with all of them it is 1.
    reached = [openness(n_known, n_classes) for n_known in range(n_classes, 0, -1)] + [1.0]
    size = int(np.abs(np.subtract(reached, wanted)).argmin())
    most = n_classes - MIN_KNOWN
    if not 1 <= size <= most:
        raise ValueError(
            f"openness must be near {reached[1]:.3g} to {reached[most]:.3g}, which leaving "
            f"out 1 to {most} of the {n_classes} classes in y gives; got {wanted!r}."
        )
    return size


def _indices_of(labels, classes):
    """Return the indices of the labels of one entry of unknown_classes."""
    index = {label: i for i, label in enumerate(classes.tolist())}
    missing = [label for label in labels if label not in index]
    if missing:
        raise ValueError(
            f"unknown_classes must hold labels that are in y, {classes.tolist()}; got "
            f"{missing}, which are not."
        )
    indices = np.unique([index[label] for label in labels])
    if len(classes) - len(indices) < MIN_KNOWN:
        raise ValueError(
            f"unknown_classes must leave at least {MIN_KNOWN} of the {len(classes)} "
            f"classes in y for training; got {list(labels)}."
        )
    return indices


def _check_exclusive(**params):
    """Raise ValueError if more than one parameter is given."""
    given = {name: value for name, value in params.items() if value is not None}
    if len(given) > 1:
        raise ValueError(
            f"Only one of {', '.join(params)} may be given; got "
            f"{', '.join(f'{name}={value!r}' for name, value in given.items())}."
        )


def _is_list(value):
    listed = isinstance(value, Collection) and getattr(value, "ndim", 1) > 0
    return listed and not isinstance(value, (str, bytes, Mapping)) and len(value) > 0


def _is_list_of_lists(value):
    """Return whether a value is a list of non-empty lists of labels."""
    return _is_list(value) and all(
        _is_list(labels) and all(isinstance(label, Hashable) for label in labels)
        for labels in value
    )
