"""Tests of which samples train and which calibrate, against loops over the splits."""

from math import ceil

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from open_set_problems import (
    Recorder,
    clouds,
    frozen,
    is_among,
    own_of,
    queries,
    reference_p_values,
    rows,
)
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
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
from sklearn.preprocessing import StandardScaler

from sk_center import LeaveClassesOut, OpenSetClassifier
from sk_center.open_set.fitted_part import lowered
from sk_center.open_set.splits import folds_of_classes, split_classes
from sk_center.scores import BaseScore

# What the splits are is told by the p-values, whatever fit warns of.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def softmax(**params):
    """Return a model whose score is the probability that a classifier gives."""
    params = {"conformity_score": "max_softmax", "random_state": 0, **params}
    return OpenSetClassifier(params.pop("estimator", LogisticRegression()), **params)


def fitted(X, y, weight=None):
    """Return the classifier alone, fitted."""
    return LogisticRegression().fit(X, y, weight)


def known_p_values(own, final, X=None):
    """Return p-values of queries; after folds of X, no lower than by the final model."""
    top, new = np.sort(own.max(axis=1)), final.predict_proba(queries()).max(axis=1)
    if X is not None:
        top = np.minimum(top, np.sort(final.predict_proba(X).max(axis=1))[: len(top)])
    return (1 + (top <= new[:, None]).sum(axis=1)) / (len(top) + 1)


def check_calibration(model, own, y_own, final, X=None):
    """Check p-values by class and of the predicted class against calibration scores."""
    scores = final.predict_proba(queries())
    expected = reference_p_values(own_of(own, y_own), y_own, scores)
    assert_array_equal(model.p_values(queries()), expected)
    assert_array_equal(model.p_known(queries()), known_p_values(own, final, X))


@pytest.mark.parametrize("share", [0.2, 0.34, 0.5, np.float32(0.5)])
def test_float_cv_holds_out_a_share_of_each_class(share):
    """Check that a share of every class, rounded up, never trains and calibrates."""
    X, y = clouds((60, 41, 33))
    model = softmax(estimator=Recorder(), cv=share, random_state=None).fit(X, y)
    given = model.estimator_.given_
    held_out = rows(X) - rows(given["X"])
    assert len(given["X"]) + len(held_out) == len(X)
    sizes = [ceil(float(share) * size) for size in (60, 41, 33)]
    for k, size in enumerate(sizes):
        assert len(held_out & rows(X[y == k])) == size
    assert_array_equal(model.calibration_report_.n_samples, sizes)
    # Each sample with its own label.
    label_of = dict(zip(map(tuple, X.tolist()), y))
    assert_array_equal(given["y"], [label_of[tuple(x)] for x in given["X"].tolist()])


def test_share_is_no_victim_of_rounding():
    """Check that 7 % of 100 samples are 7, though 0.07 * 100 is a little more."""
    X, y = clouds((100, 100, 100))
    model = softmax(cv=0.07).fit(X, y)
    assert_array_equal(model.calibration_report_.n_samples, [7, 7, 7])


@pytest.mark.parametrize("refit", [True, False])
def test_held_out_samples_calibrate(refit):
    """Check p-values after a float cv, whatever refit is."""
    X, y = clouds()
    model = softmax(estimator=Recorder(), cv=0.5, refit=refit).fit(X, y)
    test = ~is_among(X, model.estimator_.given_["X"])
    assert test.sum() == 75
    own = model.estimator_.predict_proba(X[test])
    scores = model.estimator_.predict_proba(queries())
    expected = reference_p_values(own_of(own, y[test]), y[test], scores)
    # Naive Bayes is sure but for rounding, which counts as ties.
    assert (np.abs(model.p_values(queries()) - expected) <= 3 / 26).all()


SPLITTERS = {
    "int": 5,
    "stratified": StratifiedKFold(4, shuffle=True, random_state=0),
    "k-fold": KFold(3, shuffle=True, random_state=1),
    "default": None,
}


