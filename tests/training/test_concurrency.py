"""Many at once, and the state that all of a process share."""

import io
import multiprocessing
import os
import random
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import nullcontext
from functools import cache
from pathlib import Path

import joblib
import numpy as np
import pytest
import sklearn
import torch
from numpy.testing import assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from sk_center import Center, CenterLossClassifier, CenterLossNet, OpenSetClassifier
from sk_center.losses import center_loss

ROOT = Path(__file__).parents[2]
N_SAMPLES = 300
y = np.arange(N_SAMPLES) % 3
X = np.random.default_rng(0).normal(size=(N_SAMPLES, 4)) + 3 * np.eye(3, 4)[y]
X = X.astype(np.float32)
images = X[:60, :1, None, None] * np.ones((1, 1, 8, 8), dtype=np.float32)


def small(**params):
    """Return a classifier that trains in a blink, and draws numbers all the while."""
    defaults = {"hidden_layer_sizes": (8, 4), "max_epochs": 3, "module__dropout": 0.3}
    return CenterLossClassifier(**{**defaults, **params})


# Each takes a seed and returns arrays: all that fits and predictions give.
def net_job(seed):
    """Fit and predict by a center-loss classifier."""
    model = small(random_state=seed).fit(X, y)
    return [model.centers_, model.predict_proba(X), model.logits(X), model.predict(X)]


def stream_job(seed):
    """Fit in parts."""
    model = small(random_state=seed, head="distance")
    for part in np.array_split(np.arange(N_SAMPLES), 4):
        model.partial_fit(X[part], y[part], classes=[0, 1, 2])
    return [model.centers_, model.decision_function(X)]


def image_job(seed):
    """Fit a convolutional net, with batch normalization."""
    model = CenterLossClassifier(max_epochs=1, random_state=seed)
    model.fit(images, y[:60])
    return [model.centers_, model.transform(images)]


def open_set_job(seed):
    """Fit and predict by an open-set classifier."""
    model = OpenSetClassifier(small(), random_state=seed, cv=0.3).fit(X, y)
    return [model.p_values(X), model.predict(X), model.score_thresholds_]


JOBS = {"net": net_job, "stream": stream_job, "images": image_job, "open set": open_set_job}
SEEDS = [0, 1, 2, 3] * 2


def run(name, seed):
    """Run a job by its name, which other processes know."""
    return JOBS[name](seed)


run_alone = cache(run)


def assert_same_jobs(found, name):
    """Check that jobs gave the bits that they give alone."""
    alone = {seed: run_alone(name, seed) for seed in set(SEEDS)}
    assert not np.array_equal(alone[0][0], alone[1][0])
    assert len(found) == len(SEEDS)
    for seed, arrays in zip(SEEDS, found):
        for one, other in zip(arrays, alone[seed], strict=True):
            assert_array_equal(one, other)


@pytest.mark.parametrize("name", JOBS)
def test_eight_threads(name):
    """Check that fits in eight threads give the bits that they give alone."""
    before = torch.get_rng_state()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(run, [name] * len(SEEDS), SEEDS))
    assert torch.equal(torch.get_rng_state(), before)
    assert_same_jobs(found, name)


def test_one_model_in_eight_threads():
    """Check that threads that share a model predict as one does, all methods at once."""
    model = OpenSetClassifier(small(), random_state=0, cv=0.3).fit(X, y)
    model.random_state = None
    methods = ["predict", "predict_proba", "p_values", "score_samples", "transform"]
    calls = [(method, part) for part in np.array_split(X, 8) for method in methods] * 4
    expected = [getattr(model, method)(part) for method, part in calls]
    start = threading.Barrier(8)

    def predict(calls):
        start.wait()
        return [getattr(model, method)(part) for method, part in calls]

    with ThreadPoolExecutor(8) as pool:
        found = pool.map(predict, [calls] * 8)
        for each in found:
            for one, other in zip(each, expected, strict=True):
                assert_array_equal(one, other)


