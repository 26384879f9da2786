"""What the default rejects, beside a threshold that a user writes in five lines."""

import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from sk_center import CenterLossClassifier, OpenSetClassifier

# The data of the benchmarks, where there are any.
SHARED = Path(__file__).parents[3] / "shared" / "data"
INTENTS = Path(os.environ.get("SK_CENTER_DATA", SHARED), "banking77_minilm.npz")
RATE = 0.05


def rejected_of_outsiders(estimator, train, test, known, seed):
    """Return what share of outsiders default and five lines reject, at one kept rate.

    The kept rate is that of test samples, so that both reject as many known samples.
    """
    model = OpenSetClassifier(estimator, refit=False, random_state=seed).fit(*train)
    kept = model.is_outlier(test)[known].mean()
    X, _, y, _ = train_test_split(
        *train, test_size=0.2, stratify=train[1], random_state=seed
    )
    five_lines = clone(estimator).fit(X, y).predict_proba(test).max(axis=1)
    shares = []
    for scores in (model.score_samples(test), five_lines):
        threshold = np.quantile(scores[known], RATE)
        shares.append((scores[~known] < threshold).mean())
    return kept, *shares


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(max_iter=1000),
        RandomForestClassifier(random_state=0),
        pytest.param(SVC(probability=True, random_state=0), marks=pytest.mark.slow),
    ],
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_default_rejects_more_digits_than_five_lines(estimator):
    """Check that the default keeps its rate and rejects more than a plain threshold."""
    X, y = load_digits(return_X_y=True)
    X, found = X / 16, []
    for seed, unknown in enumerate(([0, 1, 2, 3], [4, 5, 6, 7], [2, 5, 8, 9])):
        known = ~np.isin(y, unknown)
        X_train, X_test, y_train, _ = train_test_split(
            X[known], y[known], stratify=y[known], random_state=seed
        )
        test = np.vstack([X_test, X[~known]])
        is_known = np.arange(len(test)) < len(X_test)
        found.append(
            rejected_of_outsiders(estimator, (X_train, y_train), test, is_known, seed)
        )
    kept, default, five_lines = np.mean(found, axis=0)
    # Three draws of some 300 known samples, and of as many that calibrate.
    assert kept < RATE + 0.03
    assert default > 0.85
    assert default > five_lines + 0.05


@pytest.mark.slow
@pytest.mark.skipif(not INTENTS.exists(), reason="the data of the benchmarks are not here")
@pytest.mark.parametrize("kind", ["texts", "embeddings", "center loss"])
@pytest.mark.parametrize("n_known", [5, 39])
def test_default_rejects_more_intents_than_five_lines(kind, n_known):
    """Check on BANKING77 that the default rejects as much as the largest probability."""
    data, found = np.load(INTENTS), []
    intents = np.unique(data["y_train"])
    part = "text" if kind == "texts" else "X"
    estimator = {
        "texts": make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=1000)),
        "embeddings": LogisticRegression(max_iter=1000),
        "center loss": CenterLossClassifier(random_state=0),
    }[kind]
    for seed in range(2):
        chosen = np.random.RandomState(seed).permutation(intents)[:n_known]
        known = np.isin(data["y_test"], chosen)
        rows = np.isin(data["y_train"], chosen)
        X_train, X_test = data[f"{part}_train"][rows], data[f"{part}_test"]
        if part == "X":
            X_train, X_test = np.float32(X_train), np.float32(X_test)
        train = X_train, data["y_train"][rows]
        found.append(rejected_of_outsiders(estimator, train, X_test, known, seed))
    _, default, five_lines = np.mean(found, axis=0)
    assert default >= five_lines
