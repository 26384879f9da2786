"""Tests of the metrics of decisions, of openness and of the scorers."""

import pickle

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import accuracy_score, f1_score, recall_score
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC

from sk_center import OpenSetClassifier, metrics
from sk_center.metrics import (
    aupr_score,
    auroc_score,
    ccr_at_fpr,
    detection_error,
    fpr_at_tpr,
    make_open_set_scorer,
    normalized_accuracy_score,
    open_set_f1_score,
    openness,
    oscr_score,
)

LABELS = [0, 1, 2]
REJECT = {"labels": LABELS, "outlier_label": -1}
NAMES = np.array(["cat", "dog", "eel", "fox", "gnu"])
CLOSE = {"rtol": 1e-12, "atol": 1e-14}


def decisions(seed, n_samples=60):
    """Return true labels 0..4 and predictions -1..2, more right than wrong."""
    rng = np.random.default_rng(seed)
    y_true = rng.integers(5, size=n_samples)
    right = rng.random(n_samples) < 0.6
    best = np.where(y_true < 3, y_true, -1)
    return y_true, np.where(right, best, rng.integers(-1, 3, size=n_samples))


def reference_f1(y_true, y_pred, weight):
    """Return the mean over the K + 1 classes of F1, from precision and recall."""
    f1s = []
    for label in (*LABELS, -1):
        is_true = y_true == label if label in LABELS else ~np.isin(y_true, LABELS)
        is_predicted = y_pred == label
        hits = weight[is_true & is_predicted].sum()
        if hits == 0:
            f1s.append(0.0)
            continue
        precision, recall = hits / weight[is_predicted].sum(), hits / weight[is_true].sum()
        f1s.append(2 * precision * recall / (precision + recall))
    return np.mean(f1s)


@pytest.fixture(params=[open_set_f1_score, normalized_accuracy_score])
def metric(request):
    """Return each metric of decisions in turn."""
    return request.param


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_f1_counts_the_reject_class(seed, weighted):
    """Check F1 against precision and recall by hand, and against scikit-learn."""
    y_true, y_pred = decisions(seed)
    weight = np.random.default_rng(seed).uniform(0.1, 3, 60) if weighted else np.ones(60)
    given = weight if weighted else None
    f1 = open_set_f1_score(y_true, y_pred, sample_weight=given, **REJECT)
    assert_allclose(f1, reference_f1(y_true, y_pred, weight), **CLOSE)
    mapped = np.where(y_true < 3, y_true, -1)
    expected = f1_score(mapped, y_pred, average="macro", sample_weight=given)
    assert_allclose(f1, expected, **CLOSE)


def test_f1_by_hand():
    """Check F1 of a case that fits on paper."""
    # cat: 1 of 2 found, never wrongly; dog: found, and once wrongly; reject: 1 of 2
    # found, and once wrongly. 2/3, 2/3, 1/2.
    f1 = open_set_f1_score(
        ["cat", "cat", "dog", "fox", "gnu"],
        ["cat", "outsider", "dog", "dog", "outsider"],
        labels=["cat", "dog"],
        outlier_label="outsider",
    )
    assert_allclose(f1, (2 / 3 + 2 / 3 + 1 / 2) / 3, **CLOSE)


def test_f1_leaves_out_what_nobody_names():
    """Check that a class without true and predicted samples is no zero in the mean."""
    y_true, y_pred = decisions(0)
    expected = open_set_f1_score(y_true, y_pred, **REJECT)
    more = {"labels": [*LABELS, 11], "outlier_label": -1}
    assert open_set_f1_score(y_true, y_pred, **more) == expected
    # A class that is given wrongly is a zero.
    y_pred[np.flatnonzero(y_pred == -1)[0]] = 11
    assert open_set_f1_score(y_true, y_pred, **more) < expected * 5 / 6


