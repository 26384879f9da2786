"""The metrics of scores, against their definitions in loops over float64."""

import numpy as np
import pytest
from curve_problems import (
    CLOSE,
    LABELS,
    random_problem,
    reference_aupr,
    reference_auroc,
    reference_ccr_at_fpr,
    reference_fpr_at_tpr,
    reference_oscr_curve,
    scores_of,
)
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import accuracy_score, average_precision_score, roc_auc_score

from sk_center.metrics import (
    aupr_score,
    auroc_score,
    ccr_at_fpr,
    fpr_at_tpr,
    oscr_curve,
    oscr_score,
)

# Sums of at most a few hundred numbers of the size of one.
# Seeds of problems with scores that all differ, with many ties, and all equal.
PROBLEMS = [(0, None), (1, 3), (2, 1)]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("seed", "n_values"), PROBLEMS)
def test_auroc_counts_pairs(seed, n_values, weighted):
    """Check AUROC against all pairs of a known sample and an outsider, ties half."""
    y_true, _, y_score = random_problem(seed, n_values=n_values)
    weight = np.random.default_rng(seed).uniform(0.1, 3, 60) if weighted else None
    auroc = auroc_score(y_true, y_score, labels=LABELS, sample_weight=weight)
    assert_allclose(auroc, reference_auroc(y_true, y_score, weight), **CLOSE)


def test_auroc_is_that_of_scikit_learn():
    """Check that known is the positive class of scikit-learn's AUROC."""
    y_true, _, y_score = random_problem(0)
    expected = roc_auc_score(y_true < 3, y_score)
    assert_allclose(auroc_score(y_true, y_score, labels=LABELS), expected, **CLOSE)


# 1/3 and 0.8 are shares that some problem reaches exactly, up to rounding.
@pytest.mark.parametrize("tpr", [0.01, 1 / 3, 0.8, 1])
@pytest.mark.parametrize(("seed", "n_values"), PROBLEMS)
def test_fpr_at_tpr_scans_thresholds(seed, n_values, tpr):
    """Check the false positive rate against a scan of all scores from the top."""
    y_true, _, y_score = random_problem(seed, n_values=n_values)
    fpr = fpr_at_tpr(y_true, y_score, labels=LABELS, tpr=tpr)
    assert_allclose(fpr, reference_fpr_at_tpr(y_true, y_score, tpr), **CLOSE)


@pytest.mark.parametrize("n_known", [3, 10, 49, 300])
def test_fpr_at_each_tpr_that_is_reached_exactly(n_known):
    """Check that tpr = k / n takes the k highest known samples and not one more."""
    # An outsider under each known sample tells at which of them the threshold is.
    y_true = np.tile([0, 3], n_known)
    y_score = -np.arange(2 * n_known)
    fprs = [
        fpr_at_tpr(y_true, y_score, labels=LABELS, tpr=k / n_known)
        for k in range(1, n_known + 1)
    ]
    assert_allclose(fprs, np.arange(n_known) / n_known, **CLOSE)


@pytest.mark.parametrize("n_known", [3, 10, 49])
def test_fpr_at_each_tpr_along_the_diagonal(n_known):
    """Check thresholds between corners of the ROC curve, which its drawing may skip."""
    y_true = np.tile([0, 3], n_known)
    y_score = -np.repeat(np.arange(n_known), 2)
    shares = np.arange(1, n_known + 1) / n_known
    fprs = [fpr_at_tpr(y_true, y_score, labels=LABELS, tpr=tpr) for tpr in shares]
    assert_allclose(fprs, shares, **CLOSE)


@pytest.mark.parametrize("weight", [0.1, 0.3, 0.7])
@pytest.mark.parametrize("n_known", [4, 10, 30])
def test_fpr_at_tpr_when_weights_round(n_known, weight):
    """Check that a tpr that is reached up to the rounding of sums is reached."""
    # 0.7 + 0.7 + 0.7 < 0.75 * 2.8 in floating point.
    y_true = np.tile([0, 3], n_known)
    y_score = -np.arange(2 * n_known)
    weights = np.full(2 * n_known, weight)
    fprs = [
        fpr_at_tpr(y_true, y_score, labels=LABELS, tpr=k / n_known, sample_weight=weights)
        for k in range(1, n_known + 1)
    ]
    assert_allclose(fprs, np.arange(n_known) / n_known, **CLOSE)


