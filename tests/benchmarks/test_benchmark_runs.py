"""How the benchmarks train, calibrate and judge."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

pytest.importorskip("benchmarks", reason="it is in the source tree alone")

import benchmarks.detectors
from benchmarks.data import NEAL
from benchmarks.detectors import confidence
from benchmarks.recipes import (
    PyODDetector,
    make_classifier,
    make_preprocessing,
    make_score,
    trained,
)
from benchmarks.results import FIELDS, read
from benchmarks.runs import Job, run_all, run_job
from benchmarks.splits import Split
from sk_center import OpenSetClassifier
from sk_center.metrics import auroc_score, oscr_score

DIGITS = Split("digits", "0", "digits", NEAL[0], max_train=300)
SHORT = (("max_epochs", 2),)


def parts(split=DIGITS, seed=0):
    """Return training, held-out and test samples, each with its labels."""
    X, y, X_test, y_test = split.parts()
    train, held_out = train_test_split(
        np.arange(len(y)), test_size=0.2, stratify=y, random_state=seed
    )
    train, held_out = np.sort(train), np.sort(held_out)
    return (X[train], y[train]), (X[held_out], y[held_out]), (X_test, y_test)


def test_shared_training_changes_nothing():
    """Check that scores on one training give what each OpenSetClassifier would."""
    scores = ("auto", "mahalanobis", "sum(center_distance, energy)")
    job = Job(DIGITS, 3, "center loss", scores, (0.05, 0.1), budget=SHORT)
    X, y, X_test, y_test = DIGITS.parts()
    rows = np.arange(len(y))
    split = train_test_split(rows, test_size=0.2, stratify=y, random_state=3)
    split = [np.sort(part) for part in split]
    known = np.isin(y_test, np.unique(y))
    for (score, _, rate), found in zip(job.rows(), run_job(job), strict=True):
        model = OpenSetClassifier(
            job.estimator(X),
            conformity_score=make_score(score),
            false_rejection_rate=rate,
            cv=[split],
            refit=False,
            random_state=3,
        ).fit(X, y)
        ranking, labels = model.score_samples(X_test), model.classes_
        predicted = model.estimator_.predict(X_test)
        outlier = model.is_outlier(X_test)
        assert found["auroc"] == auroc_score(y_test, ranking, labels=labels)
        assert found["oscr"] == oscr_score(y_test, predicted, ranking, labels=labels)
        assert found["accuracy"] == np.mean((predicted == y_test)[known])
        assert found["kept"] == outlier[known].mean()
        assert found["rejected"] == outlier[~known].mean()


def test_a_trained_estimator_stays_as_it_is():
    """Check that clone and fit leave it, and that scores learn from its training part."""
    (X, y), _, (X_test, _) = parts()
    pipe = trained(make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y))
    before = pipe.predict_proba(X_test)
    assert clone(pipe) is pipe
    assert pipe.fit(X_test, None) is pipe
    np.testing.assert_array_equal(pipe.predict_proba(X_test), before)


def test_five_liner():
    """Check rows of a five-liner against the five lines."""
    job = Job(DIGITS, 0, "logistic regression", ("auto", "local outlier factor"))
    (X, _), (X_held_out, _), (X_test, y_test) = parts()
    known = ~np.isin(y_test, NEAL[0])
    detector = LocalOutlierFactor(novelty=True).fit(X)
    threshold = np.quantile(detector.score_samples(X_held_out), 0.05)
    outlier = detector.score_samples(X_test) < threshold
    _, found = run_job(job)
    assert found["rule"] == "quantile"
    assert found["kept"] == outlier[known].mean()
    assert found["rejected"] == outlier[~known].mean()


def test_confidence():
    """Check what a classifier itself says, with probabilities and with decisions."""
    (X, y), _, (X_test, _) = parts()
    for recipe in ("logistic regression", "SVM, decisions"):
        model = make_classifier(recipe, 0).fit(X, y)
        given = getattr(model, "predict_proba", model.decision_function)(X_test)
        np.testing.assert_array_equal(confidence(model, X_test), given.max(axis=1))
    two = make_classifier("SVM, decisions", 0).fit(X, y == y[0])
    expected = np.abs(two.decision_function(X_test))
    np.testing.assert_array_equal(confidence(two, X_test), expected)


def test_training_quantile():
    """Check the threshold that others take against the quantile by hand."""
    job = Job(DIGITS, 0, "random forest", ("mahalanobis",), (0.1,), ("training quantile",))
    (X, y), _, (X_test, y_test) = parts()
    everything, labels = (np.concatenate(pair) for pair in zip(*parts()[:2]))
    rows = np.arange(len(labels))
    model = OpenSetClassifier(
        job.estimator(X),
        conformity_score="mahalanobis",
        cv=[(rows[: len(y)], rows[len(y) :])],
        refit=False,
    ).fit(everything, labels)
    limit = np.quantile(model.score_samples(X), 0.1)
    known = ~np.isin(y_test, NEAL[0])
    expected = np.mean(model.score_samples(X_test)[known] < limit)
    assert run_job(job)[0]["kept"] == pytest.approx(expected, abs=1e-12)


class Distance(BaseEstimator):
    """What the benchmarks take of PyOD: how far a sample is from the mean."""

    def fit(self, X):
        """Learn the mean."""
        self.mean_ = X.mean(axis=0)
        return self

    def decision_function(self, X):
        """Return the distances."""
        return np.linalg.norm(X - self.mean_, axis=1)


def test_pyod(monkeypatch):
    """Check a detector of PyOD against the quantile of its distances by hand."""
    detector = {"PyOD distance": PyODDetector(Distance())}
    monkeypatch.setattr(benchmarks.detectors, "DETECTORS", detector)
    monkeypatch.setattr("benchmarks.runs.BASELINES", tuple(detector))
    (X, _), (X_held_out, _), (X_test, y_test) = parts()
    far = [np.linalg.norm(part - X.mean(axis=0), axis=1) for part in (X_held_out, X_test)]
    known = ~np.isin(y_test, NEAL[0])
    found = run_job(Job(DIGITS, 0, "random forest", ("PyOD distance",), (0.1,)))[0]
    assert found["kept"] == np.mean(far[1][known] > np.quantile(far[0], 0.9))


def test_tables_of_numbers_and_categories():
    """Check that categories are encoded, numbers scaled, and texts weighed."""
    X = pd.DataFrame({"size": [1.0, 3.0, 5.0], "kind": ["a", "b", "a"]})
    (step,) = make_preprocessing("obesity", X)
    made = step.fit_transform(X)
    np.testing.assert_allclose(made[:, 0], [-(1.5**0.5), 0, 1.5**0.5])
    assert made[:, 1:].tolist() == [[1, 0], [0, 1], [1, 0]]
    (step,) = make_preprocessing("banking77 texts", np.array(["a card", "my card"], object))
    assert step.fit_transform(["lost card", "my card"]).shape == (2, 3)
    words, directions = make_preprocessing("banking77 directions of texts", np.empty(0))
    assert repr(words) == repr(step)
    assert directions.n_components == 100


def test_resume_skips_what_is_finished(tmp_path, capsys):
    """Check that only what is missing runs, also after a line that was cut off."""
    path = tmp_path / "x.csv"
    forest = Job(DIGITS, 0, "random forest", ("max_softmax", "mahalanobis"), (0.05, 0.1))
    jobs = [forest, replace(forest, seed=1)]
    run_all(jobs, path)
    whole = path.read_text(encoding="utf-8")
    assert len(read(path)) == 8
    run_all(jobs, path)
    assert path.read_text(encoding="utf-8") == whole
    assert "2 of 2 runs are in" in capsys.readouterr().err
    path.write_text(whole[:-40], encoding="utf-8")
    run_all(jobs, path)
    columns = [name for name in FIELDS if name != "seconds"]
    again = read(path)[columns]
    path.write_text(whole, encoding="utf-8")
    assert again.equals(read(path)[columns])
