"""Tests of prediction sets, and of samples that are withheld as ambiguous."""

import json
import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from open_set_problems import MEANS, Nearest, clouds, own_of, queries
from scipy.stats import binom
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import NearestCentroid
from sklearn.svm import SVC

from sk_center import (
    FalseRejectionDisplay,
    OpenSetClassifier,
    OpenSetConfusionMatrixDisplay,
    load,
    save,
    to_onnx,
)
from sk_center.metrics import correct_acceptance_scorer, false_rejection_rate
from sk_center.open_set.sets import sets_of, support_thresholds
from sk_center.scores import CenterDistance

NEAR = 0.7 * MEANS  # clouds that overlap


def near(n, rng):
    """Return samples of three classes that are often taken for each other."""
    y = rng.integers(3, size=n)
    return NEAR[y] + rng.normal(size=(n, NEAR.shape[1])), y


@pytest.mark.parametrize("confidence", [None, 0.9])
@pytest.mark.parametrize("values", [None, 6])
def test_sets_of_accepted_samples_seldom_lack_the_class(values, confidence):
    """Check the bound of any score and any support, with ties, and that it is used."""
    rng = np.random.default_rng(0)
    n, rate, error_rate, n_new, n_draws = 99, 0.1, 0.05, 200, 400
    missed = np.zeros(n_draws)
    group = np.zeros(n, dtype=int)
    for i in range(n_draws):
        # What is atypical is also predicted wrongly more often, and with less support.
        scores = rng.normal(size=n + n_new)
        wrong = rng.random(n + n_new) < 1 / (3 + np.exp(scores))
        support = scores / 2 + rng.normal(size=n + n_new)
        if values:
            scores, support = (np.round(part * values / 4) for part in (scores, support))
        lowest = np.sort(scores[:n])[int(rate * (n + 1)) - 1]
        accepted = scores >= lowest
        given = np.where(wrong, support, np.inf)
        (threshold,) = support_thresholds(
            given[:n], accepted[:n], group, np.array([error_rate]), confidence
        )
        new = slice(n, None)
        sets = sets_of(
            np.column_stack([np.full(n_new, -np.inf), support[new]]),
            threshold,
            np.zeros(n_new, dtype=int),
            ~accepted[new],
        )
        assert_array_equal(sets[:, 0], accepted[new])
        missed[i] = (accepted[new] & wrong[new] & ~sets[:, 1]).mean()
    if confidence is None:
        mean, error = missed.mean(), missed.std() / np.sqrt(n_draws)
        assert mean <= error_rate + 3 * error
        assert mean >= 0.6 * error_rate
    else:
        # 200 new samples are not all that may come.
        over = (missed > binom.ppf(0.99, n_new, error_rate) / n_new).sum()
        assert over <= binom.ppf(0.999, n_draws, 0.1)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of rates and rare predicted classes
@pytest.mark.parametrize(
    ("kind", "guarantee"),
    [
        ("probabilities", "marginal"),
        pytest.param("scores", "predicted", marks=pytest.mark.slow),
        pytest.param("logits", "marginal", marks=pytest.mark.slow),
        pytest.param("logits", "predicted", marks=pytest.mark.slow),
    ],
)
def test_wrong_answers_are_as_rare_as_allowed(kind, guarantee):
    """Check a whole model that withholds, with new calibration samples for each sample."""
    rng = np.random.default_rng(0)
    X, y = near(300, rng)
    estimator, score = {
        "probabilities": (GaussianNB(), "max_softmax"),
        "logits": (SVC(), "max_logit"),
        "scores": (Nearest(), "center_distance"),
    }[kind]
    score = CenterDistance(centers=NEAR) if kind == "scores" else score
    model = OpenSetClassifier(
        FrozenEstimator(estimator.fit(X, y)),
        conformity_score=score,
        guarantee=guarantee,
        false_rejection_rate=0.1,
        error_rate=0.1,
        ambiguous=-2,
        random_state=0,
    )
    wrong = withheld = rejected = 0
    n_draws = 300
    for _ in range(n_draws):
        model.fit(*near(90, rng))
        X_new, y_new = near(1, rng)
        label = model.predict(X_new)
        rejected += label == -1
        withheld += label == -2
        wrong += (label >= 0) & (label != y_new)
    assert model._set_part == kind
    for count in (wrong, rejected):
        assert count <= binom.ppf(0.999, n_draws, 0.1)
    assert 0 < withheld < 0.9 * n_draws
    X_new, y_new = near(2000, rng)
    assert (estimator.predict(X_new) != y_new).mean() > 0.12  # else none were withheld


