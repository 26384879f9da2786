"""Tests of CenterLossClassifier: its numbers, what it takes, what it refuses."""

import pickle
import subprocess
import sys
import warnings
from functools import cache
from inspect import signature

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist
from scipy.special import log_softmax, softmax
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris, make_classification
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback, EpochScoring, LRScheduler
from skorch.dataset import ValidSplit
from skorch.exceptions import DeviceWarning
from torch import nn
from torch.utils.data import Dataset, TensorDataset

from sk_center import CenterLossClassifier, CenterLossNet
from sk_center._classifier.build import find_device
from sk_center._training.after_training import match_temperature
from sk_center.batches import ArrayDataset

X, y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X).astype(np.float32)
X_new = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
names = np.array(["setosa", "versicolor", "virginica"])[y]
# Images of 6 x 6 pixels.
images = load_digits().images[:200, None, 1:7, 1:7].astype(np.uint8)
digits = load_digits().target[:200]


def small(**params):
    """Return a classifier that trains in a blink."""
    defaults = {"hidden_layer_sizes": (16, 4), "max_epochs": 8, "lr": 0.01}
    return CenterLossClassifier(**{**defaults, "random_state": 0, **params})


@cache
def fitted(**params):
    """Return a small classifier fitted on iris; tests must not change it."""
    return small(**params).fit(X, y)


def features_of(model, X):
    """Return logits and features in float64, straight from the torch module."""
    with torch.no_grad():
        logits, features = model.module_.eval()(torch.as_tensor(X, dtype=torch.float32))
    return logits.double().numpy(), features.double().numpy()


def spy_on_training(seen):
    """Return a small classifier that notes the array it trains on."""

    class Spy(ArrayDataset):
        def __init__(self, X, y=None):
            seen.append(X)
            super().__init__(X, y)

    return small(dataset=Spy)


def assert_same_model(one, other, X=X_new):
    """Assert that two models predict the same to the last bit."""
    assert_array_equal(one.decision_function(X), other.decision_function(X))
    assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    assert_array_equal(one.predict(X), other.predict(X))


class Samples(Dataset):
    """A user's dataset of samples with or without labels."""

    def __init__(self, X, y=None):
        self.X, self.y = X, y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return self.X[i] if self.y is None else (self.X[i], self.y[i])


class Wide(nn.Module):
    """A module with a parameter of its own."""

    def __init__(self, width=5):
        super().__init__()
        self.layer = nn.Linear(4, width)

    def forward(self, X):
        return self.layer(X)


class Trailing(Wide):
    """The same, with a parameter that ends as fitted attributes do."""

    def __init__(self, width_=5):
        super().__init__(width_)


# The numbers


def test_decision_is_minus_the_distance_to_the_centers():
    """Check decision_function, predict and center_distances against scipy's cdist."""
    model = fitted()
    _, features = features_of(model, X_new)
    expected = cdist(features, model.centers_)
    assert_allclose(model.center_distances(X_new), expected, rtol=1e-5)
    assert_allclose(model.decision_function(X_new), -expected, rtol=1e-5)
    assert_array_equal(model.predict(X_new), expected.argmin(axis=1))
    assert model.decision_function(X_new).shape == (40, 3)


def test_transform_gives_the_features():
    """Check transform against the module itself, and that the shape is (n, D)."""
    model = fitted()
    assert model.transform(X_new).shape == (40, 4)
    assert_allclose(model.transform(X_new), features_of(model, X_new)[1], rtol=1e-6)


def test_probabilities_are_softmax_of_distances():
    """Check predict_proba and predict_log_proba against scipy's softmax."""
    model = fitted()
    scores = -cdist(features_of(model, X_new)[1], model.centers_) / model.tau_
    assert_allclose(model.predict_proba(X_new), softmax(scores, axis=1), rtol=1e-4)
    assert_allclose(model.predict_log_proba(X_new), log_softmax(scores, axis=1), rtol=1e-4)
    assert_allclose(model.predict_proba(X_new).sum(axis=1), 1, rtol=1e-6)


def test_two_classes():
    """Check that decision, labels and probabilities of two classes rank alike."""
    X, y = make_classification(300, 4, random_state=0)
    model = small(max_epochs=3).fit(X, y)
    distances = cdist(features_of(model, X)[1], model.centers_)
    decision = model.decision_function(X)
    assert decision.shape == (300,)
    assert_allclose(decision, distances[:, 0] - distances[:, 1], rtol=1e-4, atol=1e-5)
    assert_array_equal(model.predict(X), (decision > 0).astype(int))
    p = model.predict_proba(X)[:, 1]
    assert_allclose(p, 1 / (1 + np.exp(-decision / model.tau_)), rtol=1e-4)
    assert (np.diff(p[np.argsort(decision)]) >= 0).all()


def test_softmax_head():
    """Check predict_with="softmax" against the head's logits; distances stay."""
    model = fitted(predict_with="softmax", lambda_center=0)
    logits, features = features_of(model, X_new)
    assert_allclose(model.decision_function(X_new), logits, rtol=1e-5, atol=1e-6)
    assert_allclose(model.predict_proba(X_new), softmax(logits, axis=1), rtol=1e-5)
    assert_array_equal(model.predict(X_new), logits.argmax(axis=1))
    expected = cdist(features, model.centers_)
    assert_allclose(model.center_distances(X_new), expected, rtol=1e-5)
    two = small(predict_with="softmax").fit(X[y < 2], y[y < 2])
    logits, _ = features_of(two, X_new)
    expected = logits[:, 1] - logits[:, 0]
    assert_allclose(two.decision_function(X_new), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("module", ["auto", "batch norm"])
def test_centers_are_the_class_means(weighted, module):
    """Check centers_ against the (weighted) means of the features in eval mode."""
    if module == "batch norm":
        module = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5))
    weight = np.random.default_rng(0).exponential(size=len(y)) if weighted else None
    model = small(module=module).fit(X, y, sample_weight=weight)
    _, features = features_of(model, X)
    for k, center in enumerate(model.centers_):
        of_class = None if weight is None else weight[y == k]
        expected = np.average(features[y == k], axis=0, weights=of_class)
        assert_allclose(center, expected, rtol=1e-4, atol=1e-5)
    # The net that goes on training goes on from there.
    assert_array_equal(model.module_.center.predict(), model.centers_)
    assert model.centers_.dtype == np.float32


def test_center_loss_makes_compact_clouds():
    """Check that the larger lambda, the smaller the clouds against their distances."""

    def spread(lambda_center):
        model = small(lambda_center=lambda_center, max_epochs=100).fit(X, y)
        own = model.center_distances(X)[np.arange(len(y)), y]
        return own.mean() / cdist(model.centers_, model.centers_).max()

    found = [spread(lambda_center) for lambda_center in (0, 0.1, 1, 10)]
    assert (np.diff(found) < 0).all()
    assert found[0] > 1.5 * found[-1]


def test_temperature_is_of_least_cross_entropy():
    """Check tau against a fine grid of temperatures in float64."""
    rng = np.random.default_rng(0)
    d = rng.exponential(size=(50, 4)) * 7
    p = softmax(-d / 1.3 + rng.normal(size=d.shape), axis=1)
    weight = rng.exponential(size=50)
    for given in (None, weight):
        taus = np.geomspace(0.1, 10, 20_001)
        losses = [
            -np.average((p * log_softmax(-d / tau, axis=1)).sum(axis=1), weights=given)
            for tau in taus[::20]
        ]
        coarse = taus[::20][np.argmin(losses)]
        assert_allclose(match_temperature(d, p, given), coarse, rtol=5e-3)
    exact = softmax(-d / 1.3, axis=1)
    assert_allclose(match_temperature(d, exact), 1.3, rtol=1e-4)


