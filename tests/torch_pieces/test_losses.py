"""Tests of the center loss, against its formula in numpy float64."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import log_softmax
from torch.utils._python_dispatch import TorchDispatchMode

from sk_center import Center
from sk_center.losses import (
    center_loss,
    norm_penalty,
    objectosphere_loss,
    uniform_cross_entropy,
)

N_CLASSES, N_FEATURES, N_SAMPLES = 5, 4, 9
RULES = ("ema", "sum", "wen", "cumulative", "fixed")
# float32 against float64: a few roundings of numbers of the size of one.
CLOSE = {"rtol": 1e-5, "atol": 1e-6}


def reference_loss(features, labels, centers, weight=None):
    """Return 1/2 mean_B(w sum_D (f - c_y)^2) and its gradient, in float64."""
    features, centers = np.asarray(features, np.float64), np.asarray(centers, np.float64)
    weight = np.ones(len(labels)) if weight is None else np.asarray(weight, np.float64)
    deviation = features - centers[np.asarray(labels)]
    loss = np.mean(weight * np.sum(deviation**2, axis=1)) / 2
    return loss, weight[:, None] * deviation / len(labels)


def random_problem(seed=0, dtype=torch.float32):
    """Return features that require a gradient, labels, centers and weights."""
    rng = np.random.default_rng(seed)
    features = torch.from_numpy(rng.normal(size=(N_SAMPLES, N_FEATURES))).to(dtype)
    labels = torch.from_numpy(rng.integers(N_CLASSES, size=N_SAMPLES))
    centers = torch.from_numpy(rng.normal(size=(N_CLASSES, N_FEATURES)))
    weight = torch.from_numpy(rng.uniform(0, 2, size=N_SAMPLES))
    return features.requires_grad_(), labels, centers.float(), weight.float()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["tensor", "Center"])
def test_value_and_gradient_follow_the_formula(kind, dtype, weighted):
    """Check the loss and its gradient against the formula in float64."""
    X, y, centers, weight = random_problem(dtype=dtype)
    weight = weight if weighted else None
    target = centers if kind == "tensor" else Center(N_FEATURES, N_CLASSES, center=centers)
    loss = center_loss(X, y, target, weight)
    loss.backward()
    value, gradient = reference_loss(X.detach(), y, centers, weight)
    assert loss.shape == ()
    assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert_allclose(loss.item(), value, rtol=1e-6)
    assert X.grad.dtype == dtype
    close = {"rtol": 1e-3, "atol": 1e-7} if dtype == torch.float16 else CLOSE
    assert_allclose(X.grad.double().numpy(), gradient, **close)


def test_value_of_a_worked_example():
    """Check the reduction on numbers: half, mean over samples, sum over features."""
    X = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    # Squared deviations sum to 25 and 2; half their mean is 6.75.
    loss = center_loss(X, torch.tensor([0, 1]), torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
    assert loss.item() == 6.75


def test_gradient_is_scaled_by_what_follows():
    """Check that the chain rule passes through the loss, as lambda does."""
    X, y, centers, weight = random_problem()
    (0.25 * center_loss(2 * X, y, centers, weight) ** 2).backward()
    value, gradient = reference_loss(2 * X.detach(), y, centers, weight)
    assert_allclose(X.grad.numpy(), 0.5 * value * gradient * 2, **CLOSE)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["tensor", "Center"])
def test_gradcheck(kind, weighted):
    """Check the gradient against finite differences in float64."""
    X, y, centers, weight = random_problem(dtype=torch.float64)
    weight = weight if weighted else None
    if kind == "Center":
        # In eval mode: finite differences need the same centers at every call.
        centers = Center(N_FEATURES, N_CLASSES, center=centers).eval()
    else:
        centers = centers.double()
    assert torch.autograd.gradcheck(lambda X: center_loss(X, y, centers, weight), X)


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64])
@pytest.mark.parametrize("kind", ["tensor", "Center"])
def test_weights_of_another_dtype(kind, dtype):
    """Check that weights of another dtype do not change the dtype of the loss."""
    X, y, centers, weight = random_problem()
    weight = weight.mul(4).to(dtype)
    target = centers if kind == "tensor" else Center(N_FEATURES, N_CLASSES, center=centers)
    loss = center_loss(X, y, target, weight)
    loss.backward()
    value, gradient = reference_loss(X.detach(), y, centers, weight)
    assert loss.dtype == torch.float32
    assert_allclose(loss.item(), value, rtol=1e-6)
    assert_allclose(X.grad.numpy(), gradient, **CLOSE)


@pytest.mark.parametrize("update", RULES)
def test_center_in_eval_mode(update):
    """Check that a frozen Center gives the loss and does not move."""
    X, y, centers, _ = random_problem()
    module = Center(N_FEATURES, N_CLASSES, center=centers, update=update).eval()
    loss = center_loss(X, y, module)
    loss.backward()
    value, gradient = reference_loss(X.detach(), y, centers)
    assert_allclose(loss.item(), value, rtol=1e-6)
    assert_allclose(X.grad.numpy(), gradient, **CLOSE)
    assert torch.equal(module.predict(), centers)
    assert not module.count.any()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("update", RULES)
def test_center_in_training_mode(update, weighted):
    """Check that the loss takes the centers before the update, which happens once."""
    X, y, centers, weight = random_problem()
    weight = weight if weighted else None
    module, twin = (
        Center(N_FEATURES, N_CLASSES, 0.8, centers, update=update) for _ in range(2)
    )
    loss = center_loss(X, y, module, weight)
    value, gradient = reference_loss(X.detach(), y, centers, weight)
    assert_allclose(loss.item(), value, rtol=1e-6)
    moved = module.predict()
    loss.backward()
    assert_allclose(X.grad.numpy(), gradient, **CLOSE)
    twin.deviation(X, y, weight)
    assert torch.equal(moved, twin.predict())
    # The backward pass must not be a second update.
    assert torch.equal(module.predict(), moved)
    assert torch.equal(module.predict(), centers) == (update == "fixed")


def test_ema_of_the_loss_is_one_plain_step():
    """Check the one update in training mode against the ema rule in numpy."""
    X, y, centers, weight = random_problem()
    module = Center(N_FEATURES, N_CLASSES, 0.8, centers)
    center_loss(X, y, module, weight)
    expected = centers.double().numpy()
    features = X.detach().double().numpy()
    for j in np.unique(y):
        rows = y.numpy() == j
        mean = np.average(features[rows], axis=0, weights=weight.double().numpy()[rows])
        expected[j] = 0.8 * expected[j] + 0.2 * mean
    assert_allclose(module.predict().numpy(), expected, **CLOSE)


def test_backward_after_later_updates():
    """Check that a loss keeps the gradient of its own centers when they move on."""
    X, y, centers, _ = random_problem()
    module = Center(N_FEATURES, N_CLASSES, center=centers)
    first = center_loss(X, y, module)
    between = module.predict()
    second = center_loss(X, y, module)
    (first + second).backward()
    gradient = sum(reference_loss(X.detach(), y, c)[1] for c in (centers, between))
    assert_allclose(X.grad.numpy(), gradient, **CLOSE)


def test_random_start_does_not_pull():
    """Check that classes at their first appearance have no loss and no gradient."""
    X, y, _, _ = random_problem()
    module = Center(N_FEATURES, N_CLASSES)
    seen = y == y[0]
    center_loss(X[seen], y[seen], module)
    start = module.predict()
    loss = center_loss(X, y, module)
    loss.backward()
    value, gradient = reference_loss(X.detach(), y, start, seen)
    assert_allclose(loss.item(), value, rtol=1e-6)
    assert_allclose(X.grad.numpy(), gradient, **CLOSE)
    assert_array_equal(X.grad[~seen].numpy(), 0)


@pytest.mark.parametrize("kind", ["tensor", "train", "eval"])
def test_empty_batch(kind):
    """Check that an empty batch has zero loss and an empty gradient."""
    centers = torch.ones(N_CLASSES, N_FEATURES)
    if kind != "tensor":
        module = Center(N_FEATURES, N_CLASSES, center=centers)
        centers = module.train(kind == "train")
    X = torch.empty(0, N_FEATURES, requires_grad=True)
    loss = center_loss(X, torch.empty(0, dtype=torch.int64), centers, torch.empty(0))
    loss.backward()
    assert loss.item() == 0
    assert X.grad.shape == (0, N_FEATURES)


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("kind", ["tensor", "Center"])
def test_bfloat16_features(kind, autocast):
    """Check that bfloat16 features get bfloat16 gradients from a float32 loss."""
    X, y, centers, weight = random_problem(dtype=torch.bfloat16)
    target = centers if kind == "tensor" else Center(N_FEATURES, N_CLASSES, center=centers)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        loss = center_loss(X, y, target, weight)
    loss.backward()
    value, gradient = reference_loss(X.detach().float(), y, centers, weight)
    assert loss.dtype == torch.float32
    assert_allclose(loss.item(), value, rtol=1e-6)
    assert X.grad.dtype == torch.bfloat16
    # One rounding to the 8 significant bits of bfloat16.
    assert_allclose(X.grad.double().numpy(), gradient, rtol=2**-8)


@pytest.mark.parametrize("kind", ["tensor", "Center"])
def test_zero_weight_samples_get_no_gradient(kind):
    """Check that samples of zero weight neither count nor get a gradient."""
    X, y, centers, _ = random_problem()
    weight = torch.ones(N_SAMPLES)
    weight[::2] = 0
    target = centers if kind == "tensor" else Center(N_FEATURES, N_CLASSES, center=centers)
    loss = center_loss(X, y, target, weight)
    loss.backward()
    assert_allclose(
        loss.item(), reference_loss(X.detach(), y, centers, weight)[0], rtol=1e-6
    )
    assert (X.grad[::2] == 0).all()
    assert (X.grad[1::2] != 0).all()


def test_centers_get_no_gradient():
    """Check that centers that ask for a gradient get none."""
    X, y, centers, weight = random_problem()
    centers.requires_grad_()
    weight.requires_grad_()
    center_loss(X, y, centers, weight).backward()
    assert centers.grad is None
    assert weight.grad is None
    module = Center(N_FEATURES, N_CLASSES)
    center_loss(X, y, module)
    assert not module.center.requires_grad


@pytest.mark.parametrize("kind", ["tensor", "Center"])
@pytest.mark.parametrize("label", [-1, N_CLASSES])
def test_label_out_of_range_raises(label, kind):
    """Check that a label outside the classes of the centers is a ValueError."""
    X, y, centers, _ = random_problem()
    y[3] = label
    target = centers if kind == "tensor" else Center(N_FEATURES, N_CLASSES, center=centers)
    with pytest.raises(ValueError, match="labels"):
        center_loss(X, y, target)


@pytest.mark.parametrize("kind", ["tensor", "Center"])
@pytest.mark.parametrize(
    ("spoil", "parameter"),
    [
        (lambda X, y, weight: (X, y[:1], weight), "labels"),
        (lambda X, y, weight: (X, y.float(), weight), "labels"),
        (lambda X, y, weight: (X[:, :1], y, weight), "features"),
        (lambda X, y, weight: (X, y, weight[:1]), "sample_weight"),
        (lambda X, y, weight: (X, y, weight[:, None]), "sample_weight"),
    ],
    ids=["one label", "float labels", "one feature", "one weight", "column of weights"],
)
def test_shapes_that_do_not_match_raise(spoil, parameter, kind):
    """Check that shapes that only broadcast are an error that names the parameter."""
    X, y, centers, weight = random_problem()
    target = centers if kind == "tensor" else Center(N_FEATURES, N_CLASSES, center=centers)
    X, y, weight = spoil(X, y, weight)
    with pytest.raises(ValueError, match=rf"^{parameter}\b"):
        center_loss(X, y, target, weight)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
@pytest.mark.parametrize("kind", ["tensor", "Center"])
def test_any_integer_labels(kind, dtype):
    """Check that labels of every integer dtype do as int64 labels do."""
    X, y, centers, _ = random_problem()
    target = centers if kind == "tensor" else Center(N_FEATURES, N_CLASSES, center=centers)
    loss = center_loss(X, y.to(dtype), target)
    assert_allclose(loss.item(), reference_loss(X.detach(), y, centers)[0], rtol=1e-6)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_non_finite_features(bad):
    """Check that bad features show in the loss but never reach the Center."""
    X, y, centers, _ = random_problem()
    X = X.detach()
    X[2, 1] = bad
    module = Center(N_FEATURES, N_CLASSES, center=centers)
    loss = center_loss(X.requires_grad_(), y, module)
    assert not torch.isfinite(loss)
    assert torch.isfinite(module.predict()).all()
    assert not torch.equal(module.predict(), centers)
    assert not torch.isfinite(center_loss(X, y, centers))


def test_training_step_pulls_features_to_their_centers():
    """Check that gradient descent of step B puts each feature onto its center."""
    X, y, centers, _ = random_problem()
    center_loss(X, y, centers).backward()
    moved = X.detach() - N_SAMPLES * X.grad
    assert_allclose(moved.numpy(), centers[y].numpy(), **CLOSE)


def test_compiled_equals_eager():
    """Check that the compiled loss, in one graph, equals the eager one."""
    torch.compiler.reset()
    module, twin = Center(N_FEATURES, N_CLASSES), Center(N_FEATURES, N_CLASSES)
    twin.load_state_dict(module.state_dict())
    compiled = torch.compile(center_loss, fullgraph=True, backend="aot_eager")
    for seed in range(4):
        X, y, _, weight = random_problem(seed)
        X_twin = X.detach().clone().requires_grad_()
        loss, expected = (
            compiled(X, y, module, weight),
            center_loss(X_twin, y, twin, weight),
        )
        loss.backward()
        expected.backward()
        assert_allclose(loss.item(), expected.item(), rtol=1e-5)
        assert_allclose(X.grad.numpy(), X_twin.grad.numpy(), **CLOSE)
        assert_allclose(module.predict().numpy(), twin.predict().numpy(), **CLOSE)


def test_compiled_label_out_of_range_raises():
    """Check that a compiled loss does not take -1 for the last class."""
    torch.compiler.reset()
    X, y, centers, _ = random_problem()
    module = Center(N_FEATURES, N_CLASSES, center=centers)
    compiled = torch.compile(center_loss, fullgraph=True, backend="aot_eager")
    compiled(X, y, module)
    y[0] = -1
    with pytest.raises(RuntimeError, match="labels"):
        compiled(X, y, module)


def test_uniform_cross_entropy_follows_the_formula():
    """Check it against scipy's softmax, and that nothing beats equal logits."""
    logits = torch.from_numpy(np.random.default_rng(0).normal(size=(20, 6)) * 5)
    found = uniform_cross_entropy(logits)
    assert_allclose(found, -log_softmax(logits.numpy(), axis=1).mean(axis=1), rtol=1e-9)
    assert (found > np.log(6)).all()
    equal = torch.full((2, 6), 3.0, requires_grad=True)
    loss = uniform_cross_entropy(equal)
    assert_allclose(loss.detach(), np.log(6), rtol=1e-6)
    loss.sum().backward()
    assert_allclose(equal.grad, 0, atol=1e-6)


