"""Tests of explanations: what they say is what the classifier and numpy say."""

import sys
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist
from sklearn.datasets import load_digits, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_center import CenterLossClassifier, Explanation, OpenSetClassifier

X, y = load_iris(return_X_y=True)
names = np.array(["setosa", "versicolor", "virginica"])[y]
# Members, samples between the classes and samples far from all.
X_new = np.concatenate([X[::7], (X[:10] + X[100:110]) / 2, X[:5] + 50])


def net():
    """Return a small center-loss classifier."""
    return CenterLossClassifier(
        hidden_layer_sizes=(16, 4), max_epochs=10, lr=0.01, random_state=0
    )


ESTIMATORS = {
    "center loss": net(),
    "pipeline": make_pipeline(StandardScaler(), net()),
    "forest": RandomForestClassifier(10, random_state=0),
    "pipeline, logistic": make_pipeline(StandardScaler(), LogisticRegression()),
}


def fitted(name, **params):
    """Return an open-set classifier around an estimator."""
    params = {"cv": 0.5, "random_state": 0, "false_rejection_rate": 0.1, **params}
    params.setdefault("conformity_score", "mahalanobis")
    return OpenSetClassifier(ESTIMATORS[name], **params).fit(X, names)


def features_of(name, model, X):
    """Return the features that the score of a model sees."""
    if name == "forest":
        return X
    if name == "pipeline, logistic":
        return model.estimator_[0].transform(X)
    return model.transform(X)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_explanations_are_what_the_model_says(name):
    """Check every field against the methods of the model, one sample at a time."""
    model = fitted(name)
    explanations = model.explain(X_new, X, names, n_neighbors=3)
    assert len(explanations) == len(X_new)
    assert any(e.rejected for e in explanations)
    features, train = (features_of(name, model, samples) for samples in (X_new, X))
    if "logistic" in name or name == "forest":
        centers = [train[names == label].mean(axis=0) for label in model.classes_]
    else:
        classifier = model.estimator_ if name == "center loss" else model.estimator_[-1]
        centers = classifier.centers_
    distances, near = cdist(features, centers), cdist(features, train)
    # Of all samples at once: alone, one may score differently in the last bit.
    labels, choices = model.predict(X_new), model.estimator_.predict(X_new)
    p_values, accepted = model.p_values(X_new), model.predict_set(X_new)
    known = model.score_samples(X_new)
    for i, e in enumerate(explanations):
        assert isinstance(e, Explanation)
        assert (e.label, e.choice) == (labels[i], choices[i])
        assert e.rejected == (e.label == "outsider")
        assert_array_equal(e.accepted, accepted[i])
        assert_array_equal(e.p_values, p_values[i])
        assert_array_equal(e.thresholds, model.thresholds_)
        assert_array_equal(e.score_thresholds, model.score_thresholds_)
        assert e.scores.max() == known[i]
        assert_allclose(e.distances, distances[i], rtol=1e-4, atol=1e-6)
        assert_allclose(e.neighbor_distances, np.sort(near[i])[:3], rtol=1e-4, atol=1e-5)
        assert_array_equal(e.neighbor_labels, names[e.neighbors])
        assert_allclose(near[i][e.neighbors], e.neighbor_distances, rtol=1e-4, atol=1e-5)


def test_without_training_samples():
    """Check that centers of the estimator are known, class means and neighbors not."""
    e = fitted("center loss").explain(X_new)[0]
    assert e.distances.shape == (3,)
    assert e.neighbors is e.neighbor_labels is e.neighbor_distances is None
    assert "nearest" not in repr(e)
    e = fitted("forest").explain(X_new)[0]
    assert e.distances is None
    assert "distance" not in repr(e)
    assert "distance" not in e.to_frame().columns


def test_pandas_view():
    """Check columns, values and order: accepted classes first, then the most typical."""
    for e in fitted("center loss").explain(X_new):
        frame = e.to_frame()
        assert frame.index.name == "class"
        assert sorted(frame.index) == sorted(e.classes)
        for k, label in enumerate(e.classes):
            row = frame.loc[label]
            assert row["p_value"] == e.p_values[k]
            assert row["threshold"] == e.thresholds[k]
            assert row["accepted"] == e.accepted[k]
            assert row["score"] == e.scores[k]
            assert row["score_threshold"] == e.score_thresholds[k]
            assert row["distance"] == e.distances[k]
        keys = list(zip(~frame["accepted"], -frame["score"]))
        assert keys == sorted(keys)


