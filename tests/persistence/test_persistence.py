"""Files that run no code: what comes back, and what a file of somebody else may not do."""

import errno
import io
import json
import os
import pickle
import random
import subprocess
import sys
import zipfile
from itertools import product

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import skorch
import torch
from fuzz_load import change_bytes, joined, mutated, samples, seeds, split
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn._loss._loss import CyHalfMultinomialLoss
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KernelDensity, LocalOutlierFactor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    StandardScaler,
)
from sklearn.svm import OneClassSVM

from sk_center import CenterLossClassifier, OpenSetClassifier, load, save
from sk_center.centers import glorot_uniform
from sk_center.networks import ConvNet, RandomAffine
from sk_center.scores import (
    CenterDistance,
    Combined,
    Energy,
    FunctionScore,
    InputDensity,
    KNeighbors,
    Mahalanobis,
    OpenMax,
    ViM,
)
from sk_center.scores.registry import SCORES

POSIX = pytest.mark.skipif(os.name != "posix", reason="takes pipes, links and modes")
METHODS = (
    "predict",
    "predict_proba",
    "decision_function",
    "transform",
    "p_values",
    "predict_set",
    "score_samples",
    "logits",
)
X, Y = samples()
IMAGES = np.repeat(X, 3, axis=1).reshape(60, 1, 3, 3)
NAMES = np.array(["", "bb", "\N{SNOWMAN} long"])


class Net(torch.nn.Module):
    """Two dense layers."""

    def __init__(self, width=4):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(3, width), torch.nn.ReLU(), torch.nn.Linear(width, 2)
        )

    def forward(self, X):
        return self.layers(X)


class Odd(torch.nn.Module):
    """What a state dict makes difficult: tied, lazy, half and not persistent tensors."""

    def __init__(self):
        super().__init__()
        self.first, self.tied = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
        self.tied.weight = self.first.weight
        self.lazy = torch.nn.LazyLinear(2)
        self.register_buffer("tenth", torch.full((3,), 0.1, dtype=torch.bfloat16))
        self.register_buffer("unsaved", torch.full((3,), 2.0), persistent=False)

    def forward(self, X):
        return self.lazy(self.tied(self.first(X * self.tenth)) * self.unsaved)


def doubled(X):
    """Return features: a function may be a module."""
    return 2 * X


def minus_norm(X):
    """Return a score."""
    return -np.linalg.norm(X, axis=1)


def local_function():
    """Return a function that has no name in its module."""

    def hidden(X):
        return X

    return hidden


def small(**params):
    """Return a classifier that trains in no time."""
    params = {"hidden_layer_sizes": (4, 2), "max_epochs": 2, "random_state": 0, **params}
    return CenterLossClassifier(**params)


def small_open_set(estimator=None, **params):
    """Return an open-set classifier that trains in no time."""
    params = {"false_rejection_rate": 0.25, "random_state": 0, **params}
    return OpenSetClassifier(small() if estimator is None else estimator, **params)


def answers(model, X):
    """Return what a model says by each of its methods."""
    return {name: getattr(model, name)(X) for name in METHODS if hasattr(model, name)}


def assert_alike(first, second, X):
    """Check that two models give the same bits."""
    expected, found = answers(first, X), answers(second, X)
    assert expected.keys() == found.keys()
    for name in expected:
        assert type(found[name]) is type(expected[name])
        one, other = np.asarray(expected[name]), np.asarray(found[name])
        assert one.dtype == other.dtype, name
        assert_array_equal(one, other, strict=True)


def round_trip(model, path, **kwargs):
    """Return a model that was saved and loaded."""
    save(model, path / "model")
    return load(path / "model", **kwargs)