@pytest.mark.parametrize("weighted", [False, True])
def test_temperature_of_a_model(weighted):
    """Check that tau_ matches the head on the training data, with their weights."""
    weight = np.where(y == 2, 20.0, 1.0) if weighted else None
    model = small(max_epochs=4).fit(X, y, sample_weight=weight)
    logits, features = features_of(model, X)
    d, p = cdist(features, model.centers_), softmax(logits, axis=1)

    def cross_entropy(tau):
        own = -(p * log_softmax(-d / tau, axis=1)).sum(axis=1)
        return np.average(own, weights=weight)

    taus = np.geomspace(model.tau_ / 2, model.tau_ * 2, 2001)
    expected = taus[np.argmin([cross_entropy(tau) for tau in taus])]
    assert_allclose(model.tau_, expected, rtol=2e-3)


def test_temperature_without_distances():
    """Check that clouds that coincide still give a temperature."""
    assert match_temperature(np.zeros((5, 2)), np.full((5, 2), 0.5)) == 1


def test_probabilities_speak_like_the_head():
    """Check that the log-loss on new data is near that of the softmax head."""
    X, y = load_digits(return_X_y=True)
    model = make_pipeline(StandardScaler(), CenterLossClassifier(random_state=0))
    model.fit(X[::2], y[::2])
    center = log_loss(y[1::2], model.predict_proba(X[1::2]))
    model[-1].predict_with = "softmax"
    softmax_head = log_loss(y[1::2], model.predict_proba(X[1::2]))
    assert center < softmax_head + 0.02


# Inputs


@pytest.mark.parametrize(
    "convert",
    [
        lambda X: X.astype(np.float64),
        lambda X: pd.DataFrame(X.astype(np.float64), columns=list("abcd")),
        lambda X: X.tolist(),
        lambda X: np.asfortranarray(X),
        torch.from_numpy,
        lambda X: torch.from_numpy(X).requires_grad_(),
    ],
    ids=["float64", "DataFrame", "list", "Fortran", "tensor", "tensor with gradient"],
)
def test_kinds_of_arrays(convert):
    """Check that the same numbers train the same model in whatever form they come."""
    model = small().fit(convert(X), y)
    assert_array_equal(model.predict_proba(convert(X_new)), fitted().predict_proba(X_new))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.int16, np.bool_, np.float16])
def test_dtypes_of_numbers(dtype):
    """Check that integers and halves train as their float32 values do."""
    numbers = (X * 4 + 9).astype(dtype)
    expected = small().fit(numbers.astype(np.float32), y)
    assert_same_model(small().fit(numbers, y), expected, numbers.astype(np.float32))
    model = small().fit(numbers, y)
    assert_array_equal(model.predict_proba(numbers), expected.predict_proba(numbers))


def test_bfloat16_tensor():
    """Check that a bfloat16 tensor, which numpy does not know, trains as its values."""
    halves = torch.from_numpy(X).bfloat16()
    assert_same_model(small().fit(halves, y), small().fit(halves.float().numpy(), y))


def test_memmap(tmp_path):
    """Check that a memmap trains the same model, and is not read into memory."""
    np.save(tmp_path / "X.npy", X.astype(np.float64))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    seen = []
    model = spy_on_training(seen).fit(mapped, y)
    assert np.shares_memory(seen[0], mapped)
    assert_same_model(model, fitted())
    assert_array_equal(model.predict_proba(mapped), fitted().predict_proba(X))


def test_bytes_stay_bytes():
    """Check that pixels are not converted to four times their size."""
    seen = []
    spy_on_training(seen).fit((X * 4 + 9).astype(np.uint8), y)
    assert seen[0].dtype == np.uint8


@pytest.mark.parametrize("channels", [1, 3])
def test_images(channels):
    """Check 4-D X of pixels: a ConvNet learns it, other shapes are refused."""
    pixels = np.repeat(images, channels, axis=1)
    model = CenterLossClassifier(
        hidden_layer_sizes=(32, 8), max_epochs=25, random_state=0, module__channels=(8, 16)
    ).fit(pixels, digits)
    assert type(model.module_.body).__name__ == "ConvNet"
    assert model.score(pixels, digits) > 0.95
    assert model.transform(pixels[:3]).shape == (3, 8)
    with pytest.raises(ValueError, match=r"samples of shape .* is expecting"):
        model.predict(pixels[:, :, :5])


def test_other_shapes_take_a_module():
    """Check that X of three dimensions asks for a module, and works with one."""
    sequences = np.repeat(X[:, :, None], 3, axis=2)
    with pytest.raises(ValueError, match=r"got samples of shape \(4, 3\).*pass a module"):
        small().fit(sequences, y)
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 4))
    assert small(module=module).fit(sequences, y).score(sequences, y) > 0.7


@pytest.mark.parametrize(
    "labels",
    [
        names,
        names.astype(object),
        y + 7,
        y * 10 - 5,
        y.astype(float),
        np.array([False, True, True])[y],
        pd.Series(names),
        pd.Series(names, dtype="category"),
        torch.from_numpy(y),
        y.tolist(),
        names.tolist(),
    ],
    ids=lambda labels: f"{type(labels).__name__} {getattr(labels, 'dtype', '')}",
)
def test_kinds_of_labels(labels):
    """Check that predictions are labels of the kind given, in sorted classes_."""
    model = small().fit(X, labels)
    given = np.asarray(labels)
    assert_array_equal(model.classes_, np.unique(given))
    assert model.predict(X).dtype == model.classes_.dtype
    assert (model.predict(X) == given).mean() > 0.85
    assert model.score(X, given) > 0.85


@pytest.mark.parametrize("form", ["pairs", "samples", "targets", "tensors"])
def test_dataset(form):
    """Check that a torch Dataset trains the same model as the arrays it holds."""
    labels = y if form in ("targets", "tensors") else names
    dataset = {
        "pairs": Samples(X, names),
        "samples": Samples(X),
        "targets": Samples(X, np.zeros(len(y))),
        "tensors": TensorDataset(torch.from_numpy(X), torch.from_numpy(y)),
    }[form]
    if form == "targets":
        dataset.targets = y  # as torchvision has them: known without loading a sample
    # After one epoch, a DataLoader has moved on torch's random numbers.
    model = small(max_epochs=1).fit(dataset, labels if form == "samples" else None)
    assert_array_equal(model.classes_, np.unique(labels))
    expected = fitted(max_epochs=1)
    assert_array_equal(model.predict_proba(X_new), expected.predict_proba(X_new))
    assert_array_equal(model.predict_proba(Samples(X_new)), expected.predict_proba(X_new))
    assert_array_equal(
        model.predict_proba(Samples(X_new, np.zeros(40))), expected.predict_proba(X_new)
    )