@pytest.mark.parametrize("kind", ["given", "iterable", "generator"])
@pytest.mark.parametrize("name", SPLITTERS)
def test_out_of_fold_scores(name, kind):
    """Check p-values after cross-validation against a loop over the folds."""
    X, y = clouds()
    cv = SPLITTERS[name]
    splitter = StratifiedKFold(cv or 5) if cv in (5, None) else cv
    splits = list(splitter.split(X, y))
    if kind != "given":
        cv = splits if kind == "iterable" else (split for split in splits)
    model = softmax(cv=cv).fit(X, y)
    own = [fitted(X[train], y[train]).predict_proba(X[test]) for train, test in splits]
    y_own = np.concatenate([y[test] for _, test in splits])
    check_calibration(model, np.concatenate(own), y_own, fitted(X, y), X)


def test_int_cv_against_cross_val_predict():
    """Check cv=5 against scikit-learn's own out-of-fold probabilities."""
    X, y = clouds()
    own = cross_val_predict(LogisticRegression(), X, y, method="predict_proba")
    check_calibration(softmax(cv=5).fit(X, y), own, y, fitted(X, y), X)


@pytest.mark.parametrize("kind", ["splitter", "iterable", "lists", "masks"])
def test_one_split_without_refit(kind):
    """Check that refit=False keeps the estimator that the split's training part made."""
    X, y = clouds()
    test_fold = np.where(np.arange(len(y)) % 2, 0, -1)
    cv = PredefinedSplit(test_fold)
    train, test = next(cv.split())
    if kind != "splitter":
        masks = [(test_fold == -1, test_fold == 0)]
        lists = [(train.tolist(), test.tolist())]
        cv = {"iterable": [(train, test)], "lists": lists, "masks": masks}[kind]
    model = softmax(cv=cv, refit=False).fit(X, y)
    final = fitted(X[train], y[train])
    check_calibration(model, final.predict_proba(X[test]), y[test], final)


@pytest.mark.parametrize("cv", [0.2, 5, StratifiedKFold(3)])
@pytest.mark.parametrize("pipeline", [False, True])
def test_frozen_estimator_calibrates_on_all(pipeline, cv):
    """Check that a frozen estimator is kept and that all samples calibrate."""
    inner = LogisticRegression()
    estimator = frozen(make_pipeline(StandardScaler(), inner) if pipeline else inner)
    X, y = clouds()
    before = estimator.predict_proba(queries())
    model = softmax(estimator=estimator, cv=cv).fit(X, y)
    assert model.estimator_.estimator is estimator.estimator
    assert_array_equal(model.predict_proba(queries()), before)
    check_calibration(model, estimator.predict_proba(X), y, estimator)


class CityBlock(BaseScore):
    """A score of our own: minus the city-block distance; keeps its training samples."""

    def _fit(self, y, **parts):
        (X,) = parts.values()
        self.given_ = X, y
        self.means_ = np.array([X[y == k].mean(axis=0) for k in np.unique(y)])

    def _score_classes(self, **parts):
        (X,) = parts.values()
        return -np.abs(X[:, None] - self.means_).sum(axis=2)


class LearntSoftmax(CityBlock):
    """The same among probabilities."""

    needs = ("probabilities",)


@pytest.mark.parametrize(
    ("cv", "share"), [(0.34, 0.34), (0.7, 0.7), (5, 0.5), (KFold(3), 0.5)]
)
@pytest.mark.parametrize("score", [CityBlock(), LearntSoftmax()])
def test_frozen_estimator_with_a_score_that_learns(score, cv, share):
    """Check that what a score learns from does not calibrate, by the documented share."""
    estimator = frozen(LogisticRegression())
    X, y = clouds()
    model = OpenSetClassifier(
        estimator, conformity_score=score, cv=cv, false_rejection_rate=0.1
    ).fit(X, y)

    def part(X):
        return X if score.needs == ("features",) else estimator.predict_proba(X)

    learned, y_learned = model.score_.given_
    test = ~is_among(part(X), learned)
    assert len(learned) + test.sum() == len(y)
    assert_array_equal(np.bincount(y[test]), np.ceil(share * np.bincount(y)))
    assert_array_equal(np.bincount(y_learned), np.bincount(y[~test]))
    reference = clone(score).fit(part(X)[~test], y[~test])
    own = own_of(reference.score_classes(part(X[test])), y[test])
    scores = reference.score_classes(part(queries()))
    expected = reference_p_values(own, y[test], scores)
    assert_array_equal(model.p_values(queries()), expected)