def test_objectosphere_follows_the_formula():
    """Check both terms and their gradients, also of features that are zero."""
    rng = np.random.default_rng(0)
    features = torch.from_numpy(rng.normal(size=(9, 4)) * np.arange(9)[:, None])
    known = torch.tensor([True, False, True] * 3)
    features.requires_grad_()
    found = objectosphere_loss(features, known, min_norm=5.0)
    f, k = features.detach().numpy(), known.numpy()
    norm = np.linalg.norm(f, axis=1)
    assert (norm > 5).any()
    expected = np.where(k, np.maximum(5 - norm, 0) ** 2, norm**2)
    assert_allclose(found.detach(), expected, rtol=1e-9)
    found.sum().backward()
    with np.errstate(invalid="ignore"):
        direction = np.nan_to_num(f / norm[:, None])
    slope = np.where(k, -2 * np.maximum(5 - norm, 0), 2 * norm)
    assert_allclose(features.grad, slope[:, None] * direction, rtol=1e-9)


def test_norm_penalty_is_center_loss_around_zero():
    """Check value and gradient, with weights and without."""
    X, y, _, weight = random_problem()
    for w in (None, weight):
        origin = torch.zeros(N_CLASSES, N_FEATURES)
        expected = center_loss(X, y, origin, w)
        (gradient,) = torch.autograd.grad(expected, X)
        found = norm_penalty(X, w)
        assert_allclose(found.item(), expected.item(), rtol=1e-6)
        assert_allclose(torch.autograd.grad(found, X)[0], gradient, rtol=1e-6)


