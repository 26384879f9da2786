"""Tests of what fit sets, splits off, hands on and refuses."""

import threading
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from numpy.testing import assert_allclose, assert_array_equal
from open_set_problems import (
    FAR,
    GUARANTEES,
    MEANS,
    METHODS,
    Nearest,
    Recorder,
    clouds,
    frozen,
    net,
    own_of,
    queries,
    rows,
)
from scipy.stats import binom
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier, StackingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from sk_center import CenterLossClassifier, OpenSetClassifier
from sk_center.scores import CenterDistance

quiet = pytest.mark.filterwarnings("ignore::UserWarning")
SHARE = "have too few calibration samples"
CENTERED = CenterDistance(centers=MEANS)  # learns nothing: all samples calibrate


def reference_rank(n, rate, confidence):
    """Return the largest k within the bound, from the binomial distribution."""
    if confidence is None:
        return max(k for k in range(n + 1) if k / (n + 1) <= rate)
    # Beta(k, n + 1 - k) <= rate exactly when at least k of n uniforms are <= rate.
    held = [k for k in range(1, n + 1) if binom.sf(k - 1, n, rate) >= confidence]
    return max(held, default=0)


@quiet
@pytest.mark.parametrize("guarantee", GUARANTEES)
@pytest.mark.parametrize("confidence", [None, 0.9])
@pytest.mark.parametrize("rate", [0.05, 0.3])
def test_thresholds(rate, confidence, guarantee):
    """Check both thresholds against order statistics and the binomial distribution."""
    X, y = clouds((150, 203, 310))
    estimator = frozen(LogisticRegression(C=0.1))
    model = OpenSetClassifier(
        estimator,
        conformity_score="max_softmax",
        false_rejection_rate=rate,
        confidence=confidence,
        guarantee=guarantee,
    ).fit(X, y)
    probabilities, predicted = estimator.predict_proba(X), estimator.predict(X)
    top = probabilities.max(axis=1)
    groups = {
        "marginal": [top] * 3,
        "predicted": [top[predicted == k] for k in range(3)],
        "class": [probabilities[y == k, k] for k in range(3)],
    }[guarantee]
    ranks = [reference_rank(len(group), rate, confidence) for group in groups]
    shares = [k / (len(group) + 1) for k, group in zip(ranks, groups)]
    expected = [rate] * 3 if confidence is None else shares
    assert_allclose(model.thresholds_, expected, rtol=1e-15)
    assert max(shares) <= rate
    score_thresholds = [np.sort(group)[k - 1] for group, k in zip(groups, ranks)]
    assert_allclose(model.score_thresholds_, score_thresholds, rtol=0, atol=1e-14)
    new = np.concatenate([queries(), X])
    given, own = estimator.predict_proba(new), estimator.predict(new)
    below = given < model.score_thresholds_
    rejected = below.all(axis=1) if guarantee == "class" else own_of(below, own)
    assert_array_equal(model.is_outlier(new), rejected)


@quiet
def test_rates_per_class():
    """Check that a dict gives each class its own threshold, in any order of its keys."""
    X, y = clouds((150, 150, 150))
    labels = np.array(["x", "y", "z"])
    for guarantee in ("predicted", "class"):
        model = OpenSetClassifier(
            GaussianNB(),
            guarantee=guarantee,
            false_rejection_rate={"z": 0.3, "x": 0.05, "y": 0.1, "not a class": 0.5},
            cv=5,
        ).fit(X, labels[y])
        assert_array_equal(model.thresholds_, [0.05, 0.1, 0.3])
        assert_array_equal(model.calibration_report_.rate_allowed, [0.05, 0.1, 0.3])
    rates = {0: 0.2, np.int64(1): 0.1, 2.0: 0.3}
    model.set_params(false_rejection_rate=rates).fit(X, y)
    assert_array_equal(model.thresholds_, [0.2, 0.1, 0.3])


def test_rates_per_class_take_a_guarantee_by_class():
    """Check that the error of a dict under the marginal guarantee names the others."""
    model = OpenSetClassifier(GaussianNB(), false_rejection_rate={0: 0.1, 1: 0.1, 2: 0.1})
    with pytest.raises(ValueError, match=r"a dict takes guarantee='predicted' or 'class'"):
        model.fit(*clouds())


