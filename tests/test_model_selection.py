"""The splitter that leaves classes out."""

from collections import Counter
from itertools import combinations
from math import comb, sqrt

import numpy as np
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, check_cv, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from split_cases import make_labels

from sk_center import OpenSetClassifier
from sk_center.metrics import oscr_score
from sk_center.model_selection import LeaveClassesOut


def unknown_of(y, train):
    """Return the set of classes without training sample."""
    return frozenset(np.setdiff1d(y, np.asarray(y)[train]).tolist())


def unknown_sets(cv, y, groups=None):
    """Return the set of unknown classes of each split."""
    return [unknown_of(y, train) for train, _ in cv.split(None, y, groups)]


def scores_of(model, X, y):
    """Score a fitted OpenSetClassifier by the area under its OSCR curve."""
    labels, predicted = model.classes_, model.estimator_.predict(X)
    return oscr_score(y, predicted, model.score_samples(X), labels=labels)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"n_unknown": 3, "n_splits": 7, "test_size": 0.4},
        {"n_unknown": 0.5, "n_splits": 1},
        {"openness": 0.2, "test_size": 0.05},
        {"unknown_classes": [[0, 1], [5]]},
    ],
    ids=str,
)
def test_split_is_partition_by_class(params):
    """Check that unknown classes are tested whole, and that the rest is split in two."""
    y = make_labels([40, 25, 31, 60, 22, 90, 21])
    cv = LeaveClassesOut(random_state=0, **params)
    n_seen = 0
    for train, test in cv.split(np.zeros((len(y), 2)), y):
        for indices in (train, test):
            assert indices.dtype.kind == "i"
            assert (np.diff(indices) > 0).all()
        assert sorted([*train, *test]) == list(range(len(y)))
        unknown = unknown_of(y, train)
        assert len(unknown) >= 1
        assert len(np.unique(y[train])) >= 2
        for label in range(7):
            n_tested, n_all = (y[test] == label).sum(), (y == label).sum()
            expected = n_all if label in unknown else cv.test_size * n_all
            assert abs(n_tested - expected) < 1
        n_seen += 1
    assert n_seen == cv.get_n_splits()


@pytest.mark.parametrize(("n_classes", "size"), [(3, 1), (5, 2), (6, 4), (7, 3)])
@pytest.mark.parametrize("n_splits", [1, 4, 10, 37])
def test_unknown_sets_are_balanced(n_classes, size, n_splits):
    """Check that classes are left out equally often, and no set again before all were."""
    y = np.repeat(np.arange(n_classes), 10)
    for seed in range(3):
        cv = LeaveClassesOut(size, n_splits=n_splits, random_state=seed)
        sets = unknown_sets(cv, y)
        assert {len(unknown) for unknown in sets} == {size}
        classes = Counter(label for unknown in sets for label in unknown)
        often = [classes[label] for label in range(n_classes)]
        assert max(often) - min(often) <= 1
        repeats = Counter(sets)
        every = map(frozenset, combinations(range(n_classes), size))
        often = [repeats[unknown] for unknown in every]
        assert len(often) == comb(n_classes, size)
        assert max(often) - min(often) <= 1


def test_unknown_sets_of_many_classes():
    """Check that balance needs no list of all sets where there are too many."""
    y = np.repeat(np.arange(300), 2)
    cv = LeaveClassesOut(130, n_splits=4, test_size=0.5, random_state=0)
    sets = unknown_sets(cv, y)
    assert len(set(sets)) == 4
    often = Counter(label for unknown in sets for label in unknown)
    assert set(often.values()) == {1, 2}


def test_every_class_can_be_drawn():
    """Check that which class is left out first is random, and all are drawn alike."""
    y = np.repeat(np.arange(4), 5)
    rng = np.random.RandomState(0)
    cv = LeaveClassesOut(n_splits=1, random_state=rng)
    often = Counter(min(unknown_sets(cv, y)[0]) for _ in range(400))
    # Four standard deviations of a binomial count around 100.
    assert all(abs(often[label] - 100) < 4 * sqrt(400 * 0.25 * 0.75) for label in range(4))


@pytest.mark.parametrize(
    ("n_unknown", "n_classes", "expected"),
    [(None, 10, 1), (8, 10, 8), (np.int64(2), 10, 2), (0.3, 10, 3), (0.01, 10, 1)],
)
def test_number_of_unknown(n_unknown, n_classes, expected):
    """Check that a share of the classes is rounded, to at least one class."""
    y = np.repeat(np.arange(n_classes), 10)
    sets = unknown_sets(LeaveClassesOut(n_unknown, random_state=0), y)
    assert {len(unknown) for unknown in sets} == {expected}