def plain(value):
    """Return a value in a form that can be compared."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(plain(part) for part in value)
    if isinstance(value, torch.Tensor):
        return value.dtype, value.tolist()
    if isinstance(value, np.ndarray):
        return value.dtype, value.tolist()
    if isinstance(value, np.random.RandomState):
        return plain(value.get_state())
    if hasattr(value, "get_params"):
        return type(value), plain(value.get_params(deep=False))
    if isinstance(value, (skorch.dataset.ValidSplit, torch.nn.Module)):
        return repr(vars(value).get("ranges", vars(value)))
    return type(value), value


CLASSIFIERS = {
    "default": {},
    "distance head": {"head": "distance"},
    "cosine": {"metric": "cosine", "lambda_norm": 0.1},
    "center array": {"center": np.eye(3, 2, dtype=np.float32), "center_update": "wen"},
    "center list": {"center": [[0, 1], [1, 0], [1, 1]], "center_update": "fixed"},
    "simplex": {"center": "simplex", "center_update": "sum"},
    "callable center": {"center": glorot_uniform, "center_update": "cumulative"},
    "class_weight": {"class_weight": {0: 1.0, 1: np.float32(2), np.int64(2): 3}},
    "balanced": {"class_weight": "balanced", "predict_with": "softmax"},
    "background": {"negative_label": 2, "negative_loss": "background"},
    "entropic": {"negative_label": 2, "negative_loss": "entropic"},
    "objectosphere": {
        "negative_label": 2,
        "negative_loss": "objectosphere",
        "negative_loss__min_norm": 3.0,
    },
    "bf16": {"precision": "bf16"},
    "early_stopping": {"early_stopping": True, "validation_fraction": 0.3},
    "RandomState": {"random_state": np.random.RandomState(3)},
    "DataLoader": {"iterator_train": torch.utils.data.DataLoader},
    "criterion": {
        "criterion__weight": torch.tensor([1.0, 2.0, 3.0]),
        "criterion__label_smoothing": 0.1,
    },
    "optimizer": {
        "optimizer": torch.optim.SGD,
        "optimizer__momentum": np.float64(0.9),
        "optimizer__param_groups": [("head*", {"lr": 0.1})],
    },
    "sizes": {
        "hidden_layer_sizes": np.array([4, 3], dtype=np.int16),
        "lr": np.float32(0.01),
    },
    "sizes as list": {"hidden_layer_sizes": [4, 3], "module__dropout": 0.5},
    "split": {"train_split": skorch.dataset.ValidSplit(3, stratified=True)},
    "accumulation": {"gradient_accumulation_steps": 2, "deterministic": True},
    "compile": {"compile": False, "compile__mode": "default", "compile__dynamic": None},
}


@pytest.mark.parametrize("params", CLASSIFIERS.values(), ids=CLASSIFIERS)
def test_classifier(params, tmp_path):
    """Check that a classifier comes back with all its parameters, to the last bit."""
    model = small(**params).fit(X, Y)
    loaded = round_trip(model, tmp_path)
    assert_alike(model, loaded, X)
    assert plain(loaded.get_params()) == plain(model.get_params())
    assert vars(loaded).keys() == vars(model).keys()
    lean = [{**row, "batches": []} for row in model.history_]
    assert [{"batches": [], **row} for row in loaded.history_] == lean
    assert_alike(clone(model).fit(X, Y), clone(loaded).fit(X, Y), X)


LABELS = {
    "uint8": Y.astype(np.uint8),
    "int16 with gaps": (Y * 100 - 50).astype(np.int16),
    "bool": Y > 0,
    "float": Y * 2.0,
    "strings": NAMES[Y],
    "objects": NAMES.astype(object)[Y],
    "wide strings": NAMES.astype("U100")[Y],
}


@pytest.mark.parametrize("y", LABELS.values(), ids=LABELS)
def test_labels(y, tmp_path):
    """Check that labels come back of the same dtype."""
    model = small_open_set().fit(X, y)
    loaded = round_trip(model, tmp_path)
    assert loaded.classes_.dtype == model.classes_.dtype
    assert loaded.estimator_.classes_.dtype == model.estimator_.classes_.dtype
    assert_alike(model, loaded, X)


@pytest.mark.parametrize(
    ("module", "kwargs"),
    [
        (Net, {"module": Net}),
        (Net, {"trusted": [Net]}),
        (Net, {"trusted": (f"{__name__}.Net",)}),
        (Net(width=5), {"module": Net(width=5)}),
        (Odd, {"module": Odd}),
        (Odd(), {"module": Odd()}),
        (doubled, {"module": doubled}),
        (doubled, {"trusted": [doubled]}),
    ],
)
def test_own_module(module, kwargs, tmp_path):
    """Check that a module of the user comes back with its weights."""
    params = {"module__width": 5} if module is Net else {}
    model = small(module=module, **params).fit(X, Y)
    assert_alike(model, round_trip(model, tmp_path, **kwargs), X)


@pytest.mark.parametrize("params", [{}, {"optimizer": torch.optim.SGD}], ids=str)
@pytest.mark.parametrize("how", ["warm_start", "partial_fit"])
def test_training_goes_on(how, params, tmp_path):
    """Check that training goes on after loading as it does without saving.

    The weights of a ConvNet lie in another order in memory than those that are saved.
    """
    params = {"module__channels": (3, 2), "module__image_shape": (1, 3, 3), **params}
    model = small(module=ConvNet, warm_start=how == "warm_start", **params)

    def train(model):
        if how == "warm_start":
            model.fit(IMAGES, Y)
        else:
            model.partial_fit(IMAGES, Y, classes=[0, 1, 2])

    train(model)
    loaded = round_trip(model, tmp_path)
    for _ in range(2):
        train(model)
        train(loaded)
    assert_alike(model, loaded, IMAGES)


def test_unseen_class(tmp_path):
    """Check that a center of which no sample was seen stays infinitely far away."""
    model = small().partial_fit(X[:40], Y[:40], classes=[0, 1, 2])
    loaded = round_trip(model, tmp_path)
    assert np.isinf(loaded.centers_[2]).all()
    for one in (model, loaded):
        one.partial_fit(X, Y)
    assert_alike(model, loaded, X)


def test_augmented_images(tmp_path):
    """Check that a ConvNet comes back with what changes its images in training."""
    params = {"module__image_shape": (1, 3, 3), "module__channels": (2,)}
    augment = RandomAffine(shift=1.0, rotation=10.0)
    model = small(module=ConvNet, module__augment=augment, **params).fit(IMAGES, Y)
    loaded = round_trip(model, tmp_path)
    assert loaded.module__augment.ranges == augment.ranges
    assert_alike(model, loaded, IMAGES)
    assert_alike(clone(model).fit(IMAGES, Y), clone(loaded).fit(IMAGES, Y), IMAGES)


def test_callbacks_are_left_out(tmp_path):
    """Check that a model with callbacks is saved without them and their batches."""
    callbacks = [("schedule", skorch.callbacks.LRScheduler())]
    model = small(callbacks=callbacks, callbacks__print_log=None).fit(X, Y)
    loaded = round_trip(model, tmp_path)
    assert_alike(model, loaded, X)
    assert loaded.callbacks is None
    assert "callbacks__print_log" not in loaded.get_params()
    assert all(row["batches"] == [] for row in loaded.history_)


RADIAL = ["auto", "center_distance", "mahalanobis"]


@pytest.mark.parametrize(
    ("score", "calibration"),
    [
        *product([*sorted(SCORES), "auto"], ["conformal", "weibull"]),
        *product(RADIAL, ["gaussian"]),
    ],
)
def test_score_and_calibration(score, calibration, tmp_path):
    """Check that every score comes back with every calibration it goes with."""
    model = small_open_set(conformity_score=score, calibration=calibration).fit(X, Y)
    loaded = round_trip(model, tmp_path)
    assert_alike(model, loaded, X)
    assert repr(loaded) == repr(model)
    assert vars(loaded).keys() == vars(model).keys()
    assert_alike(clone(model).fit(X, Y), clone(loaded).fit(X, Y), X)


@pytest.mark.parametrize(
    "score",
    [
        Mahalanobis("class", shrinkage="oas", relative=True),
        Mahalanobis(shrinkage=None, centers=np.zeros((3, 2))),
        KNeighbors(2, normalize=True, metric="cityblock", algorithm="ball_tree"),
        KNeighbors(2, algorithm="faiss"),
        KNeighbors(2, algorithm="brute", n_jobs=1),
        Energy(2.0),
        OpenMax(5, alpha=2),
        ViM(1),
        InputDensity(2, shrinkage=0.1),
        Combined([Combined([CenterDistance(), Energy()], how="sum"), Mahalanobis()]),
        GaussianMixture(2, random_state=0, covariance_type="tied"),
        ["knn", "max_softmax"],
    ],
    ids=repr,
)
def test_score_with_parameters(score, tmp_path):
    """Check that scores come back with their parameters."""
    if getattr(score, "algorithm", None) == "faiss":
        pytest.importorskip("faiss")
    model = small_open_set(conformity_score=score).fit(X, Y)
    loaded = round_trip(model, tmp_path)
    assert_alike(model, loaded, X)
    assert plain(loaded.get_params()) == plain(model.get_params())


@pytest.mark.parametrize(
    "params",
    [
        {"false_rejection_rate": {0: 0.2, 1: 0.25, 2: 0.3}},
        {"confidence": 0.6, "false_rejection_rate": 0.4},
        {"cv": 3, "outlier_label": 99},
        {"cv": StratifiedKFold(3)},
        {"outlier_label": np.nan},
    ],
    ids=str,
)
def test_open_set_parameters(params, tmp_path):
    """Check that parameters of an OpenSetClassifier come back."""
    model = small_open_set(**params).fit(X, Y)
    loaded = round_trip(model, tmp_path)
    assert_alike(model, loaded, X)
    assert repr(loaded) == repr(model)
    assert_array_equal(loaded.outlier_label_, model.outlier_label_)


TREE = "sklearn.tree._tree.Tree"
KD_TREE = [
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._kd_tree.KDTree",
]


@pytest.mark.parametrize(
    ("model", "trusted"),
    [
        (small_open_set(conformity_score=OneClassSVM()), [OneClassSVM]),
        (
            small_open_set(conformity_score=KernelDensity()),
            [KernelDensity, *KD_TREE],
        ),
        (
            small_open_set(conformity_score=LocalOutlierFactor(3, novelty=True)),
            [LocalOutlierFactor, *KD_TREE],
        ),
        (
            small_open_set(
                conformity_score=IsolationForest(n_estimators=2, random_state=0)
            ),
            [IsolationForest, "sklearn.tree._classes.ExtraTreeRegressor", TREE],
        ),
        (
            small_open_set(RandomForestClassifier(2)),
            [RandomForestClassifier, "sklearn.tree._classes.DecisionTreeClassifier", TREE],
        ),
        (
            small_open_set(HistGradientBoostingClassifier(max_iter=2, max_features=0.5)),
            [
                HistGradientBoostingClassifier,
                "numpy.random._generator.Generator",
                # Of skops 0.13; scikit-learn 1.6 calls the module "_loss".
                f"{CyHalfMultinomialLoss.__module__}.CyHalfMultinomialLoss",
                "sklearn._loss.link.Interval",
                "sklearn._loss.link.MultinomialLogit",
                "sklearn._loss.loss.HalfMultinomialLoss",
                "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
                "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
            ],
        ),
        (small_open_set(conformity_score=FunctionScore(minus_norm)), [minus_norm]),
    ],
    ids=["svm", "density", "neighbors", "isolation", "forest", "boosting", "function"],
)
def test_trusted(model, trusted, tmp_path):
    """Check that what could harm is loaded if the caller says so, by class or by name."""
    model.fit(X, Y)
    save(model, tmp_path / "model")
    with pytest.raises(ValueError, match="which are not trusted"):
        load(tmp_path / "model")
    assert_alike(model, load(tmp_path / "model", trusted=trusted), X)
    names = [
        name if isinstance(name, str) else f"{name.__module__}.{name.__qualname__}"
        for name in trusted
    ]
    assert_alike(model, load(tmp_path / "model", trusted=names), X)


FRAME = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": np.where(X[:, 2] > 1, "u", "v")})


def columns():
    """Return a transformer of a DataFrame."""
    return ColumnTransformer(
        [
            ("numbers", make_pipeline(StandardScaler(), PCA(2)), ["a", "b"]),
            ("names", OneHotEncoder(sparse_output=False), ["c"]),
        ]
    )


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(columns(), small()),
        make_pipeline(columns(), small_open_set()),
        make_pipeline(columns(), small_open_set(make_pipeline(StandardScaler(), small()))),
        small_open_set(make_pipeline(columns(), small())),
        small_open_set(make_pipeline(columns(), LogisticRegression())),
    ],
    ids=["classifier", "open set", "both", "inside", "no network"],
)
def test_pipeline(model, tmp_path):
    """Check that Pipelines of a DataFrame come back, in whatever order they are nested."""
    model = clone(model).fit(FRAME, NAMES[Y])
    loaded = round_trip(model, tmp_path)
    assert_alike(model, loaded, FRAME)
    assert repr(loaded) == repr(model)
    assert_array_equal(loaded.feature_names_in_, model.feature_names_in_, strict=True)


def test_gaps_in_a_table(tmp_path):
    """Check that imputers, which remember dtypes, come back without being trusted."""
    gaps = FRAME.astype({"c": object})
    gaps.iloc[::7] = np.nan
    fill = [
        ("numbers", SimpleImputer(add_indicator=True), ["a", "b"]),
        (
            "names",
            make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()),
            ["c"],
        ),
        (
            "bins",
            make_pipeline(SimpleImputer(strategy="most_frequent"), KBinsDiscretizer(2)),
            ["a"],
        ),
    ]
    model = make_pipeline(ColumnTransformer(fill), small()).fit(gaps, Y)
    assert_alike(model, round_trip(model, tmp_path), gaps)


def test_pipeline_without_its_cache(tmp_path):
    """Check that a Pipeline comes back without the folder where it keeps pickles."""
    model = Pipeline([("scale", StandardScaler()), ("net", small())], memory=str(tmp_path))
    loaded = round_trip(model.fit(X, Y), tmp_path)
    assert loaded.memory is None
    assert_alike(model, loaded, X)


@pytest.mark.parametrize("number", [int, np.int64])
def test_text_about_memory(number, tmp_path):
    """Check that a vocabulary may hold the name of the parameter of a Pipeline."""
    words = np.array([f"memory {name}" for name in NAMES[Y]])
    order = {"memory": number(0), "bb": number(1), "long": number(2)}
    text = CountVectorizer(vocabulary=order)
    model = make_pipeline(text, TruncatedSVD(2), small()).fit(words, Y)
    save(model, tmp_path / "model")
    loaded = load(tmp_path / "model", trusted=[CountVectorizer])
    assert_alike(model, loaded, words)


def test_frozen_estimator(tmp_path):
    """Check that a frozen estimator comes back, and is frozen."""
    frozen = FrozenEstimator(small().fit(X, Y))
    loaded = round_trip(small_open_set(frozen).fit(X, Y), tmp_path)
    assert isinstance(loaded.estimator_, FrozenEstimator)
    assert_alike(small_open_set(frozen).fit(X, Y), loaded, X)


def test_set_output_and_requests(tmp_path):
    """Check that what set_output and the metadata requests had set comes back."""
    model, frame = small().set_output(transform="pandas"), FRAME[["a", "b"]]
    with config_context(enable_metadata_routing=True):
        model.set_fit_request(sample_weight="w")
        loaded = round_trip(model.fit(frame, Y), tmp_path)
        assert loaded.get_metadata_routing().fit.requests["sample_weight"] == "w"
    features = loaded.transform(frame)
    assert isinstance(features, pd.DataFrame)
    assert [*features.columns] == [*model.get_feature_names_out()]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (StandardScaler(), "estimator must be a CenterLossClassifier"),
        (GridSearchCV(small(), {"lr": [0.1]}, cv=2), "of a search, save best_estimator_"),
        (small(compile__options={"cpp.cxx": ("x",)}), "CenterLossClassifier.*compile__opt"),
        (
            small(torch_load_kwargs={"weights_only": False}),
            "torch_load_kwargs must be None",
        ),
        (
            small(random_state=np.random.RandomState(np.random.PCG64(0))),
            "CenterLossClassifier.random_state cannot be saved: a RandomState of PCG64",
        ),
        (
            make_pipeline(CalibratedClassifierCV(small(), cv=2)),
            "Pipeline.steps.0.1 cannot be saved: skops knows no CalibratedClassifierCV "
            r"\(.*\)\. joblib\.dump writes what a pickle can hold\.",
        ),
        (
            make_pipeline(FunctionTransformer(lambda X: X), small()),
            "Pipeline.steps.0.1 cannot be saved: it holds "
            r"\['test_persistence.<lambda>'\], which load could not import .* top level",
        ),
        (
            make_pipeline(FunctionTransformer(local_function()), small()),
            r"it holds \['test_persistence.hidden'\], which load could not import",
        ),
    ],
    ids=[
        "scaler",
        "search",
        "compiler",
        "torch.load",
        "PCG64",
        "hidden net",
        "lambda",
        "local function",
    ],
)
def test_what_cannot_be_saved(model, message, tmp_path):
    """Check that save names what it cannot save, and writes nothing."""
    model = clone(model).fit(X, Y)
    with pytest.raises(ValueError, match=f"(?i){message}"):
        save(model, tmp_path / "model")
    assert [*tmp_path.iterdir()] == []


@POSIX
@pytest.mark.parametrize("name", ["folder", "fifo", "missing/model"])
def test_save_to_no_file(name, tmp_path):
    """Check that save replaces nothing that is no regular file."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match=f"cannot write .*{name}"):
        save(small().fit(X, Y), tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fifo", "folder"]
    assert (tmp_path / "fifo").is_fifo()


@POSIX
def test_save_through_a_link(tmp_path):
    """Check that a symbolic link stays, and what it points to is written."""
    (tmp_path / "link").symlink_to(tmp_path / "target")
    model = small().fit(X, Y)
    save(model, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert_alike(model, load(tmp_path / "target"), X)


@POSIX
def test_save_for_all_who_may_read(tmp_path):
    """Check that a file is open to whom the process leaves its files open to."""
    before = os.umask(0o027)
    try:
        save(small().fit(X, Y), tmp_path / "model")
    finally:
        os.umask(before)
    assert (tmp_path / "model").stat().st_mode & 0o777 == 0o640


def test_save_by_a_long_name(tmp_path):
    """Check that a name may be as long as the disk allows."""
    save(small().fit(X, Y), str(tmp_path / ("x" * 255)))
    assert [path.name for path in tmp_path.iterdir()] == ["x" * 255]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_save_keeps_the_old_file(failing, tmp_path, monkeypatch):
    """Check that a file stays as it is where writing another in its place fails."""
    (tmp_path / "model").write_text("old")
    model = small().fit(X, Y)

    def fail(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match=r"cannot write .*model.*No space") as caught:
        save(model, tmp_path / "model")
    assert caught.value.errno == errno.ENOSPC
    assert (tmp_path / "model").read_text() == "old"
    assert len([*tmp_path.iterdir()]) == 1


def test_save_to_a_full_disk(tmp_path):
    """Check that the old file stays, and an OSError tells, where a file cannot grow."""
    resource = pytest.importorskip("resource")
    (tmp_path / "model").write_text("old")
    model = small(hidden_layer_sizes=(100, 100)).fit(X, Y)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(OSError, match=r"cannot write .*model"):
            save(model, tmp_path / "model")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (tmp_path / "model").read_text() == "old"
    assert len([*tmp_path.iterdir()]) == 1


def test_not_fitted(tmp_path):
    """Check that only a fitted estimator is saved."""
    with pytest.raises(NotFittedError):
        save(small(), tmp_path / "model")


@pytest.mark.parametrize("path", ["nothing", "."])
def test_load_no_file(path, tmp_path):
    """Check that what is no file is called so."""
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load(tmp_path / path)


@POSIX
def test_load_does_not_wait(tmp_path):
    """Check that a pipe, which would be waited for, is no file."""
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load(tmp_path / "fifo")


def test_trusted_is_a_sequence(tmp_path):
    """Check that one name is not taken letter by letter."""
    save(small(module=Net).fit(X, Y), tmp_path / "model")
    with pytest.raises(ValueError, match="trusted must be a sequence"):
        load(tmp_path / "model", trusted=f"{__name__}.Net")


def test_missing_module(tmp_path):
    """Check that load says which class is to be passed, and that another does not go."""
    save(small(module=Net).fit(X, Y), tmp_path / "class")
    save(small(module=Net()).fit(X, Y), tmp_path / "instance")
    with pytest.raises(ValueError, match=rf"it names \['{__name__}.Net'\], which are not"):
        load(tmp_path / "class")
    with pytest.raises(ValueError, match=r"instance of .*Net as its module; pass one"):
        load(tmp_path / "instance")
    for name in ("class", "instance"):
        with pytest.raises(ValueError, match=r"(?s)cannot be loaded.*(wants|Missing key)"):
            load(tmp_path / name, module=Odd if name == "class" else Odd())


def test_missing_name(tmp_path):
    """Check that a trusted class that cannot be imported is named."""
    save(small(module=Net).fit(X, Y), tmp_path / "model")
    content, arrays = split((tmp_path / "model").read_bytes())
    text = json.dumps(content).replace(f"{__name__}.Net", "no_such_package.Net")
    (tmp_path / "model").write_bytes(joined(json.loads(text), arrays))
    with pytest.raises(ValueError, match=r"no_such_package.Net is not to be found here"):
        load(tmp_path / "model", trusted=["no_such_package.Net"])


@pytest.fixture(scope="module")
def files():
    """Return files of models that have all in them that a model can have."""
    return seeds()


def loaded_or_refused(data, path):
    """Return the model of a file, or None where load raises a ValueError, and only that."""
    path.write_bytes(data)
    try:
        return load(path)
    except ValueError:
        return None


def test_damaged_files(files, tmp_path):
    """Check that each of 700 damaged files is refused or gives an equal model."""
    rng, path = random.Random(0), tmp_path / "model"
    models = [loaded_or_refused(data, path) for data in files]
    n_refused = 0
    for i in range(700):
        k = i % len(files)
        found = loaded_or_refused(change_bytes(files[k], rng), path)
        n_refused += found is None
        if found is not None:
            inputs = IMAGES if k == 2 else X
            assert_alike(models[k], found, inputs)
    assert n_refused > 690


@pytest.mark.filterwarnings("ignore")
def test_forged_files(files, tmp_path):
    """Check that of 300 changed files, with checksums that go with them, none does harm."""
    rng, path, n_refused = random.Random(0), tmp_path / "model", 0
    for i in range(300):
        n_refused += loaded_or_refused(mutated(files[i % len(files)], rng), path) is None
    assert 150 < n_refused < 300


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_many_forged_files(files, tmp_path):
    """Check that of 10000 changed files none does harm."""
    rng = random.Random(1)
    for i in range(10_000):
        loaded_or_refused(mutated(files[i % len(files)], rng), tmp_path / "model")


class Bomb:
    """Leaves a trace where it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def archive(schema, files=None, **kwargs):
    """Return an archive as skops writes it."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", **kwargs) as opened:
        for name, content in (files or {}).items():
            opened.writestr(name, content)
        opened.writestr("schema.json", json.dumps({**schema, "protocol": 2}))
    return made.getvalue()


def npy(array, allow_pickle=False):
    """Return an array as a file of numpy."""
    made = io.BytesIO()
    np.save(made, array, allow_pickle=allow_pickle)
    return made.getvalue()


def node(loader, class_, content=None, **parts):
    """Return a node of skops."""
    module, _, name = class_.rpartition(".")
    node = {"__loader__": loader, "__module__": module, "__class__": name, **parts}
    return node if content is None else {**node, "content": content}


def number(value):
    """Return the node of a number."""
    return node("JsonNode", "builtins.str", json.dumps(value))


def of_numpy(file, class_="numpy.ndarray", **parts):
    """Return the node of an array in a file."""
    return node("NdArrayNode", class_, type="numpy", file=file, **parts)


def dtype_of(array):
    """Return the node of a dtype."""
    return node("DTypeNode", "numpy.dtype", array)


def list_of(*nodes, **parts):
    """Return the node of a list."""
    return node("ListNode", "builtins.list", [*nodes], **parts)


def dict_of(**parts):
    """Return the node of a dict."""
    names = list_of(*(node("TypeNode", "builtins.str") for _ in parts))
    return node("DictNode", "builtins.dict", parts, key_types=names)


def estimator(class_, **attributes):
    """Return the node of an estimator."""
    return node("ObjectNode", class_, dict_of(**attributes))


SCALER = "sklearn.preprocessing._data.StandardScaler"


def with_archive(data, made):
    """Return a file of a Pipeline with another archive of skops in the place of its own."""
    content, arrays = split(data)
    (name,) = [name for name, array in arrays.items() if array.tobytes()[:2] == b"PK"]
    arrays[name] = np.frombuffer(made, dtype=np.uint8)
    return joined(content, arrays)


@pytest.mark.parametrize("where", ["file", "archive", "array", "objects"])
def test_pickle_does_not_run(where, files, tmp_path):
    """Check that no pickle runs, wherever it is put."""
    path, trace = tmp_path / "model", tmp_path / "trace"
    bomb = pickle.dumps(Bomb(trace))
    if where == "file":
        path.write_bytes(bomb)
    elif where == "archive":
        path.write_bytes(with_archive(files[3], bomb))
    else:
        array = npy(np.array([Bomb(trace)], dtype=object), allow_pickle=True)
        schema = estimator(SCALER, mean_=of_numpy("1.npy", __id__=1))
        if where == "array":
            schema["content"]["content"]["mean_"]["file"] = "1.bin"
        made = archive(schema, {"1.npy" if where == "objects" else "1.bin": array})
        path.write_bytes(with_archive(files[3], made))
    with pytest.raises(ValueError, match="cannot be loaded"):
        load(path)
    assert not trace.exists()
    with open(trace, "w"):
        assert trace.exists()


UNTRUSTED = {
    "function": node("FunctionNode", "os.system"),
    "class": node("TypeNode", "subprocess.Popen"),
    "method": node(
        "MethodNode",
        SCALER,
        {"func": "fit", "obj": estimator(SCALER)},
    ),
    "partial": node(
        "PartialNode",
        "functools.partial",
        dict.fromkeys(("func", "args", "kwds", "namespace"), number(None)),
    ),
    "tree": estimator("sklearn.tree._classes.DecisionTreeClassifier"),
    "neighbors": estimator("sklearn.neighbors._classification.KNeighborsClassifier"),
    "svm": estimator("sklearn.svm._classes.SVC"),
    "clusters": estimator("sklearn.cluster._kmeans.KMeans"),
    "hashing": estimator("sklearn.feature_extraction._hash.FeatureHasher"),
    "generator": node(
        "RandomStateNode", "numpy.random.mtrand.RandomState", number({"state": 1})
    ),
    "state of a dtype": node(
        "ObjectNode", "numpy.dtype", list_of(number(3), number("V"), number(1))
    ),
    "class of dtypes": node("TypeNode", "numpy.dtype"),
    "sparse": node(
        "SparseMatrixNode", "scipy.sparse._csr.csr_matrix", type="scipy", file="1", __id__=9
    ),
}


@pytest.mark.parametrize("part", UNTRUSTED.values(), ids=UNTRUSTED)
def test_untrusted_in_an_archive(part, files, tmp_path):
    """Check that code, and compiled code that trusts what it is given, must be trusted."""
    schema = estimator(SCALER, mean_=part, n_features_in_=number(3))
    made = archive(schema, {"1": b""})
    (tmp_path / "model").write_bytes(with_archive(files[3], made))
    with pytest.raises(ValueError, match="which are not trusted"):
        load(tmp_path / "model")


GENERATOR = "numpy.random._generator.Generator"
LONG = number(2**128 - 1)


def generator(**state):
    """Return the node of a random generator."""
    bits = dict_of(bit_generator=number("PCG64"), state=dict_of(**state))
    content = {"bit_generator": bits, "seed_seq": dict_of()}
    return node("RandomGeneratorNode", GENERATOR, content)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (generator(state=LONG, inc=LONG), f"it names .*{GENERATOR}"),
        (generator(state=number(2**128), inc=LONG), "more than 64 bits"),
        (generator(state=number(-(2**128)), inc=LONG), "more than 64 bits"),
        (generator(state=LONG, inc=LONG, pos=LONG), "more than 64 bits"),
        (generator(state=list_of(LONG)), "more than 64 bits"),
        (list_of(generator(state=LONG, inc=LONG), LONG), "more than 64 bits"),
        (dict_of(state=dict_of(state=LONG)), "more than 64 bits"),
        (node("RandomGeneratorNode", GENERATOR, "state"), "cannot be loaded"),
    ],
)
def test_long_integers_of_a_generator(part, message, files, tmp_path):
    """Check that an archive holds integers of 128 bits as state of PCG64 only."""
    made = archive(estimator(SCALER, mean_=part, n_features_in_=number(3)))
    (tmp_path / "model").write_bytes(with_archive(files[3], made))
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "model")


