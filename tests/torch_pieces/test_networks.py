"""Tests of the default feature extractors and of the dry run that finds D."""

import pickle
import warnings
from copy import deepcopy
from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage
from scipy.stats import kstest
from torch import nn

from sk_center.networks import MLP, CenterModule, ConvNet, RandomAffine
from sk_center.networks.dry_run import find_feature_dim
from sk_center.networks.extractors import Function


@pytest.mark.parametrize("sizes", [(1,), (8,), (16, 4), [16, 8, 3]])
def test_mlp_is_the_formula(sizes):
    """Check that an MLP is dense layers with ReLU between them and none after."""
    torch.manual_seed(0)
    mlp = MLP(5, hidden_layer_sizes=sizes)
    X = torch.randn(7, 5)
    layers = [layer for layer in mlp if isinstance(layer, nn.Linear)]
    assert [layer.out_features for layer in layers] == list(sizes)
    expected = X.double().numpy()
    for i, layer in enumerate(layers):
        if i:
            expected = np.maximum(expected, 0)
        W, b = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
        expected = expected @ W.T + b
    assert mlp(X).shape == (7, sizes[-1])
    assert_allclose(mlp(X).detach(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "sizes", [(), [], (0,), (8, -1), (8.0, 2), np.array([], dtype=int)]
)
def test_sizes_are_validated(sizes):
    """Check that networks need a layer of features, and layers a width."""
    for build in (partial(MLP, 3), partial(ConvNet, (1, 4, 4))):
        with pytest.raises(
            ValueError, match=r"hidden_layer_sizes must hold .* all >= 1; got"
        ):
            build(hidden_layer_sizes=sizes)
    assert len(MLP(3, np.array([8, 2]))) == 3


@pytest.mark.parametrize("build", [lambda: MLP(3), lambda: ConvNet((1, 4, 4))])
def test_features_are_not_rectified(build):
    """Check that features take both signs: a last ReLU would hold clouds in a corner."""
    torch.manual_seed(0)
    network = build()
    shape = (64, 3) if isinstance(network, MLP) else (64, 1, 4, 4)
    features = network(torch.randn(shape))
    assert features.shape == (64, 128)
    assert (features < 0).float().mean() > 0.2
    assert (features > 0).float().mean() > 0.2


@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_dropout_before_the_feature_layer(network):
    """Check that dropout is there when asked for, in training only."""

    def build(dropout):
        torch.manual_seed(0)
        if network == "mlp":
            return MLP(3, hidden_layer_sizes=(64, 4), dropout=dropout)
        return ConvNet((1, 4, 4), (8,), hidden_layer_sizes=(64, 4), dropout=dropout)

    X = torch.randn((5, 3) if network == "mlp" else (5, 1, 4, 4))
    with_dropout, without = build(0.5), build(0.0)
    assert not any(isinstance(m, nn.Dropout) for m in without.modules())
    (dropout,) = (m for m in with_dropout.modules() if isinstance(m, nn.Dropout))
    assert dropout.p == 0.5
    assert not torch.equal(with_dropout(X), with_dropout(X))
    # Dropout adds no weights, so one seed gives both networks the same.
    without.load_state_dict(
        dict(zip(without.state_dict(), with_dropout.state_dict().values()))
    )
    assert torch.equal(with_dropout.eval()(X), without.eval()(X))
    linear = nn.Linear
    dense = [m for m in with_dropout.modules() if isinstance(m, (linear, nn.Dropout))]
    assert [type(m) for m in dense] == [linear, nn.Dropout, linear]


def test_dropout_never_hits_the_input_or_the_features():
    """Check that a single layer has no units before the features to switch off."""
    assert [type(m) for m in MLP(3, hidden_layer_sizes=(4,), dropout=0.5)] == [nn.Linear]


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (3, 2, 2), (1, 3, 5), (1, 8, 8), (3, 28, 20), (2, 1, 40)]
)
def test_conv_net_takes_images_of_every_size(shape):
    """Check that small, narrow and unusual images give features and train."""
    torch.manual_seed(0)
    network = ConvNet(shape, channels=(4, 8), hidden_layer_sizes=(16, 3))
    features = network(torch.randn(6, *shape))
    assert features.shape == (6, 3)
    features.square().sum().backward()
    gradients = [p.grad for p in network.parameters()]
    assert all(g is not None and torch.isfinite(g).all() for g in gradients)


