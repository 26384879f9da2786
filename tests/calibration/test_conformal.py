"""Tests of the calibration: its arithmetic exactly, its guarantee by simulation."""

from fractions import Fraction

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.stats import beta, binom, expon, norm

from sk_center.calibration import ConformalCalibration, samples_needed
from sk_center.calibration.conformal import rejected_ranks, smallest_rate

# As text, of which Fraction makes the number that is meant, not the nearest float.
RATES = ["0.5", "0.3", "0.25", "0.2", "0.15", "0.1", "0.07", "0.05"]
RATES += ["0.045", "0.03", "0.02", "0.01", "0.007", "0.001"]
# Where the rate times (n + 1) is a whole number, or just not: floating point may miss it.
AWKWARD = [
    ("0.1", 9), ("0.1", 19), ("0.1", 29), ("0.3", 9), ("0.05", 19), ("0.05", 39),
    ("0.05", 59), ("0.07", 99), ("0.07", 199), ("0.15", 19), ("0.29", 99), ("0.57", 99),
    ("0.01", 99), ("0.01", 98), ("0.01", 699), ("0.001", 999), ("0.7", 9), ("0.6", 4),
]  # fmt: skip


def calibrated(parts, rates, **params):
    """Return a calibration on one array of scores for each group."""
    groups = np.repeat(np.arange(len(parts)), [len(scores) for scores in parts])
    return ConformalCalibration().fit(np.concatenate(parts), groups, rates, **params)


def rejections(calibration, scores):
    """Return in which groups each of some scores is rejected."""
    groups = np.arange(len(calibration.thresholds_))
    p_values = calibration.p_values(np.asarray(scores, float)[:, None], groups)
    return p_values <= calibration.thresholds_


def exact_rank(n_samples, rate):
    """Return the largest k with k / (n + 1) <= rate, the rate read as decimal."""
    return int(Fraction(rate) * (n_samples + 1))


def assert_binomial(count, n_draws, probability, level):
    """Assert that a count of successes is neither too large nor too small by chance."""
    assert binom.sf(count - 1, n_draws, probability) >= level / 2, "too many"
    assert binom.cdf(count, n_draws, probability) >= level / 2, "too few"


@pytest.mark.parametrize("decimals", [None, 1, 0])
def test_p_values_count_calibration_samples(decimals):
    """Check p-values against their formula in loops, in every form of scores and groups."""
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=n) for n in (20, 1, 35, 90)]
    scores = rng.normal(size=(40, 4))
    if decimals is not None:
        parts = [own.round(decimals) for own in parts]
        scores = scores.round(decimals)

    def count(own, s):
        return (1 + sum(member <= s for member in own)) / (len(own) + 1)

    calibration = calibrated(parts, [0.05] * 4)
    expected = [[count(own, s) for own, s in zip(parts, row)] for row in scores]
    assert_array_equal(calibration.p_values(scores, np.arange(4)), expected)
    groups = rng.integers(4, size=40)
    expected = [count(parts[g], s) for g, s in zip(groups, scores[:, 0])]
    assert_array_equal(calibration.p_values(scores[:, 0], groups), expected)
    for given in (None, np.array([0])):
        expected = [count(parts[0], s) for s in scores[:, 0]]
        assert_array_equal(calibration.p_values(scores[:, 0], given), expected)
    single = calibrated(parts[2:3], [0.05])
    expected = [count(parts[2], s) for s in scores[:, 0]]
    assert_array_equal(single.p_values(scores[:, 0], np.zeros(40, int)), expected)


def test_p_values_reach_from_above_zero_to_one():
    """Check the least and the largest p-value: the sample itself always counts."""
    calibration = calibrated([np.arange(19.0), np.empty(0)], [0.05, 0.05])
    extremes = [-np.inf, -1e300, -0.5, 0.0, 17.5, 18.0, 1e300, np.inf]
    p_values = calibration.p_values(np.array(extremes)[:, None], np.arange(2))
    assert_array_equal(p_values[:, 0], np.array([1, 1, 1, 2, 19, 20, 20, 20]) / 20)
    # A group without samples rejects nothing.
    assert_array_equal(p_values[:, 1], 1)
    assert calibration.score_thresholds_[1] == -np.inf


def test_infinite_scores_are_ties():
    """Check that calibration samples of an infinite score count as others do."""
    calibration = calibrated([np.append(np.full(10, -np.inf), np.arange(9.0))], [0.05])
    p_values = calibration.p_values(np.array([-np.inf, -1.0, 0.0]))
    assert_array_equal(p_values, np.array([11, 11, 12]) / 20)


def test_score_that_is_no_number_is_the_least_typical():
    """Check that NaN gets the smallest p-value, and pushes no calibration sample up."""
    calibration = calibrated([np.append(np.arange(38.0), np.nan)], [0.05])
    found = calibration.p_values(np.array([np.nan, -1.0, 0.0, 99.0]))
    assert_array_equal(found, np.array([2, 2, 3, 40]) / 40)


