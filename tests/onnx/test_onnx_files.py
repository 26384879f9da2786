"""The files that to_onnx writes, and what it leaves as it was."""

import json
import logging
import os
import random
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from onnx_cases import (
    Body,
    ask,
    digits,
    frozen,
)

from sk_center import CenterLossClassifier, to_onnx

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytest.importorskip("skl2onnx")


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


@pytest.mark.parametrize(("module", "training"), [(Body, True), (Fickle, False)])
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
