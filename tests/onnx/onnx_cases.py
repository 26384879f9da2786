"""Models to export, and how a graph is asked."""

from functools import cache

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import train_test_split

from sk_center import CenterLossClassifier, to_onnx
from sk_center.open_set.outputs import outputs_of
from sk_center.open_set.scoring import score_outputs
from sk_center.scores import (
    GEN,
    Combined,
    Energy,
    InputDensity,
    KNeighbors,
    Mahalanobis,
    OpenMax,
    PerClass,
    ViM,
)
from sk_center.scores.registry import SCORES

onnxruntime = pytest.importorskip("onnxruntime")

EVERY = {
    **{name: name for name in ("auto", *SCORES)},
    "class covariance": Mahalanobis("class"),
    "relative": Mahalanobis(relative=True),
    "mixture": GaussianMixture(2, reg_covar=0.01, random_state=0),
    "mixtures": Combined(
        [
            PerClass(GaussianMixture(2, covariance_type=kind, random_state=0))
            for kind in ("diag", "tied", "spherical")
        ],
        how="sum",
    ),
    "parameters": Combined(
        [
            Energy(temperature=3.0),
            OpenMax(alpha=2),
            KNeighbors(3, normalize=True),
            Mahalanobis(shrinkage=None),
            ViM(n_components=6),
            InputDensity(2, shrinkage=0.5),
        ],
        how="sum",
        weights=[1.0, 0.5, 1.0, 2.0, 1.0, 1.0],
        limits=[(-2, 0), None, None, (-1, 1.5), None, None],
    ),
    "normalized": Mahalanobis(relative=True, normalize=True),
    "scales": Combined(
        [
            KNeighbors(1, scale="standard", normalize=True, pooled=True),
            KNeighbors(2, scale="discriminant"),
            KNeighbors(1, scale="whiten", space="inputs"),
            InputDensity(n_directions=5, normalize=True, pooled=True),
            GEN(n_top=3),
        ]
    ),
    "list": ["center_distance", "energy", "knn"],
    "nested": Combined([KNeighbors(), Combined([Mahalanobis(), Energy()])], how="sum"),
    "faiss": KNeighbors(algorithm="faiss"),
    "all kinds": ["log_odds", ViM(), "knn", "input_density"],
}

# Minus a distance to the middle of a class: the Gaussian calibration knows its law.
RADIAL = ("auto", "center_distance", "mahalanobis", "class covariance")

NET = CenterLossClassifier(hidden_layer_sizes=(32, 8), max_epochs=6, random_state=0)


@cache
def digits():
    """Return digits 0 to 5 to train and to calibrate with, and all ten to test."""
    X, y = load_digits(return_X_y=True)
    X = X / 16
    known = y < 6
    X_train, X_test, y_train, y_test = train_test_split(
        X[known], y[known], test_size=0.5, stratify=y[known], random_state=0
    )
    X_cal, X_test = X_test[::2], np.concatenate([X_test[1::2], X[~known]])
    return X_train, y_train, X_cal, y_test[::2], X_test


@cache
def frozen():
    """Return a network fitted on digits and frozen."""
    X, y, *_ = digits()
    return FrozenEstimator(NET.fit(X, y))


def ask(path, X):
    """Return the outputs of an exported graph by name."""
    session = onnxruntime.InferenceSession(path)
    (source,) = session.get_inputs()
    dtype = {"tensor(float)": np.float32, "tensor(double)": np.float64}[source.type]
    outputs = [output.name for output in session.get_outputs()]
    return dict(zip(outputs, session.run(None, {"X": X.astype(dtype)})))


def assert_same(model, path, X, X_graph=None):
    """Check the graph of a model against it, labels and decisions without exception."""
    to_onnx(model, path)
    found = ask(path, X if X_graph is None else X_graph)
    assert_array_equal(found["label"], model.predict(X))
    assert found["label"].dtype.kind in (model.predict(X).dtype.kind, "O")
    assert_allclose(found["features"], model.transform(X), rtol=0, atol=1e-4)
    assert_allclose(found["probabilities"], model.predict_proba(X), rtol=0, atol=1e-4)
    inner, seen = model, X
    while not isinstance(inner, CenterLossClassifier):
        if hasattr(inner, "steps"):
            seen, inner = inner[:-1].transform(seen), inner[-1]
        else:
            inner = getattr(inner, "estimator_", None) or inner.estimator
    assert_allclose(found["distances"], inner.center_distances(seen), rtol=0, atol=1e-4)
    names = {"label", "features", "probabilities", "distances"}
    if not hasattr(model, "predict_set"):
        assert set(found) == names
        return
    assert set(found) == names | OF_DECISION
    assert_same_decision(found, model, X)


OF_DECISION = {"rejected", "p_known", "score", "p_values", "prediction_set"}


def assert_same_decision(found, model, X):
    """Check what a graph decides against the model.

    Rounding may move a p-value past calibration samples of nearly the same score, and no
    further.
    """
    assert_array_equal(found["rejected"], model.is_outlier(X))
    assert_allclose(found["score"], model.score_samples(X), rtol=1e-6, atol=1e-4)
    outputs = outputs_of(model.estimator_, X, model.score_.needs)
    every = score_outputs(model.score_, outputs)
    by_class = model.guarantee == "class"
    groups = model.groups_ if by_class else np.arange(len(model.classes_))
    assert_between(found["p_values"], model.class_calibration_, every, groups)
    sets = model.predict_set(X)
    if by_class:
        p_values = model.p_values(X)
        moved = np.abs(found["p_values"] - p_values) > 1e-4
        # A tail is continuous, and rounding decides what lies at the rate but for rounding.
        away = np.abs(p_values - model.calibration_report_.rate_allowed)
        same = ~moved & ~((away > 0) & (away < 1e-4))
        assert_array_equal(found["prediction_set"][same], sets[same])
    else:
        # Rounding may add a class whose support is at the threshold.
        assert (found["prediction_set"] >= sets).all()
        assert (found["prediction_set"] != sets).mean() <= 0.01
    if model.guarantee == "marginal":
        scores = model.score_samples(X)
        assert_between(found["p_known"], model.calibration_, scores, None)
    else:
        assert (np.abs(found["p_known"] - model.p_known(X)) > 1e-4).mean() <= 0.01


def assert_between(found, calibration, scores, groups):
    """Check that p-values are those of scores that differ by no more than rounding."""
    known = calibration.scores_
    # The graph raises scores by the rounding of the largest.
    raised = 5e-7 * np.abs(known[np.isfinite(known)]).max(initial=0)
    margin = 1e-5 * np.maximum(np.abs(scores), 1) + raised
    with np.errstate(invalid="ignore"):
        bounds = np.nan_to_num(scores - margin, nan=-np.inf), scores + margin
    low, high = (calibration.p_values(bound, groups) for bound in bounds)
    assert (low - 1e-4 <= found).all()
    assert (found <= high + 1e-4).all()


OTHER_PAIRS = [
    *((score, "weibull") for score in EVERY),
    *((score, "gaussian") for score in RADIAL),
]


class Body(torch.nn.Module):
    """A body with a trick or two, in float64."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(64, 8))

    def forward(self, X):
        X = X.view(len(X), 8, 8).transpose(1, 2).reshape(X.shape[0], -1)
        return self.layer(X).tanh().double()
