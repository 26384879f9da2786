"""What no sane program does, and every long-lived one meets: each works or says why not."""

import re

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_center import Center, CenterLossClassifier, CenterLossNet, OpenSetClassifier
from sk_center.losses import center_loss
from sk_center.networks import ConvNet, RandomAffine

RULES = ("ema", "sum", "wen", "cumulative", "fixed")
# For a model that has no finite loss or features: what to change, and what it is now.
SAYS_WHAT_TO_DO = r"(?=.*StandardScaler)(?=.*lr=\S+\d)"
N_SAMPLES = 60
y = np.arange(N_SAMPLES) % 3
X = np.random.default_rng(0).normal(size=(N_SAMPLES, 4)) + 3 * np.eye(3, 4)[y]
X = X.astype(np.float32)


def small(**params):
    """Return a classifier that trains in a blink."""
    defaults = {"hidden_layer_sizes": (8, 2), "max_epochs": 4, "random_state": 0}
    return CenterLossClassifier(**{**defaults, **params})


@pytest.fixture
def default_dtype(request):
    """Set torch's default dtype for a test."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(request.param)
    yield request.param
    torch.set_default_dtype(before)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"module": torch.nn.Linear(4, 2)},
        {"module": torch.nn.LazyLinear, "module__out_features": 2},
        {"head": "distance"},
        {"center": "simplex", "center_update": "fixed"},
        {"precision": "bf16"},
    ],
    ids=["auto", "instance", "lazy", "distance", "simplex", "bf16"],
)
@pytest.mark.parametrize(
    "default_dtype", [torch.float64, torch.bfloat16, torch.float16], indirect=True
)
def test_default_dtype(default_dtype, params):
    """Check that training is in float32 whatever torch's default dtype is."""
    model = small(max_epochs=60, lr=0.05, **params).fit(X, y)
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


def assert_sane(model, X):
    """Check that a fitted classifier has finite centers and says something of X."""
    center = model.module_.center
    assert torch.isfinite(center.center).all()
    assert np.isfinite(model.centers_).all()
    assert np.isfinite(model.center_distances(X)).all()
    assert 0 < model.tau_ < np.inf
    probabilities = model.predict_proba(X)
    assert (probabilities >= 0).all()
    assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert set(model.predict(X)) <= set(model.classes_)


def state_of(model):
    """Return all that training changes, as numbers."""
    parts = {name: part.clone() for name, part in model.module_.state_dict().items()}
    history = [row["train_loss"] for row in model.history_]
    return [*parts.values(), model.centers_.copy(), model.tau_, model.n_iter_, history]


def assert_same_state(model, before):
    """Check that nothing that training changes has changed."""
    for part, old in zip(state_of(model), before, strict=True):
        assert_array_equal(part, old)


class Samples(torch.utils.data.Dataset):
    """Samples in a map-style dataset, which are not looked at before they train."""

    def __init__(self, X, y):
        self.X, self.y = X, y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, index):
        return self.X[index], self.y[index]


@pytest.mark.parametrize("scale", [1e15, 1e18])
def test_large_inputs(scale):
    """Check that inputs work as long as float32 holds the squares of distances."""
    assert_sane(small().fit(X * np.float32(scale), y), X * np.float32(scale))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e20, 1e25, 1e30, 1e37])
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"precision": "bf16"},
        {"head": "distance"},
        {"lambda_center": 0},
        {"predict_with": "softmax"},
        {"center_update": "cumulative", "batch_size": 8},
    ],
    ids=["default", "bf16", "distance", "lambda 0", "softmax", "batches"],
)
def test_inputs_whose_squares_overflow(params, scale, dtype):
    """Check that inputs too large for distances are an error that says to scale them."""
    model = small(warm_start=True, **params).fit(X, y)
    before = state_of(model)
    for train in (clone(model).fit, model.fit, model.partial_fit):
        with pytest.raises(ValueError, match=SAYS_WHAT_TO_DO):
            train(X.astype(dtype) * dtype(scale), y)
    assert_same_state(model, before)
    assert_sane(model.partial_fit(X, y), X)


def test_first_part_of_a_stream_whose_squares_overflow():
    """Check that a stream that begins with large features fails and then can begin."""
    model = small()
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