@pytest.mark.parametrize("n_classes", [3, 10, 26])
@pytest.mark.parametrize("openness", [0.02, 0.1, 0.18, 0.3, 0.5])
def test_openness(n_classes, openness):
    """Check that no other number of unknown classes comes nearer to the openness."""

    def openness_of(n_unknown):
        # Scheirer et al. 2013, where the classes to recognize are those of training.
        n_train = n_target = n_classes - n_unknown
        return 1 - sqrt(2 * n_train / (n_classes + n_target))

    nearest = min(range(n_classes + 1), key=lambda n: abs(openness_of(n) - openness))
    y = np.repeat(np.arange(n_classes), 10)
    cv = LeaveClassesOut(openness=openness, random_state=0)
    if 1 <= nearest <= n_classes - 2:
        assert {len(unknown) for unknown in unknown_sets(cv, y)} == {nearest}
    else:
        with pytest.raises(ValueError, match=f"openness must be near .* got {openness}"):
            unknown_sets(cv, y)


def test_unknown_classes():
    """Check that given classes are left out in their order, and again with new samples."""
    y = np.repeat(["a", "b", "c", "d"], 10)
    cv = LeaveClassesOut(unknown_classes=[["a", "b"], ("c",), {"c"}, np.array(["d", "d"])])
    assert cv.get_n_splits() == 4
    assert unknown_sets(cv, y) == [{"a", "b"}, {"c"}, {"c"}, {"d"}]
    tested = [set(test[y[test] == "a"]) for _, test in cv.split(None, y)]
    assert [len(those) for those in tested] == [10, 2, 2, 2]
    assert len(tested[1] | tested[2] | tested[3]) == 6


@pytest.mark.parametrize(
    ("n_splits", "test_size"), [(5, 0.2), (10, 0.2), (4, 0.37), (3, 0.9)]
)
def test_known_samples_are_tested_in_turn(n_splits, test_size):
    """Check that samples of a class are tested as known equally often."""
    y = make_labels([20, 23, 8, 51, 5])
    n_tested = np.zeros(len(y), dtype=int)
    n_turns = Counter()
    cv = LeaveClassesOut(2, n_splits=n_splits, test_size=test_size, random_state=3)
    for train, test in cv.split(None, y):
        known = np.isin(y, y[train])
        n_tested[test[known[test]]] += 1
        n_turns.update(np.unique(y[train]).tolist())
    for label in range(5):
        often = n_tested[y == label]
        assert often.max() - often.min() <= 1
        share = min(test_size, 1 - 1 / len(often))
        assert abs(often.sum() - n_turns[label] * share * len(often)) < 1


def test_each_sample_is_tested_by_folds():
    """Check that K splits with a share of 1 / K test each sample of a known class."""
    y = make_labels([20, 20, 17, 21])
    cv = LeaveClassesOut(unknown_classes=[[0]] * 5, test_size=1 / 5, random_state=0)
    tested = [test[y[test] != 0] for _, test in cv.split(None, y)]
    assert sorted(np.concatenate(tested)) == np.flatnonzero(y != 0).tolist()


def test_shares_of_small_classes_are_level():
    """Check that classes too small for a share of their own give it together."""
    y = make_labels([3] * 100)
    for train, test in LeaveClassesOut(10, random_state=0).split(None, y):
        known = np.isin(y, y[train])
        # 54 expected; rounding each class at random would leave a deviation of 6.6.
        assert abs(known[test].sum() - 0.2 * 270) <= 12
        assert len(unknown_of(y, train)) == 10


def test_class_of_one_sample():
    """Check that the only sample of a class trains, and is tested where it is left out."""
    y = make_labels([1, 12, 12, 12])
    cv = LeaveClassesOut(n_splits=8, test_size=0.8, random_state=0)
    only = np.flatnonzero(y == 0)[0]
    for train, test in cv.split(None, y):
        assert (only in test) == (0 in unknown_of(y, train))
        assert (only in train) != (only in test)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n_per_group", [1, 2, 9])
