"""Tests of the score that ``conformity_score="auto"`` stands for."""

import warnings

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from score_problems import counts
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC

from sk_center import CenterLossClassifier, OpenSetClassifier
from sk_center.metrics import auroc_score
from sk_center.scores import KNeighbors


def default(estimator, **params):
    """Return a model with the default score, and one split since folds change nothing."""
    return OpenSetClassifier(estimator, **{"cv": 0.2, "random_state": 0, **params})


def kinds(model):
    """Return what a fitted default score consists of, by class and part."""
    return [
        (type(score).__name__, getattr(score, "space", None))
        for score in model.score_.scores
    ]


def digits():
    """Return three digits, and their labels."""
    X, y = load_digits(n_class=3, return_X_y=True)
    return X / 16, y


NEAREST, DENSITY = ("KNeighbors", "raw_inputs"), ("InputDensity", "raw_inputs")
FEATURES, OUTSIDE = ("KNeighbors", "features"), ("PrincipalDistance", "raw_inputs")
LAYERS = ("KNeighbors", "layers")


@pytest.mark.parametrize("n_columns", [7, 8, 50, 51])
@pytest.mark.parametrize(
    ("estimator", "confidence"),
    [
        (LogisticRegression(max_iter=500), ("LogOdds", None)),
        (RandomForestClassifier(10, random_state=0), ("LogOdds", None)),
        (LinearSVC(), ("MaxLogit", None)),
        (VotingClassifier([("a", GaussianNB())]), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_rows_of_numbers(estimator, confidence, n_columns):
    """Check the parts for few and many columns, around classifiers without features."""
    X, y = digits()
    rng = np.random.default_rng(0)
    X = rng.normal(size=(len(y), n_columns)) + y[:, None]
    model = default(estimator).fit(X, y)
    expected = {
        7: [NEAREST, DENSITY],
        8: [NEAREST, NEAREST, DENSITY],
        50: [NEAREST, NEAREST, DENSITY],
        51: [NEAREST, DENSITY, DENSITY, OUTSIDE],
    }[n_columns]
    assert kinds(model) == expected + [confidence] * (confidence is not None)


def test_columns_of_different_units():
    """Check that wide columns are weighed where their units differ, whatever the scaler."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 60)
    X = (rng.normal(size=(180, 60)) + y[:, None]) * 10.0 ** rng.integers(-2, 3, size=60)
    pipe = make_pipeline(StandardScaler(), LogisticRegression())
    model = default(pipe).fit(X, y)
    assert kinds(model) == [NEAREST, DENSITY, DENSITY, OUTSIDE, NEAREST, ("LogOdds", None)]
    assert model.score_.scores[4].scale == "discriminant"


def test_columns_scaled_by_hand():
    """Check that columns which were standardized before count as those of other units."""
    X, y = digits()
    X = StandardScaler().fit_transform(X)
    model = default(LogisticRegression(max_iter=500)).fit(X, y)
    assert kinds(model) == [NEAREST, DENSITY, DENSITY, OUTSIDE, NEAREST, ("LogOdds", None)]


def test_whitened_columns():
    """Check that whitened inputs are judged as a table, and outsiders rejected."""
    X, y = load_digits(return_X_y=True)
    known = y < 6
    estimator = make_pipeline(PCA(55, whiten=True, random_state=0), SVC())
    model = default(estimator).fit(X[known][::2], y[known][::2])
    assert kinds(model) == [NEAREST, NEAREST, DENSITY, ("MaxLogit", None)]
    assert model.is_outlier(X[known][1::2]).mean() < 0.1
    assert model.is_outlier(X[~known]).mean() > 0.88


def test_categories():
    """Check that more than 50 columns of categories are judged as a table."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 100)
    raw = rng.integers(0, 4, size=(300, 20)) * (rng.uniform(size=(300, 20)) < 0.5)
    X = OneHotEncoder(sparse_output=False).fit_transform(raw + y[:, None])
    assert X.shape[1] > 100
    model = default(LogisticRegression()).fit(X, y)
    assert kinds(model) == [NEAREST, NEAREST, DENSITY, ("LogOdds", None)]


@pytest.mark.parametrize("n_numeric", [5, 10, 60])
def test_missing_numbers_beside_categories(n_numeric):
    """Check that densities take missing numbers, and notice samples that are far away."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 60)
    X = np.hstack([rng.normal(size=(180, n_numeric)), rng.integers(0, 2, size=(180, 55))])
    X[:, 0] += 20 * y
    X[::9, 0] = np.nan
    model = default(RandomForestClassifier(10, random_state=0)).fit(X, y)
    assert kinds(model) == [DENSITY] * (1 + (n_numeric == 60)) + [("LogOdds", None)]
    assert np.isfinite(model.score_samples(X)).all()
    assert model.is_outlier(1e3 * X).all()


def test_network():
    """Check that features count beside the inputs, of images all layers of the default."""
    X, y = digits()
    net = CenterLossClassifier(max_epochs=1, random_state=0)
    rows = default(net).fit(X, y)
    assert kinds(rows) == [NEAREST, DENSITY, DENSITY, OUTSIDE, FEATURES, ("LogOdds", None)]
    X = X.reshape(-1, 1, 8, 8)
    images = default(net).fit(X, y)
    assert kinds(images) == [NEAREST, LAYERS]
    assert images.score_.standardize == [True, False]
    net.set_params(module=torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 8)))
    own = default(net).fit(X, y)
    assert kinds(own) == [NEAREST, OUTSIDE, FEATURES, ("LogOdds", None)]
    assert own.score_.standardize == [True, True, False, True]


def test_sparse_rows():
    """Check that sparse inputs are judged by direction and confidence."""
    X, y = digits()
    X = np.hstack([X, np.zeros_like(X)])
    estimator = LogisticRegression(max_iter=500)
    model = default(estimator).fit(csr_array(X), y)
    assert kinds(model) == [NEAREST, ("LogOdds", None)]
    assert model.score_.weights == [1, 2]
    assert model.score_.limits == [None, None]
    assert model.is_outlier(csr_array(X[:20])).dtype == bool


@pytest.mark.parametrize(
    ("dense", "steps"),
    [
        (True, []),
        (False, [TruncatedSVD(30, random_state=0)]),
        (False, [TruncatedSVD(60, random_state=0), StandardScaler()]),
    ],
    ids=["dense", "directions", "scaled directions"],
)
@pytest.mark.parametrize(
    "estimator",
    [LogisticRegression(), CenterLossClassifier(max_epochs=1, random_state=0)],
    ids=lambda value: type(value).__name__,
)
def test_dense_texts(estimator, dense, steps):
    """Check the parts for dense rows of texts and for their directions."""
    X, y = TfidfTransformer().fit_transform(counts(n_topics=6)), np.arange(600) % 6
    X = X.toarray() if dense else X
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as that samples far away are accepted
        model = default(make_pipeline(*steps, estimator)).fit(X, y)
    assert kinds(model) == [NEAREST, OUTSIDE, ("LogOdds", None)]
    assert model.score_.weights == [1, 0.5, 2]


def test_texts_with_missing_numbers():
    """Check that densities judge them, and confidence as with other inputs."""
    X, y = counts(n_topics=3, n_words=200).astype(float), np.arange(600) % 3
    X[::50, 0] = np.nan
    model = default(HistGradientBoostingClassifier(max_iter=2)).fit(X, y)
    assert kinds(model) == [DENSITY, DENSITY, ("LogOdds", None)]
    assert model.score_.weights == [1, 0.5, 0.5]
    assert model.score_.limits[-1] == (-2, 0)


def test_sparse_tables():
    """Check that a sparse matrix of few columns is judged as the same numbers are."""
    X, y = digits()
    dense, sparse = (
        default(LogisticRegression(max_iter=500)).fit(part, y) for part in (X, csr_array(X))
    )
    assert kinds(sparse) == kinds(dense)
    np.testing.assert_allclose(sparse.p_known(csr_array(X)), dense.p_known(X))


def test_inputs_that_are_no_numbers():
    """Check that a Dataset is judged by what the network makes of it."""
    X, y = digits()
    data = torch.utils.data.TensorDataset(torch.tensor(X, dtype=torch.float32))
    net = CenterLossClassifier(max_epochs=1, random_state=0)
    model = default(net).fit(data, y)
    assert kinds(model) == [("Mahalanobis", "features"), ("Energy", None)]
    data = torch.utils.data.TensorDataset(data.tensors[0].reshape(-1, 1, 8, 8))
    model = default(net).fit(data, y)
    assert type(model.score_).__name__ == "KNeighbors"
    assert model.score_.needs == ("layers",)


def test_layers_see_what_features_lost():
    """Check that all layers tell digits left out better than the features alone."""
    X, y = load_digits(return_X_y=True)
    X = X.reshape(-1, 1, 8, 8)
    train = (y < 6) & (np.arange(len(y)) % 3 > 0)
    net = CenterLossClassifier(max_epochs=10, random_state=0).fit(X[train], y[train])
    parts = net.outputs(X, ("features", "layers"))
    aurocs = [
        auroc_score(
            y[~train],
            KNeighbors(1, normalize=False, space=name)
            .fit(part[train], y[train])
            .score_samples(part[~train]),
            labels=net.classes_,
        )
        for name, part in parts.items()
    ]
    assert aurocs[1] > aurocs[0] + 0.005, aurocs


def test_confidence_condemns_and_never_acquits():
    """Check that more confidence than usual does not raise the score."""
    X, y = digits()
    model = default(LogisticRegression(max_iter=500)).fit(X, y)
    parts = {"raw_inputs": X[:1].repeat(3, axis=0)}
    sure = np.array([[0.999999, 5e-7, 5e-7], [0.9999999, 5e-8, 5e-8], [0.5, 0.3, 0.2]])
    scores = model.score_.scores_of({**parts, "probabilities": sure}, np.zeros(3, int))
    assert scores[0] == scores[1] > scores[2]


def test_samples_far_away():
    """Check that wide samples far longer than all others are rejected."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 100)
    X = rng.normal(size=(300, 150)) + y[:, None]
    model = default(LogisticRegression(max_iter=500)).fit(X, y)
    assert model.is_outlier(1e6 * X[:50]).all()
    assert model.is_outlier(1e6 * rng.normal(size=(50, 150))).all()
    assert model.is_outlier(X).mean() < 0.1


def mixed_table():
    """Return numbers and one-hot categories of two classes, and outsiders between them."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 200)
    numbers = rng.normal(size=(600, 4))
    numbers[:, 0] += 8 * np.repeat([0, 1, 0.5], 200)
    categories = np.eye(30)[rng.geometric(0.15, size=600).clip(1, 30) - 1]
    X = np.hstack([numbers, categories])
    return X[:400], y, X[400:]


@pytest.mark.parametrize("n_categories", [30, 60])
def test_rare_categories_are_no_outsiders(n_categories):
    """Check that one-hot columns do not hide what numbers tell, however many they are."""
    X, y, X_outside = mixed_table()
    X, X_outside = (
        np.hstack([part] + [part[:, 4:]] * (n_categories // 30 - 1))
        for part in (X, X_outside)
    )
    model = default(LogisticRegression(), cv=5).fit(X, y)
    assert kinds(model) == [NEAREST, NEAREST, DENSITY, ("LogOdds", None)]
    assert model.is_outlier(X_outside).mean() > 0.6
    assert model.is_outlier(X).mean() < 0.08
