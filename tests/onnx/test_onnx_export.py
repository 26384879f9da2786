"""Exported graphs against the estimators in Python."""

import json
import logging
import os
import random
import subprocess
import sys
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MinMaxScaler,
    OneHotEncoder,
    StandardScaler,
)

from sk_center import CenterLossClassifier, OpenSetClassifier, to_onnx
from sk_center.calibration import CALIBRATIONS
from sk_center.open_set.outputs import outputs_of
from sk_center.open_set.scoring import score_outputs
from sk_center.scores import (
    GEN,
    Combined,
    Energy,
    InputDensity,
    KNeighbors,
    Mahalanobis,
    OpenMax,
    PerClass,
    ViM,
)
from sk_center.scores.registry import SCORES

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytest.importorskip("skl2onnx")

ROOT = Path(__file__).parents[2]
# Where the LETTER data lie.
DATA = Path(os.environ.get("SK_CENTER_DATA", ROOT.parent / "shared" / "data"))

EVERY = {
    **{name: name for name in ("auto", *SCORES)},
    "class covariance": Mahalanobis("class", shrinkage="oas"),
    "relative": Mahalanobis(relative=True),
    "mixture": GaussianMixture(2, reg_covar=0.01, random_state=0),
    "mixtures": Combined(
        [
            PerClass(GaussianMixture(2, covariance_type=kind, random_state=0))
            for kind in ("diag", "tied", "spherical")
        ],
        how="sum",
    ),
    "parameters": Combined(
        [
            Energy(temperature=3.0),
            OpenMax(alpha=2),
            KNeighbors(3, normalize=True),
            Mahalanobis(shrinkage=None),
            ViM(n_components=6),
            InputDensity(2, shrinkage=0.5),
        ],
        how="sum",
        weights=[1.0, 0.5, 1.0, 2.0, 1.0, 1.0],
        limits=[(-2, 0), None, None, (-1, 1.5), None, None],
    ),
    "normalized": Mahalanobis(relative=True, normalize=True),
    "scales": Combined(
        [
            KNeighbors(1, scale="standard", normalize=True, pooled=True),
            KNeighbors(2, scale="discriminant"),
            KNeighbors(1, scale="whiten", space="inputs"),
            InputDensity(n_directions=5, normalize=True, pooled=True),
            GEN(n_top=3),
        ]
    ),
    "list": ["center_distance", "energy", "knn"],
    "nested": Combined([KNeighbors(), Combined([Mahalanobis(), Energy()])], how="sum"),
    "faiss": KNeighbors(algorithm="faiss"),
    "all kinds": ["log_odds", ViM(), "knn", "input_density"],
}
# Minus a distance to the middle of a class: the Gaussian calibration knows its law.
RADIAL = ("auto", "center_distance", "mahalanobis", "class covariance")
NET = CenterLossClassifier(hidden_layer_sizes=(32, 8), max_epochs=6, random_state=0)


@cache
def digits():
    """Return digits 0 to 5 to train and to calibrate with, and all ten to test."""
    X, y = load_digits(return_X_y=True)
    X = X / 16
    known = y < 6
    X_train, X_test, y_train, y_test = train_test_split(
        X[known], y[known], test_size=0.5, stratify=y[known], random_state=0
    )
    X_cal, X_test = X_test[::2], np.concatenate([X_test[1::2], X[~known]])
    return X_train, y_train, X_cal, y_test[::2], X_test


@cache
def frozen():
    """Return a network fitted on digits and frozen."""
    X, y, *_ = digits()
    return FrozenEstimator(NET.fit(X, y))


def ask(path, X):
    """Return the outputs of an exported graph by name."""
    session = onnxruntime.InferenceSession(path)
    (source,) = session.get_inputs()
    dtype = {"tensor(float)": np.float32, "tensor(double)": np.float64}[source.type]
    outputs = [output.name for output in session.get_outputs()]
    return dict(zip(outputs, session.run(None, {"X": X.astype(dtype)})))


