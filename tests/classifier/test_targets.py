"""Figures of the README on real data, with the default parameters."""

import numpy as np
import pytest
from joblib import Parallel, delayed
from scipy.stats import t as student
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.model_selection import (
    RepeatedStratifiedKFold,
    cross_val_score,
    train_test_split,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_center import CenterLossClassifier, OpenSetClassifier
from sk_center.metrics import auroc_score

pytestmark = pytest.mark.slow

UNKNOWN = [[3, 6, 7, 8], [1, 2, 4, 6], [2, 3, 4, 9], [0, 1, 2, 6], [4, 5, 6, 9]]
SOFTMAX = CenterLossClassifier(lambda_center=0, predict_with="softmax", random_state=0)


@pytest.mark.parametrize("load", [load_digits, load_wine, load_breast_cancer, load_iris])
def test_accuracy_is_not_below_softmax(load):
    """Check that center loss at the default lambda classifies as well as softmax."""
    X, y = load(return_X_y=True)
    folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=3, random_state=0)
    center, softmax = (
        cross_val_score(make_pipeline(StandardScaler(), model), X, y, cv=folds, n_jobs=2)
        for model in (CenterLossClassifier(random_state=0), SOFTMAX)
    )
    difference = center - softmax
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    quantiles = student.ppf([0.025, 0.975], len(difference) - 1)
    low, high = difference.mean() + quantiles * error
    print(
        f"\n{load.__name__}: center {center.mean():.4f}, softmax {softmax.mean():.4f}, "
        f"difference {difference.mean():+.4f} [{low:+.4f}, {high:+.4f}]"
    )
    # Not below beyond what the paired folds can tell from chance.
    assert high >= 0


def auroc(model, unknown, seed):
    """AUROC of a model on digits, 6 known and 4 unknown."""
    X, y = load_digits(return_X_y=True)
    X = X / 16
    known = ~np.isin(y, unknown)
    X_train, X_test, y_train, y_test = train_test_split(
        X[known], y[known], test_size=0.3, stratify=y[known], random_state=seed
    )
    model = clone(model).set_params(random_state=seed, estimator__random_state=seed)
    model.fit(X_train, y_train)
    score = model.score_samples(np.concatenate([X_test, X[~known]]))
    return auroc_score(np.append(y_test, y[~known]), score, labels=model.classes_)


def test_auroc_of_the_default():
    """Check that the default separates unknown digits by an AUROC of at least 0.96."""
    models = {
        "default": OpenSetClassifier(CenterLossClassifier(), random_state=0),
        "softmax": OpenSetClassifier(
            SOFTMAX, conformity_score="max_softmax", random_state=0
        ),
    }
    runs = [(unknown, seed) for unknown in UNKNOWN for seed in range(2)]
    found = {
        name: Parallel(n_jobs=2)(delayed(auroc)(model, *run) for run in runs)
        for name, model in models.items()
    }
    for name, values in found.items():
        print(f"\n{name}: AUROC {np.mean(values):.4f}, spread {np.std(values):.4f}")
    assert np.mean(found["default"]) >= 0.96
    assert np.mean(found["default"]) > np.mean(found["softmax"]) + 0.03
