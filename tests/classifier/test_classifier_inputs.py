"""Tests of what CenterLossClassifier takes: samples and labels of many forms."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small_classifiers import (
    Samples,
    X,
    X_new,
    assert_same_model,
    digits,
    fitted,
    images,
    names,
    small,
    spy_on_training,
    y,
)
from torch import nn
from torch.utils.data import TensorDataset

from sk_center import CenterLossClassifier


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


@pytest.mark.parametrize("n_inputs", [1, 3])
def test_several_inputs_take_a_module(n_inputs):
    """Check that inputs by name ask for a module, however many there are."""
    inputs = {f"x{i}": X for i in range(n_inputs)}
    with pytest.raises(ValueError, match=r"takes one input; got X with the inputs \['x0'"):
        small().fit(inputs, y)


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


@pytest.mark.parametrize(
    ("convert", "message"),
    [
        (lambda X: np.ma.array(X, mask=X > 1), "X has masked entries"),
        (lambda X: X.astype("M8[D]"), "X holds dates or durations"),
        (lambda X: pd.DataFrame(X).astype({0: "datetime64[s]"}), "X holds dates or durati"),
    ],
)
def test_values_that_would_be_lost_are_refused(convert, message):
    """Check that masks are not dropped, and dates do not become numbers."""
    model = CenterLossClassifier(max_epochs=1).fit(X, y)
    for call in (lambda X: model.fit(X, y), model.predict):
        with pytest.raises(ValueError, match=message):
            call(convert(X))


@pytest.mark.parametrize("frame", [False, True])
def test_columns_that_float32_cannot_hold(frame):
    """Check one warning for times since 1970, and none once they are brought near zero."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 50)
    X = rng.normal(size=(100, 3)) + y[:, None]
    X[:, 1] += 1.7e9
    data = pd.DataFrame(X, columns=["a", "t", "b"])
    name = "'t'" if frame else "1"
    with pytest.warns(UserWarning, match=rf"columns {name} of X vary by less than float32"):
        small().fit(data if frame else X, y)
    pipe = make_pipeline(StandardScaler(), small())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipe.fit(data if frame else X, y)
        small().fit(np.float32(X), y)
