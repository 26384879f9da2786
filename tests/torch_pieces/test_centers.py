"""Tests of the moving-average centers, against a float64 reference in numpy."""

import copy
import io
import pickle
import shutil
import warnings
from itertools import product

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

import sk_center.centers.center as center_module
from sk_center import Center
from sk_center.centers.first_centers import glorot_uniform

RULES = ("ema", "sum", "wen", "cumulative", "fixed")
MOVING_RULES = RULES[:-1]
N_CLASSES, N_FEATURES = 7, 5
# float32 against float64: a few roundings of numbers of the size of one.
CLOSE = {"rtol": 1e-5, "atol": 2e-6}


def reference_step(
    centers, count, features, labels, update, alpha, *, given=False, weight=None, first=None
):
    """Move float64 ``centers`` and ``count`` in place by the rule of the design.

    ``first="mean"`` starts a class at its batch mean when it first appears.
    """
    features, labels = np.asarray(features, np.float64), np.asarray(labels)
    weight = np.ones(len(labels)) if weight is None else np.asarray(weight, np.float64)
    if update == "fixed":
        return
    for j in np.unique(labels):
        rows = (labels == j) & np.isfinite(features).all(axis=1)
        n = np.count_nonzero(rows)
        if n == 0:
            continue
        m = np.average(features[rows], axis=0, weights=weight[rows])
        appears = count[j] == 0 and not given
        count[j] += n if update == "cumulative" else 1
        if appears and first == "mean":
            centers[j] = m
        elif update == "ema":
            debias = 1.0 if given else 1 - alpha ** count[j]
            centers[j] += (1 - alpha) / debias * (m - centers[j])
        elif update == "sum":
            centers[j] += (1 - alpha) * n * (m - centers[j])
        elif update == "wen":
            centers[j] += (1 - alpha) * n / (1 + n) * (m - centers[j])
        elif update == "cumulative":
            centers[j] += n / count[j] * (m - centers[j])


def start_of_reference(module):
    """Return the centers of ``module`` in float64 and a zero count of each class."""
    return module.predict().double().numpy(), np.zeros(module.center_num, dtype=int)


def random_batches(seed, n_batches=6, n_samples=12):
    """Return batches in which classes repeat, one at least is absent, means differ."""
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(N_CLASSES, N_FEATURES))
    batches = []
    for i in range(n_batches):
        y = (i + rng.integers(1, N_CLASSES, size=n_samples)) % N_CLASSES
        X = (means[y] + rng.normal(size=(n_samples, N_FEATURES))).astype(np.float32)
        batches.append((torch.from_numpy(X), torch.from_numpy(y)))
    return batches


def one_batch(seed=0):
    """Return a batch with class 0 three times, 1 once, 4 twice, the others absent."""
    rng = np.random.default_rng(seed)
    X = torch.from_numpy(rng.normal(size=(6, N_FEATURES)).astype(np.float32))
    return X, torch.tensor([0, 4, 0, 1, 0, 4])


def given_centers(seed=5):
    """Return an array of centers that a caller could give."""
    return np.random.default_rng(seed).normal(size=(N_CLASSES, N_FEATURES))


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


def test_positional_order_of_the_constructor():
    """Check that feature_dim, center_num, alpha, center, name come in this order."""
    start = np.arange(6.0).reshape(3, 2)
    module = Center(2, 3, 0.5, start, "faces")
    assert (module.feature_dim, module.center_num, module.alpha) == (2, 3, 0.5)
    assert module.name == "faces"
    assert module.update == "ema"
    assert module.predict().dtype == torch.float32
    assert_array_equal(module.predict().numpy(), start)
    with pytest.raises(TypeError):
        Center(2, 3, 0.5, start, "faces", "ema")


def test_defaults_of_the_constructor():
    """Check that alpha is 0.9, the update "ema" and the name None."""
    module = Center(2, 3)
    assert (module.alpha, module.update, module.name) == (0.9, "ema", None)
    assert module.predict().shape == (3, 2)
    assert module.training


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("feature_dim", 0),
        ("feature_dim", -1),
        ("feature_dim", 2.5),
        ("center_num", 0),
        ("alpha", 1.0),
        ("alpha", -0.1),
        ("alpha", float("nan")),
        ("update", "foo"),
        ("update", None),
        ("center", np.zeros((2, 3))),
        ("center", np.zeros(6)),
        ("center", [[0.0, 0.0], [0.0, np.nan], [0.0, 0.0]]),
        ("center", [[0.0, 0.0], [0.0, np.inf], [0.0, 0.0]]),
        ("center", lambda shape: torch.zeros(shape[::-1])),
        ("center", lambda shape: torch.full(shape, float("nan"))),
    ],
)
def test_bad_parameter_raises(parameter, value):
    """Check that a parameter out of its range is an error that names it."""
    parameters = {"feature_dim": 2, "center_num": 3, parameter: value}
    with pytest.raises(ValueError, match=rf"^{parameter}\b"):
        Center(**parameters)


