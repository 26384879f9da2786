"""Tests of the answers of a fitted open-set classifier, against the rule in loops."""

from itertools import pairwise

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from open_set_problems import (
    FAR,
    GUARANTEES,
    MEANS,
    METHODS,
    Nearest,
    clouds,
    frozen,
    net,
    own_of,
    queries,
    reference_decision,
    reference_p_values,
    reference_sets,
)
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import BernoulliNB, GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from sk_center import CenterLossClassifier, OpenSetClassifier
from sk_center.metrics import oscr_scorer
from sk_center.scores import CenterDistance, KNeighbors

RATES = {"marginal": 0.1, "predicted": [0.05, 0.1, 0.2], "class": [0.05, 0.1, 0.2]}


def rates_of(guarantee):
    """Return the rates of a guarantee as the parameter, and one a class."""
    rates = RATES[guarantee]
    if guarantee == "marginal":
        return rates, np.full(3, rates)
    return dict(enumerate(rates)), np.array(rates)


@pytest.mark.parametrize("guarantee", GUARANTEES)
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("score", ["max_softmax", CenterDistance(centers=MEANS)])
def test_answers_are_those_of_the_rule(score, guarantee):
    """Check all methods against counts of calibration scores, one sample at a time."""
    X, y = clouds((120, 90, 60))
    rates, by_class = rates_of(guarantee)
    # Not so sure of itself that probabilities are one but for rounding, which are ties.
    estimator = frozen(LogisticRegression(C=0.1))
    model = OpenSetClassifier(
        estimator,
        conformity_score=score,
        guarantee=guarantee,
        false_rejection_rate=rates,
        random_state=0,
    ).fit(X, y)

    def scores_of(X):
        if score == "max_softmax":
            return estimator.predict_proba(X)
        return -np.linalg.norm(X[:, None] - MEANS, axis=2)

    new = np.concatenate([queries(1), queries(2)])
    given, predicted = scores_of(new), estimator.predict(new)
    calibration = scores_of(X), y, estimator.predict(X)
    p_known, rejected, index = reference_decision(
        guarantee, by_class, calibration, (given, predicted)
    )
    assert 0 < rejected.sum() < len(new)
    assert_array_equal(model.p_known(new), p_known)
    assert_array_equal(model.is_outlier(new), rejected)
    assert_array_equal(model.predict(new), np.where(rejected, -1, index))
    assert_allclose(model.score_samples(new), own_of(given, predicted), rtol=1e-14)
    p_values = reference_p_values(own_of(calibration[0], y), y, given)
    assert_array_equal(model.p_values(new), p_values)
    sets = p_values > by_class
    if guarantee != "class":
        probabilities, chosen = estimator.predict_proba(X), estimator.predict(X)
        known = own_of(calibration[0], chosen), probabilities, y, chosen
        others = estimator.predict_proba(new), predicted, rejected
        sets = reference_sets(guarantee, by_class, known, others)
        for error_rate in (0.02, 0.0):
            again = clone(model).set_params(error_rate=error_rate).fit(X, y)
            expected = reference_sets(guarantee, by_class, known, others, error_rate)
            assert_array_equal(again.predict_set(new), expected)
            assert (expected.sum(axis=1) > 1).any()
    sets[np.arange(len(new)), index] = True
    sets[rejected] = False
    assert_array_equal(model.predict_set(new), sets)
    decision = model.judge(new)
    assert_array_equal(decision.predicted, predicted)
    assert_array_equal(model.thresholds_, by_class)


ESTIMATORS = {
    "center loss": net(),
    "pipeline, center loss": make_pipeline(StandardScaler(), net()),
    "logistic": LogisticRegression(max_iter=1000),
    "forest": RandomForestClassifier(8, max_depth=4, random_state=0),
    "LDA": LinearDiscriminantAnalysis(),
    "only predict": Nearest(),
}