def test_dataset_with_weights_and_workers():
    """Check weights, zeros among them, and worker processes with a Dataset."""
    weight = np.arange(len(y)) % 3.0
    expected = small(max_epochs=1).fit(X, y, sample_weight=weight)
    model = small(max_epochs=1).fit(Samples(X), y, sample_weight=weight)
    assert_same_model(model, expected)
    params = {"iterator_train__num_workers": 1, "iterator_valid__num_workers": 1}
    model = small(max_epochs=1, **params).fit(Samples(X), y, sample_weight=weight)
    assert_same_model(model, expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.uint8, torch.int64, torch.float16])
def test_dataset_of_any_dtype(dtype):
    """Check that modules get float32 whatever a Dataset holds."""
    numbers = torch.from_numpy(X * 4 + 9).to(dtype)
    model = small(max_epochs=1).fit(TensorDataset(numbers, torch.from_numpy(y)))
    expected = small(max_epochs=1).fit(numbers.float().numpy(), y)
    assert_same_model(model, expected, numbers.float().numpy())
    model.predict(TensorDataset(numbers))


def test_dataset_after_a_frame():
    """Check that a fit on a Dataset forgets the columns seen before, and knows its own."""
    model = small(max_epochs=1).fit(pd.DataFrame(X, columns=list("abcd")), y)
    wide = np.repeat(X, 2, axis=1)
    model.fit(TensorDataset(torch.from_numpy(wide)), y)
    assert not hasattr(model, "n_features_in_")
    assert not hasattr(model, "feature_names_in_")
    assert model.predict(wide).shape == (150,)
    for other in (X, TensorDataset(torch.from_numpy(X))):
        with pytest.raises(ValueError, match=r"samples of shape \(4,\).*\(8,\)"):
            model.predict(other)


def test_byte_order(tmp_path):
    """Check that a memmap of the other byte order trains as its values do."""
    X.astype(">f4").tofile(tmp_path / "X.bin")
    swapped = np.memmap(tmp_path / "X.bin", dtype=">f4", shape=X.shape, mode="r")
    assert_same_model(small().fit(swapped, y), fitted())


def test_autocast():
    """Check that training and predicting under autocast give float32 and a model."""
    # Without the cache, which would keep the casts of the first weights.
    with torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=False):
        model = small(max_epochs=20).fit(X, y)
        assert model.transform(X).dtype == np.float32
        assert model.score(X, y) > 0.8
    assert model.centers_.dtype == np.float32