@pytest.mark.parametrize("lone", [0, 2])
def test_fold_that_holds_all_of_a_class(lone):
    """Check that samples of a class that a fold's training part lacks are left out."""
    X, y = clouds((60, 50, 40))
    fold = np.random.default_rng(0).permutation(len(y)) % 3
    splits = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(3)]
    # The second fold trains on two classes and is to score three.
    train, test = splits[1]
    splits[1] = train[y[train] != lone], test
    model = softmax(cv=splits).fit(X, y)
    splits[1] = splits[1][0], test[y[test] != lone]
    assert len(splits[1][1]) < len(test)
    own, y_own = [], np.concatenate([y[test] for _, test in splits])
    for train, test in splits:
        found = np.zeros((len(test), 3))
        classifier = fitted(X[train], y[train])
        found[:, classifier.classes_] = classifier.predict_proba(X[test])
        own.append(found)
    check_calibration(model, np.concatenate(own), y_own, fitted(X, y), X)


@pytest.mark.parametrize("sizes", [(300, 150, 50), (299, 150, 50), (499, 1)])
def test_auto_holds_out_or_folds(sizes):
    """Check that 100 held-out samples are enough, and fewer make all samples score."""
    X, y = clouds(sizes)
    model = softmax(cv="auto").fit(X, y)
    share = softmax(cv=0.2).fit(X, y)
    held_out = ceil(sizes[0] / 5) + sum(ceil(min(n / 5, n - 1)) for n in sizes[1:])
    assert share.held_out_
    assert model.held_out_ == (held_out >= 100)
    if model.held_out_:
        assert_array_equal(model.p_known(queries()), share.p_known(queries()))
    else:
        n_samples = [n if n > 1 else 0 for n in sizes]
        assert_array_equal(model.calibration_report_.n_samples, n_samples)


def test_folds_of_auto_against_a_loop():
    """Check that a model of the other folds scores each, with its share of classes."""
    X, y = clouds((13, 9, 3))
    X, y = np.concatenate([X, [[9.0, 9, 9]]]), np.append(y, 3)
    rng = np.random.RandomState(0)
    split_classes(y, np.arange(len(y)), 0.2, rng)
    own, held_out = np.zeros((0, 4)), []
    for train, test in folds_of_classes(y, rng.permutation(len(y)), 10):
        counts = np.bincount(y[test], minlength=4)
        assert (abs(counts[:3] - np.array([13, 9, 3]) / 10) < 1).all()
        assert not counts[3]
        assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(len(y)))
        own = np.concatenate([own, fitted(X[train], y[train]).predict_proba(X[test])])
        held_out.extend(test)
    assert_array_equal(np.sort(held_out), np.flatnonzero(y < 3))
    model = softmax(cv="auto").fit(X, y)
    assert not model.held_out_
    expected = known_p_values(own, fitted(X, y), X[y < 3])
    assert_array_equal(model.p_known(queries()), expected)


def test_scores_of_folds_are_no_higher_than_those_of_the_final_model():
    """Check equal samples, which models of folds score higher than the final one does."""
    X, y = np.ones((90, 3)), np.arange(90) % 3
    model = OpenSetClassifier(LogisticRegression(), cv="auto", random_state=0).fit(X, y)
    assert not model.is_outlier(X).any()
    assert_allclose(lowered(np.array([3.0, 1, 2]), np.array([0.5, 9, 2.5])), [3, 0.5, 2])