@quiet
def test_rates_with_a_zero():
    """Check that one class that never rejects stops all of guarantee="class" alone."""
    X, y = clouds((90, 90, 90))
    model = OpenSetClassifier(
        GaussianNB(),
        conformity_score="mahalanobis",
        false_rejection_rate={0: 0.1, 1: 0, 2: 0.1},
        cv=0.5,
        guarantee="class",
    )
    with pytest.warns(
        UserWarning, match=r"No sample will ever be rejected.*\[1\]"
    ) as found:
        model.fit(X, y)
    assert {warning.filename for warning in found} == {__file__}
    assert not model.is_outlier(queries()).any()
    # Each outsider goes to the class that is left.
    assert_array_equal(model.predict(FAR), [1])
    model.set_params(guarantee="predicted").fit(X, y)
    predicted = model.estimator_.predict(queries())
    rejected = model.is_outlier(queries())
    assert rejected[predicted != 1].any()
    assert not rejected[predicted == 1].any()


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        ({0: 0.1, 2: 0.1}, r"every class; \[1\] are missing"),
        ({}, r"every class; \[0, 1, 2\] are missing"),
        ({0: 0.1, 1: 1.0, 2: 0.1}, r"rate\[1\] must be in \[0, 1\); got 1.0"),
        ({0: 0.1, 1: "low", 2: 0.1}, r"rate\[1\] must be .* got 'low'"),
        ({0: 0.1, 1: np.nan, 2: 0.1}, r"rate\[1\] must be .* got nan"),
        ({0: 0.1, 1: None, 2: 0.1}, r"rate\[1\] must be .* got None"),
    ],
)
def test_bad_rates_of_classes_raise(rates, message):
    """Check that a dict with a missing or an invalid rate is an error that names it."""
    model = OpenSetClassifier(GaussianNB(), false_rejection_rate=rates, guarantee="class")
    with pytest.raises(ValueError, match=message):
        model.fit(*clouds())


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("false_rejection_rate", 1.0),
        ("false_rejection_rate", np.nan),
        ("false_rejection_rate", "low"),
        ("guarantee", "overall"),
        ("confidence", 1.0),
        ("cv", 0.0),
        ("cv", 1.5),
        ("cv", "prefit"),
        ("refit", "yes"),
        ("calibration", "platt"),
        ("outlier_label", None),
        ("n_jobs", 1.5),
        ("random_state", "seed"),
        ("estimator", "GaussianNB"),
    ],
)
def test_bad_parameters_raise(parameter, value):
    """Check that an invalid parameter is an error that names it."""
    model = OpenSetClassifier(GaussianNB()).set_params(**{parameter: value})
    with pytest.raises(ValueError, match=rf"The '{parameter}' parameter.*Got"):
        model.fit(*clouds())


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
    model = OpenSetClassifier(estimator, outlier_label=outlier_label, cv=0.5)
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
    model = OpenSetClassifier(GaussianNB(), outlier_label=outlier_label, cv=0.5)
    with pytest.raises(
        ValueError, match=rf"outlier_label.*{kind}.*; got {outlier_label!r}"
    ):
        model.fit(X, np.array(classes)[y])


