"""Tests of OpenSetClassifier, against brute force on what its estimator returns."""

import re
import threading
import warnings
from math import ceil

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist
from scipy.stats import binom, chi2
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.covariance import LedoitWolf
from sklearn.datasets import load_digits, load_iris, make_blobs
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
)
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    PredefinedSplit,
    ShuffleSplit,
    StratifiedKFold,
    cross_val_predict,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import get_tags

from sk_center import CenterLossClassifier, LeaveClassesOut, OpenSetClassifier
from sk_center.scores import (
    BaseScore,
    CenterDistance,
    Combined,
    Energy,
    InputDensity,
    Mahalanobis,
    MaxSoftmax,
)

# A warning that a test does not expect fails it, also where it is blamed on the test.
# Clouds that overlap get probabilities with which no sample can be rejected; that this
# warns has a test of its own.
NEVER = "No sample will ever be rejected. true members"  # a colon would end the filter
pytestmark = [
    pytest.mark.filterwarnings("error::UserWarning"),
    pytest.mark.filterwarnings(f"ignore:{NEVER}"),
]

# Three clouds that overlap, of different widths.
MEANS = np.array([[0.0, 0.0, 0.0], [3.0, 0.0, 0.0], [0.0, 2.5, 1.0]])
WIDTHS = np.array([0.5, 1.0, 1.5])
# Neither round nor alike along the axes, so that scores differ in what they accept.
AXES = np.array([0.5, 1.0, 1.5])
FEW = "Classes with too few calibration samples"
METHODS = ("predict", "p_values", "predict_set", "is_outlier", "score_samples")
SCORES = {
    "center_distance": "center_distance",
    "mahalanobis": "mahalanobis",
    "max_softmax": "max_softmax",
    "combined": ["center_distance", "mahalanobis"],
}
# float32 features, and distances in float64 that are rounded to float32.
CLOSE = {"rtol": 2e-6, "atol": 1e-6}


def sample(y, rng):
    """Return samples of the classes y from the three clouds."""
    return MEANS[y] + rng.normal(size=(len(y), 3)) * WIDTHS[y][:, None] * AXES


def clouds(sizes=(60, 50, 40), seed=0):
    """Return samples of the three clouds, shuffled, and their classes."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    return sample(y, rng), y


def queries(seed=1):
    """Return samples in, between and far from the three clouds."""
    rng = np.random.default_rng(seed)
    X = sample(np.repeat(np.arange(3), 20), rng)
    return np.concatenate([X, rng.uniform(-6, 8, size=(60, 3)), np.full((1, 3), 50.0)])


def reference_p_values(own, y, scores, groups=(0, 1, 2)):
    """Return (1 + #{scores of members <= s}) / (n + 1), one sample at a time."""
    groups = np.asarray(groups)
    p_values = np.empty(scores.shape)
    for k in range(scores.shape[1]):
        members = own[groups[y] == groups[k]]
        for i, s in enumerate(scores[:, k]):
            p_values[i, k] = (1 + np.count_nonzero(members <= s)) / (len(members) + 1)
    return p_values


def reference_scores(name, X_train, y_train, X):
    """Return the scores of X for each class, from the formulas."""
    if name == "max_softmax":
        return GaussianNB().fit(X_train, y_train).predict_proba(X)
    means = np.array([X_train[y_train == k].mean(axis=0) for k in np.unique(y_train)])
    away = X[:, None] - means
    if name == "center_distance":
        return -np.sqrt((away**2).sum(axis=2))
    if name == "mahalanobis":
        deviations = X_train - means[y_train]
        covariance = LedoitWolf(assume_centered=True).fit(deviations).covariance_
        precision = np.linalg.inv(covariance)
        return -np.sqrt(np.einsum("nki,ij,nkj->nk", away, precision, away))
    scaled = []
    for part in ("center_distance", "mahalanobis"):
        trained = reference_scores(part, X_train, y_train, X_train)
        trained = trained[np.arange(len(y_train)), y_train]
        median, low = np.median(trained), np.quantile(trained, 0.05)
        scores = reference_scores(part, X_train, y_train, X)
        scaled.append((scores - median) / (median - low))
    return np.minimum(*scaled)


def own_of(scores, y):
    """Return the score of each sample for its own class."""
    return scores[np.arange(len(y)), y]


def reference_predict(model, X, ranking):
    """Return what ``predict`` must return, by the rule, one sample at a time."""
    p_values, labels = model.p_values(X), list(model.classes_)
    predicted = []
    for p, choice, ranks in zip(p_values, model.estimator_.predict(X), ranking):
        accepted = [k for k in range(len(labels)) if p[k] > model.thresholds_[k]]
        if not accepted:
            predicted.append(model.outlier_label_)
        elif labels.index(choice) in accepted:
            predicted.append(choice)
        else:
            predicted.append(labels[max(accepted, key=lambda k: ranks[k])])
    return predicted


def rows(X):
    """Return the samples as a set, to compare which ones they are."""
    return {tuple(x) for x in np.asarray(X).tolist()}


def is_among(X, others):
    """Return which samples are among others."""
    others = rows(others)
    return np.array([tuple(x) in others for x in X.tolist()])


def net(**params):
    """Return a small center-loss classifier that trains in a moment."""
    params = {"max_epochs": 8, "lr": 0.01, "random_state": 0, **params}
    return CenterLossClassifier(hidden_layer_sizes=(16, 4), **params)


class Recorder(GaussianNB):
    """A classifier that keeps what ``fit`` was given."""

    def fit(self, X, y, sample_weight=None, note=None):
        self.given_ = {"X": X, "y": y, "sample_weight": sample_weight, "note": note}
        return super().fit(X, y, sample_weight)


class Nearest(ClassifierMixin, BaseEstimator):
    """A classifier by the nearest class mean that has nothing but ``predict``."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.means_ = np.array([X[y == label].mean(axis=0) for label in self.classes_])
        return self

    def predict(self, X):
        away = ((X[:, None] - self.means_) ** 2).sum(axis=2)
        return self.classes_[away.argmin(axis=1)]


class Moody(GaussianNB):
    """A classifier that says of itself that two fits differ."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.non_deterministic = True
        return tags


class CityBlock(BaseScore):
    """A score of our own: minus the city-block distance; keeps what it learnt from."""

    def fit(self, X, y):
        self.given_ = X, y
        self.classes_ = np.unique(y)
        self.means_ = np.array([X[y == k].mean(axis=0) for k in self.classes_])
        return self

    def score_classes(self, X):
        return -np.abs(X[:, None] - self.means_).sum(axis=2)


class LearntSoftmax(CityBlock):
    """The same among probabilities."""

    consumes = "probabilities"


ESTIMATORS = {
    "center loss": net(),
    "logistic regression": LogisticRegression(max_iter=1000),
    "random forest": RandomForestClassifier(8, max_depth=4, random_state=0),
    "LDA": LinearDiscriminantAnalysis(),
    "decision tree": DecisionTreeClassifier(max_depth=3, random_state=0),
    "LinearSVC": LinearSVC(random_state=0),
    "only predict": Nearest(),
    "pipeline, center loss": make_pipeline(StandardScaler(), net()),
    "pipeline, logistic": make_pipeline(StandardScaler(), LogisticRegression()),
    "pipeline, forest": make_pipeline(
        StandardScaler(), RandomForestClassifier(8, max_depth=4, random_state=0)
    ),
    "pipeline, LinearSVC": make_pipeline(StandardScaler(), LinearSVC(random_state=0)),
}
FEATURES_AND_LOGITS = Combined(
    [Mahalanobis(), Energy(), InputDensity()], how="sum", n_inputs=3
)
AUTO = dict.fromkeys(ESTIMATORS, "input_density") | dict.fromkeys(
    ["center loss", "LDA", "pipeline, center loss"], FEATURES_AND_LOGITS
)


def frozen(estimator, seed=7):
    """Return the estimator, fitted on samples of its own and frozen."""
    return FrozenEstimator(clone(estimator).fit(*clouds((40, 40, 40), seed)))


def ranking_of(model, X):
    """Return what the estimator ranks the classes by: anything that orders them."""
    for method in ("predict_proba", "decision_function"):
        if hasattr(model.estimator_, method):
            return getattr(model.estimator_, method)(X)
    return model.p_values(X)


@pytest.fixture(autouse=True)
def same_in_every_run():
    """Seed what a model without a random_state draws from."""
    np.random.seed(0)  # noqa: NPY002


@pytest.mark.parametrize("freeze", [False, True], ids=["cloned", "frozen"])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_methods_follow_from_p_values(name, freeze):
    """Check around every kind of estimator that all methods tell the same story."""
    estimator = frozen(ESTIMATORS[name]) if freeze else ESTIMATORS[name]
    X, y = clouds()
    model = OpenSetClassifier(
        estimator, false_rejection_rate={0: 0.05, 1: 0.1, 2: 0.2}, cv=0.5, random_state=0
    )
    assert model.fit(X, y) is model
    assert_array_equal(model.classes_, [0, 1, 2])
    assert_array_equal(model.thresholds_, [0.05, 0.1, 0.2])
    assert model.outlier_label_ == -1
    X = queries()
    p_values = model.p_values(X)
    assert p_values.shape == (len(X), 3)
    assert p_values.min() > 0
    assert p_values.max() <= 1
    accepted = model.predict_set(X)
    assert accepted.dtype == bool
    assert_array_equal(accepted, p_values > [0.05, 0.1, 0.2])
    outlier = model.is_outlier(X)
    assert_array_equal(outlier, [not any(row) for row in accepted])
    assert outlier.sum() < len(X)
    assert outlier.any()
    predicted = model.predict(X)
    assert_array_equal(predicted == -1, outlier)
    assert_array_equal(predicted, reference_predict(model, X, ranking_of(model, X)))
    assert model.score_samples(X).shape == (len(X),)


@pytest.mark.parametrize("freeze", [False, True], ids=["cloned", "frozen"])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_auto_score(name, freeze):
    """Check that "auto" is the documented score for what the estimator offers."""
    estimator = frozen(ESTIMATORS[name]) if freeze else ESTIMATORS[name]
    X, y = clouds()

    def p_values(conformity_score):
        model = OpenSetClassifier(
            estimator, conformity_score=conformity_score, cv=0.5, random_state=0
        )
        return model.fit(X, y).p_values(queries())

    found, expected = p_values("auto"), AUTO[name]
    if freeze and "center loss" in name:  # whose centers are no means of this data
        inner = estimator.estimator[-1] if "pipeline" in name else estimator.estimator
        parts = [Mahalanobis(centers=inner.centers_), Energy(), InputDensity()]
        expected = Combined(parts, how="sum", n_inputs=3)
    assert_array_equal(found, p_values(expected))
    # Else the equality above would show nothing.
    assert not np.array_equal(found, p_values("mahalanobis"))


@pytest.mark.parametrize(
    ("shape", "repeats", "has_density"),
    [((100,), 1, True), ((101,), 1, False), ((1, 5, 5), 1, False), ((4,), 34, False)],
)
def test_auto_score_of_many_inputs(shape, repeats, has_density):
    """Check that density is for tables of at most 100 columns and 100 classes."""
    rng = np.random.default_rng(0)
    y = np.tile(np.arange(3 * repeats), 12)
    X = rng.normal(size=(len(y), *shape)) + y.reshape(-1, *[1] * len(shape))
    model = OpenSetClassifier(net(max_epochs=1), cv=0.5, false_rejection_rate=0.2).fit(X, y)
    assert ("inputs" in model.score_.consumes) == has_density
    assert model.score_.how == "sum"
    assert len(model.score_.scores) == 2 + has_density


def test_auto_score_without_a_table():
    """Check what is left of it where inputs are too many for a density, or words."""
    rng = np.random.default_rng(0)
    y = np.tile([0, 1, 2], 40)
    wide = rng.normal(size=(len(y), 101)) + y[:, None]
    words = pd.DataFrame({"number": wide[:, 0], "word": pd.Categorical(list("abc" * 40))})
    distances = ["center_distance", "mahalanobis"]
    for estimator, X, expected in (
        (GaussianNB(), wide, "max_softmax"),
        (Nearest(), wide, distances),
        (HistGradientBoostingClassifier(max_iter=2), words, "max_softmax"),
    ):
        model = OpenSetClassifier(estimator, cv=0.5, random_state=0)
        found = model.fit(X, y).p_values(X)
        assert_array_equal(
            found, model.set_params(conformity_score=expected).fit(X, y).p_values(X)
        )


@pytest.mark.parametrize("kind", ["boolean", "nullable", "nullable boolean"])
def test_auto_score_of_data_frames(kind):
    """Check that data frames of numbers are tables, however pandas keeps them."""
    X, y = clouds()
    X[:, 2] = X[:, 2] > 0
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    if kind == "boolean":
        frame["c"] = frame["c"].astype(bool)
    else:
        frame = frame.convert_dtypes() if kind == "nullable" else frame
        frame["c"] = frame["c"].astype(bool).astype("boolean")
    forest = RandomForestClassifier(5, random_state=0)
    model = OpenSetClassifier(forest, cv=0.5, random_state=0)
    assert isinstance(model.fit(frame, y).score_, InputDensity)
    expected = clone(model).fit(X, y).p_values(X)
    assert_array_equal(model.p_values(frame), expected)


def test_auto_score_of_missing_values():
    """Check that outsiders also show around a classifier that takes missing values."""
    X, y = clouds((200, 200, 200))
    unknown = np.random.default_rng(1).normal(-4, 1, size=(200, 3))
    for samples in (X, unknown):
        samples[np.random.default_rng(2).random(samples.shape) < 0.2] = np.nan
    forest = RandomForestClassifier(20, random_state=0)
    model = OpenSetClassifier(forest, random_state=0).fit(X, y)
    assert isinstance(model.score_, InputDensity)
    assert model.is_outlier(unknown).mean() > 0.5
    model.set_params(conformity_score="max_softmax").fit(X, y)
    assert model.is_outlier(unknown).mean() < 0.1


@pytest.mark.parametrize("form", ["images", "sparse", "list"])
def test_inputs_of_any_form(form):
    """Check that inputs are rows of numbers, whatever X is."""
    X, y = clouds()
    X = np.hstack([X, X[:, :1]])
    expected = OpenSetClassifier(
        net(), conformity_score="input_density", cv=0.5, random_state=0
    )
    expected.fit(X, y)
    if form == "images":
        estimator, given = net(module=torch.nn.Flatten()), X.reshape(-1, 1, 2, 2)
    else:
        estimator = LogisticRegression() if form == "sparse" else net()
        given = sp.csr_array(X) if form == "sparse" else X.tolist()
    model = clone(expected).set_params(estimator=estimator).fit(given, y)
    assert_allclose(model.p_values(given), expected.p_values(X))


class ArrayLike:
    """What numpy makes an array of, without rows of its own."""

    def __init__(self, values):
        self.values = values
        self.shape = values.shape

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype=dtype)