@pytest.mark.parametrize("lambda_r", [0.01, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_normalized_accuracy_weighs_two_accuracies(seed, weighted, lambda_r):
    """Check against scikit-learn's accuracies on each side."""
    y_true, y_pred = decisions(seed)
    weight = np.random.default_rng(seed).uniform(0.1, 3, 60) if weighted else np.ones(60)
    known = y_true < 3
    of_known = accuracy_score(y_true[known], y_pred[known], sample_weight=weight[known])
    of_unknown = recall_score(~known, y_pred == -1, sample_weight=weight)
    actual = normalized_accuracy_score(
        y_true, y_pred, lambda_r=lambda_r, sample_weight=weight, **REJECT
    )
    expected = lambda_r * of_known + (1 - lambda_r) * of_unknown
    assert_allclose(actual, expected, **CLOSE)


def test_normalized_accuracy_by_hand():
    """Check a case that fits on paper, where both sides count half."""
    # Known: 2 of 4, a rejection is no hit. Unknown: 1 of 1.
    y_true, y_pred = [0, 1, 2, 2, 9], [0, -1, 2, 1, -1]
    assert normalized_accuracy_score(y_true, y_pred, **REJECT) == 0.75


def test_extreme_decisions(metric):
    """Check perfect decisions, rejecting all and accepting all."""
    y_true = np.array([0, 1, 2, 3, 4, 3])
    assert metric(y_true, [0, 1, 2, -1, -1, -1], **REJECT) == 1
    assert metric(y_true, [1, 2, 0, 0, 0, 0], **REJECT) == 0
    rejected = metric(y_true, np.full(6, -1), **REJECT)
    f1 = open_set_f1_score is metric
    assert_allclose(rejected, (2 / 3) / 4 if f1 else 0.5, **CLOSE)


def test_integer_weights_repeat_samples(metric):
    """Check that a weight of k is k samples, a weight of 0 none, and that units cancel."""
    y_true, y_pred = decisions(3)
    weight = np.random.default_rng(3).integers(4, size=60)
    assert (weight == 0).any()
    weighted = metric(y_true, y_pred, sample_weight=weight, **REJECT)
    repeated = metric(np.repeat(y_true, weight), np.repeat(y_pred, weight), **REJECT)
    assert_allclose(weighted, repeated, **CLOSE)
    scaled = metric(y_true, y_pred, sample_weight=weight / 100, **REJECT)
    assert_allclose(scaled, weighted, **CLOSE)


def test_zero_weights_drop_a_class(metric):
    """Check that a class of zero weight does as one that does not occur."""
    y_true, y_pred = decisions(4)
    y_pred[y_pred == 2] = 1
    expected = metric(y_true[y_true != 2], y_pred[y_true != 2], **REJECT)
    actual = metric(y_true, y_pred, sample_weight=y_true != 2, **REJECT)
    assert_allclose(actual, expected, **CLOSE)


@pytest.mark.parametrize("dtype", [None, object])
def test_string_labels(metric, dtype):
    """Check that names do as numbers do, in any order and with a longer reject label."""
    y_true, y_pred = decisions(5)
    names = np.append(NAMES, "outsider")
    names = names.astype(dtype) if dtype else names
    actual = metric(
        names[y_true],
        names[y_pred],
        labels=names[[2, 0, 1]],
        outlier_label="outsider",
    )
    assert actual == metric(y_true, y_pred, **REJECT)


def test_boolean_classes(metric):
    """Check that classes may be booleans, with what predict returns of them."""
    actual = metric([0, 1, 5, 6], [0, 1, -1, 1], labels=[False, True], outlier_label=-1)
    expected = metric([0, 1, 5, 6], [0, 1, -1, 1], labels=[0, 1], outlier_label=-1)
    assert actual == expected


def test_lists_give_plain_floats(metric):
    """Check that lists do as arrays do, and columns, and that arguments stay."""
    y_true, y_pred = decisions(6)
    copies = y_true.copy(), y_pred.copy()
    expected = metric(y_true, y_pred, **REJECT)
    assert type(expected) is float
    assert metric(y_true.tolist(), y_pred.tolist(), **REJECT) == expected
    assert metric(y_true[:, None], y_pred[:, None], **REJECT) == expected
    assert_array_equal((y_true, y_pred), copies)


@pytest.mark.parametrize(
    ("y_true", "y_pred", "params", "message"),
    [
        ([3, 4], [0, 1], {}, "no known sample"),
        ([0, 1], [0, 1], {}, "no unknown sample"),
        ([0, 3], [0, 3], {}, r"y_pred must hold labels, \[0, 1, 2\], .* -1; got \[3\]"),
        ([0, 3], [0, -1, 1], {}, "inconsistent numbers of samples"),
        ([0, 3], [[0, 1], [1, 0]], {}, "1d array"),
        ([0, 3], [0, -1], {"outlier_label": 2}, "outlier_label must not be .* got 2"),
        ([0, 3], [0, -1], {"sample_weight": [1, 0]}, "no unknown sample"),
        ([0, 3], [0, -1], {"sample_weight": [2, -1]}, "(?i)negative.*sample_weight"),
        ([0, 3], [0, -1], {"sample_weight": [1, np.nan]}, "sample_weight.*NaN"),
        ([0, 3], [0, -1], {"sample_weight": [1]}, "inconsistent numbers of samples"),
    ],
)
def test_wrong_decisions_raise(metric, y_true, y_pred, params, message):
    """Check that errors name the parameter, what it got and what it takes."""
    with pytest.raises(ValueError, match=message):
        metric(y_true, y_pred, **{**REJECT, **params})


def test_predictions_of_another_kind_raise(metric):
    """Check that numbers among names are no rejections."""
    with pytest.raises(ValueError, match=r"y_pred must hold labels.*'out'; got \[-1, 0\]"):
        metric(["a", "x"], [0, -1], labels=["a", "b"], outlier_label="out")


@pytest.mark.parametrize("lambda_r", [0, 1, -0.5, 2, np.nan])
def test_lambda_r_out_of_range_raises(lambda_r):
    """Check that the error names lambda_r, what it takes and what it got."""
    message = rf"lambda_r must be in \(0, 1\); got {lambda_r!r}\."
    with pytest.raises(ValueError, match=message):
        normalized_accuracy_score([0, 3], [0, -1], lambda_r=lambda_r, **REJECT)


@pytest.mark.parametrize(
    ("n_known", "n_test", "expected"),
    # As the literature has it of MNIST, CIFAR+10, CIFAR+50 and TinyImageNet.
    [(6, 10, 0.1340), (4, 14, 0.3333), (4, 54, 0.6286), (20, 200, 0.5736), (7, 7, 0)],
)
def test_openness_of_the_literature(n_known, n_test, expected):
    """Check the openness of the usual benchmarks, to four digits."""
    assert_allclose(openness(n_known, n_test), expected, atol=5e-5)
    assert type(openness(np.int64(n_known), np.int32(n_test))) is float


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((0, 3), "n_known_classes must be an integer of at least 1; got 0"),
        ((2.0, 3), r"n_known_classes must be an integer of at least 1; got 2\.0"),
        (([0, 1], 3), r"n_known_classes must be an integer .* got \[0, 1\]"),
        ((True, 3), "n_known_classes must be an integer .* got True"),
        ((3, 2), "n_test_classes must be an integer of at least n_known_classes=3; got 2"),
        ((3, "4"), "n_test_classes must be an integer .* got '4'"),
    ],
)
def test_wrong_numbers_of_classes_raise(numbers, message):
    """Check that errors name the number, what it got and what it takes."""
    with pytest.raises(ValueError, match=message):
        openness(*numbers)


