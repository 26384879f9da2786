"""Trainings by several processes."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from skorch.callbacks import Callback

from sk_center import CenterLossClassifier

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


class CentersOfEpochs(Callback):
    """Keep the bits of the centers after each epoch."""

    def on_epoch_end(self, net, **kwargs):
        """Keep them."""
        center = net.module_.center
        bits = center.center.numpy().tobytes(), center.count.numpy().tobytes()
        net.kept = [*getattr(net, "kept", []), bits]


def data(n_samples=203):
    """Return digits of nine classes, and one of a class that has a single sample."""
    X, y = load_digits(return_X_y=True)
    X, y = X[y < 9][:n_samples].astype(np.float32) / 16, y[y < 9][:n_samples].copy()
    y[17] = 9
    return X, np.array([f"digit {label}" for label in y])


def trained(params, X=None, y=None, sample_weight=None):
    """Return what a classifier knows after three epochs."""
    if X is None:
        X, y = data()
    params = {
        "hidden_layer_sizes": (16, 4),
        "max_epochs": 3,
        "batch_size": 31,
        "random_state": 0,
        "callbacks": [CentersOfEpochs()],
        **params,
    }
    model = CenterLossClassifier(**params).fit(X, y, sample_weight=sample_weight)
    state = {name: value.numpy() for name, value in model.module_.state_dict().items()}
    rows = [
        {name: row[name] for name in ("train_loss", "valid_loss") if name in row}
        for row in model.history_
    ]
    return {
        "state": state,
        "epochs": getattr(model.net_, "kept", []),
        "history": rows,
        "centers_": model.centers_,
        "tau_": model.tau_,
        "decision": model.decision_function(X),
        "classes_": model.classes_,
    }


def assert_same_everywhere(results):
    """Check that processes ended with the same bits."""
    first = results[0]
    for other in results[1:]:
        assert other["epochs"] == first["epochs"]
        assert other["history"] == first["history"]
        assert other["tau_"] == first["tau_"]
        for name in ("centers_", "decision", "classes_"):
            assert_array_equal(other[name], first[name])
        for name, value in first["state"].items():
            assert_array_equal(other["state"][name], value, err_msg=name)


def assert_as_one(result, expected, **tolerance):
    """Check that processes found what one process finds."""
    tolerance = {**CLOSE, **tolerance}
    assert len(result["history"]) == len(expected["history"])
    for row, one in zip(result["history"], expected["history"]):
        assert row == pytest.approx(one, rel=1e-4)
    for name, value in expected["state"].items():
        assert_allclose(result["state"][name], value, **tolerance, err_msg=name)
    assert_array_equal(result["state"]["center.count"], expected["state"]["center.count"])
    assert_allclose(result["centers_"], expected["centers_"], **tolerance)
    assert_allclose(result["tau_"], expected["tau_"], rtol=1e-3)
