"""Progress and logging: callbacks of scikit-learn and of skorch, the log, the console."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from callback_cases import (
    HAS_CALLBACKS,
    Propagated,
    Record,
    X,
    assert_balanced,
    epochs,
    needs_callbacks,
    open_set,
    small,
    y,
)
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import accuracy_score, log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import (
    Callback,
    Checkpoint,
)
from torch.utils.data import DataLoader

from sk_center import OpenSetClassifier

HOOKS = ["setup", "on_fit_task_begin", "on_fit_task_end", "teardown"]


def assert_same_model(one, other):
    """Assert that two models predict the same to the last bit."""
    assert_array_equal(one.decision_function(X), other.decision_function(X))
    assert_array_equal(one.predict_proba(X), other.predict_proba(X))


@pytest.mark.skipif(HAS_CALLBACKS, reason="scikit-learn 1.9 has callbacks")
def test_nothing_is_offered_without_the_interface():
    """Check that there is no set_callbacks where scikit-learn has no callbacks."""
    assert not hasattr(small(), "set_callbacks")
    assert not hasattr(OpenSetClassifier(small(), cv=0.2), "set_callbacks")


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
def test_number_of_epochs_is_told_in_advance():
    """Check that callbacks get the number of epochs, also where the data decide it."""
    record = Record()
    model = small(max_epochs="auto").set_callbacks(record).fit(X, y)
    assert record.told[1]["max"] == model.n_iter_ == 40


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


@pytest.mark.slow
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
