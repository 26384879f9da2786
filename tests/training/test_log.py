"""The log of a training, and skorch's callbacks beside it."""

import logging

import numpy as np
import torch
from callback_cases import X, open_set, small, y
from numpy.testing import assert_allclose
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import (
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    LRScheduler,
    ProgressBar,
)
from skorch.dataset import ValidSplit


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
