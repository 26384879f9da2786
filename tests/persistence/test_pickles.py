"""Pickles: what is in them, and what they say where something is missing."""

import copy
import io
import pickle
import platform
import subprocess
import sys
import warnings
from functools import cache

import joblib
import numpy as np
import pytest
import skorch
import torch
from numpy.testing import assert_array_equal
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_center import CenterLossClassifier, CenterLossNet, OpenSetClassifier

X, y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])[y]


def small(**params):
    """Return a classifier that trains in no time."""
    params = {"hidden_layer_sizes": (4, 2), "max_epochs": 2, "random_state": 0, **params}
    return CenterLossClassifier(**params)


def small_open_set(estimator):
    """Return a model that holds out a share, since folds would take longer."""
    return OpenSetClassifier(estimator, false_rejection_rate=0.2, cv=0.2, random_state=0)


class Watcher(skorch.callbacks.Callback):
    """A callback that makes the net record batches."""

    def on_batch_end(self, net, **kwargs):
        self.seen = True


MODELS = {
    "classifier": small(),
    "compiled": small(compile=True, compile__backend="eager"),
    "callbacks": small(callbacks=[Watcher(), ("lr", skorch.callbacks.LRScheduler())]),
    "early stopping": small(early_stopping=True),
    "Pipeline": make_pipeline(StandardScaler(), small()),
    "open set": small_open_set(small()),
    "both": small_open_set(make_pipeline(StandardScaler(), small())),
}


@cache
def fitted(name):
    """Return a model of that name, fitted."""
    return MODELS[name].fit(X, NAMES)


@pytest.mark.parametrize("dump", ["pickle", "joblib", "deepcopy"])
@pytest.mark.parametrize("name", MODELS)
def test_comes_back(name, dump):
    """Check that every model comes back, to the last bit and without a warning."""
    model = fitted(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if dump == "pickle":
            found = pickle.loads(pickle.dumps(model))
        elif dump == "joblib":
            file = io.BytesIO()
            joblib.dump(model, file, compress=1)
            file.seek(0)
            found = joblib.load(file)
        else:
            found = copy.deepcopy(model)
    for method in ("predict", "predict_proba", "decision_function", "transform"):
        expected = getattr(model, method)(X)
        assert_array_equal(getattr(found, method)(X), expected, strict=True)


def test_holds_no_batches_and_no_optimizer():
    """Check that a model inside of others is as lean as alone."""
    params = {"hidden_layer_sizes": (64, 64), "callbacks": [Watcher()], "max_epochs": 20}
    model = OpenSetClassifier(
        make_pipeline(StandardScaler(), small(**params)),
        conformity_score="center_distance",
        false_rejection_rate=0.2,
        cv=0.2,
        random_state=0,
    ).fit(X, y)
    net = model.estimator_[-1].net_
    assert len(net.history_[-1, "batches"]) > 1
    data = pickle.dumps(model)
    tensors = sum(tensor.nbytes for tensor in net.module_.state_dict().values())
    assert tensors < len(data) < tensors + 20_000
    found = pickle.loads(data).estimator_[-1]
    assert found.net_.optimizer_ is None
    assert all(row["batches"] == [] for row in found.history_)
    assert [row["train_loss"] for row in found.history_] == net.history_[:, "train_loss"]
    # What is asked for is kept: warm_start has use for an optimizer.
    asked = pickle.dumps(small(**params, warm_start=True).fit(X, y))
    assert len(asked) > 2.9 * tensors


@pytest.mark.parametrize("package", ["torch", "numpy", "sklearn", "sk_center", "python"])
@pytest.mark.parametrize("name", ["classifier", "open set"])
def test_another_version(package, name, monkeypatch):
    """Check that a warning names the versions that differ, but not for a patch release."""
    model = fitted(name)

    def dumped(version):
        with monkeypatch.context() as patch:
            if package == "python":
                patch.setattr(platform, "python_version", lambda: version)
            else:
                patch.setattr(sys.modules[package], "__version__", version)
            return pickle.dumps(model)

    data = dumped("0.0.9")
    with pytest.warns(
        UserWarning, match=rf"made with {package} 0\.0\.9 \(here \d"
    ) as found:
        loaded = pickle.loads(data)
    assert len({str(warning.message) for warning in found}) == 1
    assert_array_equal(loaded.predict(X), model.predict(X))
    here = (
        platform.python_version()
        if package == "python"
        else sys.modules[package].__version__.partition("+")[0]
    )
    data = dumped(".".join([*here.split(".")[:2], "99"]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pickle.loads(data)


LOKY = """
import pickle, sys
import cloudpickle
import torch
from joblib import Parallel, delayed
from sklearn.datasets import load_iris
from sklearn.model_selection import cross_val_predict
from sk_center import CenterLossClassifier, OpenSetClassifier

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 2)

    def forward(self, X):
        return self.layer(X)

if __name__ == "__main__":
    X, y = load_iris(return_X_y=True)
    model = CenterLossClassifier(Net, max_epochs=2, random_state=0)
    alone = cross_val_predict(model, X, y, cv=2, method="predict_proba")
    both = cross_val_predict(model, X, y, cv=2, method="predict_proba", n_jobs=2)
    assert (alone == both).all()
    open_set = OpenSetClassifier(model, cv=2, random_state=0)
    assert (open_set.fit(X, y).p_values(X)
            == open_set.set_params(n_jobs=2).fit(X, y).p_values(X)).all()
    first, second = Parallel(2)(delayed(model.fit)(X, y) for _ in range(2))
    assert (first.transform(X) == model.fit(X, y).transform(X)).all()
    open("carried", "wb").write(cloudpickle.dumps(first))
    open("plain", "wb").write(pickle.dumps(model))
    print("done")
"""


@pytest.mark.slow
def test_class_of_a_script(tmp_path):
    """Check that workers get a class that only the script has, but no other process."""
    (tmp_path / "script.py").write_text(LOKY)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout == "done\n", done.stderr
    model = pickle.loads((tmp_path / "carried").read_bytes())
    assert model.predict(X).shape == (150,)
    with pytest.raises(AttributeError, match="Net"):
        pickle.loads((tmp_path / "plain").read_bytes())


def test_net_keeps_its_optimizer():
    """Check that a net, whose owner trains on, goes on after a pickle as without."""
    torch.manual_seed(0)
    net = CenterLossNet(torch.nn.Linear, module__in_features=4, module__out_features=2)
    net.set_params(max_epochs=2, iterator_train__shuffle=False).fit(X, y)
    found = pickle.loads(pickle.dumps(net))
    for one in (net, found):
        one.partial_fit(X, y)
    assert_array_equal(found.predict_proba(X), net.predict_proba(X))