def test_groups(seed, n_per_group):
    """Check that no group is torn apart, whichever classes it holds."""
    rng = np.random.RandomState(seed)
    groups = rng.permutation(np.repeat(np.arange(40), n_per_group * 5))
    # From groups of one class to groups of all.
    y = (groups + rng.randint(0, seed + 1, len(groups))) % 5
    cv = LeaveClassesOut(1 + seed % 3, n_splits=6, random_state=seed)
    for train, test in cv.split(None, y, groups):
        assert not set(groups[train]) & set(groups[test])
        unknown = unknown_of(y, train)
        assert len(unknown) == 1 + seed % 3
        assert unknown <= set(y[test].tolist())
        assert not unknown.issuperset(y[test].tolist())
        is_unknown = np.isin(y, list(unknown))
        # Only samples of unknown classes are in no part, where their group trains.
        lost = np.setdiff1d(np.arange(len(y)), [*train, *test])
        assert is_unknown[lost].all()
        assert set(groups[lost]) <= set(groups[train])
        # A group without training sample is tested whole.
        whole = ~np.isin(groups, groups[train])
        np.testing.assert_array_equal(np.flatnonzero(whole), test)


def test_groups_of_one_class_are_tested_in_turn():
    """Check that groups within classes are held out equally often, near the share."""
    sizes = [2, 3, 5, 10]
    y = np.repeat(np.arange(4), 60)
    groups = y * 100 + np.concatenate([np.arange(60) % size for size in sizes])
    n_tested = np.zeros(len(y))
    n_turns = Counter()
    for train, test in LeaveClassesOut(n_splits=20, random_state=1).split(None, y, groups):
        known = np.isin(y, y[train])
        assert known[test].any()
        assert set(np.flatnonzero(~known)) <= set(test)
        n_tested[test[known[test]]] += 1
        n_turns.update(np.unique(y[train]).tolist())
    for label, size in enumerate(sizes):
        often = n_tested[y == label]
        assert often.max() - often.min() <= 1
        # A group is held out as soon as at least half of it is due.
        assert abs(often.sum() / 60 - 0.2 * n_turns[label]) <= 1 / size


def test_groups_of_all_classes():
    """Check that groups with samples of all classes are held out by the share."""
    y = np.tile(np.arange(6), 100)
    groups = np.repeat([f"writer {i}" for i in range(10)], 60)
    held_out = Counter()
    for train, test in LeaveClassesOut(2, random_state=0).split(None, y, groups):
        assert len(np.unique(groups[test])) == 2
        assert len(test) == 120
        assert len(train) == 8 * 40
        held_out.update(np.unique(groups[test]).tolist())
    assert set(held_out.values()) == {1}
    assert len(held_out) == 10


def test_class_of_one_group():
    """Check that a known class whose samples are one group is in training."""
    y = np.array([0] * 5 + [1] * 20 + [2] * 20)
    groups = np.array(["only"] * 5 + ["only", "b", "c", "d"] * 10)
    cv = LeaveClassesOut(unknown_classes=[[1]] * 6, random_state=0)
    for train, test in cv.split(None, y, groups):
        assert set(range(5)) <= set(train)
        assert "only" not in groups[test]
        assert {1, 2} == set(y[test])


def test_groups_of_single_samples():
    """Check that groups of one sample each give the parts that no groups give."""
    y = make_labels([20, 25, 30, 35])
    cv = LeaveClassesOut(random_state=0)
    for train, test in cv.split(None, y, np.arange(len(y))):
        assert sorted([*train, *test]) == list(range(len(y)))
        unknown = unknown_of(y, train)
        assert len(unknown) == 1
        for label in set(range(4)) - unknown:
            assert abs((y[test] == label).sum() - 0.2 * (y == label).sum()) <= 1


@pytest.mark.parametrize(
    "labels",
    [
        ["a", "bb", "outsider", "d"],
        np.array(["a", "bb", "c", "d"], dtype=object),
        [-1.0, 0.0, 7.0, 8.0],
        np.array([3, 4, 200, 5], dtype=np.uint8),
    ],
    ids=["str", "object", "float", "uint8"],
)
@pytest.mark.parametrize("kind", [np.array, list])
def test_labels(labels, kind):
    """Check that labels of any type are split as the numbers 0 to 3 are."""
    y = make_labels([10, 12, 14, 16])
    labelled = kind(np.sort(np.asarray(labels))[y])
    cv = LeaveClassesOut(2, random_state=0)
    for split, reference in zip(cv.split(None, labelled), cv.split(None, y)):
        for indices, expected in zip(split, reference):
            np.testing.assert_array_equal(indices, expected)


def test_labels_of_tensors_and_masked_arrays():
    """Check that tensors are labels, and that missing ones are told."""
    y = make_labels([10, 12, 14])
    cv = LeaveClassesOut(random_state=0)
    expected = unknown_sets(cv, y)
    assert unknown_sets(cv, torch.tensor(y)) == expected
    with pytest.raises(ValueError, match="y has masked entries"):
        list(cv.split(None, np.ma.array(y, mask=y == 1)))
    with pytest.raises(ValueError, match="y holds a missing label, None at sample 0"):
        list(cv.split(None, np.array([None, *"abc" * 10], dtype=object)))


