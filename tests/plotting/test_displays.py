"""What all displays have in common."""

import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from drawing import KNOWN, problem
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_center import (
    DistanceDisplay,
    FalseRejectionDisplay,
    FeatureSpaceDisplay,
    OpenSetClassifier,
    OpenSetConfusionMatrixDisplay,
    OpenSetRocDisplay,
    OSCRCurveDisplay,
)

DISPLAYS = [
    DistanceDisplay,
    FalseRejectionDisplay,
    FeatureSpaceDisplay,
    OSCRCurveDisplay,
    OpenSetConfusionMatrixDisplay,
    OpenSetRocDisplay,
]
every_display = pytest.mark.parametrize("display", DISPLAYS)
OF_PREDICTIONS = [d for d in DISPLAYS if hasattr(d, "from_predictions")]


def predictions(display, model, X, y):
    """Return the arguments of from_predictions that are the same as model, X and y."""
    labels = model.classes_
    score, closed = model.score_samples(X), model.estimator_.predict(X)
    outlier = {"outlier_label": model.outlier_label_}
    given = {
        FalseRejectionDisplay: ([model.predict(X)], {"allowed": 0.05, **outlier}),
        OSCRCurveDisplay: ([closed, score], {}),
        OpenSetConfusionMatrixDisplay: ([model.predict(X)], outlier),
        OpenSetRocDisplay: ([score], {}),
    }
    args, kwargs = given[display]
    return [y, *args], {"labels": labels, **kwargs}


@pytest.mark.parametrize("display", OF_PREDICTIONS)
def test_from_estimator_is_from_predictions(display):
    """Check that both ways to make a display draw the same data."""
    model, X, y = problem()
    one = display.from_estimator(model, X, y)
    args, kwargs = predictions(display, model, X, y)
    other = display.from_predictions(*args, **kwargs)
    names = {"name", "estimator_name"}
    shown = [name for name in vars(one) if not name.endswith("_") and name not in names]
    assert shown
    for name in shown:
        expected = getattr(one, name)
        if isinstance(expected, np.ndarray) and expected.dtype.kind == "f":
            assert_allclose(getattr(other, name), expected)
        else:
            assert_array_equal(getattr(other, name), expected)


@every_display
def test_takes_what_wraps_the_classifier(display):
    """Check that Pipelines and searches draw what the classifier inside draws."""
    model, X, y = problem()
    model = clone(model).set_params(false_rejection_rate=0.1)
    known = np.isin(y, KNOWN)
    pipeline = make_pipeline(StandardScaler(), model).fit(X[known], y[known])
    search = GridSearchCV(pipeline, {"opensetclassifier__cv": [0.5]}, cv=2)
    search.fit(X[known], y[known])
    expected = display.from_estimator(pipeline[-1], pipeline[0].transform(X), y)
    for estimator in (pipeline, search):
        drawn = display.from_estimator(estimator, X, y)
        for name, value in vars(expected).items():
            if isinstance(value, np.ndarray) and value.dtype != object:
                assert_array_equal(getattr(drawn, name), value)


@every_display
def test_draws_where_told(display):
    """Check that plot returns itself, makes a figure or draws on what it is given."""
    model, X, y = problem()
    drawn = display.from_estimator(model, X, y)
    assert plt.get_fignums() == [1]
    assert drawn.figure_ is plt.figure(1)
    assert drawn.figure_.get_layout_engine() is not None  # cuts no label off
    if display is DistanceDisplay:
        figure, ax = plt.subplots()
        assert drawn.plot(axes=ax) is drawn
        assert_array_equal(drawn.axes_, [ax])
    else:
        figure, ax = plt.subplots()
        assert drawn.plot(ax=ax) is drawn
        assert drawn.ax_ is ax
    assert drawn.figure_ is figure
    assert plt.get_fignums() == [1, 2]
    figure.draw_without_rendering()


@every_display
def test_needs_an_open_set_classifier(display):
    """Check that another estimator is refused by name, and one that is not fitted."""
    for estimator in (
        StandardScaler(),
        OpenSetClassifier(GaussianNB(), random_state=0, cv=0.2),
    ):
        with pytest.raises(TypeError, match=r"fitted OpenSetClassifier.*got"):
            display.from_estimator(estimator, [[0.0, 1.0]], ["ant"])


@every_display
def test_wrong_length(display):
    """Check that labels of another number than the samples are refused."""
    model, X, y = problem()
    wrong = "inconsistent numbers of samples"
    with pytest.raises(ValueError, match=wrong):
        display.from_estimator(model, X, y[:-1])
    if display in OF_PREDICTIONS:
        args, kwargs = predictions(display, model, X, y)
        with pytest.raises(ValueError, match=wrong):
            display.from_predictions(args[0][:-1], *args[1:], **kwargs)
    assert plt.get_fignums() == []


@every_display
def test_without_matplotlib(display, monkeypatch):
    """Check that a missing matplotlib is said before an estimator predicts anything."""
    model, X, y = problem()
    drawn = display.from_estimator(model, X, y)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    name = display.__name__
    with pytest.raises(ImportError, match=f"{name}.from_estimator needs matplotlib"):
        display.from_estimator(None, None, None)
    if display in OF_PREDICTIONS:
        args, kwargs = predictions(display, model, X, y)
        with pytest.raises(ImportError, match=f"{name}.plot needs matplotlib"):
            display.from_predictions(*args, **kwargs)
    # That of the confusion matrix is scikit-learn's, in its words.
    with pytest.raises(ImportError, match=r"plot (needs|requires) matplotlib"):
        drawn.plot()


@pytest.mark.parametrize("display", [d for d in DISPLAYS if d is not FeatureSpaceDisplay])
def test_one_pass(display, monkeypatch):
    """Check that a display sends the samples through the model once."""
    model, X, y = problem()
    passes = []
    judge = OpenSetClassifier.judge

    def counted(self, X):
        passes.append(len(X))
        return judge(self, X)

    monkeypatch.setattr(OpenSetClassifier, "judge", counted)
    display.from_estimator(model, X, y)
    assert passes == [len(X)]