def test_far_outsiders():
    """Check that what lies beyond all distances still gets probabilities."""
    far = np.full((2, 4), 1e30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        p = fitted().predict_proba(far)
    assert_array_equal(p.sum(axis=1), 1)


def test_feature_names_and_pandas_output():
    """Check feature names in and out, and set_output."""
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    model = small().fit(frame, y)
    assert_array_equal(model.feature_names_in_, ["a", "b", "c", "d"])
    assert model.n_features_in_ == 4
    expected = [f"centerlossclassifier{i}" for i in range(4)]
    assert_array_equal(model.get_feature_names_out(), expected)
    out = model.set_output(transform="pandas").transform(frame)
    assert list(out.columns) == expected
    assert_array_equal(out, fitted().transform(X))


# Weights


def test_scale_of_weights_does_not_matter():
    """Check that only the ratios of sample weights count."""
    weight = np.random.default_rng(0).exponential(size=len(y))
    one = small().fit(X, y, sample_weight=weight)
    other = small().fit(X, y, sample_weight=weight * 1024)
    assert_same_model(one, other)
    assert np.abs(one.predict_proba(X_new) - fitted().predict_proba(X_new)).max() > 1e-3


def test_samples_of_no_weight_do_not_exist():
    """Check that weight zero removes a sample, and a class that has no other."""
    weight = np.where(y == 1, 0.0, 1.0)
    model = small().fit(X, y, sample_weight=weight)
    assert_array_equal(model.classes_, [0, 2])
    assert_same_model(model, small().fit(X[y != 1], y[y != 1]))
    with pytest.raises(ValueError, match="at least one non-zero"):
        small().fit(X, y, sample_weight=np.zeros(len(y)))
    with pytest.raises(ValueError, match="greater than one; got 1 class"):
        small().fit(X, y, sample_weight=(y == 1).astype(float))


def test_class_weight():
    """Check that class weights train as sample weights do, "balanced" as computed."""
    few = np.r_[0:50, 50:75, 100:110]
    by_class = {0: 1.0, 1: 2.0, 2: 5.0}
    balanced = 85 / 3 / np.array([50, 25, 10])
    for class_weight, weight in [
        (by_class, np.array([1.0, 2, 5])[y[few]]),
        ("balanced", balanced[y[few]]),
    ]:
        model = small(class_weight=class_weight).fit(X[few], y[few])
        expected = small().fit(X[few], y[few], sample_weight=weight)
        assert_allclose(model.transform(X_new), expected.transform(X_new), rtol=1e-3)
        assert_allclose(model.centers_, expected.centers_, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("class_weight", ["balanced", {0: 1.0, 1: 2.0, 2: 5.0}])
def test_class_weight_acts_on_training_alone(class_weight):
    """Check that predictions are those of the nearest center, whatever classes weigh."""
    few = np.r_[0:50, 50:75, 100:110]
    model = small(class_weight=class_weight).fit(X[few], y[few])
    away = cdist(model.transform(X_new).astype(float), model.centers_)
    assert_array_equal(model.predict(X_new), away.argmin(axis=1))
    assert_allclose(model.decision_function(X_new), -away, rtol=1e-5)
    assert_allclose(
        model.predict_proba(X_new), softmax(-away / model.tau_, axis=1), rtol=1e-4
    )


# Going on


def test_partial_fit_equals_epochs_of_fit():
    """Check that calls of partial_fit train as the epochs of a warm start do."""
    model = small()
    for _ in range(3):
        model.partial_fit(X, y, classes=[0, 1, 2])
    assert len(model.history_) == model.n_iter_ == 3
    warm = small(max_epochs=1, warm_start=True)
    for _ in range(3):
        warm.fit(X, y)
    assert len(warm.history_) == 3
    # A warm start puts the centers at the class means after each fit; weights of the
    # first epoch are the same.
    assert model.history_[0, "train_loss"] == warm.history_[0, "train_loss"]
    assert_array_equal(model.module_.center.predict(), model.centers_)


def test_partial_fit_on_a_stream():
    """Check that it learns from a stream, whose first part lacks a class."""
    model = small(lr=0.02)
    order = np.random.default_rng(0).permutation(len(y))
    first = np.flatnonzero(y < 2)
    model.partial_fit(X[first], names[first], classes=np.unique(names))
    assert set(model.predict(X)) <= {"setosa", "versicolor"}
    assert_array_equal(model.predict_proba(X)[:, 2], 0)
    assert np.isinf(model.centers_[2]).all()
    for _ in range(15):
        for part in np.array_split(order, 3):
            model.partial_fit(X[part], names[part])
    assert np.isfinite(model.centers_).all()
    assert model.score(X, names) > 0.9


def test_partial_fit_sample_by_sample():
    """Check that one sample at a time is a batch like any other."""
    order = np.random.default_rng(0).permutation(len(y))[:20]
    model = small(batch_size=1)
    for i in order[:18]:
        model.partial_fit(X[i : i + 1], y[i : i + 1], classes=[0, 1, 2])
    model.partial_fit(X[order[18:]], y[order[18:]])
    # An epoch ends with two samples at once, since a last batch of one joins another.
    epoch = small(batch_size=1, iterator_train__shuffle=False, max_epochs=1)
    epoch.fit(X[order], y[order])
    assert_array_equal(model.transform(X_new), epoch.transform(X_new))
    assert model.n_iter_ == 19


def test_weights_in_partial_fit():
    """Check that partial_fit takes weights as they are, and no balanced classes."""
    heavy, light = small(optimizer=torch.optim.SGD), small(optimizer=torch.optim.SGD)
    heavy.partial_fit(X, y, classes=[0, 1, 2], sample_weight=np.ones(len(y)))
    light.partial_fit(X, y, classes=[0, 1, 2], sample_weight=np.full(len(y), 1e-6))
    start = small(optimizer=torch.optim.SGD, lr=1e-12)
    start.partial_fit(X, y, classes=[0, 1, 2])
    assert_allclose(light.transform(X), start.transform(X), rtol=1e-3, atol=1e-4)
    assert np.abs(heavy.transform(X) - start.transform(X)).max() > 0.01
    with pytest.raises(ValueError, match="class_weight='balanced'"):
        small(class_weight="balanced").partial_fit(X, y, classes=[0, 1, 2])


def test_partial_fit_refuses_other_classes():
    """Check the errors of partial_fit, after which the model is as it was."""
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        small().partial_fit(X, y)
    with pytest.raises(ValueError, match="early_stopping"):
        small(early_stopping=True).partial_fit(X, y, classes=[0, 1, 2])
    model = small().partial_fit(X[y < 2], y[y < 2], classes=[0, 1])
    before = model.predict_proba(X_new)
    with pytest.raises(ValueError, match=r"labels \[2\], which are not among the classes"):
        model.partial_fit(X, y)
    with pytest.raises(ValueError, match=r"classes=\[0, 1, 2\] differ"):
        model.partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="X has 3 features"):
        model.partial_fit(X[:, :3], y.clip(max=1))
    assert_array_equal(model.predict_proba(X_new), before)


def test_warm_start_goes_on():
    """Check that a warm start adds epochs to the same net, with changed parameters."""
    model = small(warm_start=True, max_epochs=4).fit(X, y)
    net, first = model.net_, model.history_[0, "train_loss"]
    model.set_params(max_epochs=2, lr=0.003).fit(X, y)
    assert model.net_ is net
    assert model.n_iter_ == len(model.history_) == 6
    assert model.history_[4, "train_loss"] < first
    assert model.net_.optimizer_.param_groups[0]["lr"] == 0.003
    with pytest.raises(ValueError, match="not among the classes"):
        model.fit(X, y + 1)
    with pytest.raises(ValueError, match=r"classes of the last fit, .* \[2\] are missing"):
        model.fit(X[y < 2], y[y < 2])
    cold = clone(model).set_params(warm_start=False)
    assert cold.fit(X, y).fit(X, y).n_iter_ == 2


def test_early_stopping():
    """Check that it stops, returns to the best epoch, and holds data out."""
    labels = np.random.default_rng(0).permutation(y)  # to be learned by heart only
    model = small(early_stopping=True, n_iter_no_change=3, max_epochs=200, lr=0.02)
    model.fit(X, labels)
    losses = model.history_[:, "valid_loss"]
    best = int(np.argmin(losses))
    assert len(losses) == model.n_iter_ == best + 1 + 3
    # The weights are those of the best epoch: one that ends there has the same.
    again = small(early_stopping=True, max_epochs=best + 1, lr=0.02).fit(X, labels)
    assert_array_equal(again.transform(X_new), model.transform(X_new))
    assert "valid_loss" not in fitted().history_[-1]


def test_validation_fraction():
    """Check how many samples of each class early stopping holds out."""
    seen = []

    class Look(Callback):
        def on_epoch_end(self, net, dataset_train, dataset_valid, **kwargs):
            for part in (dataset_train, dataset_valid):
                seen.append(np.bincount([int(label) for _, label in part]))

    small(
        early_stopping=True, validation_fraction=0.3, callbacks=[Look()], max_epochs=1
    ).fit(X, y)
    assert_array_equal(seen, [[35, 35, 35], [15, 15, 15]])


# Parameters


def test_net_parameters_come_by_their_skorch_names():
    """Check module__, optimizer__ and criterion__ parameters through get, set, clone."""
    model = small(module=Wide, module__width=7, optimizer__weight_decay=0.1)
    params = clone(model).get_params()
    assert params["module__width"] == 7
    assert params["optimizer__weight_decay"] == 0.1
    model.set_params(module__width=3, criterion__label_smoothing=0.1).fit(X, y)
    assert model.centers_.shape == (3, 3)
    assert model.net_.optimizer_.param_groups[0]["weight_decay"] == 0.1
    assert model.net_.criterion_.label_smoothing == 0.1
    assert "module__width=3" in repr(model)


@pytest.mark.parametrize(
    ("params", "nearest"),
    [
        ({"lambda_centre": 1}, "lambda_center"),
        ({"max_epoch": 1}, "max_epochs"),
        ({"optimiser": torch.optim.SGD}, "optimizer"),
        ({"modul__width": 3}, "module__width"),
    ],
)
def test_misspelled_parameter(params, nearest):
    """Check that an unknown name is an error at once that names the nearest right one."""
    with pytest.raises(TypeError, match=f"did you mean '{nearest}'"):
        CenterLossClassifier(**params)
    model = CenterLossClassifier()
    with pytest.raises(ValueError, match=f"did you mean '{nearest}'"):
        model.set_params(**params)


@pytest.mark.parametrize(
    ("params", "nearest"),
    [
        ({"module": Wide, "module__widht": 3}, "module__width"),
        ({"optimizer__weight_deccay": 3}, "optimizer__weight_decay"),
        ({"criterion__label_smooting": 3}, "criterion__label_smoothing"),
        ({"iterator_train__shufle": 3}, "iterator_train__shuffle"),
        ({"module__dropuot": 0.1}, "module__dropout"),
    ],
)
def test_misspelled_parameter_of_a_part(params, nearest):
    """Check that fit names the nearest right parameter of module, optimizer and so on."""
    with pytest.raises(ValueError, match=f"did you mean '{nearest}'"):
        small(**params).fit(X, y)


def test_callbacks():
    """Check that callbacks run, are copied, and are reached by their names."""
    scheduler = LRScheduler(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)
    scoring = EpochScoring("accuracy", name="acc", on_train=True, use_caching=False)
    model = small(callbacks=[("lr", scheduler), scoring], max_epochs=3)
    model.set_params(callbacks__lr__gamma=0.1).fit(X, names)
    assert_allclose(model.history_[:, "event_lr"], [0.01, 0.001, 0.0001])
    assert model.history_[-1, "acc"] > 0.3
    assert not hasattr(scheduler, "lr_scheduler_")
    assert small(callbacks="disable").fit(X, y).net_.callbacks_ == []


class Note(CenterLossClassifier):
    """A subclass with a short signature."""

    def __init__(self, width=16):
        super().__init__(hidden_layer_sizes=(width, 4), max_epochs=2, module__dropout=0.1)
        self.width = width


def test_attributes_are_no_parameters():
    """Check that only net parameters are taken for parameters, whatever their names."""
    model = small(module=Trailing, module__width_=3)
    assert clone(model).get_params()["module__width_"] == 3
    with pytest.raises(NotFittedError):
        model.predict(X)
    assert model.fit(X, y).centers_.shape == (3, 3)
    model.remark = "best so far"
    assert "remark" not in clone(model).get_params()
    subclass = clone(Note(width=8)).fit(X, y)
    assert subclass.module_.body[0].out_features == 8


@pytest.mark.parametrize("update", ["ema", "sum", "wen", "cumulative", "fixed"])
def test_center_parameters(update):
    """Check that update rule, alpha and first centers reach the module."""
    anchors = 3 * np.eye(3, 4, dtype=np.float32)
    model = small(center_update=update, alpha=0.99, center=anchors).fit(X, y)
    center = model.module_.center
    assert (center.update, center.alpha) == (update, 0.99)
    assert np.array_equal(center.predict(), anchors) == (update == "fixed")


def test_module_kinds():
    """Check a class, an instance (left as it is), a lazy module and a function."""
    instance = nn.Sequential(nn.LazyLinear(6), nn.Tanh(), nn.Linear(6, 2))
    torch.manual_seed(0)
    instance(torch.zeros(1, 4))
    before = {name: value.clone() for name, value in instance.state_dict().items()}
    model = small(module=instance).fit(X, y)
    assert model.transform(X_new).shape == (40, 2)
    for name, value in instance.state_dict().items():
        assert torch.equal(value, before[name])
    assert not torch.equal(model.module_.body[0].weight, instance[0].weight)
    lazy = small(module=nn.LazyLinear, module__out_features=5).fit(X, y)
    assert lazy.transform(X_new).shape == (40, 5)
    function = small(module=torch.tanh).fit(X, y)
    assert_array_equal(function.transform(X_new), torch.tanh(torch.from_numpy(X_new)))


def test_start_at_given_weights():
    """Check that a module instance starts every fit at its own weights."""
    torch.manual_seed(0)
    instance = nn.Linear(4, 3)
    params = {"module": instance, "lr": 1e-12, "max_epochs": 1, "random_state": None}
    for _ in range(2):
        model = small(**params).fit(X, y)
        with torch.no_grad():
            assert_allclose(model.transform(X), instance(torch.from_numpy(X)), rtol=1e-5)


def test_arguments_for_a_module_instance():
    """Check that arguments which would replace a given module, with its weights, raise."""
    model = small(module=nn.Linear(4, 3), module__out_features=3)
    with pytest.raises(ValueError, match=r"module__out_features is .* class, Linear"):
        model.fit(X, y)


def test_device(monkeypatch):
    """Check which device "auto" is, and the error for one that does not exist."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert find_device("auto") == "cuda"
    assert find_device(torch.device("cuda", 1)) == "cuda:1"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert find_device("auto") == "cpu"
    with pytest.raises(ValueError, match="device='cuda' needs a CUDA device"):
        small(device="cuda").fit(X, y)
    with pytest.raises(ValueError, match=r"device must be 'auto' or .* got 'gpu'"):
        small(device="gpu").fit(X, y)


# Reproducible, quiet, persistent


@pytest.mark.parametrize(
    "params",
    [{}, {"module__dropout": 0.3}, {"early_stopping": True}, {"lambda_center": 0}],
    ids=str,
)
def test_two_fits_are_equal(params):
    """Check that one seed gives one model to the last bit, and another seed another."""
    one, other = small(**params).fit(X, y), small(**params).fit(X, y)
    assert_same_model(one, other)
    assert_array_equal(one.fit(X, y).transform(X_new), other.transform(X_new))
    different = small(**{**params, "random_state": 1}).fit(X, y)
    assert (different.transform(X_new) != other.transform(X_new)).any()


def test_threads():
    """Check that fits in threads are equal to fits one after the other."""
    seeds = [0, 1, 2, 0, 1, 2]
    state = torch.get_rng_state()
    found = joblib.Parallel(n_jobs=3, backend="threading")(
        joblib.delayed(small(random_state=seed).fit)(X, y) for seed in seeds
    )
    assert torch.equal(torch.get_rng_state(), state)
    for seed, model in zip(seeds, found):
        assert_same_model(model, small(random_state=seed).fit(X, y))


def test_random_state_instance():
    """Check that a RandomState moves on from fit to fit, as in scikit-learn."""
    state = np.random.RandomState(0)
    model = small(random_state=state)
    first, second = model.fit(X, y).transform(X_new), model.fit(X, y).transform(X_new)
    assert (first != second).any()
    again = small(random_state=np.random.RandomState(0)).fit(X, y)
    assert_array_equal(again.transform(X_new), first)


@pytest.mark.parametrize("seed", [0, None])
def test_global_generators_are_left_alone(seed):
    """Check that fit and predict leave torch's and numpy's global state as it was.

    Without a seed, numpy's moves, as scikit-learn's estimators do.
    """
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    small(random_state=seed, module__dropout=0.2).fit(X, y).predict(X)
    assert torch.equal(torch.get_rng_state(), torch_before)
    if seed is not None:
        assert_array_equal(np.random.get_state()[1], numpy_before[1])  # noqa: NPY002


def test_nothing_is_printed(capsys):
    """Check that it is silent and does not warn, unless verbose asks for lines."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small(early_stopping=True).fit(X, y).predict(X)
        small(class_weight="balanced").fit(X, names).predict(X)
    assert capsys.readouterr() == ("", "")
    small(verbose=1).fit(X, y)
    assert capsys.readouterr().out.count("\n") >= 8


def test_predictions_do_not_change_the_model():
    """Check that predicting, one sample or many, leaves the model as it is."""
    model = small().fit(X, y)
    before = model.predict_proba(X_new)
    model.predict(X)
    one_by_one = np.concatenate([model.predict_proba(row[None]) for row in X_new])
    assert_array_equal(model.predict_proba(X_new), before)
    assert_allclose(one_by_one, before, rtol=1e-4, atol=1e-6)


LOAD = """
import sys
import joblib
import numpy as np

model = joblib.load(sys.argv[1])
X = np.load(sys.argv[2])
outputs = [model.predict(X), model.predict_proba(X), model.decision_function(X)]
np.savez(sys.argv[3], *outputs, features=model.transform(X))
"""


def load_elsewhere(tmp_path, model):
    """Dump a model and return what it predicts in a fresh process."""
    joblib.dump(model, tmp_path / "model.joblib")
    np.save(tmp_path / "X.npy", X_new)
    files = [tmp_path / name for name in ("model.joblib", "X.npy", "out.npz")]
    done = subprocess.run(
        [sys.executable, "-c", LOAD, *files], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return np.load(files[2]), done.stderr


def test_joblib_in_a_fresh_process(tmp_path):
    """Check that a saved model predicts the same to the last bit elsewhere."""
    model = small(early_stopping=True, optimizer__weight_decay=1e-3).fit(X, names)
    out, errors = load_elsewhere(tmp_path, model)
    assert_array_equal(out["arr_0"], model.predict(X_new))
    assert_array_equal(out["arr_1"], model.predict_proba(X_new))
    assert_array_equal(out["arr_2"], model.decision_function(X_new))
    assert_array_equal(out["features"], model.transform(X_new))
    assert errors == ""


def test_pickle_of_a_gpu_loads_without_one(tmp_path, monkeypatch):
    """Check that a model whose tensors say they lie on a GPU predicts on a CPU."""
    if torch.cuda.is_available():
        pytest.skip("the machine has a GPU")
    model = small().fit(X, y)
    expected = model.predict_proba(X_new)
    # A file written on a machine with a GPU differs in two places: the net's device, and
    # the tags of the tensors that lie there.
    moved = [*model.module_.state_dict().values()]
    for state in model.net_.optimizer_.state.values():
        moved += [state["exp_avg"], state["exp_avg_sq"]]
    on_gpu = {tensor.untyped_storage().data_ptr() for tensor in moved}
    monkeypatch.setattr(
        torch.serialization,
        "location_tag",
        lambda storage: "cuda:0" if storage.data_ptr() in on_gpu else "cpu",
    )
    monkeypatch.setattr(model.net_, "device", "cuda")
    joblib.dump(model, tmp_path / "probe.joblib")
    assert b"cuda:0" in (tmp_path / "probe.joblib").read_bytes()
    out, _ = load_elsewhere(tmp_path, model)
    assert_array_equal(out["arr_1"], expected)
    monkeypatch.undo()
    with pytest.warns(DeviceWarning):
        loaded = joblib.load(tmp_path / "probe.joblib")
    assert str(loaded.net_.device) == "cpu"
    # It can go on training there, too.
    assert loaded.set_params(warm_start=True).fit(X, y).n_iter_ == 16


SCRIPT = """
import copy
import numpy as np
import torch
from sklearn.model_selection import cross_validate
from sk_center import CenterLossClassifier

class Net(torch.nn.Linear):
    pass

X = np.random.default_rng(0).normal(size=(60, 4))
y = np.arange(60) % 2
model = CenterLossClassifier(Net, max_epochs=1, module__in_features=4,
                             module__out_features=2, random_state=0)
found = cross_validate(model, X, y, cv=2, n_jobs=2, return_estimator=True)
print(found["estimator"][0].predict(X).shape)
function = CenterLossClassifier(lambda X: X.sin(), max_epochs=1).fit(X, y)
print((copy.deepcopy(function).predict(X) == function.predict(X)).all())
"""


@pytest.mark.slow
def test_modules_of_a_script_travel():
    """Check that workers return nets whose module is defined in a script or notebook."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.stdout.split() == ["(60,)", "True"], done.stderr


def test_grid_search_in_a_pipeline():
    """Check GridSearchCV over lambda in a Pipeline with two processes."""
    pipe = make_pipeline(StandardScaler(), small())
    grid = {
        "centerlossclassifier__lambda_center": [0, 0.1, 1.0],
        "centerlossclassifier__hidden_layer_sizes": [(8, 2), (16, 4)],
    }
    search = GridSearchCV(pipe, grid, cv=3, n_jobs=2).fit(X, names)
    assert len(search.cv_results_["params"]) == 6
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    serial = GridSearchCV(pipe, grid, cv=3).fit(X, names)
    for key in ("mean_test_score", "std_test_score"):
        assert_array_equal(search.cv_results_[key], serial.cv_results_[key])
    assert_array_equal(search.predict(X), serial.predict(X))


def test_cross_val_predict():
    """Check out-of-fold distances in the columns of the classes."""
    out = cross_val_predict(small(), X, names, cv=3, method="decision_function")
    assert out.shape == (150, 3)
    assert (np.unique(names)[out.argmax(axis=1)] == names).mean() > 0.8


# Errors

BAD = {
    "NaN": (np.where(np.eye(150, 4), np.nan, X), y, "Input X contains NaN"),
    "inf": (np.where(np.eye(150, 4), np.inf, X), y, "Input X contains infinity"),
    "too large": (
        np.where(np.eye(150, 4), 1e300, X.astype(float)),
        y,
        "infinity or a value too large",
    ),
    "one class": (X, np.zeros(150), r"greater than one; got 1 class, \[0"),
    "short y": (X, y[:-1], r"inconsistent numbers of samples: \[150, 149\]"),
    "continuous y": (X, X[:, 0], "Unknown label type: continuous"),
    "y of two columns": (X, np.c_[y, y], "y should be a 1d array"),
    "no y": (X, None, "requires y to be passed"),
    "empty": (X[:0], y[:0], "0 sample"),
    "no features": (X[:, :0], y, "0 feature"),
    "one row": (X[0], y[:1], "Expected 2D array|1D array"),
    "strings": (np.full((150, 4), "a"), y, "could not convert string to float"),
    "y with NaN": (X, np.where(y == 0, np.nan, y), "y holds a missing label, nan at"),
    "empty dataset": (Samples(X[:0], y[:0]), y[:0], "empty Dataset"),
    "dataset of samples in tuples": (TensorDataset(torch.zeros(9, 4)), None, "y is needed"),
    "iterable dataset": (
        torch.utils.data.ChainDataset([]),
        y,
        "must be a map-style Dataset.*partial_fit",
    ),
    "dataset without y": (Samples(X), None, "y is needed"),
    "dataset, short y": (Samples(X), y[:-1], "X has 150 samples, y has 149"),
}


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")  # scikit-learn's
@pytest.mark.parametrize("name", BAD)
def test_bad_data(name):
    """Check that bad data is one clear error, and costs nothing that was fitted."""
    bad_X, bad_y, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        small().fit(bad_X, bad_y)
    model = small().fit(X, y)
    state = {key: id(value) for key, value in vars(model).items()}
    with pytest.raises(ValueError, match=message):
        model.fit(bad_X, bad_y)
    assert {key: id(value) for key, value in vars(model).items()} == state
    assert_same_model(model, fitted())


def test_sparse_data():
    """Check that sparse X is refused with scikit-learn's message."""
    from scipy.sparse import csr_array

    with pytest.raises(TypeError, match="Sparse data was passed"):
        small().fit(csr_array(X), y)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(3), "sample_weight.shape == "),
        (-np.ones(150), "Negative values"),
        (np.full(150, np.nan), "sample_weight contains NaN"),
    ],
)
def test_bad_weights(weight, message):
    """Check the errors for weights."""
    with pytest.raises(ValueError, match=message):
        small().fit(X, y, sample_weight=weight)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lambda_center", -1),
        ("lambda_center", "a"),
        ("alpha", 1),
        ("alpha", -0.1),
        ("center_update", "mean"),
        ("hidden_layer_sizes", ()),
        ("hidden_layer_sizes", (8, 0)),
        ("hidden_layer_sizes", (8, 2.5)),
        ("predict_with", "head"),
        ("max_epochs", 0),
        ("lr", 0),
        ("batch_size", 0),
        ("optimizer", "adam"),
        ("callbacks", 3),
        ("class_weight", "even"),
        ("early_stopping", "yes"),
        ("validation_fraction", 1.0),
        ("n_iter_no_change", 0),
        ("warm_start", 2),
        ("device", 0),
        ("random_state", -1),
        ("module", 3),
        ("module", "mlp"),
        ("verbose", "loud"),
    ],
)
def test_bad_parameter(name, value):
    """Check that the error names the parameter and the value that it got."""
    model = small().fit(X, y)
    model.set_params(**{name: value})
    with pytest.raises(ValueError, match=rf"(?s){name}.*(?i:got) .*") as error:
        model.fit(X, y)
    assert repr(value) in str(error.value)
    default = {
        **signature(CenterLossNet).parameters,
        **signature(CenterLossClassifier).parameters,
    }
    model.set_params(**{name: small().get_params().get(name, default[name].default)})
    assert_same_model(model, fitted())