def test_fits_and_predictions_at_once():
    """Check that a model predicts alike while others are fitted, and they as alone."""
    model = small(random_state=0).fit(X, y)
    expected = model.predict_proba(X)
    with ThreadPoolExecutor(8) as pool:
        fits = [pool.submit(run, "net", seed) for seed in SEEDS]
        predictions = [pool.submit(model.predict_proba, X) for _ in range(100)]
        for prediction in predictions:
            assert_array_equal(prediction.result(), expected)
        assert_same_jobs([fit.result() for fit in fits], "net")


def test_nets_and_centers_in_threads():
    """Check that centers and the losses of nets are those of one thread after another."""

    def centers(seed):
        generator = torch.Generator().manual_seed(seed)
        center = Center(5, 7, center=torch.zeros)
        for _ in range(50):
            features = torch.randn(20, 5, generator=generator, requires_grad=True)
            labels = torch.randint(7, (20,), generator=generator)
            center_loss(features, labels, center).backward()
        return center.predict()

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(centers, range(16)))
    for seed, each in enumerate(found):
        assert torch.equal(each, centers(seed))


def test_deterministic_nets_in_threads():
    """Check that torch's flag is as before after nets that set it, one inside another."""
    start = threading.Barrier(8)

    def fit(n_epochs):
        start.wait()
        CenterLossNet(torch.nn.Flatten, deterministic=True, max_epochs=n_epochs).fit(X, y)

    for _ in range(3):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(fit, range(1, 9)))
        assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize(
    ("backend", "name"),
    [
        ("fork", "net"),
        ("loky", "open set"),
        pytest.param("fork", "open set", marks=pytest.mark.slow),
        pytest.param("loky", "net", marks=pytest.mark.slow),
    ],
)
def test_processes(backend, name):
    """Check that other processes give the same bits, after this one has trained too."""
    run(name, 0)
    if backend == "fork":
        context = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            found = list(pool.map(run, [name] * len(SEEDS), SEEDS))
    else:
        found = joblib.Parallel(n_jobs=2, backend=backend)(
            joblib.delayed(JOBS[name])(seed) for seed in SEEDS
        )
    assert_same_jobs(found, name)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_fork_while_a_thread_trains():
    """Check that a process forked in the middle of a fit can fit, and does not hang.

    The thread that trains holds a lock, which in the child nobody would ever release.
    """
    started, stop = threading.Event(), threading.Event()

    class Wait(torch.nn.Linear):
        """A layer that lets the test go on when training has begun."""

        def forward(self, X):
            """Return the features."""
            if self.training:
                started.set()
                stop.wait(300)
            return super().forward(X)

    model = CenterLossClassifier(Wait(4, 2), max_epochs=1)
    trains = threading.Thread(target=model.fit, args=(X, y))
    trains.start()
    try:
        assert started.wait(300)
        context = multiprocessing.get_context("fork")
        queue = context.SimpleQueue()
        child = context.Process(target=lambda: queue.put(run("net", 0)))
        child.start()
        child.join(200)
        alive = child.is_alive()
        if alive:
            child.kill()
    finally:
        stop.set()
        trains.join()
    assert not alive
    for one, other in zip(queue.get(), run("net", 0), strict=True):
        assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("name", JOBS)
