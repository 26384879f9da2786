"""Tests of how scores are named, and of the parts that they get of a classifier."""

import re
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from open_set_problems import MEANS, clouds, frozen, net, queries
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from sk_center import OpenSetClassifier
from sk_center.scores import (
    BaseScore,
    CenterDistance,
    Combined,
    KNeighbors,
    Mahalanobis,
    MaxSoftmax,
    ViM,
)
from sk_center.scores.registry import SCORES

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

ESTIMATORS = {
    "center loss": net(max_epochs=5),
    "logistic": LogisticRegression(max_iter=1000),
    "pipeline, center loss": make_pipeline(StandardScaler(), net(max_epochs=5)),
}


@cache
def problem(n_classes, strings):
    """Return clouds of some classes with labels of either kind."""
    X, y = make_blobs(
        40 * n_classes, 6, centers=n_classes, center_box=(-15, 15), random_state=0
    )
    labels = np.array([f"class {k}" for k in range(n_classes)]) if strings else None
    return X, y if labels is None else labels[y]


@cache
def half_frozen(name, n_classes, strings):
    """Return an estimator fitted on half of the samples and frozen."""
    X, y = problem(n_classes, strings)
    return FrozenEstimator(clone(ESTIMATORS[name]).fit(X[::2], y[::2]))


@pytest.mark.parametrize(
    ("score", "twin"),
    [
        (CenterDistance(), "center_distance"),
        (Mahalanobis(), "mahalanobis"),
        (MaxSoftmax(), "max_softmax"),
        ([Mahalanobis()], "mahalanobis"),
        (["max_softmax"], "max_softmax"),
        ([Mahalanobis(), "center_distance"], ["center_distance", "mahalanobis"]),
    ],
    ids=str,
)
def test_instances_and_lists_do_as_their_names(score, twin):
    """Check that an instance is its name, a list of one is its part, in any order."""
    p_values = [
        OpenSetClassifier(GaussianNB(), conformity_score=each, cv=0.5, random_state=0)
        .fit(*clouds())
        .p_known(queries())
        for each in (score, twin)
    ]
    assert_array_equal(*p_values)


@pytest.mark.parametrize(
    ("score", "nearest"),
    [("mahalanobs", "mahalanobis"), ("distance", "center_distance"), ("KNN", None)],
)
def test_misspelled_score(score, nearest):
    """Check that the error lists the names of scores in order, and the nearest one."""
    hint = f"; did you mean {nearest!r}?" if nearest else "."
    for given in (score, [score], ["knn", score]):
        with pytest.raises(ValueError, match="conformity_score must be one of ") as raised:
            OpenSetClassifier(GaussianNB(), conformity_score=given).fit(*clouds())
        listed = re.findall(r"'(\w+)'", str(raised.value).partition("]")[0])
        assert listed == sorted(SCORES)
        assert str(raised.value).endswith(f"got {score!r}{hint}")


@pytest.mark.parametrize("score", [3, None, ("mahalanobis",), Mahalanobis, ["auto"], []])
def test_what_is_no_score_raises(score):
    """Check that a conformity_score of no known kind is an error that shows it."""
    with pytest.raises(ValueError, match=r"conformity_score must .*got"):
        OpenSetClassifier(GaussianNB(), conformity_score=score).fit(*clouds())


class LearntSoftmax(BaseScore):
    """A score of one's own among probabilities."""

    needs = ("probabilities",)
    learns = False

    def _score_classes(self, probabilities):
        return probabilities


@pytest.mark.parametrize("score", ["max_softmax", LearntSoftmax()])
@pytest.mark.parametrize("freeze", [False, True])
def test_probabilities_of_an_estimator_without_raise(freeze, score):
    """Check that a lack of predict_proba is an error that says what to do."""
    estimator = frozen(LinearSVC()) if freeze else LinearSVC()
    model = OpenSetClassifier(estimator, conformity_score=score, cv=0.5, random_state=0)
    with pytest.raises(ValueError, match=r"predict_proba.*'mahalanobis', or wrap"):
        model.fit(*clouds())