SCORE_NAMES = ("auto", "center_distance", "energy", "input_density", "knn", "mahalanobis")
SCORE_NAMES += ("max_logit", "max_softmax", "openmax", "vim")
many_y = np.arange(300) % 3
many_X = np.random.default_rng(1).normal(size=(300, 4)) + 3 * np.eye(3, 4)[many_y]


@pytest.mark.filterwarnings("ignore:No sample will ever be rejected")
@pytest.mark.filterwarnings("ignore:invalid value encountered in reduce")  # scikit-learn's
@pytest.mark.parametrize("calibration", ["conformal", "weibull"])
@pytest.mark.parametrize("score", SCORE_NAMES)
def test_features_overflow_at_rejection(score, calibration):
    """Check that samples whose features overflow are outsiders and spoil no other's."""
    model = OpenSetClassifier(
        small(module=Cube), conformity_score=score, calibration=calibration, random_state=0
    )
    model.fit(many_X, many_y)
    far, near = FAR[1:].astype(np.float64), many_X[:50]
    both = np.concatenate([far, near])
    assert_array_equal(model.p_values(both)[len(far) :], model.p_values(near))
    assert_array_equal(model.predict(both)[len(far) :], model.predict(near))
    if score != "max_softmax":  # of which no class is sure of these, nor needs to be
        assert model.is_outlier(both)[: len(far)].all()
        assert_array_equal(model.predict(far), [-1] * len(far))


@pytest.mark.filterwarnings("ignore:No sample will ever be rejected")
@pytest.mark.parametrize("score", SCORE_NAMES)
def test_nan_at_rejection(score):
    """Check that samples that are not finite themselves are still an error."""
    model = OpenSetClassifier(small(), conformity_score=score, cv=0.3).fit(many_X, many_y)
    with pytest.raises(ValueError, match="NaN"):
        model.predict(np.full((2, 4), np.nan))


@pytest.mark.filterwarnings("ignore:No sample will ever be rejected")
@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning:sklearn")
@pytest.mark.parametrize("calibration", ["conformal", "weibull"])
@pytest.mark.parametrize("score", SCORE_NAMES)
def test_far_samples_of_a_linear_model(score, calibration):
    """Check that huge samples get p-values whatever scores make of them, silently."""
    model = OpenSetClassifier(
        LogisticRegression(), conformity_score=score, calibration=calibration, cv=0.3
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
    model = OpenSetClassifier(LogisticRegression(), conformity_score=score)
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
    model = small()
    with torch.autocast("cpu", dtype):
        if dtype == torch.float16:
            with pytest.raises(ValueError, match=r"autocast to torch.float16.* 6.55e\+04"):
                model.fit(1e5 * X, y)
        else:
            assert_sane(model.fit(1e5 * X, y), 1e5 * X)
    assert_sane(model.fit(1e5 * X, y), 1e5 * X)


def test_batch_normalization_of_one_sample():
    """Check that one sample is an error that names batch_size, and two are none."""
    module = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.BatchNorm1d(2))
    with pytest.raises(ValueError, match=r"at least 2 \(batch_size=1\)"):
        small(module=module, batch_size=1).fit(X, y)
    model = small(module=module, batch_size=2).fit(X[:31], y[:31])
    before = state_of(model)
    with pytest.raises(ValueError, match="batch of one sample; give at least two"):
        model.partial_fit(X[:1], y[:1])
    assert_same_state(model, before)
    assert_sane(model.partial_fit(X[:2], y[:2]), X)


@pytest.mark.parametrize("rate", [1e-17, 1e-100, 1e-310, 5e-324])
@pytest.mark.parametrize("confidence", [None, 0.5, 1 - 1e-16])
def test_tiny_false_rejection_rate(confidence, rate):
    """Check that a rate near zero asks for samples that nobody has, by the usual error."""
    model = OpenSetClassifier(
        LogisticRegression(), false_rejection_rate=rate, confidence=confidence
    )
    with pytest.raises(ValueError, match="calibration samples are too few: false_rej"):
        model.fit(many_X, many_y)


