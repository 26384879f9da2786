"""What no sane program does, and every long-lived one meets: each works or says why not."""

import re

import numpy as np
import pytest
import torch
from fault_cases import (
    N_SAMPLES,
    RULES,
    SAYS_WHAT_TO_DO,
    SCORE_NAMES,
    SCORES_AND_CALIBRATIONS,
    X,
    assert_same_state,
    assert_sane,
    many_X,
    many_y,
    small,
    state_of,
    y,
)
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from sk_center import Center, CenterLossNet, OpenSetClassifier
from sk_center.losses import center_loss
from sk_center.networks import ConvNet, RandomAffine


@pytest.fixture
def default_dtype(request):
    """Set torch's default dtype for a test."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(request.param)
    yield request.param
    torch.set_default_dtype(before)


@pytest.mark.parametrize(
    ("default_dtype", "params"),
    [
        (torch.float64, {}),
        (torch.float16, {}),
        (torch.float64, {"module": torch.nn.Linear(4, 2)}),
        (torch.bfloat16, {"module": torch.nn.Linear(4, 2)}),
        (torch.float16, {"module": torch.nn.LazyLinear, "module__out_features": 2}),
        (torch.bfloat16, {"head": "distance"}),
        (torch.float64, {"center": "simplex", "center_update": "fixed"}),
        (torch.float16, {"precision": "bf16"}),
    ],
    indirect=["default_dtype"],
)
def test_default_dtype(default_dtype, params):
    """Check that training is in float32 whatever torch's default dtype is."""
    model = small(max_epochs=40, lr=0.05, **params).fit(X, y)
    model.partial_fit(X, y, sample_weight=np.ones(N_SAMPLES))
    assert {p.dtype for p in model.module_.parameters()} == {torch.float32}
    assert model.module_.center.center.dtype == torch.float32
    assert model.transform(X).dtype == np.float32
    assert model.score(X, y) > 0.8
    assert torch.get_default_dtype() == default_dtype


@pytest.mark.parametrize("default_dtype", [torch.float64], indirect=True)
def test_default_dtype_of_images(default_dtype):
    """Check that images, and what changes them, are float32 under another default."""
    images = np.random.default_rng(0).integers(0, 256, (30, 1, 8, 8), dtype=np.uint8)
    augmented = {"module": ConvNet, "module__image_shape": (1, 8, 8)}
    augmented["module__augment"] = RandomAffine(shift=1, rotation=10)
    for params in ({}, augmented):
        model = small(**params).fit(images, y[:30])
        assert model.transform(images).dtype == np.float32


@pytest.mark.parametrize("default_dtype", [torch.float64], indirect=True)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_default_dtype_of_a_net(default_dtype, dtype):
    """Check that a net computes in the dtype of its samples under another default."""
    params = {"module__in_features": 4, "module__out_features": 2, "max_epochs": 2}
    net = CenterLossNet(torch.nn.Linear, **params, dataset__dtype=None)
    net.fit(torch.from_numpy(X).to(dtype), y)
    assert net.module_.body.weight.dtype == dtype
    assert net.module_.head.weight.dtype == torch.float32


@pytest.mark.parametrize("default_dtype", [torch.float64, torch.float16], indirect=True)
@pytest.mark.parametrize("update", RULES)
def test_default_dtype_of_centers(default_dtype, update):
    """Check that centers are float32 and move alike under another default."""
    features = torch.from_numpy(X[:, :2])
    labels = torch.from_numpy(y)
    center = Center(2, 3, center=[[0, 0], [1, 1], [2, 2]], update=update, alpha=0.95)
    center_loss(features, labels, center)
    center(features, labels)
    torch.set_default_dtype(torch.float32)
    expected = Center(2, 3, center=[[0, 0], [1, 1], [2, 2]], update=update, alpha=0.95)
    center_loss(features, labels, expected)
    expected(features, labels)
    assert_array_equal(center.predict(), expected.predict())
    assert Center(2, 3).predict().dtype == torch.float32