@pytest.mark.parametrize("tpr", [0.3, 0.5, 0.95])
@pytest.mark.parametrize("seed", range(2))
def test_fpr_at_tpr_with_weights(seed, tpr):
    """Check the weighted false positive rate against a scan of all scores."""
    y_true, _, y_score = random_problem(seed, n_values=6)
    weight = np.random.default_rng(seed).uniform(0.1, 3, 60)
    fpr = fpr_at_tpr(y_true, y_score, labels=LABELS, tpr=tpr, sample_weight=weight)
    assert_allclose(fpr, reference_fpr_at_tpr(y_true, y_score, tpr, weight), **CLOSE)


def test_default_tpr_is_95_percent():
    """Check that fpr_at_tpr without a tpr is the FPR at 95 % TPR."""
    # 20 known samples, an outsider under each: 95 % are the 19 highest of them.
    y_true = np.tile([0, 3], 20)
    assert fpr_at_tpr(y_true, -np.arange(40), labels=LABELS) == 18 / 20


@pytest.mark.parametrize("positive", ["known", "outsider"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("seed", "n_values"), PROBLEMS)
def test_aupr_sums_over_thresholds(seed, n_values, weighted, positive):
    """Check AUPR of either side against precision and recall at each threshold."""
    y_true, _, y_score = random_problem(seed, n_values=n_values)
    weight = np.random.default_rng(seed).uniform(0.1, 3, 60) if weighted else None
    aupr = aupr_score(
        y_true, y_score, labels=LABELS, positive=positive, sample_weight=weight
    )
    assert_allclose(aupr, reference_aupr(y_true, y_score, positive, weight), **CLOSE)


def test_aupr_is_that_of_scikit_learn():
    """Check that known is the default side, and that for the other the scores flip."""
    y_true, _, y_score = random_problem(0)
    known_side, outsider_side = (
        average_precision_score(y_true < 3, y_score),
        average_precision_score(y_true >= 3, -y_score),
    )
    assert abs(known_side - outsider_side) > 0.05
    assert_allclose(aupr_score(y_true, y_score, labels=LABELS), known_side, **CLOSE)
    aupr_out = aupr_score(y_true, y_score, labels=LABELS, positive="outsider")
    assert_allclose(aupr_out, outsider_side, **CLOSE)


@pytest.mark.parametrize(("positive", "share"), [("known", 0.75), ("outsider", 0.25)])
def test_aupr_of_chance(positive, share):
    """Check that scores that tell nothing give the share of the side."""
    aupr = aupr_score([0, 1, 2, 3], [5, 5, 5, 5], labels=LABELS, positive=positive)
    assert aupr == share


# 1/3 and 0.2 are shares that some problem reaches exactly, up to rounding.
@pytest.mark.parametrize("fpr", [0, 0.2, 1 / 3, 1])
@pytest.mark.parametrize(("seed", "n_values"), PROBLEMS)
def test_ccr_at_fpr_scans_thresholds(seed, n_values, fpr):
    """Check the CCR against the best of all thresholds that keep the FPR."""
    y_true, y_pred, y_score = random_problem(seed, n_values=n_values)
    ccr = ccr_at_fpr(y_true, y_pred, y_score, labels=LABELS, fpr=fpr)
    expected = reference_ccr_at_fpr(y_true, y_pred, y_score, fpr)
    assert_allclose(ccr, expected, **CLOSE)


@pytest.mark.parametrize("fpr", [0.1, 0.4])
@pytest.mark.parametrize("seed", range(2))
def test_ccr_at_fpr_with_weights(seed, fpr):
    """Check the weighted CCR against the best of all thresholds."""
    problem = random_problem(seed, n_values=6)
    weight = np.random.default_rng(seed).uniform(0.1, 3, 60)
    ccr = ccr_at_fpr(*problem, labels=LABELS, fpr=fpr, sample_weight=weight)
    assert_allclose(ccr, reference_ccr_at_fpr(*problem, fpr, weight), **CLOSE)


@pytest.mark.parametrize("weight", [0.1, 0.7, 1])
@pytest.mark.parametrize("n_outsiders", [3, 49])
def test_ccr_at_each_fpr_that_is_reached_exactly(n_outsiders, weight):
    """Check that fpr = k / n accepts the k highest outsiders and not one more."""
    # A known sample above each outsider tells at which of them the threshold is.
    y_true = np.tile([0, 3], n_outsiders)
    weights = np.full(2 * n_outsiders, weight)
    ccrs = [
        ccr_at_fpr(
            y_true,
            np.zeros_like(y_true),
            -np.arange(2 * n_outsiders),
            labels=LABELS,
            fpr=k / n_outsiders,
            sample_weight=weights,
        )
        for k in range(n_outsiders)
    ]
    assert_allclose(ccrs, np.arange(1, n_outsiders + 1) / n_outsiders, **CLOSE)


def test_default_fpr_is_10_percent():
    """Check that ccr_at_fpr without an fpr is the CCR at 10 % FPR."""
    y_true = np.tile([0, 3], 20)
    ccr = ccr_at_fpr(y_true, np.zeros(40, int), -np.arange(40), labels=LABELS)
    assert ccr == 3 / 20


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("seed", "n_values"), PROBLEMS)
def test_oscr_curve_counts_at_each_threshold(seed, n_values, weighted):
    """Check CCR and FPR against a count at infinity and at each distinct score."""
    y_true, y_pred, y_score = random_problem(seed, n_values=n_values)
    weight = np.random.default_rng(seed).uniform(0.1, 3, 60) if weighted else None
    curve = oscr_curve(y_true, y_pred, y_score, labels=LABELS, sample_weight=weight)
    ccr, fpr, thresholds = reference_oscr_curve(y_true, y_pred, y_score, weight)
    assert_allclose(curve[0], ccr, **CLOSE)
    assert_allclose(curve[1], fpr, **CLOSE)
    assert_array_equal(curve[2], thresholds)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("seed", "n_values"), PROBLEMS)
