"""Tests of the kinds of columns, which reach inside ``sk_center.scores.columns``."""

import warnings

import numpy as np
import pytest
from score_problems import counts
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.preprocessing import OneHotEncoder, StandardScaler, normalize

from sk_center.scores.columns import kind_of_columns, numeric_columns


def pixels():
    """Return digits, whose columns have one unit."""
    return load_digits().data / 16


def categories(n_samples=500, n_columns=30, drop=None, most=6):
    """Return columns of six categories or more, every third of two, in one-hot code."""
    rng = np.random.default_rng(0)
    raw = rng.geometric(min(0.4, 2 / most), size=(n_samples, n_columns)).clip(max=most)
    raw[:, ::3] = raw[:, ::3].clip(max=2)
    return OneHotEncoder(sparse_output=False, drop=drop).fit_transform(raw)


def hidden(X, n_factors=3):
    """Return binary columns that depend on a few factors, as pixels and words do."""
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(len(X), n_factors)) @ rng.uniform(size=(n_factors, 80))
    return (factors + rng.normal(size=factors.shape) > 1).astype(float)


def directions(power, n_columns=64, n_disordered=0, common=0.0):
    """Return directions whose variances fall by a power, the first of them off center."""
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(600, n_columns)) + common * rng.normal(size=(600, 1))
    X = Z * np.arange(1, n_columns + 1) ** (-power / 2)
    X[:, 0] += 5
    order = np.r_[0, 1 + rng.permutation(n_disordered), n_disordered + 1 : n_columns]
    return X[:, order]


def strokes(share):
    """Return numbers of which a share is not zero."""
    rng = np.random.default_rng(0)
    return rng.uniform(size=(500, 100)) * (rng.uniform(size=(500, 100)) < share)


def weights():
    """Return the weights of the words by TF-IDF."""
    return TfidfTransformer(sublinear_tf=True).fit_transform(counts())


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda X: X[:, :7], "few"),
        (lambda X: X[:, :8], "table"),
        (lambda X: X[:, :50], "table"),
        (lambda X: X, "wide"),
        (lambda X: X + 5, "wide"),
        (lambda X: X * 10.0 ** (np.arange(64) % 5), "mixed"),
        (lambda X: StandardScaler().fit_transform(X), "mixed"),
        (lambda X: PCA(55).fit_transform(X), "wide"),
        (lambda X: PCA(55, whiten=True).fit_transform(X), "table"),
        (lambda X: PCA(55, whiten=True).fit(X[::2]).transform(X), "table"),
        (lambda X: np.random.default_rng(0).normal(size=(200, 300)), "table"),
        (lambda X: np.random.default_rng(0).normal(size=(200, 301)), "mixed"),
        (lambda X: categories(), "table"),
        (lambda X: categories(drop="if_binary"), "table"),
        (lambda X: np.hstack([categories(), X[:500, 20:22]]), "table"),
        (lambda X: np.hstack([categories(), X[:500, 10:20]]), "table"),
        (lambda X: np.hstack([categories(), X[:500, 20:22], X[:500, 28:30]]), "table"),
        (lambda X: np.hstack([categories(n_columns=90), X[:500, 10:14]]), "few"),
        (lambda X: np.hstack([categories(n_columns=90), X[:500, 10:20]]), "table"),
        (lambda X: categories(n_columns=90), "wide"),
        (lambda X: (X > 0.5).astype(float), "wide"),
        (lambda X: hidden(X), "wide"),
        (lambda X: np.zeros((20, 60)), "wide"),
        (lambda X: TruncatedSVD(50).fit_transform(X), "table"),
        (lambda X: TruncatedSVD(55).fit_transform(X), "wide"),
        (lambda X: counts().astype(float), "text"),
        (lambda X: counts()[:, :150].astype(float), "text"),
        (lambda X: (counts()[:, :150] > 0).astype(float), "text"),
        (lambda X: weights().toarray(), "text"),
        (lambda X: TruncatedSVD(29).fit_transform(weights()), "table"),
        (lambda X: TruncatedSVD(30).fit_transform(weights()), "text"),
        (lambda X: TruncatedSVD(100).fit_transform(weights()), "text"),
        (lambda X: TruncatedSVD(100).fit(weights()[::2]).transform(weights()), "text"),
        (lambda X: normalize(TruncatedSVD(60).fit_transform(weights())), "text"),
        (lambda X: PCA(60).fit_transform(weights().toarray()), "text"),
        (lambda X: 2 * PCA(60).fit_transform(weights().toarray()), "wide"),
        (lambda X: TruncatedSVD(60).fit_transform(weights())[:, ::-1], "wide"),
        (lambda X: directions(0.6), "text"),
        (lambda X: directions(0.6, n_columns=900), "text"),
        (lambda X: directions(0.9), "wide"),
        (lambda X: directions(0.6, n_disordered=10), "text"),
        (lambda X: directions(0.6, n_disordered=40), "wide"),
        (lambda X: directions(0.6, common=0.35), "text"),
        (lambda X: directions(0.6, common=0.5), "wide"),
        (lambda X: directions(0.6) - directions(0.6).mean(axis=0), "wide"),
        (lambda X: strokes(0.05), "text"),
        (lambda X: strokes(0.1), "wide"),
        (lambda X: np.hstack([strokes(0.1), np.zeros((500, 60))]), "wide"),
        (lambda X: categories(n_columns=9, most=60), "wide"),
        (lambda X: categories(n_columns=3, most=60), "table"),
        (lambda X: np.hstack([categories(n_columns=9, most=60), X[:500, 10:14]]), "few"),
    ],
)
def test_kind(make, kind):
    """Check the kind of pixels and texts, as they are and prepared, and of categories."""
    X = make(pixels())
    assert kind_of_columns(X) == kind
    assert kind_of_columns(X.astype(np.float32)) == kind


