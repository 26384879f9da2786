"""Tests of what fit sets, splits off, hands on and refuses."""

import threading

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from fit_cases import quiet
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
from sklearn.ensemble import RandomForestClassifier, StackingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from sk_center import OpenSetClassifier
from sk_center.scores import CenterDistance


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
        random_state=0,
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
            conformity_score="max_softmax",
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
    model = OpenSetClassifier(
        GaussianNB(), false_rejection_rate={0: 0.1, 1: 0.1, 2: 0.1}, random_state=0
    )
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
        random_state=0,
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
    model = OpenSetClassifier(
        GaussianNB(), false_rejection_rate=rates, guarantee="class", random_state=0
    )
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
    model = OpenSetClassifier(GaussianNB(), random_state=0).set_params(**{parameter: value})
    with pytest.raises(ValueError, match=rf"The '{parameter}' parameter.*Got"):
        model.fit(*clouds())


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
    model = OpenSetClassifier(GaussianNB(), cv=0.5, random_state=0).fit(X, y)
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
    model = OpenSetClassifier(GaussianNB(), random_state=0)
    with pytest.raises(ValueError, match="too few"):
        model.fit(*clouds((5, 5, 5)))
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
        unweighted = OpenSetClassifier(Recorder(), cv=0.5, random_state=0).fit(X, y)
        assert unweighted.estimator_.given_["sample_weight"] is None


def test_nested_parameters_and_clone():
    """Check that parameters are reached by name, and that a clone is as given."""
    pipe = make_pipeline(StandardScaler(), LogisticRegression())
    model = OpenSetClassifier(
        pipe, conformity_score=["mahalanobis", CenterDistance()], random_state=0
    )
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
@pytest.mark.parametrize("cv", [0.5, pytest.param(3, marks=pytest.mark.slow)])
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
        OpenSetClassifier(estimator, cv=0.2, random_state=0).fit(X, y)
        for estimator in (search, best)
    )
    assert_array_equal(found.classes_, [0, 1])
    assert_array_equal(found.p_values(30 * queries()), expected.p_values(30 * queries()))
    assert_array_equal(found.score_samples(X), expected.score_samples(X))


def test_score_counts_outlier_label():
    """Check that score is the accuracy where outsiders have the outlier label."""
    X, y = clouds()
    model = OpenSetClassifier(
        GaussianNB(), conformity_score="mahalanobis", cv=0.5, random_state=0
    )
    model.set_params(random_state=0).fit(X, y)
    X = np.concatenate([X, np.repeat(FAR, 50, axis=0)])
    y = np.append(y, np.full(50, -1))
    assert model.score(X, y) == np.mean(model.predict(X) == y) > 0.8


@quiet
@pytest.mark.parametrize("seed", [0, pytest.param(None, marks=pytest.mark.slow)])
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
@pytest.mark.parametrize("cv", [0.5, 2])
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
    pipe = OpenSetClassifier(
        make_pipeline(StandardScaler(), GaussianNB()), cv=0.5, random_state=0
    )
    pipe.fit(X, y, gaussiannb__sample_weight=(y != 2).astype(float))
    assert_array_equal(pipe.classes_, [0, 1])


def test_weights_that_leave_too_little_raise():
    """Check that weights of zero for all, or all but one class, are an error."""
    X, y = clouds()
    model = OpenSetClassifier(net(), cv=0.5, random_state=0)
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
    model = OpenSetClassifier(
        stack, conformity_score="max_softmax", cv=0.5, random_state=0
    ).fit(X, y)
    assert_array_equal(model.classes_, [0, 1, 2])
    with pytest.raises(NotFittedError):
        OpenSetClassifier(FrozenEstimator(GaussianNB())).fit(X, y)


def test_rate_of_zero_of_one_sample_each():
    """Check that without rejection even a sample for each class will do."""
    X, y = MEANS.copy(), np.arange(3)
    model = OpenSetClassifier(Nearest(), false_rejection_rate=0, random_state=0).fit(X, y)
    assert_array_equal(model.predict(X), y)
    assert_array_equal(model.p_values(queries()), 1)
    assert_array_equal(model.p_known(queries()), 1)