@pytest.mark.parametrize("scale", [1e15, 1e18])
def test_large_inputs(scale):
    """Check that inputs work as long as float32 holds the squares of distances."""
    assert_sane(small().fit(X * np.float32(scale), y), X * np.float32(scale))


@pytest.mark.parametrize(
    ("params", "scale", "dtype"),
    [
        ({}, 1e20, np.float32),
        ({}, 1e25, np.float64),
        ({}, 1e37, np.float32),
        ({"precision": "bf16"}, 1e37, np.float32),
        ({"head": "distance"}, 1e20, np.float32),
        ({"lambda_center": 0}, 1e25, np.float64),
        ({"predict_with": "softmax"}, 1e20, np.float32),
        ({"center_update": "cumulative", "batch_size": 8}, 1e37, np.float32),
    ],
)
def test_inputs_whose_squares_overflow(params, scale, dtype):
    """Check that inputs too large for distances are an error that says to scale them."""
    # The default network would bring them to a scale of its own.
    model = small(warm_start=True, module__standardize=False, **params).fit(X, y)
    before = state_of(model)
    for train in (clone(model).fit, model.fit, model.partial_fit):
        with pytest.raises(ValueError, match=SAYS_WHAT_TO_DO):
            train(X.astype(dtype) * dtype(scale), y)
    assert_same_state(model, before)
    assert_sane(model.partial_fit(X, y), X)


def test_first_part_of_a_stream_whose_squares_overflow():
    """Check that a stream that begins with large features fails and then can begin."""
    model = small(module__standardize=False)
    with pytest.raises(ValueError, match=SAYS_WHAT_TO_DO):
        model.partial_fit(X * np.float32(1e30), y, classes=[0, 1, 2])
    assert not hasattr(model, "net_")
    assert_sane(model.partial_fit(X, y, classes=[0, 1, 2]), X)


def test_part_of_a_stream_with_negatives_only():
    """Check that parts of a stream may hold no sample of a class, the first one too."""
    model = small(negative_label=-1)
    negatives = np.full(N_SAMPLES, -1)
    model.partial_fit(X, negatives, classes=[0, 1, 2])
    assert np.isinf(model.centers_).all()
    assert_allclose(model.predict_proba(X), 1 / 3, rtol=1e-6)
    model.partial_fit(X, y)
    tau, centers = model.tau_, model.centers_
    model.partial_fit(X, negatives)
    assert model.tau_ == tau
    assert_array_equal(model.centers_, centers)
    assert_sane(model, X)


class Cube(torch.nn.Module):
    """A linear layer to the power of three: finite samples have infinite features."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 2)

    def forward(self, X):
        """Return the features."""
        return self.linear(X) ** 3


# Squares overflow, then features themselves, then their sums in the head.
FAR = np.array(
    [[1e12] * 4, [1e20] * 4, [1e20, -1e20, 1e10, -3e30], [3e38, -3e38, 3e38, -3e38]],
    dtype=np.float32,
)


@pytest.mark.parametrize("module", ["auto", Cube])
@pytest.mark.parametrize("predict_with", ["center", "softmax"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_features_overflow_at_prediction(n_classes, predict_with, module):
    """Check that samples beyond all numbers get probabilities, and spoil no other's."""
    model = small(module=module, predict_with=predict_with).fit(X, y % n_classes)
    both = np.concatenate([FAR, X])
    probabilities = model.predict_proba(both)
    assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    # Small and large batches go ways of their own to the nearest center.
    for repeats in (1, 40):
        predicted = model.predict(np.tile(both, (repeats, 1)))
        assert_array_equal(predicted, np.tile(probabilities.argmax(axis=1), repeats))
    decision = model.decision_function(both)
    assert not np.isnan(decision).any()
    if n_classes == 2:
        assert_array_equal(decision > 0, probabilities.argmax(axis=1) == 1)
    assert not np.isnan(model.center_distances(both)).any()
    assert_array_equal(model.center_distances(both)[len(FAR) :], model.center_distances(X))