@pytest.mark.parametrize(
    ("name", "guarantee"),
    [
        *(("center loss", guarantee) for guarantee in GUARANTEES),
        ("pipeline, center loss", "marginal"),
        ("logistic", "predicted"),
        ("forest", "class"),
        ("LDA", "marginal"),
        ("only predict", "predicted"),
        ("only predict", "class"),
    ],
)
def test_methods_never_contradict_each_other(name, guarantee):
    """Check that every answer about a sample follows from every other one."""
    X, y = clouds((90, 80, 70))
    model = OpenSetClassifier(
        ESTIMATORS[name],
        guarantee=guarantee,
        false_rejection_rate=rates_of(guarantee)[0],
        cv=0.5,
        random_state=0,
    )
    assert model.fit(X, y) is model
    X = np.concatenate([queries(), X])
    labels, rejected = model.predict(X), model.is_outlier(X)
    assert 0 < rejected.sum() < len(X) / 2
    assert_array_equal(labels == -1, rejected)
    sets, p_known, p_values = model.predict_set(X), model.p_known(X), model.p_values(X)
    predicted = model.estimator_.predict(X)
    if guarantee == "class":
        assert_array_equal((p_values <= model.thresholds_).all(axis=1), rejected)
        assert_array_equal(p_known, p_values.max(axis=1))
    else:
        assert_array_equal(p_known <= model.thresholds_[predicted], rejected)
        assert_array_equal(labels[~rejected], predicted[~rejected])
        scores = model.score_samples(X)
        assert_array_equal(scores < model.score_thresholds_[predicted], rejected)
    assert_array_equal(~sets.any(axis=1), rejected)
    assert own_of(sets[~rejected], labels[~rejected]).all()
    assert_array_equal(model.select_outliers(FAR), model.select_outliers(FAR, fdr=0.1))
    decision = model.judge(X)
    for found, expected in (
        (decision.labels, labels),
        (decision.predicted, predicted),
        (decision.rejected, rejected),
        (decision.p_known, p_known),
    ):
        assert_array_equal(found, expected)
    for explanation, label, p in zip(model.explain(X[:9]), labels, p_known):
        assert (explanation.label, explanation.p_known) == (label, p)


class Counting(TransformerMixin, BaseEstimator):
    """A step that counts its calls, and the rows of them."""

    calls = 0

    def fit(self, X, y=None):
        """Learn nothing."""
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        """Count, and change nothing."""
        Counting.calls += 1
        return X


class CountingLogistic(LogisticRegression):
    """A classifier that counts the calls of ``predict`` and of its responses."""

    calls = ()

    def predict(self, X):
        """Count, and predict without another counted call."""
        CountingLogistic.calls += ("predict",)
        return self.classes_[self._decision(X).argmax(axis=1)]

    def decision_function(self, X):
        """Count, and decide."""
        CountingLogistic.calls += ("decision_function",)
        return self._decision(X)

    def predict_proba(self, X):
        """Count, and return probabilities."""
        CountingLogistic.calls += ("predict_proba",)
        e = np.exp(self._decision(X))
        return e / e.sum(axis=1, keepdims=True)

    def _decision(self, X):
        return X @ self.coef_.T + self.intercept_


class CountingRows(torch.nn.Linear):
    """A network that counts the rows that pass through it."""

    n_rows = 0

    def __init__(self):
        super().__init__(3, 4)

    def forward(self, X):
        """Count, and map."""
        CountingRows.n_rows += len(X)
        return super().forward(X)


CALLS = {
    **{
        name: (lambda model, X, name=name: getattr(model, name)(X))
        for name in (*METHODS, "judge", "select_outliers", "explain")
    },
    "scorer": lambda model, X: oscr_scorer(model, X, np.arange(len(X)) % 3 - 1),
}


@pytest.mark.filterwarnings("ignore:Samples far from all")
@pytest.mark.parametrize("guarantee", GUARANTEES)
@pytest.mark.parametrize("wrap", ["pipeline", "search", "frozen"])
@pytest.mark.parametrize("score", ["max_softmax", "max_logit", "mahalanobis"])
def test_one_call_preprocesses_and_predicts_once(score, wrap, guarantee):
    """Check around an estimator of others that no method asks it twice for the same."""
    X, y = clouds((90, 90, 90))
    estimator = make_pipeline(Counting(), CountingLogistic(max_iter=1000))
    if wrap == "search":
        estimator = GridSearchCV(estimator, {"countinglogistic__C": [1.0]}, cv=2)
    if wrap == "frozen":
        estimator = FrozenEstimator(estimator.fit(X, y))
    model = OpenSetClassifier(
        estimator, conformity_score=score, guarantee=guarantee, random_state=0, cv=0.5
    ).fit(X, y)
    response = {"max_softmax": ["predict_proba"], "max_logit": ["decision_function"]}
    for name, call in CALLS.items():
        Counting.calls, CountingLogistic.calls = 0, ()
        call(model, queries())
        assert Counting.calls == 1, name
        asked = response.get(score, [])
        if not asked and name in ("predict_set", "explain") and guarantee != "class":
            asked = ["predict_proba"]  # which tells the classes of a set apart
        assert sorted(CountingLogistic.calls) == sorted(["predict", *asked]), name