def assert_same(model, path, X, X_graph=None):
    """Check the graph of a model against it, labels and decisions without exception."""
    to_onnx(model, path)
    found = ask(path, X if X_graph is None else X_graph)
    assert_array_equal(found["label"], model.predict(X))
    assert found["label"].dtype.kind in (model.predict(X).dtype.kind, "O")
    assert_allclose(found["features"], model.transform(X), rtol=0, atol=1e-4)
    assert_allclose(found["probabilities"], model.predict_proba(X), rtol=0, atol=1e-4)
    inner, seen = model, X
    while not isinstance(inner, CenterLossClassifier):
        if hasattr(inner, "steps"):
            seen, inner = inner[:-1].transform(seen), inner[-1]
        else:
            inner = getattr(inner, "estimator_", None) or inner.estimator
    assert_allclose(found["distances"], inner.center_distances(seen), rtol=0, atol=1e-4)
    names = {"label", "features", "probabilities", "distances"}
    if not hasattr(model, "predict_set"):
        assert set(found) == names
        return
    assert set(found) == names | OF_DECISION
    assert_same_decision(found, model, X)


OF_DECISION = {"rejected", "p_known", "score", "p_values", "prediction_set"}


def assert_same_decision(found, model, X):
    """Check what a graph decides against the model.

    Rounding may move a p-value past calibration samples of nearly the same score, and no
    further.
    """
    assert_array_equal(found["rejected"], model.is_outlier(X))
    assert_allclose(found["score"], model.score_samples(X), rtol=1e-6, atol=1e-4)
    outputs = outputs_of(model.estimator_, X, model.score_.needs)
    every = score_outputs(model.score_, outputs)
    by_class = model.guarantee == "class"
    groups = model.groups_ if by_class else np.arange(len(model.classes_))
    assert_between(found["p_values"], model.class_calibration_, every, groups)
    sets = model.predict_set(X)
    if by_class:
        p_values = model.p_values(X)
        moved = np.abs(found["p_values"] - p_values) > 1e-4
        # A tail is continuous, and rounding decides what lies at the rate but for rounding.
        away = np.abs(p_values - model.calibration_report_.rate_allowed)
        same = ~moved & ~((away > 0) & (away < 1e-4))
        assert_array_equal(found["prediction_set"][same], sets[same])
    else:
        # Rounding may add a class whose support is at the threshold.
        assert (found["prediction_set"] >= sets).all()
        assert (found["prediction_set"] != sets).mean() <= 0.01
    if model.guarantee == "marginal":
        scores = model.score_samples(X)
        assert_between(found["p_known"], model.calibration_, scores, None)
    else:
        assert (np.abs(found["p_known"] - model.p_known(X)) > 1e-4).mean() <= 0.01


def assert_between(found, calibration, scores, groups):
    """Check that p-values are those of scores that differ by no more than rounding."""
    known = calibration.scores_
    # The graph raises scores by the rounding of the largest.
    raised = 5e-7 * np.abs(known[np.isfinite(known)]).max(initial=0)
    margin = 1e-5 * np.maximum(np.abs(scores), 1) + raised
    with np.errstate(invalid="ignore"):
        bounds = np.nan_to_num(scores - margin, nan=-np.inf), scores + margin
    low, high = (calibration.p_values(bound, groups) for bound in bounds)
    assert (low - 1e-4 <= found).all()
    assert (found <= high + 1e-4).all()


# Calibrations see scores, whatever made them: some pairs stand for all.
PAIRS = [
    *((score, "conformal") for score in EVERY),
    ("auto", "weibull"),
    ("center_distance", "weibull"),
    ("max_softmax", "weibull"),
    ("auto", "gaussian"),
    ("center_distance", "gaussian"),
]
OTHER_PAIRS = [
    *((score, "weibull") for score in EVERY),
    *((score, "gaussian") for score in RADIAL),
]


