"""The confusion matrix with outsiders and rejections."""

import numpy as np
import pytest
from drawing import KNOWN, problem
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix

from sk_center import OpenSetConfusionMatrixDisplay


@pytest.mark.parametrize(
    ("labels", "outlier_label", "others"),
    [
        (["cat", "dog"], "outsider", ["fox", "gnu"]),
        ([3, 5], -1, [4, 9]),
        ([3, 5], 0.5, [4.25, -1]),
        ([0.5, 1.5], -1, [2, 3]),
        ([3, 5], "outsider", ["fox", 7]),
        ([False, True], -1, [2, 3]),
    ],
)
def test_confusion_matrix_by_hand(labels, outlier_label, others):
    """Check the entries and names for labels of all kinds, mixed ones too."""
    (a, b), (x, z), out = labels, others, outlier_label
    kind = object if isinstance(out, str) and not isinstance(a, str) else None
    y_true = np.array([a, a, a, b, b, x, x, z, z, z], dtype=kind)
    y_pred = np.array([a, a, out, a, b, b, out, out, a, out], dtype=kind)
    drawn = OpenSetConfusionMatrixDisplay.from_predictions(
        y_true, y_pred, labels=labels, outlier_label=out
    )
    assert_array_equal(drawn.confusion_matrix, [[2, 0, 1], [1, 1, 0], [1, 1, 3]])
    for axis in (drawn.ax_.get_xticklabels(), drawn.ax_.get_yticklabels()):
        assert [text.get_text() for text in axis] == [str(a), str(b), str(out)]
    assert [text.get_text() for text in drawn.text_[2]] == ["1", "1", "3"]


def test_confusion_matrix_is_that_of_scikit_learn():
    """Check a fitted classifier against scikit-learn, on labels made one by hand."""
    model, X, y = problem()
    merged = np.where(np.isin(y, KNOWN), y, "outsider")
    weight = np.random.default_rng(0).uniform(size=len(y))
    for normalize in ("true", None):
        drawn = OpenSetConfusionMatrixDisplay.from_estimator(
            model, X, y, sample_weight=weight, normalize=normalize, colorbar=False
        )
        expected = confusion_matrix(
            merged,
            model.predict(X),
            labels=[*KNOWN, "outsider"],
            sample_weight=weight,
            normalize=normalize,
        )
        assert_allclose(drawn.confusion_matrix, expected)
        assert_allclose(drawn.im_.get_array(), expected)
    assert isinstance(drawn, ConfusionMatrixDisplay)
    assert drawn.display_labels == [*KNOWN, "outsider"]


def test_confusion_matrix_without_outsiders():
    """Check that a row without samples is zero, and the column still there."""
    model, X, y = problem(known=KNOWN[:2])
    known = np.isin(y, KNOWN[:2])
    for normalize in (None, "true"):
        drawn = OpenSetConfusionMatrixDisplay.from_estimator(
            model, X[known], y[known], normalize=normalize
        )
        assert_array_equal(drawn.confusion_matrix[2], [0, 0, 0])
        assert drawn.confusion_matrix[:2, 2].sum() > 0


def test_confusion_matrix_without_rejection():
    """Check that rows and columns of no sample at all are there."""
    drawn = OpenSetConfusionMatrixDisplay.from_predictions(
        ["cat"], ["cat"], labels=["cat", "dog"], outlier_label="outsider"
    )
    assert_array_equal(drawn.confusion_matrix, np.diag([1, 0, 0]))


def test_confusion_matrix_of_other_predictions():
    """Check the errors of labels that cannot be."""
    draw = OpenSetConfusionMatrixDisplay.from_predictions
    with pytest.raises(ValueError, match=r"y_pred must hold labels.*got \['gnu'\]"):
        draw(["cat"], ["gnu"], labels=["cat"], outlier_label="outsider")
    with pytest.raises(ValueError, match="outlier_label must be a label that is none"):
        draw(["cat"], ["cat"], labels=["cat"], outlier_label="cat")
