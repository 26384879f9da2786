"""What holds for any data, labels and parameters: few examples by default, many if slow."""

import re
import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch
from drawn_problems import ALPHABETS, holds, labels_for, numbers
from hypothesis import example
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from sk_center import Center, CenterLossClassifier, LeaveClassesOut
from sk_center.losses import center_loss
from sk_center.metrics import (
    aupr_score,
    auroc_score,
    fpr_at_tpr,
    oscr_curve,
    oscr_score,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:The columns [0-9, ]+ of X vary by less"),
]
RULES = ("ema", "sum", "wen", "cumulative", "fixed")
# What a user may do wrong with data that these tests draw, in the words of the errors.
DOCUMENTED = (
    "early_stopping=True with validation_fraction",
    "The training loss is",
    "The features of the trained network are not finite",
    "The number of classes has to be greater than one",
    "shape must be \\(C, D\\) with C >= 2 and D >= C - 1",
    "cannot train on a batch of one",
)
DTYPES = ("float32", "float64", "float16", "int8", "uint8", "int64", "bool", ">f8")
SCALES = (0.0, 1e-30, 1e-3, 1.0, 1e3, 1e15)
samples = st.builds(
    numbers,
    n_samples=st.integers(6, 40),
    n_features=st.integers(1, 6),
    dtype=st.sampled_from(DTYPES),
    scale=st.sampled_from(SCALES),
    seed=st.integers(0, 10**6),
)


@st.composite
def problems(draw, kinds=("ints", "strings", "objects", "bools", "floats", "unsigned")):
    """Draw samples with labels."""
    X = draw(samples)
    n_classes = draw(st.integers(2, min(6, len(X))))
    y = labels_for(
        len(X), draw(st.sampled_from(kinds)), n_classes, draw(st.integers(0, 99))
    )
    return X, y


parameters = st.fixed_dictionaries(
    {
        "hidden_layer_sizes": st.sampled_from([(2,), (5,), (4, 3), (3, 6)]),
        "max_epochs": st.integers(1, 3),
        "batch_size": st.integers(1, 50),
        "random_state": st.integers(0, 10**6),
    },
    optional={
        "lambda_center": st.sampled_from([0, 1e-6, 0.1, 1, 10, 1e4]),
        "alpha": st.sampled_from([0, 0.5, 0.9, 0.999999]),
        "center_update": st.sampled_from(RULES),
        "head": st.sampled_from(["linear", "distance"]),
        "metric": st.sampled_from(["euclidean", "cosine"]),
        "precision": st.sampled_from(["float32", "bf16"]),
        "predict_with": st.sampled_from(["center", "softmax"]),
        "lambda_norm": st.sampled_from([0, 0.01, 1]),
        "lr": st.sampled_from([1e-6, 1e-3, 0.1, 10]),
        "class_weight": st.just("balanced"),
        "early_stopping": st.booleans(),
        "center": st.just("simplex"),
        "optimizer": st.sampled_from([torch.optim.Adam, torch.optim.SGD]),
        "gradient_accumulation_steps": st.integers(1, 3),
        "iterator_train__resident": st.booleans(),
        "criterion__label_smoothing": st.sampled_from([0.0, 0.2]),
        "module__dropout": st.sampled_from([0.0, 0.5]),
    },
)
weights = st.sampled_from([None, "ones", "random", "zeros", "tiny"])


def weights_of(kind, n_samples):
    """Return sample weights of some kind, or None."""
    rng = np.random.default_rng(n_samples)
    weight = {
        "ones": np.ones(n_samples),
        "random": rng.random(n_samples) + 0.01,
        "zeros": rng.integers(2, size=n_samples).astype(float),
        "tiny": 10.0 ** -rng.integers(300, size=n_samples),
    }
    return weight.get(kind)