@pytest.mark.parametrize(
    ("score", "calibration"),
    [
        *PAIRS,
        *(pytest.param(*p, marks=pytest.mark.slow) for p in OTHER_PAIRS if p not in PAIRS),
    ],
)
@pytest.mark.filterwarnings("ignore:No sample will ever be rejected")
def test_every_score_and_calibration(score, calibration, tmp_path):
    """Check every score with every calibration that takes it."""
    if score == "faiss":
        pytest.importorskip("faiss")
    _, _, X, y, X_test = digits()
    model = OpenSetClassifier(
        frozen(),
        conformity_score=EVERY[score],
        calibration=calibration,
        cv=0.5,
        random_state=0,
    ).fit(X, y)
    assert_same(model, tmp_path / "model.onnx", X_test)


def absent_class():
    """Return a network that knows of a class which it never saw."""
    X, y, *_ = digits()
    net = CenterLossClassifier(**NET.get_params())
    return FrozenEstimator(net.partial_fit(X[y != 2], y[y != 2], classes=range(7)))


# Parameters of the network, and of the open-set classifier.
VARIANTS = {
    "cosine": ({"metric": "cosine"}, {}),
    "distance head, few samples": (
        {"head": "distance"},
        {"conformity_score": "energy", "false_rejection_rate": 0.02, "cv": 0.3},
    ),
    "anchors": (
        {"anchors": "simplex", "metric": "cosine"},
        {"conformity_score": ["max_logit", "knn"]},
    ),
    "softmax": ({"predict_with": "softmax"}, {"conformity_score": ["max_softmax", "vim"]}),
    "folds": ({}, {"cv": 2, "outlier_label": 0.5}),
    "background, never rejects": (
        {"negative_label": 5, "negative_loss": "background"},
        {"false_rejection_rate": 0, "outlier_label": 3},
    ),
    "one rate is 0": (
        {},
        {
            "guarantee": "predicted",
            "false_rejection_rate": {0: 0, 1: 0.2, 2: 0.2, 3: 0.2, 4: 0.1, 5: 0.3},
        },
    ),
    "every class": ({}, {"guarantee": "class", "false_rejection_rate": 0.1}),
    "dropout, confidence": (
        {"module__dropout": 0.5},
        {"confidence": 0.9, "false_rejection_rate": 0.2},
    ),
}


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.filterwarnings("ignore:Classes with too few calibration samples")
@pytest.mark.filterwarnings("ignore:No sample will ever be rejected")
def test_variants(name, tmp_path):
    """Check what networks and decisions can be made of."""
    X, y, *_, X_test = digits()
    of_net, of_model = VARIANTS[name]
    net = CenterLossClassifier(**{**NET.get_params(), **of_net})
    model = OpenSetClassifier(net, random_state=0, **of_model).fit(X, y)
    assert_same(model, tmp_path / "model.onnx", X_test)


def test_another_class_than_the_nearest(tmp_path):
    """Check samples that the predicted class rejects and another one accepts."""
    X, y, X_cal, y_cal, X_test = digits()
    labels = np.array(["zero", "one", "two", "three", "four", "five"])
    rates = dict(zip(labels, (0.6, 0.05, 0.6, 0.05, 0.6, 0.05)))
    net = FrozenEstimator(CenterLossClassifier(**NET.get_params()).fit(X, labels[y]))
    model = OpenSetClassifier(
        net,
        conformity_score="max_logit",
        false_rejection_rate=rates,
        guarantee="class",
    ).fit(X_cal, labels[y_cal])
    known = ~model.is_outlier(X_test)
    assert (model.predict(X_test) != net.predict(X_test))[known].any()
    assert (model.predict(X_test) == "outsider").any()
    assert_same(model, tmp_path / "model.onnx", X_test)


