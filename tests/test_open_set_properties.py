"""Properties of OpenSetClassifier on problems that hypothesis draws."""

import re
import warnings

import numpy as np
import pytest
from drawn_problems import holds, labels_for, numbers
from hypothesis import example
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from sk_center import CenterLossClassifier, OpenSetClassifier
from sk_center.calibration import CALIBRATIONS
from sk_center.scores.registry import SCORES

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:The columns [0-9, ]+ of X vary by less"),
]


@st.composite
def open_problems(draw):
    """Draw samples of which there are enough to calibrate, and labels."""
    X = numbers(
        draw(st.integers(30, 120)),
        draw(st.integers(1, 5)),
        draw(st.sampled_from(["float32", "float64"])),
        draw(st.sampled_from([1e-3, 1.0, 1e3])),
        draw(st.integers(0, 10**6)),
    )
    kind = draw(st.sampled_from(["ints", "strings", "objects", "floats", "unsigned"]))
    return X, labels_for(len(X), kind, draw(st.integers(2, 5)), draw(st.integers(0, 99)))


SMALL = CenterLossClassifier(hidden_layer_sizes=(4, 3), max_epochs=1, random_state=0)
ESTIMATORS = {
    "center loss": SMALL,
    "logistic regression": LogisticRegression(max_iter=20),
    "neighbors": KNeighborsClassifier(3),
}
open_parameters = st.fixed_dictionaries(
    {
        "false_rejection_rate": st.sampled_from([0.0, 0.02, 0.1, 0.2, 0.5, 0.9]),
        "cv": st.sampled_from(["auto", 0.1, 0.3, 0.5, 2, 3]),
    },
    optional={
        "conformity_score": st.one_of(
            st.sampled_from(["auto", *SCORES]),
            st.lists(st.sampled_from([*SCORES]), min_size=1, max_size=3),
        ),
        "guarantee": st.sampled_from(["marginal", "predicted", "class"]),
        "calibration": st.sampled_from([*CALIBRATIONS]),
        "confidence": st.sampled_from([0.5, 0.9]),
        "random_state": st.integers(0, 99),
    },
)
DOCUMENTED_OF_OPEN_SET = (
    "calibration samples are too few",
    "calibration='gaussian' takes conformity_score",
    "takes calibration='conformal'",
    "needs logits: a decision_function",
    "needs logits that are a linear function of the features",
    "n_components must be smaller than the number of features",
    "n_splits=\\d+ cannot be greater than the number of members in each class",
)
# What is said of thresholds, for data that are as bad as those drawn here.
CONCERNS = "|".join(
    [
        "These( predicted)? classes have too few calibration samples",
        "No sample of the class",
        "Samples far from all training samples are accepted",
        "Only [0-9.]+ % of the calibration samples are rejected",
        "Hardly any outsider will be rejected",
        "More calibration samples of the class",
    ]
)


def open_set_or_documented(estimator, X, y, **params):
    """Return a fitted model, or None where the fit ended in a documented error."""
    with warnings.catch_warnings():
        # Those that tell of data, and what scikit-learn says of its own.
        warnings.filterwarnings("ignore", CONCERNS)
        warnings.filterwarnings("ignore", category=UserWarning, module="sklearn")
        warnings.filterwarnings("ignore", "lbfgs failed|Number of distinct clusters")
        warnings.filterwarnings("ignore", "The least populated class|The number of unique")
        try:
            return OpenSetClassifier(estimator, **params).fit(X, y)
        except ValueError as error:
            if any(re.search(words, str(error)) for words in DOCUMENTED_OF_OPEN_SET):
                return None
            raise