@pytest.mark.parametrize("guarantee", GUARANTEES)
@pytest.mark.parametrize("wrap", ["alone", "pipeline", "search", "frozen", "dataset"])
def test_one_call_is_one_pass_through_the_network(wrap, guarantee):
    """Check that every row goes through the network once, whatever is returned."""
    X, y = clouds((90, 90, 90))
    X, new = X.astype(np.float32), queries().astype(np.float32)
    estimator = CenterLossClassifier(CountingRows, max_epochs=2, random_state=0)
    if wrap == "pipeline":
        estimator = make_pipeline(Counting(), estimator)
    if wrap == "search":
        estimator = GridSearchCV(estimator, {"lambda_center": [0.1]}, cv=2)
    if wrap == "frozen":
        estimator = FrozenEstimator(estimator.fit(X, y))
    given = new
    if wrap == "dataset":
        estimator = FrozenEstimator(estimator.fit(X, y))
        X, given = (
            torch.utils.data.TensorDataset(torch.from_numpy(each)) for each in (X, new)
        )
    model = OpenSetClassifier(estimator, guarantee=guarantee, random_state=0, cv=0.5)
    model.fit(X, y)
    for name, call in CALLS.items():
        if wrap == "dataset" and name == "scorer":
            continue
        Counting.calls = CountingRows.n_rows = 0
        call(model, given)
        assert CountingRows.n_rows == len(new), name
        assert Counting.calls == (wrap == "pipeline"), name


def one_hot(y, rng, n_columns=6):
    """Return one-hot rows, mostly the category of the class."""
    category = np.where(rng.random(len(y)) < 0.7, y, rng.integers(n_columns, size=len(y)))
    return np.eye(n_columns)[category]


def binary(y, rng):
    """Return rows of zeros and ones, the more ones in the columns of the class."""
    means = np.full((3, 9), 0.3) + 0.5 * np.kron(np.eye(3), np.ones(3))
    return (rng.random((len(y), 9)) < means[y]).astype(float)


def duplicated(y, rng):
    """Return few different samples of each class, each many times."""
    pool = np.random.default_rng(6).normal(size=(3, 7, 4)) + 2 * np.arange(3)[:, None, None]
    return pool[y, rng.integers(7, size=len(y))]