@pytest.mark.parametrize("labels", [["no", "yes"], [1.0, 2.0]])
def test_two_classes(labels, tmp_path):
    """Check two classes with labels of all kinds, with and without rejection."""
    X, y, *_, X_test = digits()
    X, y = X[y < 2], np.array(labels)[y[y < 2]]
    net = CenterLossClassifier(**NET.get_params())
    model = OpenSetClassifier(net, random_state=0, false_rejection_rate=0.1).fit(X, y)
    assert_same(model, tmp_path / "model.onnx", X_test)


@pytest.mark.parametrize(
    ("score", "calibration"),
    [
        ("auto", "conformal"),
        ("auto", "weibull"),
        ("auto", "gaussian"),
        ("knn", "weibull"),
        ("openmax", "conformal"),
        ("center_distance", "conformal"),
        ("mixture", "conformal"),
    ],
)
@pytest.mark.filterwarnings("ignore:y holds no sample of the classes")
@pytest.mark.filterwarnings("ignore:Classes with too few calibration samples")
def test_class_without_samples(score, calibration, tmp_path):
    """Check classes of infinite centers, of which scores and calibration know nothing."""
    *_, X, y, X_test = digits()
    model = OpenSetClassifier(
        absent_class(),
        conformity_score=EVERY[score],
        calibration=calibration,
        cv=0.5,
        random_state=0,
    ).fit(X[y != 2], y[y != 2])
    assert np.isinf(model.estimator_.center_distances(X)).any()
    assert_same(model, tmp_path / "model.onnx", X_test)


def test_pipelines(tmp_path):
    """Check transformers outside and inside of the open-set classifier, some frozen."""
    X, y, *_, X_test = digits()
    net = CenterLossClassifier(**NET.get_params())
    inner = make_pipeline(PCA(20), "passthrough", net)
    scaler = FrozenEstimator(StandardScaler().fit(X))
    model = OpenSetClassifier(inner, random_state=0, false_rejection_rate=0.1)
    pipe = make_pipeline(scaler, model, memory=None).fit(X, y)
    seen = scaler.transform(X_test)
    path = tmp_path / "model.onnx"
    assert_same(pipe[-1], path, seen)
    to_onnx(FrozenEstimator(pipe), path)
    found = ask(path, X_test)
    assert_array_equal(found["label"], pipe.predict(X_test))
    assert_array_equal(found["prediction_set"], pipe[-1].predict_set(seen))
    assert_allclose(found["probabilities"], pipe.predict_proba(X_test), rtol=0, atol=1e-4)
    assert_same(make_pipeline(MinMaxScaler(), net).fit(X, y), path, X_test)


def test_columns_by_name(tmp_path):
    """Check a ColumnTransformer of a table with names, whose graph goes by position."""
    pd = pytest.importorskip("pandas")
    X, y, *_, X_test = digits()
    names = [f"pixel {i}" for i in range(X.shape[1])]
    X, table = (pd.DataFrame(part, columns=names) for part in (X, X_test))
    for part in (X, table):
        part[names[-2]] = (16 * part[names[-2]]).astype(int) // 4
    X_test = table.to_numpy()
    columns = make_column_transformer(
        (StandardScaler(), names[5:1:-1]),
        (OneHotEncoder(handle_unknown="ignore"), [names[-2]]),
        (MinMaxScaler(), slice("pixel 10", "pixel 20")),
        ("drop", [names[6]]),
        (PCA(3), lambda X: [names[-1], names[-3], names[-5]]),
        remainder="passthrough",
    )
    net = CenterLossClassifier(**NET.get_params())
    model = OpenSetClassifier(
        make_pipeline(columns, net), false_rejection_rate=0.1, random_state=0
    ).fit(X, y)
    assert_same(model, tmp_path / "model.onnx", table, X_test)


