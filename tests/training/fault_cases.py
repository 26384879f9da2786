"""Small trainings and their state."""

import numpy as np
import torch
from numpy.testing import assert_allclose, assert_array_equal

from sk_center import CenterLossClassifier

RULES = ("ema", "sum", "wen", "cumulative", "fixed")

# For a model that has no finite loss or features: what to change, and what it is now.
SAYS_WHAT_TO_DO = r"(?=.*StandardScaler)(?=.*lr=\S+\d)"
N_SAMPLES = 60
y = np.arange(N_SAMPLES) % 3
X = np.random.default_rng(0).normal(size=(N_SAMPLES, 4)) + 3 * np.eye(3, 4)[y]
X = X.astype(np.float32)


def small(**params):
    """Return a classifier that trains in a blink."""
    defaults = {"hidden_layer_sizes": (8, 2), "max_epochs": 4, "random_state": 0}
    return CenterLossClassifier(**{**defaults, **params})


def assert_sane(model, X):
    """Check that a fitted classifier has finite centers and says something of X."""
    center = model.module_.center
    assert torch.isfinite(center.center).all()
    assert np.isfinite(model.centers_).all()
    assert np.isfinite(model.center_distances(X)).all()
    assert 0 < model.tau_ < np.inf
    probabilities = model.predict_proba(X)
    assert (probabilities >= 0).all()
    assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert set(model.predict(X)) <= set(model.classes_)


def state_of(model):
    """Return all that training changes, as numbers."""
    parts = {name: part.clone() for name, part in model.module_.state_dict().items()}
    history = [row["train_loss"] for row in model.history_]
    return [*parts.values(), model.centers_.copy(), model.tau_, model.n_iter_, history]


def assert_same_state(model, before):
    """Check that nothing that training changes has changed."""
    for part, old in zip(state_of(model), before, strict=True):
        assert_array_equal(part, old)


SCORE_NAMES = ("auto", "center_distance", "energy", "input_density", "knn", "mahalanobis")
SCORE_NAMES += ("max_logit", "max_softmax", "openmax", "vim")
# A score knows nothing of how it is calibrated: half of the pairs are enough.
SCORES_AND_CALIBRATIONS = list(zip(SCORE_NAMES, ("conformal", "weibull") * 5))
HEADS_AND_RULES = [(head, rule) for head in ("linear", "distance") for rule in RULES]
many_y = np.arange(300) % 3
many_X = np.random.default_rng(1).normal(size=(300, 4)) + 3 * np.eye(3, 4)[many_y]
rng = np.random.default_rng(2)
