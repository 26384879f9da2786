"""The scores against the detectors of pytorch-ood 0.4, where both define the same thing.

Its scores are larger for outliers, ours for what is known.
"""

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.special import softmax

from sk_center.scores import (
    Energy,
    KNeighbors,
    Mahalanobis,
    MaxLogit,
    MaxSoftmax,
    OpenMax,
    ViM,
)

found = find_spec("pytorch_ood")
if found is None:
    pytest.skip("pytorch-ood is not installed", allow_module_level=True)
# Not executed, because it asks for torchvision, which no detector here needs.
sys.modules.setdefault("pytorch_ood", module_from_spec(found))
detector = import_module("pytorch_ood.detector")

N_CLASSES, N_FEATURES = 4, 12
CLOSE = {"rtol": 1e-9, "atol": 1e-9}


@pytest.fixture(autouse=True)
def _float64():
    """Let them compute in float64, but where they ask for float32."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def problem():
    """Return features of correlated clouds, class indices and new samples."""
    rng = np.random.default_rng(0)
    y = np.arange(400) % N_CLASSES
    mixing = rng.normal(size=(N_FEATURES, N_FEATURES)) + 3 * np.eye(N_FEATURES)
    X = 9 * rng.normal(size=(N_CLASSES, N_FEATURES))[y]
    X += rng.normal(size=X.shape) @ mixing
    return X, y, np.concatenate([X[:20] + 0.1, 15 * rng.normal(size=(40, N_FEATURES))])


def logit_problem():
    """Return logits that are largest for their class, class indices and new logits."""
    rng = np.random.default_rng(0)
    y = np.arange(400) % N_CLASSES
    X = 12 * np.eye(N_CLASSES)[y] + rng.normal(size=(400, N_CLASSES))
    assert (X.argmax(axis=1) == y).all()
    return X, y, 6 * rng.normal(size=(60, N_CLASSES))


def ours(score, X, y, new):
    """Return our scores of new samples."""
    return score.fit(X, y).score_samples(new)


def theirs(kind, fitted, X, y, new):
    """Return how much of an outlier pytorch-ood finds new features or logits."""
    if fitted.requires_fit:
        getattr(fitted, f"fit_{kind}")(torch.from_numpy(X), torch.from_numpy(y))
    return getattr(fitted, f"predict_{kind}")(torch.from_numpy(new)).numpy()


def test_max_logit():
    """Check that the score is minus theirs."""
    X, y, new = logit_problem()
    expected = theirs("logits", detector.MaxLogit(None), X, y, new)
    assert_allclose(ours(MaxLogit(), X, y, new), -expected, rtol=0)


def test_max_softmax():
    """Check that the score of the probabilities is minus theirs of the logits."""
    X, y, new = logit_problem()
    expected = theirs("logits", detector.MaxSoftmax(None), X, y, new)
    X, new = softmax(X, axis=1), softmax(new, axis=1)
    assert_allclose(ours(MaxSoftmax(), X, y, new), -expected, **CLOSE)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 10.0])
def test_energy(temperature):
    """Check that the score is minus their energy, at any temperature."""
    X, y, new = logit_problem()
    expected = theirs("logits", detector.EnergyBased(None, temperature), X, y, new)
    assert_allclose(ours(Energy(temperature), X, y, new), -expected, **CLOSE)


def test_mahalanobis():
    """Check the distances against theirs, which are halved squares.

    They take the sum of the outer products for the covariance, not the mean, which makes
    the squares smaller by the number of samples. They add 1e-6 to its diagonal, which is
    nothing in the unit chosen here.
    """
    X, y, new = problem()
    X, new = 1000 * X, 1000 * new
    expected = theirs("features", detector.Mahalanobis(None), X, y, new)
    found = ours(Mahalanobis(shrinkage=None), X, y, new)
    assert_allclose(found, -np.sqrt(2 * len(X) * expected), **CLOSE)


def test_relative_mahalanobis():
    """Check the differences of squares against theirs, smaller by the number of samples."""
    X, y, new = problem()
    X, new = 1000 * X, 1000 * new  # as above
    expected = theirs("features", detector.RMD(None), X, y, new)
    found = ours(Mahalanobis(shrinkage=None, relative=True), X, y, new)
    assert_allclose(found, -len(X) * expected, **CLOSE)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("n_neighbors", [1, 5])
def test_k_neighbors(n_neighbors, normalize):
    """Check that the score is minus their distance, where classes make no difference.

    They search all classes together, we each class, so that only the nearest neighbor is
    the same one; the k-th of the nearest class is no nearer than the k-th of all.
    """
    X, y, new = problem()
    detect = detector.KNN(None, n_neighbors, normalize=normalize)
    expected = theirs("features", detect, X, y, new)
    score = KNeighbors(n_neighbors, normalize=normalize)
    assert_allclose(ours(score, X, np.zeros(len(X)), new), -expected, **CLOSE)
    of_classes = ours(score, X, y, new)
    if n_neighbors == 1:
        assert_allclose(of_classes, -expected, **CLOSE)
    else:
        assert (of_classes <= -expected + 1e-9).all()
        assert (of_classes < -expected - 0.01).any()


@pytest.mark.parametrize("n_components", [2, 6])
def test_vim(n_components):
    """Check that the score is minus theirs, which they compute in float32.

    They are given the head; we find it from the logits.
    """
    X, y, new = problem()
    rng = np.random.default_rng(1)
    weight, bias = rng.normal(size=(N_CLASSES, N_FEATURES)), rng.normal(size=N_CLASSES)
    head = torch.from_numpy(weight), torch.from_numpy(bias)
    expected = theirs("features", detector.ViM(None, n_components, *head), X, y, new)
    X, new = ({"features": x, "logits": x @ weight.T + bias} for x in (X, new))
    assert_allclose(ours(ViM(n_components), X, y, new), -expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("alpha", [1, 2, 4])
def test_openmax(alpha):
    """Check that their probability of the unknown class is what ours leave of one.

    Their Weibull distributions are not ours, but of distances moved to around 10000, as
    in the program of the paper's authors: all else is compared, given theirs. Their means
    are of all samples of a class, and ours the same where all are classified correctly.
    They measure the distance to those classes only that are some sample's largest logit:
    here all are.
    """
    X, y, new = logit_problem()
    assert set(new.argmax(axis=1)) == set(range(N_CLASSES))
    detect = detector.OpenMax(None, tailsize=20, alpha=alpha)
    expected = theirs("logits", detect, X, y, new)
    score = OpenMax(20, alpha=alpha).fit(X, y)
    distributions = detect._openmax.distributions
    score._shares_nearer = lambda away: np.transpose(
        [distributions[k].w_score(away[:, k]) for k in range(N_CLASSES)]
    )
    known = score.score_classes(new).sum(axis=1)
    assert_allclose(1 - known, expected, **CLOSE)