class Sizes(TorchDispatchMode):
    """Note the sizes of what operations return, but for what was there before."""

    def __init__(self, *known):
        super().__init__()
        self.known = {tensor.data_ptr() for tensor in known}
        self.sizes = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for part in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(part, torch.Tensor) and part.data_ptr() not in self.known:
                self.sizes.append(part.numel())
        return out


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("update", ["ema", "sum", "wen", "cumulative", "fixed"])
def test_a_step_touches_the_rows_of_the_batch(update, weighted):
    """Check that nothing of the size of all centers, or of all classes, is made."""
    n_samples, feature_dim, n_classes = 6, 4, 1000
    center = Center(feature_dim, n_classes, update=update)
    weight = torch.rand(n_samples) if weighted else None
    for _ in range(3):
        features = torch.randn(n_samples, feature_dim, requires_grad=True)
        labels = torch.randint(n_classes, (n_samples,))
        with Sizes(*center.buffers()) as made:
            center_loss(features, labels, center, weight).backward()
        assert 0 < max(made.sizes) <= n_samples * feature_dim
    with Sizes(*center.buffers()) as made:  # that the check sees what it looks for
        center(features, labels)
    assert max(made.sizes) == n_classes * feature_dim


# Arguments that are no numbers of a tensor


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("update", ["ema", "sum", "wen", "cumulative", "fixed"])
def test_center_loss_of_nan_features_is_nan(update, training):
    """Check that a class that appears for the first time does not hide NaN either."""
    centers = Center(2, 3, update=update).train(training)
    features = torch.tensor([[np.nan, 1.0], [0.0, 1.0]], requires_grad=True)
    loss = center_loss(features, torch.tensor([0, 1]), centers)
    assert loss.isnan()
    loss.backward()
    assert features.grad[0].isnan().any()
    assert features.grad[1].isfinite().all()
    assert centers.predict().isfinite().all()


@pytest.mark.parametrize("value", [np.zeros((2, 2)), [[0.0, 1.0], [1.0, 0.0]], None])
def test_losses_take_tensors_alone(value):
    """Check that the error names the argument that is an array, a list or None."""
    features, labels = torch.zeros(2, 2), torch.tensor([0, 1])
    got = f"must be a torch tensor; got {type(value).__name__}"
    with pytest.raises(TypeError, match=f"features {got}"):
        center_loss(value, labels, Center(2, 2))
    with pytest.raises(TypeError, match=f"labels {got}"):
        center_loss(features, value, Center(2, 2))
    with pytest.raises(TypeError, match=f"centers {got}"):
        center_loss(features, labels, value)
    with pytest.raises(TypeError, match=f"logits {got}"):
        uniform_cross_entropy(value)
    with pytest.raises(TypeError, match=f"features {got}"):
        objectosphere_loss(value, labels > 0)
    with pytest.raises(TypeError, match=f"known {got}"):
        objectosphere_loss(features, value)
    with pytest.raises(TypeError, match=f"features {got}"):
        norm_penalty(value)
    if value is not None:
        with pytest.raises(TypeError, match=f"sample_weight {got}"):
            norm_penalty(features, value)