def shared(depth):
    """Return nodes of which each stands twice for the one before."""
    part = number(1)
    for i in range(1, depth):
        part = list_of(part, {"__id__": i, **number(1)}, __id__=i + 1)
        part["content"][1]["__id__"] = i
    return part


A_MEGABYTE = np.zeros(2**17)
ARCHIVES = {
    "void": archive(
        estimator(SCALER, mean_=of_numpy("1.npy", "numpy.void")),
        {"1.npy": npy(np.array(10**11))},
    ),
    "bytes": archive(
        estimator(SCALER, mean_=of_numpy("1.npy", "numpy.bytes_")),
        {"1.npy": npy(np.array(10**11))},
    ),
    "one file often": archive(
        estimator(
            SCALER, mean_=list_of(*(of_numpy("1.npy", __id__=i) for i in range(9999)))
        ),
        {"1.npy": npy(A_MEGABYTE)},
    ),
    "one file without id": archive(
        estimator(SCALER, mean_=list_of(*[of_numpy("1.npy")] * 9999)),
        {"1.npy": npy(A_MEGABYTE)},
    ),
    "header": archive(
        estimator(SCALER, mean_=of_numpy("1.npy")),
        {"1.npy": npy(A_MEGABYTE).replace(b"(131072,)", b"(9**11,) ")},
    ),
    "large header": archive(
        estimator(SCALER, mean_=of_numpy("1.npy", __id__=1)),
        {"1.npy": npy(np.zeros(100)).replace(b"(100,), }     ", b"(10000000000,)}")},
    ),
    "compressed": archive(
        estimator(SCALER, mean_=of_numpy("1.npy", __id__=1)),
        {"1.npy": npy(np.zeros(2**25))},
        compression=zipfile.ZIP_DEFLATED,
    ),
    "shared nodes": archive(estimator(SCALER, mean_=shared(60))),
    "cached nodes": archive(
        {
            **estimator(SCALER, mean_=node("CachedNode", "builtins.list", __id__=1)),
            "__id__": 1,
        }
    ),
    "axes": archive(
        estimator(
            SCALER,
            mean_=node(
                "NdArrayNode",
                "numpy.ndarray",
                [of_numpy("1.npy", __id__=1)] * 999,
                type="json",
                shape=node("TupleNode", "builtins.tuple", [number(999), number(2**17)]),
            ),
        ),
        {"1.npy": npy(A_MEGABYTE)},
    ),
    "cache": archive(estimator("sklearn.pipeline.Pipeline", memory=number("cache"))),
    "cache of numpy": archive(
        estimator(
            "sklearn.pipeline.Pipeline", memory=of_numpy("1.npy", "numpy.str_", __id__=1)
        ),
        {"1.npy": npy(np.array("cache"))},
    ),
    "dtype": archive(
        estimator(SCALER, mean_=dtype_of(of_numpy("1.npy", __id__=1))),
        {"1.npy": npy(np.zeros(0, dtype="V1000000000"))},
    ),
    "dtype of another array": archive(
        estimator(
            SCALER,
            mean_=of_numpy("1.npy", __id__=1),
            var_=dtype_of(of_numpy("2.npy", __id__=1)),
        ),
        {"1.npy": npy(np.zeros(0, dtype="V1000000000")), "2.npy": npy(np.zeros(0))},
    ),
    "dtype of no array": archive(estimator(SCALER, mean_=dtype_of(number(1)))),
    "type": archive(node("TypeNode", "numpy.bytes_")),
    "colliding": archive(
        node(
            "SetNode",
            "builtins.set",
            [number(k * (2**61 - 1)) for k in range(2**64, 2**64 + 50_000)],
        )
    ),
    "functions": archive(
        list_of(*[node("FunctionNode", "numpy.exp")] * 20_000),
    ),
}


