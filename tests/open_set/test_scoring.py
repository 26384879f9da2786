"""Every score around every kind of classifier, and the guarantee of each."""

import warnings
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.stats import binom
from sk_center.calibration.registry import CALIBRATIONS
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_center import CenterLossClassifier, OpenSetClassifier
from sk_center.scores import Combined, KNeighbors, Mahalanobis, ViM
from sk_center.scores.registry import SCORES

EVERY = {
    **{name: name for name in ("auto", *SCORES)},
    "class covariance": Mahalanobis("class", shrinkage="oas"),
    "relative": Mahalanobis(relative=True),
    "mixture": GaussianMixture(random_state=0),
    "density": KernelDensity(),
    "function": lambda X: -np.abs(X).max(axis=1),
    "list": ["center_distance", "energy", "knn"],
    "sum": Combined([KNeighbors(), Mahalanobis()], how="sum"),
}
NET = CenterLossClassifier(hidden_layer_sizes=(16, 4), max_epochs=5, random_state=0)
ESTIMATORS = {
    "center loss": NET,
    "logistic": LogisticRegression(max_iter=1000),
    "boosting": HistGradientBoostingClassifier(max_iter=5),
    "forest": RandomForestClassifier(5, random_state=0),
    "pipeline": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
    "pipeline, center loss": make_pipeline(StandardScaler(), NET),
}
# Minus a distance to the middle of a class: the Gaussian calibration knows its law.
RADIAL = {"auto", "center_distance", "mahalanobis", "class covariance"}
# Whose logits come from nowhere.
NO_LOGITS = {"forest": {"max_logit", "energy", "openmax", "vim", "list"}}


@cache
def problem(n_classes, strings):
    """Return clouds of some classes with labels of either kind."""
    X, y = make_blobs(
        40 * n_classes, 6, centers=n_classes, center_box=(-15, 15), random_state=0
    )
    labels = np.array([f"class {k}" for k in range(n_classes)]) if strings else None
    return X, y if labels is None else labels[y]


@cache
def frozen(name, n_classes, strings):
    """Return an estimator fitted on half of the samples and frozen."""
    X, y = problem(n_classes, strings)
    return FrozenEstimator(clone(ESTIMATORS[name]).fit(X[::2], y[::2]))


@pytest.mark.parametrize("strings", [False, True], ids=["ints", "strings"])
@pytest.mark.parametrize("n_classes", [2, 3, 26])
@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("calibration", CALIBRATIONS)
@pytest.mark.parametrize("score", EVERY)
@pytest.mark.filterwarnings("ignore:Classes with too few calibration samples")
@pytest.mark.filterwarnings("ignore:No sample will ever be rejected")
def test_every_score_around_every_classifier(score, calibration, name, n_classes, strings):
    """Check that each works, or refuses with the error that says what is missing."""
    X, y = problem(n_classes, strings)
    model = OpenSetClassifier(
        frozen(name, n_classes, strings),
        conformity_score=EVERY[score],
        calibration=calibration,
        false_rejection_rate=0.1,
        cv=0.5,
        random_state=0,
    )
    if calibration == "gaussian" and score not in RADIAL:
        with pytest.raises(ValueError, match="calibration='gaussian' takes conformity_sc"):
            model.fit(X[1::2], y[1::2])
        return
    if score in NO_LOGITS.get(name, ()):
        with pytest.raises(ValueError, match="needs logits: a decision_function"):
            model.fit(X[1::2], y[1::2])
        return
    model.fit(X[1::2], y[1::2])
    p_values = model.p_values(X)
    assert (p_values > 0).all()
    assert (p_values <= 1).all()
    assert p_values.shape == (len(X), n_classes)
    accepted = p_values > model.thresholds_
    assert_array_equal(model.is_outlier(X), ~accepted.any(axis=1))
    predicted = model.predict(X)
    assert_array_equal(predicted == model.outlier_label_, ~accepted.any(axis=1))
    # All are members, so that most are kept, also with ten calibration samples a class.
    assert (predicted == model.outlier_label_).mean() < 0.5
    scores = model.score_samples(X)
    assert scores.shape == (len(X),)
    assert np.isfinite(scores).all()


# Scores of which none is constant in a class, on three clouds that overlap.
GUARANTEED = [score for score in EVERY if score != "auto"]
SIZES = (50, 90, 140)
DRAWS = 300


@pytest.mark.parametrize("score", GUARANTEED)
@pytest.mark.filterwarnings("ignore:No sample will ever be rejected")
def test_guarantee_of_every_score(score):
    """Check P(p_k <= rate | class k) over draws of calibration sets and one new member.

    With a new member for each draw the counts are binomial: the bound is exact.
    """
    means = np.array([[0.0, 0, 0], [2, 0, 0], [0, 2, 1]])
    rng = np.random.default_rng(0)

    def sample(y):
        return (
            means[y] + rng.normal(size=(len(y), 3)) * np.array([0.5, 1.0, 1.5])[y][:, None]
        )

    y = np.repeat(np.arange(3), 60)
    estimator = FrozenEstimator(LogisticRegression(max_iter=1000).fit(sample(y), y))
    y = np.repeat(np.arange(3), SIZES)
    rates = np.array([0.05, 0.2])
    kept = np.zeros((2, 3), dtype=int)
    model = OpenSetClassifier(
        estimator, conformity_score=EVERY[score], cv=0.5, false_rejection_rate=rates[0]
    )
    for draw in range(DRAWS):
        model.set_params(random_state=draw).fit(sample(y), y)
        own = np.diag(model.p_values(sample(np.arange(3))))
        kept += own <= rates[:, None]
    # The chance to err in any of these comparisons, were the guarantee false by nothing.
    chance = binom.sf(kept - 1, DRAWS, rates[:, None])
    assert (chance >= 0.001 / len(GUARANTEED) / 6).all(), kept / DRAWS
    # And the p-values are no more careful than they need be: there are no ties here.
    assert (kept[1] >= binom.ppf(1e-6, DRAWS, 0.15)).all(), kept / DRAWS


def test_score_of_logits_sees_the_softmax_head():
    """Check that of a center-loss classifier the logits are those of its head."""
    X, y = problem(3, False)
    for name in ("center loss", "pipeline, center loss"):
        model = OpenSetClassifier(
            frozen(name, 3, False), conformity_score="max_logit", false_rejection_rate=0.2
        ).fit(X[1::2], y[1::2])
        inner = frozen(name, 3, False).estimator
        if name == "center loss":
            logits = inner.logits(X)
        else:
            logits = inner[-1].logits(inner[0].transform(X))
        assert_array_equal(model.score_samples(X), logits.max(axis=1))


def test_logits_of_two_classes():
    """Check that two classes get minus and plus half the decision function."""
    X, y = problem(2, True)
    estimator = frozen("logistic", 2, True)
    model = OpenSetClassifier(estimator, conformity_score="max_logit").fit(X, y)
    expected = np.abs(estimator.decision_function(X)) / 2
    assert_array_equal(model.score_samples(X), expected)


def test_list_may_mix_what_scores_consume():
    """Check a list of scores of features, logits and probabilities."""
    X, y = problem(3, False)
    model = OpenSetClassifier(
        frozen("logistic", 3, False), conformity_score=["max_softmax", ViM(), "knn"], cv=0.5
    ).fit(X, y)
    assert model.score_.needs == ("features", "logits", "probabilities")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert model.is_outlier(X + 1000).all()