def test_representation():
    """Check that the text tells the label, each class and its numbers."""
    model = fitted("center loss")
    explanations = model.explain(X_new, X, names, n_neighbors=2)
    for e in explanations:
        first, header, *rows, near = repr(e).split("\n")
        assert first.startswith(f"{e.label!r}: ")
        if e.rejected:
            assert first.endswith(
                f"rejected by every class; the estimator alone says {e.choice!r}"
            )
        elif e.label == e.choice:
            assert first.endswith("what the estimator says, and not turned down")
        assert header.split("  ")[0].strip() == "class"
        assert [row.split()[0] for row in rows] == [repr(c) for c in e.to_frame().index]
        for row, (_, values) in zip(rows, e.to_frame().iterrows()):
            assert f" {values['p_value']:.3f} " in row
            assert (" yes " in row) != values["accepted"]
        i, j = e.neighbors
        assert near.startswith(f"nearest training samples: {i} ({str(names[i])!r}, ")
        assert f", {j} ({str(names[j])!r}, " in near


def test_label_that_is_not_the_choice():
    """Check the text where the estimator's class is turned down and another is not."""
    e = Explanation(
        label="b",
        choice="a",
        rejected=False,
        classes=np.array(["a", "b"]),
        p_values=np.array([0.01, 0.3]),
        thresholds=np.array([0.05, 0.05]),
        scores=np.array([-3.0, -1.0]),
        score_thresholds=np.array([-2.0, -np.inf]),
    )
    text = repr(e)
    assert text.startswith("'b': 'a', what the estimator says, is turned down; of the oth")
    assert [line.split()[0] for line in text.split("\n")[1:]] == ["class", "'b'", "'a'"]
    assert "-inf" in text
    with pytest.raises(FrozenInstanceError):
        e.label = "c"


def test_many_classes_are_cut():
    """Check that of many classes the most typical are shown."""
    X, y = load_digits(return_X_y=True)
    model = OpenSetClassifier(
        LogisticRegression(max_iter=500), conformity_score="center_distance", cv=0.5
    ).fit(X / 16, y)
    (e,) = model.explain(X[:1] / 16)
    lines = repr(e).split("\n")
    assert len(lines) == 2 + 8 + 1
    assert lines[-1] == "and 2 classes that it is less typical of"
    assert [int(line.split()[0]) for line in lines[2:-1]] == e.to_frame().index[:8].tolist()


def test_sparse_features():
    """Check that sparse samples are explained as dense ones are."""
    model = OpenSetClassifier(LogisticRegression(max_iter=500), cv=0.5, random_state=0)
    dense = model.fit(X, y).explain(X_new, X, y)
    sparse = model.fit(csr_array(X), y).explain(csr_array(X_new), csr_array(X), y)
    for one, other in zip(dense, sparse):
        assert one.label == other.label
        assert_allclose(one.distances, other.distances)
        assert_allclose(one.neighbor_distances, other.neighbor_distances, atol=1e-6)


def test_few_training_samples_are_all_neighbors():
    """Check that no more neighbors are found than there are samples."""
    e = fitted("center loss").explain(X_new, X[:2], names[:2])[0]
    assert sorted(e.neighbors) == [0, 1]


def test_what_explain_refuses():
    """Check the errors of explain, and that none is fitted by it."""
    model = fitted("forest")
    with pytest.raises(ValueError, match="X_train and y_train must be given together"):
        model.explain(X_new, X)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.explain(X_new, X, names[:-1])
    with pytest.raises(
        ValueError, match=r"samples of every class; \['virginica'\] are mis"
    ):
        model.explain(X_new, X[y < 2], names[y < 2])
    for bad in (0, -1, 1.5):
        with pytest.raises(ValueError, match=f"n_neighbors must be an int .*; got {bad}"):
            model.explain(X_new, X, names, n_neighbors=bad)
    with pytest.raises(NotFittedError):
        OpenSetClassifier(LogisticRegression()).explain(X_new)


def test_to_frame_without_pandas(monkeypatch):
    """Check that the error says what to install."""
    e = fitted("forest").explain(X_new)[0]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="to_frame needs pandas"):
        e.to_frame()
