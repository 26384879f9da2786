"""Tests of the report of a calibration, and of what fit warns of."""

import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from open_set_problems import (
    GUARANTEES,
    clouds,
    frozen,
    own_of,
    reference_decision,
)
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KernelDensity, LocalOutlierFactor, NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_center import OpenSetClassifier
from sk_center.scores import PerClass


def warnings_of(model, X, y):
    """Fit, and return the warnings, which all are at this file's lines."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        model.fit(X, y)
    assert {warning.filename for warning in found} <= {__file__}
    return [str(warning.message) for warning in found]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("guarantee", GUARANTEES)
def test_rates_are_those_of_leaving_one_out(guarantee):
    """Check every number against a loop that judges each sample by the others."""
    X, y = clouds((120, 90, 60))
    estimator = frozen(LogisticRegression(C=0.1))
    model = OpenSetClassifier(
        estimator,
        conformity_score="max_softmax",
        false_rejection_rate=0.2,
        guarantee=guarantee,
        random_state=0,
    ).fit(X, y)
    scores, predicted = estimator.predict_proba(X), estimator.predict(X)
    rejected = []
    for i in range(len(y)):
        rest = np.arange(len(y)) != i
        calibration = scores[rest], y[rest], predicted[rest]
        # The share is that of the other samples: at 0.2 of n, not of n + 1.
        new = scores[i : i + 1], predicted[i : i + 1]
        if guarantee == "class":
            # The classes that are not its own keep all their samples.
            own, rates = own_of(scores, y), [0.2] * 3
            p = [
                (1 + (own[(y == k) & rest] <= scores[i, k]).sum())
                / (1 + ((y == k) & rest).sum())
                for k in range(3)
            ]
            rejected.append(all(np.array(p) <= rates))
        else:
            _, found, _ = reference_decision(guarantee, [0.2] * 3, calibration, new)
            rejected.append(found[0])
    rejected = np.array(rejected)
    report = model.calibration_report_
    assert report.guarantee == guarantee
    assert_array_equal(report.classes, [0, 1, 2])
    assert_array_equal(report.n_samples, [120, 90, 60])
    assert_array_equal(report.rate_allowed, [0.2] * 3)
    assert_allclose(report.rate_kept, [rejected[y == k].mean() for k in range(3)])
    assert report.overall_kept == pytest.approx(rejected.mean())
    assert report.overall_allowed == pytest.approx(0.2)
    assert_array_equal(report.score_threshold, model.score_thresholds_)
    assert report.rejects.all()
    with pytest.raises(AttributeError):
        report.overall_kept = 0


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_views_of_the_report():
    """Check the text, the pandas view and the HTML of a fitted model."""
    X, y = clouds((120, 90, 60))
    names = np.array(["<a>", "b", "c"])
    model = OpenSetClassifier(GaussianNB(), conformity_score="mahalanobis", random_state=0)
    assert "False rejections" not in model._repr_html_()
    report = model.fit(X, names[y]).calibration_report_
    head, columns, total, *rows = repr(report).split("\n")
    assert head == "False rejections, guarantee='marginal'"
    assert columns.split() == [
        "class",
        "samples",
        "allowed",
        "rejected",
        "score",
        "threshold",
    ]
    assert total.split()[:4] == ["all", str(len(y)), "5", "%"]
    kept = [float(row.split("%")[1]) for row in rows]
    assert kept == sorted(kept, reverse=True)
    assert {row.split()[0] for row in rows} == {"'<a>'", "'b'", "'c'"}
    frame = report.to_frame()
    assert frame.index.tolist() == names.tolist()
    for name in ("n_samples", "rate_allowed", "rate_kept", "score_threshold", "rejects"):
        assert_array_equal(frame[name], getattr(report, name))
    assert "<table>" in model._repr_html_()
    assert "&lt;a&gt;" in report._repr_html_()
    assert "<a>" not in report._repr_html_()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_class_without_calibration_samples_has_no_rate():
    """Check the row of a class whose only sample trains."""
    X, y = clouds((60, 60, 1))
    model = OpenSetClassifier(GaussianNB(), conformity_score="mahalanobis", cv=0.5)
    row = repr(model.fit(X, y).calibration_report_).split("\n")[-1]
    assert row.split()[:5] == ["2", "0", "5", "%", "-"]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_many_classes_are_cut_in_the_report():
    """Check that among many classes those are shown that lose most."""
    X, y = clouds((60,) * 3)
    rng = np.random.default_rng(0)
    y = rng.integers(30, size=len(y))
    model = OpenSetClassifier(
        GaussianNB(), conformity_score="mahalanobis", cv=0.5, random_state=0
    ).fit(X, y)
    lines = repr(model.calibration_report_).split("\n")
    assert lines[-1] == "and 20 classes that lose no more"
    assert len(lines) == 14


@pytest.mark.filterwarnings("ignore:The added classes")
def test_former_and_added_classes_have_a_row_each():
    """Check that the rates of two groups are not pooled, and are one after removal."""
    X, y = clouds((120, 90, 60))
    model = OpenSetClassifier(NearestCentroid(), cv=0.5, random_state=0)
    model.fit(X[y < 2], y[y < 2])
    first = repr(model.calibration_report_)
    report = model.add_classes(X[y == 2][:30], y[y == 2][:30]).calibration_report_
    assert report.added.tolist() == [False, False, True]
    rows = [line.split() for line in repr(report).split("\n")[2:4]]
    assert [row[:2] for row in rows] == [["all", "former"], ["all", "added"]]
    assert [int(row[2]) for row in rows] == [report.n_samples[:2].sum(), 30]
    kept = [float(row[5]) / 100 for row in rows]
    n = report.n_samples
    former = (n * report.rate_kept)[:2].sum() / n[:2].sum()
    assert_allclose(kept, [former, report.rate_kept[2]], atol=1e-3)
    assert repr(model.remove_classes([2]).calibration_report_) == first


def test_to_frame_without_pandas(monkeypatch):
    """Check that the error says what to install."""
    X, y = load_wine(return_X_y=True)
    report = OpenSetClassifier(GaussianNB(), cv=5).fit(X, y).calibration_report_
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        report.to_frame()


def test_threshold_of_minus_infinity_is_named():
    """Check a density that is zero at calibration samples, and accepts a point at 1e6."""
    X, y = clouds((100, 100, 100))
    score = PerClass(KernelDensity(kernel="tophat", bandwidth=0.3))
    model = OpenSetClassifier(GaussianNB(), conformity_score=score, random_state=0)
    (text,) = warnings_of(model, X, y)
    assert not np.isfinite(model.score_thresholds_).any()
    assert not model.is_outlier(np.full((1, 3), 1e6))[0]
    assert "is rejected, because conformity_score=PerClass gives minus infinity" in text
    assert "such as 'auto'" in text
    assert not model.calibration_report_.rejects.any()


def test_thresholds_blown_up_by_repeated_rows_are_named():
    """Check local outlier factors of duplicated rows, which are as low as -1e9."""
    X, y = clouds((100, 100, 100))
    X = np.repeat(X[::4], 4, axis=0)
    y = np.repeat(y[::4], 4)
    score = PerClass(LocalOutlierFactor(n_neighbors=3, novelty=True))
    model = OpenSetClassifier(GaussianNB(), conformity_score=score, cv=0.2, random_state=0)
    texts = warnings_of(model, X, y)
    assert model.score_thresholds_.max() < -1e6
    assert len(texts) == 1
    assert "far from all training samples are accepted" in texts[0]
    assert "repeated samples" in texts[0]


def test_probabilities_of_a_linear_model_far_away_are_named():
    """Check the largest probability on 150 columns, which is one at 1e6."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(3), 200)
    X = rng.normal(size=(600, 150)) + 2 * np.eye(3, 150)[y]
    model = OpenSetClassifier(
        LogisticRegression(max_iter=500), conformity_score="max_softmax", random_state=0
    )
    (text,) = warnings_of(model, X, y)
    assert not model.is_outlier(1e6 * rng.normal(size=(50, 150))).any()
    assert "far from all training samples are accepted: conformity_score=MaxSoftmax" in text
    assert "Use conformity_score='auto'" in text


