"""False-rejection rates that are drawn, against counts by hand and scipy."""

import numpy as np
import pytest
from drawing import KNOWN, legend, problem
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import beta

from sk_center import FalseRejectionDisplay
from sk_center.metrics import false_rejection_rate

Y = np.array([0] * 10 + [1] * 4 + [9] * 3)
Y_PRED = np.array([-1, 1] + [0] * 8 + [-1, -1, 1, 0] + [-1, 0, 1])
GIVEN = {"labels": [0, 1, 2], "outlier_label": -1}
RATES = {"ant": 0.05, "bee": 0.1, "cat": 0.2}


def draw(**params):
    """Draw three of fourteen known samples that are rejected."""
    return FalseRejectionDisplay.from_predictions(Y, Y_PRED, **{**GIVEN, **params})


def test_rates_overall_and_by_class():
    """Check counts, rates and names; outsiders and absent classes are left out."""
    drawn = draw(allowed=0.05)
    assert drawn.groups == ["all classes", 0, 1]
    assert_array_equal(drawn.n_samples, [14, 10, 4])
    assert_array_equal(drawn.n_rejected, [3, 1, 2])
    assert_allclose(drawn.allowed, 0.05)
    line, _, _ = drawn.points_.lines
    assert_allclose(line.get_xdata(), [3 / 14, 1 / 10, 2 / 4])
    assert_allclose(line.get_xdata()[0], false_rejection_rate(Y, Y_PRED, **GIVEN))
    names = [text.get_text() for text in drawn.ax_.get_yticklabels()]
    assert names == ["all classes (n = 14)", "0 (n = 10)", "1 (n = 4)"]


def test_intervals_are_those_of_clopper_and_pearson():
    """Check the intervals against quantiles of the beta distribution."""
    drawn = draw(allowed=0.05)
    k, n = drawn.n_rejected, drawn.n_samples
    ends = [beta.ppf(0.025, k, n - k + 1), beta.ppf(0.975, k + 1, n - k)]
    assert_allclose(drawn.intervals_, np.transpose(ends), rtol=1e-6)
    (bars,) = drawn.points_.lines[2]
    drawn_ends = [segment[:, 0] for segment in bars.get_segments()]
    assert_allclose(drawn_ends, drawn.intervals_)
    none = FalseRejectionDisplay.from_predictions([0] * 5, [0] * 5, allowed=0.1, **GIVEN)
    assert_allclose(none.intervals_[0], [0, 1 - 0.025 ** (1 / 5)])


def test_rates_allowed_for_each_class():
    """Check that each row has its rate, and all classes the mean over the samples."""
    drawn = draw(allowed=[0.1, 0.3, 0.9])
    overall = (10 * 0.1 + 4 * 0.3) / 14
    assert_allclose(drawn.allowed, [overall, 0.1, 0.3])
    x, y = drawn.allowed_line_.get_data()
    assert_allclose(x, [overall, overall, 0.1, 0.1, 0.3, 0.3])
    assert_allclose(y, [-0.5, 0.5, 0.5, 1.5, 1.5, 2.5])
    shuffled = draw(allowed=[0.9, 0.3, 0.1], labels=[2, 1, 0])
    assert_allclose(shuffled.allowed, drawn.allowed)


def test_groups_of_predicted_classes():
    """Check that rows may be the predicted classes."""
    groups = np.array([1, 1] + [0] * 8 + [0, 0, 1, 0] + [0, 0, 1])
    drawn = draw(allowed=0.05, groups=groups)
    assert_array_equal(drawn.n_samples, [14, 11, 3])
    assert_array_equal(drawn.n_rejected, [3, 2, 1])


@pytest.mark.parametrize(
    ("guarantee", "rate"),
    [
        ("marginal", 0.1),
        ("predicted", 0.1),
        ("predicted", RATES),
        ("class", 0.1),
        ("class", RATES),
    ],
)
def test_every_guarantee(guarantee, rate):
    """Check rows and rates of a classifier against its own methods."""
    model, X, y = problem(guarantee=guarantee, false_rejection_rate=rate)
    drawn = FalseRejectionDisplay.from_estimator(model, X, y)
    known, rejected = np.isin(y, KNOWN), model.is_outlier(X)
    group = model.estimator_.predict(X) if guarantee == "predicted" else y
    assert drawn.groups == ["all classes", *KNOWN]
    assert drawn.n_rejected[0] == rejected[known].sum()
    for k, name in enumerate(KNOWN, start=1):
        assert drawn.n_rejected[k] == rejected[known & (group == name)].sum()
        assert drawn.n_samples[k] == (known & (group == name)).sum()
        assert drawn.allowed[k] == (rate if isinstance(rate, float) else rate[name])


def test_false_rejections_share_axes():
    """Check that a second display stands beside the first and repeats no line."""
    first = draw(allowed=0.05)
    second = draw(allowed=0.95, name="mine", ax=first.ax_, point_kwargs={"c": "red"})
    assert first.ax_.get_xlim()[0] == 0
    assert first.ax_.get_xlim()[1] > second.intervals_.max()
    assert second.allowed_line_ is None
    assert sorted(legend(first.ax_)) == ["Classifier", "allowed", "mine"]
    assert_allclose(first.points_.lines[0].get_ydata(), [0, 1, 2])
    assert_allclose(second.points_.lines[0].get_ydata(), [0.2, 1.2, 2.2])
    assert second.points_.lines[0].get_color() == "red"
    assert legend(second.plot(name="yours").ax_) == ["allowed", "yours"]


def test_false_rejections_that_cannot_be_drawn():
    """Check the errors of rates, of groups and of samples that are all outsiders."""
    with pytest.raises(ValueError, match=r"allowed must be a number, or one for each of 3"):
        draw(allowed=[0.1, 0.2])
    for rate in (5, -0.1, np.nan):
        with pytest.raises(ValueError, match=r"allowed must be within \[0, 1\]; got"):
            draw(allowed=rate)
    with pytest.raises(ValueError, match=r"groups must hold the known .*got \[7\]"):
        draw(allowed=0.1, groups=np.full(len(Y), 7))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        draw(allowed=0.1, groups=[0, 1])
    with pytest.raises(ValueError, match="no known sample"):
        FalseRejectionDisplay.from_predictions([7, 8], [0, -1], allowed=0.1, **GIVEN)
    # A string is no number, however it reads.
    with pytest.raises(ValueError, match="no known sample"):
        FalseRejectionDisplay.from_predictions(["0", "1"], [0, 1], allowed=0.1, **GIVEN)