def test_order_of_samples_does_not_matter():
    """Check that samples may come in any order, the groups mixed, and stay untouched."""
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=n) for n in (25, 40, 30)]
    expected = calibrated(parts, [0.1] * 3)
    order = rng.permutation(95)
    scores = np.concatenate(parts)[order]
    groups, copy = np.repeat([0, 1, 2], [25, 40, 30])[order], scores.copy()
    mixed = ConformalCalibration()
    assert mixed.fit(scores, groups, [0.1] * 3) is mixed
    assert_array_equal(scores, copy)
    assert_array_equal(mixed.scores_, expected.scores_)
    assert_array_equal(mixed.n_samples_, [25, 40, 30])
    assert_array_equal(mixed.score_thresholds_, expected.score_thresholds_)


@pytest.mark.parametrize("spread", [0.0, 1e-9, 9e-7])
def test_scores_closer_than_the_tolerance_are_equal(spread):
    """Check p-values of scores that rounding moves, and that none falls below its tie."""
    rng = np.random.default_rng(0)
    levels = rng.integers(8, size=200).astype(float)
    noise = rng.uniform(-spread / 2, spread / 2, size=(2, 200))
    calibration = calibrated([levels[:100] + noise[0, :100]], [0.1], tolerance=1e-6)
    exact = calibrated([levels[:100]], [0.1]).p_values(levels)
    for moved in (levels + noise[0], levels + noise[1], levels - spread / 2):
        assert_array_equal(calibration.p_values(moved), exact)


@pytest.mark.parametrize(("rate", "n_samples"), AWKWARD)
def test_rank_at_awkward_rates(rate, n_samples):
    """Check the rank where the rate times (n + 1) is whole, against exact fractions."""
    assert rejected_ranks(n_samples, float(rate)) == exact_rank(n_samples, rate)


@pytest.mark.parametrize("rate", RATES)
def test_rank_at_every_size(rate):
    """Check the rank against exact fractions for every number of samples."""
    ranks = [rejected_ranks(n, float(rate)) for n in range(1200)]
    assert ranks == [exact_rank(n, rate) for n in range(1200)]


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.999])
@pytest.mark.parametrize("rate", [0.3, 0.05, 0.01])
def test_rank_with_confidence(rate, confidence):
    """Check the rank against a scan of scipy's Beta distribution function."""
    for n_samples in (0, 1, 5, 13, 44, 45, 46, 89, 300, 999):
        k = np.arange(1, n_samples + 1)
        held = k[beta.cdf(rate, k, n_samples + 1 - k) >= confidence]
        assert rejected_ranks(n_samples, rate, confidence) == held.max(initial=0)


@pytest.mark.parametrize("confidence", [None, 0.9])
def test_rate_zero_rejects_nothing(confidence):
    """Check that a rate of 0 needs no samples and accepts every score."""
    assert [rejected_ranks(n, 0, confidence) for n in (0, 1, 10_000)] == [0, 0, 0]
    assert samples_needed(0, confidence) == 0
    calibration = calibrated([np.arange(3.0), np.empty(0)], [0, 0], confidence=confidence)
    assert_array_equal(calibration.thresholds_, [0, 0])
    assert_array_equal(calibration.score_thresholds_, [-np.inf, -np.inf])
    assert not rejections(calibration, [-np.inf, -1.0, 5.0]).any()


@pytest.mark.parametrize("rate", [*RATES, "0.99", "0.0003", "1e-5", "1e-9"])
def test_samples_needed(rate):
    """Check the fewest samples with 1 / (n + 1) <= rate, by exact fractions."""
    needed = samples_needed(float(rate))
    assert isinstance(needed, int)
    assert Fraction(1, needed + 1) <= Fraction(rate)
    assert needed == 0 or Fraction(1, needed) > Fraction(rate)


def test_samples_needed_at_one_in_n():
    """Check that a rate of 1 / n takes n - 1 samples, also where floats round it."""
    # Else a formula in floating point would do: 1 / (1 / 49) is more than 49.
    assert any(1 / (1 / n) != n for n in range(2, 1200))
    needed = [samples_needed(1 / n) for n in range(2, 1200)]
    assert needed == list(range(1, 1199))