@pytest.mark.parametrize("score", ["auto", "input_density"])
def test_images(score, tmp_path):
    """Check a convolutional network, and a score of the pixels that it sees."""
    X, y, *_, X_test = (
        part.reshape(-1, 1, 8, 8) if part.ndim > 1 else part for part in digits()
    )
    net = CenterLossClassifier(**{**NET.get_params(), "max_epochs": 1})
    model = OpenSetClassifier(
        net, conformity_score=score, false_rejection_rate=0.1, random_state=0
    ).fit(X, y)
    assert_same(model, tmp_path / "model.onnx", X_test)


class Body(torch.nn.Module):
    """A body with a trick or two, in float64."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(64, 8))

    def forward(self, X):
        X = X.view(len(X), 8, 8).transpose(1, 2).reshape(X.shape[0], -1)
        return self.layer(X).tanh().double()


def test_own_module(tmp_path):
    """Check a module of the user, and a function as one."""
    X, y, *_, X_test = digits()
    for module in (Body, Body(), lambda X: X[:, :9] * 2):
        net = CenterLossClassifier(module, max_epochs=1, random_state=0).fit(X, y)
        assert_same(net, tmp_path / "model.onnx", X_test)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Return a model and the path of its graph."""
    _, _, X, y, _ = digits()
    model = OpenSetClassifier(frozen(), cv=0.5, random_state=0).fit(X, y)
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    to_onnx(model, path)
    return model, path


def test_number_of_samples_is_free(exported):
    """Check no sample, one, and many."""
    _, path = exported
    assert {len(values) for values in ask(path, digits()[-1][:0]).values()} == {0}
    X = np.concatenate([digits()[-1]] * 2)[:1000]
    whole = ask(path, X)
    assert len(whole["label"]) == 1000
    for i in range(3):
        one = ask(path, X[i : i + 1])
        for name, values in one.items():
            assert values.shape == (1, *whole[name].shape[1:])
            assert_allclose(values.astype(float), whole[name][i : i + 1], atol=1e-4)