@pytest.mark.parametrize("rate", [1e-17, 1e-310, 5e-324])
@pytest.mark.parametrize("calibration", ["gaussian", "weibull"])
@pytest.mark.parametrize("n_samples", [36, 300])
def test_tiny_false_rejection_rate_of_a_tail(n_samples, calibration, rate):
    """Check that a tail, which needs few samples, rejects nothing but the farthest."""
    model = OpenSetClassifier(
        LogisticRegression(),
        conformity_score="center_distance",
        calibration=calibration,
        false_rejection_rate=rate,
    ).fit(many_X[:n_samples], many_y[:n_samples])
    assert not model.is_outlier(many_X).any()
    assert not np.isnan(model.score_thresholds_).any()
    assert (model.p_values(1e100 * many_X) > 0).all()


@pytest.mark.parametrize("params", [{}, {"early_stopping": True}, {"precision": "bf16"}])
def test_training_in_one_autocast_block(params):
    """Check that weights move in a block of autocast, which keeps casts of them."""
    params = {"max_epochs": 40, "lr": 0.03, **params}
    with torch.autocast("cpu", torch.bfloat16):
        model = small(**params).fit(X, y)
        inside = model.transform(X)
        loss = [row["train_loss"] for row in model.history_]
    assert loss[-1] < 0.5 * loss[0]
    assert model.score(X, y) > 0.9
    with torch.autocast("cpu", torch.bfloat16):
        assert_array_equal(model.transform(X), inside)


@pytest.mark.parametrize("scale", [1e-30, 1e-15, 1e20, 1e30, 1e37])
def test_cosines_of_inputs_of_any_size(scale):
    """Check that directions are those of inputs of any size, which have no other use."""
    linear = torch.nn.Linear(4, 3, bias=False)
    params = {"module": linear, "metric": "cosine", "max_epochs": 5, "lr": 1e-12}
    model = small(**params).fit(X * np.float32(scale), y)
    expected = small(**params).fit(X, y)
    assert_allclose(np.linalg.norm(model.transform(X), axis=1), 1, rtol=1e-5)
    assert_allclose(
        model.transform(X * np.float32(scale)), expected.transform(X), rtol=1e-3, atol=1e-5
    )
    assert_sane(model, X * np.float32(scale))


rng = np.random.default_rng(2)
UNUSUAL = {
    "a constant feature": (np.c_[X, np.ones(N_SAMPLES)], y),
    "a huge constant feature": (np.c_[X, np.full(N_SAMPLES, 1e15)], y),
    "constant features": (np.ones((N_SAMPLES, 4)), y),
    "zeros": (np.zeros((N_SAMPLES, 4)), y),
    "constant images": (np.ones((N_SAMPLES, 1, 8, 8)), y),
    "bytes": (rng.integers(0, 256, (N_SAMPLES, 3, 8, 8), dtype=np.uint8), y),
    "duplicates": (np.repeat(X[:6], 10, axis=0), np.repeat(y[:6], 10)),
    "duplicates of all classes": (np.repeat(X[:1], 60, axis=0), y),
    "one feature": (X[:, :1], y),
    "more features than samples": (rng.normal(size=(N_SAMPLES, 2000)), y),
    "one sample a class": (X[:3], y[:3]),
    "two classes of one sample": (X[:2], y[:2]),
    "a class of one sample": (X, np.where(np.arange(N_SAMPLES) == 7, 9, y)),
    "a class in the last rows": (X, np.where(np.arange(N_SAMPLES) >= 59, 9, y)),
    "1e-38": (X * np.float32(1e-38), y),
    "denormal": (X * np.float32(1e-42), y),
    "denormal in float64": (X * np.float64(1e-310), y),
    "the largest of float16": ((X * 1e4).astype(np.float16), y),
    "booleans": (X > 0, y),
    "the ends of int32": (np.where(X > 0, 2**31 - 1, -(2**31)), y),
}