@pytest.mark.filterwarnings("ignore:Hardly any outsider|Samples far from all")
@pytest.mark.filterwarnings("ignore:No sample will ever be rejected")
@pytest.mark.filterwarnings("ignore:invalid value encountered in reduce")  # scikit-learn's
@pytest.mark.parametrize(("score", "calibration"), SCORES_AND_CALIBRATIONS)
def test_features_overflow_at_rejection(score, calibration):
    """Check that samples whose features overflow are outsiders and spoil no other's."""
    model = OpenSetClassifier(
        small(module=Cube),
        conformity_score=score,
        calibration=calibration,
        random_state=0,
        cv=0.2,
    )
    model.fit(many_X, many_y)
    far, near = FAR[1:].astype(np.float64), many_X[:50]
    both = np.concatenate([far, near])
    assert_array_equal(model.p_values(both)[len(far) :], model.p_values(near))
    assert_array_equal(model.predict(both)[len(far) :], model.predict(near))
    if score != "max_softmax":  # of which no class is sure of these, nor needs to be
        assert model.is_outlier(both)[: len(far)].all()
        assert_array_equal(model.predict(far), [-1] * len(far))


@pytest.mark.filterwarnings("ignore:Hardly any outsider|Samples far from all")
@pytest.mark.filterwarnings("ignore:No sample will ever be rejected")
@pytest.mark.parametrize("score", SCORE_NAMES)
def test_nan_at_rejection(score):
    """Check that samples that are not finite themselves are still an error."""
    model = OpenSetClassifier(small(), conformity_score=score, cv=0.3, random_state=0).fit(
        many_X, many_y
    )
    with pytest.raises(ValueError, match="NaN"):
        model.predict(np.full((2, 4), np.nan))


@pytest.mark.filterwarnings("ignore:Samples far from all")
@pytest.mark.filterwarnings("ignore:No sample will ever be rejected")
@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning:sklearn")
@pytest.mark.parametrize(("score", "calibration"), SCORES_AND_CALIBRATIONS)
def test_far_samples_of_a_linear_model(score, calibration):
    """Check that huge samples get p-values whatever scores make of them, silently."""
    model = OpenSetClassifier(
        LogisticRegression(),
        conformity_score=score,
        calibration=calibration,
        cv=0.3,
        random_state=0,
    )
    model.fit(many_X, many_y)
    far = np.concatenate([many_X[:2] * 1e300, -many_X[:2] * 1e300])
    p_values = model.p_values(far)
    assert ((p_values > 0) & (p_values <= 1)).all()
    if score in ("center_distance", "input_density", "knn", "mahalanobis", "vim"):
        assert model.is_outlier(far).all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("scale", [1e160, 1e300])
@pytest.mark.parametrize(
    "score", ["center_distance", "input_density", "knn", "mahalanobis"]
)
def test_scores_of_inputs_whose_squares_overflow(score, scale):
    """Check that samples too large to learn from are an error that says to scale them."""
    model = OpenSetClassifier(
        LogisticRegression(), conformity_score=score, random_state=0, cv=0.2
    )
    with pytest.raises(ValueError, match=r"X must be at most 1e\+150.*StandardScaler"):
        model.fit(many_X * scale, many_y)


@pytest.mark.parametrize("scale", [1e-320, 1e-300, 1e300, 1e308])
@pytest.mark.parametrize("head", ["linear", "distance"])
def test_scale_of_weights(head, scale):
    """Check that weights of any size train as ones do."""
    model = small(head=head, batch_size=8).fit(X, y, np.full(N_SAMPLES, scale))
    expected = small(head=head, batch_size=8).fit(X, y, np.ones(N_SAMPLES))
    assert_allclose(model.transform(X), expected.transform(X), rtol=1e-5)
    assert_allclose(model.centers_, expected.centers_, rtol=1e-5)
    assert_allclose(model.tau_, expected.tau_, rtol=1e-5)