@pytest.mark.parametrize(
    ("module", "got"),
    [
        (lambda X: X[:, 0], r"a tensor of shape \(2,\)"),
        (lambda X: X[:, :, None], r"a tensor of shape \(2, 4, 1\)"),
        (lambda X: (X, X), "tuple"),
        (lambda X: X.long(), r"a tensor of dtype torch\.int64"),
    ],
)
def test_module_must_give_features(module, got):
    """Check that the error says what the module should give and what it gave."""
    with pytest.raises(ValueError, match=rf"module must map .* \(2, D\); got {got}"):
        small(module=module).fit(X, y)


def test_loss_that_is_not_finite():
    """Check that the error names the epoch and causes, and the old model stays."""
    model = small().fit(X, y)
    model.lr = 1e20
    with pytest.raises(ValueError, match=r"loss is .* in epoch [12]\..*lr=1e\+20"):
        model.fit(X, y)
    assert_same_model(model, fitted())


def test_failed_training_step_is_undone():
    """Check that weights, optimizer and history are back after training failed midway."""
    model = small(warm_start=True).fit(X, y)
    model.lr = 1e20
    with pytest.raises(ValueError, match=r"loss is .* in epoch (9|10)\."):
        model.fit(X, y)
    assert_same_model(model, fitted())
    assert len(model.history_) == model.n_iter_ == 8
    one = small(warm_start=True).fit(X, y).fit(X, y)
    model.lr = one.lr
    assert_same_model(model.fit(X, y), one)


