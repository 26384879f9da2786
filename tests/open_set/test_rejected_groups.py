"""Tests of groups among rejected samples."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.pipeline import make_pipeline

from sk_center import OpenSetClassifier
from sk_center.open_set import group_rejected

MEANS = np.array([[0.0, 0], [6, 0], [0, 20], [30, 0]])


def problem(width=2):
    """Return a model of two clouds, and samples of these and of two others."""
    rng = np.random.default_rng(0)

    def sample(sizes):
        y = np.repeat(np.arange(len(sizes)), sizes)
        X = np.zeros((len(y), width))
        X[:, :2] = MEANS[y]
        return X + rng.normal(size=X.shape), y

    model = OpenSetClassifier(
        NearestCentroid(), conformity_score="center_distance", cv=0.2, random_state=0
    ).fit(*sample([60, 60]))
    return model, *sample([30, 30, 20, 40])


@pytest.mark.parametrize("width", [2, 40])
def test_groups_are_new_classes(width):
    """Check that two far clouds are two groups, and what is said of them, by hand."""
    model, X, y = problem(width)
    groups = group_rejected(model, X)
    rejected = model.is_outlier(X)
    assert_array_equal(groups.labels[~rejected], -1)
    for group, (cloud, nearest) in enumerate([(3, 1), (2, 0)]):
        rows = groups.rows(group)
        assert (y[rows] == cloud).mean() > 0.95
        assert len(rows) > 0.8 * (y == cloud).sum()
        predicted = model.estimator_.predict(X[rows])
        counts = np.bincount(predicted, minlength=2)
        assert_allclose(groups.shares[group], counts / len(rows))
        assert groups.shares[group].argmax() == nearest
        if width == 2:
            away = np.linalg.norm(X[rows] - X[rows].mean(axis=0), axis=1)
            assert_allclose(groups.distances[rows], away)
        assert (np.diff(groups.distances[rows]) >= 0).all()
    frame = groups.to_frame()
    assert_array_equal(frame["nearest"], [1, 0])
    assert_array_equal(frame["central"], [groups.rows(0)[0], groups.rows(1)[0]])
    assert frame.index.name == "group"
    assert_array_equal(groups.rejected, rejected)
    single = (rejected & (groups.labels < 0)).sum()
    assert f"in no group: {single} of {rejected.sum()} rejected samples" in repr(groups)
    assert repr(groups).startswith(f"group 0: {frame['size'][0]} samples, taken for 1")


def test_named_groups_are_added():
    """Check the way from rejected samples to a class: group, name, add."""
    model, X, y = problem()
    rows = group_rejected(model, X).rows(0)
    model.add_classes(X[rows], np.full(len(rows), 3))
    assert (model.predict(X[y == 3]) == 3).mean() > 0.9


def test_few_rejected_samples_are_no_group():
    """Check that too few samples for a group give none."""
    model, X, y = problem()
    groups = group_rejected(model, X[y < 2])
    assert_array_equal(groups.labels, -1)
    assert len(groups.to_frame()) == 0
    n_rejected = model.is_outlier(X[y < 2]).sum()
    assert repr(groups) == f"in no group: {n_rejected} of {n_rejected} rejected samples"


def test_texts_and_frames():
    """Check sparse texts, of which directions are made, and a data frame."""
    model, X, _ = problem()
    frame = pd.DataFrame(X)
    assert_array_equal(group_rejected(model, frame).labels, group_rejected(model, X).labels)
    texts = [f"{word} please {i}" for word in ("card", "loan") for i in range(60)]
    new = [f"top up phone {i}" for i in range(20)]
    vectorizer = FrozenEstimator(TfidfVectorizer(token_pattern="[a-z]+").fit(texts + new))
    pipe = make_pipeline(vectorizer, KNeighborsClassifier())
    model = OpenSetClassifier(pipe, conformity_score="knn", random_state=0)
    model.fit(texts, np.repeat(["card", "loan"], 60))
    groups = group_rejected(model, [*texts[:20], *new], min_size=5)
    assert_array_equal(groups.labels, np.repeat([-1, 0], 20))


def test_invalid_calls():
    """Check that each invalid argument is named."""
    model, X, _ = problem()
    with pytest.raises(ValueError, match="min_size must be an int of at least 2; got 1"):
        group_rejected(model, X, min_size=1)
    with pytest.raises(ValueError, match="space must be 'features' or 'inputs'; got 'a'"):
        group_rejected(model, X, space="a")
    with pytest.raises(NotFittedError):
        group_rejected(OpenSetClassifier(LogisticRegression()), X)