@pytest.mark.parametrize("conformity_score", ["auto", "max_softmax"])
def test_inputs_without_rows(conformity_score):
    """Check that samples that only numpy can read do, also those looked at again."""
    X, y = clouds()
    model = OpenSetClassifier(
        GaussianNB(),
        conformity_score=conformity_score,
        false_rejection_rate=0.2,
        random_state=0,
    ).fit(ArrayLike(X), y)
    labels = model.predict(X)
    assert (labels != model.estimator_.predict(X))[labels != -1].any()
    assert_array_equal(model.predict(ArrayLike(X)), labels)


@pytest.mark.parametrize("name", SCORES)
def test_score_of_held_out_samples(name):
    """Check p-values and scores after a float cv against formulas and brute force."""
    X, y = clouds()
    model = OpenSetClassifier(
        Recorder(), conformity_score=SCORES[name], cv=0.5, random_state=0
    ).fit(X, y)
    X_train, y_train = (model.estimator_.given_[key] for key in ("X", "y"))
    held_out = ~is_among(X, X_train)
    own = own_of(reference_scores(name, X_train, y_train, X), y)[held_out]
    scores = reference_scores(name, X_train, y_train, queries())
    expected = reference_p_values(own, y[held_out], scores)
    assert_array_equal(model.p_values(queries()), expected)
    assert_allclose(model.score_samples(queries()), scores.max(axis=1), rtol=1e-9)


@pytest.mark.parametrize("share", [0.2, 0.34, 0.5, np.float32(0.5)])
def test_float_cv_holds_out_a_share_of_each_class(share):
    """Check that a share of every class, rounded up, never trains and calibrates."""
    X, y = clouds((60, 41, 33))
    model = OpenSetClassifier(Recorder(), cv=share, false_rejection_rate=0.2).fit(X, y)
    given = model.estimator_.given_
    held_out = rows(X) - rows(given["X"])
    assert len(given["X"]) + len(held_out) == len(X)
    for k, size in enumerate((60, 41, 33)):
        assert len(held_out & rows(X[y == k])) == ceil(float(share) * size)
    assert_array_equal(
        model.calibration_.n_samples_, [ceil(float(share) * n) for n in (60, 41, 33)]
    )
    # Each sample with its own label.
    label_of = dict(zip(map(tuple, X.tolist()), y))
    assert_array_equal(given["y"], [label_of[tuple(x)] for x in given["X"].tolist()])


SPLITTERS = {
    "int": 5,
    "stratified": StratifiedKFold(4, shuffle=True, random_state=0),
    "k-fold": KFold(3, shuffle=True, random_state=1),
    "default": None,
}


@pytest.mark.parametrize("kind", ["given", "iterable", "generator"])
@pytest.mark.parametrize("cv", SPLITTERS)
@pytest.mark.parametrize("name", SCORES)
def test_out_of_fold_scores(name, cv, kind):
    """Check p-values after cross-validation against a loop over the folds."""
    X, y = clouds()
    cv = SPLITTERS[cv]
    splitter = StratifiedKFold(cv or 5) if cv in (5, None) else cv
    splits = list(splitter.split(X, y))
    if kind != "given":
        cv = splits if kind == "iterable" else (split for split in splits)
    model = OpenSetClassifier(Recorder(), conformity_score=SCORES[name], cv=cv).fit(X, y)
    own = [
        own_of(reference_scores(name, X[train], y[train], X[test]), y[test])
        for train, test in splits
    ]
    y_own = np.concatenate([y[test] for _, test in splits])
    scores = reference_scores(name, X, y, queries())
    expected = reference_p_values(np.concatenate(own), y_own, scores)
    assert_array_equal(model.p_values(queries()), expected)
    # Refitted on all samples.
    assert_array_equal(model.estimator_.given_["X"], X)
    assert_array_equal(model.estimator_.given_["y"], y)


def test_int_cv_against_cross_val_predict():
    """Check cv=5 against scikit-learn's own out-of-fold probabilities."""
    X, y = clouds()
    model = OpenSetClassifier(GaussianNB(), conformity_score="max_softmax", cv=5).fit(X, y)
    own = own_of(cross_val_predict(GaussianNB(), X, y, method="predict_proba"), y)
    scores = GaussianNB().fit(X, y).predict_proba(queries())
    assert_array_equal(model.p_values(queries()), reference_p_values(own, y, scores))


@pytest.mark.parametrize("kind", ["splitter", "iterable", "lists", "masks"])
@pytest.mark.parametrize("name", SCORES)
def test_one_split_without_refit(name, kind):
    """Check that refit=False keeps the estimator that the split's training part made."""
    X, y = clouds()
    test_fold = np.where(np.arange(len(y)) % 2, 0, -1)
    cv = PredefinedSplit(test_fold)
    train, test = next(cv.split())
    if kind != "splitter":
        masks = [(test_fold == -1, test_fold == 0)]
        lists = [(train.tolist(), test.tolist())]
        cv = {"iterable": [(train, test)], "lists": lists, "masks": masks}[kind]
    model = OpenSetClassifier(
        Recorder(), conformity_score=SCORES[name], cv=cv, refit=False
    ).fit(X, y)
    assert_array_equal(model.estimator_.given_["X"], X[train])
    own = own_of(reference_scores(name, X[train], y[train], X[test]), y[test])
    scores = reference_scores(name, X[train], y[train], queries())
    expected = reference_p_values(own, y[test], scores)
    assert_array_equal(model.p_values(queries()), expected)


@pytest.mark.parametrize("cv", [5, StratifiedKFold(3), ShuffleSplit(2)])
def test_several_splits_without_refit_raise(cv):
    """Check that refit=False with several splits is an error that counts them."""
    n_splits = cv if isinstance(cv, int) else cv.get_n_splits()
    model = OpenSetClassifier(GaussianNB(), cv=cv, refit=False)
    with pytest.raises(ValueError, match=rf"refit=False takes .* gives {n_splits}"):
        model.fit(*clouds())


@pytest.mark.parametrize("cv", [ShuffleSplit(3, random_state=0), "list"])
def test_samples_held_out_twice_raise(cv):
    """Check that calibration samples that repeat are an error that says why."""
    X, y = clouds()
    train, test = np.arange(0, 150, 2), np.arange(1, 150, 2)
    # One sample is held out with its own half and once more.
    cv = [(train, test), (test, np.append(train, 1))] if cv == "list" else cv
    with pytest.raises(ValueError, match="cv must hold each sample out at most once"):
        OpenSetClassifier(GaussianNB(), cv=cv).fit(X, y)


def test_refit_does_not_matter_to_a_float_cv():
    """Check that a held-out share stays out of the estimator whatever refit is."""
    X, y = clouds()
    kept, same = (
        OpenSetClassifier(Recorder(), cv=0.5, refit=refit, random_state=0).fit(X, y)
        for refit in (True, False)
    )
    assert len(kept.estimator_.given_["X"]) == 75
    assert_array_equal(kept.p_values(queries()), same.p_values(queries()))


@pytest.mark.parametrize("cv", [0.2, 5, StratifiedKFold(3)])
@pytest.mark.parametrize("pipeline", [False, True])
def test_frozen_estimator_calibrates_on_all(pipeline, cv):
    """Check that a frozen estimator is kept and that all samples calibrate."""
    inner = make_pipeline(StandardScaler(), GaussianNB()) if pipeline else GaussianNB()
    estimator = frozen(inner)
    X, y = clouds()
    before = estimator.predict_proba(queries())
    model = OpenSetClassifier(estimator, conformity_score="max_softmax", cv=cv).fit(X, y)
    assert model.estimator_.estimator is estimator.estimator
    scores = estimator.predict_proba(queries())
    assert_array_equal(scores, before)
    expected = reference_p_values(own_of(estimator.predict_proba(X), y), y, scores)
    assert_array_equal(model.p_values(queries()), expected)
    assert_array_equal(model.predict_proba(queries()), scores)
    assert_array_equal(model.score_samples(queries()), scores.max(axis=1))
    assert_array_equal(model.calibration_.n_samples_, np.bincount(y))


