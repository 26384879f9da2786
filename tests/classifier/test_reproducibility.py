"""Tests of what a fit leaves behind: seeds, global state, pickles."""

import subprocess
import sys
import warnings

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small_classifiers import (
    X,
    X_new,
    assert_same_model,
    names,
    small,
    y,
)


@pytest.mark.parametrize(
    "params",
    [{}, {"module__dropout": 0.3}, {"early_stopping": True}, {"lambda_center": 0}],
    ids=str,
)
def test_two_fits_are_equal(params):
    """Check that one seed gives one model to the last bit, and another seed another."""
    one, other = small(**params).fit(X, y), small(**params).fit(X, y)
    assert_same_model(one, other)
    assert_array_equal(one.fit(X, y).transform(X_new), other.transform(X_new))
    different = small(**{**params, "random_state": 1}).fit(X, y)
    assert (different.transform(X_new) != other.transform(X_new)).any()


def test_threads():
    """Check that fits in threads are equal to fits one after the other."""
    seeds = [0, 1, 2, 0, 1, 2]
    state = torch.get_rng_state()
    found = joblib.Parallel(n_jobs=3, backend="threading")(
        joblib.delayed(small(random_state=seed).fit)(X, y) for seed in seeds
    )
    assert torch.equal(torch.get_rng_state(), state)
    for seed, model in zip(seeds, found):
        assert_same_model(model, small(random_state=seed).fit(X, y))


def test_random_state_instance():
    """Check that a RandomState moves on from fit to fit, as in scikit-learn."""
    state = np.random.RandomState(0)
    model = small(random_state=state)
    first, second = model.fit(X, y).transform(X_new), model.fit(X, y).transform(X_new)
    assert (first != second).any()
    again = small(random_state=np.random.RandomState(0)).fit(X, y)
    assert_array_equal(again.transform(X_new), first)


@pytest.mark.parametrize("seed", [0, None])
def test_global_generators_are_left_alone(seed):
    """Check that fit and predict leave torch's and numpy's global state as it was.

    Without a seed, numpy's moves, as scikit-learn's estimators do.
    """
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    small(random_state=seed, module__dropout=0.2).fit(X, y).predict(X)
    assert torch.equal(torch.get_rng_state(), torch_before)
    if seed is not None:
        assert_array_equal(np.random.get_state()[1], numpy_before[1])  # noqa: NPY002


def test_nothing_is_printed(capsys):
    """Check that it is silent and does not warn, unless verbose asks for lines."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small(early_stopping=True).fit(X, y).predict(X)
        small(class_weight="balanced").fit(X, names).predict(X)
    assert capsys.readouterr() == ("", "")
    small(verbose=1).fit(X, y)
    assert capsys.readouterr().out.count("\n") >= 8


def test_predictions_do_not_change_the_model():
    """Check that predicting, one sample or many, leaves the model as it is."""
    model = small().fit(X, y)
    before = model.predict_proba(X_new)
    model.predict(X)
    one_by_one = np.concatenate([model.predict_proba(row[None]) for row in X_new])
    assert_array_equal(model.predict_proba(X_new), before)
    assert_allclose(one_by_one, before, rtol=1e-4, atol=1e-6)


LOAD = """
import sys
import joblib
import numpy as np

model = joblib.load(sys.argv[1])
X = np.load(sys.argv[2])
outputs = [model.predict(X), model.predict_proba(X), model.decision_function(X)]
np.savez(sys.argv[3], *outputs, features=model.transform(X))
"""


def load_elsewhere(tmp_path, model):
    """Dump a model and return what it predicts in a fresh process."""
    joblib.dump(model, tmp_path / "model.joblib")
    np.save(tmp_path / "X.npy", X_new)
    files = [tmp_path / name for name in ("model.joblib", "X.npy", "out.npz")]
    done = subprocess.run(
        [sys.executable, "-c", LOAD, *files], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return np.load(files[2]), done.stderr


def test_joblib_in_a_fresh_process(tmp_path):
    """Check that a saved model predicts the same to the last bit elsewhere."""
    model = small(early_stopping=True, optimizer__weight_decay=1e-3).fit(X, names)
    out, errors = load_elsewhere(tmp_path, model)
    assert_array_equal(out["arr_0"], model.predict(X_new))
    assert_array_equal(out["arr_1"], model.predict_proba(X_new))
    assert_array_equal(out["arr_2"], model.decision_function(X_new))
    assert_array_equal(out["features"], model.transform(X_new))
    assert errors == ""


SCRIPT = """
import copy
import numpy as np
import torch
from sklearn.model_selection import cross_validate
from sk_center import CenterLossClassifier

class Net(torch.nn.Linear):
    pass

X = np.random.default_rng(0).normal(size=(60, 4))
y = np.arange(60) % 2
model = CenterLossClassifier(Net, max_epochs=1, module__in_features=4,
                             module__out_features=2, random_state=0)
found = cross_validate(model, X, y, cv=2, n_jobs=2, return_estimator=True)
print(found["estimator"][0].predict(X).shape)
function = CenterLossClassifier(lambda X: X.sin(), max_epochs=1).fit(X, y)
print((copy.deepcopy(function).predict(X) == function.predict(X)).all())
"""


@pytest.mark.slow
def test_modules_of_a_script_travel():
    """Check that workers return nets whose module is defined in a script or notebook."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.stdout.split() == ["(60,)", "True"], done.stderr


@pytest.mark.slow
def test_grid_search_in_a_pipeline():
    """Check GridSearchCV over lambda in a Pipeline with two processes."""
    pipe = make_pipeline(StandardScaler(), small())
    grid = {
        "centerlossclassifier__lambda_center": [0, 1.0],
        "centerlossclassifier__hidden_layer_sizes": [(8, 2), (16, 4)],
    }
    search = GridSearchCV(pipe, grid, cv=2, n_jobs=2).fit(X, names)
    assert len(search.cv_results_["params"]) == 4
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    serial = GridSearchCV(pipe, grid, cv=2).fit(X, names)
    for key in ("mean_test_score", "std_test_score"):
        assert_array_equal(search.cv_results_[key], serial.cv_results_[key])
    assert_array_equal(search.predict(X), serial.predict(X))


def test_cross_val_predict():
    """Check out-of-fold distances in the columns of the classes."""
    out = cross_val_predict(small(), X, names, cv=3, method="decision_function")
    assert out.shape == (150, 3)
    assert (np.unique(names)[out.argmax(axis=1)] == names).mean() > 0.8
