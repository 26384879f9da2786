"""Tests of every score around every kind of classifier, and of the guarantee of each."""

import warnings
from functools import cache
from itertools import cycle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.stats import binom
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
from sk_center.scores import Combined, InputDensity, KNeighbors, Mahalanobis, ViM
from sk_center.scores.registry import SCORES

pytestmark = pytest.mark.filterwarnings(
    "ignore:The relative Mahalanobis distance", "ignore::UserWarning:sklearn"
)
EVERY = {
    **{name: name for name in ("auto", *SCORES)},
    "class covariance": Mahalanobis("class"),
    "relative": Mahalanobis(relative=True, normalize=True),
    "pooled": KNeighbors(1, pooled=True, scale="discriminant", space="raw_inputs"),
    "white": KNeighbors(2, scale="whiten", space="inputs"),
    "white numbers": KNeighbors(1, scale="numeric_whiten", pooled=True, space="inputs"),
    "directions": InputDensity(n_directions=3, pooled=True),
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
}
PIPELINES = {
    "pipeline": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
    "pipeline, center loss": make_pipeline(StandardScaler(), NET),
}
# They need logits, which a forest does not have.
OF_LOGITS = {"max_logit", "energy", "openmax", "vim", "fdbd", "list"}
# Each score around each classifier, with pipelines, guarantees and classes in turn.
TURNS = zip(cycle(["marginal", "predicted", "class"]), cycle([2, 3, 26, 3, 2, 3, 2]))
AROUND = [
    (score, name)
    for score, pipeline in zip(EVERY, cycle(PIPELINES))
    for name in (*ESTIMATORS, pipeline)
]
CASES = [(*pair, *turn) for pair, turn in zip(AROUND, TURNS)]
ESTIMATORS |= PIPELINES


@cache
def problem(n_classes, strings=False):
    """Return clouds of some classes with labels of either kind."""
    X, y = make_blobs(
        40 * n_classes, 6, centers=n_classes, center_box=(-15, 15), random_state=0
    )
    labels = np.array([f"class {k}" for k in range(n_classes)]) if strings else None
    return X, y if labels is None else labels[y]


@cache
def frozen(name, n_classes, strings=False):
    """Return an estimator fitted on half of the samples and frozen."""
    X, y = problem(n_classes, strings)
    return FrozenEstimator(clone(ESTIMATORS[name]).fit(X[::2], y[::2]))


def is_linear(name):
    """Return whether the logits of an estimator are a linear function of the features."""
    return name in ("logistic", "pipeline", "center loss", "pipeline, center loss")


@pytest.mark.parametrize(("score", "name", "guarantee", "n_classes"), CASES)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_score_around_every_classifier(score, name, guarantee, n_classes):
    """Check that each works, or refuses with the error that says what is missing."""
    X, y = problem(n_classes)
    model = OpenSetClassifier(
        frozen(name, n_classes),
        conformity_score=EVERY[score],
        guarantee=guarantee,
        false_rejection_rate=0.1,
        cv=0.5,
        random_state=0,
    )
    if score in OF_LOGITS and name == "forest":
        with pytest.raises(ValueError, match="needs logits: a decision_function"):
            model.fit(X[1::2], y[1::2])
        return
    if score == "fdbd" and not is_linear(name):
        with pytest.raises(ValueError, match="FDBD needs logits that are a linear"):
            model.fit(X[1::2], y[1::2])
        return
    model.fit(X[1::2], y[1::2])
    p_values, rejected = model.p_values(X), model.is_outlier(X)
    assert p_values.shape == (len(X), n_classes)
    assert ((p_values > 0) & (p_values <= 1)).all()
    predicted = model.predict(X)
    assert_array_equal(predicted == model.outlier_label_, rejected)
    # All are known, so that most are kept, also with ten calibration samples a class.
    assert rejected.mean() < 0.5
    scores = model.score_samples(X)
    assert scores.shape == (len(X),)
    assert np.isfinite(scores).all()
    alone = [model.is_outlier(X[i : i + 1])[0] for i in range(0, len(X), len(X) // 10)]
    assert_array_equal(alone, rejected[:: len(X) // 10])


# Scores that are not constant in a class, on three clouds that overlap.
SIZES = (50, 90, 140)
DRAWS = 300


@pytest.mark.slow
@pytest.mark.parametrize("score", EVERY)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_guarantee_of_every_score(score):
    """Check P(p_known <= rate | known) over draws of calibration sets and one new sample.

    With one new sample for each draw the counts are binomial: the bound is exact.
    """
    means = np.array([[0.0, 0, 0], [2, 0, 0], [0, 2, 1]])
    rng = np.random.default_rng(0)

    def sample(y):
        spread = np.array([0.5, 1.0, 1.5])[y][:, None]
        return means[y] + rng.normal(size=(len(y), 3)) * spread

    y = np.repeat(np.arange(3), 60)
    estimator = FrozenEstimator(LogisticRegression(max_iter=1000).fit(sample(y), y))
    y = np.repeat(np.arange(3), SIZES)
    rates = np.array([0.05, 0.2])
    kept = np.zeros(2, dtype=int)
    model = OpenSetClassifier(
        estimator,
        conformity_score=EVERY[score],
        cv=0.5,
        false_rejection_rate=rates[0],
        random_state=0,
    )
    for draw in range(DRAWS):
        model.set_params(random_state=draw).fit(sample(y), y)
        new = sample(rng.choice(3, 1, p=np.array(SIZES) / sum(SIZES)))
        kept += model.p_known(new)[0] <= rates
    # The chance to err in any of these comparisons, were the guarantee false by nothing.
    chance = binom.sf(kept - 1, DRAWS, rates)
    assert (chance >= 0.001 / len(EVERY) / 2).all(), kept / DRAWS
    # And the p-values are no more careful than they need be: there are no ties here.
    assert kept[1] >= binom.ppf(1e-6, DRAWS, 0.15), kept / DRAWS


@pytest.mark.filterwarnings("ignore:Samples far from all")
def test_score_of_logits_sees_the_softmax_head():
    """Check that the logits of a center-loss classifier are those of its head."""
    X, y = problem(3)
    for name in ("center loss", "pipeline, center loss"):
        model = OpenSetClassifier(
            frozen(name, 3),
            conformity_score="max_logit",
            false_rejection_rate=0.2,
            random_state=0,
        ).fit(X[1::2], y[1::2])
        inner = frozen(name, 3).estimator
        if name == "center loss":
            logits = inner.logits(X)
        else:
            logits = inner[-1].logits(inner[0].transform(X))
        own = logits[np.arange(len(X)), inner.predict(X)]
        assert_array_equal(model.score_samples(X), own)


@pytest.mark.filterwarnings("ignore:Samples far from all")
def test_logits_of_two_classes():
    """Check that two classes get minus and plus half the decision function."""
    X, y = problem(2, True)
    estimator = frozen("logistic", 2, True)
    model = OpenSetClassifier(
        estimator, conformity_score="max_logit", random_state=0, cv=0.2
    ).fit(X, y)
    expected = np.abs(estimator.decision_function(X)) / 2
    assert_array_equal(model.score_samples(X), expected)


def test_list_may_mix_what_scores_need():
    """Check a list of scores of features, logits and probabilities."""
    X, y = problem(3)
    model = OpenSetClassifier(
        frozen("logistic", 3),
        conformity_score=["max_softmax", ViM(), "knn"],
        cv=0.5,
        random_state=0,
    ).fit(X, y)
    assert model.score_.needs == ("features", "logits", "probabilities")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert model.is_outlier(X + 1000).all()
