"""Tests of the scores as parts of a graph, without an estimator."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import softmax
from sklearn.base import clone
from sklearn.mixture import GaussianMixture

from sk_center.scores import (
    Combined,
    FunctionScore,
    InputDensity,
    KNeighbors,
    Mahalanobis,
    PerClass,
)
from sk_center.scores.registry import SCORES, make_score

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

EXPORTED = {
    **{name: make_score(name) for name in SCORES},
    "class covariance": Mahalanobis("class", relative=True, normalize=True),
    "pooled": KNeighbors(1, pooled=True, scale="discriminant", space="raw_inputs"),
    "white": KNeighbors(3, scale="whiten", normalize=True),
    "white numbers": KNeighbors(1, scale="numeric_whiten", space="raw_inputs"),
    "directions": InputDensity(n_directions=3, normalize=True, pooled=True),
    "mixture": PerClass(GaussianMixture(random_state=0)),
    "sum": Combined(
        ["knn", "log_odds", InputDensity(pooled=True)],
        how="sum",
        weights=[1.0, 0.5, 2.0],
        limits=[None, (-2, 0), None],
    ),
    "min": Combined(["mahalanobis", "max_logit", "center_distance"]),
}


def parts_of(n_samples, dtype, seed):
    """Return parts of samples of four classes, and class indices."""
    rng = np.random.default_rng(seed)
    y = rng.integers(4, size=n_samples)
    inputs = rng.normal(size=(n_samples, 6)) + 4 * np.eye(6)[y]
    features = np.tanh(inputs / 3) @ np.linspace(-1, 1, 30).reshape(6, 5)
    logits = features @ np.linspace(-3, 2, 20).reshape(5, 4) + np.eye(4)[0]
    parts = {"inputs": inputs, "raw_inputs": 3 * inputs, "features": features}
    parts = {**parts, "logits": logits, "probabilities": softmax(logits, axis=1)}
    return {name: part.astype(dtype) for name, part in parts.items()}, y


@pytest.mark.filterwarnings("ignore:The relative Mahalanobis distance")
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", EXPORTED)
def test_scores_of_a_graph(name, dtype):
    """Check that a graph gives the scores but for rounding, also of a class not seen."""
    from sk_center._onnx.graph import Graph

    train, y = parts_of(300, dtype, 0)
    seen = y != 2
    train = {part: rows[seen] for part, rows in train.items()}
    score = clone(EXPORTED[name]).fit(train, y[seen], classes=range(4))
    new, _ = parts_of(40, dtype, 1)
    graph = Graph()
    values = {part: graph.input(part, dtype, ["n", new[part].shape[1]]) for part in new}
    graph.output("scores", score._scores_to_onnx(values), ["n", 4])
    model = graph.model("scores", "tests", "1", {})
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = {needed.name for needed in session.get_inputs()}
    (found,) = session.run(None, {part: new[part] for part in names})
    expected = score.scores_of(new)
    largest = np.abs(expected[np.isfinite(expected)]).max()
    assert_allclose(found, expected, rtol=0, atol=16 * np.finfo(dtype).eps * largest)


class Halved(Mahalanobis):
    """A score of a user that computes something else than its base."""

    def _score_classes(self, **parts):
        return super()._score_classes(**parts) / 2


@pytest.mark.parametrize("score", [FunctionScore(np.square), Halved()], ids=repr)
def test_scores_that_only_python_computes(score):
    """Check the error of a score that has no form in ONNX, or that of its base alone."""
    X = np.random.default_rng(0).normal(size=(20, 2))
    score = score.fit(X, np.arange(20) % 2)
    with pytest.raises(ValueError, match=r"cannot be exported: only Python can"):
        score._scores_to_onnx({"features": X})
