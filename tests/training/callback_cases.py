"""Callbacks that record, and what they are called with."""

import numpy as np
import pytest
import sklearn
from sklearn.datasets import load_iris
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version

from sk_center import CenterLossClassifier, OpenSetClassifier

HAS_CALLBACKS = parse_version(sklearn.__version__) >= parse_version("1.9")
needs_callbacks = pytest.mark.skipif(not HAS_CALLBACKS, reason="scikit-learn 1.9 has them")

X, y = load_iris(return_X_y=True)

X = StandardScaler().fit_transform(X).astype(np.float32)


def small(**params):
    """Return a small classifier."""
    defaults = {"hidden_layer_sizes": (16, 4), "max_epochs": 3, "batch_size": 64}
    defaults |= {"lr": 0.01, "lr_schedule": None}  # the same in a fit of any length
    return CenterLossClassifier(**{**defaults, "random_state": 0, **params})


def open_set(estimator, **params):
    """Return a classifier that rejects, for few samples."""
    defaults = {"false_rejection_rate": 0.1, "cv": 0.3, "random_state": 0}
    return OpenSetClassifier(estimator, **{**defaults, **params})


class Record:
    """Write down what scikit-learn calls; stop, fail or be propagated if told to."""

    def __init__(self, stop=False, fail=None):
        self.stop, self.fail = stop, fail
        self.calls, self.told = [], []

    def _write(self, hook, estimator, context, **told):
        path = [context]
        while path[0].parent is not None:
            path.insert(0, path[0].parent)
        ids = tuple(part.task_id for part in path)
        self._keep([hook, type(estimator).__name__, context.task_name, ids])
        self.told.append({"max": context.max_subtasks, **told})
        if self.fail in (hook, f"{hook} of {context.task_name}"):
            raise RuntimeError(f"no luck in {self.fail}")

    def _keep(self, call):
        self.calls.append(tuple(call))

    def setup(self, estimator, context):
        self._write("setup", estimator, context)

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None, metadata=None):
        self._write("on_fit_task_begin", estimator, context, X=X, y=y, metadata=metadata)

    def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
        self._write("on_fit_task_end", estimator, context, X=X, fitted=fitted_estimator)
        return self.stop

    def teardown(self, estimator, context):
        self._write("teardown", estimator, context)

    def tasks(self, hook="on_fit_task_end"):
        """Return estimators, names and paths of tasks of which a hook was called."""
        return [call[1:] for call in self.calls if call[0] == hook]

    def fitted(self):
        """Return the estimators that epochs ended with."""
        return [
            told["fitted"]
            for call, told in zip(self.calls, self.told)
            if call[0] == "on_fit_task_end" and call[2] == "epoch"
        ]


class Propagated(Record):
    """The same, for all estimators inside the one it is set on."""

    max_propagation_depth = None


def epochs(path, n=3):
    """Return the tasks of epochs below a path."""
    return [("CenterLossClassifier", "epoch", (*path, i)) for i in range(n)]


def assert_balanced(record):
    """Assert that each task that began ended, once, after all of its parts."""
    began, ended = record.tasks("on_fit_task_begin"), record.tasks("on_fit_task_end")
    assert len(set(began)) == len(began) > 0
    assert sorted(began) == sorted(ended)
    order = [path for *_, path in ended]
    for i, path in enumerate(order):
        assert all(later[: len(path)] != path for later in order[i + 1 :])
    assert len(record.tasks("setup")) == len(record.tasks("teardown")) == 1