def test_spawn(name):
    """Check that processes that begin from nothing give the same bits."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        found = list(pool.map(run, [name] * len(SEEDS), SEEDS))
    assert_same_jobs(found, name)


@pytest.mark.slow
def test_subprocess():
    """Check that a program of its own gives the same bits, at its own thread count."""
    program = (
        "import sys; sys.path.insert(0, 'tests/training'); import test_concurrency, numpy; "
        "numpy.savez(sys.stdout.buffer, *test_concurrency.run('net', 0))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
        check=True,
    )
    with np.load(io.BytesIO(found.stdout)) as arrays:
        for one, other in zip(arrays.values(), run("net", 0), strict=True):
            assert_array_equal(one, other)


def test_search_with_loky():
    """Check that a grid search in two processes finds what it finds in one."""
    grid = {"estimator__lambda_center": [0, 1], "false_rejection_rate": [0.1, 0.2]}
    found = [
        GridSearchCV(
            OpenSetClassifier(small(random_state=0), random_state=0, cv=0.2),
            grid,
            cv=2,
            n_jobs=n,
        ).fit(X, y)
        for n in (1, 2)
    ]
    scores = [search.cv_results_["mean_test_score"] for search in found]
    assert_array_equal(*scores)
    assert_array_equal(found[0].predict(X), found[1].predict(X))


@pytest.fixture(scope="module", autouse=True)
def warm():
    """Import what torch imports at its first use of some features, with side effects."""
    small(deterministic=True, random_state=0).fit(X, y)


def global_state():
    """Return what a process shares: generators, threads, modes, filters, settings."""
    numpy_state = np.random.get_state()  # noqa: NPY002
    return {
        "torch generator": torch.get_rng_state().numpy().tobytes(),
        "numpy generator": (numpy_state[0], numpy_state[1].tobytes(), *numpy_state[2:]),
        "python generator": random.getstate(),
        "threads": torch.get_num_threads(),
        "interop threads": torch.get_num_interop_threads(),
        "default dtype": torch.get_default_dtype(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warn only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "benchmark": torch.backends.cudnn.benchmark,
        "matmul precision": torch.get_float32_matmul_precision(),
        "gradients": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")),
        "autocast cache": torch.is_autocast_cache_enabled(),
        "anomalies": torch.is_anomaly_enabled(),
        "warnings": list(warnings.filters),
        "numpy errors": np.geterr(),
        "print options": np.get_printoptions(),
        "scikit-learn": sklearn.get_config(),
        "environment": dict(os.environ),
        "directory": os.getcwd(),
        "threads alive": threading.active_count(),
    }


def fitted(**params):
    """Return a fitted classifier."""
    return small(random_state=0, **params).fit(X, y)


def open_set(**params):
    """Return a fitted open-set classifier."""
    return OpenSetClassifier(small(), random_state=0, cv=0.3, **params).fit(X, y)


# Predictions change nothing: their models are fitted once.
fitted_once, open_set_once = cache(fitted), cache(open_set)


class Fails(torch.nn.Linear):
    """A layer that fails in the middle of training."""

    calls = 0

    def forward(self, X):
        """Return the features, or raise."""
        Fails.calls += self.training
        if self.training and Fails.calls % 3 == 2:
            raise RuntimeError("in the middle")
        return super().forward(X)


NAN = torch.utils.data.TensorDataset(torch.full((6, 4), torch.nan), torch.arange(6) % 3)
# What to prepare, what to call then, and what it raises.
CALLS = {
    "fit": (small, lambda m: m.set_params(random_state=0).fit(X, y), None),
    "fit, early stopping": (
        small,
        lambda m: m.set_params(random_state=0, early_stopping=True).fit(X, y),
        None,
    ),
    "fit, bf16": (
        small,
        lambda m: m.set_params(random_state=0, precision="bf16").fit(X, y),
        None,
    ),
    "fit, deterministic": (
        small,
        lambda m: m.set_params(random_state=0, deterministic=True).fit(X, y),
        None,
    ),
    "fit, deterministic, raises": (
        small,
        lambda m: m.set_params(random_state=0, deterministic=True, lr=1e30).fit(X, y),
        "training loss",
    ),
    "fit, module raises": (
        lambda: CenterLossClassifier(Fails(4, 2), random_state=0),
        lambda m: m.fit(X, y),
        "in the middle",
    ),
    "fit, NaN in a Dataset": (
        small,
        lambda m: m.set_params(random_state=0).fit(NAN),
        "training loss is nan",
    ),
    "fit, bad X": (small, lambda m: m.fit(X * np.nan, y), "contains NaN"),
    "fit, bad parameter": (
        small,
        lambda m: m.set_params(lr=-1).fit(X, y),
        "'lr' parameter",
    ),
    "fit, infinite loss": (
        small,
        lambda m: m.set_params(lr=1e30, random_state=0).fit(X, y),
        "training loss",
    ),
    "partial_fit": (fitted, lambda m: m.partial_fit(X, y), None),
    "partial_fit, raises": (
        fitted,
        lambda m: m.partial_fit(X * np.float32(1e30), y),
        "training loss",
    ),
    "partial_fit, weights": (
        fitted,
        lambda m: m.partial_fit(X, y, sample_weight=np.full(N_SAMPLES, 1e300)),
        "sample_weight",
    ),
    **{
        name: (fitted_once, lambda m, name=name: getattr(m, name)(X), None)
        for name in (
            "predict",
            "predict_proba",
            "predict_log_proba",
            "decision_function",
            "transform",
            "logits",
            "center_distances",
        )
    },
    "predict, other shape": (fitted_once, lambda m: m.predict(X[:, :2]), "2"),
    "predict, huge": (fitted_once, lambda m: m.predict_proba(X * np.float32(1e37)), None),
    "net, predict": (
        lambda: CenterLossNet(torch.nn.Flatten, max_epochs=1).fit(X, y),
        lambda m: m.predict_proba(X),
        None,
    ),
    "open set, fit": (
        small,
        lambda m: OpenSetClassifier(m, random_state=0, cv=3).fit(X, y),
        None,
    ),
    "open set, fit in threads": (
        small,
        lambda m: OpenSetClassifier(m, random_state=0, cv=3, n_jobs=2).fit(X, y),
        None,
    ),
    "open set, too few": (
        small,
        lambda m: OpenSetClassifier(m, random_state=0, cv=0.2).fit(X[:9], y[:9]),
        "too few",
    ),
    "open set, training raises": (
        small,
        lambda m: OpenSetClassifier(m.set_params(lr=1e30), random_state=0, cv=0.2).fit(
            X, y
        ),
        "training loss",
    ),
    **{
        f"open set, {name}": (open_set_once, lambda m, name=name: getattr(m, name)(X), None)
        for name in (
            "predict",
            "p_values",
            "predict_set",
            "is_outlier",
            "score_samples",
            "predict_proba",
            "explain",
        )
    },
    "open set, predict NaN": (open_set_once, lambda m: m.predict(X * np.nan), "NaN"),
    "open set, fdr": (open_set_once, lambda m: m.select_outliers(X, fdr=2), "fdr must be"),
    "logistic regression": (
        LogisticRegression,
        lambda m: (
            OpenSetClassifier(m, conformity_score="vim", random_state=0, cv=0.2)
            .fit(X, y)
            .predict(X * np.float64(1e200))
        ),
        None,
    ),
}
UNUSUAL = {
    "as it is": nullcontext,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "no gradient": torch.no_grad,
    "inference": torch.inference_mode,
    "errors": lambda: np.errstate(all="raise", under="ignore", over="ignore"),
}


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:Classes with too few")
@pytest.mark.parametrize("name", CALLS)
def test_global_state(name):
    """Check that all is as before after a call, whether it returned or raised."""
    prepare, call, message = CALLS[name]
    model = prepare()
    before = global_state()
    raises = nullcontext() if message is None else pytest.raises(Exception, match=message)
    with raises:
        call(model)
    after = global_state()
    # joblib keeps threads to use them again.
    if "threads" in name:
        before.pop("threads alive"), after.pop("threads alive")
    assert after == before


@pytest.mark.parametrize("unusual", UNUSUAL)
def test_unusual_state(unusual):
    """Check that what a caller has set stays so, during fits, predictions and errors."""
    with UNUSUAL[unusual]():
        before = global_state()
        model = fitted()
        model.predict_proba(X)
        with pytest.raises(ValueError, match=r"lr=1e\+30"):
            small(lr=1e30, random_state=0).fit(X, y)
        OpenSetClassifier(small(), random_state=0, cv=0.2).fit(X, y).predict(X)
        assert global_state() == before


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_thread_count(n_threads):
    """Check that the number of threads is left alone, and changes no small result."""
    expected = run("net", 0)
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        found = run("net", 0)
        assert torch.get_num_threads() == n_threads
    finally:
        torch.set_num_threads(before)
    for one, other in zip(found, expected, strict=True):
        assert_array_equal(one, other)