@pytest.mark.parametrize("name", UNUSUAL)
@pytest.mark.parametrize("scaled", [False, True])
def test_unusual_data(name, scaled):
    """Check that unusual data train, alone, after a StandardScaler, and in parts."""
    data, labels = UNUSUAL[name]
    for params in ({}, {"head": "distance"}, {"metric": "cosine"}, {"batch_size": 7}):
        model = small(max_epochs=2, **params)
        if scaled and data.ndim == 2:
            pipe = make_pipeline(StandardScaler(), model).fit(data, labels)
            seen = pipe[0].transform(data)
        else:
            model.fit(data, labels)
            seen = data
        assert_sane(model, seen)
        assert_sane(model.partial_fit(seen, labels), seen)
    parts = small().partial_fit(data[:3], labels[:3], classes=np.unique(labels))
    assert_allclose(parts.predict_proba(data).sum(axis=1), 1, rtol=1e-5)
    assert_sane(parts.partial_fit(data, labels), data)


@pytest.mark.filterwarnings("ignore:The number of unique classes")  # scikit-learn's
@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_as_many_classes_as_samples(batch_size):
    """Check that every sample may be a class, whose center it then is."""
    model = small(batch_size=batch_size).fit(X, np.arange(N_SAMPLES))
    assert_sane(model, X)
    assert_allclose(model.centers_, model.transform(X), rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("ignore:The number of unique classes")  # scikit-learn's
@pytest.mark.parametrize("estimator", [small(), LogisticRegression()])
def test_as_many_classes_as_samples_to_reject(estimator):
    """Check that an open-set classifier says that nothing is left to calibrate."""
    model = OpenSetClassifier(estimator)
    with pytest.raises(ValueError, match=r"^0 calibration samples are too few.*more data"):
        model.fit(X, np.arange(N_SAMPLES))
    model.fit(many_X, many_y)
    before = model.p_values(many_X)
    with pytest.raises(ValueError, match=r"^0 calibration samples are too few.*more data"):
        model.fit(X, np.arange(N_SAMPLES))
    assert_array_equal(model.p_values(many_X), before)


def test_a_thousand_classes():
    """Check that a thousand classes of two samples train."""
    data = np.random.default_rng(0).normal(size=(2000, 4))
    assert_sane(small(max_epochs=1).fit(data, np.arange(2000) % 1000), data)


@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 1e-5, 1: 1}])
def test_imbalance(class_weight):
    """Check that one sample beside 100,000 is a class, and its features the center."""
    data = np.random.default_rng(0).normal(size=(100_001, 2)).astype(np.float32)
    data[77_777] += 9
    labels = np.zeros(len(data), dtype=int)
    labels[77_777] = 1
    model = small(max_epochs=1, batch_size=2048, class_weight=class_weight)
    model.fit(data, labels)
    assert_sane(model, data)
    assert_allclose(model.centers_[1], model.transform(data[[77_777]])[0], rtol=1e-4)


@pytest.mark.parametrize("update", RULES)
@pytest.mark.parametrize("alpha", [0, 0.999999, 1 - 1e-16])
@pytest.mark.parametrize("head", ["linear", "distance"])
@pytest.mark.filterwarnings("ignore:The centers diverge")
def test_ends_of_alpha(head, alpha, update):
    """Check that centers that forget all, or nothing, train under every rule."""
    params = {"center_update": update, "alpha": alpha, "head": head, "batch_size": 8}
    model = small(**params).fit(X, y)
    assert_sane(model, X)
    assert_sane(small(**params).partial_fit(X, y, classes=[0, 1, 2]), X)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("update", RULES)