def test_repr_names_the_module():
    """Check that the representation tells the name and the update rule."""
    text = repr(Center(2, 3, name="faces", update="wen"))
    assert "name='faces'" in text
    assert "update='wen'" in text
    assert "feature_dim=2" in text
    assert "center_num=3" in text
    assert "name" not in repr(Center(2, 3))


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


@pytest.mark.parametrize(
    "cast",
    [
        lambda module: module.half(),
        lambda module: module.double(),
        lambda module: module.bfloat16(),
        lambda module: module.to(torch.bfloat16),
        lambda module: torch.nn.Sequential(module).half(),
    ],
)
def test_casting_leaves_centers_float32(cast):
    """Check that casting the module leaves bit-equal float32 centers that still move."""
    module, twin = Center(N_FEATURES, N_CLASSES), Center(N_FEATURES, N_CLASSES)
    twin.load_state_dict(module.state_dict())
    batches = random_batches(seed=12)
    for X, y in batches[:2]:
        module(X, y)
        twin(X, y)
    cast(module)
    assert module.center.dtype == torch.float32
    assert torch.equal(module.center, twin.center)
    assert torch.equal(module.state_dict()["center"], twin.center)
    for X, y in batches[2:]:
        module(X, y)
        twin(X, y)
    assert torch.equal(module.center, twin.center)


@pytest.mark.parametrize("options", [{}, {"dtype": torch.float16}])
def test_centers_move_with_the_device(options):
    """Check that .to(device) moves the centers and keeps them float32."""
    module = Center(N_FEATURES, N_CLASSES).to(device="meta", **options)
    assert module.center.device.type == "meta"
    assert module.center.dtype == torch.float32
    assert all(buffer.device.type == "meta" for buffer in module.buffers())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("update", RULES)
def test_features_of_other_dtypes(update, dtype):
    """Check that features of any floating dtype update float32 centers accurately."""
    module = Center(N_FEATURES, N_CLASSES, 0.9, update=update)
    centers, count = start_of_reference(module)
    for X, y in random_batches(seed=13):
        X = X.to(dtype)
        before = module(X, y)
        assert before.dtype == module.center.dtype == torch.float32
        reference_step(centers, count, X.double(), y, update, 0.9)
    assert_allclose(module.predict().numpy(), centers, **CLOSE)


@pytest.mark.parametrize("method", ["forward", "deviation"])
@pytest.mark.parametrize("update", RULES)
def test_autocast_keeps_float32(update, method):
    """Check that autocast to bfloat16 changes neither the centers nor the result."""
    module, twin = (Center(N_FEATURES, N_CLASSES, update=update) for _ in range(2))
    twin.load_state_dict(module.state_dict())
    for X, y in random_batches(seed=14):
        X = X.to(torch.bfloat16)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = getattr(module, method)(X, y)
        assert out.dtype == module.center.dtype == torch.float32
        assert torch.equal(out, getattr(twin, method)(X, y))
    assert torch.equal(module.predict(), twin.predict())


def test_small_steps_do_not_stall():
    """Check that bfloat16 features move centers by steps that bfloat16 cannot hold."""
    module = Center(1, 1, 0.999, np.ones((1, 1)))
    X = torch.full((1, 1), 1.5, dtype=torch.bfloat16)
    for _ in range(100):
        module(X, torch.zeros(1, dtype=torch.int64))
    assert_allclose(module.predict().item(), 1.5 - 0.5 * 0.999**100, rtol=1e-5)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("method", ["forward", "deviation"])
@pytest.mark.parametrize("update", MOVING_RULES)
def test_non_finite_rows_do_not_count(update, method, bad):
    """Check that a bad row is left out while the others of its class still count."""
    module = Center(N_FEATURES, N_CLASSES, 0.8, update=update)
    centers, count = start_of_reference(module)
    start = module.predict()
    first = "mean" if method == "deviation" else None
    for seed in range(4):
        X, y = one_batch(seed)
        X[0, 2] = bad  # one of three rows of class 0
        X[3] = bad  # the only row of class 1
        getattr(module, method)(X, y)
        reference_step(centers, count, X, y, update, 0.8, first=first)
        assert_allclose(module.predict().numpy(), centers, **CLOSE)
    assert torch.equal(module.predict()[1], start[1])
    assert module.known.tolist() == [True, False, False, False, True, False, False]
    # Class 1 is still to appear: a good row is its first.
    X, y = one_batch(9)
    getattr(module, method)(X, y)
    reference_step(centers, count, X, y, update, 0.8, first=first)
    assert_allclose(module.predict().numpy(), centers, **CLOSE)


