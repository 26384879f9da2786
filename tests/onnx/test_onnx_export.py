"""Exported graphs against the estimators in Python."""

import json
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from onnx_cases import (
    EVERY,
    NET,
    OTHER_PAIRS,
    Body,
    ask,
    assert_same,
    digits,
    frozen,
)
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MinMaxScaler,
    OneHotEncoder,
    StandardScaler,
)

from sk_center import CenterLossClassifier, OpenSetClassifier, to_onnx

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytest.importorskip("skl2onnx")
# Calibrations see scores, whatever made them: some pairs stand for all.
PAIRS = [
    *((score, "conformal") for score in EVERY),
    ("auto", "weibull"),
    ("center_distance", "weibull"),
    ("max_softmax", "weibull"),
    ("auto", "gaussian"),
    ("center_distance", "gaussian"),
]


@pytest.mark.filterwarnings("ignore:Samples far from all|The relative Mahalanobis")
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


@cache
def absent_class():
    """Return a network that knows of a class which it never saw."""
    X, y, *_ = digits()
    net = CenterLossClassifier(**NET.get_params())
    return FrozenEstimator(net.partial_fit(X[y != 2], y[y != 2], classes=range(7)))


# Parameters of the network, and of the open-set classifier.
VARIANTS = {
    "distance head, few samples": (
        {"head": "distance"},
        {"conformity_score": "energy", "false_rejection_rate": 0.02, "cv": 0.3},
    ),
    "anchors": (
        {"anchors": "simplex", "metric": "cosine"},
        {"conformity_score": ["max_logit", "knn"]},
    ),
    "cosine, softmax, dropout, folds": (
        {"metric": "cosine", "predict_with": "softmax", "module__dropout": 0.5},
        {"conformity_score": ["max_softmax", "vim"], "cv": 2, "outlier_label": 0.5},
    ),
    "background, never rejects": (
        {"negative_label": 5, "negative_loss": "background"},
        {"false_rejection_rate": 0, "outlier_label": 3, "cv": 0.2},
    ),
    "one rate is 0": (
        {},
        {
            "guarantee": "predicted",
            "false_rejection_rate": {0: 0, 1: 0.2, 2: 0.2, 3: 0.2, 4: 0.1, 5: 0.3},
        },
    ),
    "every class": ({}, {"guarantee": "class", "false_rejection_rate": 0.1}),
    "confidence": ({}, {"confidence": 0.9, "false_rejection_rate": 0.2}),
}


@pytest.mark.filterwarnings("ignore:Only [0-9.]+ %")
@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.filterwarnings("ignore:Classes with too few calibration samples")
@pytest.mark.filterwarnings("ignore:No sample will ever be rejected")
def test_variants(name, tmp_path):
    """Check what networks and decisions can be made of."""
    X, y, *_, X_test = digits()
    of_net, of_model = VARIANTS[name]
    net = CenterLossClassifier(**{**NET.get_params(), **of_net}) if of_net else frozen()
    model = OpenSetClassifier(net, random_state=0, **of_model).fit(X, y)
    assert_same(model, tmp_path / "model.onnx", X_test)


@pytest.mark.filterwarnings("ignore:Samples far from all")
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
        random_state=0,
        cv=0.2,
    ).fit(X_cal, labels[y_cal])
    known = ~model.is_outlier(X_test)
    assert (model.predict(X_test) != net.predict(X_test))[known].any()
    assert (model.predict(X_test) == "outsider").any()
    assert_same(model, tmp_path / "model.onnx", X_test)


@pytest.mark.parametrize(
    "labels", [["no", "yes"], pytest.param([1.0, 2.0], marks=pytest.mark.slow)]
)
def test_two_classes(labels, tmp_path):
    """Check two classes with labels of all kinds, with and without rejection."""
    X, y, *_, X_test = digits()
    X, y = X[y < 2], np.array(labels)[y[y < 2]]
    net = CenterLossClassifier(**NET.get_params())
    model = OpenSetClassifier(net, random_state=0, false_rejection_rate=0.1, cv=0.2).fit(
        X, y
    )
    assert_same(model, tmp_path / "model.onnx", X_test)


@pytest.mark.filterwarnings("ignore:Hardly any outsider")
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
    model = OpenSetClassifier(inner, random_state=0, false_rejection_rate=0.1, cv=0.2)
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
        make_pipeline(columns, net),
        false_rejection_rate=0.1,
        random_state=0,
        cv=0.2,
    ).fit(X, y)
    assert_same(model, tmp_path / "model.onnx", table, X_test)


def test_images(tmp_path):
    """Check a convolutional network, its layers, and a score of the pixels that it sees."""
    X, y, *_, X_test = (
        part.reshape(-1, 1, 8, 8) if part.ndim > 1 else part for part in digits()
    )
    net = CenterLossClassifier(**{**NET.get_params(), "max_epochs": 1})
    net = FrozenEstimator(net.fit(X[::2], y[::2]))
    for score in ("auto", "input_density"):
        model = OpenSetClassifier(
            net,
            conformity_score=score,
            false_rejection_rate=0.1,
            random_state=0,
            cv=0.2,
        ).fit(X[1::2], y[1::2])
        assert_same(model, tmp_path / "model.onnx", X_test)


def test_own_module(tmp_path):
    """Check a module of the user, and a function as one."""
    X, y, *_, X_test = digits()
    for module in (Body(), lambda X: X[:, :9] * 2):
        net = CenterLossClassifier(module, max_epochs=1, random_state=0).fit(X, y)
        assert_same(net, tmp_path / "model.onnx", X_test)


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