@holds(
    25,
    problem=open_problems(),
    name=st.sampled_from([*ESTIMATORS]),
    params=open_parameters,
    frozen=st.booleans(),
)
def test_open_set_classifier(problem, name, params, frozen):
    """Check that all that a model says of a sample agrees, whatever it was fitted to."""
    X, y = problem
    estimator = ESTIMATORS[name]
    if frozen:
        estimator = FrozenEstimator(clone(estimator).fit(X, y))
    model = open_set_or_documented(estimator, X, y, **params)
    if model is None:
        return
    assert_array_equal(model.classes_, np.unique(y))
    X = np.concatenate([X, 50 * X[:5] + 7])
    decision, p_values, sets = model.judge(X), model.p_values(X), model.predict_set(X)
    assert p_values.shape == sets.shape == (len(X), len(model.classes_))
    assert ((p_values > 0) & (p_values <= 1)).all()
    assert ((decision.p_known > 0) & (decision.p_known <= 1)).all()
    alone, rejected = model.estimator_.predict(X), decision.rejected
    assert_array_equal(decision.predicted, alone)
    assert_array_equal(decision.labels == model.outlier_label_, rejected)
    labels = decision.labels[~rejected].astype(y.dtype)
    index = np.searchsorted(model.classes_, alone)
    if model.guarantee == "class":
        accepted = p_values > model.thresholds_
        assert_array_equal(rejected, ~accepted.any(axis=1))
        own = accepted[np.arange(len(X)), index][~rejected]
        assert_array_equal(decision.p_known, p_values.max(axis=1))
        assert_array_equal(sets, accepted)
    else:
        assert_array_equal(rejected, decision.p_known <= model.thresholds_[index])
        own = slice(None)
    assert_array_equal(labels[own], alone[~rejected][own])
    assert_array_equal(sets.any(axis=1), ~rejected)
    assert sets[~rejected, np.searchsorted(model.classes_, labels)].all()
    assert not np.isnan(decision.scores).any()
    if params["false_rejection_rate"] == 0:
        assert not rejected.any()
    if model.calibration == "conformal" and model.confidence is None:
        assert model.thresholds_.max() <= params["false_rejection_rate"]


@holds(
    15,
    problem=open_problems(),
    name=st.sampled_from([*ESTIMATORS]),
    params=open_parameters,
    rates=st.tuples(st.floats(0, 0.99), st.floats(0, 0.99)),
)
@example(  # a Weibull tail of one sample
    problem=(numbers(30, 1, "float32", 1e-3, 0), labels_for(30, "ints", 4, 0)),
    name="center loss",
    params={"calibration": "weibull"},
    rates=(0.0, 5e-324),
)
@example(  # more samples than an integer holds
    problem=(numbers(110, 1, "float64", 1e3, 1), labels_for(110, "strings", 5, 0)),
    name="neighbors",
    params={"confidence": 0.5},
    rates=(0.74, 5e-324),
)
def test_larger_false_rejection_rate(problem, name, params, rates):
    """Check that a larger rate never accepts more, class by class and in all."""
    X, y = problem
    estimator = FrozenEstimator(clone(ESTIMATORS[name]).fit(X, y))
    params = {**params, "random_state": 0}
    models = [
        open_set_or_documented(estimator, X, y, **{**params, "false_rejection_rate": rate})
        for rate in sorted(rates)
    ]
    if None in models:
        return
    low, high = models
    if not np.array_equal(low.groups_, high.groups_):
        return  # rare classes share a threshold at one rate, and not at the other
    X = np.concatenate([X, 50 * X[:5] + 7])
    assert not (high.predict_set(X) & ~low.predict_set(X)).any()
    assert not (low.is_outlier(X) & ~high.is_outlier(X)).any()
    assert (low.score_thresholds_ <= high.score_thresholds_).all()


@holds(
    40,
    problem=open_problems(),
    score=st.sampled_from([*SCORES]),
    seed=st.integers(0, 99),
)
def test_scores_of_permuted_rows_and_classes(problem, score, seed):
    """Check that the order of samples and of classes does not matter to a score."""
    X, y = problem
    index = np.unique(y, return_inverse=True)[1]
    n_classes = index.max() + 1
    rng = np.random.default_rng(seed)
    order, rank = rng.permutation(len(X)), rng.permutation(n_classes)
    logits = rng.normal(size=(len(X), n_classes))
    logits[np.arange(len(X)), index] += 3
    features = X
    if score in ("fdbd", "vim"):  # equal features leave no head to find
        features = rng.normal(size=(len(y), n_classes + 2))
    if score == "fdbd":  # takes a linear head
        logits = features @ rng.normal(size=(n_classes + 2, n_classes))
    X = {"features": features, "inputs": X, "logits": logits, "probabilities": logits}
    renamed = {name: part[order] for name, part in X.items()}
    for name in ("logits", "probabilities"):
        renamed[name] = renamed[name][:, np.argsort(rank)]
    # The first guess of several components depends on the order.
    made = SCORES[score](**({"max_components": 1} if score == "input_density" else {}))
    found = clone(made).fit(X, index).score_classes(X)
    again = made.fit(renamed, rank[index][order]).score_classes(renamed)
    scale = np.abs(found).max()
    assert_allclose(again[:, rank], found[order], rtol=1e-4, atol=1e-4 * scale)