TIES = {"one-hot": one_hot, "binary": binary, "duplicated": duplicated}
TIED_MODELS = {
    "logistic": (LogisticRegression(max_iter=500), "auto"),
    "softmax": (LogisticRegression(max_iter=500), "max_softmax"),
    "knn": (BernoulliNB(), KNeighbors(1)),
    "tree": (DecisionTreeClassifier(max_depth=3, random_state=0), "max_softmax"),
    "center loss": (
        make_pipeline(
            StandardScaler(),
            CenterLossClassifier(hidden_layer_sizes=(32, 8), max_epochs=4, random_state=0),
        ),
        "auto",
    ),
    "class covariance": (GaussianNB(), "mahalanobis"),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("kind", "name", "guarantee"),
    [
        (kind, name, GUARANTEES[(i + k) % 3])  # every pair of two of them
        for i, name in enumerate(TIED_MODELS)
        for k, kind in enumerate(TIES)
    ],
)
def test_ties_get_the_same_answer_in_any_batch(kind, name, guarantee, tmp_path):
    """Check rows alone, in batches of 7, in another order and after a round trip."""
    rng = np.random.default_rng(0)
    y = rng.permutation(np.repeat(np.arange(3), 200))
    X = TIES[kind](y, rng)
    estimator, score = TIED_MODELS[name]
    model = OpenSetClassifier(
        estimator, conformity_score=score, guarantee=guarantee, cv=0.5, random_state=0
    ).fit(X, y)
    new = np.concatenate([TIES[kind](np.repeat(np.arange(3), 50), rng), X[:50]])
    p_known, labels = model.p_known(new), model.predict(new)
    batches = [0, 1, 3, *range(10, len(new), 7), len(new)]
    parts = [model.judge(new[start:stop]) for start, stop in pairwise(batches)]
    assert_array_equal(np.concatenate([part.labels for part in parts]), labels)
    assert_array_equal(np.concatenate([part.p_known for part in parts]), p_known)
    alone = [model.judge(new[i : i + 1]) for i in range(60)]
    assert_array_equal([part.p_known[0] for part in alone], p_known[:60])
    assert_array_equal([part.labels[0] for part in alone], labels[:60])
    order = rng.permutation(len(new))
    assert_array_equal(model.p_known(new[order]), p_known[order])
    joblib.dump(model, tmp_path / "model")
    assert_array_equal(joblib.load(tmp_path / "model").p_known(new), p_known)
    # Equal rows are equal.
    _, first, inverse = np.unique(new, axis=0, return_index=True, return_inverse=True)
    assert_array_equal(p_known[first][inverse.ravel()], p_known)
    assert len(first) < len(new)


