"""Tests of a search on a dask cluster, with real worker processes."""

import os
import signal
import sys
import time
from importlib.util import module_from_spec, spec_from_file_location

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from sk_center import CenterLossClassifier, OpenSetClassifier

pytestmark = pytest.mark.slow  # starting a cluster takes ten seconds

X, y = load_iris(return_X_y=True)
X = X.astype(np.float32)
SPLITS = list(StratifiedKFold(3).split(X, y))
SHARED = [X, y, *(rows for split in SPLITS for rows in split)]


@pytest.fixture(scope="module")
def client():
    """Return a client of a cluster of two processes."""
    dask = pytest.importorskip("dask")
    distributed = pytest.importorskip("distributed")
    with (
        dask.config.set({"distributed.scheduler.active-memory-manager.start": False}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def search(**params):
    """Return a search that takes a few seconds."""
    model = CenterLossClassifier(hidden_layer_sizes=(8, 3), random_state=0, **params)
    return GridSearchCV(model, {"lambda_center": [0.01, 0.1, 0.3]}, cv=SPLITS)


def test_a_cluster_finds_what_one_process_finds(client):
    """Check scores and the best estimator, which comes back and predicts here."""
    with joblib.parallel_config(backend="dask", scatter=SHARED):
        found = search(max_epochs=5).fit(X, y)
    expected = search(max_epochs=5).fit(X, y)
    assert_allclose(
        found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"]
    )
    assert found.best_params_ == expected.best_params_
    assert_allclose(found.decision_function(X), expected.decision_function(X), rtol=1e-5)
    assert_array_equal(found.predict(X), expected.predict(X))


def test_calibration_runs_on_a_cluster(client):
    """Check that the fits of OpenSetClassifier do, and that it predicts here."""
    model = OpenSetClassifier(
        CenterLossClassifier(hidden_layer_sizes=(8, 3), max_epochs=5, random_state=0),
        cv=3,
        random_state=0,
        n_jobs=2,
    )
    expected = model.fit(X, y).p_values(X)
    with joblib.parallel_config(backend="dask"):
        assert_allclose(model.fit(X, y).p_values(X), expected, atol=1e-6)


def killed_later(client):
    """Kill a worker as soon as it has finished something, and return its process."""
    from distributed import WorkerPlugin

    class Kill(WorkerPlugin):
        def __init__(self, pid):
            self.pid = pid

        def transition(self, key, start, finish, **kwargs):
            done = finish == "memory" and "fit_and_score" in str(key)
            if done and os.getpid() == self.pid:  # its successor lives
                os.kill(self.pid, signal.SIGKILL)

    pid = next(iter(client.run(os.getpid).values()))
    client.register_plugin(Kill(pid), name="kill")
    return pid


def test_a_killed_worker_does_not_lose_the_search(client):
    """Check that what a dead worker held and did is done again."""
    time.sleep(3)  # dask would by now have dropped copies, if it were let
    with joblib.parallel_config(backend="dask", scatter=SHARED):
        pid = killed_later(client)
        found = search(max_epochs=40).fit(X, y)
    assert pid not in client.run(os.getpid).values()
    expected = search(max_epochs=40).fit(X, y)
    assert_allclose(
        found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"]
    )
    assert_array_equal(found.predict(X), expected.predict(X))


def test_each_worker_sees_one_gpu(tree, client):
    """Check the plugin of the example."""
    path = tree / "examples" / "distributed" / "search_dask.py"
    spec = spec_from_file_location("search_dask", path)
    example = module_from_spec(spec)
    sys.modules["search_dask"] = example
    spec.loader.exec_module(example)
    distributed = pytest.importorskip("distributed")
    distributed.protocol.pickle.cloudpickle.register_pickle_by_value(example)
    client.wait_for_workers(2, timeout=300)  # one may just be on its way back
    client.register_plugin(example.OneGPU(), name="one GPU")
    try:
        seen = client.run(lambda: os.environ.get("CUDA_VISIBLE_DEVICES"))
        assert sorted(seen.values()) == ["0", "1"]
    finally:
        client.unregister_worker_plugin("one GPU")
        client.run(lambda: os.environ.pop("CUDA_VISIBLE_DEVICES", None))
