"""Progress and logging: callbacks of scikit-learn and of skorch, the log, the console."""

import json
import logging
import pickle
from pathlib import Path

import numpy as np
import pytest
import sklearn
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    LRScheduler,
    ProgressBar,
)
from skorch.dataset import ValidSplit
from torch.utils.data import DataLoader

from sk_center import CenterLossClassifier, LeaveClassesOut, OpenSetClassifier

HAS_CALLBACKS = parse_version(sklearn.__version__) >= parse_version("1.9")
needs_callbacks = pytest.mark.skipif(not HAS_CALLBACKS, reason="scikit-learn 1.9 has them")
X, y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X).astype(np.float32)
HOOKS = ["setup", "on_fit_task_begin", "on_fit_task_end", "teardown"]


def small(**params):
    """Return a small classifier."""
    defaults = {"hidden_layer_sizes": (16, 4), "max_epochs": 3, "lr": 0.01}
    return CenterLossClassifier(**{**defaults, "random_state": 0, **params})


def open_set(estimator, **params):
    """Return a classifier that rejects, for few samples."""
    defaults = {"false_rejection_rate": 0.1, "cv": 0.3, "random_state": 0}
    return OpenSetClassifier(estimator, **{**defaults, **params})


# Minus infinity for nearly all samples.
TOPHAT = KernelDensity(kernel="tophat", bandwidth=1e-6)


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


class InFile(Propagated):
    """The same, into a file, which other processes write to as well."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def _keep(self, call):
        with Path(self.path).open("a") as file:
            file.write(json.dumps(call) + "\n")

    def read(self):
        """Take over what all processes wrote."""
        lines = Path(self.path).read_text().splitlines()
        self.calls = [(*call[:-1], tuple(call[-1])) for call in map(json.loads, lines)]


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


def assert_same_model(one, other):
    """Assert that two models predict the same to the last bit."""
    assert_array_equal(one.decision_function(X), other.decision_function(X))
    assert_array_equal(one.predict_proba(X), other.predict_proba(X))


# scikit-learn's callbacks and CenterLossClassifier


@pytest.mark.skipif(HAS_CALLBACKS, reason="scikit-learn 1.9 has callbacks")
def test_nothing_is_offered_without_the_interface():
    """Check that there is no set_callbacks where scikit-learn has no callbacks."""
    assert not hasattr(small(), "set_callbacks")
    assert not hasattr(OpenSetClassifier(small()), "set_callbacks")


@needs_callbacks
def test_epochs_are_the_tasks_of_a_fit():
    """Check what is called, in which order, and with which data."""
    record, weight = Record(), np.linspace(1, 2, len(X))
    model = small().set_callbacks(record).fit(X, y, sample_weight=weight)
    fit = ("CenterLossClassifier", "fit", (0,))
    expected = [("setup", *fit), ("on_fit_task_begin", *fit)]
    for epoch in epochs((0,)):
        expected += [("on_fit_task_begin", *epoch), ("on_fit_task_end", *epoch)]
    assert record.calls == [*expected, ("on_fit_task_end", *fit), ("teardown", *fit)]
    assert [told["max"] for told in record.told] == [3, 3, *[0] * 6, 3, 3]
    for told in record.told[1:-1]:
        assert told["X"] is X
        if "y" in told:
            assert told["y"] is y
            assert told["metadata"] == {"sample_weight": weight}
    plain = small().fit(X, y, sample_weight=weight)
    assert_same_model(model, plain)
    assert vars(model).keys() - vars(plain).keys() == {"_skl_callbacks"}
    assert not any(row["batches"] for row in model.history_)  # the loop stays lean


@needs_callbacks
@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize("loader", [{}, {"iterator_valid": DataLoader}])
def test_fitted_estimator_is_that_of_a_shorter_fit(loader, warm_start):
    """Check each epoch's estimator against a fit that ends there, and the last fit."""
    params = {"module__dropout": 0.2, "warm_start": warm_start, **loader}
    record = Record()
    model = small(**params).set_callbacks(record).fit(X, y)
    for n_epochs, fitted in enumerate(record.fitted(), 1):
        shorter = small(**{**params, "max_epochs": n_epochs}).fit(X, y)
        assert_same_model(fitted, shorter)
        assert fitted.n_iter_ == len(fitted.history_) == n_epochs
        assert_same_model(pickle.loads(pickle.dumps(fitted)), shorter)
    assert n_epochs == 3
    # Neither looking at the estimators nor predicting changes the training.
    assert_same_model(model, small(**params).fit(X, y))
    if warm_start:
        record.calls.clear()
        record.told.clear()
        model.fit(X, y)
        assert [fitted.n_iter_ for fitted in record.fitted()] == [4, 5, 6]
        assert_same_model(record.fitted()[-1], model)
        assert_same_model(model, small(**params).fit(X, y).fit(X, y))


