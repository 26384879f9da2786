"""What cannot be exported."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx_cases import NET, assert_same, digits, frozen
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    StandardScaler,
)

from sk_center import CenterLossClassifier, OpenSetClassifier, to_onnx
from sk_center.scores import (
    KNeighbors,
)

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytest.importorskip("skl2onnx")
ROOT = Path(__file__).parents[2]
# Where the LETTER data lie.
DATA = Path(os.environ.get("SK_CENTER_DATA", ROOT.parent / "shared" / "data"))


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
    for model in (NET.__class__(), OpenSetClassifier(NET, random_state=0)):
        with pytest.raises(NotFittedError):
            to_onnx(model, path)
    assert not path.exists()


@pytest.mark.filterwarnings("ignore:More calibration samples")
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
    model = OpenSetClassifier(frozen(), conformity_score=score, cv=0.5, random_state=0).fit(
        X, y
    )
    with pytest.raises(ValueError, match=message):
        to_onnx(model, tmp_path / "model.onnx")


def test_texts(tmp_path):
    """Check the error of a pipeline that takes no table."""
    X, y = ["red apple", "green apple", "red car", "fast car"] * 10, [0, 0, 1, 1] * 10
    pipe = make_pipeline(TfidfVectorizer(), LogisticRegression())
    model = OpenSetClassifier(pipe, cv=0.5, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="TfidfVectorizer takes something else"):
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
@pytest.mark.parametrize(
    ("score", "calibration"),
    [("auto", "conformal"), ("center_distance", "gaussian"), ("knn", "weibull")],
)
def test_letters(score, calibration, tmp_path):
    """Check that all decisions on the LETTER test set are the same."""
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
