"""Tests of the nearest-neighbor score."""

import os
import pickle
import subprocess
import sys
from copy import deepcopy
from itertools import permutations

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist
from score_problems import N_CLASSES, random_problem
from sklearn.base import clone
from sklearn.covariance import LedoitWolf

from sk_center.scores import (
    KNeighbors,
)
from sk_center.scores.nearest import Nearest


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("metric", ["euclidean", "cityblock"])
def test_k_neighbors(normalize, metric):
    """Check the distance to the k-th neighbor by brute force, in a small class too."""
    rng = np.random.default_rng(0)
    X, new = rng.normal(size=(53, 4)), rng.normal(size=(20, 4))
    y = np.repeat([0, 1, 2], [30, 20, 3])
    score = KNeighbors(5, normalize=normalize, metric=metric).fit(X, y)
    if normalize:
        X /= np.linalg.norm(X, axis=1)[:, None]
        lengths = np.linalg.norm(new, axis=1)[:, None]
    scaled = new / lengths if normalize else new
    away = cdist(scaled, X, metric)
    for k, nth in enumerate((5, 5, 3)):
        expected = -np.sort(away[:, y == k], axis=1)[:, nth - 1]
        assert_allclose(score.score_classes(new)[:, k], expected, rtol=1e-12)
    assert np.isfinite(score.score_classes(np.zeros((1, 4)))).all()


@pytest.mark.parametrize("n_features", [4, 20])
def test_k_neighbors_far_from_the_origin(n_features):
    """Check small distances far out, with few features and with many, by brute force."""
    rng = np.random.default_rng(0)
    # On a grid of 1/64, moving by 2^20 rounds nothing: the data are the same.
    X = np.round(64 * rng.normal(size=(90, n_features))) / 64
    new = np.concatenate([X[:20] + 2.0**-10, X[20:40] + 3])
    y = np.arange(90) % 3
    score = KNeighbors(1).fit(X + 2**20, y)
    expected = [-cdist(new, X[y == k]).min(axis=1) for k in range(3)]
    assert_allclose(score.score_classes(new + 2**20), np.transpose(expected), rtol=1e-8)


@pytest.mark.parametrize("algorithm", ["ball_tree", "brute", "kd_tree"])
@pytest.mark.parametrize("metric", ["euclidean", "cityblock"])
def test_algorithms_of_k_neighbors(algorithm, metric):
    """Check that scikit-learn searches as asked, and finds what brute force finds."""
    rng = np.random.default_rng(0)
    X, new, y = rng.normal(size=(60, 4)), rng.normal(size=(20, 4)), np.arange(60) % 2
    score = KNeighbors(3, metric=metric, algorithm=algorithm).fit(X, y)
    expected = [-np.sort(cdist(new, X[y == k], metric), axis=1)[:, 2] for k in range(2)]
    assert_allclose(score.score_classes(new), np.transpose(expected), rtol=1e-12)


def faiss_score(*args, **kwargs):
    """Return a score that searches with faiss, or skip the test without it."""
    pytest.importorskip("faiss")
    return KNeighbors(*args, algorithm="faiss", **kwargs)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("n_features", [1, 4, 100])
def test_faiss(n_features, normalize):
    """Check the distance to the k-th neighbor by brute force, in a small class too."""
    rng = np.random.default_rng(0)
    X, new = rng.normal(size=(530, n_features)), rng.normal(size=(200, n_features))
    y = np.repeat([0, 1, 2], [300, 227, 3])
    score = faiss_score(5, normalize=normalize).fit(X, y)
    if normalize:
        X, new = (x / np.linalg.norm(x, axis=1)[:, None] for x in (X, new))
    away = cdist(new, X)
    for k, nth in enumerate((5, 5, 3)):
        expected = -np.sort(away[:, y == k], axis=1)[:, nth - 1]
        # The k-th neighbor in float32 may be another one that is as far but for 1e-7.
        assert_allclose(score.score_classes(new)[:, k], expected, rtol=1e-6, atol=1e-12)
    # Some at once and each alone, which faiss computes differently.
    singly = np.concatenate([score.score_classes(row[None]) for row in new[:30]])
    assert_allclose(singly, score.score_classes(new)[:30], rtol=1e-6, atol=1e-12)
    assert np.isfinite(score.score_classes(np.zeros((1, n_features)))).all()


