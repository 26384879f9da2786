"""Scorers against their metrics and the methods of the classifier."""

import pickle
import warnings

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC

from sk_center import OpenSetClassifier, metrics
from sk_center.metrics import (
    auroc_score,
    correct_acceptance_rate,
    false_rejection_rate,
    fpr_at_tpr,
    make_open_set_scorer,
    normalized_accuracy_score,
    open_set_f1_score,
    oscr_score,
    outsider_rejection_rate,
)

LABELS = [0, 1, 2]
NAMES = np.array(["cat", "dog", "eel", "fox", "gnu"])
CLOSE = {"rtol": 1e-12, "atol": 1e-14}

SCORERS = {
    name: getattr(metrics, f"{name}_scorer")
    for name in (
        "auroc",
        "neg_fpr_at_tpr",
        "oscr",
        "normalized_accuracy",
        "correct_acceptance",
        "outsider_rejection",
        "neg_false_rejection",
        "open_set_f1",
    )
}


def expected_scores(model, X, y, X_inner=None, sample_weight=None):
    """Return the score of each scorer, from the metrics and the classifier's methods."""
    X_inner = X if X_inner is None else X_inner
    known = {"labels": model.classes_, "sample_weight": sample_weight}
    score = model.score_samples(X_inner)
    closed = model.estimator_.predict(X_inner)
    decided = (y, model.predict(X_inner))
    reject = {"outlier_label": model.outlier_label_, **known}
    return {
        "auroc": auroc_score(y, score, **known),
        "neg_fpr_at_tpr": -fpr_at_tpr(y, score, **known),
        "oscr": oscr_score(y, closed, score, **known),
        "open_set_f1": open_set_f1_score(*decided, **reject),
        "normalized_accuracy": normalized_accuracy_score(*decided, **reject),
        "correct_acceptance": correct_acceptance_rate(*decided, **reject),
        "outsider_rejection": outsider_rejection_rate(*decided, **reject),
        "neg_false_rejection": -false_rejection_rate(*decided, **reject),
    }


def clouds(names=False):
    """Return five overlapping clouds, of classes 0 to 4 or of their names."""
    X, y = make_blobs(400, centers=5, cluster_std=2.5, random_state=0)
    # Round clouds would make the two scores that the search chooses from the same.
    return X * [1, 4], NAMES[y] if names else y


def splits(y):
    """Return two splits, each with other classes in the test part only."""
    rows = np.arange(len(y))
    classes = np.unique(y)
    return [
        (rows[(rows % 4 != 0) & ~np.isin(y, left_out)], rows[rows % 4 == 0])
        for left_out in (classes[3:], classes[:1])
    ]


def open_set(**params):
    """Return a classifier that is quickly fitted and rejects some samples."""
    defaults = {"conformity_score": "mahalanobis", "false_rejection_rate": 0.2, "cv": 0.5}
    params = {**defaults, **params}
    return OpenSetClassifier(GaussianNB(), random_state=0, **params)


@pytest.mark.parametrize(("n_classes", "names"), [(2, True), (3, False)])
@pytest.mark.parametrize("name", SCORERS)
def test_scorer_is_the_metric_of_the_classifier(name, names, n_classes):
    """Check each scorer against its metric and the methods of the classifier."""
    X, y = clouds(names)
    known = np.isin(y, np.unique(y)[:n_classes])
    model = open_set().fit(X[known], y[known])
    expected = expected_scores(model, X, y)[name]
    score = SCORERS[name](model, X, y)
    assert type(score) is float
    assert score == expected
    # Rejection, and weights, make a difference.
    assert expected not in (0, 1, -1)
    weight = np.random.default_rng(0).uniform(0.1, 3, len(y))
    expected = expected_scores(model, X, y, sample_weight=weight)[name]
    assert SCORERS[name](model, X, y, sample_weight=weight) == expected != score


def test_closed_set_predictions_do_not_depend_on_rejection():
    """Check that OSCR is that of no rejection, at any rate of it."""
    X, y = clouds()
    low, high = (
        open_set(false_rejection_rate=rate).fit(X[y < 3], y[y < 3]) for rate in (0.1, 0.6)
    )
    assert (low.predict(X) != high.predict(X)).any()
    assert SCORERS["oscr"](low, X, y) == SCORERS["oscr"](high, X, y)
    assert SCORERS["open_set_f1"](low, X, y) != SCORERS["open_set_f1"](high, X, y)


