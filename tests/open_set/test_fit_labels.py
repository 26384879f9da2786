"""The labels that fit takes, and those beside an outlier label."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from fit_cases import quiet
from numpy.testing import assert_array_equal
from open_set_problems import (
    GUARANTEES,
    clouds,
    net,
    queries,
)
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.dummy import DummyClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from sk_center import CenterLossClassifier, OpenSetClassifier
from sk_center.scores import CenterDistance


@pytest.mark.parametrize("freeze", [False, True])
@pytest.mark.parametrize(
    ("classes", "outlier_label"),
    [
        ([-1, 0, 1], "auto"),
        ([0, 1, 2], 1.0),
        ([0.0, 1.0, 2.0], 2),
        (["a", "b", "outsider"], "auto"),
        (["a", "b", "c"], "a"),
    ],
)
@quiet
def test_outlier_label_that_is_a_class(classes, outlier_label, freeze):
    """Check that a class as outlier label is an error, unless nothing is rejected."""
    X, y = clouds()
    y = np.array(classes)[y]
    estimator = FrozenEstimator(GaussianNB().fit(X, y)) if freeze else GaussianNB()
    model = OpenSetClassifier(
        estimator, outlier_label=outlier_label, cv=0.5, random_state=0
    )
    with pytest.raises(ValueError, match=r"outlier_label must not be a class.* another"):
        model.fit(X, y)
    model.set_params(false_rejection_rate=0).fit(X, y)
    assert_array_equal(model.predict(queries()), model.estimator_.predict(queries()))


@pytest.mark.parametrize(
    ("classes", "outlier_label", "kind"),
    [
        ([False, True, True], -1, "a string beside classes such as False"),
        ([3, 4, 5], True, "a number beside classes such as 3"),
        (["a", "b", "c"], -1, "a string beside classes such as 'a'"),
        ([0, 1, 2], "outsider", "a number beside classes such as 0"),
        ([0, 1, 2], np.nan, "a number beside classes such as 0, and not NaN"),
        ([0.0, 1.0, 2.0], float("nan"), "a number beside classes such as 0.0, and not NaN"),
    ],
)
def test_outlier_label_of_another_kind_raises(classes, outlier_label, kind):
    """Check that an outlier label of another kind, or NaN, is an error that shows both."""
    X, y = clouds()
    model = OpenSetClassifier(
        GaussianNB(), outlier_label=outlier_label, cv=0.5, random_state=0
    )
    with pytest.raises(
        ValueError, match=rf"outlier_label.*{kind}.*; got {outlier_label!r}"
    ):
        model.fit(X, np.array(classes)[y])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda y: y[:-1], r"inconsistent numbers of samples: \[150, 149\]"),
        (lambda y: y + 0.5, "continuous"),
        (lambda y: np.column_stack([y, y]), "1d array"),
    ],
    ids=["short", "continuous", "two columns"],
)
def test_bad_labels_raise(spoil, message):
    """Check that labels of no use are an error that says why."""
    X, y = clouds()
    with pytest.raises(ValueError, match=message):
        OpenSetClassifier(GaussianNB(), cv=0.5).fit(X, spoil(y))


@quiet
def test_column_of_labels():
    """Check that one column of labels is taken, with scikit-learn's warning."""
    X, y = clouds()
    model = OpenSetClassifier(GaussianNB(), cv=0.5, random_state=0)
    with pytest.warns(sklearn.exceptions.DataConversionWarning):
        model.fit(X, y[:, None])
    expected = clone(model).fit(X, y).p_values(queries())
    assert_array_equal(model.p_values(queries()), expected)


@pytest.mark.parametrize("cv", [0.5, 5])
def test_label_that_a_frozen_estimator_does_not_know_raises(cv):
    """Check that labels outside the classes of a frozen estimator are named."""
    X, y = clouds()
    model = OpenSetClassifier(FrozenEstimator(GaussianNB().fit(X, y)), cv=cv)
    with pytest.raises(ValueError, match=r"\[7\].*not among the classes.*\[0, 1, 2\]"):
        model.fit(X, np.where(y == 2, 7, y))
    with pytest.raises(ValueError, match=r"\['0', '1', '2'\].*not among the classes"):
        model.fit(X, y.astype(str))


ABSENT = "no sample of the classes .1. of the frozen estimator"