@pytest.mark.parametrize(
    ("params", "held_out"),
    [({"refit": False}, True), ({"confidence": 0.9}, True), ({"confidence": 0.99}, False)],
)
def test_auto_holds_out_what_the_bound_takes(params, held_out):
    """Check that more than 100 samples are held out where a bound takes them."""
    X, y = clouds((600, 20) if "confidence" in params else (60, 20))
    rate = 0.02 if "confidence" in params else 0.1  # which take 114 and 228 samples
    assert softmax(false_rejection_rate=rate, **params).fit(X, y).held_out_ == held_out


def test_default_of_a_frozen_estimator_is_half():
    """Check that half of the samples calibrate, and the score learns from the others."""
    X, y = clouds((60, 40, 40))
    model = OpenSetClassifier(
        frozen(LogisticRegression()), conformity_score="mahalanobis", random_state=0
    ).fit(X, y)
    assert model.held_out_
    assert_array_equal(model.calibration_report_.n_samples, [30, 20, 20])


def test_classes_of_one_and_two_samples_train():
    """Check that even a large share leaves every class a sample to train."""
    X, y = clouds((60, 50, 1))
    model = softmax(estimator=Recorder(), cv=0.9).fit(X, y)
    assert_array_equal(np.bincount(model.estimator_.given_["y"]), [6, 5, 1])
    assert rows(X[y == 2]) < rows(model.estimator_.given_["X"])
    X, y = clouds((60, 50, 2))
    model.fit(X, y)
    assert_array_equal(np.bincount(model.estimator_.given_["y"]), [6, 5, 1])
    assert_array_equal(model.calibration_report_.n_samples, [54, 45, 1])


@pytest.mark.parametrize("kind", ["iterable", "predefined", "int", "share"])
def test_weight_zero_leaves_the_splits_in_place(kind):
    """Check that indices of cv mean rows of all samples, also where some do not count."""
    X, y = clouds((60, 60, 60))
    weight = np.ones(len(y))
    weight[:40] = 0
    cv = {
        "iterable": [(np.arange(100), np.arange(100, 180))],
        "predefined": PredefinedSplit(np.where(np.arange(180) < 100, -1, 0)),
        "int": 3,
        "share": 0.5,
    }[kind]
    model = softmax(estimator=Recorder(), cv=cv, refit=kind in ("int", "share"))
    given = model.fit(X, y, sample_weight=weight).estimator_.given_["X"]
    assert not rows(given) & rows(X[:40])
    n_samples = model.calibration_report_.n_samples
    if kind in ("iterable", "predefined"):
        assert_array_equal(given, X[40:100])
        assert_array_equal(n_samples, np.bincount(y[100:]))
    if kind == "int":
        assert_array_equal(given, X[40:])
        assert n_samples.sum() == 140


@pytest.mark.parametrize("cv", [0.5, 5, PredefinedSplit(np.arange(150) % 2 - 1)])
def test_fit_params_are_split(cv):
    """Check that weights follow their samples and other parameters pass as they are."""
    X, y = clouds()
    weight = np.random.default_rng(0).uniform(size=len(y))
    note = {"any": "thing"}
    model = softmax(estimator=Recorder(), cv=cv, refit=isinstance(cv, int))
    model.fit(X, y, sample_weight=weight.tolist(), note=note)
    given = model.estimator_.given_
    weight_of = dict(zip(map(tuple, X.tolist()), weight))
    assert_array_equal(given["sample_weight"], [weight_of[tuple(x)] for x in given["X"]])
    assert len(given["X"]) == (150 if cv == 5 else 75)
    assert given["note"] is note


def test_weights_reach_every_fold():
    """Check out-of-fold scores of a weighted estimator against a loop."""
    X, y = clouds()
    weight = np.random.default_rng(0).uniform(size=len(y)) ** 4
    model = softmax(cv=4).fit(X, y, sample_weight=weight)
    own = np.empty((len(y), 3))
    for train, test in StratifiedKFold(4).split(X, y):
        own[test] = fitted(X[train], y[train], weight[train]).predict_proba(X[test])
    check_calibration(model, own, y, fitted(X, y, weight), X)