def fit_and_warnings(model, X, y):
    """Fit, and return the texts of the warnings, which all are at this file's lines."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        model.fit(X, y)
    assert {warning.filename for warning in found} <= {__file__}
    return [str(warning.message) for warning in found]


def test_rare_classes_share_a_threshold():
    """Check who joins, one warning that names the rare ones alone, and p-values."""
    X, y = clouds((60, 40, 6))
    labels = np.array(["first", "second", "third"])
    estimator = FrozenEstimator(LogisticRegression().fit(X, labels[y]))
    model = OpenSetClassifier(estimator, conformity_score=CENTERED, guarantee="class")
    texts = [text for text in fit_and_warnings(model, X, labels[y]) if SHARE in text]
    assert len(texts) == 1
    # "second" has enough: it joins, since one rare class cannot be a group of its own.
    assert (
        "fewer than 19, and share one threshold with larger classes that join them: 'third'"
        in texts[0]
    )
    assert "guarantee='marginal' takes no more than 19 samples in all" in texts[0]
    assert "second" not in texts[0]
    assert_array_equal(model.groups_, [0, 1, 1])
    assert_array_equal(model.calibration_.n_samples_, [60, 46])
    own = -np.linalg.norm(X - MEANS[y], axis=1)
    scores = -np.linalg.norm(queries()[:, None] - MEANS, axis=2)
    for k, members in enumerate((own[y == 0], own[y > 0], own[y > 0])):
        p = [(1 + (members <= s).sum()) / (len(members) + 1) for s in scores[:, k]]
        assert_array_equal(model.p_values(queries())[:, k], p)
    assert model.is_outlier(FAR).all()
    assert not model.is_outlier(MEANS).any()


def test_rare_predicted_classes_share_a_threshold():
    """Check that under guarantee="predicted" classes are counted as they are predicted."""
    X, y = clouds((60, 40, 6))
    estimator = frozen(GaussianNB())
    model = OpenSetClassifier(estimator, conformity_score=CENTERED, guarantee="predicted")
    counts = np.bincount(estimator.predict(X))
    assert counts[2] < 19 <= counts[:2].min()
    texts = [text for text in fit_and_warnings(model, X, y) if SHARE in text]
    assert len(texts) == 1
    assert texts[0].startswith("These predicted classes")
    assert texts[0].split(": ")[1].startswith("2. ")
    assert_array_equal(model.groups_, [0, 1, 1])
    assert_array_equal(model.calibration_.n_samples_, [counts[0], counts[1] + counts[2]])


def test_marginal_guarantee_pools_rare_classes_without_a_word():
    """Check that one threshold for all takes no class of many samples."""
    X, y = clouds((8, 7, 6))
    model = OpenSetClassifier(frozen(GaussianNB()), conformity_score=CENTERED)
    assert not any(SHARE in text for text in fit_and_warnings(model, X, y))
    assert_array_equal(model.groups_, [0, 0, 0])
    assert model.is_outlier(FAR).all()
    model.set_params(guarantee="class")
    texts = [text for text in fit_and_warnings(model, X, y) if SHARE in text]
    assert len(texts) == 1
    assert "share one threshold: 0, 1, 2" in texts[0]
    assert_array_equal(model.groups_, [0, 0, 0])


@quiet
def test_least_rate_of_classes_that_share_a_threshold():
    """Check that the least rate of classes that calibrate together holds."""
    X, y = clouds((60, 40, 6))
    model = OpenSetClassifier(
        frozen(GaussianNB()),
        conformity_score=CENTERED,
        guarantee="class",
        false_rejection_rate={0: 0.3, 1: 0.2, 2: 0.1},
    )
    with pytest.warns(UserWarning, match=r"fewer than 9, .*larger classes .*: 2\."):
        model.fit(X, y)
    assert_array_equal(model.thresholds_, [0.3, 0.1, 0.1])


@pytest.mark.parametrize("guarantee", GUARANTEES)
def test_too_few_samples_raise(guarantee):
    """Check that too few samples in all are an error that says how many it takes."""
    X, y = clouds((20, 20, 20))
    model = OpenSetClassifier(GaussianNB(), cv=0.2, guarantee=guarantee)
    message = r"12 .*too few.*=0.05 takes at least 19.*12 in all the smallest rate is 0.077"
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    with pytest.raises(ValueError, match=r"=0.01 takes at least 99"):
        model.set_params(false_rejection_rate=0.01, cv=3).fit(X, y)
    model.set_params(false_rejection_rate=0.05, confidence=0.9, cv=0.5)
    with pytest.raises(ValueError, match=r"30 .*=0.05 at confidence=0.9 takes at least 45"):
        model.fit(X, y)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda model, X, y: model.fit(X[:20], y[:20]),
        lambda model, X, y: model.fit(X, y + 0.5),
        lambda model, X, y: model.fit(X, y[:-1]),
        lambda model, X, y: model.fit(X, y - 1),
        lambda model, X, y: model.fit(np.full_like(X, np.nan), y),
        lambda model, X, y: model.fit(X, y, unknown=1),
        lambda model, X, y: model.set_params(cv=2.5).fit(X, y),
        lambda model, X, y: model.set_params(confidence=0.9999).fit(X[:, :2], y > 0),
        lambda model, X, y: model.set_params(conformity_score=[]).fit(X[:, :2], y > 0),
    ],
)
@quiet
def test_failed_fit_keeps_what_was_fitted(spoil):
    """Check that after a fit that fails all methods answer as before it."""
    X, y = clouds()
    model = OpenSetClassifier(GaussianNB(), cv=0.5).fit(X, y)
    fitted = {name: value for name, value in vars(model).items() if name.endswith("_")}
    before = [getattr(model, method)(queries()) for method in METHODS]
    with pytest.raises((ValueError, TypeError)):
        spoil(model, X, y)
    for method, expected in zip(METHODS, before):
        assert_array_equal(getattr(model, method)(queries()), expected)
    for name, value in fitted.items():
        assert getattr(model, name) is value


def test_failed_first_fit_leaves_nothing():
    """Check that a first fit that fails leaves the model not fitted."""
    model = OpenSetClassifier(GaussianNB())
    with pytest.raises(ValueError, match="too few"):
        model.fit(*clouds((20, 20, 20)))
    with pytest.raises(NotFittedError):
        model.predict(queries())
    assert not [name for name in vars(model) if name.endswith("_")]


@quiet
def test_fit_again():
    """Check that a second fit forgets the first, also its classes and features."""
    X, y = clouds()
    model = OpenSetClassifier(GaussianNB(), cv=0.5, random_state=0)
    names = pd.DataFrame(X[:, :2], columns=["a", "b"])
    model.fit(names, np.array(["a", "b", "b"])[y])
    assert_array_equal(model.feature_names_in_, ["a", "b"])
    model.fit(X, y)
    assert model.n_features_in_ == 3
    assert not hasattr(model, "feature_names_in_")
    assert model.outlier_label_ == -1
    fresh = clone(model).fit(X, y)
    assert_array_equal(model.p_known(queries()), fresh.p_known(queries()))
    assert_array_equal(model.predict(queries()), fresh.predict(queries()))


@quiet
def test_metadata_routing():
    """Check that routed weights reach the estimator, and only where they are asked for."""
    X, y = clouds((90, 90, 90))
    weight = np.random.default_rng(0).uniform(size=len(y))

    def check_weights(given, X):
        weight_of = dict(zip(map(tuple, X.tolist()), weight))
        expected = [weight_of[tuple(x)] for x in given["X"].tolist()]
        assert_array_equal(given["sample_weight"], expected)

    with sklearn.config_context(enable_metadata_routing=True):
        asks = Recorder().set_fit_request(sample_weight=True)
        model = OpenSetClassifier(asks, cv=0.5, random_state=0)
        pipe = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), model)
        pipe.fit(X, y, sample_weight=weight)
        check_weights(pipe[-1].estimator_.given_, pipe[0].transform(X))
        model.set_score_request(sample_weight=False)
        search = GridSearchCV(model, {"false_rejection_rate": [0.1, 0.2]}, cv=2)
        search.fit(X, y, sample_weight=weight)
        check_weights(search.best_estimator_.estimator_.given_, X)
        refuses = Recorder().set_fit_request(sample_weight=False)
        with pytest.raises(TypeError, match="sample_weight"):
            OpenSetClassifier(refuses, cv=0.5).fit(X, y, sample_weight=weight)
        with pytest.raises(ValueError, match="sample_weight"):
            OpenSetClassifier(Recorder(), cv=0.5).fit(X, y, sample_weight=weight)
        unweighted = OpenSetClassifier(Recorder(), cv=0.5).fit(X, y)
        assert unweighted.estimator_.given_["sample_weight"] is None


def test_nested_parameters_and_clone():
    """Check that parameters are reached by name, and that a clone is as given."""
    pipe = make_pipeline(StandardScaler(), LogisticRegression())
    model = OpenSetClassifier(pipe, conformity_score=["mahalanobis", CenterDistance()])
    model.set_params(estimator__logisticregression__C=0.25, confidence=0.5)
    assert pipe[-1].C == 0.25
    copy = clone(model)
    assert copy.estimator is not pipe
    assert copy.estimator[-1].C == 0.25
    assert copy.confidence == 0.5
    assert copy.conformity_score[0] == "mahalanobis"
    assert copy.conformity_score[1] is not model.conformity_score[1]
    model.set_params(conformity_score=CenterDistance())
    model.set_params(conformity_score__centers=MEANS)
    assert model.conformity_score.centers is MEANS
    estimator = frozen(GaussianNB())
    assert clone(OpenSetClassifier(estimator)).estimator is estimator


@quiet
def test_init_only_stores():
    """Check that what is given is stored untouched, and fit leaves it so."""
    score, rates = CenterDistance(), {0: 0.1, 1: 0.1, 2: 0.1}
    estimator = RandomForestClassifier(3)
    model = OpenSetClassifier(
        estimator,
        conformity_score=score,
        false_rejection_rate=rates,
        guarantee="class",
        cv=0.5,
        random_state=0,
    )
    before = dict(vars(model))
    assert before.items() <= model.get_params(deep=False).items()
    model.fit(*clouds())
    for name, value in before.items():
        assert getattr(model, name) is value
    assert not hasattr(estimator, "classes_")
    assert not hasattr(score, "classes_")
    assert estimator.random_state is None
    assert rates == {0: 0.1, 1: 0.1, 2: 0.1}


@quiet
@pytest.mark.parametrize("cv", [0.5, 3])
def test_grid_search(cv):
    """Check that a search over the estimator and the rate finds the best of them."""
    X, y = clouds((90, 90, 90))
    model = OpenSetClassifier(LogisticRegression(max_iter=1000), cv=cv, random_state=0)
    grid = {"estimator__C": [1e-5, 1.0], "false_rejection_rate": [0.05, 0.4]}
    search = GridSearchCV(model, grid, cv=2).fit(X, y)
    expected = []
    for params in search.cv_results_["params"]:
        model.set_params(**params)
        accuracy = [
            np.mean(clone(model).fit(X[train], y[train]).predict(X[test]) == y[test])
            for train, test in StratifiedKFold(2).split(X, y)
        ]
        expected.append(np.mean(accuracy))
    assert_array_equal(search.cv_results_["mean_test_score"], expected)
    # All are known: the fewest rejections are best.
    assert search.best_params_["false_rejection_rate"] == 0.05
    assert min(expected) < max(expected)


@quiet
def test_search_as_estimator():
    """Check that a search around a classifier is scored as its best estimator is."""
    X, y = clouds((120, 100, 80))
    y = np.where(y == 2, 9, y)  # 9 are negatives: they train and are no class
    pipe = make_pipeline(StandardScaler(), net(negative_label=9))
    X = 30 * X + 7  # what the score sees is scaled
    search = GridSearchCV(pipe, {"centerlossclassifier__lambda_center": [0.3]}, cv=2)
    best = clone(pipe).set_params(centerlossclassifier__lambda_center=0.3)
    found, expected = (
        OpenSetClassifier(estimator, random_state=0).fit(X, y)
        for estimator in (search, best)
    )
    assert_array_equal(found.classes_, [0, 1])
    assert_array_equal(found.p_values(30 * queries()), expected.p_values(30 * queries()))
    assert_array_equal(found.score_samples(X), expected.score_samples(X))


def test_score_counts_outlier_label():
    """Check that score is the accuracy where outsiders have the outlier label."""
    X, y = clouds()
    model = OpenSetClassifier(GaussianNB(), conformity_score="mahalanobis", cv=0.5)
    model.set_params(random_state=0).fit(X, y)
    X = np.concatenate([X, np.repeat(FAR, 50, axis=0)])
    y = np.append(y, np.full(50, -1))
    assert model.score(X, y) == np.mean(model.predict(X) == y) > 0.8


@quiet
@pytest.mark.parametrize("seed", [0, None])
def test_n_jobs(seed):
    """Check that folds in two processes give the same bits as one after the other."""
    X, y = clouds()
    forest = RandomForestClassifier(4, random_state=None if seed == 0 else 5)
    one, two = (
        OpenSetClassifier(forest, cv=3, n_jobs=n_jobs, random_state=seed).fit(X, y)
        for n_jobs in (None, 2)
    )
    assert_array_equal(one.p_values(queries()), two.p_values(queries()))
    assert_array_equal(one.score_thresholds_, two.score_thresholds_)
    assert_array_equal(one.predict_proba(queries()), two.predict_proba(queries()))


@quiet
def test_n_jobs_is_used():
    """Check that all fits run in as many workers as are asked for."""
    X, y = clouds()
    workers = []

    class Traced(GaussianNB):
        def fit(self, X, y):
            workers.append(threading.current_thread())
            return super().fit(X, y)

    model = OpenSetClassifier(Traced(), cv=3, n_jobs=2)
    with joblib.parallel_config("threading"):
        model.fit(X, y)
        main = threading.main_thread()
        assert [worker is main for worker in workers] == [False] * 4
        workers.clear()
        model.set_params(n_jobs=None).fit(X, y)
        assert [worker is main for worker in workers] == [True] * 4


@quiet
@pytest.mark.parametrize("cv", [0.5, 3])
def test_random_state(cv):
    """Check that one seed makes two fits equal, the estimator's included."""
    X, y = clouds()
    forest = RandomForestClassifier(4)
    first, second, other, drawn = (
        OpenSetClassifier(forest, cv=cv, random_state=seed).fit(X, y)
        for seed in (0, 0, 1, np.random.RandomState(0))
    )
    assert_array_equal(first.predict_proba(queries()), second.predict_proba(queries()))
    assert_array_equal(first.p_values(queries()), second.p_values(queries()))
    assert (first.predict_proba(queries()) != other.predict_proba(queries())).any()
    assert_array_equal(first.p_values(queries()), drawn.p_values(queries()))