@pytest.mark.parametrize(
    ("cv", "share"), [(0.34, 0.34), (0.7, 0.7), (5, 0.5), (KFold(3), 0.5)]
)
@pytest.mark.parametrize("score", [CityBlock(), LearntSoftmax()])
def test_frozen_estimator_with_a_score_that_learns(score, cv, share):
    """Check that what a score learns from does not calibrate, by the documented share."""
    estimator = frozen(GaussianNB())
    X, y = clouds()
    model = OpenSetClassifier(
        estimator, conformity_score=score, cv=cv, false_rejection_rate=0.1
    ).fit(X, y)

    def consumed(X):
        return X if score.consumes == "features" else estimator.predict_proba(X)

    X_learnt, y_learnt = model.score_.given_
    calibrates = ~is_among(consumed(X), X_learnt)
    assert len(X_learnt) + calibrates.sum() == len(y)
    assert_array_equal(np.bincount(y[calibrates]), np.ceil(share * np.bincount(y)))
    assert_array_equal(np.bincount(y_learnt), np.bincount(y[~calibrates]))
    reference = clone(score).fit(consumed(X)[~calibrates], y[~calibrates])
    own = own_of(reference.score_classes(consumed(X[calibrates])), y[calibrates])
    scores = reference.score_classes(consumed(queries()))
    expected = reference_p_values(own, y[calibrates], scores)
    assert_array_equal(model.p_values(queries()), expected)
    assert model.estimator_.estimator is estimator.estimator


@pytest.mark.parametrize("wrap", ["plain", "pipeline", "frozen", "frozen pipeline"])
def test_center_distance_takes_the_centers_of_the_net(wrap):
    """Check that the net's own centers are used, wherever the net is."""
    X, y = clouds()
    # The centers are weighted means, and so differ from the means of the features.
    weight = np.random.default_rng(0).uniform(size=len(y)) ** 8
    prefix = "centerlossclassifier__" if "pipeline" in wrap else ""
    estimator = make_pipeline(StandardScaler(), net()) if prefix else net()
    params = {f"{prefix}sample_weight": weight}
    if "frozen" in wrap:
        estimator, params = FrozenEstimator(estimator.fit(X, y, **params)), {}
    model = OpenSetClassifier(
        estimator, conformity_score="center_distance", cv=0.5, random_state=0
    ).fit(X, y, **params)
    fitted = model.estimator_.estimator if "frozen" in wrap else model.estimator_
    centers = (fitted[-1] if prefix else fitted).centers_
    features = fitted.transform(queries())
    expected = -np.linalg.norm(features[:, None].astype(float) - centers, axis=2)
    assert_allclose(model.score_samples(queries()), expected.max(axis=1), **CLOSE)
    n_samples = np.bincount(y) * (1 if "frozen" in wrap else 0.5)
    assert_array_equal(model.calibration_.n_samples_, n_samples)
    # Means without the weights lie elsewhere, else the equality would show nothing.
    features = fitted.transform(X)
    means = np.array([features[y == k].mean(axis=0) for k in range(3)])
    assert np.abs(means - centers).max() > 0.05


def test_mahalanobis_sees_the_features_of_the_net():
    """Check that a score of features gets what transform of the pipeline returns."""
    estimator = frozen(make_pipeline(StandardScaler(), net()))
    X, y = clouds()
    model = OpenSetClassifier(
        estimator, conformity_score=CityBlock(), cv=0.5, random_state=0
    ).fit(X, y)
    X_learnt, y_learnt = model.score_.given_
    assert rows(X_learnt) < rows(estimator.transform(X))
    means = np.array([X_learnt[y_learnt == k].mean(axis=0) for k in range(3)])
    expected = -np.abs(estimator.transform(queries())[:, None] - means).sum(axis=2)
    assert_array_equal(model.score_samples(queries()), expected.max(axis=1))


@pytest.mark.parametrize(
    ("score", "twin"),
    [
        (CenterDistance(), "center_distance"),
        (Mahalanobis(), "mahalanobis"),
        (MaxSoftmax(), "max_softmax"),
        ([Mahalanobis()], "mahalanobis"),
        (["mahalanobis"], "mahalanobis"),
        (["max_softmax"], "max_softmax"),
        ([Mahalanobis(), "center_distance"], ["center_distance", "mahalanobis"]),
    ],
    ids=str,
)
def test_score_instances_and_lists(score, twin):
    """Check that instances do as their names do, and lists in any order."""
    p_values = [
        OpenSetClassifier(GaussianNB(), conformity_score=each, cv=0.5, random_state=0)
        .fit(*clouds())
        .p_values(queries())
        for each in (score, twin)
    ]
    assert_array_equal(*p_values)


def test_score_instance_is_cloned():
    """Check that the score given stays unfitted, and the fitted one is score_."""
    score, listed = CityBlock(), Mahalanobis()
    model = OpenSetClassifier(GaussianNB(), conformity_score=score, cv=0.5).fit(*clouds())
    assert isinstance(model.score_, CityBlock)
    assert not hasattr(score, "means_")
    model.set_params(conformity_score=[listed, "center_distance"]).fit(*clouds())
    assert not hasattr(listed, "means_")


def test_score_with_given_centers():
    """Check that a frozen estimator and given centers leave all samples to calibrate."""
    X, y = clouds()
    model = OpenSetClassifier(
        frozen(GaussianNB()), conformity_score=CenterDistance(centers=MEANS)
    ).fit(X, y)
    own = -np.linalg.norm(X - MEANS[y], axis=1)
    scores = -np.linalg.norm(queries()[:, None] - MEANS, axis=2)
    assert_array_equal(model.p_values(queries()), reference_p_values(own, y, scores))


@pytest.mark.parametrize("score", ["max_softmax", LearntSoftmax()])
@pytest.mark.parametrize("freeze", [False, True])
def test_probabilities_of_an_estimator_without_raise(freeze, score):
    """Check that a lack of predict_proba is an error that says what to do."""
    estimator = frozen(LinearSVC()) if freeze else LinearSVC()
    model = OpenSetClassifier(estimator, conformity_score=score, cv=0.5)
    with pytest.raises(ValueError, match=r"predict_proba.*'mahalanobis', or wrap"):
        model.fit(*clouds())


@pytest.mark.parametrize("score", ["distance", 3, None, ("mahalanobis",), Mahalanobis])
def test_unknown_score_raises(score):
    """Check that a conformity_score of no known kind is an error that names it."""
    with pytest.raises(ValueError, match=r"conformity_score.*mahalanobis.*[Gg]ot"):
        OpenSetClassifier(GaussianNB(), conformity_score=score).fit(*clouds())


@pytest.mark.parametrize(
    ("score", "nearest"),
    [("mahalanobs", "mahalanobis"), ("distance", "center_distance"), ("KNN", None)],
)
def test_misspelled_score(score, nearest):
    """Check that the error lists the names of scores in order, and the nearest one."""
    hint = f"; did you mean {nearest!r}?" if nearest else "."
    for given in (score, [score]):
        with pytest.raises(ValueError, match="conformity_score must be one of ") as raised:
            OpenSetClassifier(GaussianNB(), conformity_score=given).fit(*clouds())
        names = re.findall(r"'(\w+)'", str(raised.value).partition("]")[0])
        assert len(names) > 8
        assert names == sorted(names)
        assert str(raised.value).endswith(f"got {score!r}{hint}")


@pytest.mark.parametrize("score", ["KNN", 3, ["mahalanobis"]])
def test_unknown_score_in_a_list_raises(score):
    """Check that what is no score in a list is an error that shows it."""
    model = OpenSetClassifier(GaussianNB(), conformity_score=["mahalanobis", score], cv=0.5)
    with pytest.raises(ValueError, match=r"conformity_score.*got ") as raised:
        model.fit(*clouds())
    assert str(raised.value).endswith(f"got {score!r}.")


def turned_down(model, X):
    """Return which samples the estimator's own choice turns down, but others accept."""
    accepted = model.predict_set(X)
    chosen = np.searchsorted(model.classes_, model.estimator_.predict(X))
    return accepted.any(axis=1) & ~own_of(accepted, chosen), accepted.sum(axis=1)


@pytest.mark.parametrize(
    "estimator",
    [LogisticRegression(), LinearSVC(), Nearest()],
    ids=["probabilities", "decision function", "p-values"],
)
def test_predict_when_the_first_choice_turns_down(estimator):
    """Check that the best ranked of the classes that accept is predicted."""
    # One narrow cloud amid two wide ones: beside it a sample is of one of those.
    rng = np.random.default_rng(0)
    means = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.2]])
    y = np.repeat([0, 1, 2], 100)
    X = means[y] + rng.normal(size=(300, 2)) * np.array([0.1, 2.0, 2.0])[y][:, None]
    model = OpenSetClassifier(
        estimator, conformity_score="center_distance", cv=0.5, random_state=0
    ).fit(X, np.array(["narrow", "wide a", "wide b"])[y])
    X = rng.uniform(-6, 6, size=(3000, 2))
    case, n_accepted = turned_down(model, X)
    # The case happens, and with a choice left between two.
    assert (case & (n_accepted > 1)).sum() >= 10
    expected = reference_predict(model, X, ranking_of(model, X))
    predicted = model.predict(X)
    assert_array_equal(predicted, expected)
    assert len(set(predicted[case & (n_accepted > 1)])) == 2


