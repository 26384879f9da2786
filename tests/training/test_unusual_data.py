"""Training on data of unusual size or number."""

from itertools import cycle, product

import numpy as np
import pytest
import torch
from fault_cases import (
    HEADS_AND_RULES,
    N_SAMPLES,
    RULES,
    SAYS_WHAT_TO_DO,
    SCORES_AND_CALIBRATIONS,
    X,
    assert_same_state,
    assert_sane,
    many_X,
    many_y,
    rng,
    small,
    state_of,
    y,
)
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_center import CenterLossNet, OpenSetClassifier


class Samples(torch.utils.data.Dataset):
    """Samples in a map-style dataset, which are not looked at before they train."""

    def __init__(self, X, y):
        self.X, self.y = X, y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, index):
        return self.X[index], self.y[index]


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


@pytest.mark.parametrize(
    ("rate", "confidence"),
    [
        (1e-17, None),
        (5e-324, None),
        (1e-100, 0.5),
        (5e-324, 0.5),
        (1e-310, 1 - 1e-16),
        (1e-17, 1 - 1e-16),
    ],
)
def test_tiny_false_rejection_rate(rate, confidence):
    """Check that a rate near zero asks for samples that nobody has, by the usual error."""
    model = OpenSetClassifier(
        LogisticRegression(),
        false_rejection_rate=rate,
        confidence=confidence,
        random_state=0,
        cv=0.2,
    )
    with pytest.raises(ValueError, match="calibration samples are too few: false_rej"):
        model.fit(many_X, many_y)


@pytest.mark.filterwarnings(
    "ignore:Hardly any outsider|No sample of the class|Samples far from all"
)
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
        random_state=0,
        cv=0.2,
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
def test_unusual_data(name):
    """Check that unusual data train, alone, after a StandardScaler, and in parts."""
    data, labels = UNUSUAL[name]
    for params in ({}, {"head": "distance", "batch_size": 7}, {"metric": "cosine"}):
        model = small(max_epochs=2, **params).fit(data, labels)
        assert_sane(model, data)
        assert_sane(model.partial_fit(data, labels), data)
    if data.ndim == 2:
        pipe = make_pipeline(StandardScaler(), small(max_epochs=2)).fit(data, labels)
        seen = pipe[0].transform(data)
        assert_sane(pipe[1], seen)
        assert_sane(pipe[1].partial_fit(seen, labels), seen)
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
    model = OpenSetClassifier(estimator, random_state=0, cv=0.2)
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


@pytest.mark.parametrize(
    ("update", "alpha", "head"),
    [
        (update, alpha, head)
        for (update, alpha), head in zip(
            product(RULES, [0, 0.999999, 1 - 1e-16]), cycle(["linear", "distance"])
        )
    ],
)
@pytest.mark.filterwarnings("ignore:The centers diverge")
def test_ends_of_alpha(head, alpha, update):
    """Check that centers that forget all, or nothing, train under every rule."""
    params = {"center_update": update, "alpha": alpha, "head": head, "batch_size": 8}
    model = small(**params).fit(X, y)
    assert_sane(model, X)
    assert_sane(small(**params).partial_fit(X, y, classes=[0, 1, 2]), X)


@pytest.mark.parametrize(
    ("head", "update", "bad"),
    [(*pair, bad) for pair, bad in zip(HEADS_AND_RULES, cycle([np.nan, np.inf, -np.inf]))],
)
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
@pytest.mark.parametrize(("score", "calibration"), SCORES_AND_CALIBRATIONS)
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
            cv=0.2,
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
