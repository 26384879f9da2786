"""Tests of explanations: what they say is what the classifier and numpy say."""

import sys
from dataclasses import FrozenInstanceError

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from open_set_problems import GUARANTEES, net
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist
from sklearn.datasets import load_digits, load_iris
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_center import Explanation, OpenSetClassifier

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

X, y = load_iris(return_X_y=True)
names = np.array(["setosa", "versicolor", "virginica"])[y]
# Known samples, samples between the classes and samples far from all.
X_new = np.concatenate([X[::7], (X[:10] + X[100:110]) / 2, X[:5] + 50])

ESTIMATORS = {
    "center loss": net(max_epochs=10),
    "pipeline": make_pipeline(StandardScaler(), net(max_epochs=10)),
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


@pytest.mark.parametrize("guarantee", GUARANTEES)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_explanations_are_what_the_model_says(name, guarantee):
    """Check every field against the methods of the model, one sample at a time."""
    model = fitted(name, guarantee=guarantee)
    explanations = model.explain(X_new, X, names, n_neighbors=3)
    assert len(explanations) == len(X_new)
    features, train = (features_of(name, model, samples) for samples in (X_new, X))
    if "logistic" in name or name == "forest":
        centers = [train[names == label].mean(axis=0) for label in model.classes_]
    else:
        classifier = model.estimator_ if name == "center loss" else model.estimator_[-1]
        centers = classifier.centers_
    distances, near = cdist(features, centers), cdist(features, train)
    decision = model.judge(X_new)
    assert decision.rejected.any()
    p_values, sets = model.p_values(X_new), model.predict_set(X_new)
    for i, e in enumerate(explanations):
        assert isinstance(e, Explanation)
        assert (e.label, e.predicted) == (decision.labels[i], decision.predicted[i])
        assert e.rejected == decision.rejected[i] == (e.label == "outsider")
        assert (e.p_known, e.score) == (decision.p_known[i], decision.scores[i])
        own = list(model.classes_).index(e.predicted)
        assert e.threshold == model.thresholds_[own]
        assert e.score_threshold == model.score_thresholds_[own]
        assert e.guarantee == guarantee
        assert_array_equal(e.p_values, p_values[i])
        assert_array_equal(e.in_set, sets[i])
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
    """Check columns, values and order: the set first, then the most compatible."""
    for e in fitted("center loss").explain(X_new):
        frame = e.to_frame()
        assert frame.index.name == "class"
        assert sorted(frame.index) == sorted(e.classes)
        for k, label in enumerate(e.classes):
            row = frame.loc[label]
            assert row["p_value"] == e.p_values[k]
            assert row["in_set"] == e.in_set[k]
            assert row["distance"] == e.distances[k]
        keys = list(zip(~frame["in_set"].astype(bool), -frame["p_value"]))
        assert keys == sorted(keys)


@pytest.mark.parametrize("guarantee", GUARANTEES)
def test_representation(guarantee):
    """Check that the text tells the label, why, each class and its numbers."""
    model = fitted("center loss", guarantee=guarantee)
    seen = set()
    for e in model.explain(X_new, X, names, n_neighbors=2):
        first, second, *rest = repr(e).split("\n")
        assert first.startswith(f"{e.label!r}: ")
        text = f"{first} {second}"
        assert ("which do not decide" in repr(e)) == (guarantee != "class")
        if guarantee == "class":
            reason = "every class rejects it" if e.rejected else "the class accepts it"
            if not e.rejected and e.label != e.predicted:
                reason = "this accepting class has the largest p-value"
        else:
            side = "is below" if e.rejected else "is at least"
            reason = f"{side} {e.score_threshold:#.4g} (p = {e.p_known:.3f}, threshold 0.1)"
            assert f"score {e.score:#.4g}" in text
        assert reason in text
        seen.add(e.rejected)
        if e.rejected:
            assert f"the estimator alone predicts {e.predicted!r}" in text
        *table, near = [second, *rest] if "p-value" in second else rest
        rows = [line for line in table if "p-value" not in line]
        assert [row.split()[0] for row in rows] == [repr(c) for c in e.to_frame().index]
        for row, (_, values) in zip(rows, e.to_frame().iterrows()):
            assert f" {values['p_value']:.3f} " in row
            assert (" yes " in row) == values["in_set"]
        i, j = e.neighbors
        assert near.startswith(f"nearest training samples: {i} ({str(names[i])!r}, ")
        assert f", {j} ({str(names[j])!r}, " in near
    assert seen == {True, False}


def test_label_that_is_not_predicted():
    """Check the text where the estimator's class rejects and another accepts."""
    e = Explanation(
        label="b",
        predicted="a",
        rejected=False,
        p_known=0.3,
        threshold=0.05,
        score=-3.0,
        score_threshold=-2.0,
        guarantee="class",
        classes=np.array(["a", "b"]),
        p_values=np.array([0.01, 0.3]),
        in_set=np.array([False, True]),
    )
    text = repr(e)
    assert text.startswith("'b': 'a', predicted by the estimator, rejects it, and\nthis")
    assert [line.split()[0] for line in text.split("\n")[2:]] == ["class", "'b'", "'a'"]
    with pytest.raises(FrozenInstanceError):
        e.label = "c"


def test_added_classes_are_explained_by_both_groups():
    """Check that what decides is shown for each class where two groups decide."""
    known = y < 2
    model = OpenSetClassifier(
        NearestCentroid(),
        conformity_score="mahalanobis",
        random_state=0,
        cv=0.2,
    ).fit(X[known], names[known])
    model.add_classes(X[~known], names[~known])
    found = model.explain(X_new)
    assert {e.rejected for e in found} == {True, False}
    median = np.median(model.calibration_._by_group()[0])
    threshold = model.score_thresholds_[0]
    for e in found:
        assert np.isnan(e.score_threshold)
        assert f"(p = {e.p_known:.3f}, threshold 0.05)" in repr(e)
        assert ("added classes reject it" in repr(e)) == e.rejected
        assert_array_equal(e.score_thresholds, model.score_thresholds_)
        assert_array_equal(e.evidence[:2], e.scores[:2])
        best = max(e.scores[:2].max(), threshold - 2 * (median - threshold))
        assert e.evidence[2] == pytest.approx(e.scores[2] - best / 2, abs=0.1)
        assert (e.evidence < e.score_thresholds).all() == e.rejected
        assert list(e.to_frame().columns[-3:]) == ["score", "evidence", "threshold"]
        assert f"{e.evidence[2]:#9.4g}" in repr(e)
    assert repr(found) == "\n\n".join(map(repr, found))


@pytest.mark.parametrize(
    ("label", "evidence", "text"),
    [
        ("a", [-1.0, -9.0], "'a': predicted by the estimator, and accepted (p = 0.300"),
        ("b", [-1.0, -1.0], "and scores more\nfor it than for 'a', predicted"),
        ("b", [-3.0, -1.0], "\n'a', predicted by the estimator, rejects it"),
    ],
)
def test_labels_between_two_groups(label, evidence, text):
    """Check the text for each way to a label of former and added classes."""
    e = Explanation(
        label=label,
        predicted="a",
        rejected=False,
        p_known=0.3,
        threshold=0.05,
        score=-3.0,
        score_threshold=np.nan,
        guarantee="marginal",
        classes=np.array(["a", "b"]),
        p_values=np.array([0.01, 0.3]),
        in_set=np.array([False, True]),
        scores=np.array([-1.0, -2.0]),
        evidence=np.array(evidence),
        score_thresholds=np.array([-2.0, -2.0]),
    )
    assert text in repr(e)


def test_many_classes_are_cut():
    """Check that among many classes the most compatible are shown."""
    X, y = load_digits(return_X_y=True)
    model = OpenSetClassifier(
        LogisticRegression(max_iter=500),
        conformity_score="center_distance",
        cv=0.5,
        random_state=0,
    ).fit(X / 16, y)
    (e,) = model.explain(X[:1] / 16)
    lines = repr(e).split("\n")
    assert lines[-1] == "and 2 classes that it is less compatible with"
    assert [int(line.split()[0]) for line in lines[-9:-1]] == list(e.to_frame().index[:8])


@pytest.mark.parametrize("container", ["list", "object", "frame", "sparse"])
def test_any_container_of_numbers_is_explained_alike(container):
    """Check lists, object arrays, frames and sparse samples around a plain classifier."""
    make = {
        "list": lambda X: X.tolist(),
        "object": lambda X: X.astype(object),
        "frame": pd.DataFrame,
        "sparse": csr_array,
    }[container]
    model = OpenSetClassifier(
        LogisticRegression(max_iter=500),
        conformity_score="max_softmax",
        cv=0.5,
        random_state=0,
    )
    dense = model.fit(X, y).explain(X_new, X, y)
    labels = y.tolist() if container == "list" else y
    for one, other in zip(
        dense, model.fit(make(X), y).explain(make(X_new), make(X), labels)
    ):
        assert one.label == other.label
        assert_allclose(one.p_values, other.p_values)
        assert_allclose(one.distances, other.distances)
        assert_allclose(one.neighbor_distances, other.neighbor_distances, atol=1e-6)


def test_polars_frames_are_explained():
    """Check that samples and labels of polars are taken."""
    pl = pytest.importorskip("polars")
    model = fitted("pipeline, logistic")
    dense = model.explain(X_new, X, names)
    found = model.explain(X_new, pl.DataFrame(X), pl.Series(names))
    assert [repr(e) for e in found] == [repr(e) for e in dense]


def test_missing_numbers_are_means_for_neighbors():
    """Check the neighbors of samples with missing numbers, and the error for categories."""
    model = OpenSetClassifier(HistGradientBoostingClassifier(max_iter=5), cv=0.2)
    gaps, new = X.copy(), X_new.copy()
    gaps[::3, 1], new[0, 2] = np.nan, np.nan
    e = model.fit(gaps, names).explain(new, gaps, names)[0]
    gaps[::3, 1] = np.nanmean(gaps[:, 1])
    new[0, 2] = gaps[:, 2].mean()
    expected = np.sort(cdist(new[:1], gaps)[0])[:5]
    assert_allclose(e.neighbor_distances, expected)
    frame = pd.DataFrame({"a": X[:, 0], "b": pd.Categorical(names)})
    booster = HistGradientBoostingClassifier(max_iter=5, categorical_features="from_dtype")
    model.set_params(estimator=booster, conformity_score="max_softmax").fit(frame, names)
    assert model.explain(frame[:1])[0].neighbors is None
    with pytest.raises(ValueError, match=r"X_train must be None where .* no numbers"):
        model.explain(frame[:1], frame, names)


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
        OpenSetClassifier(LogisticRegression(), cv=0.2).explain(X_new)


def test_to_frame_without_pandas(monkeypatch):
    """Check that the error says what to install."""
    e = fitted("forest").explain(X_new)[0]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        e.to_frame()