def test_conv_net_needs_no_scaled_pixels():
    """Check that in training raw pixels and scaled ones give the same features."""
    torch.manual_seed(0)
    sizes = {"channels": (4,), "hidden_layer_sizes": (16, 3)}
    network = ConvNet((1, 8, 8), **sizes, augment=None)
    pixels = torch.randint(0, 256, (20, 1, 8, 8)).float()
    raw, scaled = network(pixels), network(pixels / 16 - 5)
    # The first normalization undoes the scale up to its eps of 1e-5.
    assert_allclose(raw.detach(), scaled.detach(), rtol=1e-3, atol=1e-5)


def test_conv_net_first_block_is_the_formula():
    """Check the order of a block, against the functions of torch.nn.functional."""
    torch.manual_seed(0)
    network = ConvNet((2, 4, 6), channels=(3,), hidden_layer_sizes=(2,)).eval()
    X = torch.randn(5, 2, 4, 6)
    state = list(network.children())
    conv = next(m for m in state if isinstance(m, nn.Conv2d))
    dense = next(m for m in network.modules() if isinstance(m, nn.Linear))
    # Fresh running statistics are mean 0 and variance 1: both normalizations divide
    # by sqrt(1 + eps) only.
    shrink = 1 / np.sqrt(1 + 1e-5)
    block = nn.functional.conv2d(X * shrink, conv.weight, padding=1) * shrink
    block = nn.functional.max_pool2d(torch.relu(block), 2)
    expected = nn.functional.linear(block.flatten(1), dense.weight, dense.bias)
    assert_allclose(network(X).detach(), expected.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("size", "n_convolutions"), [(28, 5), (8, 3), (2, 3), (64, 5)])
def test_conv_net_is_deeper_where_places_are_left(size, n_convolutions):
    """Check that later blocks have two convolutions, but not on maps under 3 x 3."""
    network = ConvNet((1, size, size), channels=(2, 2, 2))
    found = [m for m in network if isinstance(m, nn.Conv2d)]
    assert len(found) == n_convolutions


def test_layers_of_a_conv_net():
    """Check that layers are directions of channel means and of the features, in order."""
    torch.manual_seed(0)
    network = ConvNet((2, 12, 12), (3, 4), hidden_layer_sizes=(5,)).eval()
    X, found = torch.randn(6, 2, 12, 12), []
    for module in network:
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(lambda *args: found.append(args[2].mean((2, 3))))
    features, layers = network.with_layers(X)
    assert torch.equal(features, network(X))
    parts = [part.detach().numpy() for part in (*found[:3], features)]
    expected = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in parts]
    expected[-1] *= np.sqrt(2)  # so that features count twice in squared distances
    assert [part.shape[1] for part in parts] == [3, 4, 4, 5]
    assert_allclose(layers.detach(), np.hstack(expected), rtol=1e-5, atol=1e-6)
    module = CenterModule(network, 5, 2)
    logits, *both = module(X, with_logits=False, with_layers=True)
    assert logits is None
    assert all(map(torch.equal, both, (features, layers)))


def test_function_is_called():
    """Check that a function as module has no parameters and is only called."""
    module = Function(lambda X: 2 * X)
    assert list(module.parameters()) == []
    assert torch.equal(module(torch.ones(2, 3)), torch.full((2, 3), 2.0))


def test_center_module_gives_logits_and_features():
    """Check the head on the features, and the centers beside them."""
    torch.manual_seed(0)
    body = nn.Linear(3, 2)
    module = CenterModule(body, 2, 5, alpha=0.5, update="sum", center=np.eye(5, 2))
    X = torch.randn(4, 3)
    logits, features = module(X)
    W, b = module.head.weight, module.head.bias
    assert logits.shape == (4, 5)
    assert torch.equal(features, body(X))
    assert_allclose(logits.detach(), (features @ W.T + b).detach(), rtol=1e-5, atol=1e-6)
    assert_array_equal(module.center.predict(), np.eye(5, 2))
    assert module.center.update == "sum"
    assert module.center.alpha == 0.5
    assert not any("center" in name for name, _ in module.named_parameters())