@pytest.mark.parametrize("estimator", [LogisticRegression(), LinearSVC(), Nearest()])
def test_predict_of_two_classes_when_the_first_choice_turns_down(estimator):
    """Check the rule for two classes, where a decision function is one column."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 100)
    X = np.array([0.0, 3.0])[y] + rng.normal(size=200) * np.array([0.1, 2.0])[y]
    model = OpenSetClassifier(
        estimator, conformity_score="center_distance", cv=0.5, random_state=0
    ).fit(X[:, None], y)
    X = np.linspace(-9, 12, 400)[:, None]
    case, _ = turned_down(model, X)
    assert case.sum() >= 10
    assert set(model.predict(X)) == {-1, 0, 1}
    # Only one class is left, whatever the ranking.
    assert_array_equal(model.predict(X), reference_predict(model, X, np.zeros((400, 2))))
    assert_array_equal(model.predict(X)[case], 1)


@pytest.mark.parametrize("confidence", [None, 0.9])
@pytest.mark.parametrize("rate", [0, 0.0, {"a": 0, "b": 0, "c": 0.0}])
@pytest.mark.parametrize("name", ["logistic regression", "center loss", "LinearSVC"])
def test_rate_of_zero_is_the_estimator(name, rate, confidence):
    """Check that a rate of 0 never rejects and takes no calibration samples."""
    X, y = clouds((8, 3, 1))
    y = np.array(["a", "b", "c"])[y]
    model = OpenSetClassifier(
        ESTIMATORS[name], false_rejection_rate=rate, confidence=confidence
    ).fit(X, y)
    predicted, expected = model.predict(queries()), model.estimator_.predict(queries())
    assert_array_equal(predicted, expected)
    assert predicted.dtype == expected.dtype
    assert not model.is_outlier(queries()).any()
    assert model.predict_set(queries()).all()
    assert_array_equal(model.thresholds_, 0)
    assert_array_equal(model.score_thresholds_, -np.inf)


@pytest.mark.parametrize(
    ("classes", "outlier_label", "label", "dtype"),
    [
        (np.array(["a", "b", "c"]), "auto", "outsider", "<U8"),
        (np.array(["a", "b", "z is a long name"]), "auto", "outsider", "<U16"),
        (np.array(["a", "b", "c"]), "none of them", "none of them", "<U12"),
        (np.array(["a", "b", "cc"], dtype=object), "auto", "outsider", object),
        (np.array([0, 1, 2]), "auto", -1, np.int64),
        (np.array([3, 10, 700]), "auto", -1, np.int64),
        (np.array([-7, 0, 2]), "auto", -1, np.int64),
        (np.array([0, 1, 2], dtype=np.uint8), "auto", -1, np.int16),
        (np.array([0, 1, 255], dtype=np.uint8), 256, 256, np.uint16),
        (np.array([-1, 0, 1], dtype=np.int8), 200, 200, np.int16),
        (np.array([0, 1, 2], dtype=np.uint32), "auto", -1, np.int64),
        (np.array([False, True]), "auto", -1, np.int8),
        (np.array([False, True]), 2, 2, np.uint8),
        (np.array([0.0, 1.0, 2.0]), "auto", -1, np.float64),
        (np.array([0, 1, 2], dtype=np.float32), "auto", -1, np.float32),
        (np.array([0, 1, 2]), 0.5, 0.5, np.float64),
        (np.array([0, 1, 2]), np.nan, np.nan, np.float64),
        (np.array([-1, 0, 1]), -2, -2, np.int64),
    ],
    ids=str,
)
def test_labels(classes, outlier_label, label, dtype):
    """Check that every kind of label comes back whole, beside the outlier label."""
    X, y = clouds((60, 50, 40)[: len(classes)])
    model = OpenSetClassifier(
        GaussianNB(), conformity_score="mahalanobis", cv=0.5, outlier_label=outlier_label
    ).fit(X, classes[y])
    assert_array_equal(model.classes_, classes)
    assert model.classes_.dtype == classes.dtype
    assert_array_equal(model.outlier_label_, label)
    X = np.concatenate([MEANS[: len(classes)], np.full((2, 3), 50.0)])
    predicted = model.predict(X)
    assert_array_equal(predicted, np.array([*classes.tolist(), label, label], dtype=dtype))
    assert predicted.dtype == dtype


@pytest.mark.parametrize("freeze", [False, True])
@pytest.mark.parametrize(
    ("classes", "outlier_label"),
    [
        ([-1, 0, 1], "auto"),
        ([0, 1, 2], 1),
        ([0, 1, 2], 1.0),
        ([0.0, 1.0, 2.0], 2),
        ([0, 1, 2], True),
        (["a", "b", "outsider"], "auto"),
        (["a", "b", "c"], "a"),
    ],
)
def test_outlier_label_that_is_a_class(classes, outlier_label, freeze):
    """Check that a class as outlier label is an error, unless nothing is rejected."""
    X, y = clouds()
    y = np.array(classes)[y]
    estimator = FrozenEstimator(GaussianNB().fit(X, y)) if freeze else GaussianNB()
    model = OpenSetClassifier(estimator, outlier_label=outlier_label, cv=0.5)
    with pytest.raises(ValueError, match=r"outlier_label must not be a class.* another"):
        model.fit(X, y)
    model.set_params(false_rejection_rate=0).fit(X, y)
    expected = model.estimator_.predict(queries())
    assert_array_equal(model.predict(queries()), expected)
    assert set(expected) == set(classes)


@pytest.mark.parametrize(
    ("classes", "outlier_label", "kind"),
    [
        (["a", "b", "c"], -1, "strings such as 'a'"),
        ([0, 1, 2], "outsider", "numbers such as 0"),
        ([False, True, True], "outsider", "numbers such as False"),
    ],
)
def test_outlier_label_of_another_kind_raises(classes, outlier_label, kind):
    """Check that an outlier label of another kind is an error that shows both."""
    X, y = clouds()
    model = OpenSetClassifier(GaussianNB(), outlier_label=outlier_label, cv=0.5)
    with pytest.raises(ValueError, match=rf"outlier_label.*{kind}; got {outlier_label!r}"):
        model.fit(X, np.array(classes)[y])


def test_rates_per_class():
    """Check that a dict gives each class its own threshold, in any order of its keys."""
    X, y = clouds()
    labels = np.array(["x", "y", "z"])
    model = OpenSetClassifier(
        frozen(GaussianNB()).estimator,
        false_rejection_rate={"z": 0.3, "x": 0.05, "y": 0.1, "not a class": 0.5},
        cv=5,
    ).fit(X, labels[y])
    assert_array_equal(model.thresholds_, [0.05, 0.1, 0.3])
    p_values = model.p_values(queries())
    assert_array_equal(model.predict_set(queries()), p_values > [0.05, 0.1, 0.3])
    one_rate = clone(model).set_params(false_rejection_rate=0.1).fit(X, labels[y])
    assert_array_equal(one_rate.p_values(queries()), p_values)
    assert (one_rate.predict_set(queries()) != model.predict_set(queries())).any()


def test_rates_of_bool_and_number_classes():
    """Check that the keys of a dict may be what the labels are equal to."""
    X, y = clouds()
    model = OpenSetClassifier(
        GaussianNB(), false_rejection_rate={True: 0.1, False: 0.2}, cv=0.5
    ).fit(X, y > 0)
    assert_array_equal(model.thresholds_, [0.2, 0.1])
    rates = {0: 0.2, np.int64(1): 0.1, 2.0: 0.3}
    model.set_params(false_rejection_rate=rates).fit(X, y)
    assert_array_equal(model.thresholds_, [0.2, 0.1, 0.3])


def test_rates_with_a_zero_warn():
    """Check that one class that never turns down warns that nothing is rejected."""
    X, y = clouds()
    model = OpenSetClassifier(
        GaussianNB(),
        conformity_score="mahalanobis",
        false_rejection_rate={0: 0.1, 1: 0, 2: 0.1},
        cv=0.5,
    )
    message = r"No sample will ever be rejected.*\[1\]"
    with pytest.warns(UserWarning, match=message) as found:
        model.fit(X, y)
    assert [warning.filename for warning in found] == [__file__]
    assert not model.is_outlier(queries()).any()
    assert model.predict_set(queries())[:, 1].all()
    assert not model.predict_set(queries())[:, 0].all()
    # Each outsider goes to the class that is left.
    assert_array_equal(model.predict(np.full((1, 3), 50.0)), [1])


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        ({0: 0.1, 2: 0.1}, r"every class; \[1\] are missing"),
        ({}, r"every class; \[0, 1, 2\] are missing"),
        (
            {0: 0.1, 1: 1.0, 2: 0.1},
            r"false_rejection_rate\[1\] must be in \[0, 1\); got 1.0",
        ),
        ({0: 0.1, 1: -0.1, 2: 0.1}, r"false_rejection_rate\[1\] must be .* got -0.1"),
        ({0: 0.1, 1: "low", 2: 0.1}, r"false_rejection_rate\[1\] must be .* got 'low'"),
        ({0: 0.1, 1: np.nan, 2: 0.1}, r"false_rejection_rate\[1\] must be .* got nan"),
        ({0: 0.1, 1: None, 2: 0.1}, r"false_rejection_rate\[1\] must be .* got None"),
    ],
)
def test_bad_rates_of_classes_raise(rates, message):
    """Check that a dict with a missing or an invalid rate is an error that names it."""
    with pytest.raises(ValueError, match=message):
        OpenSetClassifier(GaussianNB(), false_rejection_rate=rates).fit(*clouds())


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("false_rejection_rate", 1.0),
        ("false_rejection_rate", -0.01),
        ("false_rejection_rate", np.nan),
        ("false_rejection_rate", "low"),
        ("confidence", 0.0),
        ("confidence", 1.0),
        ("confidence", "high"),
        ("cv", 0.0),
        ("cv", 1.0),
        ("cv", 1.5),
        ("cv", 1),
        ("cv", "prefit"),
        ("refit", "yes"),
        ("calibration", "platt"),
        ("outlier_label", None),
        ("n_jobs", 1.5),
        ("random_state", "seed"),
        ("estimator", "GaussianNB"),
        ("estimator", None),
    ],
)
def test_bad_parameters_raise(parameter, value):
    """Check that an invalid parameter is an error that names it."""
    model = OpenSetClassifier(GaussianNB()).set_params(**{parameter: value})
    with pytest.raises(ValueError, match=rf"The '{parameter}' parameter.*Got"):
        model.fit(*clouds())


def reference_rank(n, rate, confidence):
    """Return the largest k within the bound, from the binomial distribution."""
    if confidence is None:
        return max(k for k in range(n + 1) if k / (n + 1) <= rate)
    # Beta(k, n + 1 - k) <= rate exactly when at least k of n uniforms are <= rate.
    held = [k for k in range(1, n + 1) if binom.sf(k - 1, n, rate) >= confidence]
    return max(held, default=0)


@pytest.mark.parametrize("confidence", [None, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("rate", [0.05, 0.1, 0.3])
def test_thresholds(rate, confidence):
    """Check both thresholds against order statistics and the binomial distribution."""
    sizes = (150, 203, 310)
    X, y = clouds(sizes)
    estimator = frozen(GaussianNB())
    model = OpenSetClassifier(
        estimator,
        conformity_score="max_softmax",
        false_rejection_rate=rate,
        confidence=confidence,
    ).fit(X, y)
    probabilities = estimator.predict_proba(X)
    ranks = [reference_rank(n, rate, confidence) for n in sizes]
    thresholds = [rate if confidence is None else k / (n + 1) for k, n in zip(ranks, sizes)]
    assert_allclose(model.thresholds_, thresholds, rtol=1e-15)
    score_thresholds = [
        sorted(probabilities[y == k, k])[rank - 1] for k, rank in enumerate(ranks)
    ]
    assert_array_equal(model.score_thresholds_, score_thresholds)
    X = np.concatenate([queries(), X])
    accepted = estimator.predict_proba(X) >= score_thresholds
    assert_array_equal(model.predict_set(X), accepted)


def test_confidence_is_stricter_and_takes_more_samples():
    """Check that with confidence fewer samples are rejected and more are needed."""
    X, y = clouds((45, 60, 60))
    # 1 - 0.95**45 is the first power above 0.9.
    lax = OpenSetClassifier(frozen(GaussianNB()), conformity_score="max_softmax")
    model = clone(lax).set_params(confidence=0.9).fit(X, y)
    assert_array_equal(model.calibration_.groups_, [0, 1, 2])
    accepted, laxly = model.predict_set(queries()), lax.fit(X, y).predict_set(queries())
    assert (accepted >= laxly).all()
    assert accepted.sum() > laxly.sum()
    drop = np.arange(len(y)) != np.flatnonzero(y == 0)[0]
    with pytest.warns(UserWarning, match=rf"{FEW}.*\(44\).*45 are needed for one class"):
        model.fit(X[drop], y[drop])
    few = np.concatenate([np.flatnonzero(y == k)[:14] for k in range(3)])
    with pytest.raises(ValueError, match=r"42 .*=0.05 at confidence=0.9 takes at least 45"):
        model.fit(X[few], y[few])
    with pytest.warns(UserWarning, match=rf"{FEW}.*19 are needed"):
        lax.fit(X[few], y[few])


@pytest.mark.parametrize("strings", [False, True])
def test_rare_class_shares_a_threshold(strings):
    """Check that a rare class joins the smallest others, by name, and still rejects."""
    X, y = clouds((60, 40, 6))
    labels = np.array(["first", "second", "third"]) if strings else np.array([10, 20, 30])
    estimator = FrozenEstimator(GaussianNB().fit(X, labels[y]))
    # The score of a class of its own, so that all samples calibrate.
    score = CenterDistance(centers=MEANS)
    model = OpenSetClassifier(estimator, conformity_score=score)
    with pytest.warns(UserWarning, match=f"^{FEW}") as found:
        model.fit(X, labels[y])
    assert [warning.filename for warning in found] == [__file__]
    message = str(found[0].message)
    assert f"{labels.tolist()[1]}" in message
    assert f"{labels.tolist()[2]}" in message
    assert f"{labels.tolist()[0]}" not in message
    assert "(6)" in message
    assert "19 are needed" in message
    groups = model.calibration_.groups_
    assert groups[1] == groups[2] != groups[0]
    assert_array_equal(model.calibration_.n_samples_, [60, 46, 46])
    own = -np.linalg.norm(X - MEANS[y], axis=1)
    scores = -np.linalg.norm(queries()[:, None] - MEANS, axis=2)
    expected = reference_p_values(own, y, scores, groups=(0, 1, 1))
    assert_array_equal(model.p_values(queries()), expected)
    assert_array_equal(model.thresholds_, 0.05)
    far = np.full((1, 3), 50.0)
    assert model.is_outlier(far).all()
    assert model.predict(far)[0] == ("outsider" if strings else -1)
    assert not model.is_outlier(MEANS).any()


def test_all_classes_rare():
    """Check that classes that are rare one by one calibrate together."""
    X, y = clouds((8, 7, 6))
    estimator = frozen(GaussianNB())
    score = CenterDistance(centers=MEANS)
    model = OpenSetClassifier(estimator, conformity_score=score)
    with pytest.warns(UserWarning, match=rf"{FEW}.*\(8\).*\(7\).*\(6\)"):
        model.fit(X, y)
    assert len(set(model.calibration_.groups_)) == 1
    own = -np.linalg.norm(X - MEANS[y], axis=1)
    scores = -np.linalg.norm(queries()[:, None] - MEANS, axis=2)
    expected = reference_p_values(own, y, scores, groups=(0, 0, 0))
    assert_array_equal(model.p_values(queries()), expected)
    assert model.is_outlier(np.full((1, 3), 50.0)).all()


def test_rates_of_classes_that_share_a_threshold():
    """Check that of the rates of classes that calibrate together the least holds."""
    X, y = clouds((60, 40, 6))
    model = OpenSetClassifier(
        frozen(GaussianNB()),
        conformity_score=CenterDistance(centers=MEANS),
        false_rejection_rate={0: 0.3, 1: 0.2, 2: 0.1},
    )
    with pytest.warns(UserWarning, match=rf"{FEW}.*2 \(6\).*9 are needed"):
        model.fit(X, y)
    assert_array_equal(model.calibration_.groups_, [0, 1, 1])
    assert_array_equal(model.thresholds_, [0.3, 0.1, 0.1])
    expected = model.p_values(queries()) > [0.3, 0.1, 0.1]
    assert_array_equal(model.predict_set(queries()), expected)


def test_class_of_one_sample_trains():
    """Check that a class of one sample trains, and warns that it does not calibrate."""
    X, y = clouds((60, 50, 1))
    model = OpenSetClassifier(Recorder(), conformity_score="center_distance", cv=0.5)
    with pytest.warns(UserWarning, match=rf"{FEW}.*2.*\(0\)"):
        model.fit(X, y)
    assert rows(X[y == 2]) < rows(model.estimator_.given_["X"])
    assert_array_equal(np.bincount(model.estimator_.given_["y"]), [30, 25, 1])
    assert_array_equal(model.calibration_.n_samples_, [30, 25, 25])
    assert_array_equal(model.predict(X[y == 2]), [2])
    assert model.is_outlier(np.full((1, 3), 50.0)).all()


def test_class_of_two_samples_keeps_one_to_train():
    """Check that even a large share leaves every class a sample to train."""
    X, y = clouds((60, 50, 2))
    model = OpenSetClassifier(Recorder(), conformity_score="center_distance", cv=0.9)
    with pytest.warns(UserWarning, match=FEW):
        model.fit(X, y)
    assert_array_equal(np.bincount(model.estimator_.given_["y"]), [6, 5, 1])
    assert_array_equal(model.calibration_.n_samples_, [54, 46, 46])


@pytest.mark.parametrize("lone", [0, 1, 2])
def test_fold_that_holds_all_of_a_class(lone):
    """Check that samples of a class that a fold's training part lacks are left out."""
    X, y = clouds((60, 50, 40))
    fold = np.random.default_rng(0).permutation(len(y)) % 3
    splits = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(3)]
    # The second fold trains on two classes and is to score three.
    train, test = splits[1]
    splits[1] = train[y[train] != lone], test
    model = OpenSetClassifier(Recorder(), conformity_score="max_softmax", cv=splits)
    model.fit(X, y)
    splits[1] = splits[1][0], test[y[test] != lone]
    assert len(splits[1][1]) < len(test)
    y_own = np.concatenate([y[test] for _, test in splits])
    assert_array_equal(model.calibration_.n_samples_, np.bincount(y_own))
    own = []
    for train, test in splits:
        known = list(np.unique(y[train]))
        probabilities = GaussianNB().fit(X[train], y[train]).predict_proba(X[test])
        own.append(own_of(probabilities, [known.index(label) for label in y[test]]))
    scores = GaussianNB().fit(X, y).predict_proba(queries())
    expected = reference_p_values(np.concatenate(own), y_own, scores)
    assert_array_equal(model.p_values(queries()), expected)