@pytest.mark.parametrize("groups", [None, np.arange(60) % 12], ids=["alone", "groups"])
def test_random_state(groups):
    """Check that an int gives the same splits again, without touching numpy's own state."""
    y = make_labels([15, 15, 15, 15])

    def split(cv):
        return [[part.tolist() for part in parts] for parts in cv.split(None, y, groups)]

    numpys_own = check_random_state(None)
    before = numpys_own.get_state()
    cv = LeaveClassesOut(random_state=7)
    first = split(cv)
    assert split(cv) == first == split(LeaveClassesOut(random_state=7))
    assert split(LeaveClassesOut(random_state=8)) != first
    np.testing.assert_equal(numpys_own.get_state(), before)
    moving = LeaveClassesOut(random_state=np.random.RandomState(7))
    assert split(moving) == first
    assert split(moving) != first


@pytest.mark.parametrize(
    ("params", "expected"),
    [({}, 5), ({"n_splits": 3}, 3), ({"unknown_classes": [[1], [2], [1]]}, 3)],
)
def test_get_n_splits(params, expected):
    """Check that the number of splits is known without data."""
    assert LeaveClassesOut(**params).get_n_splits() == expected


def test_repr():
    """Check that the representation is that of scikit-learn's splitters."""
    expected = (
        "LeaveClassesOut(n_splits=None, n_unknown=2, openness=None, random_state=0,\n"
        "        test_size=0.2, unknown_classes=None)"
    )
    assert repr(LeaveClassesOut(2, random_state=0)) == expected


def test_splitter_is_taken_as_it_is():
    """Check that check_cv and clone take the splitter."""
    cv = LeaveClassesOut(2, n_splits=3, random_state=0)
    assert check_cv(cv) is cv
    copy = clone(GridSearchCV(LogisticRegression(), {}, cv=cv)).cv
    y = make_labels([10, 10, 10, 10])
    assert unknown_sets(copy, y) == unknown_sets(cv, y)


def test_grid_search():
    """Check that a search tunes on unknown classes and then knows all."""
    X, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    model = make_pipeline(StandardScaler(), LogisticRegression())
    search = GridSearchCV(
        OpenSetClassifier(model, cv=5, random_state=0),
        {"conformity_score": ["center_distance", "mahalanobis"]},
        cv=LeaveClassesOut(n_splits=3, random_state=0),
        scoring=scores_of,
        error_score="raise",
    ).fit(X, names)
    assert search.n_splits_ == 3
    assert (search.cv_results_["mean_test_score"] > 0.5).all()
    assert search.best_estimator_.classes_.tolist() == sorted(set(names))


def test_cross_validate():
    """Check that each split is scored by a model that knows the other classes."""
    X, y = load_digits(return_X_y=True)
    cv = LeaveClassesOut(unknown_classes=[[7, 8, 9], [0, 1, 2, 3]], random_state=0)
    classifier = LogisticRegression(max_iter=1000)
    found = cross_validate(
        OpenSetClassifier(
            classifier, conformity_score="mahalanobis", cv=0.2, random_state=0
        ),
        X / 16,
        y,
        cv=cv,
        scoring=scores_of,
        return_estimator=True,
        return_indices=True,
        error_score="raise",
    )
    known = [fitted.classes_.tolist() for fitted in found["estimator"]]
    assert known == [[0, 1, 2, 3, 4, 5, 6], [4, 5, 6, 7, 8, 9]]
    assert (found["test_score"] > 0.7).all()
    for train, test in zip(found["indices"]["train"], found["indices"]["test"]):
        assert set(y[test]) == set(range(10))
        assert len(train) + len(test) == len(y)


@pytest.mark.parametrize("routing", [False, True])
def test_groups_reach_the_splitter(routing):
    """Check that cross_validate hands groups on, with and without metadata routing."""
    X, y = load_iris(return_X_y=True)
    groups = np.arange(150) // 5
    given = {"params": {"groups": groups}} if routing else {"groups": groups}
    with config_context(enable_metadata_routing=routing):
        found = cross_validate(
            LogisticRegression(max_iter=1000),
            X,
            y,
            cv=LeaveClassesOut(random_state=0),
            return_indices=True,
            **given,
        )
    for train, test in zip(found["indices"]["train"], found["indices"]["test"]):
        assert not set(groups[train]) & set(groups[test])