@pytest.mark.parametrize("weights", [(1e-300, 1), (1e-40, 1), (1, 1e300), (1e-300, 1e300)])
@pytest.mark.parametrize("head", ["linear", "distance"])
def test_class_of_tiny_weight(head, weights):
    """Check that a class that weighs nothing beside others has its mean for a center."""
    weight = np.where(y == 0, *weights)
    model = small(head=head, center_update="cumulative").fit(X, y, sample_weight=weight)
    assert_sane(model, X)
    means = [model.transform(X)[y == k].mean(axis=0) for k in range(3)]
    assert_allclose(model.centers_, means, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "class_weight", [{0: 1e300, 1: 1, 2: 1e-300}, {0: 1e-40, 1: 1, 2: 1}]
)
@pytest.mark.parametrize("scale", [1e-300, 1, 1e300])
def test_class_weights_of_any_size(class_weight, scale):
    """Check that class weights of any ratio, with weights of any size, give a model."""
    model = small(class_weight=class_weight).fit(X, y, np.full(N_SAMPLES, scale))
    assert_sane(model, X)


@pytest.mark.parametrize("class_weight", [None, {0: 1e200, 1: 1e200, 2: 1e200}])
def test_weights_of_a_stream(class_weight):
    """Check that a stream takes tiny weights, and names weights beyond float32."""
    model = small(class_weight=class_weight)
    tiny = np.full(N_SAMPLES, 1e-300)
    assert_sane(model.partial_fit(X, y, [0, 1, 2], sample_weight=tiny), X)
    before = state_of(model)
    message = (
        r"sample_weight, times class_weight, must be at most 1e\+30.*got (1e\+300|inf)"
    )
    with pytest.raises(ValueError, match=message):
        model.partial_fit(X, y, sample_weight=np.full(N_SAMPLES, 1e300))
    assert_same_state(model, before)
    assert_sane(model.partial_fit(X, y, sample_weight=tiny), X)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("weight", [1e-45, 1e-38, 1e-20, 1e30, 3e38])
@pytest.mark.parametrize("update", ["ema", "sum", "wen", "cumulative"])
def test_scale_of_weights_in_a_center(update, weight, dtype):
    """Check that a class moves to its mean whatever its samples weigh."""
    features, labels = torch.from_numpy(X[:, :2]), torch.from_numpy(y)
    center, expected = (Center(2, 3, update=update, alpha=0.97) for _ in range(2))
    for _ in range(2):
        center_loss(features, labels, center, torch.full((N_SAMPLES,), weight, dtype=dtype))
        center_loss(features, labels, expected, torch.ones(N_SAMPLES))
    assert_allclose(center.predict(), expected.predict(), rtol=1e-5, atol=1e-6)
    assert_array_equal(center.count, expected.count)