def test_keyboard_interrupt():
    """Check that Ctrl-C in the middle of an epoch ends the call and keeps the model."""

    class Interrupted(nn.Linear):
        def forward(self, X):
            if self.training:
                raise KeyboardInterrupt
            return super().forward(X)

    model = small().fit(X, y)
    model.set_params(module=Interrupted(4, 3))
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    model.set_params(module="auto")
    assert_same_model(model, fitted())


def test_callback_that_fails():
    """Check that the model is as before where a callback raises."""

    class Failing(Callback):
        def on_epoch_end(self, net, **kwargs):
            raise RuntimeError("out of memory")

    model = small().fit(X, y)
    model.set_params(callbacks=[Failing()])
    with pytest.raises(RuntimeError, match="out of memory"):
        model.fit(X, y)
    model.set_params(callbacks=None)
    assert_same_model(model, fitted())


@pytest.mark.parametrize(
    "method",
    [
        "predict",
        "predict_proba",
        "predict_log_proba",
        "decision_function",
        "center_distances",
        "transform",
    ],
)
def test_not_fitted_and_wrong_width(method):
    """Check the errors of every method before fit and for X of another width."""
    with pytest.raises(NotFittedError):
        getattr(CenterLossClassifier(), method)(X)
    for bad, message in [(X[:, :3], "X has 3 features"), (X * np.nan, "contains NaN")]:
        with pytest.raises(ValueError, match=message):
            getattr(fitted(), method)(bad)