def test_no_sample_is_ambiguous_where_few_errors_are_made():
    """Check that sets are the label alone where the errors are no more than allowed."""
    rng = np.random.default_rng(0)
    X, y = clouds((90, 90, 90))
    model = OpenSetClassifier(LogisticRegression(), cv=0.5, random_state=0).fit(X, y)
    sets = model.predict_set(queries())
    assert_array_equal(sets.sum(axis=1) > 0, ~model.is_outlier(queries()))
    assert (sets.sum(axis=1) > 1).mean() < 0.1
    close = OpenSetClassifier(LogisticRegression(), cv=0.5, random_state=0)
    close.fit(*near(400, rng))
    assert (close.predict_set(near(200, rng)[0]).sum(axis=1) > 1).any()


@pytest.mark.parametrize("guarantee", ["marginal", "predicted", "class"])
def test_answers_of_a_model_that_withholds_agree(guarantee, tmp_path):
    """Check all answers, a copy, a pickle, a file, a graph, metrics and displays."""
    onnxruntime = pytest.importorskip("onnxruntime")
    rng = np.random.default_rng(0)
    X, y = near(400, rng)
    names = np.array(["ant", "bee", "cat"])
    kept = OpenSetClassifier(
        RandomForestClassifier(20, min_samples_leaf=9, random_state=0),
        conformity_score="knn",
        guarantee=guarantee,
        cv=0.5,
        random_state=0,
    ).fit(X, names[y])
    model = clone(kept).set_params(ambiguous="unclear").fit(X, names[y])
    new = np.concatenate([near(150, rng)[0], [[30.0] * X.shape[1]]])
    sets, before = model.predict_set(new), kept.judge(new)
    several = sets.sum(axis=1) > 1
    assert 0 < several.sum() < len(new)
    assert_array_equal(sets, kept.predict_set(new))
    assert before.ambiguous is None
    assert kept.ambiguous_label_ is None
    decision = model.judge(new)
    assert_array_equal(decision.ambiguous, several)
    assert_array_equal(decision.labels, np.where(several, "unclear", before.labels))
    assert_array_equal(model.predict(new), decision.labels)
    assert_array_equal(model.is_outlier(new), before.rejected)
    for i, explanation in enumerate(model.explain(new[:40])):
        assert explanation.ambiguous == several[i]
        assert explanation.label == decision.labels[i]
        assert ("withheld" in repr(explanation)) == several[i]
    again = pickle.loads(pickle.dumps(model))
    save(model, tmp_path / "model")
    trusted = ["sklearn.ensemble._forest.RandomForestClassifier"]
    trusted += ["sklearn.tree._classes.DecisionTreeClassifier", "sklearn.tree._tree.Tree"]
    loaded = load(tmp_path / "model", trusted=trusted)
    for other in (again, loaded):
        assert_array_equal(other.predict(new), decision.labels)
        assert other.ambiguous_label_ == "unclear"
    to_onnx(model, tmp_path / "graph")
    session = onnxruntime.InferenceSession(tmp_path / "graph")
    outputs = ["label", "ambiguous", "prediction_set"]
    label, ambiguous, graph_sets = session.run(outputs, {"X": new})
    assert_array_equal(label, decision.labels)
    assert_array_equal(ambiguous, several)
    assert_array_equal(graph_sets, sets)
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["ambiguous_label"]) == "unclear"
    truth = np.append(names[near(150, np.random.default_rng(1))[1]], "whale")
    right = (decision.labels == truth)[:-1].mean()
    assert correct_acceptance_scorer(model, new, truth) == pytest.approx(right)
    matrix = OpenSetConfusionMatrixDisplay.from_estimator(model, new, truth)
    assert matrix.confusion_matrix.shape == (5, 5)
    assert matrix.confusion_matrix[:, 4].sum() == several.sum()
    rates = false_rejection_rate(
        truth,
        decision.labels,
        labels=names,
        outlier_label="outsider",
        ambiguous_label="unclear",
    )
    assert rates == before.rejected[:-1].mean()
    drawn = FalseRejectionDisplay.from_estimator(model, new[:-1], truth[:-1])
    assert np.isclose(drawn.n_rejected / drawn.n_samples, rates).any()


