"""Tests of the guarantees, over draws of all samples, against exact binomial bounds."""

import numpy as np
import pytest
from open_set_problems import GUARANTEES, MEANS, WIDTHS, Nearest, clouds, frozen, sample
from scipy.stats import binom, chi2
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_center import CenterLossClassifier, OpenSetClassifier
from sk_center.scores import (
    CenterDistance,
    Combined,
    FunctionScore,
    KNeighbors,
    Mahalanobis,
)
from sk_center.scores.registry import SCORES

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

N_DRAWS = 300
# Every draw tests one new sample of each group, so that counts are binomial.
LEVEL = 0.999


def distance(X):
    """Return minus the distance to the nearest mean: a score that learns nothing."""
    return -np.linalg.norm(X[:, None] - MEANS, axis=2).min(axis=1)


def counts_of(make_model, draw, n_draws=N_DRAWS):
    """Return how often one new sample is rejected and tested, by class and prediction.

    ``draw`` gives samples and classes, to calibrate and a new one of a random class.
    """
    rejected, tested = np.zeros((2, 3), int), np.zeros((2, 3), int)
    rng = np.random.default_rng(0)
    for seed in range(n_draws):
        X, y, X_new, y_new = draw(rng)
        decision = make_model(seed).fit(X, y).judge(X_new)
        for kind, group in enumerate((y_new[0], decision.predicted[0])):
            tested[kind, group] += 1
            rejected[kind, group] += decision.rejected[0]
    return rejected, tested


def check_bound(guarantee, rejected, tested, rate, level=LEVEL):
    """Check the counts of a guarantee: overall, by predicted class or by class."""
    of_class, of_predicted = rejected
    found, n = of_class.sum(), tested[0].sum()
    assert found <= binom.ppf(level, n, rate)
    groups = {"marginal": [], "class": zip(of_class, tested[0])}
    for found, n in groups.get(guarantee, zip(of_predicted, tested[1])):
        assert found <= binom.ppf(1 - (1 - level) / 3, n, rate)


def from_clouds(sizes, shares=(1 / 3, 1 / 3, 1 / 3), transform=lambda X: X):
    """Return a function that draws calibration samples and a new sample."""
    n = sum(sizes)

    def draw(rng):
        # Exchangeable: the classes of all are drawn alike.
        y = rng.choice(3, size=n + 1, p=shares)
        X = transform(sample(y, rng))
        return X[:-1], y[:-1], X[-1:], y[-1:]

    return draw


SLOW = pytest.mark.slow
MARGINAL_FIRST = ["marginal", *(pytest.param(g, marks=SLOW) for g in GUARANTEES[1:])]


def pairs(*rates, default=((0.05, "marginal"), (0.2, "class"))):
    """Return each rate and sample size with each guarantee: all but the default slow."""
    return [
        pytest.param(rate, n, guarantee, marks=[] if (rate, guarantee) in default else SLOW)
        for rate, n in rates
        for guarantee in GUARANTEES
    ]


@pytest.mark.parametrize(
    ("rate", "n", "guarantee"),
    [*pairs((0.01, 420), (0.05, 150), (0.2, 60)), (0.1, 90, "predicted")],
)
def test_rate_of_false_rejections(rate, n, guarantee):
    """Check the bound of each guarantee at 1, 5 and 20 %, and that it is used."""
    estimator = frozen(Nearest())
    model = OpenSetClassifier(
        estimator,
        conformity_score=distance,
        false_rejection_rate=rate,
        guarantee=guarantee,
        random_state=0,
    )
    n_draws = 3 * N_DRAWS if rate == 0.01 else N_DRAWS
    rejected, tested = counts_of(lambda seed: model, from_clouds([n]), n_draws)
    check_bound(guarantee, rejected, tested, rate)
    if guarantee == "marginal":
        # A score without ties: rejected with probability floor(rate (n + 1)) / (n + 1).
        exact = np.floor(rate * (n + 1) + 1e-9) / (n + 1)
        assert rejected[0].sum() >= binom.ppf(1 - LEVEL, n_draws, exact)


def rounded(X):
    """Return the samples in steps of one, with many ties."""
    return np.round(X)


@pytest.mark.parametrize(
    ("rate", "n", "guarantee"),
    pairs((0.05, 120), (0.2, 120), default=[(0.05, "marginal")]),
)
def test_ties_do_not_break_the_bound(rate, n, guarantee):
    """Check samples in steps of one, whose scores are equal for many."""
    model = OpenSetClassifier(
        frozen(LogisticRegression()),
        conformity_score="max_softmax",
        false_rejection_rate=rate,
        guarantee=guarantee,
        random_state=0,
    )
    draw = from_clouds([n], transform=rounded)
    X, y, *_ = draw(np.random.default_rng(1))
    assert len(np.unique(model.fit(X, y).score_samples(X))) < 90
    check_bound(guarantee, *counts_of(lambda seed: model, draw), rate)