def test_a_class_of_one_sample():
    """Check that a class with one sample trains and is predicted for it."""
    rows = np.r_[0:100, 149]
    model = small(max_epochs=60).fit(X[rows], y[rows])
    assert model.center_distances(X[149:150])[0, 2] == pytest.approx(0, abs=1e-3)
    assert model.predict(X[149:150]) == 2


@pytest.mark.parametrize(
    ("rows", "fraction", "message"),
    [
        (np.r_[0:100, 149], 0.1, "101 samples of 3 classes, 1 of class 'virginica'"),
        (np.r_[0:150:10], 0.1, "15 samples of 3 classes, 5 of class 'setosa'"),
        (np.r_[0:150:25], 0.9, "6 samples of 3 classes, 2 of class 'setosa'"),
    ],
)
def test_early_stopping_with_too_few_samples(rows, fraction, message):
    """Check that what is too small to hold a part out is a clear error."""
    model = small(early_stopping=True, validation_fraction=fraction)
    with pytest.raises(ValueError, match=f"fraction={fraction} cannot .*{message}"):
        model.fit(X[rows], names[rows])
    # A split of the user's own needs no such share.
    model.set_params(train_split=ValidSplit(2, stratified=True), max_epochs=1)
    model.fit(X[:100], names[:100])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"early_stopping": True, "callbacks": "disable"}, "needs callbacks"),
        ({"callbacks__stop__patience": 7}, "names no callback"),
        ({"criterion": 3}, "criterion must be a class; got 3"),
        ({"iterator_train": 3}, "iterator_train must be a class; got 3"),
        ({"iterator_train__drop_last": True}, "not a parameter of TensorBatches"),
        ({"class_weight": {0: -5}}, "class_weight must be positive"),
        ({"class_weight": {0: 0}}, "class_weight must be positive"),
        ({"class_weight": {0: np.nan}}, "class_weight must be positive"),
        ({"class_weight": {7: 2}}, "class_weight"),
    ],
)
def test_parameters_that_do_not_go_together(params, message):
    """Check the errors for parameters that are wrong in fit only."""
    with pytest.raises(ValueError, match=message):
        small(**params).fit(X, y)


def test_pickle_is_lean():
    """Check that a pickle holds hardly more than the network, the centers and classes."""
    X, y = load_digits(return_X_y=True)
    model = CenterLossClassifier(max_epochs=30, random_state=0).fit(X[:300] / 16, y[:300])
    tensors = model.module_.state_dict().values()
    needed = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    needed += model.centers_.nbytes + model.classes_.nbytes
    assert len(pickle.dumps(model)) < 1.05 * needed
    assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))


@pytest.mark.parametrize("how", ["warm_start", "partial_fit"])
def test_pickle_trains_on_as_the_original(how):
    """Check that the optimizer is kept where it is of use, and training goes on alike."""
    X, y = load_digits(return_X_y=True)
    X = X / 16
    model = CenterLossClassifier(
        hidden_layer_sizes=(16,),
        max_epochs=2,
        random_state=0,
        warm_start=how == "warm_start",
    )

    def go_on(model):
        if how == "warm_start":
            return model.fit(X, y)
        return model.partial_fit(X, y, classes=np.arange(10))

    go_on(model)
    copy = pickle.loads(pickle.dumps(model))
    assert_array_equal(go_on(copy).transform(X), go_on(model).transform(X))


def test_pickle_trains_on_with_a_new_optimizer():
    """Check that what was pickled without its optimizer trains on all the same."""
    X, y = load_digits(return_X_y=True)
    X = X / 16
    model = CenterLossClassifier(hidden_layer_sizes=(16,), max_epochs=2, random_state=0)
    copy = pickle.loads(pickle.dumps(model.fit(X, y)))
    before = copy.transform(X)
    copy.partial_fit(X, y)
    assert len(copy.history_) == 3
    assert not np.array_equal(copy.transform(X), before)
    assert_array_equal(model.transform(X), before)  # the original has what it had
    assert model.net_.optimizer_ is not None
    with pytest.raises(ValueError, match="training loss is nan"):
        pickle.loads(pickle.dumps(model)).set_params(lr=1e30).partial_fit(X, y)


