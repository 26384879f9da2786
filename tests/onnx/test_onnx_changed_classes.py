"""Tests of graphs of models whose classes were changed after training."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from sk_center import CenterLossClassifier, OpenSetClassifier, to_onnx

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")
pytest.importorskip("onnxscript")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The added classes")
@pytest.mark.parametrize("guarantee", ["marginal", "class"])
def test_graph_of_added_classes(guarantee, tmp_path):
    """Check that a graph answers as a model with classes of few samples, and of many."""
    X, y = load_digits(return_X_y=True)
    X, known = X / 16, y < 6
    model = OpenSetClassifier(
        CenterLossClassifier(max_epochs=5, random_state=0),
        guarantee=guarantee,
        cv=0.2,
        random_state=0,
    ).fit(X[1::2][known[1::2]], y[1::2][known[1::2]])
    rows = [np.flatnonzero(y[1::2] == k)[:n] for k, n in ((7, 4), (6, 60))]
    for some in rows:
        model.add_classes(X[1::2][some], y[1::2][some])
    to_onnx(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    names = ["label", "p_known", "p_values", "prediction_set"]
    X_new = np.concatenate([X[::2], 50 * (1 - X[:100:2])])
    label, p_known, p_values, sets = session.run(names, {"X": X_new})
    decision = model.judge(X_new)
    assert {6, 7, -1} <= {*decision.labels.tolist()}
    assert (label == decision.labels).mean() > 0.999
    # But for ties, which a graph takes on the safe side.
    for found, expected in ((p_known, decision.p_known), (p_values, model.p_values(X_new))):
        assert (found >= expected - 1e-6).all()
        assert np.isclose(found, expected, rtol=1e-4).mean() > 0.99
    expected = model.predict_set(X_new)
    assert (sets == expected).all(axis=1).mean() > 0.99
    assert {1, 2} <= {*expected.sum(axis=1)}