def test_rate_of_zero_of_one_sample_each():
    """Check that without rejection even a sample for each class will do."""
    X, y = MEANS.copy(), np.arange(3)
    model = OpenSetClassifier(Nearest(), false_rejection_rate=0).fit(X, y)
    assert_array_equal(model.predict(X), y)
    assert_array_equal(model.p_values(queries()), 1)


def test_too_few_samples_raise():
    """Check that too few samples in all are an error that says how many it takes."""
    X, y = clouds((20, 20, 20))
    model = OpenSetClassifier(GaussianNB(), cv=0.2)
    with pytest.raises(ValueError, match=r"12 .*too few.*=0.05 takes at least 19.*cv=5"):
        model.fit(X, y)
    with pytest.raises(ValueError, match=r"=0.01 takes at least 99"):
        model.set_params(false_rejection_rate=0.01, cv=3).fit(X, y)


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
    ids=[
        "few samples",
        "continuous y",
        "short y",
        "outlier label",
        "NaN",
        "fit parameter",
        "cv",
        "confidence",
        "no score",
    ],
)
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


def test_fit_again():
    """Check that a second fit forgets the first, also its classes and features."""
    X, y = clouds()
    model = OpenSetClassifier(GaussianNB(), cv=0.5, random_state=0)
    model.fit(X[:, :2], np.array(["a", "b", "b"])[y]).fit(X, y)
    fresh = clone(model).fit(X, y)
    assert model.n_features_in_ == 3
    assert model.outlier_label_ == -1
    assert_array_equal(model.predict(queries()), fresh.predict(queries()))
    assert_array_equal(model.p_values(queries()), fresh.p_values(queries()))


# Calibration samples per class: the fewest that the rate takes, and odd numbers above.
CALIBRATES = {0.01: (99, 130, 225), 0.05: (19, 30, 51), 0.2: (4, 7, 12)}
N_DRAWS = {0.01: 600, 0.05: 300, 0.2: 300}


def count_rejections(make_model, sizes, n_draws, transform=lambda X: X):
    """Return how often the own class turns down, and all do, a fresh sample of each."""
    rng = np.random.default_rng(0)
    y, y_new = np.repeat([0, 1, 2], sizes), np.arange(3)
    turned_down, rejected = np.zeros(3, dtype=int), np.zeros(3, dtype=int)
    for draw in range(n_draws):
        model = make_model(draw).fit(transform(sample(y, rng)), y)
        accepted = model.predict_set(transform(sample(y_new, rng)))
        turned_down += ~accepted[y_new, y_new]
        rejected += ~accepted.any(axis=1)
    return turned_down, rejected


@pytest.mark.parametrize("rate", CALIBRATES)
@pytest.mark.parametrize("name", SCORES)
def test_guarantee_of_a_frozen_estimator(name, rate):
    """Check the bound on false rejections of each class over draws of all samples."""
    estimator = frozen(GaussianNB())
    learns = name != "max_softmax"
    sizes = np.array(CALIBRATES[rate])

    def make_model(seed):
        return OpenSetClassifier(
            estimator,
            conformity_score=SCORES[name],
            false_rejection_rate=rate,
            cv=0.5,
            random_state=seed,
        )

    turned_down, rejected = count_rejections(
        make_model, sizes * (2 if learns else 1), N_DRAWS[rate]
    )
    assert (rejected <= binom.ppf(0.999, N_DRAWS[rate], rate)).all()
    assert (rejected <= turned_down).all()
    # Scores without ties: the own class turns down exactly k of n + 1.
    exact = np.floor(rate * (sizes + 1) + 1e-9) / (sizes + 1)
    low, high = (binom.ppf(q, N_DRAWS[rate], exact) for q in (0.0005, 0.9995))
    assert (turned_down >= low).all()
    assert (turned_down <= high).all()


@pytest.mark.parametrize("name", ["max_softmax", "combined"])
def test_guarantee_of_a_held_out_share(name):
    """Check the bound where the estimator and the score learn anew from each draw."""
    rate, n_draws = 0.2, 300
    sizes = np.array(CALIBRATES[rate])

    def make_model(seed):
        return OpenSetClassifier(
            GaussianNB(),
            conformity_score=SCORES[name],
            false_rejection_rate=rate,
            cv=0.5,
            random_state=seed,
        )

    turned_down, rejected = count_rejections(make_model, 2 * sizes, n_draws)
    assert (rejected <= binom.ppf(0.999, n_draws, rate)).all()
    exact = np.floor(rate * (sizes + 1) + 1e-9) / (sizes + 1)
    low, high = (binom.ppf(q, n_draws, exact) for q in (0.0005, 0.9995))
    assert (turned_down >= low).all()
    assert (turned_down <= high).all()


@pytest.mark.parametrize("rate", [0.05, 0.2])
@pytest.mark.parametrize("kind", ["tree", "rounded features"])
def test_guarantee_with_ties(kind, rate):
    """Check that ties in the scores do not break the bound."""
    tree = kind == "tree"
    transform = (lambda X: X) if tree else np.round
    X, y = clouds((40, 40, 40), seed=7)
    inner = DecisionTreeClassifier(max_depth=3, random_state=0) if tree else GaussianNB()
    estimator = FrozenEstimator(inner.fit(transform(X), y))
    score = "max_softmax" if tree else CenterDistance(centers=np.round(MEANS))
    model = OpenSetClassifier(estimator, conformity_score=score, false_rejection_rate=rate)
    turned_down, rejected = count_rejections(
        lambda seed: model, CALIBRATES[rate], 300, transform
    )
    bound = binom.ppf(0.999, 300, rate)
    assert (turned_down <= bound).all()
    assert (rejected <= bound).all()
    # There are ties: few scores for many samples.
    X = transform(sample(np.repeat([0, 1, 2], 100), np.random.default_rng(0)))
    assert len(np.unique(model.score_samples(X))) < 60


@pytest.mark.parametrize(("rate", "size"), [(0.05, 60), (0.2, 23)])
def test_confidence_exactly(rate, size):
    """Check the share of calibration sets that break the bound against the exact one."""
    # Distances to the centers of round clouds follow chi: no fresh samples are needed.
    n_draws, confidence = 400, 0.9
    model = OpenSetClassifier(
        frozen(GaussianNB()),
        conformity_score=CenterDistance(centers=MEANS),
        false_rejection_rate=rate,
        confidence=confidence,
    )
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], size)
    broken = np.zeros(3, dtype=int)
    for _ in range(n_draws):
        X = MEANS[y] + rng.normal(size=(len(y), 3)) * WIDTHS[y][:, None]
        thresholds = -model.fit(X, y).score_thresholds_
        broken += chi2.sf((thresholds / WIDTHS) ** 2, df=3) > rate
    assert (broken <= binom.ppf(0.999, n_draws, 1 - confidence)).all()
    # It breaks the bound where fewer than k of n uniform numbers lie below the rate.
    k = reference_rank(size, rate, confidence)
    expected = binom.cdf(k - 1, size, rate)
    assert (broken >= binom.ppf(0.0005, n_draws, expected)).all()
    assert (broken <= binom.ppf(0.9995, n_draws, expected)).all()