def test_a_search_sees_that_nothing_is_rejected():
    """Check which scorers tell a classifier that rejects nothing from one that does."""
    X, y = clouds()
    grid = {"false_rejection_rate": [0.0, 0.2]}
    search = GridSearchCV(open_set(), grid, cv=splits(y), scoring=SCORERS, refit=False)
    found = search.fit(X, y).cv_results_
    for name in ("oscr", "auroc", "neg_fpr_at_tpr"):
        assert found[f"mean_test_{name}"][0] == found[f"mean_test_{name}"][1]
    for name in ("normalized_accuracy", "outsider_rejection", "open_set_f1"):
        assert found[f"mean_test_{name}"][0] < found[f"mean_test_{name}"][1]
    assert found["mean_test_outsider_rejection"][0] == 0


def test_classifier_without_probabilities():
    """Check that predictions without rejection take nothing but predict."""
    X, y = clouds()
    model = OpenSetClassifier(LinearSVC(), cv=0.5, random_state=0)
    model.fit(X[y < 3], y[y < 3])
    assert not hasattr(model, "predict_proba")
    assert {name: scorer(model, X, y) for name, scorer in SCORERS.items()} == (
        expected_scores(model, X, y)
    )


def inside(kind, X, y):
    """Return a fitted estimator with an OpenSetClassifier inside, that and its input."""
    negate = FunctionTransformer(np.negative)
    if kind in ("pipeline", "frozen"):
        pipe = make_pipeline(negate, StandardScaler(), open_set()).fit(X, y)
        outer = FrozenEstimator(pipe) if kind == "frozen" else pipe
        return outer, pipe[-1], pipe[:-1].transform
    if kind == "single":
        pipe = make_pipeline(open_set()).fit(X, y)
        return pipe, pipe[-1], np.asarray
    if kind == "nested":
        pipe = make_pipeline(negate, make_pipeline(StandardScaler(), open_set())).fit(X, y)
        return pipe, pipe[-1][-1], lambda X: pipe[-1][:-1].transform(-X)
    pipe = make_pipeline(StandardScaler(), open_set())
    grid = {"opensetclassifier__false_rejection_rate": [0.2]}
    search = GridSearchCV(pipe, grid, cv=2).fit(X, y)
    best = search.best_estimator_
    return search, best[-1], best[:-1].transform


@pytest.mark.parametrize("kind", ["pipeline", "single", "nested", "frozen", "search"])
def test_scorers_look_inside(kind):
    """Check pipelines and searches against the classifier in them, and its input."""
    X, y = clouds(names=True)
    known = np.isin(y, NAMES[:3])
    outer, model, transform = inside(kind, X[known], y[known])
    assert {name: scorer(outer, X, y) for name, scorer in SCORERS.items()} == (
        expected_scores(model, X, y, transform(X))
    )


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_cross_validate_with_all_scorers(n_jobs):
    """Check several metrics at once against folds by hand, also in processes."""
    X, y = clouds(names=True)
    pipe = make_pipeline(StandardScaler(), open_set())
    found = cross_validate(pipe, X, y, cv=splits(y), scoring=SCORERS, n_jobs=n_jobs)
    for fold, (train, test) in enumerate(splits(y)):
        fitted = clone(pipe).fit(X[train], y[train])
        expected = expected_scores(
            fitted[-1], X[test], y[test], fitted[0].transform(X[test])
        )
        assert {name: found[f"test_{name}"][fold] for name in SCORERS} == expected


