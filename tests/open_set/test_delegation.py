"""Tests of what an open-set classifier hands on to the estimator that it wraps."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from open_set_problems import Nearest, clouds, frozen, net, queries
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import AdaBoostClassifier, RandomForestClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils import get_tags

from sk_center import OpenSetClassifier

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
RESPONSES = ("predict_proba", "predict_log_proba", "decision_function", "transform")
HAS = {
    "center loss": (net(), RESPONSES),
    "logistic": (LogisticRegression(), RESPONSES[:3]),
    "forest": (RandomForestClassifier(8, random_state=0), RESPONSES[:2]),
    "pipeline": (make_pipeline(StandardScaler(), LinearSVC()), RESPONSES[2:3]),
    "only predict": (Nearest(), ()),
}


class Moody(GaussianNB):
    """A classifier that says of itself that two fits differ."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.non_deterministic = True
        return tags


@pytest.mark.filterwarnings("ignore:divide by zero encountered in log")
@pytest.mark.parametrize("fit", [False, True], ids=["unfitted", "fitted"])
@pytest.mark.parametrize("freeze", [False, True], ids=["cloned", "frozen"])
@pytest.mark.parametrize("name", HAS)
def test_delegated_methods(name, freeze, fit):
    """Check that a model has the methods of its estimator and returns what they do."""
    estimator, has = HAS[name]
    estimator = frozen(estimator) if freeze else estimator
    model = OpenSetClassifier(estimator, cv=0.5, random_state=0)
    if fit:
        model.fit(*clouds())
    for method in RESPONSES:
        assert hasattr(model, method) == (method in has)
        if fit and method in has:
            expected = getattr(model.estimator_, method)(queries())
            assert_array_equal(getattr(model, method)(queries()), expected)
    assert hasattr(model, "fit_transform") == ("transform" in has)
    names_features = hasattr(estimator, "get_feature_names_out")
    assert hasattr(model, "get_feature_names_out") == names_features
    if "predict_proba" not in has:
        with pytest.raises(AttributeError, match="predict_proba"):
            model.predict_proba(queries())


@pytest.mark.parametrize("method", RESPONSES)
def test_not_fitted(method):
    """Check that methods of a model that is not fitted say so."""
    model = OpenSetClassifier(LinearDiscriminantAnalysis(), random_state=0, cv=0.2)
    with pytest.raises(NotFittedError, match="OpenSetClassifier"):
        getattr(model, method)(queries())


@pytest.mark.parametrize("freeze", [False, True], ids=["cloned", "frozen"])
@pytest.mark.parametrize("estimator", [net(), LogisticRegression(), Moody()], ids=str)
def test_tags(estimator, freeze):
    """Check that a model tells tools what its estimator takes and gives."""
    estimator = frozen(estimator) if freeze else estimator
    tags, expected = get_tags(OpenSetClassifier(estimator, cv=0.2)), get_tags(estimator)
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


def test_set_output():
    """Check that set_output reaches the estimator, also through a Pipeline."""
    X, y = clouds()
    model = OpenSetClassifier(net(max_epochs=2), cv=0.5, random_state=0)
    pipe = make_pipeline(StandardScaler(), model).set_output(transform="pandas").fit(X, y)
    frame = pipe.transform(X)
    assert list(frame.columns) == list(pipe.get_feature_names_out())
    assert pipe.predict(X).shape == y.shape
    assert not hasattr(OpenSetClassifier(GaussianNB(), cv=0.2), "set_output")
    estimator = model.fit(X, y).estimator_
    assert list(model.set_output(transform="pandas").transform(X).columns) == list(
        estimator.get_feature_names_out()
    )
    assert isinstance(
        model.fit(X, y).set_output(transform="default").transform(X), np.ndarray
    )


def test_one_vote_among_others():
    """Check that a vote with an open-set classifier in it works by probabilities."""
    X, y = clouds((90, 90, 90))
    inner = OpenSetClassifier(LogisticRegression(), random_state=0, cv=0.2)
    vote = VotingClassifier([("a", inner), ("b", GaussianNB())], voting="soft")
    assert vote.fit(X, y).score(X, y) > 0.8
    whole = OpenSetClassifier(
        vote, conformity_score="max_softmax", random_state=0, cv=0.2
    ).fit(X, y)
    assert whole.predict(X).shape == y.shape


def test_boosting_goes_inside():
    """Check that AdaBoost, which weighs samples, is wrapped rather than wraps."""
    X, y = clouds((90, 90, 90))
    model = OpenSetClassifier(AdaBoostClassifier(n_estimators=5), random_state=0, cv=0.2)
    assert model.fit(X, y).score(X, y) > 0.7
    with pytest.raises(ValueError, match="sample_weight"):
        AdaBoostClassifier(OpenSetClassifier(GaussianNB(), cv=0.2)).fit(X, y)
