"""scikit-learn's callbacks of fits that have parts, such as splits and searches."""

import json
from pathlib import Path

import numpy as np
import pytest
from callback_cases import (
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
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_center import LeaveClassesOut

# Minus infinity for nearly all samples.
TOPHAT = KernelDensity(kernel="tophat", bandwidth=1e-6)


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


@needs_callbacks
@pytest.mark.parametrize("n_jobs", [None, pytest.param(2, marks=pytest.mark.slow)])
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