@quiet
def test_random_state_draws_the_held_out_share():
    """Check that another seed holds out others."""
    X, y = clouds()
    held_out = [
        rows(
            OpenSetClassifier(Recorder(), cv=0.5, random_state=seed)
            .fit(X, y)
            .estimator_.given_["X"]
        )
        for seed in (0, 0, 1, np.random.RandomState(0))
    ]
    assert held_out[0] == held_out[1] == held_out[3] != held_out[2]


@quiet
def test_random_state_leaves_the_seed_of_the_estimator():
    """Check that only missing seeds are filled in, in nested estimators too."""
    X, y = clouds()
    tree = DecisionTreeClassifier(random_state=7)
    model = OpenSetClassifier(tree, cv=0.5, random_state=0).fit(X, y)
    assert model.estimator_.random_state == 7
    pipe = make_pipeline(StandardScaler(), DecisionTreeClassifier())
    model.set_params(estimator=pipe).fit(X, y)
    assert isinstance(model.estimator_[-1].random_state, int)
    assert pipe[-1].random_state is None
    model.set_params(random_state=None).fit(X, y)
    assert model.estimator_[-1].random_state is None


@quiet
def test_weight_zero_does_not_calibrate():
    """Check that samples of weight zero are as good as not there, a whole class too."""
    X, y = clouds((60, 60, 60))
    rng = np.random.default_rng(0)
    wrong = rng.permutation(len(y)) < 20
    noisy = np.where(wrong, (y + 1) % 3, y)
    weight = np.where(wrong, 0.0, rng.uniform(0.5, 2, len(y)))
    model = OpenSetClassifier(GaussianNB(), cv=0.5, random_state=0)
    expected = clone(model).fit(X[~wrong], y[~wrong], sample_weight=weight[~wrong])
    model.fit(X, noisy, sample_weight=weight)
    assert_array_equal(model.p_values(queries()), expected.p_values(queries()))
    pipe = OpenSetClassifier(make_pipeline(StandardScaler(), GaussianNB()), cv=0.5)
    pipe.fit(X, y, gaussiannb__sample_weight=(y != 2).astype(float))
    assert_array_equal(pipe.classes_, [0, 1])


