"""Tests of the calibration: its arithmetic exactly, its guarantee by simulation."""

import re
import warnings
from fractions import Fraction

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.stats import beta, binom, expon, norm
from sk_center.calibration.loose import loose_thresholds

from sk_center.calibration import ConformalCalibration, samples_needed
from sk_center.calibration.conformal import rejected_ranks

# As text, of which Fraction makes the number that is meant, not the nearest float.
RATES = ["0.5", "0.3", "0.25", "0.2", "0.15", "0.1", "0.07", "0.05"]
RATES += ["0.045", "0.03", "0.02", "0.01", "0.007", "0.001"]
# Where the rate times (n + 1) is a whole number, or just not: floating point may miss it.
AWKWARD = [
    ("0.1", 9), ("0.1", 19), ("0.1", 29), ("0.3", 9), ("0.05", 19), ("0.05", 39),
    ("0.05", 59), ("0.07", 99), ("0.07", 199), ("0.15", 19), ("0.29", 99), ("0.57", 99),
    ("0.01", 99), ("0.01", 98), ("0.01", 699), ("0.001", 999), ("0.7", 9), ("0.6", 4),
]  # fmt: skip


def calibrated(members, rates, confidence=None, names=None):
    """Return a calibration on one array of scores for each class."""
    y = np.repeat(np.arange(len(members)), [len(scores) for scores in members])
    names = np.arange(len(members)) if names is None else names
    calibration = ConformalCalibration(np.asarray(rates, float), confidence)
    return calibration.fit(np.concatenate(members), y, np.asarray(names))


def rejections(calibration, scores):
    """Return by which classes samples of one score for all classes are turned down."""
    scores = np.tile(np.asarray(scores, float)[:, None], len(calibration.thresholds_))
    return calibration.p_values(scores) <= calibration.thresholds_


def exact_rank(n_samples, rate):
    """Return the largest k with k / (n + 1) <= rate, the rate read as decimal."""
    return int(Fraction(rate) * (n_samples + 1))


def assert_binomial(count, n_draws, probability, level):
    """Assert that a count of successes is neither too large nor too small by chance."""
    assert binom.sf(count - 1, n_draws, probability) >= level / 2, "too many"
    assert binom.cdf(count, n_draws, probability) >= level / 2, "too few"


@pytest.mark.parametrize("decimals", [None, 1, 0])
@pytest.mark.parametrize("seed", range(3))
def test_p_values_count_members(seed, decimals):
    """Check p-values against their formula in loops, with ties and without."""
    rng = np.random.default_rng(seed)
    members = [rng.normal(size=n) for n in (20, 35, 90)]
    scores = rng.normal(size=(40, 3))
    if decimals is not None:
        members = [own.round(decimals) for own in members]
        scores = scores.round(decimals)
    p_values = calibrated(members, [0.05, 0.1, 0.05]).p_values(scores)
    for row, p_row in zip(scores, p_values):
        for own, score, p in zip(members, row, p_row):
            assert p == (1 + sum(member <= score for member in own)) / (len(own) + 1)


def test_p_values_reach_from_above_zero_to_one():
    """Check the least and the largest p-value: the sample itself always counts."""
    members = np.arange(19.0)
    calibration = calibrated([members], [0.05])
    extremes = [[-np.inf], [-1e300], [-0.5], [0.0], [17.5], [18.0], [1e300], [np.inf]]
    expected = np.array([[1], [1], [1], [2], [19], [20], [20], [20]]) / 20
    assert_array_equal(calibration.p_values(np.array(extremes)), expected)


def test_infinite_members_are_ties():
    """Check that members of an infinite score count as others do."""
    members = np.append(np.full(10, -np.inf), np.arange(9.0))
    p_values = calibrated([members], [0.05]).p_values(np.array([[-np.inf], [-1.0], [0.0]]))
    assert_array_equal(p_values, np.array([[11], [11], [12]]) / 20)


