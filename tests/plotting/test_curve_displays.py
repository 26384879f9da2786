"""OSCR and ROC curves against the metrics and scikit-learn."""

import numpy as np
import pytest
from drawing import KNOWN, legend, problem
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import RocCurveDisplay
from test_displays import predictions

from sk_center import OpenSetRocDisplay, OSCRCurveDisplay, RiskCoverageDisplay
from sk_center.metrics import aurc_score, oscr_curve, oscr_score, risk_coverage_curve


@pytest.mark.parametrize("weighted", [False, True])
def test_oscr_curve(weighted):
    """Check the line against oscr_curve and the legend against oscr_score."""
    model, X, y = problem()
    weight = np.random.default_rng(0).uniform(size=len(y)) if weighted else None
    drawn = OSCRCurveDisplay.from_estimator(model, X, y, sample_weight=weight)
    given = y, model.estimator_.predict(X), model.score_samples(X)
    options = {"labels": KNOWN, "sample_weight": weight}
    ccr, fpr, _ = oscr_curve(*given, **options)
    assert_array_equal(drawn.line_.get_xydata(), np.column_stack([fpr, ccr]))
    area = oscr_score(*given, **options)
    assert legend(drawn.ax_) == [f"OpenSetClassifier (OSCR = {area:.2f})"]


@pytest.mark.parametrize("display", [OSCRCurveDisplay, OpenSetRocDisplay])
def test_curves_share_axes(display):
    """Check the legend and the style of two curves on the same axes."""
    model, X, y = problem()
    args, kwargs = predictions(display, model, X, y)
    first = display.from_predictions(*args, **kwargs)
    second = display.from_estimator(
        model, X, y, name="mine", ax=first.ax_, curve_kwargs={"ls": "--", "color": "red"}
    )
    assert len(first.ax_.lines) == 2
    names = [text.split(" (")[0] for text in legend(first.ax_)]
    assert names == ["Classifier", "mine"]
    assert second.line_.get_color() == "red"
    assert second.line_.get_linestyle() == "--"
    assert first.ax_.get_legend().get_lines()[1].get_color() == "red"
    assert first.line_.get_color() != "red"
    second.plot(name="yours")
    assert legend(second.ax_)[0].startswith("yours (")


@pytest.mark.parametrize("display", [OSCRCurveDisplay, OpenSetRocDisplay])
def test_curves_without_a_name_or_area(display):
    """Check the legend of a display that is made by hand."""
    y, area = ("tpr", "roc_auc") if display is OpenSetRocDisplay else ("ccr", "oscr")
    rates = {"fpr": np.array([0, 1]), y: np.array([0, 1])}
    assert legend(display(**rates).plot().ax_) == []
    assert legend(display(**rates, name="mine").plot().ax_) == ["mine"]
    assert legend(display(**rates, **{area: 0.5}).plot().ax_)[0].endswith("= 0.50")
    labeled = display(**rates).plot(curve_kwargs={"label": "mine"})
    assert legend(labeled.ax_) == ["mine"]


def test_oscr_curve_takes_a_log_axis():
    """Check that the axis of a drawn curve can be made logarithmic, as documented."""
    model, X, y = problem()
    drawn = OSCRCurveDisplay.from_estimator(model, X, y)
    drawn.ax_.set(xscale="log", xlim=(0.001, 1))
    drawn.figure_.draw_without_rendering()
    assert drawn.ax_.get_xlim() == (0.001, 1)


@pytest.mark.parametrize("weighted", [False, True])
def test_roc_is_that_of_scikit_learn(weighted):
    """Check the line, the area and the legend against RocCurveDisplay."""
    model, X, y = problem()
    weight = np.random.default_rng(0).uniform(size=len(y)) if weighted else None
    drawn = OpenSetRocDisplay.from_estimator(model, X, y, sample_weight=weight)
    expected = RocCurveDisplay.from_predictions(
        np.isin(y, KNOWN),
        model.score_samples(X),
        sample_weight=weight,
        name="OpenSetClassifier",
        drop_intermediate=False,
    )
    assert_allclose(drawn.line_.get_xydata(), expected.line_.get_xydata())
    assert_allclose(drawn.roc_auc, expected.roc_auc)
    assert legend(drawn.ax_) == legend(expected.ax_)
    assert drawn.ax_.get_xlabel() == "outsiders accepted (FPR)"


@pytest.mark.parametrize("display", [OSCRCurveDisplay, OpenSetRocDisplay])
def test_curves_take_both_sides(display):
    """Check that the absence of known samples or of outsiders is an error."""
    model, X, y = problem()
    known = np.isin(y, KNOWN)
    with pytest.raises(ValueError, match="y_true holds no outsider"):
        display.from_estimator(model, X[known], y[known])
    with pytest.raises(ValueError, match="y_true holds no known sample"):
        display.from_estimator(model, X[~known], y[~known])


def test_infinite_scores_have_a_curve():
    """Check that scores of minus infinity are drawn, as the least typical."""
    y, score = [0, 1, 7, 7], [2.0, 1.0, -np.inf, 1.5]
    drawn = OpenSetRocDisplay.from_predictions(y, score, labels=[0, 1])
    assert_allclose(drawn.roc_auc, 0.75)
    drawn = OSCRCurveDisplay.from_predictions(y, [0, 1, 0, 0], score, labels=[0, 1])
    assert_allclose(drawn.oscr, 0.75)


@pytest.mark.parametrize("response_method", ["predict_proba", "score_samples"])
def test_risk_coverage_of_accepted_samples(response_method):
    """Check the line and the legend against the metrics of accepted samples."""
    model, X, y = problem()
    weight = np.random.default_rng(0).uniform(size=len(y))
    drawn = RiskCoverageDisplay.from_estimator(
        model, X, y, response_method=response_method, sample_weight=weight
    )
    some = ~model.is_outlier(X)
    sure = model.score_samples(X)
    if response_method == "predict_proba":
        sure = model.predict_proba(X).max(axis=1)
    given = y[some], model.estimator_.predict(X)[some], sure[some]
    options = {"labels": KNOWN, "sample_weight": weight[some]}
    risk, coverage, _ = risk_coverage_curve(*given, **options)
    assert_array_equal(drawn.line_.get_xydata(), np.column_stack([coverage, risk]))
    area = aurc_score(*given, **options)
    assert legend(drawn.ax_) == [f"OpenSetClassifier (AURC = {area:.3f})"]