@pytest.mark.filterwarnings("ignore:Only [0-9.]+ %")
def test_strings_through_an_encoder_are_ties_too():
    """Check one decision a category for a row alone and in a batch."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=600)
    words = np.array(["red", "green", "blue", "grey"])
    X = words[np.where(rng.random(600) < 0.8, y, rng.integers(4, size=600))][:, None]
    encoder = OneHotEncoder(sparse_output=False)
    model = OpenSetClassifier(
        make_pipeline(encoder, LogisticRegression()),
        conformity_score="max_softmax",
        false_rejection_rate=0.3,
        random_state=0,
    ).fit(X, y)
    alone = [model.p_known(x[None])[0] for x in X[:40]]
    assert_array_equal(model.p_known(X)[:40], alone)


@pytest.mark.parametrize("name", ["forest", "pipeline, center loss"])
def test_dump_and_load(name, tmp_path):
    """Check that a model answers the same after a round trip to disk."""
    model = OpenSetClassifier(ESTIMATORS[name], cv=0.5, random_state=0).fit(*clouds())
    joblib.dump(model, tmp_path / "model.joblib")
    loaded = joblib.load(tmp_path / "model.joblib")
    for method in METHODS:
        expected = getattr(model, method)(queries())
        assert_array_equal(getattr(loaded, method)(queries()), expected)


@pytest.mark.filterwarnings(
    "ignore:Samples far from all|These( predicted)? classes have too few"
)
@pytest.mark.parametrize("guarantee", GUARANTEES)
def test_classes_in_blocks_are_answered_as_at_once(guarantee, monkeypatch):
    """Check that what is scored block by block is joined in order."""
    X, y = clouds()
    model = OpenSetClassifier(
        LogisticRegression(),
        conformity_score="max_softmax",
        guarantee=guarantee,
        cv=0.5,
        random_state=0,
    ).fit(X, y)
    expected = [getattr(model, method)(queries()) for method in METHODS]
    texts = [repr(e) for e in model.explain(queries(), X, y)]
    monkeypatch.setattr("sk_center.open_set.scoring.BLOCK_NUMBERS", 24)
    for method, before in zip(METHODS, expected):
        assert_array_equal(getattr(model, method)(queries()), before)
    assert [repr(e) for e in model.explain(queries(), X, y)] == texts


def test_rate_of_zero_is_the_estimator():
    """Check that a rate of 0 never rejects and takes no calibration samples."""
    X, y = clouds((8, 3, 1))
    y = np.array(["a", "b", "c"])[y]
    for guarantee in GUARANTEES:
        for confidence in (None, 0.9):
            model = OpenSetClassifier(
                LogisticRegression(),
                false_rejection_rate=0,
                guarantee=guarantee,
                confidence=confidence,
                cv=0.2,
                random_state=0,
            ).fit(X, y)
            predicted = model.predict(queries())
            assert_array_equal(predicted, model.estimator_.predict(queries()))
            assert not model.is_outlier(queries()).any()
            assert model.predict_set(queries()).any(axis=1).all()
            assert_array_equal(model.thresholds_, 0)
            assert_array_equal(model.score_thresholds_, -np.inf)


def test_selected_outliers_are_those_of_benjamini_and_hochberg():
    """Check the selection against the procedure, step by step on p_known."""
    X, y = clouds((99, 99, 99))
    for guarantee in GUARANTEES:
        model = OpenSetClassifier(
            frozen(GaussianNB()),
            conformity_score="mahalanobis",
            guarantee=guarantee,
            random_state=0,
        ).fit(X, y)
        p, seen = model.p_known(queries()), set()
        for fdr in (0.001, 0.051, 0.101, 0.301, 0.901):
            n = len(p)
            steps = [k for k in range(1, n + 1) if np.sort(p)[k - 1] <= fdr * k / n]
            cut = np.sort(p)[max(steps) - 1] if steps else -1.0
            selected = model.select_outliers(queries(), fdr=fdr)
            assert_array_equal(selected, p <= cut)
            seen.add(int(selected.sum()))
        assert len(seen) > 2
    model = OpenSetClassifier(frozen(GaussianNB()), random_state=0).fit(X, y)
    with pytest.warns(UserWarning, match=r"150 .* fewer than 67 outsiders among 1 samples"):
        assert not model.select_outliers(np.full((1, 3), 99.0), fdr=1e-4).any()
    for fdr in (0, 1, -0.1, "low"):
        with pytest.raises(ValueError, match=f"fdr must be in .0, 1.; got {fdr!r}"):
            model.select_outliers(queries(), fdr=fdr)


def test_number_of_features_is_checked():
    """Check that samples of another number of features are an error."""
    model = OpenSetClassifier(GaussianNB(), cv=0.5, random_state=0).fit(*clouds())
    for method in METHODS:
        with pytest.raises(ValueError, match="2 features"):
            getattr(model, method)(queries()[:, :2])


@pytest.mark.parametrize("method", [*METHODS, "judge", "select_outliers", "explain"])
def test_not_fitted(method):
    """Check that methods of a model that is not fitted say so."""
    model = OpenSetClassifier(LinearDiscriminantAnalysis(), random_state=0)
    with pytest.raises(NotFittedError, match="OpenSetClassifier"):
        getattr(model, method)(queries())


def test_samples_at_infinity_are_rejected():
    """Check that numbers beyond what a network can hold are outsiders, not errors."""
    X, y = clouds()
    model = OpenSetClassifier(net(), cv=0.5, random_state=0).fit(X, y)
    assert model.is_outlier(np.full((2, 3), 1e30)).all()
    assert clone(model).fit(X, y).p_known(np.full((1, 3), 1e30))[0] <= 0.05


class Stubborn(ClassifierMixin, BaseEstimator):
    """A classifier that always predicts the first class."""

    def fit(self, X, y):
        """Learn the classes."""
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        """Return the first class."""
        return np.full(len(X), self.classes_[0])


@pytest.mark.filterwarnings("ignore:Hardly any outsider")
def test_class_that_is_never_predicted():
    """Check that no predicted class without calibration samples breaks a guarantee."""
    X, y = clouds()
    for guarantee in ("marginal", "class"):
        model = OpenSetClassifier(
            Stubborn(),
            conformity_score="mahalanobis",
            guarantee=guarantee,
            cv=0.5,
            random_state=0,
        ).fit(X, y)
        assert model.is_outlier(FAR).all()
    model.set_params(guarantee="predicted")
    with pytest.warns(UserWarning, match=r"predicted classes have too few.*1, 2"):
        model.fit(X, y)
    assert model.is_outlier(FAR).all()


@pytest.mark.parametrize("method", ["predict", "is_outlier", "p_values", "explain"])
def test_no_samples(method):
    """Check that an empty batch is named, as where nothing was rejected."""
    X, y = clouds()
    model = OpenSetClassifier(GaussianNB(), cv=0.5, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="X must hold at least one sample; got 0"):
        getattr(model, method)(X[:0])