@pytest.mark.parametrize("confidence", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("rate", [0.9, 0.3, 0.05, 0.003])
def test_samples_needed_with_confidence(rate, confidence):
    """Check the fewest samples whose minimum is surely low enough, by a scan."""
    needed = 1
    # The share of known samples below the least of n is Beta(1, n).
    while beta.cdf(rate, 1, needed) < confidence:
        needed += 1
    assert samples_needed(rate, confidence) == needed
    assert rejected_ranks(needed, rate, confidence) == 1


def test_samples_needed_of_a_worked_example():
    """Check 45 samples at a rate of 5 % and a confidence of 90 %, by hand."""
    # All of n samples lie above the 5 % quantile with probability 0.95^n.
    assert 0.95**45 <= 0.1 < 0.95**44
    assert samples_needed(0.05, 0.9) == 45
    assert samples_needed(0.05) == 19


@pytest.mark.parametrize("rate", [-1, 1, 2.5, np.nan, "0.05", None, 1j])
def test_samples_needed_of_what_is_no_rate(rate):
    """Check that a rate outside of [0, 1) is an error that shows it."""
    with pytest.raises(
        ValueError, match=r"false_rejection_rate must be .*; got "
    ) as raised:
        samples_needed(rate)
    assert repr(rate) in str(raised.value)


@pytest.mark.parametrize("confidence", [0, 1, -0.5, 1.5, np.nan, "0.9"])
def test_samples_needed_of_what_is_no_confidence(confidence):
    """Check that a confidence outside of (0, 1) is an error that shows it."""
    with pytest.raises(ValueError, match=r"confidence must be .* got ") as raised:
        samples_needed(0.05, confidence)
    assert repr(confidence) in str(raised.value)


@pytest.mark.parametrize("confidence", [None, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("n", [1, 2, 12, 19, 40, 99])
def test_smallest_rate(n, confidence):
    """Check that it is the smallest of two digits for which samples are enough."""
    rate = smallest_rate(n, confidence)
    if rate is None:
        assert (n, confidence) == (1, 0.999)
        assert samples_needed(0.99, confidence) > n
        return
    assert samples_needed(float(rate), confidence) <= n
    unit = 10 ** (np.floor(np.log10(float(rate))) - 1)
    assert samples_needed(float(rate) - 1.001 * unit, confidence) > n
    assert smallest_rate(0) is None


def test_thresholds_in_p_values_and_in_scores_agree():
    """Check p <= T just where the score is below its threshold, at awkward rates too."""
    rng = np.random.default_rng(0)
    cases = [*AWKWARD, *((rate, n) for rate in RATES for n in (1000, 1237))]
    for decimals in (None, 1):
        for rate, n_samples in cases:
            if exact_rank(n_samples, rate) == 0:
                continue
            own = rng.normal(size=n_samples)
            own = own if decimals is None else own.round(decimals)
            calibration = calibrated([own], [float(rate)])
            threshold = calibration.score_thresholds_[0]
            assert threshold == np.sort(own)[exact_rank(n_samples, rate) - 1]
            scores = np.concatenate(
                [own, np.nextafter(own, -np.inf), np.nextafter(own, np.inf)]
            )
            below = scores < threshold
            assert_array_equal(rejections(calibration, scores)[:, 0], below)
            assert below.any()


@pytest.mark.parametrize("rate", [0.3, 0.1, 0.05])
@pytest.mark.parametrize("n_samples", [45, 46, 99, 313])
def test_thresholds_with_confidence_agree(n_samples, rate):
    """Check both kinds of thresholds under confidence, and that they are stricter."""
    rng = np.random.default_rng(n_samples)
    for own in (rng.normal(size=n_samples), rng.normal(size=n_samples).round(1)):
        calibration = calibrated([own], [rate], confidence=0.9)
        rank = rejected_ranks(n_samples, rate, 0.9)
        assert calibration.thresholds_ == rank / (n_samples + 1)
        assert calibration.thresholds_ < rate
        threshold = calibration.score_thresholds_[0]
        assert threshold == np.sort(own)[rank - 1]
        scores = np.concatenate([own, np.nextafter(own, -np.inf)])
        assert_array_equal(rejections(calibration, scores)[:, 0], scores < threshold)


@pytest.mark.parametrize("confidence", [None, 0.9])
def test_rates_per_group(confidence):
    """Check that each group is held to its own rate."""
    rates, parts = [0.05, 0.2, 0, 0.01], [np.arange(1000.0)] * 4
    calibration = calibrated(parts, rates, confidence=confidence)
    ranks = [rejected_ranks(1000, rate, confidence) for rate in rates]
    assert len(set(ranks)) == 4
    expected = rates if confidence is None else np.array(ranks) / 1001
    assert_array_equal(calibration.thresholds_, expected)
    # Among the scores 0, 1, 2, ... those below the k-th smallest are k - 1.
    counts = rejections(calibration, np.arange(1000)).sum(axis=0)
    assert_array_equal(counts, [max(rank - 1, 0) for rank in ranks])


@pytest.mark.parametrize("decimals", [None, 1, 0])
@pytest.mark.parametrize("rate", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("n_samples", [100, 119])
def test_bound_over_all_ways_to_leave_one_out(n_samples, rate, decimals):
    """Check the guarantee without chance: each of n + 1 scores once is the new one."""
    population = np.random.default_rng(0).normal(size=n_samples + 1)
    if decimals is not None:
        population = population.round(decimals)
    count = 0
    for i, score in enumerate(population):
        calibration = calibrated([np.delete(population, i)], [rate])
        count += rejections(calibration, [score]).item()
    if decimals is None:
        assert count == exact_rank(n_samples, str(rate))
    else:
        assert len(set(population)) < len(population)
        assert count <= exact_rank(n_samples, str(rate))


# The smallest group has just enough samples; at the others the quotient rounds down.
SIZES = {0.01: (99, 250, 2000), 0.05: (19, 200, 2000), 0.2: (4, 33, 2000)}
N_DRAWS = 2000
# Of the 40 or so comparisons below, one in a thousand runs of other seeds would have one
# fail by chance.
LEVEL = 0.001 / 40


@pytest.mark.parametrize(
    ("rate", "decimals"),
    [
        (0.05, None),
        (0.2, 0),
        *(pytest.param(*p, marks=pytest.mark.slow) for p in ((0.05, 0), (0.2, None))),
        *(pytest.param(0.01, decimals, marks=pytest.mark.slow) for decimals in (None, 0)),
    ],
)
def test_false_rejections_on_average(rate, decimals):
    """Check that known samples of each group are rejected at most as often as bounded."""
    rng = np.random.default_rng(int(1000 * rate))
    sizes = np.array(SIZES[rate])
    count = np.zeros(3, int)
    for _ in range(N_DRAWS):
        scores = [
            rng.normal(size=sizes[0] + 1),
            -rng.exponential(size=sizes[1] + 1),
            3 * rng.standard_t(2, size=sizes[2] + 1),
        ]
        scores = scores if decimals is None else [own.round(decimals) for own in scores]
        calibration = calibrated([own[:-1] for own in scores], [rate] * 3)
        # One new sample of each group, so that the draws are independent.
        new = np.array([own[-1] for own in scores])
        rejected = calibration.p_values(new, np.arange(3)) <= calibration.thresholds_
        assert_array_equal(new < calibration.score_thresholds_, rejected)
        count += rejected
    for k, n_samples in enumerate(sizes):
        assert binom.sf(count[k] - 1, N_DRAWS, rate) >= LEVEL
        if decimals is None:
            # Without ties the share is known: it does not just stay under the bound.
            share = exact_rank(n_samples, str(rate)) / (n_samples + 1)
            assert_binomial(count[k], N_DRAWS, share, LEVEL)
    assert (count > 0).all()


@pytest.mark.parametrize("ties", [False, True], ids=["continuous", "ties"])
@pytest.mark.parametrize(
    ("rate", "confidence"), [(0.05, 0.9), (0.2, 0.9), (0.1, 0.7)], ids=str
)
def test_false_rejections_with_confidence(rate, confidence, ties):
    """Check that the true rate is above the bound in as few draws as confidence says."""
    rng = np.random.default_rng(int(1000 * rate))
    populations = [norm(), norm(5, 3), expon(-4)]
    sizes = [samples_needed(rate, confidence), 200, 1000]
    exceeded, n_draws = np.zeros(3, int), 500
    for _ in range(n_draws):
        scores = [
            population.ppf(rng.random(n)) for population, n in zip(populations, sizes)
        ]
        if ties:
            scores = [own.round() for own in scores]
        calibration = calibrated(scores, [rate] * 3, confidence=confidence)
        # A rounded score is below a threshold, a whole number, where the score itself is
        # more than a half below it.
        limits = calibration.score_thresholds_ - (0.5 if ties else 0)
        true_rates = [population.cdf(x) for population, x in zip(populations, limits)]
        exceeded += np.array(true_rates) > rate
    for count, n_samples in zip(exceeded, sizes):
        assert binom.sf(count - 1, n_draws, 1 - confidence) >= LEVEL
        if not ties:
            k = np.arange(1, n_samples + 1)
            rank = (beta.cdf(rate, k, n_samples + 1 - k) >= confidence).sum()
            share = beta.sf(rate, rank, n_samples + 1 - rank)
            assert 0 < share <= 1 - confidence
            assert_binomial(count, n_draws, share, LEVEL)


def test_without_confidence_the_bound_holds_on_average_only():
    """Check that without confidence about half of the draws exceed the bound."""
    rng = np.random.default_rng(0)
    exceeded, n_draws = 0, 1000
    for _ in range(n_draws):
        calibration = calibrated([rng.random(999)], [0.05])
        exceeded += calibration.score_thresholds_[0] > 0.05
    # The share of uniform scores below the 50th of 999 is Beta(50, 950).
    assert_binomial(exceeded, n_draws, beta.sf(0.05, 50, 950), LEVEL)