@pytest.mark.parametrize("head", ["linear", "distance"])
def test_a_bad_sample_in_a_dataset(head, update, bad):
    """Check that a sample that no check has seen is an error and leaves no trace."""
    spoilt = X.copy()
    spoilt[31, 2] = bad
    model = small(center_update=update, head=head, alpha=0.99, batch_size=8)
    with pytest.raises(ValueError, match=r"training loss is nan.*not finite"):
        model.fit(Samples(spoilt, y))
    model.fit(X, y)
    before = state_of(model)
    for train in (clone(model).fit, model.fit, model.partial_fit):
        with pytest.raises(ValueError, match=r"training loss is nan.*not finite"):
            train(Samples(spoilt, y))
        assert_same_state(model, before)
    assert_sane(model.partial_fit(X, y), X)
    # To predict it is no reason to fail: it is like no class, and spoils no other.
    probabilities = model.predict_proba(Samples(spoilt, y))
    assert_allclose(probabilities[31], 1 / 3, rtol=1e-6)
    others = np.delete(np.arange(N_SAMPLES), 31)
    assert_array_equal(probabilities[others], model.predict_proba(X)[others])


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e39])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_bad_samples_in_a_stream(dtype, bad):
    """Check that a bad part of a stream is an error, and a good one after it trains."""
    spoilt = X.astype(np.float64)
    spoilt[3, 1] = bad
    model = small().partial_fit(X, y, classes=[0, 1, 2])
    before = state_of(model)
    with pytest.raises(ValueError, match=r"Input X contains (NaN|infinity)"):
        model.partial_fit(spoilt.astype(dtype), y)
    assert_same_state(model, before)
    expected = small().partial_fit(X, y, classes=[0, 1, 2]).partial_fit(X, y)
    assert_array_equal(model.partial_fit(X, y).centers_, expected.centers_)


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")  # scikit-learn's
def test_scaler_that_overflows():
    """Check that a scaler that makes NaN of 1e300 is an error, and of 1e100 none."""
    pipe = make_pipeline(StandardScaler(), small())
    large = X.astype(np.float64) * 1e100
    assert_sane(pipe.fit(large, y)[-1], pipe[0].transform(large))
    with pytest.raises(ValueError, match="Input X contains"):
        pipe.fit(large * 1e200, y)
    with pytest.raises(ValueError, match="too large for dtype"):
        small().fit(large, y)


@pytest.mark.filterwarnings("ignore:Samples far from all|Hardly any outsider")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("calibration", ["conformal", "weibull"])
@pytest.mark.parametrize("score", SCORE_NAMES)
def test_rejection_after_unusual_data(score, calibration):
    """Check that constants, duplicates and denormals calibrate, and all have p-values."""
    rng = np.random.default_rng(1)
    labels = np.arange(600) % 3
    data = rng.normal(size=(600, 4)) + 3 * np.eye(3, 4)[labels]
    duplicates = np.repeat(data[None, :3], 200, axis=0).reshape(600, 4)
    wide = np.hstack([data, rng.normal(size=(600, 400))])
    for every in (np.ones_like(data), duplicates, data * 1e-42, wide):
        model = OpenSetClassifier(
            small(max_epochs=1),
            conformity_score=score,
            calibration=calibration,
            random_state=0,
        ).fit(every[:300], labels[:300])
        for X_new in (every[:5], every[:5] + 1):
            p_values = model.p_values(X_new)
            assert ((p_values > 0) & (p_values <= 1)).all()
            assert set(model.predict(X_new)) <= {0, 1, 2, -1}
        # Allowed are 5 % on average; 60 samples calibrate.
        assert model.is_outlier(every[300:]).mean() <= 0.15


@pytest.mark.parametrize(
    ("name", "value"),
    [("lambda_center", 1e10), ("lambda_center", 1e30), ("lambda_norm", 1e10), ("lr", 100)],
)
@pytest.mark.parametrize("update", RULES)
@pytest.mark.filterwarnings("ignore:The centers diverge")
def test_large_parameters(update, name, value):
    """Check that large parameters train as long as numbers last."""
    params = {"center_update": update, "alpha": 0.99, name: value}
    assert_sane(small(**params).fit(X, y), X)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
@pytest.mark.parametrize("update", RULES)
def test_bad_samples_in_a_net(update, bad):
    """Check that the net ends in the same error, with finite centers, and fits anew."""
    spoilt = X.copy()
    spoilt[31, 2] = bad
    params = {"module__in_features": 4, "module__out_features": 2, "max_epochs": 3}
    net = CenterLossNet(torch.nn.Linear, center_update=update, alpha=0.99, **params)
    with pytest.raises(ValueError, match=SAYS_WHAT_TO_DO):
        net.fit(spoilt, y)
    assert torch.isfinite(net.module_.center.predict()).all()
    net.fit(X, y)
    assert torch.isfinite(net.module_.center.predict()).all()
    assert_allclose(net.predict_proba(X).sum(axis=1), 1, rtol=1e-5)