@pytest.mark.parametrize("name", ["max_softmax", "combined"])
def test_confidence_of_the_whole_chain(name):
    """Check on many fresh samples that few calibration sets break the bound."""
    rate, confidence, n_draws, size = 0.1, 0.9, 300, 50
    estimator = frozen(GaussianNB())
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], size if name == "max_softmax" else 2 * size)
    y_new = np.repeat([0, 1, 2], 6700)
    X_new = sample(y_new, rng)
    broken = np.zeros((2, 3), dtype=int)
    for draw in range(n_draws):
        model = OpenSetClassifier(
            estimator,
            conformity_score=SCORES[name],
            false_rejection_rate=rate,
            confidence=confidence,
            cv=0.5,
            random_state=draw,
        ).fit(sample(y, rng), y)
        accepted = model.predict_set(X_new)
        for found, kept in zip(broken, (own_of(accepted, y_new), accepted.any(axis=1))):
            found += (1 - kept.reshape(3, -1).mean(axis=1)) > rate
    assert (broken <= binom.ppf(0.999, n_draws, 1 - confidence)).all()
    assert (broken[1] <= broken[0]).all()


@pytest.mark.parametrize("cv", [0.5, 5, PredefinedSplit(np.arange(150) % 2 - 1)])
def test_fit_params_are_split(cv):
    """Check that weights follow their samples and other parameters pass as they are."""
    X, y = clouds()
    weight = np.random.default_rng(0).uniform(size=len(y))
    note = {"any": "thing"}
    model = OpenSetClassifier(
        Recorder(), cv=cv, refit=isinstance(cv, int), random_state=0
    ).fit(X, y, sample_weight=weight.tolist(), note=note)
    given = model.estimator_.given_
    weight_of = dict(zip(map(tuple, X.tolist()), weight))
    assert_array_equal(given["sample_weight"], [weight_of[tuple(x)] for x in given["X"]])
    assert len(given["X"]) == (150 if cv == 5 else 75)
    assert given["note"] is note


def test_weights_reach_every_fold():
    """Check out-of-fold scores of a weighted estimator against a loop."""
    X, y = clouds()
    weight = np.random.default_rng(0).uniform(size=len(y)) ** 4
    model = OpenSetClassifier(GaussianNB(), conformity_score="max_softmax", cv=4)
    model.fit(X, y, sample_weight=weight)

    def fitted(train):
        return GaussianNB().fit(X[train], y[train], weight[train])

    own = np.empty(len(y))
    for train, test in StratifiedKFold(4).split(X, y):
        own[test] = own_of(fitted(train).predict_proba(X[test]), y[test])
    scores = fitted(np.arange(len(y))).predict_proba(queries())
    expected = reference_p_values(own, y, scores)
    assert_array_equal(model.p_values(queries()), expected)
    assert not np.array_equal(model.fit(X, y).p_values(queries()), expected)


def test_metadata_routing():
    """Check that routed weights reach the estimator, and only where they are asked for."""
    X, y = clouds((90, 90, 90))
    weight = np.random.default_rng(0).uniform(size=len(y))
    with sklearn.config_context(enable_metadata_routing=True):
        asks = Recorder().set_fit_request(sample_weight=True)
        model = OpenSetClassifier(asks, cv=0.5, random_state=0)
        pipe = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), model)
        pipe.fit(X, y, sample_weight=weight)
        scaled = pipe[0].transform(X)
        given = pipe[-1].estimator_.given_
        weight_of = dict(zip(map(tuple, scaled.tolist()), weight))
        assert_array_equal(
            given["sample_weight"], [weight_of[tuple(x)] for x in given["X"].tolist()]
        )
        model.set_score_request(sample_weight=False)
        search = GridSearchCV(model, {"false_rejection_rate": [0.1, 0.2]}, cv=2)
        search.fit(X, y, sample_weight=weight)
        given = search.best_estimator_.estimator_.given_
        weight_of = dict(zip(map(tuple, X.tolist()), weight))
        assert_array_equal(
            given["sample_weight"], [weight_of[tuple(x)] for x in given["X"].tolist()]
        )
        refuses = Recorder().set_fit_request(sample_weight=False)
        with pytest.raises(TypeError, match="sample_weight"):
            OpenSetClassifier(refuses, cv=0.5).fit(X, y, sample_weight=weight)
        with pytest.raises(ValueError, match="sample_weight"):
            OpenSetClassifier(Recorder(), cv=0.5).fit(X, y, sample_weight=weight)
        unweighted = OpenSetClassifier(Recorder(), cv=0.5).fit(X, y)
        assert unweighted.estimator_.given_["sample_weight"] is None


def test_groups_reach_the_splitter():
    """Check that no group trains and calibrates at once, with routing and without."""
    X, y = clouds((90, 90, 90))
    groups = np.random.default_rng(0).integers(9, size=len(y))
    cv = GroupKFold(3)
    model = OpenSetClassifier(GaussianNB(), conformity_score="max_softmax", cv=cv)
    own = np.empty(len(y))
    for train, test in cv.split(X, y, groups):
        assert not set(groups[train]) & set(groups[test])
        own[test] = own_of(
            GaussianNB().fit(X[train], y[train]).predict_proba(X[test]), y[test]
        )
    scores = GaussianNB().fit(X, y).predict_proba(queries())
    expected = reference_p_values(own, y, scores)
    model.fit(X, y, groups=groups)
    assert_array_equal(model.p_values(queries()), expected)
    with pytest.raises(ValueError, match="groups"):
        clone(model).fit(X, y)
    with sklearn.config_context(enable_metadata_routing=True):
        routed = clone(model).fit(X, y, groups=groups)
        assert_array_equal(routed.p_values(queries()), expected)
        # To the splitter of the search and to that inside, at once.
        leave_out = LeaveClassesOut(n_splits=2, random_state=0)
        search = GridSearchCV(
            clone(model), {"false_rejection_rate": [0.1]}, cv=leave_out, refit=False
        ).fit(X, y, groups=groups)
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
        weighted = OpenSetClassifier(
            GaussianNB().set_fit_request(sample_weight=True), cv=cv
        ).fit(X, y, groups=groups, sample_weight=np.ones(len(y)))
        assert len(weighted.classes_) == 3
    # A share of every class is drawn without groups: they are none of its business.
    with pytest.raises(TypeError, match="groups"):
        OpenSetClassifier(GaussianNB(), cv=0.5).fit(X, y, groups=groups)


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


def test_init_only_stores():
    """Check that what is given is stored untouched, and fit leaves it so."""
    score, rates = CityBlock(), {0: 0.1, 1: 0.1, 2: 0.1}
    estimator = RandomForestClassifier(3)
    model = OpenSetClassifier(
        estimator,
        conformity_score=score,
        false_rejection_rate=rates,
        cv=0.5,
        random_state=0,
    )
    before = dict(vars(model))
    assert before.items() <= model.get_params(deep=False).items()
    model.fit(*clouds())
    for name, value in before.items():
        assert getattr(model, name) is value
    assert not hasattr(estimator, "classes_")
    assert estimator.random_state is None
    assert rates == {0: 0.1, 1: 0.1, 2: 0.1}


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
    assert search.best_params_["false_rejection_rate"] == min(grid["false_rejection_rate"])
    assert search.best_index_ == np.argmax(expected)
    assert min(expected) < max(expected)
    assert search.best_params_["estimator__C"] == search.best_estimator_.estimator_.C


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
    model.fit(X, y)
    X = np.concatenate([X, np.full((50, 3), 50.0)])
    y = np.append(y, np.full(50, -1))
    assert model.score(X, y) == np.mean(model.predict(X) == y) > 0.8


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


@pytest.mark.parametrize("cv", [0.5, 3])
def test_random_state(cv):
    """Check that one seed makes two fits equal, the estimator's included."""
    X, y = clouds()
    forest = RandomForestClassifier(4)
    first, second, other = (
        OpenSetClassifier(forest, cv=cv, random_state=seed).fit(X, y) for seed in (0, 0, 1)
    )
    assert_array_equal(first.predict_proba(queries()), second.predict_proba(queries()))
    assert_array_equal(first.p_values(queries()), second.p_values(queries()))
    assert (first.predict_proba(queries()) != other.predict_proba(queries())).any()
    instance = np.random.RandomState(0)
    third = OpenSetClassifier(forest, cv=cv, random_state=instance).fit(X, y)
    assert_array_equal(first.p_values(queries()), third.p_values(queries()))


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


@pytest.mark.parametrize("name", ["random forest", "pipeline, center loss"])
def test_dump_and_load(name, tmp_path):
    """Check that a model answers the same after a round trip to disk."""
    model = OpenSetClassifier(ESTIMATORS[name], cv=0.5, random_state=0).fit(*clouds())
    joblib.dump(model, tmp_path / "model.joblib")
    loaded = joblib.load(tmp_path / "model.joblib")
    for method in METHODS:
        expected = getattr(model, method)(queries())
        assert_array_equal(getattr(loaded, method)(queries()), expected)


@pytest.mark.parametrize(
    "method",
    [*METHODS, "predict_proba", "predict_log_proba", "decision_function", "transform"],
)
def test_not_fitted(method):
    """Check that methods of a model that is not fitted say so."""
    model = OpenSetClassifier(LinearDiscriminantAnalysis())
    with pytest.raises(NotFittedError, match="OpenSetClassifier"):
        getattr(model, method)(queries())


@pytest.mark.filterwarnings("ignore:divide by zero encountered in log")
@pytest.mark.parametrize("fit", [False, True], ids=["unfitted", "fitted"])
@pytest.mark.parametrize("freeze", [False, True], ids=["cloned", "frozen"])
@pytest.mark.parametrize(
    ("name", "has"),
    [
        ("center loss", "predict_proba predict_log_proba decision_function transform"),
        ("logistic regression", "predict_proba predict_log_proba decision_function"),
        ("random forest", "predict_proba predict_log_proba"),
        ("LinearSVC", "decision_function"),
        ("pipeline, LinearSVC", "decision_function"),
        ("only predict", ""),
    ],
)
def test_delegated_methods(name, has, freeze, fit):
    """Check that a model has the methods of its estimator and returns what they do."""
    if name == "center loss":
        has += " fit_transform"
    estimator = frozen(ESTIMATORS[name]) if freeze else ESTIMATORS[name]
    model = OpenSetClassifier(estimator, cv=0.5)
    if fit:
        model.fit(*clouds())
    methods = ("predict_proba", "predict_log_proba", "decision_function", "transform")
    for method in (*methods, "fit_transform"):
        assert hasattr(model, method) == (method in has.split())
    names_features = hasattr(estimator, "get_feature_names_out")
    assert hasattr(model, "get_feature_names_out") == names_features
    for method in methods:
        if fit and method in has.split():
            expected = getattr(model.estimator_, method)(queries())
            assert_array_equal(getattr(model, method)(queries()), expected)
    if "predict_proba" not in has:
        with pytest.raises(AttributeError, match="predict_proba"):
            model.predict_proba(queries())


@pytest.mark.parametrize("freeze", [False, True], ids=["cloned", "frozen"])
@pytest.mark.parametrize("estimator", [*ESTIMATORS.values(), Moody()], ids=str)
def test_tags(estimator, freeze):
    """Check that a model tells tools what its estimator takes and gives."""
    estimator = frozen(estimator) if freeze else estimator
    tags, expected = get_tags(OpenSetClassifier(estimator)), get_tags(estimator)
    assert tags.estimator_type == "classifier"
    assert tags.target_tags.required
    assert tags.input_tags == expected.input_tags
    assert tags.transformer_tags == expected.transformer_tags
    assert tags.classifier_tags == expected.classifier_tags
    assert tags.non_deterministic == expected.non_deterministic


def test_fit_transform():
    """Check that a model in a pipeline passes the features of its estimator on."""
    X, y = clouds()
    model = OpenSetClassifier(net(), cv=0.5, random_state=0)
    weight = np.random.default_rng(0).uniform(size=len(y)) ** 4
    for params in ({}, {"sample_weight": weight}):
        features = clone(model).fit_transform(X, y, **params)
        assert features.shape == (150, 4)
        expected = clone(model).fit(X, y, **params).estimator_.transform(X)
        assert_array_equal(features, expected)