@needs_callbacks
def test_fitted_estimator_trains_without_the_fit():
    """Check that its net has the callbacks of skorch, and not what watches the fit."""
    seen = []

    class Look(Record):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            seen.append([name for name, _ in fitted_estimator.net_.callbacks_])

    model = small().set_callbacks(Look()).fit(X, y)
    names = [name for name, _ in model.net_.callbacks_]
    assert seen == [names] * 4
    assert names == ["epoch_timer", "print_log"]


@needs_callbacks
def test_fitted_estimator_is_compiled_once():
    """Check that looking at the estimator of each epoch compiles nothing anew."""
    counts = []
    for record in (None, Record()):
        calls = []

        def backend(graph, inputs, calls=calls):
            calls.append(graph)
            return graph.forward

        torch.compiler.reset()
        model = small(compile=True, compile__backend=backend)
        model.set_callbacks(*[record] if record else []).fit(X, y)
        counts.append(len(calls))
    torch.compiler.reset()
    assert counts[0] == counts[1] > 0
    assert_array_equal(record.fitted()[-1].predict(X), model.predict(X))


@needs_callbacks
def test_scoring_monitor():
    """Check its scores against those of fits that end at each epoch."""
    from sklearn.callback import ScoringMonitor

    monitor = ScoringMonitor(scoring=["accuracy", "neg_log_loss"])
    params = {"module__dropout": 0.2, "iterator_valid": DataLoader}
    model = small(**params).set_callbacks(monitor).fit(X, y)
    rows = {row["task_id_path"]: row for row in monitor.get_logs().data}
    assert [*rows] == [(0,), (0, 0), (0, 1), (0, 2)]
    for path, row in rows.items():
        n_epochs = 3 if path == (0,) else path[-1] + 1
        shorter = small(**{**params, "max_epochs": n_epochs}).fit(X, y)
        assert_allclose(row["accuracy"], accuracy_score(y, shorter.predict(X)))
        assert_allclose(row["neg_log_loss"], -log_loss(y, shorter.predict_proba(X)))
    assert_same_model(model, small(**params).fit(X, y))


@needs_callbacks
def test_scoring_monitor_of_a_classifier_that_rejects():
    """Check that the fitted OpenSetClassifier is scored, and the classifier inside."""
    from sklearn.callback import ScoringMonitor

    outer, inner = ScoringMonitor(scoring="accuracy"), ScoringMonitor(scoring="accuracy")
    model = open_set(small().set_callbacks(inner)).set_callbacks(outer).fit(X, y)
    assert [row["accuracy"] for row in outer.get_logs().data] == [model.score(X, y)]
    # The path is that of the whole tree.
    paths = [row["task_id_path"] for row in inner.get_logs().data]
    assert paths == [(0, 0), (0, 0, 0), (0, 0, 1), (0, 0, 2)]


@needs_callbacks
def test_early_stopping_ends_the_tasks():
    """Check that there are as many epochs as were trained, and that all tasks end."""
    record = Record()
    labels = np.random.default_rng(0).permutation(y)  # to be learned by heart only
    params = {"early_stopping": True, "n_iter_no_change": 2, "max_epochs": 100, "lr": 0.02}
    model = small(**params).set_callbacks(record).fit(X, labels)
    assert 2 < model.n_iter_ < 100
    assert record.tasks() == [
        *epochs((0,), model.n_iter_),
        ("CenterLossClassifier", "fit", (0,)),
    ]
    assert_balanced(record)
    assert record.told[0]["max"] == 100
    assert_same_model(record.told[-2]["fitted"], model)


@needs_callbacks
def test_callback_ends_training():
    """Check that training ends after the epoch in which a callback asks for it."""
    record = Record(stop=True)
    model = small().set_callbacks(record).fit(X, y)  # and nothing warns
    assert record.tasks() == [*epochs((0,), 1), ("CenterLossClassifier", "fit", (0,))]
    assert_balanced(record)
    assert_same_model(model, small(max_epochs=1).fit(X, y))

    record = Propagated(stop=True)
    pipe = make_pipeline(StandardScaler(), small())
    model = open_set(pipe, cv=2).set_callbacks(record).fit(X, y)
    assert model.estimator_[-1].n_iter_ == 1
    assert_balanced(record)
    assert sum(task[1] == "epoch" for task in record.tasks()) == 3