def test_order_of_samples_does_not_matter():
    """Check that members may come in any order, the classes mixed."""
    rng = np.random.default_rng(0)
    members = [rng.normal(size=n) for n in (25, 40, 30)]
    scores = rng.normal(size=(10, 3))
    expected = calibrated(members, [0.1] * 3)
    y = np.repeat([0, 1, 2], [25, 40, 30])
    order = rng.permutation(len(y))
    mixed = ConformalCalibration(np.full(3, 0.1)).fit(
        np.concatenate(members)[order], y[order], np.arange(3)
    )
    assert_array_equal(mixed.p_values(scores), expected.p_values(scores))
    assert_array_equal(mixed.score_thresholds_, expected.score_thresholds_)


def test_fit_does_not_touch_its_arguments():
    """Check that scores are not sorted in place."""
    scores = np.random.default_rng(0).normal(size=30)
    copy = scores.copy()
    calibration = ConformalCalibration(np.array([0.1]))
    assert calibration.fit(scores, np.zeros(30, int), np.array(["cat"])) is calibration
    assert_array_equal(scores, copy)


def test_attributes_of_unmerged_classes():
    """Check that each class has its group, its number of samples and its rate."""
    members = [np.arange(n, dtype=float) for n in (30, 19, 200)]
    calibration = calibrated(members, [0.05, 0.1, 0.01])
    assert_array_equal(calibration.groups_, [0, 1, 2])
    assert_array_equal(calibration.n_samples_, [30, 19, 200])
    assert_array_equal(calibration.thresholds_, [0.05, 0.1, 0.01])
    # The whole part of the rate times n + 1: 1.55, 2.0 and 2.01.
    assert_array_equal(calibration.score_thresholds_, [0, 1, 1])


@pytest.mark.parametrize(("rate", "n_samples"), AWKWARD)
def test_rank_at_awkward_rates(rate, n_samples):
    """Check the rank where the rate times (n + 1) is whole, against exact fractions."""
    assert rejected_ranks(n_samples, float(rate)) == exact_rank(n_samples, rate)


@pytest.mark.parametrize("rate", RATES)
def test_rank_at_every_size(rate):
    """Check the rank against exact fractions for every number of samples."""
    ranks = [rejected_ranks(n, float(rate)) for n in range(1200)]
    assert ranks == [exact_rank(n, rate) for n in range(1200)]


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize("rate", [0.3, 0.05, 0.01])
@pytest.mark.parametrize("n_samples", [0, 1, 5, 13, 44, 45, 46, 89, 300, 999])
def test_rank_with_confidence(n_samples, rate, confidence):
    """Check the rank against a scan of scipy's Beta distribution function."""
    expected = 0
    for k in range(1, n_samples + 1):
        if beta.cdf(rate, k, n_samples + 1 - k) >= confidence:
            expected = k
    assert rejected_ranks(n_samples, rate, confidence) == expected


def test_rank_with_confidence_is_lower():
    """Check that confidence costs ranks, the more the higher it is."""
    ranks = [rejected_ranks(400, 0.05, c) for c in (None, 0.6, 0.9, 0.99)]
    assert ranks[0] == 20
    assert (np.diff(ranks) < 0).all()


@pytest.mark.parametrize("confidence", [None, 0.9])
@pytest.mark.parametrize("n_samples", [0, 1, 10_000])
def test_rank_at_rate_zero(n_samples, confidence):
    """Check that a rate of 0 turns down nothing, whatever the number of samples."""
    assert rejected_ranks(n_samples, 0, confidence) == 0
    assert rejected_ranks(n_samples, 0.0, confidence) == 0


@pytest.mark.parametrize("rate", [*RATES, "0.99", "0.0003", "1e-5", "1e-9"])
def test_samples_needed(rate):
    """Check the fewest samples with 1 / (n + 1) <= rate, by exact fractions."""
    needed = samples_needed(float(rate))
    assert isinstance(needed, int)
    assert Fraction(1, needed + 1) <= Fraction(rate)
    assert needed == 0 or Fraction(1, needed) > Fraction(rate)


