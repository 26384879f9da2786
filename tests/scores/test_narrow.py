"""Tests of scores that are computed in float32 where that is enough."""

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from score_problems import random_problem
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from sk_center import OpenSetClassifier
from sk_center.scores import InputDensity, Mahalanobis, PrincipalDistance

SCORES = [
    Mahalanobis(),
    Mahalanobis("class"),
    Mahalanobis(normalize=True),
    InputDensity(normalize=False, n_directions=None),
    InputDensity(2, normalize=True, n_directions=25, pooled=True),
    PrincipalDistance(2),
]
WITHIN = {"rtol": 1e-5, "atol": 1e-5}


@pytest.mark.parametrize("score", SCORES, ids=repr)
def test_float32_gives_the_scores_of_float64(score, tmp_path):
    """Check scores in float32, near and far, in a batch, alone and after a pickle."""
    X, y, new = random_problem(0, 600, 30)
    score = clone(score).fit(X, y)
    assert score.narrow_
    rows = np.concatenate([new, 1e4 * new, X[:20]]).astype(np.float32)
    scores = score.score_classes(rows)
    assert_allclose(scores, score.score_classes(rows.astype(np.float64)), **WITHIN)
    alone = np.concatenate([score.score_classes(row[None]) for row in rows])
    assert_allclose(alone, scores, **WITHIN)
    assert_allclose(score.score_labels(rows, np.ones(len(rows))), scores[:, 1], **WITHIN)
    joblib.dump(score, tmp_path / "score.joblib")
    assert_array_equal(joblib.load(tmp_path / "score.joblib").score_classes(rows), scores)


@pytest.mark.parametrize(
    ("score", "share", "shift"),
    [
        (Mahalanobis(shrinkage=None), 1e-4, 0),
        (Mahalanobis(), 1, 1e5),
        (InputDensity(), 1, 1e5),
        (PrincipalDistance(2), 1, 1e5),
    ],
)
def test_samples_that_float32_blurs_stay_in_float64(score, share, shift):
    """Check nearly collinear columns, and those far from zero, against float64."""
    X, y, _ = random_problem(0, 300, 5)
    X[:, 1] = X[:, 0] + share * X[:, 1]
    X = (X + shift).astype(np.float32)
    score = clone(score).fit(X, y)
    assert not score.narrow_
    exact = score.score_classes(X.astype(np.float64))
    assert_allclose(score.score_classes(X), exact, rtol=2.0**-24)


@pytest.mark.parametrize("score", [Mahalanobis(), InputDensity()])
@pytest.mark.parametrize("shift", [0, 1e5])
def test_added_class_that_float32_blurs(shift, score):
    """Check that an added class far from zero brings all scores to float64."""
    X, y, _ = random_problem(0, 300, 5)
    score = clone(score).fit(X, y)
    kept, new = np.array([0, 1, 2, -1]), {score.space: X[:50] + shift}
    added = score.with_classes(np.arange(4), kept, new, np.full(50, 3))
    assert score.narrow_
    assert added.narrow_ == (shift == 0)
    assert score.with_classes(np.arange(2), kept[:2]).narrow_


@pytest.mark.parametrize("score", ["mahalanobis", "input_density"])
def test_equal_samples_get_equal_answers_in_both_dtypes(score):
    """Check that ties decide alike in float32 and float64, in a batch and alone."""
    X, y, _ = random_problem(0, 40, 30)
    X = np.repeat(X, 15, axis=0).astype(np.float32)
    y = np.repeat(y, 15)
    model = OpenSetClassifier(
        LogisticRegression(), conformity_score=score, random_state=0
    ).fit(X, y)
    rows, wide = X[::15], X[::15].astype(np.float64)
    p_values = model.p_known(rows)
    assert_array_equal(model.p_known(wide), p_values)
    for i, row in enumerate(rows):
        assert model.p_known(row[None]) == p_values[i]
