"""The risk-coverage curve and its area, against loops and a published formula."""

from itertools import permutations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_iris
from sklearn.naive_bayes import GaussianNB

from sk_center import OpenSetClassifier
from sk_center.metrics import aurc_score, neg_aurc_scorer, risk_coverage_curve

LABELS = [0, 1, 2]


def answers(seed, n=40, values=None):
    """Return true labels 0..3, of which 3 is an outsider, answers and how sure they are."""
    rng = np.random.default_rng(seed)
    y_true = rng.integers(4, size=n)
    y_pred = np.where(rng.random(n) < 0.7, y_true % 3, rng.integers(3, size=n))
    score = rng.normal(size=n) + (y_true == y_pred)
    return y_true, y_pred, np.round(score) if values else score


def loop_area(wrong):
    """Return the mean of the risks of the first one, two, ... answers."""
    return np.mean([np.mean(wrong[: k + 1]) for k in range(len(wrong))])


@pytest.mark.parametrize("seed", range(3))
def test_area_is_the_mean_of_risks(seed):
    """Check against loops, and harmonic numbers (Zhou et al., ICML 2024, without ties)."""
    y_true, y_pred, score = answers(seed)
    found = aurc_score(y_true, y_pred, score, labels=LABELS)
    wrong = (y_true != y_pred)[np.argsort(-score)].astype(float)
    assert_allclose(found, loop_area(wrong), rtol=1e-12)
    n = len(wrong)
    harmonic = np.append(0, np.cumsum(1 / np.arange(1, n + 1)))
    assert_allclose(found, (wrong * (harmonic[n] - harmonic[:n])).mean(), rtol=1e-12)


def test_equal_scores_count_as_all_their_orders():
    """Check ties against the mean over permutations."""
    y_true, y_pred, score = [0, 1, 2, 0, 1], [0, 2, 2, 1, 1], [5, 3, 3, 3, 1]
    wrong = np.not_equal(y_true, y_pred)
    areas = [
        loop_area(wrong[[0, *order, 4]].astype(float)) for order in permutations([1, 2, 3])
    ]
    found = aurc_score(y_true, y_pred, score, labels=LABELS)
    assert_allclose(found, np.mean(areas), rtol=1e-12)


@pytest.mark.parametrize("values", [None, 5])
def test_curve_is_that_of_thresholds(values):
    """Check risk and coverage at each threshold by counts, with weights."""
    y_true, y_pred, score = answers(0, values=values)
    weight = np.random.default_rng(1).integers(0, 3, size=len(score)).astype(float)
    found = risk_coverage_curve(y_true, y_pred, score, labels=LABELS, sample_weight=weight)
    for risk, coverage, threshold in zip(*found):
        inside = score >= threshold
        assert_allclose(coverage, weight[inside].sum() / weight.sum())
        wrong = inside & (y_true != y_pred)
        assert_allclose(risk, weight[wrong].sum() / weight[inside].sum())
    assert found[1][-1] == 1


def test_weight_zero_is_no_sample():
    """Check the area where some samples do not count."""
    y_true, y_pred, score = answers(2)
    weight = (np.arange(40) % 3 > 0).astype(float)
    some = weight > 0
    found = aurc_score(y_true, y_pred, score, labels=LABELS, sample_weight=weight)
    expected = aurc_score(y_true[some], y_pred[some], score[some], labels=LABELS)
    assert_allclose(found, expected, rtol=1e-12)


def test_scorer_takes_the_score_of_the_model():
    """Check the sign and what is given, also without outsiders."""
    X, y = load_iris(return_X_y=True)
    model = OpenSetClassifier(GaussianNB(), cv=5).fit(X[y < 2], y[y < 2])
    for some in (y < 3, y < 2):
        decision = model.judge(X[some])
        given = y[some], decision.predicted, decision.scores
        expected = -aurc_score(*given, labels=[0, 1])
        assert neg_aurc_scorer(model, X[some], y[some]) == expected