@pytest.mark.parametrize("n_new", [4, 40])
def test_faiss_close_to_samples_far_from_the_origin(n_new):
    """Check small distances far out to the last digits, where float32 has none right."""
    rng = np.random.default_rng(0)
    # On a grid of 1/64, moving by 2^20 rounds nothing: the data are the same.
    X, y = np.round(64 * rng.normal(size=(90, 20))) / 64, np.arange(90) % 3
    new = X[:n_new] + 2.0**-10 * rng.integers(4, size=(n_new, 20))
    score = faiss_score(1).fit(X + 2**20, y)
    expected = [-cdist(new, X[y == k]).min(axis=1) for k in range(3)]
    found = score.score_classes(new + 2**20)
    assert_allclose(found, np.transpose(expected), rtol=1e-13)
    assert_array_equal(score.score_samples(X + 2**20), 0)


@pytest.mark.parametrize("unit", [1e-30, 1e30])
def test_faiss_of_any_unit(unit):
    """Check features whose squares float32 cannot hold, and samples very far away."""
    rng = np.random.default_rng(0)
    X, new, y = rng.normal(size=(90, 5)), rng.normal(size=(30, 5)), np.arange(90) % 3
    new[:10] *= 1e45
    expected = KNeighbors(2, algorithm="kd_tree").fit(X, y).score_classes(new)
    found = faiss_score(2).fit(unit * X, y).score_classes(unit * new)
    assert_allclose(found, unit * expected, rtol=1e-6)


def test_faiss_of_one_point():
    """Check classes whose samples are all the same, and one of a single sample."""
    X, y = np.array([[1.0, 2], [1, 2], [1, 2], [4, 6]]), [0, 0, 0, 1]
    found = faiss_score(2).fit(X, y).score_classes([[1.0, 2], [4, 6]])
    assert_array_equal(found, [[0, -5], [-5, 0]])


@pytest.mark.parametrize("kind", ["pickle", "joblib", "deepcopy", "clone"])
def test_copies_of_faiss_score(kind, tmp_path):
    """Check that a fitted score can be kept, and an equal one fitted again."""
    X, y, new = random_problem()
    score = faiss_score(3).fit(X, y)
    if kind == "pickle":
        copy = pickle.loads(pickle.dumps(score))
    elif kind == "joblib":
        joblib.dump(score, tmp_path / "score.joblib")
        copy = joblib.load(tmp_path / "score.joblib")
    else:
        copy = deepcopy(score) if kind == "deepcopy" else clone(score).fit(X, y)
    assert_array_equal(copy.score_classes(new), score.score_classes(new))


def test_faiss_of_float32():
    """Check that samples in float32 are those in float64, but for the rounding."""
    X, y, new = random_problem()
    narrow = new.astype(np.float32)
    score = faiss_score(3).fit(X.astype(np.float32), y)
    found = score.score_classes(narrow)
    assert found.dtype == np.float32
    exact = score.score_classes(narrow.astype(np.float64))
    assert_array_equal(found, exact.astype(np.float32))


def test_faiss_needs_euclidean_metric():
    """Check that the error names both parameters, with normalize too."""
    X, y, _ = random_problem()
    for normalize in (False, True):
        score = faiss_score(metric="cityblock", normalize=normalize)
        with pytest.raises(ValueError, match=r"metric must be .euclidean.*cityblock"):
            score.fit(X, y)


