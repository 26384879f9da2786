"""Sample weights of a Center, and deviations from its centers."""

import copy

import numpy as np
import pytest
import torch
from center_cases import (
    CLOSE,
    MOVING_RULES,
    N_CLASSES,
    N_FEATURES,
    RULES,
    given_centers,
    one_batch,
    random_batches,
    reference_step,
    start_of_reference,
)
from numpy.testing import assert_allclose, assert_array_equal

from sk_center import Center
from sk_center.centers.first_centers import glorot_uniform


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("update", RULES)
def test_deviation_from_seen_classes(update, given, dtype):
    """Check that deviation is x - c of the centers before, and updates as forward does."""
    center = given_centers() if given else None
    module = Center(N_FEATURES, N_CLASSES, 0.8, center, update=update)
    # Every class appears here, so that all are seen in what follows.
    first = np.random.default_rng(15).normal(size=(N_CLASSES, N_FEATURES))
    module(torch.from_numpy(first), torch.arange(N_CLASSES))
    twin = Center(N_FEATURES, N_CLASSES, 0.8, update=update)
    twin.load_state_dict(module.state_dict())
    for X, y in random_batches(seed=16):
        X = X.to(dtype).requires_grad_()
        before = twin(X, y).double().numpy()
        deviation = module.deviation(X, y)
        assert deviation.dtype == torch.promote_types(dtype, torch.float32)
        assert not deviation.requires_grad
        expected = X.detach().double().numpy() - before[y.numpy()]
        assert_allclose(deviation.numpy(), expected, **CLOSE)
        assert torch.equal(module.predict(), twin.predict())


@pytest.mark.parametrize("update", MOVING_RULES)
def test_deviation_starts_a_class_at_its_mean(update):
    """Check that a first appearance deviates by zero and sets the center to the mean."""
    # A start far away would show if it pulled on a feature.
    module = Center(
        N_FEATURES, N_CLASSES, 0.8, lambda shape: torch.full(shape, 50.0), update=update
    )
    centers, count = start_of_reference(module)
    assert not module.known.any()
    n_rows = 0
    for X, y in random_batches(seed=17, n_samples=4):
        unseen = count[y.numpy()] == 0
        n_rows += np.count_nonzero(~unseen)
        before = module.predict().double().numpy()
        deviation = module.deviation(X, y).numpy()
        assert_array_equal(deviation[unseen], 0)
        expected = X.double().numpy() - before[y.numpy()]
        assert_allclose(deviation[~unseen], expected[~unseen], **CLOSE)
        reference_step(centers, count, X, y, update, 0.8, first="mean")
        rounding = 4 * np.finfo(np.float32).eps * 50
        assert_allclose(module.predict().numpy(), centers, rtol=0, atol=rounding)
        assert_array_equal(module.known.numpy(), count > 0)
    assert n_rows > 0


@pytest.mark.parametrize("update", MOVING_RULES)
def test_deviation_in_eval_mode(update):
    """Check that in eval mode unseen classes deviate by zero and stay unseen."""
    module = Center(N_FEATURES, N_CLASSES, update=update)
    X, y = one_batch()
    module.deviation(X[y == 0], y[y == 0])
    module.eval()
    state = {key: value.clone() for key, value in module.state_dict().items()}
    for _ in range(2):
        deviation = module.deviation(X, y)
        assert (deviation[y != 0] == 0).all()
        expected = X[y == 0].double() - state["center"][0].double()
        assert_allclose(deviation[y == 0].numpy(), expected.numpy(), **CLOSE)
    assert all(torch.equal(state[key], value) for key, value in module.state_dict().items())


def test_deviation_from_fixed_centers():
    """Check that "fixed" centers are anchors: known at once, and left alone."""
    module = Center(N_FEATURES, N_CLASSES, update="fixed")
    assert module.known.all()
    start = module.predict()
    X, y = one_batch()
    assert_allclose(
        module.deviation(X, y).numpy(), X.double().numpy() - start[y].numpy(), **CLOSE
    )
    assert torch.equal(module.predict(), start)