def test_dry_run_leaves_no_trace():
    """Check that statistics, training flags and the random state stay as they were."""
    torch.manual_seed(0)
    body = nn.Sequential(
        nn.BatchNorm1d(3), nn.Linear(3, 4), nn.Dropout(0.5), nn.BatchNorm1d(4)
    )
    body[0].eval()  # frozen by the user, must still be frozen afterwards
    body[3].momentum = None
    before = {name: value.clone() for name, value in body.state_dict().items()}
    flags = [module.training for module in body.modules()]
    random_state = torch.get_rng_state()
    assert find_feature_dim(body, torch.randn(2, 3, generator=torch.Generator())) == 4
    assert torch.equal(torch.get_rng_state(), random_state)
    assert [module.training for module in body.modules()] == flags
    for name, value in body.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(p.grad is None for p in body.parameters())


def test_dry_run_that_fails_restores_the_flags():
    """Check that an error of a module says what it was given, and leaves the flags."""
    body = nn.Sequential(nn.Dropout(), nn.Linear(3, 4))
    message = r"module cannot take a batch of shape \(2, 7\).*shapes cannot be multiplied"
    with pytest.raises(ValueError, match=message):
        find_feature_dim(body, torch.zeros(2, 7))
    assert all(module.training for module in body.modules())


def test_dry_run_shapes_lazy_layers():
    """Check that lazy layers know their input afterwards."""
    body = nn.Sequential(nn.LazyLinear(6), nn.ReLU(), nn.LazyLinear(2))
    assert find_feature_dim(body, torch.zeros(2, 5)) == 2
    assert body[0].in_features == 5
    assert body(torch.zeros(1, 5)).shape == (1, 2)


@pytest.mark.parametrize(
    ("function", "got"),
    [
        (lambda X: X[:, 0], r"a tensor of shape \(2,\)"),
        (lambda X: X[:, :, None], r"a tensor of shape \(2, 3, 1\)"),
        (lambda X: X[:1], r"a tensor of shape \(1, 3\)"),
        (lambda X: X[:, :0], r"a tensor of shape \(2, 0\)"),
        (lambda X: X.mean(), r"a tensor of shape \(\)"),
        (lambda X: X.long(), r"a tensor of dtype torch\.int64"),
        (lambda X: (X, X), "tuple"),
        (lambda X: {"features": X}, "dict"),
        (lambda X: None, "NoneType"),
    ],
)
def test_dry_run_explains_what_is_wrong(function, got):
    """Check that the error says what is expected and what the module gave."""
    with pytest.raises(ValueError, match=rf"features.*\(2, D\); got {got}"):
        find_feature_dim(Function(function), torch.zeros(2, 3))


def test_distance_head():
    """Check that its logits are minus the distances, with their gradient."""
    torch.manual_seed(0)
    module = CenterModule(nn.Linear(3, 4), 4, 5, head="distance").train()
    X = torch.randn(7, 3)
    logits, features = module(X)
    centers = module.center.predict().double().numpy()
    away = features.detach().double().numpy()[:, None] - centers
    distance = np.linalg.norm(away, axis=2)
    assert_allclose(logits.detach(), -distance, rtol=1e-5)
    # The update of a training step comes between the loss and its gradient.
    module.center.deviation(features, torch.arange(7) % 5)
    (gradient,) = torch.autograd.grad(logits[:, 0].sum(), features)
    assert_allclose(gradient, -away[:, 0] / distance[:, :1], rtol=1e-4, atol=1e-6)
    assert not [name for name, _ in module.named_parameters() if "body" not in name]


def test_cosine_metric():
    """Check that features have length one, and what the head makes of them."""
    torch.manual_seed(0)
    module = CenterModule(nn.Linear(3, 4), 4, 5, metric="cosine")
    X = torch.randn(7, 3)
    logits, features = module(X)
    raw = module.body(X)
    expected = raw / raw.norm(dim=1, keepdim=True)
    assert torch.allclose(features, expected)
    assert torch.allclose(logits, module.head(2 * expected))  # sqrt(4) = 2