@pytest.mark.parametrize("update", MOVING_RULES)
def test_non_finite_row_of_a_known_class(update):
    """Check that a class with bad rows only keeps its center and its count."""
    module = Center(N_FEATURES, N_CLASSES, update=update)
    X, y = one_batch()
    module(X, y)
    state = {key: value.clone() for key, value in module.state_dict().items()}
    module(torch.full_like(X, float("nan")), y)
    assert all(torch.equal(state[key], value) for key, value in module.state_dict().items())


@pytest.mark.parametrize("method", ["forward", "deviation"])
def test_features_too_large_for_float32(method):
    """Check that float64 features beyond float32 leave the centers finite."""
    module = Center(N_FEATURES, N_CLASSES)
    X, y = one_batch()
    X = X.double()
    X[0] = 1e300
    getattr(module, method)(X, y)
    assert torch.isfinite(module.predict()).all()


@pytest.mark.parametrize("method", ["forward", "deviation"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("label", [N_CLASSES, -1, -N_CLASSES, 10**6])
def test_label_out_of_range_raises(label, training, method):
    """Check that a label outside [0, C) is an error that changes nothing."""
    module = Center(N_FEATURES, N_CLASSES).train(training)
    state = {key: value.clone() for key, value in module.state_dict().items()}
    X, y = one_batch()
    y[2] = label
    with pytest.raises(ValueError, match=rf"labels .*\[0, {N_CLASSES}\).*got {label}"):
        getattr(module, method)(X, y)
    assert all(torch.equal(state[key], value) for key, value in module.state_dict().items())


@pytest.mark.parametrize("method", ["forward", "deviation"])
@pytest.mark.parametrize(
    ("spoil", "parameter"),
    [
        (lambda X, y: (X, y.float()), "labels"),
        (lambda X, y: (X, y == 0), "labels"),
        (lambda X, y: (X, y[:, None]), "labels"),
        (lambda X, y: (X, y[:-1]), "labels"),
        (lambda X, y: (X, y[:1]), "labels"),
        (lambda X, y: (X[0], y[0]), "features"),
        (lambda X, y: (X[:, :-1], y), "features"),
        (lambda X, y: (X[:, :1], y), "features"),
        (lambda X, y: (X[:, :, None], y), "features"),
    ],
    ids=[
        "float",
        "bool",
        "column",
        "one short",
        "one label",
        "one sample",
        "one feature short",
        "one feature",
        "3-D",
    ],
)
def test_bad_batch_raises(spoil, parameter, method):
    """Check that labels that are no integers and wrong shapes are named errors."""
    module = Center(N_FEATURES, N_CLASSES)
    state = {key: value.clone() for key, value in module.state_dict().items()}
    with pytest.raises(ValueError, match=rf"^{parameter}\b"):
        getattr(module, method)(*spoil(*one_batch()))
    assert all(torch.equal(state[key], value) for key, value in module.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32])
@pytest.mark.parametrize("method", ["forward", "deviation"])
def test_any_integer_labels(method, dtype):
    """Check that labels of every integer dtype do as int64 labels do."""
    module, twin = Center(N_FEATURES, N_CLASSES), Center(N_FEATURES, N_CLASSES)
    twin.load_state_dict(module.state_dict())
    X, y = one_batch()
    out = getattr(module, method)(X, y.to(dtype))
    assert torch.equal(out, getattr(twin, method)(X, y))
    assert torch.equal(module.predict(), twin.predict())


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


@pytest.mark.parametrize("method", ["forward", "deviation"])
@pytest.mark.parametrize("update", RULES)
def test_compiled_equals_eager(update, method):
    """Check that the compiled module, in one graph, moves as the eager one does."""
    torch.compiler.reset()
    module, twin = (Center(N_FEATURES, N_CLASSES, update=update) for _ in range(2))
    twin.load_state_dict(module.state_dict())
    compiled = torch.compile(getattr(module, method), fullgraph=True, backend="aot_eager")
    batches = random_batches(seed=21, n_batches=3)
    # A batch of another size and a bad row must not leave the graph either.
    batches += random_batches(seed=22, n_batches=2, n_samples=5)
    batches[1][0][2, 1] = float("nan")
    for X, y in batches:
        expected = getattr(twin, method)(X, y)
        assert_allclose(compiled(X, y).numpy(), expected.numpy(), **CLOSE)
        assert_allclose(module.predict().numpy(), twin.predict().numpy(), **CLOSE)
    assert torch.equal(module.count, twin.count)


@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
@pytest.mark.skipif(
    tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13),
    reason="the inductor of torch 2.8 computes something else",
)
def test_compiled_with_inductor_equals_eager():
    """Check that the default backend of torch.compile gives the eager centers."""
    torch.compiler.reset()
    module, twin = Center(N_FEATURES, N_CLASSES), Center(N_FEATURES, N_CLASSES)
    twin.load_state_dict(module.state_dict())
    compiled = torch.compile(module, fullgraph=True)
    for X, y in random_batches(seed=23, n_batches=3):
        before = twin(X, y)
        assert_allclose(compiled(X, y).numpy(), before.numpy(), **CLOSE)
        assert_allclose(module.predict().numpy(), twin.predict().numpy(), **CLOSE)