@pytest.mark.parametrize("name", ["random forest", "pipeline, center loss"])
def test_data_frame(name):
    """Check that a DataFrame and a Series do as arrays, and its names are kept."""
    pd = pytest.importorskip("pandas")
    X, y = clouds()
    frame = pd.DataFrame(X, columns=["a", "b", "c"], index=np.arange(150)[::-1])
    labels = pd.Series(np.array(["x", "y", "z"])[y], index=frame.index)
    model = OpenSetClassifier(ESTIMATORS[name], cv=0.5, random_state=0)
    twin = clone(model).fit(X, labels.to_numpy())
    model.fit(frame, labels)
    assert_array_equal(model.feature_names_in_, ["a", "b", "c"])
    assert model.n_features_in_ == twin.n_features_in_ == 3
    assert not hasattr(twin, "feature_names_in_")
    X = pd.DataFrame(queries(), columns=["a", "b", "c"])
    for method in METHODS:
        expected = getattr(twin, method)(queries())
        # A scaler sums a DataFrame, whose columns lie one after another, otherwise.
        check = assert_allclose if method == "score_samples" else assert_array_equal
        check(getattr(model, method)(X), expected)
    model.set_params(cv=4).fit(frame, labels)
    assert_array_equal(
        model.p_values(X),
        twin.set_params(cv=4).fit(frame.to_numpy(), labels).p_values(queries()),
    )


def test_column_selected_by_name():
    """Check that an estimator that selects columns by name gets a DataFrame throughout."""
    pd = pytest.importorskip("pandas")
    from sklearn.compose import make_column_transformer

    X, y = clouds()
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    select = make_column_transformer((StandardScaler(), ["a", "b"]))
    model = OpenSetClassifier(make_pipeline(select, GaussianNB()), cv=0.5, random_state=0)
    twin = make_pipeline(StandardScaler(), GaussianNB())
    twin = OpenSetClassifier(twin, cv=0.5, random_state=0).fit(X[:, :2], y)
    model.fit(frame, y)
    X = pd.DataFrame(queries(), columns=["a", "b", "c"])
    assert_array_equal(model.p_values(X), twin.p_values(queries()[:, :2]))


def test_estimator_that_exposes_nothing():
    """Check that an estimator does that has no attributes of scikit-learn's."""

    class Bare(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.nearest_ = Nearest().fit(X, y)
            return self

        def predict(self, X):
            return self.nearest_.predict(X)

    X, y = clouds()
    model, twin = (
        OpenSetClassifier(estimator, cv=0.5, random_state=0).fit(X, y)
        for estimator in (Bare(), Nearest())
    )
    assert_array_equal(model.classes_, [0, 1, 2])
    assert not hasattr(model, "n_features_in_")
    assert not hasattr(model, "feature_names_in_")
    for method in METHODS:
        expected = getattr(twin, method)(queries())
        assert_array_equal(getattr(model, method)(queries()), expected)


@pytest.mark.parametrize("cv", [0.5, 4])
@pytest.mark.parametrize("name", ["logistic regression", "center loss", "LinearSVC"])
def test_lists(name, cv):
    """Check that lists of lists and a list of labels do as arrays."""
    X, y = clouds()
    model, twin = (
        OpenSetClassifier(ESTIMATORS[name], cv=cv, random_state=0).fit(*data)
        for data in ((X.tolist(), y.tolist()), (X, y))
    )
    for method in METHODS:
        expected = getattr(twin, method)(queries())
        assert_array_equal(getattr(model, method)(queries().tolist()), expected)


@pytest.mark.parametrize("make", [sp.csr_matrix, sp.csr_array, sp.csc_array])
@pytest.mark.parametrize("cv", [0.5, 4])
def test_sparse(cv, make):
    """Check that sparse samples do where the estimator takes them."""
    X, y = clouds()
    model = OpenSetClassifier(LogisticRegression(tol=1e-6), cv=cv, random_state=0)
    twin = clone(model).fit(X, y)
    model.fit(make(X), y)
    X = queries()
    assert_allclose(model.score_samples(make(X)), twin.score_samples(X), rtol=1e-5)
    assert_array_equal(model.predict(make(X)), twin.predict(X))
    assert 0 < model.is_outlier(make(X)).sum() < len(X)


@pytest.mark.parametrize("cv", [0.5, 3])
def test_images(cv):
    """Check that images pass through a convolutional net, and noise is turned down."""
    X, y = load_digits(return_X_y=True)
    known = np.isin(y, [0, 1, 4])
    X, y = (X[known] / 16).reshape(-1, 1, 8, 8)[:240], y[known][:240]
    model = OpenSetClassifier(
        net(max_epochs=6), conformity_score="center_distance", cv=cv, random_state=0
    ).fit(X[:200], y[:200])
    assert_array_equal(model.classes_, [0, 1, 4])
    assert model.predict(X[200:]).shape == (40,)
    assert model.score(X[200:], y[200:]) > 0.7
    features = model.transform(X)
    assert features.shape == (240, 4)
    centers = model.estimator_.centers_
    away = np.linalg.norm(features[:, None].astype(float) - centers, axis=2)
    assert_allclose(model.score_samples(X), -away.min(axis=1), **CLOSE)
    assert model.is_outlier(np.full((1, 1, 8, 8), 20.0)).all()


def test_missing_values_are_up_to_the_estimator():
    """Check that NaN passes where the estimator takes it, and else is its error."""
    X, y = clouds()
    holes = X.copy()
    holes[::7, 0] = np.nan
    model = OpenSetClassifier(DecisionTreeClassifier(max_depth=3), cv=0.5).fit(holes, y)
    assert model.p_values(holes).shape == (150, 3)
    with pytest.raises(ValueError, match="NaN"):
        OpenSetClassifier(GaussianNB(), cv=0.5).fit(holes, y)
    with pytest.raises(ValueError, match="NaN"):
        OpenSetClassifier(GaussianNB(), cv=0.5).fit(X, y).predict(holes)


def test_number_of_features_is_checked():
    """Check that samples of another number of features are an error."""
    model = OpenSetClassifier(GaussianNB(), cv=0.5).fit(*clouds())
    for method in METHODS:
        with pytest.raises(ValueError, match="2 features"):
            getattr(model, method)(queries()[:, :2])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda y: y[:-1], r"inconsistent numbers of samples: \[150, 149\]"),
        (lambda y: y + 0.5, "continuous"),
        (lambda y: np.where(y == 1, np.nan, y), "y holds a missing label, nan"),
        (lambda y: np.column_stack([y, y]), "1d array"),
    ],
    ids=["short", "continuous", "NaN", "two columns"],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_bad_labels_raise(spoil, message):
    """Check that labels of no use are an error that says why."""
    X, y = clouds()
    with pytest.raises(ValueError, match=message):
        OpenSetClassifier(GaussianNB(), cv=0.5).fit(X, spoil(y))


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


@pytest.mark.parametrize("calibration", ["conformal", "weibull"])
@pytest.mark.parametrize("score", ["max_softmax", "mahalanobis", "energy", "knn", "auto"])
def test_class_of_a_frozen_estimator_without_samples(score, calibration):
    """Check that a class that nothing calibrates is named and judged as the rarest one."""
    X, y = clouds((60, 41, 33))
    estimator = FrozenEstimator(LogisticRegression().fit(X, y))
    model = OpenSetClassifier(
        estimator, conformity_score=score, calibration=calibration, random_state=0
    )
    with (
        pytest.warns(UserWarning, match=ABSENT),
        pytest.warns(UserWarning, match=r"share one threshold.*1 \(0\)"),
    ):
        model.fit(X[y != 1], y[y != 1])
    assert_array_equal(model.classes_, [0, 1, 2])
    new = queries()
    p_values = model.p_values(new)
    assert p_values.shape == (len(new), 3)
    # Class 2 is the rarer one of the other two: its threshold is that of class 1.
    assert model.score_thresholds_[1] == model.score_thresholds_[2]
    accepted = p_values > model.thresholds_
    # Logits and probabilities tell of class 1, features and inputs do not.
    assert accepted[:, 1].any() == (score in ("max_softmax", "energy"))
    expected = reference_predict(model, new, ranking_of(model, new))
    assert_array_equal(model.predict(new), expected)


def test_center_of_a_class_without_samples():
    """Check that a frozen center-loss classifier needs no sample to know a center."""
    X, y = clouds()
    estimator = FrozenEstimator(net().fit(X, y))
    model = OpenSetClassifier(estimator, random_state=0)
    with pytest.warns(UserWarning, match=ABSENT), pytest.warns(UserWarning, match="share"):
        model.fit(X[y != 1], y[y != 1])
    assert (model.predict(X[y == 1]) == 1).mean() > 0.5


def test_classes_of_a_frozen_estimator():
    """Check that the classes come from the frozen estimator, with their dtype."""
    X, y = clouds()
    labels = np.array(["a", "b", "c"], dtype=object)
    estimator = FrozenEstimator(GaussianNB().fit(X, labels[y]))
    model = OpenSetClassifier(estimator, cv=0.5).fit(X, labels[y].astype("<U5"))
    assert_array_equal(model.classes_, estimator.classes_)
    assert model.classes_.dtype == estimator.classes_.dtype
    assert_array_equal(model.predict(X), reference_predict(model, X, ranking_of(model, X)))


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


def test_classifier_that_cannot_reject_warns():
    """Check that no threshold of probabilities that is out of reach goes unnoticed."""
    X, y = clouds()
    tree = DecisionTreeClassifier(random_state=0)
    model = OpenSetClassifier(tree, conformity_score="max_softmax", cv=0.5, random_state=1)
    with pytest.warns(UserWarning, match=f"{NEVER} .*thresholds.*'input_density'") as found:
        model.fit(X, y)
    assert [warning.filename for warning in found] == [__file__]
    assert model.score_thresholds_.sum() <= 1
    assert not model.is_outlier(queries()).any()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for score in ("auto", "center_distance"):
            model.set_params(conformity_score=score).fit(X, y)
            assert model.is_outlier(queries()).any()
        OpenSetClassifier(tree, false_rejection_rate=0).fit(X, y)


@pytest.mark.parametrize("name", ["forest", "center loss"])
def test_threshold_set_by_an_odd_member_warns(name):
    """Check that a scaler that blows up the margin of digits does not go unnoticed."""
    X, y = load_digits(return_X_y=True)
    known = y < 6
    classifier = net() if name == "center loss" else RandomForestClassifier(random_state=0)
    model = OpenSetClassifier(make_pipeline(StandardScaler(), classifier), random_state=0)
    with pytest.warns(UserWarning, match=r"Hardly any .* the classes \[\d.*labels.*cv=5"):
        model.fit(X[known], y[known])
    assert model.is_outlier(X[~known]).mean() < 0.1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.set_params(estimator=classifier).fit(X[known] / 16, y[known])
    assert model.is_outlier(X[~known] / 16).mean() > 0.3


def test_warning_that_nothing_can_be_rejected():
    """Check that it comes exactly where no probabilities lie below all the thresholds."""
    X, y = clouds((100, 100, 100))
    # Wrong labels are members of small probability.
    y[:40] = (y[:40] + 1) % 3
    warned = []
    for rate in np.linspace(0.1, 0.2, 21):
        model = OpenSetClassifier(
            GaussianNB(),
            conformity_score="max_softmax",
            false_rejection_rate=rate,
            cv=5,
        )
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            thresholds = model.fit(X, y).score_thresholds_
        warned.append(len(found) == 1)
        # As far below each of the thresholds as numbers that sum to one can be.
        lowest = thresholds - (thresholds.sum() - 1) / 3
        assert warned[-1] != (lowest < thresholds).all()
    assert set(warned) == {False, True}