@needs_callbacks
@pytest.mark.parametrize(
    "make", [lambda: small(warm_start=True), lambda: open_set(small())]
)
@pytest.mark.parametrize("hook", [*HOOKS, "on_fit_task_end of fit"])
def test_callback_that_fails(hook, make):
    """Check the error, that teardown is called, and that an earlier fit is intact."""
    record = Record(fail=hook)
    model = make().fit(X, y)
    expected = model.predict_proba(X)
    model.set_callbacks(record)
    with pytest.raises(RuntimeError, match=f"no luck in {hook}"):
        model.fit(X, y)
    assert len(record.tasks("setup")) == len(record.tasks("teardown")) == 1
    if hook != "teardown":
        assert_array_equal(model.predict_proba(X), expected)
    model.set_callbacks()
    assert "_skl_callbacks" not in vars(model)
    assert {name for name in vars(model) if "callback" in name} <= {"callbacks"}


@needs_callbacks
def test_fit_that_fails_tears_down():
    """Check that teardown is called where the data are no good, for two estimators."""
    for model in (small(), open_set(small())):
        record = Propagated()
        model.set_callbacks(record)
        with pytest.raises(ValueError, match="NaN"):
            model.fit(np.full_like(X, np.nan), y)
        assert len(record.tasks("setup")) == len(record.tasks("teardown")) == 1
        assert not hasattr(model, "classes_")


@needs_callbacks
def test_partial_fit_is_one_task():
    """Check that a call of partial_fit is a task without parts."""
    record = Record()
    model = small().set_callbacks(record)
    model.partial_fit(X, y, classes=[0, 1, 2])
    assert [call[0] for call in record.calls] == HOOKS
    assert record.told[0]["max"] == 0
    assert record.tasks() == [("CenterLossClassifier", "partial-fit", (0,))]
    assert_same_model(record.told[2]["fitted"], model)


@needs_callbacks
def test_interrupt_ends_the_tasks():
    """Check that the tasks end where training is interrupted."""

    class Interrupt(Callback):
        n_batches = 0

        def on_batch_begin(self, net, training, **kwargs):
            self.n_batches += 1
            if self.n_batches == self.at:
                raise KeyboardInterrupt

    for at in (4, 5):  # the first and the second batch of the second epoch
        record = Record()
        model = small(callbacks=[Interrupt()]).set_callbacks(record)
        model.callbacks[0].at = at
        with pytest.warns(UserWarning, match="interrupted"):
            model.fit(X, y)
        assert model.n_iter_ == at - 3
        assert_balanced(record)
        assert record.tasks()[:-1] == epochs((0,), 2)


@needs_callbacks
def test_net_pickled_amid_training_carries_no_data(tmp_path):
    """Check a checkpoint of the whole net, whose training callbacks watch."""
    checkpoint = Checkpoint(monitor=None, f_pickle="net.pkl", dirname=tmp_path)
    model = small(callbacks=[checkpoint]).set_callbacks(Record())
    model.fit(np.repeat(X, 50, axis=0), np.repeat(y, 50))
    assert Path(tmp_path, "net.pkl").stat().st_size < X.nbytes * 50
    net = pickle.loads(Path(tmp_path, "net.pkl").read_bytes())
    net.partial_fit(X, y, epochs=1)
    assert len(net.history) == 3 + 1


# scikit-learn's callbacks and what is around the classifier


@needs_callbacks
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_tree_of_splits(n_jobs, tmp_path):
    """Check the tasks of OpenSetClassifier with a pipeline inside, in processes too."""
    record = InFile(tmp_path / "calls")
    pipe = make_pipeline(StandardScaler(), small())
    model = open_set(pipe, cv=2, n_jobs=n_jobs).set_callbacks(record).fit(X, y)
    record.read()
    assert_balanced(record)
    expected = [("OpenSetClassifier", "fit", (0,))]
    for i in range(3):  # two splits, and the estimator that is kept
        expected += [
            ("Pipeline", "fit", (0, i)),
            ("StandardScaler", "fit", (0, i, 0)),
            ("CenterLossClassifier", "fit", (0, i, 1)),
            *epochs((0, i, 1)),
        ]
    assert sorted(record.tasks()) == sorted(expected)
    plain = open_set(pipe, cv=2).fit(X, y)
    assert_array_equal(model.p_values(X), plain.p_values(X))
    assert "_skl_callbacks" not in vars(model.estimator_[-1])