@pytest.mark.parametrize("label", [-1, N_CLASSES])
def test_compiled_label_out_of_range_raises(label):
    """Check that a compiled module does not take -1 for the last class."""
    torch.compiler.reset()
    module = Center(N_FEATURES, N_CLASSES)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    X, y = one_batch()
    compiled(X, y)
    start = module.predict()
    y[0] = label
    with pytest.raises(RuntimeError, match="labels"):
        compiled(X, y)
    assert torch.equal(module.predict(), start)


@pytest.mark.filterwarnings("ignore:The centers diverge")
@pytest.mark.parametrize("update", RULES)
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_looking_at_values_changes_nothing(update, given, weighted, monkeypatch):
    """Check that the short cuts of a CPU give what a device that must not wait computes."""
    start = torch.randn(N_CLASSES, N_FEATURES) if given else None
    generator = torch.Generator().manual_seed(0)
    out = []
    for hides in (False, True):
        generator.manual_seed(0)
        torch.manual_seed(0)
        monkeypatch.setattr(center_module, "hidden", lambda values, hides=hides: hides)
        # With alpha of 0.5 some classes are past their first batches, and some are not.
        module = Center(N_FEATURES, N_CLASSES, 0.5, start, update=update)
        for step in range(40):
            X = torch.randn(6, N_FEATURES, generator=generator)
            y = torch.randint(N_CLASSES - (step < 30), (6,), generator=generator)
            if step == 20:
                X[1, 2] = torch.inf
            weight = torch.rand(6, generator=generator).round() if weighted else None
            deviation, total = module.pull(X, y, weight)
        out.append([module.center, module.count, deviation, total])
    for looked, hidden in zip(*out):
        assert_allclose(looked, hidden, rtol=1e-6)


def test_weights_with_a_gradient_stay_outside():
    """Check that the centers carry no graph, whatever the weights do."""
    module = Center(2, 3)
    weight = torch.ones(4, requires_grad=True)
    module.deviation(torch.randn(4, 2), torch.tensor([0, 1, 1, 2]), weight)
    assert not module.center.requires_grad
    copy.deepcopy(module)


# Arguments of other kinds


@pytest.mark.parametrize("dtype", [torch.complex64, torch.bool, torch.float32])
def test_labels_are_integers(dtype):
    """Check that complex, boolean and floating labels are refused."""
    with pytest.raises(ValueError, match="labels must be integers; got dtype torch"):
        Center(2, 3)(torch.zeros(2, 2), torch.zeros(2, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.complex64, torch.int64])
def test_features_are_real_floats(dtype):
    """Check that complex features, whose imaginary part would be lost, are refused."""
    with pytest.raises(ValueError, match="features must be real floats; got dtype torch"):
        Center(2, 3)(torch.zeros(2, 2, dtype=dtype), torch.tensor([0, 1]))


@pytest.mark.parametrize("update", ["ema", "sum", "wen", "cumulative"])
def test_buffers_stay_where_they_are(update):
    """Check that updates write in place, as graphs that replay addresses of memory ask."""
    center = Center(3, 4, update=update, alpha=0.9)
    places = {name: buffer.data_ptr() for name, buffer in center.named_buffers()}
    for weight in (None, torch.rand(6)):
        center.deviation(torch.randn(6, 3), torch.tensor([0, 1, 1, 2, 2, 2]), weight)
        center(torch.randn(6, 3), torch.tensor([0, 1, 1, 2, 2, 2]))
    assert {name: buffer.data_ptr() for name, buffer in center.named_buffers()} == places