def test_gaussian_p_values(tmp_path):
    """Check that small p-values are of the right size, down to the least of all."""
    _, _, X, y, X_test = digits()
    model = OpenSetClassifier(frozen(), calibration="gaussian", cv=0.5, random_state=0)
    model.fit(X, y)
    to_onnx(model, tmp_path / "model.onnx")
    scales = np.array([1e-3, 0.3, 1, 2, 4, 8, 16, 1e3, 1e9])
    X = (X_test[:20, None] * scales[:, None]).reshape(-1, 64)
    expected = model.p_values(X)
    assert expected.min() < 1e-100
    found = ask(tmp_path / "model.onnx", X)["p_values"]
    assert_allclose(np.log(found), np.log(expected), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("score", ["auto", "openmax", "knn"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.filterwarnings("ignore:No sample will ever be rejected")
def test_no_numbers_are_outsiders(score, value, tmp_path_factory, exported):
    """Check that samples which Python refuses are outsiders, and leave others alone."""
    path = tmp_path_factory.getbasetemp() / f"{score}.onnx"
    _, _, X, y, X_test = digits()
    if not path.exists():
        model = OpenSetClassifier(frozen(), conformity_score=score, cv=0.5, random_state=0)
        to_onnx(model.fit(X, y), path)
    X = X_test[:4].copy()
    before = ask(path, X)
    X[1, 30] = value
    found = ask(path, X)
    assert found["label"][1] == -1
    assert not found["prediction_set"][1].any()
    assert found["score"][1] == -np.inf
    kept = [0, 2, 3]
    assert_allclose(found["p_values"][kept], before["p_values"][kept])


def test_metadata(exported):
    """Check that the graph tells what its labels mean and who wrote it."""
    import sk_center

    model, path = exported
    meta = onnxruntime.InferenceSession(path).get_modelmeta()
    found = meta.custom_metadata_map
    assert found["sk_center_version"] == sk_center.__version__
    assert json.loads(found["classes"]) == model.classes_.tolist()
    assert json.loads(found["outlier_label"]) == model.outlier_label_
    assert meta.producer_name == "sk_center"
    # Nothing of where things lie on the machine that exported.
    content = path.read_bytes()
    assert b".py" not in content
    assert b"site-packages" not in content


def test_runs_without_torch(exported, tmp_path):
    """Check that the graph runs where neither torch nor sk_center nor sklearn is there."""
    model, path = exported
    X_test = digits()[-1]
    np.save(tmp_path / "X.npy", X_test)
    code = """
import sys
for name in ("torch", "sk_center", "sklearn", "skorch", "scipy"):
    sys.modules[name] = None
import json
import numpy as np
import onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
print(json.dumps(session.run(["label"], {"X": np.load(sys.argv[2])})[0].tolist()))
"""
    command = [sys.executable, "-c", code, path, tmp_path / "X.npy"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == model.predict(X_test).tolist()


class Fickle(torch.nn.Module):
    """A body that no exporter understands."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(64, 8)

    def forward(self, X):
        return self.layer(X if X.sum().item() > 0 else -X)


def global_state(module):
    """Return what an export must leave as it was."""
    names = [name for name in logging.root.manager.loggerDict if "onnx" in name]
    return (
        torch.get_rng_state().tolist(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        str(np.random.get_state()),  # noqa: NPY002, of others
        random.getstate(),
        [part.training for part in module.modules()],
        list(warnings.filters),
        warnings.showwarning,
        logging.root.manager.disable,
        [logging.getLogger(name).level for name in names],
        list(logging.root.handlers),
        sys.stdout,
        sys.stderr,
    )


@pytest.mark.parametrize(
    ("module", "training"), [(Body, False), (Body, True), (Fickle, True)]
)
def test_leaves_no_trace(module, training, tmp_path, capfd):
    """Check that nothing is printed, and global state is as before, also on error."""
    X, y, *_ = digits()
    net = CenterLossClassifier(module, max_epochs=1).fit(X, y)
    net.module_.train(training)
    torch.set_default_dtype(torch.float64)
    try:
        before = global_state(net.module_)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if module is Fickle:
                with pytest.raises(ValueError, match="module=Fickle cannot be exported by"):
                    to_onnx(net, tmp_path / "model.onnx")
            else:
                to_onnx(net, tmp_path / "model.onnx")
        after = global_state(net.module_)
    finally:
        torch.set_default_dtype(torch.float32)
    assert caught == []
    assert capfd.readouterr() == ("", "")
    for old, new in zip(before, after):
        assert old == new
    assert [path.name for path in tmp_path.iterdir()] == (
        [] if module is Fickle else ["model.onnx"]
    )


@pytest.mark.parametrize("function", ["replace", "fsync"])
def test_old_file_stays(function, tmp_path, monkeypatch):
    """Check that the file is replaced as a whole or not at all."""
    path = tmp_path / "model.onnx"
    path.write_text("old")

    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, function, full)
        with pytest.raises(OSError, match=r"cannot write .*model.onnx.: No space left"):
            to_onnx(frozen(), path)
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    assert path.read_text() == "old"


def test_file_keeps_its_mode_and_links(tmp_path):
    """Check that a new file takes the rights of the old one, also behind a link."""
    path, link = tmp_path / "model.onnx", tmp_path / "link.onnx"
    path.touch(0o640)
    link.symlink_to(path)
    to_onnx(frozen(), link)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert_array_equal(ask(path, digits()[0])["label"], frozen().predict(digits()[0]))


def test_path_that_is_none(tmp_path):
    """Check that an error of the file system names the path."""
    for path in (tmp_path / "none" / "model.onnx", tmp_path):
        with pytest.raises(OSError, match=str(path)):
            to_onnx(frozen(), path)
    assert list(tmp_path.iterdir()) == []


def test_other_estimators(tmp_path):
    """Check that what decides nothing is refused, and unfitted estimators."""
    X, y, *_ = digits()
    path = tmp_path / "model.onnx"
    other = LogisticRegression(max_iter=1000)
    message = "estimator must be a fitted CenterLossClassif"
    for model in (
        StandardScaler(),
        other,
        "model",
        make_pipeline(StandardScaler(), other).fit(X, y),
    ):
        with pytest.raises(ValueError, match=message):
            to_onnx(model, path)
    for model in (NET.__class__(), OpenSetClassifier(NET)):
        with pytest.raises(NotFittedError):
            to_onnx(model, path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (lambda X: X.sum(axis=1), "conformity_score=FunctionScore.* cannot be exported"),
        (KernelDensity(), "must hold a GaussianMixture to be exported; got KernelDensity"),
        (
            KNeighbors(metric="manhattan"),
            "metric='euclidean' and dense samples to be exported; got metric='m",
        ),
        (["energy", KernelDensity()], "must hold a GaussianMixture"),
    ],
)
def test_scores_that_only_python_computes(score, message, tmp_path):
    """Check the error of a score that no graph can compute."""
    _, _, X, y, _ = digits()
    model = OpenSetClassifier(frozen(), conformity_score=score, cv=0.5).fit(X, y)
    with pytest.raises(ValueError, match=message):
        to_onnx(model, tmp_path / "model.onnx")


def test_bfloat16(tmp_path):
    """Check that a network of another precision is refused."""
    X, y, *_ = digits()
    net = CenterLossClassifier(max_epochs=1, precision="bf16").fit(X, y)
    with pytest.raises(ValueError, match=r"precision must be 'float32'.*got 'bf16'"):
        to_onnx(net, tmp_path / "model.onnx")


class Huge(torch.nn.Module):
    """A body of 4 GiB, which take four bytes of memory."""

    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.zeros(1).expand(2**30))

    def forward(self, X):
        return X[:, :5] + self.table[0]


def test_too_large(tmp_path):
    """Check that what no file of ONNX can hold is refused before anything is done."""
    X, y, *_ = digits()
    net = CenterLossClassifier(Huge, max_epochs=1, device="cpu").fit(X, y)
    with pytest.raises(ValueError, match=r"takes 4.0 GiB, and an ONNX file holds at most"):
        to_onnx(net, tmp_path / "model.onnx")


@pytest.mark.parametrize("name", ["onnx", "onnxscript", "skl2onnx"])
def test_missing_library(name, tmp_path, monkeypatch):
    """Check that the error says how to install what is missing."""
    X, y, *_ = digits()
    net = CenterLossClassifier(max_epochs=1, hidden_layer_sizes=(4,))
    pipe = make_pipeline(StandardScaler(), net).fit(X, y)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        ImportError, match=rf'needs {name}.*pip install "sk-center\[onnx\]"'
    ):
        to_onnx(pipe, tmp_path / "model.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("calibration", CALIBRATIONS)
@pytest.mark.parametrize("score", ["auto", "center_distance", "knn"])
def test_letters(score, calibration, tmp_path):
    """Check that all decisions on the LETTER test set are the same."""
    if calibration == "gaussian" and score == "knn":
        pytest.skip("no law is known")
    if not DATA.is_dir():
        pytest.skip("SK_CENTER_DATA names no folder with the LETTER data")
    data = pytest.importorskip("benchmarks.data")
    X, y, _ = data.load("letter", DATA)
    known = y < "U"
    X_train, X_test, y_train, _ = train_test_split(
        X[known], y[known], test_size=0.3, stratify=y[known], random_state=0
    )
    X_test = np.concatenate([X_test, X[~known]])
    pipe = make_pipeline(StandardScaler(), CenterLossClassifier(max_epochs=20))
    model = OpenSetClassifier(
        pipe, conformity_score=score, calibration=calibration, random_state=0
    ).fit(X_train, y_train)
    assert_same(model, tmp_path / "model.onnx", X_test)