def test_widest_class_that_decides_for_all_is_named():
    """Check cv=5 under guarantee="class", where hardly anything is rejected."""
    X, y = load_digits(return_X_y=True)
    known = y < 6
    pipe = make_pipeline(StandardScaler(), LogisticRegression())
    model = OpenSetClassifier(
        pipe, conformity_score="max_softmax", guarantee="class", cv=5, random_state=0
    )
    (text,) = warnings_of(model, X[known], y[known])
    assert model.is_outlier(X[~known]).mean() < 0.6
    assert "% of the calibration samples are rejected where 5 % are allowed" in text
    assert "guarantee='marginal' uses the whole rate" in text
    model.set_params(guarantee="marginal", conformity_score="auto")
    assert not warnings_of(model, X[known], y[known])


def test_class_that_loses_more_is_named():
    """Check that a class of mostly atypical samples is named with its rate."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [1000, 1000, 100])
    X = 10 * np.eye(3)[y] + rng.normal(size=(2100, 3)) * np.array([1, 1, 4])[y][:, None]
    model = OpenSetClassifier(
        GaussianNB(), conformity_score="center_distance", random_state=0
    )
    (text,) = warnings_of(model, X, y)
    report = model.calibration_report_
    assert report.rate_kept[2] > 0.3
    assert f"the class 2 are rejected ({100 * report.rate_kept[2]:.0f} %)" in text
    assert "guarantee='class' bounds the rate of each class" in text
    warnings_of(model.set_params(guarantee="class"), X, y)
    assert model.calibration_report_.rate_kept[2] <= 0.05


def test_equal_scores_are_named():
    """Check that a score of few values, which cannot use the rate, says so."""
    X, y = clouds((300, 300, 300))
    model = OpenSetClassifier(
        GaussianNB(),
        conformity_score=lambda X: np.where(np.abs(X).max(axis=1) > 6, -1.0, 0.0),
        false_rejection_rate=0.2,
        cv=0.5,
        random_state=0,
    )
    (text,) = warnings_of(model, X, y)
    assert "many calibration scores are equal; use a score with finer values" in text


def test_nothing_is_said_where_nothing_can_be_rejected():
    """Check that a rate of 0, at which nothing is rejected on purpose, is quiet."""
    X, y = clouds((300, 300, 300))
    for score in ("auto", "max_softmax"):
        model = OpenSetClassifier(
            GaussianNB(), conformity_score=score, false_rejection_rate=0, random_state=0
        )
        assert not warnings_of(model, X, y)


@pytest.mark.slow
@pytest.mark.parametrize("load", [load_digits, load_iris, load_wine, load_breast_cancer])
def test_default_seldom_warns(load):
    """Check that usual classifiers on usual data raise no false alarm."""
    X, y = load(return_X_y=True)
    warned = 0
    for seed in range(5):
        for classifier in (LogisticRegression(), GaussianNB()):
            model = OpenSetClassifier(
                make_pipeline(StandardScaler(), classifier), random_state=seed
            )
            warned += bool(warnings_of(model, X, y))
    assert warned <= 1


def test_default_without_numbers_warns():
    """Check that inputs that only the classifier can read are told to be encoded."""
    rng = np.random.default_rng(0)
    y = rng.permutation(np.repeat([0, 1, 2], 60))
    letters = pd.Categorical(y.astype(str))
    X = pd.DataFrame({"a": rng.normal(size=180) + 3 * y, "b": letters})
    model = OpenSetClassifier(
        HistGradientBoostingClassifier(max_iter=5, categorical_features="from_dtype"),
        random_state=0,
    )
    with pytest.warns(UserWarning, match="confidence of the classifier alone.*Encoder"):
        model.fit(X, y)
