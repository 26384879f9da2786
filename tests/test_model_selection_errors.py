"""What LeaveClassesOut refuses."""

import numpy as np
import pytest
from split_cases import make_labels

from sk_center.model_selection import LeaveClassesOut


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_unknown": 0}, r"'n_unknown' parameter .* int in the range \[1, inf\).*Got 0"),
        ({"n_unknown": 1.0}, r"'n_unknown' .* float in the range \(0.*, 1.*\).*Got 1\.0"),
        ({"n_unknown": "2"}, r"'n_unknown' parameter .*Got '2'"),
        ({"n_unknown": float("nan")}, r"'n_unknown' parameter .*Got nan"),
        ({"n_splits": 0}, r"'n_splits' .* int in the range \[1, 100000\].*Got 0"),
        ({"n_splits": 10**6}, r"'n_splits' parameter .*Got 1000000"),
        ({"n_splits": 2.0}, r"'n_splits' parameter .*Got 2\.0"),
        ({"test_size": 1}, r"'test_size' .* float in the range \(0.*, 1.*\).*Got 1"),
        ({"test_size": 0.0}, r"'test_size' parameter .*Got 0\.0"),
        ({"test_size": None}, r"'test_size' parameter .*Got None"),
        ({"openness": 1.5}, r"'openness' .* float in the range \(0.*, 1.*\).*Got 1\.5"),
        ({"random_state": "a"}, r"'random_state' parameter .*Got 'a'"),
        ({"unknown_classes": ["ab"]}, r"unknown_classes must be a list of lists .*'ab'"),
        ({"unknown_classes": [1, 2]}, r"unknown_classes must be a list of lists .* \[1, 2"),
        ({"unknown_classes": []}, r"unknown_classes must be .*; got \[\]\."),
        ({"unknown_classes": [[1], []]}, r"unknown_classes must be .*; got \[\[1\], \[\]"),
        ({"unknown_classes": {1: [2]}}, r"unknown_classes must be .*; got \{1: \[2\]\}"),
        ({"unknown_classes": [[[1]]]}, r"unknown_classes must be .*; got \[\[\[1\]\]\]"),
        (
            {"n_unknown": 2, "openness": 0.1},
            r"Only one of n_unknown, openness, unknown_classes .*; got n_unknown=2, open",
        ),
        (
            {"n_splits": 2, "unknown_classes": [[1]]},
            r"Only one of n_splits, unknown_classes .* n_splits=2, unknown_classes=\[\[1",
        ),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, str) else None,
)
def test_invalid_parameter(params, message):
    """Check that an invalid parameter is refused at once, with what is accepted."""
    with pytest.raises(ValueError, match=message):
        LeaveClassesOut(**params)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_unknown": 3}, r"n_unknown must leave at least 2 of the 4 .* most 2; got 3\."),
        ({"n_unknown": 0.9}, r"n_unknown must leave .* be at most 2; got 0\.9\."),
        ({"openness": 0.9}, r"openness must be near 0\.0742 to 0\.184.*; got 0\.9\."),
        ({"openness": 0.01}, r"openness must be near .*; got 0\.01\."),
        ({"unknown_classes": [[0], [7, 1]]}, r"unknown_classes must hold .* got \[7\]"),
        ({"unknown_classes": [[0, 1, 2]]}, r"unknown_classes must leave .* \[0, 1, 2\]"),
        ({"test_size": 0.001}, r"test_size must hold out .*; got 0\.001, .* in split 0"),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, str) else None,
)
def test_parameter_that_does_not_fit_the_data(params, message):
    """Check that a parameter at odds with y is refused, with what y would accept."""
    with pytest.raises(ValueError, match=message):
        list(LeaveClassesOut(random_state=0, **params).split(None, make_labels([9] * 4)))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, r"y must hold one class label .* got None\."),
        ([0.5, 1.25, 2.5], r"y must hold one class label .* got continuous\."),
        ([[0, 1], [1, 1], [0, 0]], r"y must hold .* got multilabel-indicator\."),
        ([[0, 1], [2, 1], [0, 3]], r"y must hold .* got multiclass-multioutput\."),
        ([True, False] * 5, r"y must hold at least 3 classes, .*; got \[False, True\]\."),
        (["a"] * 9, r"y must hold at least 3 classes, .*; got \['a'\]\."),
    ],
    ids=["None", "continuous", "multilabel", "multioutput", "bool", "one class"],
)
def test_invalid_y(y, message):
    """Check that y without a class label for each sample is refused."""
    with pytest.raises(ValueError, match=message):
        list(LeaveClassesOut().split(None, y))


def test_groups_that_cannot_be_split():
    """Check that groups which leave nothing to test or to train on are refused."""
    y = np.array([0, 1, 2] * 6)
    cv = LeaveClassesOut(random_state=0)
    with pytest.raises(ValueError, match=r"groups must let .* split 0 .* last training"):
        list(cv.split(None, y, np.zeros(18)))
    with pytest.raises(ValueError, match=r"test_size must .* none can be spared"):
        list(cv.split(None, y, y))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        list(cv.split(None, y, y[:-1]))