def test_regressor_raises():
    """Check that only a classifier is taken, also one whose predict appears after fit."""
    X, y = clouds()
    for estimator in (LinearRegression(), StandardScaler()):
        with pytest.raises(ValueError, match="estimator must be a classifier; got"):
            OpenSetClassifier(estimator).fit(X, y)
    stack = StackingClassifier([("nb", GaussianNB()), ("tree", DecisionTreeClassifier())])
    model = OpenSetClassifier(stack, conformity_score="max_softmax", cv=0.5).fit(X, y)
    assert_array_equal(model.classes_, stack.fit(X, y).classes_)


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


def test_classes_that_differ_raise():
    """Check the errors where the estimator does not know the classes of y."""
    X, y = clouds()
    train = np.flatnonzero(y < 2)[::2]
    splits = [(train, np.setdiff1d(np.arange(len(y)), train))]
    with pytest.raises(ValueError, match=r"samples of every class; .* of \[0, 1\]"):
        OpenSetClassifier(GaussianNB(), cv=splits, refit=False).fit(X, y)
    inside = make_pipeline(StandardScaler(), FrozenEstimator(GaussianNB().fit(X, y)))
    with pytest.raises(ValueError, match=r"knows the classes .*but y holds \[0, 1\]"):
        OpenSetClassifier(inside).fit(X[y < 2], y[y < 2])
    with pytest.raises(NotFittedError):
        OpenSetClassifier(FrozenEstimator(GaussianNB())).fit(X, y)


def test_features_are_what_the_last_step_sees():
    """Check that a score of features sees what a Pipeline hands its classifier."""
    X, y = clouds()
    pipe = make_pipeline(StandardScaler(), LinearSVC(random_state=0))
    model = OpenSetClassifier(pipe, conformity_score="center_distance", cv=0.5)
    for estimator in (pipe, FrozenEstimator(clone(pipe).fit(X, y))):
        model.set_params(estimator=estimator).fit(X, y)
        seen = model.estimator_[:-1].transform(queries())
        expected = cdist(seen, model.score_.centers_).min(axis=1)
        assert_allclose(model.score_samples(queries()), -expected)
    text = OpenSetClassifier(
        make_pipeline(OneHotEncoder(sparse_output=False), LogisticRegression()),
        conformity_score="mahalanobis",
        cv=0.5,
    )
    alone, twin = (
        OpenSetClassifier(each, conformity_score="mahalanobis", cv=0.5, random_state=0)
        for each in (make_pipeline(GaussianNB()), GaussianNB())
    )
    expected = twin.fit(X, y).p_values(queries())
    assert_array_equal(alone.fit(X, y).p_values(queries()), expected)
    words = np.array(["red", "green", "blue"])[y][:, None]
    assert text.fit(words, y).predict(words).shape == y.shape


def test_torch_dataset():
    """Check that a Dataset, of which not all fits in memory, calibrates as its array."""
    X, y = clouds()
    X = X.astype(np.float32)
    data = torch.utils.data.TensorDataset(torch.from_numpy(X))
    new = torch.utils.data.TensorDataset(torch.from_numpy(queries().astype(np.float32)))
    fitted = net(max_epochs=3).fit(X, y)
    model = OpenSetClassifier(FrozenEstimator(fitted), cv=0.5, random_state=0)
    expected = clone(model).fit(X, y)
    model.fit(data, y)
    assert_array_equal(model.p_values(new), expected.p_values(new))
    for cv in (0.5, 3):
        model = OpenSetClassifier(net(max_epochs=3), cv=cv).fit(data, y)
        assert model.predict(new).shape == (len(new),)


def test_set_output():
    """Check that set_output reaches the estimator, also through a Pipeline."""
    X, y = clouds()
    model = OpenSetClassifier(net(max_epochs=2), cv=0.5)
    pipe = make_pipeline(StandardScaler(), model).set_output(transform="pandas").fit(X, y)
    frame = pipe.transform(X)
    assert list(frame.columns) == list(pipe.get_feature_names_out())
    assert pipe.predict(X).shape == y.shape
    assert not hasattr(OpenSetClassifier(GaussianNB()), "set_output")
    estimator = model.fit(X, y).estimator_
    assert list(model.set_output(transform="pandas").transform(X).columns) == list(
        estimator.get_feature_names_out()
    )
    assert isinstance(
        model.fit(X, y).set_output(transform="default").transform(X), np.ndarray
    )


@pytest.mark.parametrize("kind", ["iterable", "predefined", "int", "share"])
def test_weight_zero_leaves_the_splits_in_place(kind):
    """Check that indices of cv mean rows of all samples, also where some do not count."""
    X, y = clouds((60, 60, 60))
    weight = np.ones(len(y))
    weight[:40] = 0
    halves = (np.arange(100), np.arange(100, 180))
    cv = {
        "iterable": [halves],
        "predefined": PredefinedSplit(np.where(np.arange(180) < 100, -1, 0)),
        "int": 3,
        "share": 0.5,
    }[kind]
    params = {"cv": cv, "refit": kind in ("int", "share"), "random_state": 0}
    model = OpenSetClassifier(Recorder(), **params).fit(X, y, sample_weight=weight)
    given = model.estimator_.given_["X"]
    assert not rows(given) & rows(X[:40])
    if kind in ("iterable", "predefined"):
        assert_array_equal(given, X[40:100])
        assert model.calibration_.n_samples_.tolist() == np.bincount(y[100:]).tolist()
    if kind == "int":
        assert_array_equal(given, X[40:])
        assert model.calibration_.n_samples_.sum() == 140


@pytest.mark.parametrize(
    ("classes", "label"),
    [
        (2**60 + np.arange(1, 4, dtype=np.uint64), -1),
        (np.arange(3), 2**63),
        (np.arange(3), 2**40),
        (np.arange(3, dtype=np.uint8), 1234.56),
    ],
)
def test_labels_are_kept_to_the_last_digit(classes, label):
    """Check that no label is rounded for the sake of a dtype that holds them all."""
    X, y = clouds()
    model = OpenSetClassifier(
        GaussianNB(), conformity_score="mahalanobis", cv=0.5, outlier_label=label
    )
    predicted = model.fit(X, classes[y]).predict(np.vstack([X, [[99.0, 99, 99]]]))
    allowed = {*classes.tolist(), label}
    assert set(predicted.tolist()) <= allowed
    assert predicted[-1] == label


def test_pairs_of_classes_are_no_ranking():
    """Check that the columns of one-versus-one machines are not taken for classes."""
    X, y = clouds((80, 80, 80))
    params = {"conformity_score": "mahalanobis", "false_rejection_rate": 0.3, "cv": 0.5}
    X_new = np.random.default_rng(0).uniform(-3, 5, size=(3000, 3))
    pairs = SVC(decision_function_shape="ovo")
    model = OpenSetClassifier(pairs, random_state=0, **params).fit(X, y)
    p_values = model.p_values(X_new)
    assert_array_equal(model.predict(X_new), reference_predict(model, X_new, p_values))
    # The test shows something: often the estimator's class is turned down for another.
    accepted = p_values > model.thresholds_
    turned = ~accepted[np.arange(3000), model.estimator_.predict(X_new)]
    assert (turned & accepted.any(axis=1)).sum() > 10


def test_fit_on_an_array_forgets_the_columns():
    """Check that names of features are those of the last fit."""
    X, y = clouds()
    model = OpenSetClassifier(GaussianNB(), cv=0.5)
    model.fit(pd.DataFrame(X, columns=list("abc")), y)
    assert_array_equal(model.feature_names_in_, list("abc"))
    assert not hasattr(model.fit(X, y), "feature_names_in_")


def test_share_is_no_victim_of_rounding():
    """Check that 7 % of 100 samples are 7, though 0.07 * 100 is a little more."""
    X, y = clouds((100, 100, 100))
    model = OpenSetClassifier(GaussianNB(), cv=0.07, false_rejection_rate=0.2).fit(X, y)
    assert_array_equal(model.calibration_.n_samples_, [7, 7, 7])


def test_no_split_raises():
    """Check that an empty list of splits is an error that names cv."""
    with pytest.raises(ValueError, match=r"cv must give at least one split; cv=\[\]"):
        OpenSetClassifier(GaussianNB(), cv=[]).fit(*clouds())


def test_selected_outliers_are_those_of_benjamini_and_hochberg():
    """Check the selection against the procedure, step by step on the largest p-values."""
    X, y = clouds((99, 99, 99))
    model = OpenSetClassifier(frozen(GaussianNB()), conformity_score="mahalanobis")
    model.fit(X, y)
    X = queries()
    p = model.p_values(X).max(axis=1)
    seen = set()
    for fdr in (0.001, 0.05, 0.1, 0.3, 0.9):
        steps = [k for k in range(1, len(X) + 1) if np.sort(p)[k - 1] <= fdr * k / len(X)]
        cut = np.sort(p)[max(steps) - 1] if steps else -1.0
        selected = model.select_outliers(X, fdr=fdr)
        assert_array_equal(selected, p <= cut)
        seen.add(int(selected.sum()))
    assert len(seen) > 2
    for fdr in (0, 1, -0.1, "low"):
        with pytest.raises(ValueError, match=f"fdr must be in .0, 1.; got {fdr!r}"):
            model.select_outliers(X, fdr=fdr)


@pytest.mark.parametrize("share", [0.15, 0.4])
def test_false_discovery_rate(share):
    """Check the mean share of members among the selected, over draws of everything."""
    estimator = frozen(GaussianNB())
    model = OpenSetClassifier(estimator, conformity_score=CenterDistance(MEANS))
    rng = np.random.default_rng(0)
    fdr, n_draws, n_new = 0.2, 400, 100
    y = np.repeat(np.arange(3), (120, 80, 60))
    rates, found = [], 0
    for _ in range(n_draws):
        model.fit(sample(y, rng), y)
        is_outsider = rng.random(n_new) < share
        X = sample(rng.integers(3, size=n_new), rng)
        X[is_outsider] = rng.normal([6, 6, -6], size=(is_outsider.sum(), 3))
        selected = model.select_outliers(X, fdr=fdr)
        rates.append((selected & ~is_outsider).sum() / max(selected.sum(), 1))
        found += (selected & is_outsider).sum() / max(is_outsider.sum(), 1)
    # One-sided, at 99.9 %: the shares of independent draws have a normal mean.
    assert np.mean(rates) <= fdr + 3.1 * np.std(rates) / np.sqrt(n_draws)
    # The bound is no bound if nothing is selected.
    assert found / n_draws > 0.5


class CountingRows(torch.nn.Linear):
    """Features that count the rows they are made for."""

    n_rows = 0

    def forward(self, X):
        """Count, and map."""
        CountingRows.n_rows += len(X)
        return super().forward(X)


def test_predict_ranks_again_only_where_it_must():
    """Check that no pass over all samples asks for ranks that a few need."""
    X, y = make_blobs(300, centers=3, cluster_std=3.0, random_state=0)
    classifier = CenterLossClassifier(
        CountingRows, module__in_features=2, module__out_features=4, random_state=0
    )
    model = OpenSetClassifier(classifier.set_params(max_epochs=3), random_state=0)
    model.fit(X, y)
    CountingRows.n_rows = 0
    model.predict(X)
    # Once each for classes, features and logits, and again for those in doubt.
    assert 3 * len(X) < CountingRows.n_rows < 3.5 * len(X)


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
@pytest.mark.parametrize("names", [["a", "b", "c"], [0, 1, 2]])
@pytest.mark.parametrize("container", [np.asarray, list, pd.Series])
@pytest.mark.parametrize("model", [OpenSetClassifier(GaussianNB()), CenterLossClassifier()])
def test_missing_labels(model, container, names, missing):
    """Check that a label that is missing is named, with where it is and what to do."""
    X, y = load_iris(return_X_y=True)
    labels = np.array(names, dtype=object)[y]
    labels[[3, 5]] = missing
    found = f"y holds a missing label, ({missing}|nan) at sample 3, the first of 2. Every"
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