def test_faiss_that_is_not_installed(monkeypatch):
    """Check that only who asks for faiss needs it, and is told how to get it."""
    monkeypatch.setitem(sys.modules, "faiss", None)
    X, y, new = random_problem()
    assert KNeighbors().fit(X, y).score_classes(new).shape == (7, N_CLASSES)
    with pytest.raises(ImportError, match=r'pip install "sk-center\[faiss\]"'):
        KNeighbors(algorithm="faiss").fit(X, y)


@pytest.mark.slow
@pytest.mark.parametrize("order", list(permutations(["faiss", "sklearn", "torch"])))
def test_faiss_beside_other_threads(order):
    """Check that faiss, scikit-learn and torch work in one process, in any order.

    Each brings an OpenMP runtime, which may hang or crash together.
    """
    pytest.importorskip("faiss")
    code = "\n".join(f"import {name}" for name in order)
    code += """
import numpy as np
from sk_center import CenterLossClassifier
from sk_center.scores import KNeighbors
rng = np.random.default_rng(0)
X, y = rng.normal(size=(3000, 64)), np.arange(3000) % 3
net = CenterLossClassifier(max_epochs=1).fit(X, y)
for _ in range(3):
    for algorithm in ("brute", "faiss"):
        KNeighbors(algorithm=algorithm).fit(X, y).score_classes(X)
    net.predict(X)
"""
    env = {**os.environ, "OMP_NUM_THREADS": "2"}
    subprocess.run([sys.executable, "-c", code], env=env, check=True, timeout=300)


def scaled_by_hand(X, y, new, scale):
    """Return training and new samples after a scale, from its definition."""
    total = X.std(axis=0)
    means = np.array([X[y == k].mean(axis=0) for k in range(y.max() + 1)])
    within = (X - means[y]).std(axis=0)
    X, new = X - X.mean(axis=0), new - X.mean(axis=0)
    if scale == "standard":
        return X / total, new / total
    if scale == "discriminant":
        factor = np.sqrt(np.maximum(1 - (within / total) ** 2, 0.02))
        factor /= np.maximum(within, 0.02 * total)
        return X * factor, new * factor
    X, new = X / total, new / total
    means = np.array([X[y == k].mean(axis=0) for k in range(y.max() + 1)])
    covariance = LedoitWolf(assume_centered=True).fit(X - means[y]).covariance_
    root = np.linalg.cholesky(np.linalg.inv(covariance))
    return X @ root, new @ root


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize(
    ("scale", "normalize"),
    [("standard", False), ("standard", True), ("discriminant", True), ("whiten", False)],
)
def test_scales(scale, normalize, pooled):
    """Check distances after each scale, of any length and of length one, by scipy."""
    X, y, new = random_problem(n_samples=90)
    score = KNeighbors(2, scale=scale, normalize=normalize, pooled=pooled).fit(X, y)
    found = score.score_classes(new)
    X, new = scaled_by_hand(X, y, new, scale)
    if normalize:
        X, new = (rows / np.linalg.norm(rows, axis=1)[:, None] for rows in (X, new))
    away = cdist(new, X)
    groups = [np.full(len(y), True)] * 3 if pooled else [y == k for k in range(3)]
    expected = [-np.sort(away[:, group], axis=1)[:, 1] for group in groups]
    assert_allclose(found, np.transpose(expected), rtol=1e-9)


@pytest.mark.parametrize("n_numeric", [7, 8])
def test_whitening_of_numeric_columns(n_numeric):
    """Check that whitening leaves columns of two values out, beside eight others."""
    X, y, new = random_problem(n_samples=90, n_features=n_numeric)
    binary = np.random.default_rng(0).integers(0, 2, size=(len(X) + len(new), 5))
    mixed = np.hstack([binary[: len(X)], X]), np.hstack([5 + binary[len(X) :], new])
    for pooled in (False, True):
        score = KNeighbors(1, scale="whiten", normalize=True, pooled=pooled)
        counted = slice(5 if n_numeric == 8 else 0, None)
        expected = score.fit(mixed[0][:, counted], y).score_classes(mixed[1][:, counted])
        found = score.set_params(scale="numeric_whiten").fit(mixed[0], y)
        assert_allclose(found.score_classes(mixed[1]), expected, rtol=1e-9)