@pytest.mark.slow
@pytest.mark.parametrize("guarantee", GUARANTEES)
def test_imbalance_of_five_to_five_thousand(guarantee):
    """Check the bound where one class has five samples and another 5,000."""
    model = OpenSetClassifier(
        frozen(Nearest()),
        conformity_score=distance,
        guarantee=guarantee,
        random_state=0,
    )
    shares = np.array([5000, 500, 5]) / 5505
    rejected, tested = counts_of(lambda seed: model, from_clouds([5505], shares))
    # The rare classes share a threshold, whose bound holds over them together.
    assert rejected[0].sum() <= binom.ppf(LEVEL, N_DRAWS, 0.05)
    assert rejected[0, 0] <= binom.ppf(LEVEL, tested[0, 0], 0.05) or guarantee == "marginal"


EVERY = {
    **{name: name for name in ("auto", *SCORES)},
    "class covariance": Mahalanobis("class"),
    "mixture": GaussianMixture(random_state=0),
    "density": KernelDensity(),
    "function": FunctionScore(distance),
    "list": ["center_distance", "energy", "knn"],
    "sum": Combined([KNeighbors(), Mahalanobis()], how="sum"),
}


# Decisions see numbers, whatever made them: each score goes with one guarantee.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("score", "guarantee"), [(s, GUARANTEES[i % 3]) for i, s in enumerate(EVERY)]
)
def test_bound_with_every_score(score, guarantee):
    """Check every score by name, fitted to each draw and asked one row at a time."""
    estimator = frozen(LogisticRegression())

    def make_model(seed):
        return OpenSetClassifier(
            estimator,
            conformity_score=EVERY[score],
            false_rejection_rate=0.1,
            guarantee=guarantee,
            cv=0.5,
            random_state=seed,
        )

    rejected, tested = counts_of(make_model, from_clouds([180]))
    check_bound(guarantee, rejected, tested, 0.1, 1 - (1 - LEVEL) / len(EVERY))


@pytest.mark.slow
def test_folds_of_little_data():
    """Check that 60 samples that score each other in folds keep the bound."""

    def make_model(seed):
        score = "mahalanobis"
        return OpenSetClassifier(
            GaussianNB(), conformity_score=score, cv="auto", random_state=seed
        )

    rejected, tested = counts_of(make_model, from_clouds([60]))
    check_bound("marginal", rejected, tested, 0.05)
    assert rejected[0].sum() >= binom.ppf(1 - LEVEL, N_DRAWS, 0.02)


@pytest.mark.parametrize("guarantee", MARGINAL_FIRST)
def test_bound_of_the_whole_fit(guarantee):
    """Check the bound where estimator and score learn anew from each draw."""

    def make_model(seed):
        return OpenSetClassifier(
            make_pipeline(StandardScaler(), GaussianNB()),
            conformity_score="mahalanobis",
            false_rejection_rate=0.2,
            guarantee=guarantee,
            cv=0.5,
            random_state=seed,
        )

    check_bound(guarantee, *counts_of(make_model, from_clouds([120])), 0.2)


@pytest.mark.parametrize("guarantee", MARGINAL_FIRST)
def test_p_values_by_class_under_every_guarantee(guarantee):
    """Check P(p_values[:, i] <= t) <= t for known samples of class i."""
    model = OpenSetClassifier(
        frozen(LogisticRegression()),
        conformity_score="max_softmax",
        guarantee=guarantee,
        random_state=0,
    )
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(3), 40)
    levels = np.array([0.05, 0.1, 0.3])
    below = np.zeros((3, 3), int)
    absent = 0
    for _ in range(N_DRAWS):
        model.fit(sample(y, rng), y)
        X_new = sample(np.arange(3), rng)
        below += np.diag(model.p_values(X_new)) <= levels[:, None]
        sets, rejected = model.predict_set(X_new), model.is_outlier(X_new)
        absent += (~np.diag(sets) & ~rejected)[0]
    assert (below <= binom.ppf(1 - (1 - LEVEL) / 9, N_DRAWS, levels)[:, None]).all()
    # A set that lacks the class of an accepted sample.
    assert absent <= binom.ppf(LEVEL, N_DRAWS, 0.05)


@pytest.mark.parametrize(
    ("rate", "n", "guarantee"),
    pairs((0.05, 200), (0.2, 70), default=[(0.2, "class")]),
)
def test_confidence(rate, n, guarantee):
    """Check how many calibration sets break a bound that is to hold with 90 %."""
    # Round clouds far apart: distances to the centers follow chi, and the class is sure.
    means = 40 * np.eye(3)
    model = OpenSetClassifier(
        FrozenEstimator(Nearest().fit(means, np.arange(3))),
        conformity_score=CenterDistance(centers=means),
        false_rejection_rate=rate,
        confidence=0.9,
        guarantee=guarantee,
        random_state=0,
    )
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(3), n)
    broken = np.zeros(3, int)
    for _ in range(N_DRAWS):
        X = means[y] + rng.normal(size=(3 * n, 3)) * WIDTHS[y][:, None]
        thresholds = -model.fit(X, y).score_thresholds_
        true_rates = chi2.sf((thresholds / WIDTHS) ** 2, df=3)
        broken += true_rates.mean() > rate if guarantee == "marginal" else true_rates > rate
    assert (broken <= binom.ppf(1 - (1 - LEVEL) / 3, N_DRAWS, 0.1)).all()
    assert (broken > 0).all()