def test_layers_of_an_estimator_without_raise():
    """Check that a classifier without layers is named, and what gives them."""
    model = OpenSetClassifier(GaussianNB(), conformity_score=KNeighbors(space="layers"))
    with pytest.raises(ValueError, match=r"needs layers: .* and GaussianNB does not"):
        model.fit(*clouds())


def test_logits_are_those_of_the_softmax_head():
    """Check that the logits of a center-loss classifier are those of its head."""
    X, y = problem(3, False)
    for name in ("center loss", "pipeline, center loss"):
        estimator = half_frozen(name, 3, False)
        model = OpenSetClassifier(
            estimator,
            conformity_score="max_logit",
            false_rejection_rate=0.2,
            random_state=0,
        ).fit(X[1::2], y[1::2])
        inner, given = estimator.estimator, X
        if "pipeline" in name:
            inner, given = inner[-1], inner[0].transform(X)
        logits = inner.logits(given)
        own = logits[np.arange(len(X)), estimator.predict(X)]
        assert_allclose(model.score_samples(X), own, rtol=1e-5, atol=1e-5)


def test_logits_of_two_classes():
    """Check that two classes get minus and plus half the decision function."""
    X, y = problem(2, True)
    estimator = half_frozen("logistic", 2, True)
    model = OpenSetClassifier(estimator, conformity_score="max_logit", random_state=0).fit(
        X, y
    )
    expected = np.abs(estimator.decision_function(X)) / 2
    assert_array_equal(model.score_samples(X), expected)


def test_pairs_of_classes_are_no_logits():
    """Check that the columns of one-versus-one machines are not taken for classes."""
    X, y = clouds((80, 80, 80))
    model = OpenSetClassifier(
        SVC(decision_function_shape="ovo"),
        conformity_score="max_logit",
        random_state=0,
    )
    with pytest.raises(ValueError, match=r"needs logits: .* one column a class"):
        model.fit(X, y)


def test_list_may_mix_what_scores_need():
    """Check a list of scores of features, logits and probabilities."""
    X, y = problem(3, False)
    model = OpenSetClassifier(
        half_frozen("logistic", 3, False),
        conformity_score=["max_softmax", ViM(), "knn"],
        cv=0.5,
        random_state=0,
    ).fit(X, y)
    assert {*model.score_.needs} == {"features", "logits", "probabilities"}
    assert model.is_outlier(X + 1000).all()


def test_score_with_given_centers():
    """Check that a frozen estimator and given centers leave all samples to calibrate."""
    X, y = clouds()
    score = CenterDistance(centers=MEANS)
    model = OpenSetClassifier(
        frozen(GaussianNB()), conformity_score=score, random_state=0
    ).fit(X, y)
    predicted = model.estimator_.predict(queries())
    expected = -np.linalg.norm(queries() - MEANS[predicted], axis=1)
    assert_allclose(model.score_samples(queries()), expected)
    assert model.calibration_.n_samples_.tolist() == [len(y)]


def test_combined_scores_are_scaled_out_of_sample():
    """Check that neighbors at k=1, which training samples find themselves, still count."""
    X, y = clouds((200, 200, 200))
    X_new = np.random.default_rng(1).uniform(-6, 8, size=(2000, 3))
    rejected = {
        name: OpenSetClassifier(GaussianNB(), conformity_score=score, random_state=0)
        .fit(X, y)
        .is_outlier(X_new)
        for name, score in {
            "knn": KNeighbors(1),
            "mahalanobis": "mahalanobis",
            "both": Combined([KNeighbors(1), "mahalanobis"], how="sum"),
        }.items()
    }
    assert rejected["both"].mean() > 0.9 * rejected["mahalanobis"].mean() > 0.3
    # The sum is neither one alone.
    for alone in ("knn", "mahalanobis"):
        assert (rejected["both"] != rejected[alone]).any()
