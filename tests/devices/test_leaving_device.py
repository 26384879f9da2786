"""Tests of what outlives a training on a second device: checkpoints, pickles, files."""

import io
import logging
import subprocess
import sys

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback
from stand_in import NAME, present
from torch import nn

from sk_center import CenterLossClassifier, CenterLossNet, OpenSetClassifier, load, save

rng = np.random.default_rng(0)
y = rng.integers(3, size=120)
X = (rng.normal(size=(120, 6)) + 2 * np.eye(6)[y]).astype(np.float32)


def made(device=NAME, **params):
    """Return a small classifier."""
    defaults = {"hidden_layer_sizes": (8,), "batch_size": 20, "random_state": 0}
    return CenterLossClassifier(device=device, **{"max_epochs": 3, **defaults, **params})


class Dies(Callback):
    """Count epochs and, if asked, end the process, as it were, in the third."""

    dies = False
    epochs = 0

    def on_epoch_begin(self, net, **kwargs):
        """Raise what nobody catches."""
        Dies.epochs += 1
        if self.dies and len(net.history) > 2:
            raise MemoryError


def test_resume_from_a_checkpoint(counts, tmp_path, monkeypatch):
    """Check that a training goes on to the same bits, dropout on the device included."""
    module = nn.Sequential(nn.Linear(6, 8), nn.Dropout())
    params = {"module": module, "checkpoint_dir": tmp_path, "max_epochs": 4}
    params["callbacks"] = [Dies()]
    whole = made(**params).fit(X, y)
    monkeypatch.setattr(Dies, "dies", True)
    with pytest.raises(MemoryError):
        made(**params).fit(X, y)
    monkeypatch.undo()
    (file,) = tmp_path.glob("*.pt")
    states = torch.load(file, weights_only=False)["module"]
    assert {tensor.device.type for tensor in states.values()} == {"cpu"}
    Dies.epochs = 0
    resumed = made(**params).fit(X, y)
    assert Dies.epochs == 2
    assert_array_equal(resumed.centers_, whole.centers_)
    assert not [*tmp_path.glob("*.pt")]


def test_pickle(caplog):
    """Check a pickle where the device is there, and where it is not."""
    file = io.BytesIO()
    with present():
        model = made(warm_start=True).fit(X, y)
        expected = model.predict_proba(X)
        joblib.dump(model, file)
        file.seek(0)
        loaded = joblib.load(file)
        assert loaded.net_.module_.center.center.device.type == NAME
        assert_array_equal(loaded.predict_proba(X), expected)
        # The optimizer goes on with what it knew.
        assert_array_equal(loaded.fit(X, y).centers_, model.fit(X, y).centers_)
    file.seek(0)
    with caplog.at_level(logging.INFO, logger="sk_center"):
        elsewhere = joblib.load(file)
    assert caplog.messages == [f"A net of {NAME}, which is not here, is loaded on the CPU."]
    assert elsewhere.net_.device == "cpu"
    assert_allclose(elsewhere.predict_proba(X), expected, atol=1e-6)
    assert_allclose(elsewhere.fit(X, y).centers_, model.centers_, atol=1e-5)


@pytest.mark.slow
def test_pickle_in_a_process_that_does_not_know_the_device(tmp_path):
    """Check a pickle of a rejecting classifier, elsewhere."""
    with present():
        model = OpenSetClassifier(made(), random_state=0, cv=0.2).fit(X, y)
        expected = model.score_samples(X)
        joblib.dump(model, tmp_path / "model.joblib")
    np.save(tmp_path / "X.npy", X)
    script = """
import joblib, numpy as np, sys
folder = sys.argv[1]
model = joblib.load(folder + "/model.joblib")
np.save(folder + "/scores.npy", model.score_samples(np.load(folder + "/X.npy")))
"""
    subprocess.run([sys.executable, "-c", script, tmp_path], check=True)
    assert_allclose(np.load(tmp_path / "scores.npy"), expected, rtol=1e-4)


def test_save(tmp_path):
    """Check a file of ``save``, read where the device is there and where it is not."""
    with present():
        model = made(warm_start=True).fit(X, y)
        expected = model.predict_proba(X)
        save(model, tmp_path / "model")
        loaded = load(tmp_path / "model")
        assert loaded.net_.module_.center.center.device.type == NAME
        assert_array_equal(loaded.predict_proba(X), expected)
    loaded = load(tmp_path / "model")
    assert loaded.net_.device == "cpu"
    assert_allclose(loaded.predict_proba(X), expected, atol=1e-6)


def test_copies_and_searches(counts):
    """Check clones of nets that "auto" has settled, and a search on the device."""
    net = CenterLossNet(
        nn.Linear, module__in_features=6, module__out_features=2, max_epochs=1
    )
    assert clone(net).device == "auto"
    assert clone(net.fit(X, y)).device == NAME
    found = [
        GridSearchCV(made(device), {"lambda_center": [0, 0.1]}, cv=2).fit(X, y).cv_results_
        for device in ("auto", "cpu")
    ]
    assert_allclose(*(part["mean_test_score"] for part in found))


@pytest.mark.slow
def test_search_over_samples_on_the_device(counts):
    """Check that a search sends samples once, if they are given as a tensor there."""
    grid = {"lambda_center": [0, 0.1]}
    expected = GridSearchCV(made("cpu"), grid, cv=2).fit(X, y).cv_results_
    there = torch.from_numpy(X).to(NAME)
    found = GridSearchCV(made(), grid, cv=2).fit(there, y).cv_results_
    assert_allclose(found["mean_test_score"], expected["mean_test_score"])
    with pytest.raises(ValueError, match="X contains NaN or infinity"):
        made().fit(there / 0, y)
    with pytest.raises(ValueError, match="have two dimensions; got"):
        made().fit(there[:, 0], y)
    model = made().fit(there, y)
    counts.clear()
    model.predict(there)
    assert counts == {"to device": 1, "to host": 1, "waits": 1}  # the centers, not X
    with pytest.raises(ValueError, match=r"samples of shape \(5,\)"):
        model.predict(there[:, :5])