@quiet
@pytest.mark.parametrize("guarantee", GUARANTEES)
@pytest.mark.parametrize("score", ["max_softmax", "mahalanobis", "energy", "knn", "auto"])
def test_class_of_a_frozen_estimator_without_samples(score, guarantee):
    """Check that a class that nothing calibrates is named, and known by its logits."""
    X, y = clouds((60, 41, 43))
    estimator = FrozenEstimator(LogisticRegression().fit(X, y))
    model = OpenSetClassifier(
        estimator, conformity_score=score, guarantee=guarantee, cv=0.2, random_state=0
    )
    with pytest.warns(UserWarning, match=ABSENT):
        model.fit(X[y != 1], y[y != 1])
    assert_array_equal(model.classes_, [0, 1, 2])
    assert np.isnan(model.calibration_report_.rate_kept[1])
    assert (model.predict(queries()) == 1).any() == (score in ("max_softmax", "energy"))


@quiet
def test_center_of_a_class_without_samples():
    """Check that a frozen center-loss classifier needs no sample to know a center."""
    X, y = clouds()
    estimator = FrozenEstimator(net().fit(X, y))
    score = CenterDistance(centers=estimator.centers_)
    model = OpenSetClassifier(estimator, conformity_score=score, random_state=0)
    with pytest.warns(UserWarning, match=ABSENT):
        model.fit(X[y != 1], y[y != 1])
    assert (model.predict(X[y == 1]) == 1).mean() > 0.5


@quiet
def test_classes_of_a_frozen_estimator():
    """Check that the classes come from the frozen estimator, with their dtype."""
    X, y = clouds()
    labels = np.array(["a", "b", "c"], dtype=object)
    estimator = FrozenEstimator(GaussianNB().fit(X, labels[y]))
    model = OpenSetClassifier(estimator, cv=0.5, random_state=0).fit(
        X, labels[y].astype("<U5")
    )
    assert_array_equal(model.classes_, estimator.classes_)
    assert model.classes_.dtype == estimator.classes_.dtype
    assert {*model.predict(X)} == {"a", "b", "c", "outsider"}


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
@pytest.mark.parametrize("container", [np.asarray, list, pd.Series])
@pytest.mark.parametrize(
    "model", [OpenSetClassifier(GaussianNB(), random_state=0), CenterLossClassifier()]
)
def test_missing_labels(model, container, missing):
    """Check that a label that is missing is named, with where it is and what to do."""
    X, y = load_iris(return_X_y=True)
    for names in (["a", "b", "c"], [0, 1, 2]):
        labels = np.array(names, dtype=object)[y]
        labels[[3, 5]] = missing
        found = f"y holds a missing label, ({missing}|nan) at sample 3, the first of 2."
        with pytest.raises(ValueError, match=found):
            model.fit(X, container(labels))


@pytest.mark.parametrize("dtype", ["string", "category", "Int64", float])
def test_missing_labels_by_dtype(dtype):
    """Check that a label that is missing is named, whatever holds the labels."""
    X, y = load_iris(return_X_y=True)
    labels = pd.Series(np.where(np.arange(150) == 3, np.nan, y))
    if dtype == "string":
        labels = labels.map({0: "a", 1: "b", 2: "c"})
    with pytest.raises(ValueError, match=r"y holds a missing label, .* at sample 3,"):
        OpenSetClassifier(GaussianNB()).fit(X, labels.astype(dtype))


@quiet
def test_one_class_makes_a_detector_of_novelty():
    """Check that a single class has its bound where the estimator takes one."""
    X = np.random.default_rng(0).normal(size=(400, 2))
    model = OpenSetClassifier(
        DummyClassifier(), conformity_score="mahalanobis", random_state=0
    ).fit(X[:200], np.full(200, "a"))
    assert model.is_outlier(X[200:]).mean() < 0.1
    assert_array_equal(model.predict([[9.0, 9.0], [0.0, 0.0]]), ["outsider", "a"])
    with pytest.raises(ValueError, match="one class"):
        OpenSetClassifier(LogisticRegression()).fit(X, np.full(400, "a"))


@pytest.mark.parametrize("container", [pd.DataFrame, np.asarray])
@pytest.mark.parametrize("wrapped", [True, False])
def test_column_of_raw_text_is_named(container, wrapped):
    """Check that the error of text in a table names its column, once."""
    table = {"length": np.arange(40.0), "note": [f"text {i}" for i in range(40)]}
    X = container(pd.DataFrame(table))
    name = "'note'" if container is pd.DataFrame else "1"
    model = CenterLossClassifier(max_epochs=1)
    model = OpenSetClassifier(model) if wrapped else model
    with pytest.raises(
        ValueError, match=rf"to float: 'text \d+', in the .*\[{name}\] of X"
    ):
        model.fit(X, np.arange(40) % 2)