@pytest.mark.parametrize(
    ("fdr", "alone"),
    [
        (0.1, False),
        *(pytest.param(fdr, False, marks=SLOW) for fdr in (0.05, 0.2)),
        *(pytest.param(fdr, True, marks=SLOW) for fdr in (0.05, 0.1, 0.2)),
    ],
)
def test_false_discovery_rate(fdr, alone):
    """Check the mean share of known samples among the selected, over draws of all."""
    model = OpenSetClassifier(frozen(Nearest()), conformity_score=distance, random_state=0)
    rng = np.random.default_rng(0)
    rates, found = [], []
    for _ in range(N_DRAWS):
        y = rng.integers(3, size=400)
        model.fit(sample(y, rng), y)
        is_outsider = rng.random(40) < 0.3
        X = sample(rng.integers(3, size=40), rng)
        X[is_outsider] = rng.normal([6, 6, -6], size=(is_outsider.sum(), 3))
        if alone:
            p = np.array([model.p_known(x[None])[0] for x in X])
            steps = np.sort(p) <= fdr * np.arange(1, 41) / 40
            selected = p <= (np.sort(p)[steps].max() if steps.any() else -1)
        else:
            selected = model.select_outliers(X, fdr=fdr)
        rates.append((selected & ~is_outsider).sum() / max(selected.sum(), 1))
        found.append((selected & is_outsider).sum() / max(is_outsider.sum(), 1))
    # One-sided, at 99.9 %: the shares of independent draws have a normal mean.
    assert np.mean(rates) <= fdr + 3.1 * np.std(rates) / np.sqrt(N_DRAWS)
    # The bound is no bound if nothing is selected.
    assert np.mean(found) > 0.5


def test_bound_of_one_row_at_a_time_on_tied_outputs_of_a_network():
    """Check equal rows through a network: rejected alone no more often than allowed."""
    rng = np.random.default_rng(0)
    pool = rng.normal(size=(3, 12, 20)).astype(np.float32)
    pool += 2 * np.eye(3, 20, dtype=np.float32)[:, None]

    def draw(n):
        y = rng.integers(3, size=n)
        return pool[y, rng.integers(12, size=n)], y

    net = CenterLossClassifier(hidden_layer_sizes=(64, 16), max_epochs=5, random_state=0)
    model = OpenSetClassifier(
        FrozenEstimator(net.fit(*draw(300))),
        conformity_score=CenterDistance(),
        random_state=0,
    )
    rejected, n_draws = 0, N_DRAWS // 4  # ties that broke the bound would reject half
    for seed in range(n_draws):
        model.set_params(random_state=seed).fit(*draw(120))
        rejected += model.is_outlier(draw(1)[0])[0]
    assert rejected <= binom.ppf(LEVEL, n_draws, 0.05)


def digits(seed):
    """Return digits of six known classes to train and to test, and of four others."""
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(seed)
    known = np.isin(y, rng.permutation(10)[:6])
    test = rng.random(len(y)) < 0.3
    return (X[known & ~test], y[known & ~test]), X[known & test], X[~known]


def check_power(estimator, n_splits):
    """Check the rates on digits over splits: 85 % of outsiders at 5 % of known ones."""
    lost, n_known, found = 0, 0, []
    for seed in range(n_splits):
        train, X_known, X_unknown = digits(seed)
        model = OpenSetClassifier(estimator, random_state=seed).fit(*train)
        lost += model.is_outlier(X_known).sum()
        n_known += len(X_known)
        found.append(100 * model.is_outlier(X_unknown).mean())
    # Samples of one split share calibration samples: their number alone is not the size.
    n_calibration = 0.2 * 0.7 * n_known / 0.3
    spread = np.sqrt(0.05 * 0.95 * (1 / n_calibration + 1 / n_known))
    assert lost / n_known <= 0.05 + 3.1 * spread
    assert np.mean(found) >= 85
    assert np.std(found) < 8


def test_default_rejects_outsiders_among_digits():
    """Check power and spread around a fast classifier."""
    check_power(make_pipeline(StandardScaler(), LogisticRegression()), 5)


@pytest.mark.slow
def test_default_rejects_outsiders_among_digits_by_center_loss():
    """Check power and spread around a network."""
    check_power(make_pipeline(StandardScaler(), CenterLossClassifier(random_state=0)), 5)


def test_two_classes_of_a_table():
    """Check that known clouds are kept and a cloud between and beyond is rejected."""
    X, y = clouds((300, 300, 300))
    model = OpenSetClassifier(LogisticRegression(), random_state=0).fit(X[y < 2], y[y < 2])
    rejected = model.is_outlier(np.random.default_rng(0).normal(8, 1, size=(200, 3)))
    assert rejected.mean() > 0.95
