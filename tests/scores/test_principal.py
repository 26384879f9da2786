"""Distances by principal directions."""

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from sk_center.scores import PrincipalDistance


def digits():
    """Return digits and their labels."""
    X, y = load_digits(return_X_y=True)
    return X[:600] / 16, y[:600]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_is_the_density_of_probabilistic_components(dtype):
    """Check that half of the squares differ from scikit-learn's density by a constant."""
    X, y = digits()
    X = X[:, X.std(axis=0) > 0][:, :40]
    n_directions = X.shape[1] // 2
    score = PrincipalDistance(n_directions).fit(X.astype(dtype), y)
    found = score.score_samples(X.astype(dtype))
    pca = PCA(n_directions, svd_solver="full").fit(X)
    wanted = pca.score_samples(X)
    assert np.ptp(wanted + np.square(found) / 2) < 1e-4 * np.ptp(wanted)
    precision = np.linalg.inv(pca.get_covariance())
    away = mahalanobis(X[5], X.mean(axis=0), precision)
    assert found[5] == pytest.approx(-away, rel=1e-4)


def test_what_training_samples_lack_counts():
    """Check that a step where nothing varies is far, and one where much varies is not."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 6)) * [10, 5, 3, 0.1, 0.1, 0.1]
    score = PrincipalDistance().fit(X, X[:, 0] > 0)
    along, across = np.eye(6)[[0, 5]]
    assert score.score_samples([along])[0] > -1 > -9 > score.score_samples([across])[0]


@pytest.mark.parametrize("n_samples", [1, 2, 5])
def test_few_samples_and_flat_ones(n_samples):
    """Check that few samples, equal samples and samples of one line are measured."""
    line = np.arange(n_samples)[:, None] * np.ones((1, 4))
    for X in (line, np.zeros_like(line)):
        score = PrincipalDistance().fit(X, np.arange(n_samples) % 2)
        near, far = score.score_samples([X[0], X[0] + [1.0, 0, 0, -1.0]])
        assert np.isfinite([near, far]).all()
        assert near > far


def test_huge_samples_are_far():
    """Check that samples whose squares overflow have a finite score, the least of all."""
    X, y = digits()
    score = PrincipalDistance().fit(X, y)
    found = score.score_samples(np.array([X[0], X[0] * 1e100, X[0] * 1e300]))
    assert np.isfinite(found).all()
    assert (np.diff(found) <= 0).all()