@needs_callbacks
def test_tasks_of_a_held_out_share():
    """Check that one split is one task, and which data belong to it."""
    record = Record()
    open_set(small()).set_callbacks(record).fit(X, y, sample_weight=np.ones(150))
    assert record.tasks() == [
        ("OpenSetClassifier", "split", (0, 0)),
        ("OpenSetClassifier", "fit", (0,)),
    ]
    told = record.told[2]
    assert len(told["X"]) == len(told["y"]) == 105
    assert_array_equal(told["metadata"]["sample_weight"], np.ones(105))
    assert record.told[0]["max"] == 1


@needs_callbacks
def test_estimator_without_callbacks():
    """Check that scikit-learn's warning tells so, and that nothing else does."""
    record = Propagated()
    model = open_set(RandomForestClassifier(5, random_state=0), cv=2)
    with pytest.warns(UserWarning, match="does not support callbacks") as caught:
        model.set_callbacks(record).fit(X, y)
    assert len(caught) == 3
    names = [task[1] for task in record.tasks()]
    assert names == ["split", "split", "refit", "fit"]
    assert_balanced(record)


@needs_callbacks
def test_frozen_estimator():
    """Check that the frozen estimator trains nothing and keeps its callbacks."""
    inner, record = Record(), Propagated()
    frozen = FrozenEstimator(small().set_callbacks(inner).fit(X, y))
    inner.calls.clear()
    open_set(frozen).set_callbacks(record).fit(X, y)
    assert [task[1] for task in record.tasks()] == ["split", "fit"]
    assert inner.calls == []
    assert frozen._skl_callbacks == [inner]


@needs_callbacks
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_grid_search(n_jobs, tmp_path):
    """Check that callbacks reach the epochs of a search that leaves classes out."""
    record = InFile(tmp_path / "calls")
    search = GridSearchCV(
        open_set(make_pipeline(StandardScaler(), small(max_epochs=2))),
        {"estimator__centerlossclassifier__lambda_center": [0, 0.1]},
        cv=LeaveClassesOut(1, n_splits=3, random_state=0),
        scoring="accuracy",
        n_jobs=n_jobs,
    )
    search.set_callbacks(record).fit(X, y)
    record.read()
    assert_balanced(record)
    paths = [(0, 0, i, 0, 1) for i in range(6)] + [(0, 1, 0, 1)]
    expected = [task for path in paths for task in epochs(path, 2)]
    assert sorted(task for task in record.tasks() if task[1] == "epoch") == sorted(expected)


@needs_callbacks
def test_progress_bar(capsys):
    """Check scikit-learn's bars: one for each estimator, full also where it stops."""
    pytest.importorskip("rich")
    from sklearn.callback import ProgressBar

    stops = small(early_stopping=True, n_iter_no_change=1, max_epochs=500, lr=0.1)
    pipe = make_pipeline(StandardScaler(), stops)
    model = open_set(pipe).set_callbacks(ProgressBar(max_propagation_depth=None))
    assert model.fit(X, y).estimator_[-1].n_iter_ < 500
    lines = capsys.readouterr().out.splitlines()
    bars = [line for line in lines if " - fit" in line]
    for name in ("OpenSetClassifier", "Pipeline", "StandardScaler", "CenterLossClassifier"):
        assert any(f"{name} - fit" in bar and "100%" in bar for bar in bars), name


@needs_callbacks
def test_clones_share_their_callbacks():
    """Check that a clone calls the callbacks of the original, from other fits too."""
    record = Record()
    model = small().set_callbacks(record)
    for _ in range(2):
        clone(model).fit(X, y)
    assert len(record.tasks("setup")) == len(record.tasks("teardown")) == 2
    with pytest.raises(TypeError, match="FitCallback"):
        model.set_callbacks(None)


@pytest.mark.parametrize(
    ("model", "labels", "message"),
    [
        (small(negative_label=9), y, "no sample of negative_label"),
        (open_set(small(), guarantee="class", cv=0.1), y, "too few calibration samples"),
        (open_set(small(), conformity_score=TOPHAT), y, "is rejected, because"),
    ],
)
def test_warnings_name_the_line_of_the_caller(model, labels, message):
    """Check that warnings of fit point at the code that calls it."""
    with pytest.warns(UserWarning, match=message) as caught:
        model.fit(X, labels)
    assert [warning.filename for warning in caught] == [__file__]


# The log and the console


