"""What a Center takes: parameters, features, labels, devices."""

import numpy as np
import pytest
import torch
from center_cases import (
    CLOSE,
    MOVING_RULES,
    N_CLASSES,
    N_FEATURES,
    RULES,
    one_batch,
    random_batches,
    reference_step,
    start_of_reference,
)
from numpy.testing import assert_allclose, assert_array_equal

from sk_center import Center


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