def test_weights_that_leave_too_little_raise():
    """Check that weights of zero for all, or all but one class, are an error."""
    X, y = clouds()
    model = OpenSetClassifier(net(), cv=0.5)
    with pytest.raises(ValueError, match="at least one non-zero"):
        model.fit(X, y, sample_weight=np.zeros(len(y)))
    with pytest.raises(ValueError, match=r"one class only, \[1\]"):
        model.fit(X, y, sample_weight=y == 1)


@quiet
def test_only_classifiers_are_taken():
    """Check the error for others, and that predict may appear after fit."""
    X, y = clouds()
    for estimator in (LinearRegression(), StandardScaler()):
        with pytest.raises(ValueError, match="estimator must be a classifier; got"):
            OpenSetClassifier(estimator).fit(X, y)
    stack = StackingClassifier([("nb", GaussianNB()), ("tree", DecisionTreeClassifier())])
    model = OpenSetClassifier(stack, conformity_score="max_softmax", cv=0.5).fit(X, y)
    assert_array_equal(model.classes_, [0, 1, 2])
    with pytest.raises(NotFittedError):
        OpenSetClassifier(FrozenEstimator(GaussianNB())).fit(X, y)


def test_rate_of_zero_of_one_sample_each():
    """Check that without rejection even a sample for each class will do."""
    X, y = MEANS.copy(), np.arange(3)
    model = OpenSetClassifier(Nearest(), false_rejection_rate=0).fit(X, y)
    assert_array_equal(model.predict(X), y)
    assert_array_equal(model.p_values(queries()), 1)
    assert_array_equal(model.p_known(queries()), 1)


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
        estimator, conformity_score=score, guarantee=guarantee, random_state=0
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
    model = OpenSetClassifier(estimator, cv=0.5).fit(X, labels[y].astype("<U5"))
    assert_array_equal(model.classes_, estimator.classes_)
    assert model.classes_.dtype == estimator.classes_.dtype
    assert {*model.predict(X)} == {"a", "b", "c", "outsider"}