@pytest.mark.parametrize("head", ["linear", "distance"])
def test_stream_after_training_without_center_loss(head):
    """Check that partial_fit goes on from the class means that fit found."""
    model = small(lambda_center=0, head=head).fit(X, y)
    means = model.centers_.copy()
    assert_array_equal(model.module_.center.predict(), means)
    model.partial_fit(X[y == 0], y[y == 0])
    assert_array_equal(model.centers_[1:], means[1:])
    moved = np.linalg.norm(model.centers_[0] - means[0])
    assert 0 < moved < 0.5 * np.linalg.norm(means[0] - means[1])


@pytest.mark.parametrize("predict_with", ["center", "softmax"])
def test_predict_is_the_largest_decision(predict_with):
    """Check that the quick ways of predict agree with decision_function."""
    model = small(predict_with=predict_with).fit(X, y)
    rng = np.random.default_rng(0)
    many = rng.normal(scale=3, size=(20_000, X.shape[1]))
    expected = model.classes_[model.decision_function(many).argmax(axis=1)]
    assert_array_equal(model.predict(many), expected)
    # float32 passes without scikit-learn's checks, float64 does not.
    assert_array_equal(model.predict(many.astype(np.float32)), expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_undefined_numbers_are_refused_without_checks_too(value):
    """Check that float32 arrays, which skip the slow checks, must be finite."""
    model = small().fit(X, y)
    bad = X.astype(np.float32)
    bad[3, 1] = value
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        model.predict(bad)
    # The sum overflows, the numbers do not.
    large = np.full((4, X.shape[1]), np.finfo(np.float32).max / 2, dtype=np.float32)
    assert len(model.transform(large)) == 4


def test_pickle_is_the_network_and_little_more():
    """Check that a pickle holds no optimizer, no batches, no array twice."""
    model = small(max_epochs=100, hidden_layer_sizes=(64, 64)).fit(X, y)
    needed = sum(tensor.nbytes for tensor in model.module_.state_dict().values())
    needed += model.classes_.nbytes
    data = pickle.dumps(model)
    assert len(data) < needed + 10_500
    again = pickle.loads(data)
    assert_array_equal(again.centers_, model.centers_)
    assert again.centers_.dtype == model.centers_.dtype
    again.centers_[:] = 0  # an array of its own
    assert_array_equal(again.module_.center.predict(), model.centers_)
    assert again.history_ == model.history_
    # A stream has seen no sample of some classes, which the module cannot say.
    stream = small().partial_fit(X[y == 0], y[y == 0], classes=[0, 1])
    again = pickle.loads(pickle.dumps(stream))
    assert_array_equal(again.centers_, stream.centers_)
    assert np.isinf(again.centers_[1]).all()


def test_speed_parameters_reach_the_net():
    """Check the settings of speed and memory by their names of skorch."""
    model = small(
        gradient_accumulation_steps=2,
        deterministic=True,
        iterator_train__resident=True,
        compile=True,
        compile__backend="eager",
        max_epochs=30,
    )
    assert model.fit(X, y).score(X, y) > 0.9
    assert clone(model).get_params()["gradient_accumulation_steps"] == 2
    with pytest.raises(ValueError, match="resident"):
        small(iterator_train__residnt=True).fit(X, y)


@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize("predict_with", ["center", "softmax"])
def test_predictions_of_boolean_classes_are_booleans(predict_with, as_list):
    """Check the dtype of what is learned and predicted where labels are True and False."""
    labels = y == 0
    model = small(predict_with=predict_with)
    model.fit(X, labels.tolist() if as_list else labels)
    assert model.classes_.dtype == model.predict(X).dtype == bool
    assert (model.predict(X) == labels).mean() > 0.9


def test_large_unsigned_labels_keep_their_dtype():
    """Check labels above the largest signed integer, which float64 would round."""
    labels = np.array([2**64 - 1, 2**64 - 2, 3], dtype=np.uint64)
    for streams in (False, True):
        model = small(max_epochs=20)
        if streams:
            model.partial_fit(X, labels[y], classes=labels)
        model.set_params(warm_start=streams).fit(X, labels[y])
        found = model.predict(X)
        assert found.dtype == model.classes_.dtype == np.uint64
        assert (found == labels[y]).mean() > 0.9


def test_complex_labels_are_refused():
    """Check that labels whose imaginary part would be lost are an error."""
    with pytest.raises(ValueError, match=r"(?i)complex|unknown label type"):
        small().fit(X, y + 1j)


@pytest.mark.parametrize("form", [pd.DataFrame, np.ndarray.astype])
def test_anchors_as_data_frame_or_objects(form):
    """Check that anchors are taken in whatever numbers come."""
    points = 3 * np.eye(3, 4)
    given = form(points, object) if form is np.ndarray.astype else form(points)
    model, expected = small(anchors=given).fit(X, y), small(anchors=points).fit(X, y)
    assert_array_equal(model.logits(X), expected.logits(X))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("learning_rate", "lr"),
        ("learning_rate_init", "lr"),
        ("epochs", "max_epochs"),
        ("n_epochs", "max_epochs"),
        ("max_iter", "max_epochs"),
        ("tol", "n_iter_no_change"),
        ("patience", "n_iter_no_change"),
        ("weight_decay", "optimizer__weight_decay"),
        ("optimizer__learning_rate", "optimizer__lr"),
    ],
)
def test_names_of_other_packages(name, meant):
    """Check that what another package calls a parameter leads to ours."""
    with pytest.raises((TypeError, ValueError), match=f"{name}.*did you mean '{meant}'"):
        small(**{name: 1}).fit(X, y)


def test_drop_last_is_no_misspelling():
    """Check that the message says who chooses samples, and who takes the argument."""
    with pytest.raises(
        ValueError, match=r"'iterator_train__drop_last'.*DataLoader takes it"
    ):
        small(iterator_train__drop_last=True).fit(X, y)


def test_gray_images_without_a_channel():
    """Check that the message says where the axis of channels goes."""
    with pytest.raises(ValueError, match=r"Gray images are X\[:, None\]"):
        small().fit(images[:, 0], digits)


def test_module_that_does_not_take_x():
    """Check that an input size that is wrong is an error that shows that of X."""
    module = nn.Linear(7, 2)
    with pytest.raises(ValueError, match=r"module cannot take a batch of shape \(2, 4\)"):
        small(module=module).fit(X, y)


def test_search_over_parameters_of_the_net():
    """Check that parameters that go through are searched, listed, set and cloned."""
    grid = {"lambda_norm": [0.0, 0.1], "lambda_center": [0.1, 1], "alpha": [0.5]}
    search = GridSearchCV(small(max_epochs=2), grid, cv=2).fit(X, y)
    best = search.best_estimator_
    assert {name: best.get_params()[name] for name in grid} == search.best_params_
    assert best.net_.lambda_norm == search.best_params_["lambda_norm"]
    assert clone(best).get_params() == best.get_params()
    with pytest.raises(ValueError, match="'precision' parameter of CenterLossClassifier"):
        small(precision="half").fit(X, y)


def test_parameter_validation_can_be_skipped():
    """Check that scikit-learn's switch reaches the classifier, whose net still checks."""
    with config_context(skip_parameter_validation=True):
        with pytest.raises(ValueError, match="precision must be one of"):
            small(precision="half").fit(X, y)
        assert hasattr(small(early_stopping=0).fit(X, y), "net_")