def edited(data, changes):
    """Return a file with other parts.

    Parameters
    ----------
    data : bytes
        A file.

    changes : dict
        JSON by where it is to be put, with dots between.

    Returns
    -------
    data : bytes
        A file.
    """
    content, arrays = split(data)
    for path, value in changes.items():
        *parents, last = path.split(".")
        part = content["estimator"]["object"]
        for name in parents:
            part = part[name]
            part = part["object"] if isinstance(part, dict) and "object" in part else part
        if isinstance(value, np.ndarray):
            arrays["added"], value = value, {"array": "added"}
        part[last] = value
    return joined(content, arrays)


NET = "fitted.net_"
LAW = {"law": ["f", [1, 1], {"dict": []}]}
AFFINE = {"object": {"type": "sk_center.networks.RandomAffine", "params": {}}}
DEEP = json.loads("[" * 400 + "]" * 400)
PARTS = {
    "wide layers": {f"{NET}.params.module__hidden_layer_sizes": [10**6, 10**6]},
    "many layers": {f"{NET}.params.module__hidden_layer_sizes": [1] * 100_000},
    "array of layers": {
        f"{NET}.params.module__hidden_layer_sizes": np.ones(2**22, dtype=np.int8)
    },
    "large sample": {f"{NET}.fitted.sample_shape": {"tuple": [10**6, 10**6]}},
    "laws": {"params.lr": [LAW] * 30_000},
    "wide law": {"params.lr": {"law": ["f", [{"array": "added"}, 1], {"dict": []}]}},
    "modules": {"params.lr": [AFFINE] * 30_000},
    "copies": {
        "params.lr": [
            {
                "object": {
                    "type": "sk_center.net.CenterLossNet",
                    "params": {"module": {"module": {"name": "Net", "instance": True}}},
                }
            }
        ]
        * 100
    },
    "simplex": {
        f"{NET}.params.module": {
            "module": {"name": "sk_center.centers.simplex_etf", "instance": False}
        },
        f"{NET}.params.module__shape": [20_000, 20_000],
    },
    "module by name": {f"{NET}.params.module": {"name": "sk_center.networks.MLP"}},
    "tensors from one array": {
        "params.lr": [{"tensor": ["CenterLossClassifier.net_.module.body.0.weight", "x"]}]
        * 9
    },
    "colliding keys": {
        "params.class_weight": {
            "dict": [[k * (2**61 - 1), 1] for k in range(2**64, 2**64 + 100_000)]
        }
    },
    "tuples as keys": {"params.class_weight": {"dict": [[{"tuple": [1]}, 1]]}},
    "deep": {"params.lr": DEEP},
    "lists": {"params.lr": [[]] * 2_000_000},
    "position": {
        "params.random_state": {
            "random_state": {
                "tuple": ["MT19937", {"array": "added"}, 10**9, 0, 0.0],
            }
        },
    },
    "compiler": {
        f"{NET}.params.compile": True,
        f"{NET}.params.compile__options": {"dict": [["cpp.cxx", {"tuple": ["program"]}]]},
    },
    "compiler of the classifier": {
        "params.compile__options": {"dict": [["cpp.cxx", {"tuple": ["program"]}]]}
    },
    "backend": {f"{NET}.params.compile__backend": "tvm"},
    "attribute": {f"{NET}.params.module_": 1},
    "hidden attribute": {f"{NET}.params.__class__": 1},
    "torch.load": {f"{NET}.params.torch_load_kwargs": {"dict": [["weights_only", False]]}},
    "callbacks": {"params.callbacks": []},
    "unknown attribute": {"fitted.predict": 1},
    "unknown param": {"params.predict": 1},
    "classes out of order": {"fitted.classes_": np.array([1, 0, 2])},
    "classes twice": {"fitted.classes_": np.array([0, 1, 1])},
    "fewer classes": {"fitted.classes_": np.array([0, 1])},
    "mixed classes": {"fitted.classes_": {"objects": ["a", 1, None]}},
    "infinite tau": {"fitted.tau_": {"float": "inf"}},
    "negative tau": {"fitted.tau_": -1},
    "no center": {"fitted.centers_": np.full((3, 2), np.nan, dtype=np.float32)},
    "shape": {"fitted._sample_shape": {"tuple": [4]}},
    "inputs": {"fitted.feature_names_in_": {"objects": ["a", "b"]}},
    "names": {"fitted.feature_names_in_": {"objects": ["a", "b", 1]}},
    "type": {"type": "os.system"},
    "no classifier": {"type": "sk_center.scores.Energy"},
    "device": {f"{NET}.params.device": "xla"},
}


