"""What save refuses, how it writes a file, and which files load takes."""

import errno
import json
import os

import numpy as np
import pytest
from fuzz_load import joined, split
from saved_models import (
    POSIX,
    Net,
    Unusual,
    X,
    Y,
    assert_alike,
    local_function,
    small,
)
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    StandardScaler,
)

from sk_center import load, save


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (StandardScaler(), "estimator must be a CenterLossClassifier"),
        (GridSearchCV(small(), {"lr": [0.1]}, cv=2), "save its best_estimator_"),
        (
            small(random_state=np.random.RandomState(np.random.PCG64(0))),
            "CenterLossClassifier.random_state cannot be saved: a RandomState of PCG64",
        ),
        (
            make_pipeline(CalibratedClassifierCV(small(), cv=2)),
            "Pipeline.steps.0.1 cannot be saved: skops knows no CalibratedClassifierCV "
            r"\(.*\)\. joblib\.dump writes what a pickle can hold\.",
        ),
        (
            make_pipeline(FunctionTransformer(lambda X: X), small()),
            "Pipeline.steps.0.1 cannot be saved: it holds "
            r"\['test_save_files.<lambda>'\], which load could not import .* top level",
        ),
        (
            make_pipeline(FunctionTransformer(local_function()), small()),
            r"it holds \['saved_models.hidden'\], which load could not import",
        ),
    ],
    ids=[
        "scaler",
        "search",
        "PCG64",
        "hidden net",
        "lambda",
        "local function",
    ],
)
def test_what_cannot_be_saved(model, message, tmp_path):
    """Check that save names what it cannot save, and writes nothing."""
    model = clone(model).fit(X, Y)
    with pytest.raises(ValueError, match=f"(?i){message}"):
        save(model, tmp_path / "model")
    assert [*tmp_path.iterdir()] == []


@POSIX
@pytest.mark.parametrize("name", ["folder", "fifo", "missing/model"])
def test_save_to_no_file(name, tmp_path):
    """Check that save replaces nothing that is no regular file."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match=f"cannot write .*{name}"):
        save(small().fit(X, Y), tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fifo", "folder"]
    assert (tmp_path / "fifo").is_fifo()


@POSIX
def test_save_through_a_link(tmp_path):
    """Check that a symbolic link stays, and what it points to is written."""
    (tmp_path / "link").symlink_to(tmp_path / "target")
    model = small().fit(X, Y)
    save(model, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert_alike(model, load(tmp_path / "target"), X)


@POSIX
def test_save_for_all_who_may_read(tmp_path):
    """Check that a file is open to whom the process leaves its files open to."""
    before = os.umask(0o027)
    try:
        save(small().fit(X, Y), tmp_path / "model")
    finally:
        os.umask(before)
    assert (tmp_path / "model").stat().st_mode & 0o777 == 0o640


def test_save_by_a_long_name(tmp_path):
    """Check that a name may be as long as the disk allows."""
    save(small().fit(X, Y), str(tmp_path / ("x" * 255)))
    assert [path.name for path in tmp_path.iterdir()] == ["x" * 255]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_save_keeps_the_old_file(failing, tmp_path, monkeypatch):
    """Check that a file stays as it is where writing another in its place fails."""
    (tmp_path / "model").write_text("old")
    model = small().fit(X, Y)

    def fail(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match=r"cannot write .*model.*No space") as caught:
        save(model, tmp_path / "model")
    assert caught.value.errno == errno.ENOSPC
    assert (tmp_path / "model").read_text() == "old"
    assert len([*tmp_path.iterdir()]) == 1


def test_save_to_a_full_disk(tmp_path):
    """Check that the old file stays, and an OSError tells, where a file cannot grow."""
    resource = pytest.importorskip("resource")
    (tmp_path / "model").write_text("old")
    model = small(hidden_layer_sizes=(100, 100)).fit(X, Y)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(OSError, match=r"cannot write .*model"):
            save(model, tmp_path / "model")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (tmp_path / "model").read_text() == "old"
    assert len([*tmp_path.iterdir()]) == 1


def test_not_fitted(tmp_path):
    """Check that only a fitted estimator is saved."""
    with pytest.raises(NotFittedError):
        save(small(), tmp_path / "model")


@pytest.mark.parametrize("path", ["nothing", "."])
def test_load_no_file(path, tmp_path):
    """Check that what is no file is called so."""
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load(tmp_path / path)


@POSIX
def test_load_does_not_wait(tmp_path):
    """Check that a pipe, which would be waited for, is no file."""
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load(tmp_path / "fifo")


def test_trusted_is_a_sequence(tmp_path):
    """Check that one name is not taken letter by letter."""
    save(small(module=Net).fit(X, Y), tmp_path / "model")
    with pytest.raises(ValueError, match="trusted must be a sequence"):
        load(tmp_path / "model", trusted="saved_models.Net")


def test_missing_module(tmp_path):
    """Check that load says which class is to be passed, and that another does not go."""
    save(small(module=Net).fit(X, Y), tmp_path / "class")
    save(small(module=Net()).fit(X, Y), tmp_path / "instance")
    with pytest.raises(ValueError, match=r"it names \['saved_models.Net'\], which are not"):
        load(tmp_path / "class")
    with pytest.raises(ValueError, match=r"instance of .*Net as its module; pass one"):
        load(tmp_path / "instance")
    for name in ("class", "instance"):
        with pytest.raises(ValueError, match=r"(?s)cannot be loaded.*(wants|Missing key)"):
            load(tmp_path / name, module=Unusual if name == "class" else Unusual())


def test_missing_name(tmp_path):
    """Check that a trusted class that cannot be imported is named."""
    save(small(module=Net).fit(X, Y), tmp_path / "model")
    content, arrays = split((tmp_path / "model").read_bytes())
    text = json.dumps(content).replace("saved_models.Net", "no_such_package.Net")
    (tmp_path / "model").write_bytes(joined(json.loads(text), arrays))
    with pytest.raises(ValueError, match=r"no_such_package.Net cannot be imported here"):
        load(tmp_path / "model", trusted=["no_such_package.Net"])