def test_background_is_one_more_logit():
    """Check that a background class has a logit and no center."""
    module = CenterModule(nn.Linear(3, 4), 4, 5, background=True)
    assert module(torch.zeros(2, 3))[0].shape == (2, 6)
    assert module.center.center_num == 5


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"head": "round"}, "head must be one of .*'distance'.*; got 'round'"),
        ({"metric": "taxi"}, "metric must be one of .*'cosine'.*; got 'taxi'"),
        ({"precision": "fp8"}, "precision must be one of .*'bf16'.*; got 'fp8'"),
        ({"head": "distance", "background": True}, "'background' takes head='linear'"),
    ],
)
def test_bad_parameters_of_a_center_module_raise(params, message):
    """Check that the errors name the parameter and what it takes."""
    with pytest.raises(ValueError, match=message):
        CenterModule(nn.Linear(3, 4), 4, 5, **params)


def draw_of(module, X):
    """Return what a module makes of X in training, and the random numbers it drew."""
    torch.manual_seed(3)
    changed = module.train()(X)
    torch.manual_seed(3)
    draws = [2 * torch.rand(n, len(X)).numpy() - 1 for n in (1, 1, 1, 2)]
    return changed.numpy(), dict(zip(("rotation", "scale", "shear", "shift"), draws))


def bent(image, pixel_map):
    """Return an image whose pixel (x, y), from the middle, comes from elsewhere."""
    height, width = image.shape
    middle = np.array([height - 1, width - 1]) / 2
    y, x = np.indices(image.shape) - middle[:, None, None]
    x, y = pixel_map(x, y)
    return ndimage.map_coordinates(
        image, [y + middle[0], x + middle[1]], order=1, mode="nearest"
    )


def test_random_affine():
    """Check each change, and all together, against scipy's interpolation."""
    torch.manual_seed(0)
    X = torch.rand(6, 2, 9, 12)
    given = {"shift": 2.5, "rotation": 40.0, "scale": 0.3, "shear": 0.4}
    for names in [*((name,) for name in given), tuple(given)]:
        module = RandomAffine(**{name: given[name] for name in names})
        found, draws = draw_of(module, X)
        for i, image in enumerate(X.numpy()):
            value = {
                name: draws[name][:, i] * (given[name] if name in names else 0)
                for name in draws
            }
            angle = np.deg2rad(value["rotation"][0])
            cos, sin = (f(angle) * (1 + value["scale"][0]) for f in (np.cos, np.sin))

            def pixel_map(x, y, cos=cos, sin=sin, value=value):
                right, down = value["shift"]
                from_x = cos * x + (value["shear"][0] - sin) * y + right
                return from_x, sin * x + cos * y + down

            expected = [bent(channel, pixel_map) for channel in image]
            assert_allclose(found[i], expected, atol=1e-4)
        assert not np.allclose(found, X)


def test_random_affine_draws_evenly():
    """Check that offsets are uniform over the range that is given."""
    torch.manual_seed(0)
    ramp = torch.arange(41.0).expand(2000, 1, 3, 41)
    offsets = RandomAffine(shift=4).train()(ramp)[:, 0, 1, 20] - 20
    assert kstest(offsets.numpy(), "uniform", args=(-4, 8)).pvalue > 1e-3


def test_random_affine_elsewhere_than_in_training():
    """Check that nothing changes outside of training, nor where nothing is asked for."""
    X = torch.rand(3, 1, 5, 5)
    assert RandomAffine(2, 10).eval()(X) is X
    assert RandomAffine().train()(X) is X


@pytest.mark.parametrize("name", ["shift", "rotation", "scale", "shear"])
@pytest.mark.parametrize("bad", [-1, np.nan, np.inf, "2"])
def test_bad_parameters_of_random_affine(name, bad):
    """Check that the errors name the parameter and what it takes."""
    with pytest.raises(ValueError, match=f"{name} must be .*; got {bad!r}"):
        RandomAffine(**{name: bad})