def test_log_has_a_line_for_each_epoch(caplog):
    """Check the lines at INFO, against the history, and that there are none above."""
    scoring = EpochScoring("accuracy", name="acc", on_train=True, use_caching=False)
    model = small(callbacks=[scoring], warm_start=True, device="cpu")
    with caplog.at_level(logging.INFO, logger="sk_center"):
        model.fit(X, y).fit(X, y)
    assert {(record.name, record.levelname) for record in caplog.records} == {
        ("sk_center", "INFO")
    }
    ends = [3] * 3 + [6] * 3
    for row, end, record in zip(model.history_, ends, caplog.records, strict=True):
        line = record.getMessage()
        assert line.startswith(f"Epoch {row['epoch']} of {end}: ")
        for name in ("train_loss", "acc", "dur"):
            assert f"{name} {row[name]:.4g}" in line
        assert "best" not in line
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="sk_center"):
        model.fit(X, y)
    assert caplog.records == []


def test_log_has_the_epoch_that_training_stops_after(caplog):
    """Check that early stopping, which cuts other callbacks short, leaves no line out."""
    labels = np.random.default_rng(0).permutation(y)
    params = {"early_stopping": True, "n_iter_no_change": 2, "max_epochs": 100, "lr": 0.02}
    params["device"] = "cpu"
    with caplog.at_level(logging.INFO, logger="sk_center"):
        model = small(**params).fit(X, labels)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == model.n_iter_ < 100
    assert f"valid_loss {model.history_[-1, 'valid_loss']:.4g}" in lines[-1]


def test_console_is_silent_by_default(capfd):
    """Check that no way of training prints or logs to the console."""
    small(early_stopping=True).fit(X, y)
    small().partial_fit(X, y, classes=[0, 1, 2])
    open_set(small(), cv=2).fit(X, y)
    assert capfd.readouterr() == ("", "")
    # A library is silent of its own accord, not because nobody set up logging.
    handlers = logging.getLogger("sk_center").handlers
    assert any(isinstance(handler, logging.NullHandler) for handler in handlers)
    assert logging.getLogger("sk_center").level == logging.NOTSET


def test_verbose_prints_a_line_an_epoch(capsys):
    """Check skorch's table."""
    small(verbose=1).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["epoch", "train_loss", "dur"]
    assert [line.split()[0] for line in lines[2:]] == ["1", "2", "3"]


# skorch's callbacks


def skorch_callbacks(**checkpoint):
    """Return one of each kind: they score, schedule, stop, store and show."""
    return [
        ("acc", EpochScoring("accuracy", lower_is_better=False, name="valid_acc")),
        ("lr", LRScheduler(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)),
        ("bar", ProgressBar(detect_notebook=False)),
        *([("checkpoint", Checkpoint(**checkpoint))] if checkpoint else []),
        # The last, since those after it miss the epoch in which it stops.
        ("stop", EarlyStopping(monitor="valid_acc", lower_is_better=False, patience=2)),
    ]


def test_skorch_callbacks_together(tmp_path, capsys):
    """Check that all do their work, in a pipeline in OpenSetClassifier."""
    params = {"max_epochs": 100, "train_split": ValidSplit(0.2, random_state=0)}
    made = skorch_callbacks(monitor="valid_loss_best", dirname=tmp_path)
    pipe = make_pipeline(StandardScaler(), small(callbacks=made, **params))
    inner = open_set(pipe).fit(X, y).estimator_[-1]
    history = inner.history_
    assert "/3 [" in capsys.readouterr().err  # the bar, of three batches
    assert_allclose(history[:, "event_lr"], 0.01 * 0.5 ** np.arange(inner.n_iter_))
    scores = history[:, "valid_acc"]
    assert inner.n_iter_ < 100
    assert max(scores[:-2]) >= max(scores[-2:])
    best = np.flatnonzero(history[:, "valid_loss_best"])[-1] + 1
    stored = torch.load(tmp_path / "params.pt", weights_only=True)
    params["max_epochs"] = int(best)
    again = open_set(make_pipeline(StandardScaler(), small(callbacks=made[:2], **params)))
    again = again.fit(X, y).estimator_[-1]
    for name, value in again.module_.body.state_dict().items():
        assert torch.equal(stored[f"body.{name}"], value), name
    assert not hasattr(made[1][1], "lr_scheduler_")  # each fit has copies


def test_skorch_callbacks_in_a_parallel_search():
    """Check that parameters of callbacks are searched, in two processes."""
    params = {"train_split": ValidSplit(0.2, stratified=True, random_state=0)}
    params |= {"callbacks": skorch_callbacks(), "callbacks__stop__patience": 100}
    params["max_epochs"] = 20
    search = GridSearchCV(
        make_pipeline(StandardScaler(), small(**params)),
        {"centerlossclassifier__callbacks__lr__gamma": [1e-6, 1.0]},
        n_jobs=2,
        cv=2,
    ).fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert scores[1] > scores[0] > 0
    assert_allclose(search.best_estimator_[-1].history_[:, "event_lr"], 0.01)