@pytest.mark.parametrize(
    ("rate", "needed"), [(0.05, 19), (0.01, 99), (0.1, 9), (0.2, 4), (0.001, 999), (0, 0)]
)
def test_samples_needed_of_common_rates(rate, needed):
    """Check 1 / rate - 1 at the rates that users choose."""
    assert samples_needed(rate) == needed


def test_samples_needed_at_one_in_n():
    """Check that a rate of 1 / n takes n - 1 samples, also where floats round it."""
    # Else a formula in floating point would do: 1 / (1 / 49) is more than 49.
    assert any(1 / (1 / n) != n for n in range(2, 1200))
    needed = [samples_needed(1 / n) for n in range(2, 1200)]
    assert needed == list(range(1, 1199))


@pytest.mark.parametrize("confidence", [0.1, 0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("rate", [0.9, 0.5, 0.3, 0.1, 0.05, 0.01, 0.003])
def test_samples_needed_with_confidence(rate, confidence):
    """Check the fewest samples whose minimum is surely low enough, by a scan."""
    needed = 1
    # The share of the members below the least of n is Beta(1, n).
    while beta.cdf(rate, 1, needed) < confidence:
        needed += 1
    assert samples_needed(rate, confidence) == needed


def test_samples_needed_of_a_worked_example():
    """Check 45 samples at a rate of 5 % and a confidence of 90 %, by hand."""
    # All of n members lie above the 5 % quantile with probability 0.95^n.
    assert 0.95**45 <= 0.1 < 0.95**44
    assert samples_needed(0.05, 0.9) == int(np.ceil(np.log(0.1) / np.log(0.95))) == 45
    assert samples_needed(0, 0.9) == 0


@pytest.mark.parametrize("confidence", [None, 0.9])
@pytest.mark.parametrize("rate", [0.3, 0.1, 0.07, 0.05, 0.01])
def test_samples_needed_is_where_ranks_begin(rate, confidence):
    """Check that a class is rare just when its threshold would reject nothing."""
    needed = samples_needed(rate, confidence)
    assert rejected_ranks(needed, rate, confidence) == 1
    assert rejected_ranks(needed - 1, rate, confidence) == 0


def test_thresholds_in_p_values_and_in_scores_agree():
    """Check p <= T just where the score is below its threshold, at awkward rates too."""
    rng = np.random.default_rng(0)
    cases = [*AWKWARD, *((rate, n) for rate in RATES for n in (1000, 1237))]
    for decimals in (None, 1):
        for rate, n_samples in cases:
            if exact_rank(n_samples, rate) == 0:
                continue
            members = rng.normal(size=n_samples)
            members = members if decimals is None else members.round(decimals)
            calibration = calibrated([members], [float(rate)])
            threshold = calibration.score_thresholds_[0]
            assert threshold == np.sort(members)[exact_rank(n_samples, rate) - 1]
            scores = np.concatenate(
                [members, np.nextafter(members, -np.inf), np.nextafter(members, np.inf)]
            )
            below = scores < threshold
            assert_array_equal(rejections(calibration, scores)[:, 0], below)
            assert below.any()


@pytest.mark.parametrize("rate", [0.3, 0.1, 0.05])
@pytest.mark.parametrize("n_samples", [45, 46, 99, 100, 313])
def test_thresholds_with_confidence_agree(n_samples, rate):
    """Check both kinds of thresholds under confidence, and that they are stricter."""
    rng = np.random.default_rng(n_samples)
    for members in (rng.normal(size=n_samples), rng.normal(size=n_samples).round(1)):
        calibration = calibrated([members], [rate], confidence=0.9)
        rank = rejected_ranks(n_samples, rate, 0.9)
        assert calibration.thresholds_ == rank / (n_samples + 1)
        assert calibration.thresholds_ < rate
        threshold = calibration.score_thresholds_[0]
        assert threshold == np.sort(members)[rank - 1]
        scores = np.concatenate([members, np.nextafter(members, -np.inf)])
        assert_array_equal(rejections(calibration, scores)[:, 0], scores < threshold)


@pytest.mark.parametrize("confidence", [None, 0.9])
def test_rate_zero_turns_nothing_down(confidence):
    """Check that a rate of 0 needs no samples and accepts every score."""
    calibration = calibrated([np.arange(3.0), np.arange(0.0)], [0, 0], confidence)
    assert_array_equal(calibration.thresholds_, [0, 0])
    assert_array_equal(calibration.score_thresholds_, [-np.inf, -np.inf])
    assert_array_equal(calibration.groups_, [0, 1])
    assert not rejections(calibration, [-np.inf, -1.0, 5.0]).any()
    # A class without samples has p-values too.
    assert_array_equal(calibration.p_values(np.array([[-1.0, -1.0]])), [[0.25, 1]])


@pytest.mark.parametrize("confidence", [None, 0.9])
def test_rates_per_class(confidence):
    """Check that each class is held to its own rate."""
    rates, members = [0.05, 0.2, 0, 0.01], [np.arange(1000.0)] * 4
    calibration = calibrated(members, rates, confidence)
    ranks = [rejected_ranks(1000, rate, confidence) for rate in rates]
    assert len(set(ranks)) == 4
    expected = rates if confidence is None else np.array(ranks) / 1001
    assert_array_equal(calibration.thresholds_, expected)
    # Of the scores 0, 1, 2, ... those below the k-th smallest are k - 1.
    counts = rejections(calibration, np.arange(1000)).sum(axis=0)
    assert_array_equal(counts, [max(rank - 1, 0) for rank in ranks])


def test_warning_of_many_rare_classes():
    """Check that of many classes the warning names the first and their number."""
    with pytest.warns(UserWarning, match="share one threshold") as record:
        calibrated([np.arange(2.0)] * 500, [0.05] * 500)
    assert "0 (2), 1 (2), " in str(record[0].message)
    assert "19 (2), ... (500 in all); 19 are" in str(record[0].message)
    assert len(str(record[0].message)) < 400


def test_rare_classes_share_a_group():
    """Check who merges, what the warning says, and the threshold that they share."""
    rng = np.random.default_rng(0)
    members = [rng.normal(size=n) for n in (100, 7, 19, 15, 18)]
    names = ["ant", "bee", "cow", "dog", "eel"]
    with pytest.warns(UserWarning, match="share one threshold") as record:
        calibration = calibrated(members, [0.05] * 5, names=names)
    assert len(record) == 1
    message = str(record[0].message)
    # Names as users write them, not as numpy does; "ant" and "cow" are not rare.
    assert "threshold: 'bee' (7), 'dog' (15), 'eel' (18); 19 are needed" in message
    ant, bee, cow, dog, eel = calibration.groups_
    assert bee == dog == eel
    assert len({ant, bee, cow}) == 3
    assert_array_equal(calibration.n_samples_, [100, 40, 19, 40, 40])
    assert_array_equal(calibration.thresholds_, [0.05] * 5)
    shared = np.concatenate([members[1], members[3], members[4]])
    expected = [
        np.sort(members[0])[4],
        np.sort(shared)[1],
        members[2].min(),
        np.sort(shared)[1],
        np.sort(shared)[1],
    ]
    assert_array_equal(calibration.score_thresholds_, expected)
    scores = rng.normal(size=(20, 5))
    p_values = calibration.p_values(scores)
    for own, column in ((shared, 1), (shared, 3), (shared, 4), (members[2], 2)):
        for score, p in zip(scores[:, column], p_values[:, column]):
            assert p == (1 + sum(member <= score for member in own)) / (len(own) + 1)


@pytest.mark.parametrize(
    ("counts", "merged"),
    [
        # 7 + 11 are too few: the next larger one joins, and only that.
        ([100, 7, 30, 11], [1, 2, 3]),
        ([100, 7, 30, 12], [1, 3]),
        # One class alone cannot be its own group.
        ([100, 18, 30], [1, 2]),
        ([100, 0, 30], [1, 2]),
        ([25, 18], [0, 1]),
        # All together are just enough.
        ([9, 10], [0, 1]),
        ([1] * 19, list(range(19))),
        # Equal ones join in their order.
        ([18, 20, 20, 20], [0, 1]),
    ],
)
def test_who_merges(counts, merged):
    """Check that rare classes merge, and others join while those are too few."""
    members = [np.arange(n, dtype=float) for n in counts]
    names = [f"<{k}>" for k in range(len(counts))]
    with pytest.warns(UserWarning, match="too few calibration samples") as record:
        calibration = calibrated(members, [0.05] * len(counts), names=names)
    message = str(record[0].message)
    assert [k for k in range(len(counts)) if names[k] in message] == merged
    total = sum(counts[k] for k in merged)
    expected = [total if k in merged else n for k, n in enumerate(counts)]
    assert_array_equal(calibration.n_samples_, expected)
    groups = calibration.groups_
    assert len(set(groups[merged])) == 1
    assert len(set(groups)) == len(counts) - len(merged) + 1
    # Every class now can be turned down.
    assert (calibration.score_thresholds_ > -np.inf).all()
    assert rejections(calibration, [-1.0]).all()


def test_no_warning_when_every_class_has_enough(recwarn):
    """Check that classes of just enough samples stay alone, and nobody is warned."""
    calibration = calibrated([np.arange(19.0)] * 3, [0.05] * 3)
    assert_array_equal(calibration.groups_, [0, 1, 2])
    assert not recwarn.list


@pytest.mark.parametrize(
    ("rates", "counts", "merged"),
    [
        # 19, 9 and 99 are needed.
        ([0.05, 0.1, 0.01], [19, 9, 99], []),
        ([0.05, 0.1, 0.01], [30, 8, 150], [0, 1]),
        # Class 2 needs 99: the smallest join first, though they have enough.
        ([0.05, 0.1, 0.01], [19, 9, 98], [1, 2]),
        ([0.05, 0.1, 0.01], [20, 9, 70], [0, 1, 2]),
        # A rate of 0 is never too few.
        ([0.05, 0, 0.01], [50, 0, 99], []),
        ([0.05, 0], [18, 40], [0, 1]),
    ],
)
def test_who_merges_at_rates_per_class(rates, counts, merged):
    """Check that each class needs the samples of its own rate, a group of its least."""
    members = [np.arange(n, dtype=float) for n in counts]
    if merged:
        needed = max(samples_needed(rates[k]) for k in merged)
        with pytest.warns(UserWarning, match=f"; {needed} are needed"):
            calibration = calibrated(members, rates)
    else:
        calibration = calibrated(members, rates)
    total = sum(counts[k] for k in merged)
    expected = [total if k in merged else n for k, n in enumerate(counts)]
    assert_array_equal(calibration.n_samples_, expected)
    assert len(set(calibration.groups_)) == len(counts) - max(len(merged) - 1, 0)
    least = min([rates[k] for k in merged if rates[k]], default=0)
    lowered = [least if k in merged and rate else rate for k, rate in enumerate(rates)]
    assert_array_equal(calibration.thresholds_, lowered)
    assert_array_equal(rejections(calibration, [-1.0]), [np.array(rates) > 0])


def test_who_merges_with_confidence():
    """Check that the samples that are needed are those at the confidence."""
    members = [np.arange(n, dtype=float) for n in (44, 45, 46)]
    with pytest.warns(UserWarning, match=r"\(44\).*\(45\); 45 are needed"):
        calibration = calibrated(members, [0.05] * 3, confidence=0.9)
    assert_array_equal(calibration.n_samples_, [89, 89, 46])


@pytest.mark.parametrize("joined", [False, True])
def test_class_without_calibration_samples(joined):
    """Check that a class without samples is judged by those of the classes it joins."""
    counts = [50, 0, 0, 30] if joined else [50, 0, 10, 9]
    rng = np.random.default_rng(0)
    members = [rng.normal(size=n) for n in counts]
    with pytest.warns(UserWarning, match=r"\(0\)"):
        calibration = calibrated(members, [0.05] * 4)
    shared = np.concatenate(members[1:])
    assert_array_equal(calibration.n_samples_, [50] + [len(shared)] * 3)
    assert_array_equal(calibration.score_thresholds_[1:], [shared.min()] * 3)
    p = calibration.p_values(np.zeros((1, 4)))[0, 1]
    assert p == (1 + sum(shared <= 0)) / (len(shared) + 1)


@pytest.mark.parametrize(
    ("rates", "confidence", "counts", "numbers"),
    [
        ([0.05], None, [18], ("18 ", "0.05 ", "19")),
        ([0.05, 0.05], None, [9, 9], ("18 ", "0.05 ", "19")),
        ([0.01] * 3, None, [40, 0, 58], ("98 ", "0.01 ", "99")),
        ([0.1, 0.01], None, [40, 58], ("98 ", "0.01 ", "99")),
        ([0.05, 0.05], 0.9, [20, 24], ("44 ", "0.05 ", "45", "confidence=0.9 ")),
        ([0.05, 0.05], None, [0, 0], ("0 ", "0.05 ", "19")),
    ],
)
def test_too_few_samples_raise(rates, confidence, counts, numbers):
    """Check that the error tells how many there are, the rate and how many it takes."""
    members = [np.arange(n, dtype=float) for n in counts]
    with pytest.raises(ValueError, match="calibration samples are too few") as caught:
        calibrated(members, rates, confidence)
    message = str(caught.value)
    assert message.startswith(numbers[0])
    assert f"false_rejection_rate={numbers[1]}" in message
    assert f"at least {numbers[2]}." in message
    assert ("confidence" in message) == (confidence is not None)
    assert all(number in message for number in numbers)


@pytest.mark.parametrize("confidence", [None, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("n", [1, 2, 9, 12, 19, 40, 63, 98, 99])
def test_too_few_samples_name_the_smallest_rate(n, confidence):
    """Check that the rate in the error is the smallest of two digits that would do."""
    members = [np.arange(n, dtype=float)]
    with pytest.raises(ValueError, match="are too few") as caught:
        calibrated(members, [1e-9], confidence)
    found = re.search(r"With (\d+) in all the smallest rate is (\S+)\. ", str(caught.value))
    if found is None:
        assert (n, confidence) == (1, 0.999)
        with pytest.raises(ValueError, match="are too few"):
            calibrated(members, [0.99], confidence)
        return
    rate = float(found[2])
    assert int(found[1]) == n
    assert np.isfinite(calibrated(members, [rate], confidence).score_thresholds_).all()
    unit = 10 ** (np.floor(np.log10(rate)) - 1)
    with pytest.raises(ValueError, match="are too few"):
        calibrated(members, [rate - 1.001 * unit], confidence)


def test_too_few_samples_for_any_rate():
    """Check that no rate is named where none would do."""
    with pytest.raises(ValueError, match=r"are too few.*more data") as caught:
        calibrated([np.empty(0)], [0.05])
    assert "smallest rate" not in str(caught.value)


@pytest.mark.parametrize("decimals", [None, 1, 0])
@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1, 0.2, 0.5])
@pytest.mark.parametrize("n_samples", [100, 119, 199])
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


# The smallest class has just enough samples; at the others the quotient rounds down.
SIZES = {0.01: (99, 250, 2000), 0.05: (19, 200, 2000), 0.2: (4, 33, 2000)}
N_DRAWS = 3000
# Of the 60 or so comparisons below, one in a thousand runs of other seeds would have one
# fail by chance.
LEVEL = 0.001 / 60


def draw(rng, n_samples, decimals):
    """Return scores of n members of each of three classes of different scores."""
    scores = [
        rng.normal(size=n_samples[0]),
        -rng.exponential(size=n_samples[1]),
        3 * rng.standard_t(2, size=n_samples[2]),
    ]
    return scores if decimals is None else [own.round(decimals) for own in scores]


@pytest.mark.parametrize("decimals", [None, 0], ids=["continuous", "ties"])
@pytest.mark.parametrize("rate", SIZES)
def test_false_rejections_on_average(rate, decimals):
    """Check that members of each class are turned away at most as often as bounded."""
    rng = np.random.default_rng(int(1000 * rate))
    sizes = np.array(SIZES[rate])
    count = np.zeros(3, int)
    for _ in range(N_DRAWS):
        scores = draw(rng, sizes + 1, decimals)
        calibration = calibrated([own[:-1] for own in scores], [rate] * 3)
        # One new member of each class, so that the draws are independent.
        new = np.array([own[-1] for own in scores])
        rejected = calibration.p_values(new[None])[0] <= calibration.thresholds_
        assert_array_equal(new < calibration.score_thresholds_, rejected)
        count += rejected
    for k, n_samples in enumerate(sizes):
        assert binom.sf(count[k] - 1, N_DRAWS, rate) >= LEVEL
        if decimals is None:
            # Without ties the share is known: it does not just stay under the bound.
            share = exact_rank(n_samples, str(rate)) / (n_samples + 1)
            assert_binomial(count[k], N_DRAWS, share, LEVEL)
    assert (count > 0).all()


@pytest.mark.filterwarnings("ignore:Classes with too few calibration samples")
@pytest.mark.parametrize(("rate", "n_samples"), [(0.05, 39), (0.01, 199)])
def test_false_rejections_of_rare_classes_on_average(n_samples, rate):
    """Check that the bound holds over all members of a group, and for a class beside it."""
    rng = np.random.default_rng(0)
    # A common class, and ten rare ones of very different scores: each sample of theirs,
    # the new one included, is of any of them, as in a sample of one population.
    rejected = {"common": 0, "rare": 0, "rare and lowest": 0}
    for _ in range(N_DRAWS):
        y = rng.integers(10, size=n_samples + 1)
        scores = rng.normal(size=n_samples + 1) + 3 * y
        common = rng.normal(size=n_samples + 1)
        members = [scores[:-1][y[:-1] == k] for k in range(10)]
        calibration = calibrated([common[:-1], *members], [rate] * 11)
        assert_array_equal(calibration.n_samples_, [n_samples] * 11)
        assert_array_equal(calibration.groups_, [0] + [1] * 10)
        rejected["common"] += rejections(calibration, common[-1:])[0, 0]
        is_rejected = rejections(calibration, scores[-1:])[0, 1 + y[-1]]
        rejected["rare"] += is_rejected
        rejected["rare and lowest"] += is_rejected and y[-1] == 0
    # At these sizes k / (n + 1) is the rate itself.
    assert exact_rank(n_samples, str(rate)) == rate * (n_samples + 1)
    assert_binomial(rejected["common"], N_DRAWS, rate, LEVEL)
    assert_binomial(rejected["rare"], N_DRAWS, rate, LEVEL)
    # Not for each class of the group, of which the warning warns: nearly all are of one.
    assert rejected["rare and lowest"] > 0.9 * rejected["rare"]


@pytest.mark.parametrize("ties", [False, True], ids=["continuous", "ties"])
@pytest.mark.parametrize(
    ("rate", "confidence"), [(0.05, 0.9), (0.2, 0.9), (0.1, 0.7)], ids=str
)
def test_false_rejections_with_confidence(rate, confidence, ties):
    """Check that the true rate is above the bound in as few draws as confidence says."""
    rng = np.random.default_rng(int(1000 * rate))
    populations = [norm(), norm(5, 3), expon(-4)]
    sizes = [samples_needed(rate, confidence), 200, 1000]
    exceeded, n_draws = np.zeros(3, int), 1000
    for _ in range(n_draws):
        scores = [
            population.ppf(rng.random(n)) for population, n in zip(populations, sizes)
        ]
        if ties:
            scores = [own.round() for own in scores]
        calibration = calibrated(scores, [rate] * 3, confidence)
        # A rounded score is below a threshold, a whole number, where the score itself is
        # more than a half below it.
        limits = calibration.score_thresholds_ - (0.5 if ties else 0)
        true_rates = [population.cdf(x) for population, x in zip(populations, limits)]
        exceeded += np.array(true_rates) > rate
    for count, n_samples in zip(exceeded, sizes):
        assert binom.sf(count - 1, n_draws, 1 - confidence) >= LEVEL
        if not ties:
            rank = sum(
                beta.cdf(rate, k, n_samples + 1 - k) >= confidence
                for k in range(1, n_samples + 1)
            )
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


def test_bound_over_a_group_of_several_rates():
    """Check the average over merged classes of which one takes a larger rate."""
    rates = np.array([0.01, 0.2])
    rng = np.random.default_rng(0)
    rejected, members = 0, np.zeros(2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(5000):
            y = (rng.random(151) < 0.02).astype(int)
            scores = rng.normal(size=151) - 50 * y
            if (y[:-1] == 1).sum() >= samples_needed(0.2):
                continue
            calibration = ConformalCalibration(rates)
            calibration.fit(scores[:-1], y[:-1], np.arange(2))
            p = calibration.p_values(np.full((1, 2), scores[-1]))[0, y[-1]]
            rejected += p <= calibration.thresholds_[y[-1]]
            members[y[-1]] += 1
    bound = rates @ members / members.sum()
    error = np.sqrt(bound / members.sum())
    assert rejected / members.sum() <= bound + 3 * error


def test_score_that_is_no_number_is_the_least_typical():
    """Check that NaN gets the smallest p-value, and pushes no member up."""
    scores = np.append(np.arange(38.0), np.nan)
    calibration = ConformalCalibration(np.array([0.05])).fit(scores, np.zeros(39, int), "a")
    found = calibration.p_values(np.array([[np.nan], [-1.0], [0.0], [99.0]]))
    assert_array_equal(found[:, 0], np.array([2, 2, 3, 40]) / 40)


def loose_of(own, others, y=None):
    """Return the loose classes of three whose threshold is their least score."""
    own, others = np.asarray(own, float), np.asarray(others, float)
    y = np.repeat([0, 1, 2], len(own) // 3) if y is None else y
    thresholds = np.array([own[y == k].min() for k in range(3)])
    labels = np.arange(len(others)) % 3
    return loose_thresholds(thresholds, own, y, others, labels).tolist()


def test_loose_thresholds():
    """Check that a class is loose that one member made accept all others, and only then."""
    rng = np.random.default_rng(0)
    typical = rng.normal(size=90)
    odd = np.where(np.arange(90) == 40, -60, typical)
    apart = rng.normal(-20, 1, size=(300, 3))  # of every class seen by the others
    assert loose_of(odd, apart) == [1]
    assert loose_of(typical, apart) == []
    # Far out, but no other class is as near; near all others, but not far out.
    assert loose_of(odd, apart - 60) == []
    assert loose_of(typical, apart + 20) == []
    # Two tenths of the others are turned down.
    assert loose_of(odd, apart - 60 * (np.arange(300) < 60)[:, None]) == []
    # Scores that are the same for all classes say nothing of the others.
    assert loose_of(odd, np.repeat(apart[:, :1], 3, axis=1)) == []
    # A class that a fold does not know, and scores that are not finite.
    unknown = np.where(np.arange(3) == 1, np.nan, apart)
    assert loose_of(odd, unknown) == []
    lost = np.where(np.arange(90) == 41, -np.inf, odd)
    assert loose_of(lost, apart) == []
    # A threshold below all members is not the doing of one.
    far = np.full(3, -100.0)
    y, labels = np.repeat([0, 1, 2], 30), np.arange(300) % 3
    assert loose_thresholds(far, typical, y, apart, labels).tolist() == []
    # Of few members nobody knows what is far.
    assert loose_of(odd[[0, 1, 2, 39, 40, 41, 60, 61, 62]], apart) == []