def test_known_marks_seen_and_given_centers():
    """Check that known tells seen or given centers from a random start."""
    module = Center(N_FEATURES, N_CLASSES)
    assert module.known.dtype == torch.bool
    assert module.known.tolist() == [False] * N_CLASSES
    module(*one_batch())
    assert module.known.tolist() == [True, True, False, False, True, False, False]
    assert Center(N_FEATURES, N_CLASSES, center=given_centers()).known.all()
    assert not Center(N_FEATURES, N_CLASSES, center=glorot_uniform).known.any()


@pytest.mark.parametrize("update", ["ema", "wen", "cumulative"])
def test_sample_weight_gives_the_weighted_mean(update):
    """Check that weights enter the class mean, at the first batch and later."""
    module = Center(N_FEATURES, N_CLASSES, 0.8, update=update)
    centers, count = start_of_reference(module)
    rng = np.random.default_rng(18)
    for X, y in random_batches(seed=19):
        weight = rng.uniform(0.1, 3.0, size=len(y)).astype(np.float32)
        X[3, 0] = float("nan")
        module.deviation(X, y, torch.from_numpy(weight))
        reference_step(centers, count, X, y, update, 0.8, weight=weight, first="mean")
        assert_allclose(module.predict().numpy(), centers, **CLOSE)


def test_sample_weight_gives_the_weighted_mean_for_sum():
    """Check that "sum" too starts a class at the weighted mean of its batch."""
    module = Center(N_FEATURES, N_CLASSES, 0.8, update="sum")
    X, y = one_batch()
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    module.deviation(X, y, weight)
    for j in (0, 1, 4):
        mean = np.average(X[y == j].double(), axis=0, weights=weight[y == j])
        assert_allclose(module.predict()[j].numpy(), mean, **CLOSE)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 8.0])
@pytest.mark.parametrize("update", RULES)
def test_equal_sample_weights_change_nothing(update, scale):
    """Check that equal weights, whatever their size, do as no weights do."""
    module, twin = (Center(N_FEATURES, N_CLASSES, 0.8, update=update) for _ in range(2))
    twin.load_state_dict(module.state_dict())
    for X, y in random_batches(seed=20):
        deviation = module.deviation(X, y, torch.full((len(y),), scale))
        assert_allclose(deviation.numpy(), twin.deviation(X, y).numpy(), **CLOSE)
    assert_allclose(module.predict().numpy(), twin.predict().numpy(), **CLOSE)


@pytest.mark.parametrize("update", MOVING_RULES)
def test_zero_weights_leave_a_known_class(update):
    """Check that a seen class whose weights are all zero keeps its center."""
    module = Center(N_FEATURES, N_CLASSES, update=update)
    X, y = one_batch()
    module.deviation(X, y)
    start = module.predict()
    module.deviation(X + 1, y, (y != 4).float())
    assert torch.equal(module.predict()[4], start[4])
    assert not torch.equal(module.predict()[0], start[0])


@pytest.mark.parametrize("update", MOVING_RULES)
def test_zero_weights_do_not_introduce_a_class(update):
    """Check that a class of zero weight stays unseen and later starts at its mean."""
    module = Center(
        N_FEATURES, N_CLASSES, 0.8, lambda shape: torch.full(shape, 50.0), update=update
    )
    X, y = one_batch()
    module.deviation(X, y, (y != 4).float())
    assert not module.known[4]
    assert (module.deviation(X, y)[y == 4] == 0).all()
    mean = X[y == 4].double().mean(dim=0).numpy()
    rounding = 4 * np.finfo(np.float32).eps * 50
    assert_allclose(module.predict()[4].numpy(), mean, rtol=0, atol=rounding)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.int64])
def test_sample_weight_of_any_dtype(dtype):
    """Check that weights of any dtype, numpy's float64 too, do as float32 weights do."""
    module, twin = Center(N_FEATURES, N_CLASSES), Center(N_FEATURES, N_CLASSES)
    twin.load_state_dict(module.state_dict())
    X, y = one_batch()
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    module.deviation(X, y, weight.to(dtype))
    twin.deviation(X, y, weight)
    assert_allclose(module.predict().numpy(), twin.predict().numpy(), **CLOSE)


def test_weights_with_a_gradient_stay_outside():
    """Check that the centers carry no graph, whatever the weights do."""
    module = Center(2, 3)
    weight = torch.ones(4, requires_grad=True)
    module.deviation(torch.randn(4, 2), torch.tensor([0, 1, 1, 2]), weight)
    assert not module.center.requires_grad
    copy.deepcopy(module)
