"""Distances and thresholds that are drawn."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from drawing import KNOWN, legend, problem
from numpy.testing import assert_allclose, assert_array_equal

from sk_center import DistanceDisplay

EDGES = np.linspace(0, 40, 21)


def drawn_of(y_true, y_pred, scores, labels, thresholds):
    """Draw scores, where all below the threshold of their class are rejected."""
    rejected = ~(scores >= np.take(thresholds, np.searchsorted(labels, y_pred)))
    given = {"y_true": y_true, "y_pred": y_pred, "scores": scores, "labels": labels}
    arrays = {name: np.array(value) for name, value in given.items()}
    arrays |= {"thresholds": np.array(thresholds), "rejected": rejected}
    return DistanceDisplay(**arrays).plot()


def heights_of(bars):
    """Return the heights of the bars of a histogram."""
    return np.array([bar.get_height() for bar in bars])


def test_one_threshold_is_drawn_once():
    """Check the histograms of all samples against numpy's, the line and the shares."""
    model, X, y = problem(guarantee="marginal")
    drawn = DistanceDisplay.from_estimator(model, X, y, bins=EDGES)
    (ax,) = drawn.axes_
    known = np.isin(y, KNOWN)
    predicted = np.searchsorted(KNOWN, model.estimator_.predict(X))
    away = np.linalg.norm(X - model.score_.centers_[predicted], axis=1)
    shares = []
    for bars, side in ((drawn.known_bars_[0], known), (drawn.outsider_bars_[0], ~known)):
        expected = np.histogram(away[side].clip(0, 40), EDGES)[0] / side.sum()
        assert_allclose(heights_of(bars), expected, atol=1e-12)
        shares.append(f"{model.is_outlier(X)[side].mean():.0%}")
    (line,) = drawn.threshold_lines_
    assert_allclose(line.get_xdata(), -model.score_thresholds_[0])
    title = f"rejected: {shares[0]} of known samples, {shares[1]} of outsiders"
    assert ax.get_title(loc="right") == title
    assert legend(ax) == ["outsiders", "known samples", "threshold"]


@pytest.mark.parametrize("guarantee", ["predicted", "class"])
def test_thresholds_of_classes(guarantee):
    """Check that each class has the samples predicted so, its own line and its shares."""
    model, X, y = problem(guarantee=guarantee)
    drawn = DistanceDisplay.from_estimator(model, X, y, bins=EDGES)
    known, predicted = np.isin(y, KNOWN), model.estimator_.predict(X)
    assert len(drawn.axes_) == 3
    for k, name in enumerate(KNOWN):
        away = np.linalg.norm(X - model.score_.centers_[k], axis=1)
        shares = []
        for bars, side in (
            (drawn.known_bars_[k], known),
            (drawn.outsider_bars_[k], ~known),
        ):
            those = side & (predicted == name)
            expected = np.histogram(away[those].clip(0, 40), EDGES)[0] / those.sum()
            assert_allclose(heights_of(bars), expected, atol=1e-12)
            shares.append(f"{model.is_outlier(X)[those].mean():.0%}")
        line = drawn.threshold_lines_[k]
        assert_allclose(line.get_xdata(), -model.score_thresholds_[k])
        title = f"rejected: {shares[0]} of known samples, {shares[1]} of outsiders"
        assert drawn.axes_[k].get_title(loc="right") == title
        assert drawn.axes_[k].get_title(loc="left") == name
    assert len({ax.get_xlim() for ax in drawn.axes_}) == 1


def test_far_samples_do_not_stretch_the_bins():
    """Check that bars sum to one whatever is far, infinite or not a number."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 9], 200)
    y_pred = np.where(y == 9, rng.integers(2, size=600), y)
    scores = -rng.exponential(size=600)
    scores[[0, 1, 401]] = -np.inf, np.nan, -1e6
    drawn = drawn_of(y, y_pred, scores, [0, 1], [-1.0, -np.inf])
    for bars in [*drawn.known_bars_, *drawn.outsider_bars_]:
        assert_allclose(heights_of(bars).sum(), 1)
        assert bars[-1].get_x() < 20
    assert heights_of(drawn.known_bars_[0])[-1] >= 2 / 200
    # A class that rejects nothing has no line.
    assert drawn.threshold_lines_[1] is None
    titles = [ax.get_title(loc="right") for ax in drawn.axes_]
    assert titles[1] == "rejected: 0% of known samples, 0% of outsiders"
    share = 1 - np.mean(scores[:200] >= -1)
    assert titles[0].startswith(f"rejected: {share:.0%} of known samples")


def test_samples_without_a_score_are_rejected():
    """Check the shares where a score is not a number."""
    scores = np.array([1, np.nan, 0.0])
    drawn = drawn_of([0, 0, 9], [0, 1, 0], scores, [0, 1], [1, 1])
    title = drawn.axes_[0].get_title(loc="right")
    assert title == "rejected: 50% of known samples, 100% of outsiders"


def test_distances_of_some_classes():
    """Check the choice of classes and of axes, their order, and what is refused."""
    model, X, y = problem()
    drawn = DistanceDisplay.from_estimator(model, X, y, classes=["cat", "ant"])
    assert [ax.get_title(loc="left") for ax in drawn.axes_] == ["cat", "ant"]
    assert_allclose(drawn.threshold_lines_[0].get_xdata(), -model.score_thresholds_[2])
    _, ax = plt.subplots()
    drawn.plot(ax, classes=["bee"])
    assert drawn.axes_.tolist() == [ax]
    with pytest.raises(ValueError, match=r"axes must hold 3 Axes.*got 1"):
        drawn.plot(ax, classes=KNOWN)
    with pytest.raises(ValueError, match=r"classes must hold the known .*got \['dog'\]"):
        drawn.plot(classes=["dog"])


def test_distances_of_one_side():
    """Check that a histogram of no sample is left out, and styles."""
    model, X, y = problem()
    known = np.isin(y, KNOWN)
    drawn = DistanceDisplay.from_estimator(
        model, X[known], y[known], known_kwargs={"ec": "red"}
    )
    assert drawn.outsider_bars_ == [None]
    assert legend(drawn.axes_[0]) == ["known samples", "threshold"]
    assert_array_equal(drawn.known_bars_[0][0].get_edgecolor()[:3], [1, 0, 0])
    drawn = DistanceDisplay.from_estimator(model, X[~known], y[~known])
    assert drawn.known_bars_ == [None]
    y_pred, scores = np.full(3, "ant"), np.array([-1.0, -2, -3])
    drawn = drawn_of(y_pred, y_pred, scores, KNOWN, [-1, -2, -3])
    assert drawn.axes_[1].get_title(loc="right") == "rejected: no sample"