def test_oscr_counts_pairs(seed, n_values, weighted):
    """Check OSCR against all pairs, where a misclassified known sample loses."""
    y_true, y_pred, y_score = random_problem(seed, n_values=n_values)
    weight = np.random.default_rng(seed).uniform(0.1, 3, 60) if weighted else None
    oscr = oscr_score(y_true, y_pred, y_score, labels=LABELS, sample_weight=weight)
    expected = reference_auroc(y_true, y_score, weight, correct=y_true == y_pred)
    assert_allclose(oscr, expected, **CLOSE)


@pytest.mark.parametrize("n_values", [None, 3])
@pytest.mark.parametrize("seed", range(2))
def test_oscr_curve_rises_to_the_accuracy(seed, n_values):
    """Check that the curve never falls, from (0, 0) to (accuracy on known, 1)."""
    y_true, y_pred, y_score = random_problem(seed, n_values=n_values)
    ccr, fpr, thresholds = oscr_curve(y_true, y_pred, y_score, labels=LABELS)
    assert ccr.shape == fpr.shape == thresholds.shape == (len(set(y_score)) + 1,)
    assert (np.diff(ccr) >= 0).all()
    assert (np.diff(fpr) >= 0).all()
    assert (np.diff(thresholds) < 0).all()
    assert (ccr[0], fpr[0], thresholds[0]) == (0, 0, np.inf)
    known = y_true < 3
    assert_allclose(ccr[-1], accuracy_score(y_true[known], y_pred[known]), **CLOSE)
    assert fpr[-1] == 1


@pytest.mark.parametrize("n_values", [None, 3])
@pytest.mark.parametrize("seed", range(2))
def test_oscr_is_bounded_by_auroc_and_accuracy(seed, n_values):
    """Check that OSCR is AUROC when all known are right, and never above either bound."""
    y_true, y_pred, y_score = random_problem(seed, n_values=n_values)
    known = y_true < 3
    auroc = auroc_score(y_true, y_score, labels=LABELS)
    assert_allclose(oscr_score(y_true, y_true, y_score, labels=LABELS), auroc, **CLOSE)
    oscr = oscr_score(y_true, y_pred, y_score, labels=LABELS)
    assert (y_true[known] != y_pred[known]).any()
    assert oscr < auroc
    assert oscr <= accuracy_score(y_true[known], y_pred[known])


def test_class_given_to_outsiders_does_not_matter():
    """Check that predicting the true class of an outsider earns nothing."""
    y_true, y_pred, y_score = random_problem(0)
    other = np.where(y_true < 3, y_pred, y_true)
    first, second = (
        oscr_curve(y_true, predicted, y_score, labels=LABELS)
        for predicted in (y_pred, other)
    )
    for expected, actual in zip(first, second):
        assert_array_equal(actual, expected)