def fitted_or_documented(model, *args, errors=DOCUMENTED, **kwargs):
    """Return a fitted model, or None where the fit ended in a documented error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The centers diverge", RuntimeWarning)
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        try:
            return model.fit(*args, **kwargs)
        except ValueError as error:
            if any(re.search(words, str(error)) for words in errors):
                return None
            raise


@holds(60, problem=problems(), params=parameters, kind=weights)
def test_classifier(problem, params, kind):
    """Check that what a fitted classifier says agrees, whatever it was fitted to."""
    X, y = problem
    weight = weights_of(kind, len(X))
    model = fitted_or_documented(CenterLossClassifier(**params), X, y, sample_weight=weight)
    if model is None:
        return
    kept = np.ones(len(y), dtype=bool) if weight is None else weight > 0
    assert_array_equal(model.classes_, np.unique(y[kept]))
    assert model.classes_.dtype == y.dtype
    assert np.isfinite(model.centers_).all()
    assert torch.isfinite(model.module_.center.predict()).all()
    assert model.tau_ > 0
    n_classes = len(model.classes_)
    probabilities = model.predict_proba(X)
    assert probabilities.shape == (len(X), n_classes)
    assert (probabilities >= 0).all()
    assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    predicted, decision = model.predict(X), model.decision_function(X)
    assert predicted.dtype == y.dtype
    if n_classes == 2:
        assert_array_equal(predicted, model.classes_[(decision > 0).astype(int)])
    else:
        assert_array_equal(predicted, model.classes_[decision.argmax(axis=1)])
    distances = model.center_distances(X)
    assert (distances >= 0).all()
    if model.predict_with == "center":
        assert_array_equal(predicted, model.classes_[distances.argmin(axis=1)])
    assert model.transform(X).shape == (len(X), model.centers_.shape[1])
    assert (model.predict_log_proba(X) <= 0).all()
    assert model.n_iter_ == len(model.history_) <= params["max_epochs"]


@holds(40, problem=problems(), params=parameters, seed=st.integers(0, 99))
@example(  # probabilities of huge logits
    problem=(numbers(6, 4, "float16", 1e15, 0), np.array([0, 1, 1, 0, 0, 0])),
    params={
        "hidden_layer_sizes": (5,),
        "max_epochs": 1,
        "batch_size": 1,
        "random_state": 0,
        "center_update": "fixed",
        "head": "distance",
        "predict_with": "softmax",
    },
    seed=0,
)
def test_permuting_rows(problem, params, seed):
    """Check that the order of samples does not matter for what is said of each."""
    X, y = problem
    model = fitted_or_documented(CenterLossClassifier(**params), X, y)
    if model is None:
        return
    order = np.random.default_rng(seed).permutation(len(X))
    units = {"center": model.tau_, "softmax": 1}[model.predict_with]
    of = {"center": "center_distances", "softmax": "logits"}[model.predict_with]
    for method in ("transform", "center_distances", "logits", "predict_proba"):
        found = getattr(model, method)(X)
        # Rows at the end of a block are summed in another order. Probabilities are as
        # exact as what they are of.
        scale = np.abs(getattr(model, of if method == "predict_proba" else method)(X)).max()
        scale = max(scale / units, 1) if method == "predict_proba" else scale
        close = {"rtol": 1e-5, "atol": 2e-5 * scale}
        assert_allclose(getattr(model, method)(X[order]), found[order], **close)
        alone = np.concatenate([getattr(model, method)(row[None]) for row in X[:5]])
        assert_allclose(alone, found[:5], **close)


def assert_same_bits(model, other, X):
    """Check that two classifiers say the same of samples, to the last bit."""
    for method in ("transform", "center_distances", "logits", "predict_proba"):
        assert_array_equal(getattr(model, method)(X), getattr(other, method)(X))
    assert_array_equal(model.centers_, other.centers_)
    assert model.tau_ == other.tau_


@holds(
    40,
    problem=problems(kinds=["ints"]),
    kind=st.sampled_from([*ALPHABETS]),
    params=parameters,
)
def test_relabelling_classes(problem, kind, params):
    """Check that other labels in the same order change nothing but the labels."""
    X, y = problem
    classes, index = np.unique(y, return_inverse=True)
    alphabet = np.sort(ALPHABETS[kind](len(classes)))
    if len(alphabet) < len(classes):
        return
    model = fitted_or_documented(CenterLossClassifier(**params), X, y)
    other = fitted_or_documented(CenterLossClassifier(**params), X, alphabet[index])
    assert (model is None) == (other is None)
    if model is None:
        return
    assert_same_bits(model, other, X)
    renamed = alphabet[np.searchsorted(classes, model.predict(X))]
    assert_array_equal(other.predict(X), renamed)
    assert other.predict(X).dtype == alphabet.dtype


@holds(
    40,
    problem=problems(),
    params=parameters,
    kind=st.sampled_from(["ones", "random", "zeros", "tiny"]),
    power=st.integers(-60, 60),
)
def test_scaling_sample_weight(problem, params, kind, power):
    """Check that only the ratios of weights count, and none is no sample."""
    X, y = problem
    weight = weights_of(kind, len(X))
    model = CenterLossClassifier(**params)
    model = fitted_or_documented(model, X, y, sample_weight=weight)
    others = [
        fitted_or_documented(clone(model or CenterLossClassifier(**params)), *data)
        for data in (
            (X, y, weight * 2.0**power),  # which is exact
            (X[weight > 0], y[weight > 0], weight[weight > 0]),
        )
    ]
    for other in others:
        assert (model is None) == (other is None)
        if model is not None:
            assert_same_bits(model, other, X)


@holds(
    30,
    problem=problems(),
    params=parameters,
    cuts=st.lists(st.integers(1, 39), max_size=3),
    kind=weights,
)
def test_partial_fit(problem, params, cuts, kind):
    """Check that parts of any size train, and that a class not seen yet is never said."""
    X, y = problem
    params = {**params, "early_stopping": False, "class_weight": None}
    model, weight = CenterLossClassifier(**params), weights_of(kind, len(X))
    edges = sorted({0, *(cut for cut in cuts if cut < len(X)), len(X)})
    classes, seen = np.unique(y), set()
    for i, j in pairwise(edges):
        part = None if weight is None else weight[i:j]
        if part is not None and not part.any():
            continue
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The centers diverge", RuntimeWarning)
            try:
                model.partial_fit(X[i:j], y[i:j], classes=classes, sample_weight=part)
            except ValueError as error:
                if any(re.search(words, str(error)) for words in DOCUMENTED):
                    continue
                raise
        seen |= {*(y[i:j] if part is None else y[i:j][part > 0])}
        assert torch.isfinite(model.module_.center.predict()).all()
        assert_allclose(model.predict_proba(X).sum(axis=1), 1, rtol=1e-5)
        if model.predict_with == "center" and model.net_.center_update != "fixed":
            known = {*classes[np.isfinite(model.centers_).all(axis=1)]}
            assert seen <= known
            assert {*model.predict(X)} <= known


@holds(
    60,
    n_samples=st.integers(1, 30),
    n_classes=st.integers(1, 6),
    update=st.sampled_from(RULES),
    alpha=st.sampled_from([0.0, 0.5, 0.9, 0.99]),
    given_centers=st.booleans(),
    weighted=st.booleans(),
    seed=st.integers(0, 10**6),
)
@example(  # all past their first batches, at a number of steps that is no tensor
    n_samples=1,
    n_classes=1,
    update="ema",
    alpha=0.0,
    given_centers=False,
    weighted=True,
    seed=0,
)
def test_center(n_samples, n_classes, update, alpha, given_centers, weighted, seed):
    """Check that centers do not know the order of samples, classes and their weights."""
    generator = torch.Generator().manual_seed(seed)
    first = torch.randn(n_classes, 3, generator=generator)
    rank = torch.randperm(n_classes, generator=generator)
    # Debiased or not: a tensor is knowledge, what a function returns is a mere start.
    made = [first, first[rank.argsort()], first]
    if not given_centers:
        made = [lambda shape, part=part: part for part in made]
    modules = [Center(3, n_classes, alpha, part, update=update) for part in made]
    for _ in range(3):
        features = torch.randn(n_samples, 3, generator=generator)
        labels = torch.randint(n_classes, (n_samples,), generator=generator)
        weight = torch.rand(n_samples, generator=generator) if weighted else None
        order = torch.randperm(n_samples, generator=generator)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The centers diverge", RuntimeWarning)
            losses = [
                center_loss(features, labels, modules[0], weight),
                center_loss(features, rank[labels], modules[1], weight),
                center_loss(
                    features[order],
                    labels[order],
                    modules[2],
                    None if weight is None else 1024 * weight[order],
                ),
            ]
        if weighted:
            losses[2] = losses[2] / 1024
        assert_allclose(losses[1:], [losses[0]] * 2, rtol=1e-4, atol=1e-5)
        expected, size = modules[0].predict(), modules[0].predict().abs().max()
        close = {"rtol": 1e-4, "atol": 1e-5 * float(size)}
        assert_allclose(modules[1].predict()[rank], expected, **close)
        assert_allclose(modules[2].predict(), expected, **close)
        assert_array_equal(modules[1].count[rank], modules[0].count)


@holds(
    60,
    n_samples=st.integers(4, 60),
    n_values=st.integers(1, 10),
    weighted=st.booleans(),
    seed=st.integers(0, 10**6),
)
@example(n_samples=8, n_values=9, weighted=True, seed=524288)  # a sum rounded up
def test_metrics(n_samples, n_values, weighted, seed):
    """Check that metrics of scores know ranks alone, and no order, names or units."""
    rng = np.random.default_rng(seed)
    y_true, y_pred = rng.integers(4, size=n_samples), rng.integers(2, size=n_samples)
    y_true[:2] = [0, 3]  # one known, one not
    y_score = rng.integers(n_values, size=n_samples).astype(float)
    weight = rng.random(n_samples) + 0.1 if weighted else None
    order = rng.permutation(n_samples)
    names = np.array(["a", "b", "c", "d"])[rng.permutation(4)]

    def metrics(true, pred, score, labels, weight):
        given = {"labels": labels, "sample_weight": weight}
        return [
            auroc_score(true, score, **given),
            aupr_score(true, score, **given),
            fpr_at_tpr(true, score, **given),
            oscr_score(true, pred, score, **given),
        ]

    found = metrics(y_true, y_pred, y_score, [0, 1], weight)
    assert all(0 <= value <= 1 for value in found)
    given = {"labels": [0, 1], "sample_weight": weight}
    ccr, fpr, _ = oscr_curve(y_true, y_pred, y_score, **given)
    assert ccr.max() <= 1
    assert fpr.max() == 1
    assert found[3] <= found[0] + 1e-12  # right as well as told apart
    more = None if weight is None else 3 * weight[order]
    again = metrics(
        names[y_true][order], names[y_pred][order], np.exp(y_score)[order], names[:2], more
    )
    assert_allclose(again, found, rtol=1e-9, atol=1e-12)


@holds(
    40,
    n_samples=st.integers(20, 60),
    n_classes=st.integers(3, 7),
    kind=st.sampled_from(["ints", "strings", "objects", "floats"]),
    seed=st.integers(0, 10**6),
)
def test_leave_classes_out(n_samples, n_classes, kind, seed):
    """Check that a split trains without the classes left out, and no sample twice."""
    y = labels_for(n_samples, kind, n_classes, seed)
    n_unknown = seed % (n_classes - 2) + 1
    splitter = LeaveClassesOut(n_unknown, random_state=seed)
    try:
        splits = list(splitter.split(np.zeros((n_samples, 1)), y))
    except ValueError as error:
        if "must hold out a sample of the known classes" in str(error):
            return
        raise
    assert len(splits) == splitter.get_n_splits(np.zeros((n_samples, 1)), y)
    for train, test in splits:
        assert len(np.intersect1d(train, test)) == 0
        out = np.setdiff1d(np.unique(y), np.unique(y[train]))
        assert len(out) == n_unknown
        assert np.isin(np.flatnonzero(np.isin(y, out)), test).all()