@pytest.mark.parametrize("cv", [0.5, 3])
def test_fit_is_quiet(cv, capfd):
    """Check that nothing is printed and the global generators are left alone."""
    X, y = load_iris(return_X_y=True)
    model = OpenSetClassifier(net(max_epochs=3), cv=cv, random_state=0)
    numpy_state = np.random.get_state()  # noqa: NPY002
    torch_state = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, y)
        for method in METHODS:
            getattr(model, method)(X)
    assert capfd.readouterr() == ("", "")
    for before, after in zip(numpy_state, np.random.get_state()):  # noqa: NPY002
        assert_array_equal(before, after)
    assert torch.equal(torch.get_rng_state(), torch_state)


def test_probes_that_the_estimator_cannot_take_do_no_harm():
    """Check that fit looks far away only where the estimator goes."""
    X, y = clouds()
    for step in (FunctionTransformer(np.log1p), OneHotEncoder(sparse_output=False)):
        shifted = (X - X.min()).round()
        model = OpenSetClassifier(
            make_pipeline(step, LogisticRegression(max_iter=500)),
            conformity_score="max_softmax",
            random_state=0,
        )
        shifted = np.minimum(shifted, 5)
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            warnings.simplefilter("ignore", UserWarning)
            assert model.fit(shifted, y).predict(shifted).shape == y.shape
            assert model.fit(shifted.astype(int), y).predict(shifted).shape == y.shape


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
@pytest.mark.parametrize("container", [np.asarray, list, pd.Series])
@pytest.mark.parametrize("model", [OpenSetClassifier(GaussianNB()), CenterLossClassifier()])
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