def test_kind_does_not_depend_on_the_sample():
    """Check that draws of 150 samples and more do not change the kind."""
    rng = np.random.default_rng(1)
    X = pixels()
    for n_samples in (150, 400, 1000):
        for _ in range(10):
            rows = rng.choice(len(X), n_samples, replace=False)
            assert kind_of_columns(PCA(55, whiten=True).fit_transform(X[rows])) == "table"
            assert kind_of_columns(StandardScaler().fit_transform(X[rows])) == "mixed"
            assert kind_of_columns(X[rows]) == "wide"


def test_whitened_together_with_other_classes():
    """Check that inputs stay whitened where classes are left out after it."""
    data = load_digits()
    X = PCA(55, whiten=True).fit_transform(data.data)
    rng = np.random.default_rng(0)
    for n_known in (5, 6, 8):
        for _ in range(10):
            known = np.isin(data.target, rng.choice(10, n_known, replace=False))
            assert kind_of_columns(X[known]) == "table"


def test_extreme_numbers():
    """Check that numbers whose squares are infinite or zero raise no warning."""
    X = StandardScaler().fit_transform(pixels())
    for factor in (1e160, 1e-320):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            kind_of_columns(X * factor)
            kind_of_columns(X * np.where(np.arange(64) % 9, 1, factor))
    texts = TruncatedSVD(60).fit_transform(weights())
    for factor in (1e-30, 1e-23, 1e20, 1e30):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            kind_of_columns((texts * factor).astype(np.float32))
            kind_of_columns((X * factor).astype(np.float32))


def test_missing_numbers():
    """Check that columns with missing numbers have a kind, without a warning."""
    X = pixels()
    X[::7, 3:] = np.nan
    X[:, 5] = np.nan
    assert kind_of_columns(X) == "wide"
    assert numeric_columns(X)[30]


def test_numeric_columns():
    """Check that columns of two values are left out, unless too few others are left."""
    X = np.hstack([categories(), pixels()[:500, 18:22]])
    expected = np.array([len(np.unique(column)) > 2 for column in X.T])
    assert expected.sum() == 4
    np.testing.assert_array_equal(numeric_columns(X), expected)
    np.testing.assert_array_equal(numeric_columns(X, least=4), expected)
    assert numeric_columns(X, least=5).all()