@pytest.mark.parametrize("weight", [1e-300, np.nan, np.inf, -np.inf, -1.0])
@pytest.mark.parametrize("update", ["ema", "sum", "wen", "cumulative"])
def test_weights_that_do_not_count_in_a_center(update, weight):
    """Check that a sample whose weight float32 does not hold leaves all as it is."""
    features, labels = torch.from_numpy(X[:, :2]), torch.from_numpy(y)
    weights = torch.ones(N_SAMPLES, dtype=torch.float64)
    weights[labels == 0] = weight
    center = Center(2, 3, update=update, alpha=0.97)
    before = center.predict()
    center.deviation(features, labels, weights)
    assert_array_equal(center.predict()[0], before[0])
    assert center.known.tolist() == [False, True, True]
    means = [features[labels == k].mean(dim=0) for k in (1, 2)]
    assert_allclose(center.predict()[1:], torch.stack(means), rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:The centers diverge")
@pytest.mark.parametrize("method", ["loss", "forward"])
@pytest.mark.parametrize("alpha", [0, 0.5, 0.999999, 1 - 1e-16])
@pytest.mark.parametrize("update", RULES)
def test_no_features_poison_a_center(update, alpha, method):
    """Check that centers stay finite whatever comes, and go on to learn."""
    center = Center(2, 3, update=update, alpha=alpha)
    labels = torch.arange(8) % 3
    rng = np.random.default_rng(0)
    for scale in (1e-45, 1e-38, 1, 1e18, 1e19, 1e30, 3e38, np.inf, np.nan, 1):
        for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
            features = torch.from_numpy(rng.normal(size=(8, 2)) * scale).to(dtype)
            if method == "loss":
                center_loss(features, labels, center)
            else:
                center(features, labels)
            assert torch.isfinite(center.predict()).all()


@pytest.mark.parametrize("update", RULES)
def test_denormal_centers(update):
    """Check that centers and features of 1e-42 are told apart, and move."""
    center = Center(2, 2, alpha=0.5, update=update, center=[[1e-42, 0], [0, 1e-42]])
    features = torch.tensor([[3e-42, 0.0], [0.0, 1e-42]])
    loss = center_loss(features, torch.tensor([0, 1]), center)
    assert loss == 0  # the squares are
    moved = {"ema": 2e-42, "sum": 2e-42, "wen": 1.5e-42, "cumulative": 3e-42}
    first = center.predict()[0, 0].item()
    assert first == pytest.approx(moved.get(update, 1e-42), abs=2e-45)
    assert center.predict()[1].tolist() == torch.tensor([0, 1e-42]).tolist()


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.SGD])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", 1e10),
        ("lr", 1e300),
        ("lambda_center", 1e39),
        ("lambda_center", 1e300),
        ("lambda_norm", 1e39),
        ("lambda_norm", 1e300),
    ],
)
def test_parameters_that_make_the_loss_infinite(name, value, optimizer):
    """Check that the error names the parameter and what it is, and all is as before."""
    model = small(warm_start=True, optimizer=optimizer).fit(X, y)
    before = state_of(model)
    model.set_params(**{name: value})
    for _ in range(2):
        with pytest.raises(ValueError, match=re.escape(f"{name}={value}")):
            model.fit(X, y)
        assert_same_state(model, before)
    model.set_params(**{name: 1e-3})
    assert_sane(model.fit(X, y), X)


@pytest.mark.parametrize("head", ["linear", "distance"])
@pytest.mark.parametrize("update", RULES)
def test_first_centers_too_far_out(update, head):
    """Check that the error names the centers, and how far out they are."""
    far = np.full((3, 2), 1e38)
    with pytest.raises(ValueError, match=r"\(center, up to 1e\+38\)"):
        small(center=far, center_update=update, head=head).fit(X, y)


@pytest.mark.parametrize("value", [1e-45, 1e-38, 1e-20, 1e10])
@pytest.mark.parametrize("update", RULES)
def test_first_centers_of_any_size(update, value):
    """Check that tiny and large first centers train."""
    model = small(center=np.full((3, 2), value), center_update=update, alpha=0.99).fit(X, y)
    assert torch.isfinite(model.module_.center.predict()).all()
    assert np.isfinite(model.predict_proba(X)).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_overflow(dtype):
    """Check that an overflow under autocast is named, and bfloat16 has none here."""
    model = small(module__standardize=False)
    with torch.autocast("cpu", dtype):
        if dtype == torch.float16:
            with pytest.raises(ValueError, match=r"autocast to torch.float16.* 6.55e\+04"):
                model.fit(1e5 * X, y)
        else:
            assert_sane(model.fit(1e5 * X, y), 1e5 * X)
    assert_sane(model.fit(1e5 * X, y), 1e5 * X)