@pytest.mark.parametrize(
    ("sign", "auroc", "fpr", "oscr"), [(1, 1.0, 0.0, 0.5), (-1, 0.0, 1.0, 0.0)]
)
def test_separated_scores(sign, auroc, fpr, oscr):
    """Check the best and the worst case, which tell which side is the positive one."""
    y_true, y_pred = [0, 1, 2, 0, 3, 4], [0, 1, 0, 1, 0, 0]
    y_score = sign * np.array([4, 5, 6, 7, 1, 2])
    assert auroc_score(y_true, y_score, labels=LABELS) == auroc
    assert fpr_at_tpr(y_true, y_score, labels=LABELS, tpr=0.25) == fpr
    assert fpr_at_tpr(y_true, y_score, labels=LABELS) == fpr
    assert oscr_score(y_true, y_pred, y_score, labels=LABELS) == oscr
    assert ccr_at_fpr(y_true, y_pred, y_score, labels=LABELS, fpr=0.4) == oscr
    for positive in ("known", "outsider"):
        aupr = aupr_score(y_true, y_score, labels=LABELS, positive=positive)
        assert (aupr == 1) == (sign > 0)


@pytest.mark.parametrize("n_values", [None, 4])
def test_flipped_scores_reverse_the_auroc(n_values):
    """Check that minus the scores give one minus the AUROC."""
    y_true, _, y_score = random_problem(1, n_values=n_values)
    auroc, flipped = (
        auroc_score(y_true, score, labels=LABELS) for score in (y_score, -y_score)
    )
    assert abs(auroc - 0.5) > 0.05
    assert_allclose(auroc + flipped, 1, **CLOSE)


def test_only_the_order_of_scores_counts():
    """Check that a rising function of the scores changes none of the numbers."""
    y_true, y_pred, y_score = random_problem(2)
    expected = scores_of(y_true, y_pred, y_score, labels=LABELS)
    assert_array_equal(scores_of(y_true, y_pred, np.exp(y_score), labels=LABELS), expected)
    order = np.random.default_rng(0).permutation(60)
    shuffled = (y_true[order], y_pred[order], y_score[order])
    assert_array_equal(scores_of(*shuffled, labels=LABELS), expected)


def test_scores_that_differ_in_the_last_bit_are_no_ties():
    """Check that neighboring floats count as ordered, as the thresholds see them."""
    above = np.nextafter(0.5, 1)
    assert auroc_score([0, 3], [above, 0.5], labels=LABELS) == 1
    assert fpr_at_tpr([0, 3], [above, 0.5], labels=LABELS) == 0
    assert oscr_score([0, 3], [0, 0], [above, 0.5], labels=LABELS) == 1


@pytest.mark.parametrize("n_values", [None, 3])
def test_integer_weights_repeat_samples(n_values):
    """Check that a weight of k is k samples, and a weight of 0 none."""
    y_true, y_pred, y_score = random_problem(3, n_values=n_values)
    weight = np.random.default_rng(3).integers(4, size=60)
    assert (weight == 0).any()
    repeated = (np.repeat(values, weight) for values in (y_true, y_pred, y_score))
    assert_allclose(
        scores_of(y_true, y_pred, y_score, labels=LABELS, sample_weight=weight),
        scores_of(*repeated, labels=LABELS),
        **CLOSE,
    )
    # A factor common to all weights, as a weight of one per cent has, cancels.
    assert_allclose(
        scores_of(y_true, y_pred, y_score, labels=LABELS, sample_weight=weight / 100),
        scores_of(y_true, y_pred, y_score, labels=LABELS, sample_weight=weight),
        **CLOSE,
    )


def test_zero_weights_drop_extreme_samples():
    """Check that samples without weight neither win, lose nor set a threshold."""
    y_true, y_pred, y_score = random_problem(4)
    expected = scores_of(y_true, y_pred, y_score, labels=LABELS)
    extreme = (
        np.append(y_true, [0, 3, 0, 3]),
        np.append(y_pred, [0, 0, 0, 0]),
        np.append(y_score, [99, 99, -99, -99]),
    )
    weight = np.append(np.ones(60), np.zeros(4))
    assert_allclose(
        scores_of(*extreme, labels=LABELS, sample_weight=weight), expected, **CLOSE
    )
