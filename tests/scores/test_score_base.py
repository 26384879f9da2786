"""Tests of what all scores have in common."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from score_problems import (
    ALL_SCORES,
    CLOSE,
    N_CLASSES,
    problem_of,
    random_problem,
    reference_combined,
    reference_distance,
)
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import KernelDensity
from sklearn.preprocessing import StandardScaler

from sk_center.scores import (
    BaseScore,
    CenterDistance,
    Combined,
    Energy,
    FunctionScore,
    InputDensity,
    KNeighbors,
    Mahalanobis,
    MaxSoftmax,
    OpenMax,
    PerClass,
    ViM,
)
from sk_center.scores.registry import SCORES

pytestmark = pytest.mark.filterwarnings("ignore:The relative Mahalanobis distance")


class FirstFeature(BaseScore):
    """A score of a user: minus the gap between the first feature and the class index."""

    def _fit(self, y, features):
        self.seen_ = features.dtype, set(y.tolist())

    def _score_classes(self, features):
        return -np.abs(features[:, :1] - np.arange(len(self.classes_)))


def test_score_of_a_user():
    """Check what a subclass gets and gives, alone and combined."""
    X, y, new = random_problem()
    score = FirstFeature().fit(X.astype(np.float32), np.array(["c", "a", "b"])[y])
    assert score.seen_ == (np.float32, {0, 1, 2})
    assert_array_equal(score.classes_, ["a", "b", "c"])
    expected = [[-abs(x[0] - k) for k in range(3)] for x in new]
    assert_array_equal(score.score_classes(new), expected)
    combined = Combined([FirstFeature(), CenterDistance()]).fit(X, y)

    def reference(X, y, new):
        return np.array([[-abs(x[0] - k) for k in range(3)] for x in new])

    expected = reference_combined(X, y, new, [reference, reference_distance])
    assert_allclose(combined.score_classes(new), expected, **CLOSE)


@pytest.mark.parametrize("name", ALL_SCORES)
def test_score_samples_is_that_of_the_most_typical_class(name):
    """Check that a sample is as known as the class it is most typical of says."""
    X, y, new = problem_of(ALL_SCORES[name])
    score = clone(ALL_SCORES[name]).fit(X, y)
    classes = score.score_classes(new)
    assert classes.shape == (7, N_CLASSES)
    expected = [max(row) for row in classes.tolist()]
    assert_array_equal(score.score_samples(new), expected)


@pytest.mark.parametrize("name", ALL_SCORES)
def test_scores_of_labels(name):
    """Check that the score for one class a sample is that in the column of the class."""
    X, y, new = problem_of(ALL_SCORES[name])
    score = clone(ALL_SCORES[name]).fit(X, np.array(["c", "a", "b"])[y])
    index = np.arange(len(new)) % N_CLASSES
    expected = score.score_classes(new)[np.arange(len(new)), index]
    found = score.score_labels(new, score.classes_[index])
    assert_allclose(found, expected, rtol=1e-13, atol=1e-13)
    assert_array_equal(score.scores_of({score.needs[0]: new}, index), found)
    with pytest.raises(ValueError, match=r"y holds the labels \['d'\]"):
        score.score_labels(new[:1], ["d"])


@pytest.mark.parametrize("name", ALL_SCORES)
def test_samples_are_scored_one_by_one(name):
    """Check that the score of a sample does not depend on the others."""
    X, y, new = problem_of(ALL_SCORES[name])
    score = clone(ALL_SCORES[name]).fit(X, y)
    singly = np.concatenate([score.score_classes(new[i : i + 1]) for i in range(7)])
    assert_allclose(singly, score.score_classes(new), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", ALL_SCORES)
@pytest.mark.parametrize(
    "labels", [["ant", "bee", "cow"], [-5, 0, 70], [-1.0, 0.0, 2.0]], ids=str
)
def test_any_labels(labels, name):
    """Check that names and numbers with gaps do as class indices do."""
    X, y, new = problem_of(ALL_SCORES[name])
    score = clone(ALL_SCORES[name]).fit(X, np.array(labels)[y])
    assert_array_equal(score.classes_, labels)
    expected = clone(ALL_SCORES[name]).fit(X, y).score_classes(new)
    assert_array_equal(score.score_classes(new), expected)


def test_boolean_labels():
    """Check that False comes before True."""
    score = CenterDistance().fit([[0.0], [10.0], [30.0]], [True, False, True])
    assert_array_equal(score.classes_, [False, True])
    assert_array_equal(score.score_classes([[11.0]]), [[-1, -4]])


def test_columns_follow_the_sorted_labels():
    """Check that classes are sorted, in which order they come in notwithstanding."""
    score = CenterDistance().fit([[0.0], [10.0], [30.0]], ["dog", "cat", "ant"])
    assert_array_equal(score.classes_, ["ant", "cat", "dog"])
    assert_array_equal(score.centers_, [[30], [10], [0]])
    assert_array_equal(score.score_classes([[1.0]]), [[-29, -9, -1]])


@pytest.mark.parametrize("name", ALL_SCORES)
def test_float32_in_float32_out(name):
    """Check that the dtype of samples passes through, and others become float64."""
    X, y, new = problem_of(ALL_SCORES[name])
    score = clone(ALL_SCORES[name]).fit(X, y)
    narrow = new.astype(np.float32)
    classes = score.score_classes(narrow)
    assert classes.dtype == score.score_samples(narrow).dtype == np.float32
    exact = score.score_classes(narrow.astype(np.float64))
    assert exact.dtype == score.score_samples(new).dtype == np.float64
    # A combination rounds its parts, and then moves and stretches them.
    rounds = name == "combined" or getattr(score, "narrow_", False)
    tolerance = 2.0**-20 if rounds else 2.0**-24
    assert_allclose(classes, exact, rtol=tolerance)


@pytest.mark.parametrize("name", ALL_SCORES)
@pytest.mark.parametrize("dtype", [np.float16, np.int32, np.uint8, bool])
def test_other_dtypes_become_float64(dtype, name):
    """Check that integers and half floats count by their value, in float64."""
    X, y, _ = problem_of(ALL_SCORES[name])
    score = clone(ALL_SCORES[name]).fit(X, y)
    new = np.eye(X.shape[1])[:2]
    classes = score.score_classes(new.astype(dtype))
    assert classes.dtype == np.float64
    assert_array_equal(classes, score.score_classes(new))


@pytest.mark.parametrize("name", ALL_SCORES)
def test_lists_do_as_arrays_do(name):
    """Check that lists are accepted, in fit and after."""
    X, y, new = problem_of(ALL_SCORES[name])
    score = clone(ALL_SCORES[name]).fit(X, y)
    listed = clone(ALL_SCORES[name]).fit(X.tolist(), y.tolist())
    assert_array_equal(listed.score_classes(new.tolist()), score.score_classes(new))


def test_what_scores_need_and_learn():
    """Check what each score asks for, by which OpenSetClassifier feeds them."""
    assert CenterDistance().needs == Mahalanobis().needs == ("features",)
    assert MaxSoftmax().needs == ("probabilities",)
    assert CenterDistance().learns
    assert not CenterDistance(np.zeros((3, 4))).learns
    assert Mahalanobis().learns
    assert not MaxSoftmax().learns
    combined = Combined([CenterDistance(np.zeros((3, 4)))])
    # The scale is learned, even where no part learns.
    assert combined.learns
    assert combined.needs == ("features",)


def test_scores_by_name():
    """Check the names that OpenSetClassifier takes for the scores here."""
    assert SCORES["center_distance"] is CenterDistance
    assert SCORES["mahalanobis"] is Mahalanobis
    assert SCORES["max_softmax"] is MaxSoftmax


@pytest.mark.parametrize("name", ALL_SCORES)
def test_clone(name):
    """Check that a clone has the parameters and nothing that was fitted."""
    X, y, new = problem_of(ALL_SCORES[name])
    score = clone(ALL_SCORES[name]).fit(X, y)
    copy = clone(score)
    assert type(copy) is type(score)
    assert copy.get_params().keys() == score.get_params().keys()
    with pytest.raises(NotFittedError):
        copy.score_classes(new)
    assert_array_equal(copy.fit(X, y).score_classes(new), score.score_classes(new))


def test_parameters():
    """Check that parameters are stored as given, and can be set."""
    centers = [[1, 2], [3, 4]]
    score = CenterDistance(centers)
    assert score.get_params() == {"centers": centers, "space": "features"}
    assert score.centers is centers
    assert score.set_params(centers=None).learns
    assert MaxSoftmax().get_params() == {}
    assert Mahalanobis("class", shrinkage=None, relative=True).get_params() == {
        "covariance": "class",
        "shrinkage": None,
        "relative": True,
        "normalize": False,
        "space": "features",
    }
    parts = [MaxSoftmax()]
    assert Combined(parts, how="sum").get_params(deep=False) == {
        "scores": parts,
        "how": "sum",
        "weights": None,
        "limits": None,
        "standardize": None,
    }


@pytest.mark.parametrize("name", ALL_SCORES)
def test_fit_again_forgets(name):
    """Check that a second fit gives what a first one gives."""
    X, y, new = problem_of(ALL_SCORES[name])
    score = clone(ALL_SCORES[name])
    score.fit(X[:30, :2], y[:30] % 2)
    assert score.fit(X, y) is score
    assert score.n_features_in_ == X.shape[1]
    expected = clone(ALL_SCORES[name]).fit(X, y).score_classes(new)
    assert_array_equal(score.score_classes(new), expected)


@pytest.mark.parametrize("name", ALL_SCORES)
def test_pickle(name):
    """Check that a fitted score survives pickling."""
    X, y, new = problem_of(ALL_SCORES[name])
    score = clone(ALL_SCORES[name]).fit(X, y)
    restored = pickle.loads(pickle.dumps(score))
    assert_array_equal(restored.score_classes(new), score.score_classes(new))


@pytest.mark.parametrize("name", ALL_SCORES)
def test_arguments_stay_as_they_are(name):
    """Check that no score writes into the samples."""
    problem = problem_of(ALL_SCORES[name])
    copies = [values.copy() for values in problem]
    score = clone(ALL_SCORES[name]).fit(*problem[:2])
    score.score_samples(problem[2])
    for values, copy in zip(problem, copies):
        assert_array_equal(values, copy)


@pytest.mark.parametrize("method", ["score_classes", "score_samples"])
@pytest.mark.parametrize("name", ALL_SCORES)
def test_unfitted_raises(name, method):
    """Check that an unfitted score says so."""
    score = clone(ALL_SCORES[name])
    with pytest.raises(NotFittedError, match=f"{type(score).__name__} instance is not"):
        getattr(score, method)(np.zeros((2, 3)))


@pytest.mark.parametrize("method", ["score_classes", "score_samples"])
@pytest.mark.parametrize("name", ALL_SCORES)
def test_wrong_width_raises(name, method):
    """Check that an error names both numbers of features, as scikit-learn's does."""
    X, y, _ = problem_of(ALL_SCORES[name])
    score = clone(ALL_SCORES[name]).fit(X, y)
    width = X.shape[1]
    for wrong in (width - 1, width + 1):
        message = rf"X has {wrong} features, but {type(score).__name__} .* {width} features"
        with pytest.raises(ValueError, match=message):
            getattr(score, method)(np.zeros((2, wrong)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", ALL_SCORES)
def test_non_finite_samples_raise(name, bad):
    """Check that NaN and infinity are errors, in fit and after."""
    X, y, new = problem_of(ALL_SCORES[name])
    score = clone(ALL_SCORES[name]).fit(X, y)
    new[1, 1] = bad
    with pytest.raises(ValueError, match=r"Input (X )?contains (NaN|infinity)"):
        score.score_classes(new)
    with pytest.raises(ValueError, match=r"Input (X )?contains (NaN|infinity)"):
        score.score_samples(new)
    X[1, 1] = bad
    with pytest.raises(ValueError, match=r"Input (X )?contains (NaN|infinity)"):
        clone(score).fit(X, y)


@pytest.mark.parametrize("name", ALL_SCORES)
def test_wrong_shapes_raise(name):
    """Check that flat samples, none at all and missing labels are errors."""
    X, y, new = problem_of(ALL_SCORES[name])
    score = clone(ALL_SCORES[name]).fit(X, y)
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array"):
        score.score_classes(new[0])
    with pytest.raises(ValueError, match="0 sample"):
        score.score_classes(new[:0])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        clone(score).fit(X, y[:-1])
    with pytest.raises(ValueError, match="y holds a missing label, nan"):
        clone(score).fit(X, np.append(y[:-1], np.nan))
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        clone(score).fit(X, y + 0.5)


LEARNED = {  # minus infinity for a class of which there was no sample
    "center_distance": CenterDistance(),
    "mahalanobis": Mahalanobis(),
    "class covariance": Mahalanobis("class"),
    "relative": Mahalanobis(relative=True),
    "knn": KNeighbors(2),
    "density": PerClass(KernelDensity()),
    "min": Combined([CenterDistance(), KNeighbors()]),
    "sum": Combined([CenterDistance(), KNeighbors()], how="sum"),
}


@pytest.mark.parametrize("name", LEARNED)
def test_class_without_samples(name):
    """Check that a class of no sample is far from all, and the others are as ever."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), np.repeat(["a", "b", "d"], [10, 15, 15])
    score = clone(LEARNED[name]).fit(X, y, classes=["a", "b", "c", "d"])
    assert score.classes_.tolist() == ["a", "b", "c", "d"]
    new = rng.normal(size=(5, 3))
    found = score.score_classes(new)
    assert (found[:, 2] == -np.inf).all()
    expected = clone(LEARNED[name]).fit(X, y).score_classes(new)
    assert_allclose(found[:, [0, 1, 3]], expected, **CLOSE)
    assert_allclose(score.score_samples(new), expected.max(axis=1), **CLOSE)


def test_labels_beyond_the_classes_raise():
    """Check that a label that is none of the given classes is named."""
    with pytest.raises(ValueError, match=r"y holds the labels \[3\].*classes, \[0, 1\]"):
        CenterDistance().fit(np.eye(3), [0, 1, 3], classes=[0, 1])


def test_function_score():
    """Check a function of one score for all classes, of one for each, and a wrong one."""
    X, y = np.arange(12.0).reshape(6, 2), [0, 1, 0, 1, 0, 1]
    one = FunctionScore(lambda X: X[:, 0]).fit(X, y).score_classes(X)
    assert_array_equal(one, X[:, [0, 0]])
    each = FunctionScore(lambda X: X * 2).fit(X, y).score_classes(X)
    assert_array_equal(each, X * 2)
    with pytest.raises(ValueError, match=r"scores of shape \(6, 2\) or \(6,\); got \(2,\)"):
        FunctionScore(lambda X: X[0]).fit(X, y).score_classes(X)


@pytest.mark.parametrize(
    "score",
    [
        InputDensity(0),
        InputDensity(shrinkage=-0.1),
        Mahalanobis("full"),
        Mahalanobis(shrinkage="some"),
        Mahalanobis(relative="yes"),
        KNeighbors(0),
        KNeighbors(algorithm="annoy"),
        Energy(0.0),
        OpenMax(0),
        OpenMax(alpha=0),
        ViM(0),
        PerClass(StandardScaler()),
        FunctionScore(3),
        Combined([], how="min"),
        Combined([MaxSoftmax()], how="mean"),
    ],
    ids=repr,
)
def test_bad_parameters_of_scores(score):
    """Check that the error names the parameter and what it got."""
    bad = list(score.get_params(deep=False))
    with pytest.raises(ValueError, match=f"({'|'.join(bad)}).*(?i:got) "):
        score.fit(np.eye(4), [0, 1, 2, 3])


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.ma.array(np.eye(4), mask=np.eye(4)), [0, 0, 1, 1], "X has masked entries"),
        (np.eye(4), np.ma.array([0, 0, 1, 1], mask=[0, 0, 0, 1]), "y has masked entries"),
        (np.eye(4).astype("M8[D]"), [0, 0, 1, 1], "X holds dates or durations"),
        (pd.DataFrame(np.eye(4).astype("m8[s]")), [0, 0, 1, 1], "X holds dates or durat"),
    ],
)
def test_values_that_would_be_lost_are_refused(X, y, message):
    """Check that masks are not dropped, and dates do not become numbers."""
    with pytest.raises(ValueError, match=message):
        Mahalanobis().fit(X, y)