@pytest.mark.parametrize("name", SCORERS)
def test_grid_search_chooses_the_best(name):
    """Check that a search takes the candidate of the largest mean over the folds."""
    X, y = clouds()
    candidates = [
        {"conformity_score": score, "false_rejection_rate": rate}
        for score in ("center_distance", "mahalanobis")
        for rate in (0.05, 0.4)
    ]
    grid = [{key: [value] for key, value in params.items()} for params in candidates]
    search = GridSearchCV(open_set(), grid, cv=splits(y), scoring=SCORERS[name])
    search.fit(X, y)
    means = [
        np.mean(
            [
                expected_scores(
                    open_set(**params).fit(X[train], y[train]), X[test], y[test]
                )[name]
                for train, test in splits(y)
            ]
        )
        for params in candidates
    ]
    assert_allclose(search.cv_results_["mean_test_score"], means, **CLOSE)
    assert len(set(means)) > 1
    assert search.best_params_ == candidates[int(np.argmax(means))]
    # The search's own score takes the scorer too; it knows all classes but one here.
    more_y = np.append(y, 9)
    more_X = np.vstack([X, [[50.0, 50.0]]])
    best = search.best_estimator_
    assert search.score(more_X, more_y) == expected_scores(best, more_X, more_y)[name]


@pytest.mark.parametrize("wrapped", [False, True])
def test_scorers_share_one_pass(wrapped):
    """Check that several scorers send the test part through the model once."""
    passes = []

    class Counted(OpenSetClassifier):
        def judge(self, X):
            passes.append(len(X))
            return super().judge(X)

    X, y = clouds()
    model = Counted(GaussianNB(), conformity_score="mahalanobis", cv=0.5)
    model = make_pipeline(StandardScaler(), model) if wrapped else model
    cross_validate(model, X, y, cv=splits(y)[:1], scoring=SCORERS)
    # A fit judges a few samples itself.
    assert [n for n in passes if n > 20] == [len(splits(y)[0][1])]


def test_nested_search():
    """Check that a search may be cross-validated by a scorer."""
    X, y = clouds()
    inner = GridSearchCV(open_set(), {"false_rejection_rate": [0.1, 0.3]}, cv=2)
    found = cross_validate(inner, X, y, cv=splits(y), scoring=SCORERS)
    assert all(np.isfinite(found[f"test_{name}"]).all() for name in SCORERS)


@pytest.mark.parametrize("scoring", [metrics.oscr_scorer, {"a": metrics.auroc_scorer}])
def test_folds_without_outsiders(scoring):
    """Check that a search by ordinary folds is told once how to split."""
    X, y = clouds()
    # The warning comes once for a set of classes.
    y = y + (100 if isinstance(scoring, dict) else 200)
    search = GridSearchCV(
        open_set(), {"cv": [0.3, 0.5]}, cv=3, scoring=scoring, refit=False
    )
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        search.fit(X, y)
    told = [str(w.message) for w in found if w.category is UndefinedMetricWarning]
    (message,) = told
    assert "score is NaN: y_true holds no outsider" in message
    assert "split with cv=LeaveClassesOut(...)" in message
    assert not any("Traceback" in str(w.message) for w in found)
    name = "a" if isinstance(scoring, dict) else "score"
    assert np.isnan(search.cv_results_[f"mean_test_{name}"]).all()


@pytest.mark.filterwarnings("ignore:More calibration samples")
def test_folds_without_outsiders_have_rates_of_known_samples():
    """Check that scorers about known samples alone need no outsiders."""
    X, y = clouds()
    scoring = {
        name: SCORERS[name] for name in ("correct_acceptance", "neg_false_rejection")
    }
    found = cross_validate(open_set(), X, y, cv=3, scoring=scoring, error_score="raise")
    assert (found["test_correct_acceptance"] > 0.3).all()
    assert (found["test_neg_false_rejection"] > -0.5).all()


@pytest.mark.parametrize("name", SCORERS)
def test_scorers_survive_copies(name):
    """Check that a pickled or cloned scorer scores and looks like the first."""
    X, y = clouds()
    model = open_set().fit(X[y < 3], y[y < 3])
    scorer = SCORERS[name]
    for copy in (pickle.loads(pickle.dumps(scorer)), clone(scorer, safe=False)):
        assert copy(model, X, y) == scorer(model, X, y)
        assert repr(copy) == repr(scorer)
    search = GridSearchCV(open_set(), {}, scoring=scorer)
    assert repr(clone(search).scoring) == repr(scorer)