@pytest.mark.parametrize("name", ["sample_weight", "gaussiannb__sample_weight"])
def test_weights_of_another_length_name_that_of_y(name):
    """Check that as many weights as rows train are not taken for weights of samples."""
    X, y = load_iris(return_X_y=True)
    estimator = GaussianNB() if name == "sample_weight" else make_pipeline(GaussianNB())
    for n in (120, 149, 151):
        message = rf"{name} must have the shape \(150,\).*of y; got \({n},\)"
        with pytest.raises(ValueError, match=message):
            OpenSetClassifier(estimator).fit(X, y, **{name: np.ones(n)})


def test_groups_reach_the_splitter():
    """Check that no group trains and calibrates at once, with routing and without."""
    X, y = clouds((90, 90, 90))
    groups = np.random.default_rng(0).integers(9, size=len(y))
    cv = GroupKFold(3)
    own = np.empty((len(y), 3))
    for train, test in cv.split(X, y, groups):
        assert not set(groups[train]) & set(groups[test])
        own[test] = fitted(X[train], y[train]).predict_proba(X[test])
    for other in ("auto", 0.2, 5):
        with pytest.raises(ValueError, match=rf"cv=GroupKFold\(5\); got cv={other!r}"):
            softmax(cv=other).fit(X, y, groups=groups)
    model = softmax(cv=cv).fit(X, y, groups=groups)
    check_calibration(model, own, y, fitted(X, y), X)
    with pytest.raises(ValueError, match="groups"):
        clone(model).fit(X, y)
    with sklearn.config_context(enable_metadata_routing=True):
        routed = clone(model).fit(X, y, groups=groups)
        check_calibration(routed, own, y, fitted(X, y), X)
        # To the splitter of the search and to that inside, at once.
        leave_out = LeaveClassesOut(n_splits=2, random_state=0)
        search = GridSearchCV(
            clone(model), {"false_rejection_rate": [0.1]}, cv=leave_out, refit=False
        ).fit(X, y, groups=groups)
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize("cv", [5, StratifiedKFold(3), ShuffleSplit(2)])
def test_several_splits_without_refit_raise(cv):
    """Check that refit=False with several splits is an error that counts them."""
    n_splits = cv if isinstance(cv, int) else cv.get_n_splits()
    with pytest.raises(ValueError, match=rf"refit=False takes .* gives {n_splits}"):
        softmax(cv=cv, refit=False).fit(*clouds())


@pytest.mark.parametrize("cv", [ShuffleSplit(3, random_state=0), "list"])
def test_samples_held_out_twice_raise(cv):
    """Check that calibration samples that repeat are an error that says why."""
    train, test = np.arange(0, 150, 2), np.arange(1, 150, 2)
    # One sample is held out with its own half and once more.
    cv = [(train, test), (test, np.append(train, 1))] if cv == "list" else cv
    with pytest.raises(ValueError, match="cv must hold each sample out at most once"):
        softmax(cv=cv).fit(*clouds())


def test_sorted_labels_under_k_fold_name_the_cause():
    """Check that folds of sorted samples, which lack classes, say what splits them."""
    X, y = load_iris(return_X_y=True)
    for n_samples, n_splits in ((150, 3), (100, 2)):
        model = softmax(cv=KFold(n_splits))
        with pytest.raises(ValueError, match=r"sorted by class.*such as StratifiedKFold"):
            model.fit(X[:n_samples], y[:n_samples])


def test_splits_that_cannot_be_raise():
    """Check that no split, and a training part that lacks classes, are errors."""
    X, y = clouds()
    with pytest.raises(ValueError, match=r"cv must give at least one split; cv=\[\]"):
        softmax(cv=[]).fit(X, y)
    train = np.flatnonzero(y < 2)[::2]
    splits = [(train, np.setdiff1d(np.arange(len(y)), train))]
    with pytest.raises(ValueError, match=r"samples of every class; .* of \[0, 1\]"):
        softmax(cv=splits, refit=False).fit(X, y)
    inside = make_pipeline(StandardScaler(), FrozenEstimator(GaussianNB().fit(X, y)))
    with pytest.raises(ValueError, match=r"knows the classes .*but y holds \[0, 1\]"):
        OpenSetClassifier(inside).fit(X[y < 2], y[y < 2])