@pytest.fixture(scope="module")
def hostile(files):
    """Return files that were made to harm, by name."""
    found = {name: with_archive(files[3], made) for name, made in ARCHIVES.items()}
    for name, changes in PARTS.items():
        content, arrays = split(files[0])
        arrays["added"] = np.ones((2**16, 1))
        if name == "position":
            arrays["added"] = np.zeros(624, dtype=np.uint32)
        found[f"part: {name}"] = edited(joined(content, arrays), changes)
    content, arrays = split(files[3])
    (name,) = [name for name, array in arrays.items() if array.tobytes()[:2] == b"PK"]
    content["more"] = 1
    steps = content["estimator"]["object"]["params"]["steps"]
    steps.extend([{"tuple": [f"step{i}", {"skops": name}]} for i in range(10_000)])
    found["one archive often"] = joined(content, arrays)
    found["header"] = (2**60).to_bytes(8, "little") + b"{}"
    found["long header"] = (9 * 10**7).to_bytes(8, "little") + b" " * (9 * 10**7)
    found["empty"] = b""
    return found


@pytest.mark.parametrize("name", [*ARCHIVES, *(f"part: {name}" for name in PARTS)])
def test_hostile_file(name, hostile, tmp_path):
    """Check that files that were made to harm are refused, with a message of some size."""
    (tmp_path / "model").write_bytes(hostile[name])
    module = Net() if name == "part: copies" else None
    message = "cannot be loaded as a model of sk_center"
    with pytest.raises(ValueError, match=message) as found:
        load(tmp_path / "model", module=module)
    assert len(str(found.value)) < 11_000