@pytest.mark.parametrize(
    ("shape", "shift"), [((1, 28, 28), 2), ((1, 8, 20), 1), ((3, 96, 96), 8)]
)
def test_images_are_shifted_by_default(shape, shift):
    """Check that the shift is a twelfth of the image, at least a pixel, and can be off."""
    augment = ConvNet(shape, channels=(2,))[0].module
    assert isinstance(augment, RandomAffine)
    assert augment.ranges == {"shift": shift, "rotation": 0, "scale": 0, "shear": 0}
    assert isinstance(ConvNet(shape, channels=(2,), augment=None)[0], nn.BatchNorm2d)
    assert ConvNet(shape, channels=(2,), augment="affine")[0].module.ranges == {
        "shift": shift,
        "rotation": 15,
        "scale": 0.15,
        "shear": 0.15,
    }
    with pytest.raises(ValueError, match=r"augment must be 'shift', .*; got 'flip'"):
        ConvNet(shape, augment="flip")


def test_augmented_conv_net():
    """Check that an augmented network is a plain one when it does not train."""

    class Loud(nn.Module):
        """Adds one, in any mode, as transforms of torchvision do what they do."""

        def forward(self, X):
            return X + 1

    torch.manual_seed(0)
    plain = ConvNet((1, 8, 8), channels=(4,), hidden_layer_sizes=(8, 3))
    torch.manual_seed(0)
    network = ConvNet((1, 8, 8), (4,), hidden_layer_sizes=(8, 3), augment=Loud())
    X = torch.rand(5, 1, 8, 8, requires_grad=True)
    assert torch.equal(network.eval()(X), plain.eval()(X))
    batch_norm = next(part for part in network if isinstance(part, nn.BatchNorm2d))
    network.train()(X).sum().backward()
    assert batch_norm.running_mean > 0.1  # a tenth of what the batches hold
    assert torch.isfinite(X.grad).all()


def test_conv_net_takes_channels_last():
    """Check that the order of memory survives copies, pickles and a state dict."""
    network = ConvNet((2, 8, 8), channels=(4, 4), hidden_layer_sizes=(8, 3))
    twin = ConvNet((2, 8, 8), channels=(4, 4), hidden_layer_sizes=(8, 3))
    twin.load_state_dict(network.state_dict())
    for model in (network, deepcopy(network), pickle.loads(pickle.dumps(network)), twin):
        convolution = [part for part in model if isinstance(part, nn.Conv2d)][1]
        assert convolution.weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("head", ["linear", "distance"])
def test_half_precision(head):
    """Check that only the body computes in bfloat16, and that it does."""
    torch.manual_seed(0)
    seen = []
    body = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3))
    body[0].register_forward_hook(lambda part, X, output: seen.append(output.dtype))
    half = CenterModule(body, 3, 2, head=head, center=np.eye(2, 3), precision="bf16")
    whole = CenterModule(body, 3, 2, head=head, center=np.eye(2, 3))
    if head == "linear":
        whole.head.load_state_dict(half.head.state_dict())
    X = torch.randn(50, 6)
    found, expected = half(X), whole(X)
    assert seen == [torch.bfloat16, torch.float32]
    for one, other in zip(found, expected):
        assert one.dtype == torch.float32
        assert 1e-5 < (one - other).abs().max() < 2**-6 * other.abs().max()
    found[0].sum().backward()
    assert {parameter.grad.dtype for parameter in body.parameters()} == {torch.float32}


@pytest.mark.parametrize("last", [nn.Softmax(dim=1), nn.LogSoftmax(dim=1)])
def test_module_that_ends_in_a_softmax(last):
    """Check that a warning says that features are expected, and Softmax inside is none."""
    body = nn.Sequential(nn.Linear(3, 4), last)
    with pytest.warns(UserWarning, match="module ends in a softmax, and features are"):
        assert find_feature_dim(body, torch.zeros(2, 3)) == 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        find_feature_dim(body.append(nn.Linear(4, 4)), torch.zeros(2, 3))