def test_constant_column_has_no_scale():
    """Check that a column that never varies counts nothing, under every scale."""
    X, y, new = random_problem()
    flat = np.column_stack([X, np.full(len(X), 0.1)])
    for scale in ("standard", "discriminant", "whiten"):
        expected = KNeighbors(1, scale=scale).fit(X, y).score_classes(new)
        found = KNeighbors(1, scale=scale).fit(flat, y)
        found = found.score_classes(np.column_stack([new, np.full(len(new), 7.0)]))
        assert np.isfinite(found).all()
        if scale != "whiten":  # whose shrinkage knows the number of columns
            assert_allclose(found, expected, rtol=1e-9)


def test_normalize_auto():
    """Check that wide samples get length one by default, unless they have a scale."""
    rng = np.random.default_rng(0)
    for n_columns, wide in ((50, False), (51, True)):
        X, y = rng.normal(size=(30, n_columns)), np.arange(30) % 2
        assert KNeighbors().fit(X, y).normalize_ == wide
        assert not KNeighbors(scale="standard").fit(X, y).normalize_
        found = KNeighbors(2).fit(X, y).score_classes(X)
        expected = KNeighbors(2, normalize=wide).fit(X, y).score_classes(X)
        assert_array_equal(found, expected)


@pytest.mark.parametrize("most", [1, 30, 89, 90, 1000])
def test_kept_samples(most):
    """Check that each class keeps the same share of its samples, but one at least."""
    X, _, new = random_problem(n_samples=90)
    y = np.repeat([0, 1, 2], [60, 29, 1])
    score = KNeighbors(1, max_samples=most).fit(X, y)
    sizes = np.diff(score.starts_)
    assert_array_equal(sizes, np.maximum(np.array([60, 29, 1]) * min(most, 90) // 90, 1))
    kept = score.samples_ + np.repeat(score._origins, sizes, axis=0)
    away = cdist(kept, X)
    assert_allclose(away.min(axis=1), 0, atol=1e-12)
    assert_array_equal(y[away.argmin(axis=1)], np.repeat([0, 1, 2], sizes))
    groups = np.split(kept, np.cumsum(sizes)[:-1])
    expected = [-cdist(new, group).min(axis=1) for group in groups]
    assert_allclose(score.score_classes(new), np.transpose(expected), rtol=1e-9)


@pytest.mark.parametrize("n_neighbors", [1, 2, 7])
@pytest.mark.parametrize("kind", ["normal", "binary", "twins", "far", "one point"])
def test_nearest_samples_to_the_last_digit(kind, n_neighbors):
    """Check the distance by brute force where float32 cannot tell samples apart."""
    rng = np.random.default_rng(0)
    samples, X = rng.normal(size=(400, 12)), rng.normal(size=(150, 12))
    if kind == "binary":
        samples, X = (samples > 0).astype(float), (X > 0).astype(float)
    elif kind == "twins":
        samples[200:] = samples[:200] + 1e-9 * rng.normal(size=(200, 12))
        X = samples[:150] + 1e-8 * rng.normal(size=(150, 12))
    elif kind == "far":
        X[:50] *= 1e25
        X[50:100] *= 1e60
    elif kind == "one point":
        samples[:] = samples[0]
    search = Nearest(samples, n_neighbors)
    with np.errstate(over="ignore", invalid="ignore"):
        found = search.distances(X)
        singly = np.concatenate([search.distances(row[None]) for row in X])
    expected = np.sort(cdist(X, samples), axis=1)[:, n_neighbors - 1]
    assert_allclose(singly, expected, rtol=1e-12)
    assert_allclose(found, expected, rtol=1e-12)
