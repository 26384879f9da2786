"""Tests of scores of features and logits."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax

from sk_center.scores import (
    FDBD,
    ViM,
)


@pytest.mark.parametrize("n_components", [None, 3])
def test_vim(n_components):
    """Check ViM against the paper's definition, with the head that made the logits."""
    rng = np.random.default_rng(0)
    W, b = rng.normal(size=(8, 3)), rng.normal(size=3)
    features = rng.normal(size=(300, 8)) @ np.diag([5, 4, 3, 2, 1, 0.3, 0.2, 0.1])
    logits, new = features @ W + b, rng.normal(size=(20, 8)) * 3
    y = logits.argmax(axis=1)
    origin = -np.linalg.pinv(W.T) @ b
    _, _, axes = np.linalg.svd(features - origin)
    R = axes[n_components or 4 :].T

    def residual(features):
        return np.array([np.linalg.norm(R.T @ (f - origin)) for f in features])

    alpha = logits.max(axis=1).sum() / residual(features).sum()
    new_logits = new @ W + b
    expected = np.log(np.exp(new_logits).sum(axis=1)) - alpha * residual(new)
    score = ViM(n_components).fit({"features": features, "logits": logits}, y)
    found = score.score_samples({"features": new, "logits": new_logits})
    assert_allclose(found, expected, rtol=1e-8)
    # Monotone in one minus the probability of the virtual logit, as the paper scores.
    virtual = softmax(np.column_stack([new_logits, alpha * residual(new)]), axis=1)[:, -1]
    assert_array_equal(np.argsort(expected), np.argsort(-virtual))


@pytest.mark.parametrize(("n_samples", "n_components"), [(6, 3), (7, 3), (8, 4), (99, 4)])
def test_subspace_of_vim_of_few_samples(n_samples, n_components):
    """Check that the subspace takes half of the features, and of the samples at most."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_samples, 10))
    X = {"features": X[:, :8], "logits": X[:, 8:]}
    score = ViM().fit(X, np.arange(n_samples) % 2)
    assert score.residual_space_.shape == (8, 8 - n_components)


def test_vim_needs_features_and_room():
    """Check the errors of ViM for logits alone and a subspace that holds everything."""
    with pytest.raises(ValueError, match="X must be a mapping of the parts"):
        ViM().fit(np.eye(3), [0, 1, 2])
    with pytest.raises(ValueError, match="smaller than the number of features, 2; got 2"):
        ViM(2).fit({"features": np.eye(4)[:, :2], "logits": np.eye(4)[:, 2:]}, [0, 1, 0, 1])


@pytest.mark.parametrize("n_classes", [2, 4])
def test_fdbd(n_classes):
    """Check the distances to decision boundaries by the head that made the logits."""
    rng = np.random.default_rng(0)
    W, b = rng.normal(size=(6, n_classes)), rng.normal(size=n_classes)
    features, new = rng.normal(size=(200, 6)) + 3, 3 * rng.normal(size=(15, 6))
    logits, new_logits = features @ W + b, new @ W + b
    expected = []
    for z, v in zip(new, new_logits):
        f = v.argmax()
        away = [
            abs((W[:, f] - W[:, c]) @ z + b[f] - b[c]) / np.linalg.norm(W[:, f] - W[:, c])
            for c in range(n_classes)
            if c != f
        ]
        expected.append(np.mean(away) / np.linalg.norm(z - features.mean(axis=0)))
    y = np.arange(200) % n_classes
    score = FDBD().fit({"features": features, "logits": logits}, y)
    found = score.score_samples({"features": new, "logits": new_logits})
    assert_allclose(found, expected, rtol=1e-9)


def test_fdbd_needs_a_linear_head():
    """Check the error where logits are no linear function of the features."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(100, 3))
    parts = {"features": features, "logits": features[:, :2] ** 2}
    with pytest.raises(ValueError, match=r"FDBD needs logits that are a linear .*differ"):
        FDBD().fit(parts, np.arange(100) % 2)