def test_repr_is_how_to_make_it():
    """Check that the repr of a scorer names the metric, its sign and its parameters."""
    assert repr(metrics.oscr_scorer) == "make_open_set_scorer(oscr_score)"
    scorer = make_open_set_scorer(metrics.aupr_score, positive="outsider")
    assert repr(scorer) == "make_open_set_scorer(aupr_score, positive='outsider')"
    assert repr(metrics.neg_fpr_at_tpr_scorer) == (
        "make_open_set_scorer(fpr_at_tpr, greater_is_better=False)"
    )


def test_parameters_of_a_metric():
    """Check that a scorer of one's own passes them on."""
    X, y = clouds()
    model = open_set().fit(X[y < 3], y[y < 3])
    scores = model.score_samples(X)
    made = make_open_set_scorer(fpr_at_tpr, tpr=0.6)
    assert made(model, X, y) == fpr_at_tpr(y, scores, labels=LABELS, tpr=0.6)
    assert made(model, X, y) != -metrics.neg_fpr_at_tpr_scorer(model, X, y)


def test_metric_of_the_users():
    """Check that a metric gets what it names, and no weight where it takes none."""

    def share_accepted(truth, y_pred, *, labels, outlier_label):
        assert_array_equal(labels, np.unique(labels))
        return np.mean(y_pred != outlier_label)

    X, y = clouds()
    model = open_set().fit(X[y < 3], y[y < 3])
    scorer = make_open_set_scorer(share_accepted)
    assert scorer(model, X, y) == np.mean(model.predict(X) != -1)
    scoring = {"accepted": scorer, "auroc": metrics.auroc_scorer}
    found = cross_validate(model, X, y, cv=splits(y), scoring=scoring)
    assert (found["test_accepted"] < 1).all()


@pytest.mark.parametrize(
    ("metric", "params", "message"),
    [
        (accuracy_score, {}, "metric must take labels"),
        (fpr_at_tpr, {"tpt": 0.9}, r"params may hold \['tpr'\] .* got 'tpt'"),
        (fpr_at_tpr, {"labels": LABELS}, r"params may hold \['tpr'\] .* got 'labels'"),
    ],
)
def test_wrong_scorer_raises(metric, params, message):
    """Check that what cannot work is told when the scorer is made."""
    with pytest.raises(TypeError, match=message):
        make_open_set_scorer(metric, **params)


@pytest.mark.parametrize("name", ["oscr", "open_set_f1"])
def test_closed_set_classifier_raises(name):
    """Check that the error of a scorer tells which estimators it takes."""
    X, y = clouds()
    model = make_pipeline(StandardScaler(), GaussianNB()).fit(X, y)
    message = "(?s)estimator must be a fitted OpenSetClassifier.*GaussianNB"
    with pytest.raises(TypeError, match=message):
        SCORERS[name](model, X, y)


def test_weights_are_routed():
    """Check that a scorer gets the weights that it asks for, and else none."""
    X, y = clouds()
    weight = np.random.default_rng(0).uniform(0.1, 3, len(y))
    with sklearn.config_context(enable_metadata_routing=True):
        scoring = {
            "weighted": make_open_set_scorer(oscr_score).set_score_request(
                sample_weight=True
            ),
            "plain": make_open_set_scorer(oscr_score).set_score_request(
                sample_weight=False
            ),
        }
        estimator = open_set()
        estimator.estimator.set_fit_request(sample_weight=False)
        found = cross_validate(
            estimator, X, y, cv=splits(y), scoring=scoring, params={"sample_weight": weight}
        )
        search = GridSearchCV(estimator, {}, cv=splits(y), scoring=scoring["weighted"]).fit(
            X, y, sample_weight=weight
        )
    for fold, (train, test) in enumerate(splits(y)):
        model = open_set().fit(X[train], y[train])
        plain = expected_scores(model, X[test], y[test])
        weighted = expected_scores(model, X[test], y[test], sample_weight=weight[test])
        assert found["test_plain"][fold] == plain["oscr"] != weighted["oscr"]
        assert found["test_weighted"][fold] == weighted["oscr"]
        in_search = search.cv_results_[f"split{fold}_test_score"]
        assert_array_equal(in_search, [weighted["oscr"]])