@pytest.mark.filterwarnings("ignore:Samples far from all")
def test_one_label_more_needs_a_wider_type():
    """Check integers of one byte beside labels that they do not hold."""
    X, y = near(400, np.random.default_rng(0))
    model = OpenSetClassifier(
        GaussianNB(),
        conformity_score="max_softmax",
        outlier_label=200,
        ambiguous=-300,
        random_state=0,
    ).fit(X, y.astype(np.uint8))
    labels = model.predict(X)
    assert {*labels.tolist()} == {0, 1, 2, 200, -300}


def test_labels_and_rates_that_do_not_fit_are_refused():
    """Check the messages, and the warning where every accepted sample is withheld."""
    X, y = near(60, np.random.default_rng(0))
    for params, message in (
        ({"ambiguous": "unclear"}, "ambiguous must be a number"),
        ({"ambiguous": 2}, "neither a class nor the outlier label"),
        ({"ambiguous": -1}, "neither a class nor the outlier label"),
        ({"error_rate": 1.0}, "error_rate"),
        ({"error_rate": 0.1, "guarantee": "class"}, "error_rate must be None"),
    ):
        with pytest.raises(ValueError, match=message):
            OpenSetClassifier(GaussianNB(), cv=0.5, **params).fit(X, y)
    model = OpenSetClassifier(
        GaussianNB(),
        conformity_score="max_softmax",
        cv=0.5,
        error_rate=0.01,
        ambiguous=-2,
        random_state=0,
    )
    with pytest.warns(UserWarning, match="error_rate=0.01 takes 99 calibration samples"):
        model.fit(X, y)
    assert {*model.predict(X).tolist()} <= {-1, -2}


@pytest.mark.filterwarnings("ignore:Samples far from all")
def test_support_of_the_label_does_not_matter():
    """Check that the label is in the set whatever its probability is."""
    X, y = near(400, np.random.default_rng(0))
    model = OpenSetClassifier(
        GaussianNB(), conformity_score="max_softmax", cv=0.5, random_state=0
    )
    model.fit(X, y)
    sets, labels = model.predict_set(X), model.predict(X)
    assert own_of(sets, np.maximum(labels, 0))[labels >= 0].all()


@pytest.mark.parametrize("guarantee", ["marginal", "predicted", "class"])
def test_sets_after_classes_were_added_and_removed(guarantee):
    """Check the bound and the label with an added class, and sets as before without it."""
    rng = np.random.default_rng(0)
    means = 4 * np.eye(4)

    def draw(labels):
        return means[labels] + 1.3 * rng.normal(size=(len(labels), 4)), labels

    X, y = draw(np.repeat([0, 1, 2], 100))
    model = OpenSetClassifier(
        NearestCentroid(),
        conformity_score="center_distance",
        guarantee=guarantee,
        random_state=0,
    ).set_params(false_rejection_rate=0.1, cv=0.5, ambiguous=-2, random_state=0)
    X_new, y_new = draw(np.repeat([0, 1, 2, 3], 150))
    before = model.fit(X, y).predict_set(X_new)
    with pytest.raises(ValueError, match="new classes alone"):
        model.add_classes(X[:5], np.full(5, -2))
    model.add_classes(*draw(np.full(100, 3)))
    labels, sets = model.predict(X_new), model.predict_set(X_new)
    assert_array_equal(labels == -2, sets.sum(axis=1) > 1)
    accepted = ~model.is_outlier(X_new)
    assert (accepted & ~own_of(sets, y_new)).mean() <= 0.1
    assert_array_equal(model.remove_classes([3]).predict_set(X_new), before)
    again = model.recalibrate(X, y).predict_set(X_new)
    assert again.sum(axis=1).max() >= 1
