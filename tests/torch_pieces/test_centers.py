"""Tests of the moving-average centers, against a float64 reference in numpy."""

import io
import pickle
import warnings
from itertools import product

import numpy as np
import pytest
import torch
from center_cases import (
    CLOSE,
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


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize(
    ("update", "alpha"),
    # "sum" with alpha=0 would diverge, and magnify rounding, at three samples a class.
    [pair for pair in product(RULES, [0.0, 0.6, 0.9, 0.999]) if pair != ("sum", 0.0)],
)
def test_forward_follows_the_rule(update, alpha, given):
    """Check that forward moves the centers as the float64 rule does, batch by batch."""
    start = given_centers() if given else None
    module = Center(N_FEATURES, N_CLASSES, alpha, start, update=update)
    centers, count = start_of_reference(module)
    for X, y in random_batches(seed=1):
        previous = module.predict().numpy()
        module(X, y)
        reference_step(centers, count, X, y, update, alpha, given=given)
        assert_allclose(module.predict().numpy(), centers, **CLOSE)
        absent = np.setdiff1d(np.arange(N_CLASSES), y.numpy())
        assert len(absent)
        assert_array_equal(module.predict().numpy()[absent], previous[absent])


@pytest.mark.parametrize("update", RULES)
def test_forward_accumulates_duplicates(update):
    """Check that a batch of one class, every row twice, follows the rule."""
    X = torch.from_numpy(np.random.default_rng(2).normal(size=(4, N_FEATURES)))
    X = X.to(torch.float32).repeat(2, 1)
    y = torch.full((8,), 3)
    module = Center(N_FEATURES, N_CLASSES, 0.9, given_centers(), update=update)
    centers, count = start_of_reference(module)
    module(X, y)
    reference_step(centers, count, X, y, update, 0.9, given=True)
    assert_allclose(module.predict().numpy(), centers, **CLOSE)


@pytest.mark.parametrize("update", RULES)
def test_forward_takes_batch_of_one_sample(update):
    """Check that batches of a single sample follow the rule."""
    module = Center(N_FEATURES, N_CLASSES, 0.7, update=update)
    centers, count = start_of_reference(module)
    for X, y in random_batches(seed=3, n_batches=20, n_samples=1):
        module(X, y)
        reference_step(centers, count, X, y, update, 0.7)
    assert_allclose(module.predict().numpy(), centers, **CLOSE)


@pytest.mark.parametrize("method", ["forward", "deviation"])
@pytest.mark.parametrize("update", RULES)
def test_empty_batch_changes_nothing(update, method):
    """Check that an empty batch leaves the whole state bit-unchanged."""
    module = Center(N_FEATURES, N_CLASSES, update=update)
    module(*one_batch())
    before = {key: value.clone() for key, value in module.state_dict().items()}
    out = getattr(module, method)(
        torch.empty(0, N_FEATURES), torch.empty(0, dtype=torch.int64)
    )
    n_rows = N_CLASSES if method == "forward" else 0
    assert out.shape == (n_rows, N_FEATURES)
    assert all(
        torch.equal(before[key], value) for key, value in module.state_dict().items()
    )


@pytest.mark.parametrize("method", ["forward", "deviation"])
@pytest.mark.parametrize("update", RULES)
def test_hundred_thousand_classes(update, method):
    """Check that a step among 100,000 classes moves the touched rows and no other."""
    n_classes, rng = 100_000, np.random.default_rng(4)
    module = Center(N_FEATURES, n_classes, 0.9, update=update)
    start = module.predict().numpy()
    centers, count = start_of_reference(module)
    few = np.append(rng.integers(n_classes, size=30), [0, n_classes - 1])
    for _ in range(3):
        y = rng.choice(few, size=64)
        X = rng.normal(size=(64, N_FEATURES)).astype(np.float32)
        getattr(module, method)(torch.from_numpy(X), torch.from_numpy(y))
        first = "mean" if method == "deviation" else None
        reference_step(centers, count, X, y, update, 0.9, first=first)
    after = module.predict().numpy()
    assert_allclose(after[few], centers[few], **CLOSE)
    untouched = np.setdiff1d(np.arange(n_classes), few)
    assert_array_equal(after[untouched], start[untouched])
    if update != "fixed":
        assert not module.known[torch.from_numpy(untouched)].any()


def test_cumulative_is_the_running_mean():
    """Check that "cumulative" holds the mean of all features seen so far."""
    module = Center(N_FEATURES, N_CLASSES, update="cumulative")
    batches = random_batches(seed=6, n_batches=30)
    for X, y in batches:
        module(X, y)
    X = np.concatenate([X.numpy() for X, _ in batches]).astype(np.float64)
    y = np.concatenate([y.numpy() for _, y in batches])
    means = np.stack([X[y == j].mean(axis=0) for j in range(N_CLASSES)])
    assert_allclose(module.predict().numpy(), means, **CLOSE)


def test_ema_forgets_a_far_start():
    """Check that a start 100 times too far is gone after one batch and ever after."""
    alpha, n_batches = 0.9, 60
    module = Center(
        N_FEATURES, N_CLASSES, alpha, lambda shape: 100 + 100 * glorot_uniform(shape)
    )
    far = module.predict().abs().max().item()
    # Rounding happens at the size of the start, once; later steps only shrink it.
    rounding = 4 * np.finfo(np.float32).eps * far
    rng = np.random.default_rng(7)
    history = []
    for _ in range(n_batches):
        y = np.repeat(np.arange(N_CLASSES), 4)
        X = rng.normal(size=(len(y), N_FEATURES)).astype(np.float32)
        module(torch.from_numpy(X), torch.from_numpy(y))
        history.append(X.astype(np.float64).reshape(N_CLASSES, 4, N_FEATURES).mean(axis=1))
        if len(history) == 1:
            assert_allclose(module.predict().numpy(), history[0], rtol=0, atol=rounding)
    # The closed form of the debiased average, not its recursion.
    weights = alpha ** np.arange(n_batches - 1, -1, -1)
    average = np.tensordot(weights / weights.sum(), np.stack(history), axes=1)
    assert_allclose(module.predict().numpy(), average, rtol=0, atol=rounding)
    assert rounding < 1e-3 * np.abs(average).max()


def test_sum_warns_before_it_diverges():
    """Check that "sum" warns once, with the numbers, and then diverges; "ema" does not."""
    alpha, start = 0.75, given_centers()
    rng = np.random.default_rng(8)

    def batch(n):
        X = rng.normal(size=(n, N_FEATURES)).astype(np.float32)
        return torch.from_numpy(X), torch.full((n,), 2)

    diverging = Center(N_FEATURES, N_CLASSES, alpha, start, "faces", update="sum")
    stable = Center(N_FEATURES, N_CLASSES, alpha, start)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # 8 * (1 - 0.75) is 2, still on the safe side.
        for n in (1, 4, 8):
            diverging(*batch(n))
    with pytest.warns(RuntimeWarning) as record:
        diverging(*batch(9))
    assert len(record) == 1
    message = str(record[0].message)
    for part in ("'faces'", "held 9 ", "9 * (1 - alpha) = 2.25 > 2", f"{1 - 2 / 9:.4g}"):
        assert part in message
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(60):
            X, y = batch(9)
            diverging(X, y)
            stable(X, y)
    assert diverging.predict()[2].norm() > 1e3 * np.linalg.norm(start[2])
    assert stable.predict()[2].norm() < 5 * np.linalg.norm(start[2])


def test_sum_warns_with_the_batch_of_the_tutorial():
    """Check that alpha 0.9 warns with 21 samples of a class, not with 20."""
    module = Center(N_FEATURES, N_CLASSES, 0.9, update="sum")
    X, y = torch.zeros(21, N_FEATURES), torch.zeros(21, dtype=torch.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        module(X[:20], y[:20])
    with pytest.warns(RuntimeWarning, match=r"held 21 .* 2\.1 > 2.*at least 0\.9048"):
        module(X, y)


@pytest.mark.parametrize("kind", ["float64 array", "list", "tensor", "parameter"])
def test_given_centers_take_the_plain_step(kind):
    """Check that the first batch moves given centers by (1 - alpha), undebiased."""
    start = given_centers().astype(np.float32)
    center = {
        "float64 array": start.astype(np.float64),
        "list": start.tolist(),
        "tensor": torch.from_numpy(start.copy()),
        "parameter": torch.nn.Parameter(torch.from_numpy(start.copy())),
    }[kind]
    module = Center(N_FEATURES, N_CLASSES, 0.9, center)
    assert module.known.all()
    X, y = one_batch()
    module(X, y)
    mean = X[y == 0].double().mean(dim=0).numpy()
    assert_allclose(module.predict()[0].numpy(), 0.9 * start[0] + 0.1 * mean, **CLOSE)
    # The caller's own centers must not move along.
    given = center.detach().numpy() if torch.is_tensor(center) else np.asarray(center)
    assert_array_equal(given, start)


def test_callable_centers_are_forgotten():
    """Check that a callable gets (C, D) and that its centers are debiased away."""
    shapes = []

    def initialize(shape):
        shapes.append(tuple(shape))
        return np.full(shape, 0.5)

    module = Center(N_FEATURES, N_CLASSES, 0.9, initialize)
    assert shapes == [(N_CLASSES, N_FEATURES)]
    assert (module.predict() == 0.5).all()
    assert not module.known.any()
    X, y = one_batch()
    module(X, y)
    for j in (0, 1, 4):
        mean = X[y == j].double().mean(dim=0)
        assert_allclose(module.predict()[j].numpy(), mean.numpy(), **CLOSE)


@pytest.mark.parametrize("update", RULES)
def test_forward_returns_the_centers_before(update):
    """Check that forward returns a copy of all centers before the batch, no gradient."""
    module = Center(N_FEATURES, N_CLASSES, update=update)
    X, y = one_batch()
    X.requires_grad_()
    start = module.predict()
    before = module(X, y)
    assert torch.equal(before, start)
    assert before.dtype == torch.float32
    assert not before.requires_grad
    assert not module.center.requires_grad
    after = module.predict()
    assert torch.equal(after, start) == (update == "fixed")
    before.fill_(99.0)
    assert torch.equal(module.predict(), after)


@pytest.mark.parametrize("update", RULES)
def test_predict_returns_a_copy_and_never_updates(update):
    """Check that predict leaves the state alone and that its result is a copy."""
    module = Center(N_FEATURES, N_CLASSES, update=update)
    module(*one_batch())
    state = {key: value.clone() for key, value in module.state_dict().items()}
    for _ in range(3):
        centers = module.predict()
        assert torch.equal(centers, state["center"])
        assert not centers.requires_grad
        centers.zero_()
    assert all(torch.equal(state[key], value) for key, value in module.state_dict().items())


@pytest.mark.parametrize("method", ["forward", "deviation"])
@pytest.mark.parametrize("update", RULES)
def test_eval_freezes(update, method):
    """Check that eval mode freezes the whole state and train mode thaws it."""
    module = Center(N_FEATURES, N_CLASSES, update=update)
    module(*one_batch())
    module.eval()
    state = {key: value.clone() for key, value in module.state_dict().items()}
    for X, y in random_batches(seed=9, n_batches=3):
        getattr(module, method)(X, y)
    assert all(torch.equal(state[key], value) for key, value in module.state_dict().items())
    module.train()
    getattr(module, method)(*one_batch(1))
    assert torch.equal(state["center"], module.predict()) == (update == "fixed")


def test_forward_updates_once():
    """Check that one training batch is one step and counts once."""
    module = Center(1, 2, 0.9, np.zeros((2, 1)))
    module(torch.ones(4, 1), torch.zeros(4, dtype=torch.int64))
    assert_allclose(module.predict().numpy(), [[0.1], [0.0]], rtol=1e-6)
    assert module.count.tolist() == [1, 0]


def test_module_does_not_change_its_input():
    """Check that features and labels are the same after an update."""
    X, y = one_batch()
    X[0] = float("nan")
    X_before, y_before = X.clone(), y.clone()
    module = Center(N_FEATURES, N_CLASSES)
    module(X, y)
    module.deviation(X, y, torch.ones(len(y)))
    assert_array_equal(X.numpy(), X_before.numpy())
    assert torch.equal(y, y_before)


def test_center_is_a_buffer():
    """Check that the centers are a buffer in the state dict and no parameter."""
    module = Center(N_FEATURES, N_CLASSES)
    assert list(module.parameters()) == []
    assert "center" in dict(module.named_buffers())
    assert torch.equal(module.state_dict()["center"], module.predict())
    model = torch.nn.Sequential(torch.nn.Linear(2, N_FEATURES), module)
    assert "1.center" in model.state_dict()
    assert len(list(model.parameters())) == 2


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("method", ["forward", "deviation"])
@pytest.mark.parametrize("update", RULES)
def test_state_dict_continues(update, method, given):
    """Check that a module restored from a saved state dict goes on identically."""
    batches = random_batches(seed=10, n_batches=6, n_samples=6)
    center = given_centers() if given else None
    module = Center(N_FEATURES, N_CLASSES, 0.8, center, update=update)
    for X, y in batches[:3]:
        getattr(module, method)(X, y)
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    restored = Center(N_FEATURES, N_CLASSES, 0.8, update=update)
    restored.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(restored.known, module.known)
    for X, y in batches[3:]:
        expected = getattr(module, method)(X, y)
        assert torch.equal(getattr(restored, method)(X, y), expected)
        assert torch.equal(restored.predict(), module.predict())


def test_pickle_continues():
    """Check that a pickled module goes on identically."""
    batches = random_batches(seed=11)
    module = Center(N_FEATURES, N_CLASSES)
    module(*batches[0])
    restored = pickle.loads(pickle.dumps(module))
    for X, y in batches[1:]:
        module(X, y)
        restored(X, y)
    assert torch.equal(restored.predict(), module.predict())


def test_small_steps_do_not_stall():
    """Check that bfloat16 features move centers by steps that bfloat16 cannot hold."""
    module = Center(1, 1, 0.999, np.ones((1, 1)))
    X = torch.full((1, 1), 1.5, dtype=torch.bfloat16)
    for _ in range(100):
        module(X, torch.zeros(1, dtype=torch.int64))
    assert_allclose(module.predict().item(), 1.5 - 0.5 * 0.999**100, rtol=1e-5)