SCORERS = {
    name: getattr(metrics, f"{name}_scorer")
    for name in (
        "auroc",
        "aupr_in",
        "aupr_out",
        "neg_fpr_at_tpr",
        "neg_detection_error",
        "oscr",
        "ccr_at_fpr",
        "open_set_f1",
        "normalized_accuracy",
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
        "aupr_in": aupr_score(y, score, **known),
        "aupr_out": aupr_score(y, score, positive="unknown", **known),
        "neg_fpr_at_tpr": -fpr_at_tpr(y, score, **known),
        "neg_detection_error": -detection_error(y, score, **known),
        "oscr": oscr_score(y, closed, score, **known),
        "ccr_at_fpr": ccr_at_fpr(y, closed, score, **known),
        "open_set_f1": open_set_f1_score(*decided, **reject),
        "normalized_accuracy": normalized_accuracy_score(*decided, **reject),
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


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("names", [False, True])
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
    """Check that OSCR and CCR at FPR are those of no rejection, at any rate of it."""
    X, y = clouds()
    low, high = (
        open_set(false_rejection_rate=rate).fit(X[y < 3], y[y < 3]) for rate in (0.1, 0.6)
    )
    assert (low.predict(X) != high.predict(X)).any()
    for name in ("oscr", "ccr_at_fpr"):
        assert SCORERS[name](low, X, y) == SCORERS[name](high, X, y)
    assert SCORERS["open_set_f1"](low, X, y) != SCORERS["open_set_f1"](high, X, y)


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


def test_scorers_share_responses():
    """Check that several scorers ask the classifier for each response once."""
    asked = []

    class Counted(OpenSetClassifier):
        def score_samples(self, X):
            asked.append("score_samples")
            return super().score_samples(X)

        def predict(self, X):
            asked.append("predict")
            return super().predict(X)

    X, y = clouds()
    model = Counted(GaussianNB(), conformity_score="mahalanobis", cv=0.5)
    cross_validate(model, X, y, cv=splits(y)[:1], scoring=SCORERS)
    assert sorted(asked) == ["predict", "score_samples"]


def test_nested_search():
    """Check that a search may be cross-validated by a scorer."""
    X, y = clouds()
    inner = GridSearchCV(open_set(), {"false_rejection_rate": [0.1, 0.3]}, cv=2)
    found = cross_validate(inner, X, y, cv=splits(y), scoring=SCORERS)
    assert all(np.isfinite(found[f"test_{name}"]).all() for name in SCORERS)


def test_fold_without_unknown_samples():
    """Check that a fold with nothing to reject fails with the metric's message."""
    X, y = clouds()
    params = {"cv": 2, "scoring": metrics.oscr_scorer}
    with pytest.raises(ValueError, match="no unknown sample"):
        cross_validate(open_set(), X, y, error_score="raise", **params)
    with pytest.warns(UserWarning, match="Scoring failed"):
        found = cross_validate(open_set(), X, y, error_score=-1.0, **params)
    assert_array_equal(found["test_score"], [-1, -1])


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
    assert repr(metrics.aupr_out_scorer) == (
        "make_open_set_scorer(aupr_score, positive='unknown')"
    )
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


@pytest.mark.parametrize("name", ["oscr", "ccr_at_fpr", "open_set_f1"])
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