@pytest.mark.parametrize("refit", [True, False])
def test_a_search_warns_of_rare_classes_once(refit):
    """Check one warning over the folds of a search: that of the fit of all data, if any."""
    X, y = clouds((90, 60, 12))
    labels = np.array(["first", "second", "third"])[y]
    model = OpenSetClassifier(GaussianNB(), conformity_score=CENTERED, guarantee="class")
    model.set_params(cv=0.5, random_state=0)
    grid = {"estimator__var_smoothing": [1e-9, 1e-8]}
    search = GridSearchCV(model, grid, cv=2, refit=refit)
    texts = [text for text in fit_and_warnings(search, X, labels) if SHARE in text]
    assert len(texts) == 1
    if refit:
        assert texts == [t for t in fit_and_warnings(clone(model), X, labels) if SHARE in t]


def test_cross_validation_warns_of_rare_classes_once():
    """Check one warning over the folds of a cross-validation."""
    X, y = clouds((90, 60, 12))
    model = OpenSetClassifier(GaussianNB(), conformity_score=CENTERED, guarantee="class")
    with pytest.warns(UserWarning, match=SHARE) as found:
        cross_val_score(model.set_params(cv=0.5), X, y, cv=2)
    assert sum(SHARE in str(warning.message) for warning in found) == 1


@pytest.mark.parametrize("calibration", ["gaussian", "weibull"])
def test_confidence_is_refused_before_training(calibration):
    """Check that a calibration that guarantees nothing refuses it before the estimator."""

    class Untrained(GaussianNB):
        """A classifier that must not be trained."""

        def fit(self, X, y):
            """Fail."""
            pytest.fail("trained")

    model = OpenSetClassifier(Untrained(), calibration=calibration, confidence=0.9)
    with pytest.raises(ValueError, match=r"confidence=0.9 takes calibration='conformal'"):
        model.set_params(conformity_score=CENTERED).fit(*clouds())