MEASURE = """
import resource, sys
from pathlib import Path
from sk_center import load

paths = sorted(Path(sys.argv[1]).iterdir())

def try_all(paths):
    for path in paths:
        try:
            load(path)
        except ValueError as error:
            if isinstance(error.__cause__, MemoryError):
                print(path.name, "asks for too much memory")
        else:
            print(path.name, "is loaded")

import warnings
warnings.simplefilter("ignore")
try_all(path for path in paths if path.name == "fine")
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + 2**30
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try_all(path for path in paths if path.name != "fine")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_hostile_files_take_no_memory(hostile, files, tmp_path):
    """Check that files of a few megabytes, made to take much memory, take none."""
    for i, data in enumerate(hostile.values()):
        (tmp_path / str(i)).write_bytes(data)
    (tmp_path / "fine").write_bytes(files[3])
    command = [sys.executable, "-c", MEASURE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    fine, *others, megabytes = done.stdout.splitlines()
    assert fine == "fine is loaded"
    assert others == []
    assert int(megabytes) < 400


OPEN_SET = {
    "threshold": {"fitted.thresholds_": np.array([0.25, 1, 0.25])},
    "no threshold": {"fitted.thresholds_": np.array([0.25, np.nan, 0.25])},
    "other thresholds": {"fitted.thresholds_": np.array([0.25, 0.2, 0.25])},
    "outlier is a class": {"params.outlier_label": 1, "fitted.outlier_label_": 1},
    "outlier of another kind": {"fitted.outlier_label_": "x"},
    "classes": {"fitted.classes_": np.array([0, 1, 3])},
    "group": {"fitted.calibration_.fitted.groups_": np.array([0, 1, 3])},
    "negative group": {"fitted.calibration_.fitted.groups_": np.array([0, 1, -1])},
    "fewer members": {"fitted.calibration_.fitted._members": []},
    "laws": {"fitted.calibration_.fitted._laws": [LAW] * 2},
    "means": {"fitted.calibration_.fitted._means": [1.0, 1.0, 0.0]},
    "score": {"fitted.score_.fitted.classes_": np.array([0, 1])},
    "estimator": {"fitted.estimator_": AFFINE},
}


@pytest.mark.parametrize("changes", OPEN_SET.values(), ids=OPEN_SET)
def test_open_set_that_does_not_fit(changes, files, tmp_path):
    """Check that an OpenSetClassifier of parts that do not go together is refused."""
    (tmp_path / "model").write_bytes(edited(files[5], changes))
    with pytest.raises(ValueError, match="cannot be loaded as a model of sk_center"):
        load(tmp_path / "model")


@pytest.mark.parametrize(
    "changes",
    [
        {"known_": np.ones((1, 3), dtype=bool)},
        {"spreads_": np.zeros(2)},
        {"medians_": np.zeros(2)},
    ],
    ids=str,
)
def test_combined_that_does_not_fit(changes, files, tmp_path):
    """Check that a combination is refused that would pass over one of its scores."""
    content, arrays = split(files[4])
    for name, array in changes.items():
        arrays[f"OpenSetClassifier.score_.{name}"] = array
    (tmp_path / "model").write_bytes(joined(content, arrays))
    with pytest.raises(ValueError, match=r"must (have the shape|be)"):
        load(tmp_path / "model")


def test_members_out_of_order(files, tmp_path):
    """Check that calibration scores, in which p-values are looked up, are sorted."""
    content, arrays = split(files[5])
    (name,) = [name for name in arrays if name.endswith("_members.1")]
    arrays[name] = arrays[name][::-1]
    (tmp_path / "model").write_bytes(joined(content, arrays))
    with pytest.raises(ValueError, match=r"_members must be in ascending order"):
        load(tmp_path / "model")


@pytest.mark.parametrize("change", ["shape", "missing", "dtype", "none"])
def test_moments_of_another_size(change, files, tmp_path):
    """Check that fused updates, which walk through memory, get moments of their size."""
    content, arrays = split(files[0])
    names = [name for name in arrays if name.endswith("exp_avg")]
    assert len(names) == 6
    if change == "shape":
        arrays[names[0]] = arrays[names[0]][:1]
    elif change == "missing":
        arrays[names[0]] = np.zeros(0, dtype=np.float32)
    elif change == "dtype":
        arrays[names[0]] = arrays[names[0]].astype(np.float64)
    path = tmp_path / "model"
    path.write_bytes(joined(content, arrays))
    if change in ("shape", "missing"):
        with pytest.raises(ValueError, match="the optimizer holds exp_avg of the shape"):
            load(path)
    else:
        load(path).fit(X, Y)


def test_newer_format(files, tmp_path):
    """Check that a file of a format to come says which version it needs."""
    content, arrays = split(files[0])
    (tmp_path / "model").write_bytes(joined({**content, "format_version": 2}, arrays))
    with pytest.raises(ValueError, match=r"version 2 of the format.*this version reads 1"):
        load(tmp_path / "model")


@pytest.mark.parametrize("made_with", [None, [], {"sklearn": 1}], ids=str)
def test_no_versions(made_with, files, tmp_path):
    """Check that a file is refused that does not say what it was made with."""
    content, arrays = split(files[3])
    (tmp_path / "model").write_bytes(joined({**content, "made_with": made_with}, arrays))
    with pytest.raises(ValueError, match="cannot be loaded as a model of sk_center"):
        load(tmp_path / "model")


def test_another_version_of_scikit_learn(files, tmp_path):
    """Check that a warning tells where estimators of another version were saved."""
    content, arrays = split(files[3])
    data = joined({**content, "made_with": {"sklearn": "0.9.1"}}, arrays)
    (tmp_path / "model").write_bytes(data)
    with pytest.warns(UserWarning, match=r"made with sklearn 0\.9\.1 \(here") as found:
        load(tmp_path / "model")
    assert found[0].filename == __file__


def test_other_safetensors(tmp_path):
    """Check that weights that somebody else saved are called so."""
    safetensors.numpy.save_file({"weight": np.zeros(3)}, tmp_path / "model")
    with pytest.raises(ValueError, match=r"was not written by sk_center\.save"):
        load(tmp_path / "model")
