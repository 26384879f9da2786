"""The data and splits of the suites, and their command."""

from argparse import Namespace
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("benchmarks", reason="it is in the source tree alone")

import benchmarks.data
import benchmarks.open_set
from benchmarks.data import NEAL, draw_unknown, load
from benchmarks.open_set import main
from benchmarks.splits import Split
from benchmarks.suites import SUITES

DIGITS = Split("digits", "0", "digits", NEAL[0], max_train=300)


@pytest.fixture
def data_dir(tmp_path):
    """Return a folder with small files such as the suites read."""
    rng = np.random.default_rng(0)
    intents = np.array([f"intent {i:02}" for i in range(77)])
    arrays = {}
    for part, size in {"train": 20, "dev": 4, "test": 2}.items():
        y = np.repeat(intents, size)
        X = np.eye(77, dtype=np.float16)[np.repeat(np.arange(77), size)]
        X = X + rng.normal(scale=0.01, size=X.shape)
        words = np.random.default_rng(size).integers(300, size=(len(y), 2))
        texts = np.array([f"{label} w{a} w{b}" for label, (a, b) in zip(y, words)])
        arrays |= {f"y_{part}": y, f"X_{part}": X, f"text_{part}": texts}
    np.savez(tmp_path / "banking77_minilm.npz", **arrays)
    numbers = np.repeat(["3", "4", "5"], 60)
    X, others = rng.normal(size=(180, 8)), rng.normal(loc=5, size=(10, 8))
    np.savez(tmp_path / "svhn_resnet18.npz", X=X, y=numbers, X_outsiders=others)
    letters = np.repeat(list(benchmarks.data.LETTERS), 80)
    table = pd.DataFrame(rng.normal(size=(len(letters), 3)), columns=["x1", "x2", "x3"])
    table.assign(letter=letters).to_csv(tmp_path / "letter.csv.gz", index=False)
    images, numbers = np.zeros((300, 28, 28), dtype=np.uint8), np.arange(300) % 10
    test = {"X_test": images[:50], "y_test": numbers[:50]}
    np.savez(tmp_path / "mnist.npz", X_train=images, y_train=numbers, **test)
    np.savez(tmp_path / "notmnist_test.npz", X=images, y=numbers)
    (tmp_path / "tables").mkdir()
    for name in benchmarks.data.TABLES:
        small = table[:560].assign(kind="a") if name == "obesity" else table[:560]
        small = small.assign(**{"class": np.repeat(np.arange(7), 80)})
        small.to_csv(tmp_path / "tables" / f"{name}.csv.gz", index=False)
    return str(tmp_path)


@pytest.mark.parametrize(
    "suite", ["tables", "intents", "embeddings", "ossvm", "letter", "images"]
)
def test_jobs(suite, data_dir):
    """Check that draws differ, no row comes twice, and no outsider trains."""
    jobs = SUITES[suite].jobs(Namespace(data_dir=data_dir, draws=2, seeds=None))
    keys = [key for job in jobs for key in job.result_keys()]
    assert len(keys) == len(set(keys))
    for split in {job.split.case: job.split for job in jobs}.values():
        _, y, _, y_test = split.parts(data_dir)
        assert not np.isin(y, split.unknown).any()
        assert np.isin(y_test, split.unknown).any()
        train, held_out = split.held_out(y, 0, data_dir)
        assert len(np.intersect1d(train, held_out)) == 0


def test_open_intent_protocol(data_dir):
    """Check that train and dev of the known intents train, and all of test tests."""
    jobs = SUITES["intents"].jobs(Namespace(data_dir=data_dir, draws=None, seeds=None))
    splits = {(job.split.case, job.split.name): job.split for job in jobs}
    counts = pd.Series([case for case, _ in splits]).value_counts()
    for kind in ("texts", "directions of texts", "embeddings"):
        assert [counts[f"{kind}, {n} known intents"] for n in (19, 39, 58)] == [10] * 3
        split = splits[f"{kind}, 19 known intents", "3"]
        X, y, X_test, y_test = split.parts(data_dir)
        assert len(np.unique(y)) == 19
        assert len(X) == 19 * 24
        assert len(X_test) == 77 * 2
        assert np.isin(y_test, split.unknown).sum() == 58 * 2


def test_ossvm_trains_on_half(data_dir):
    """Check that half of the known letters' samples train, and all others are tested."""
    (job, *_) = SUITES["ossvm"].jobs(Namespace(data_dir=data_dir, draws=1, seeds=None))
    _, y, _, y_test = job.split.parts(data_dir)
    assert np.unique(y, return_counts=True)[1].tolist() == [40] * 3
    assert np.isin(y_test, job.split.unknown).sum() == 23 * 80


def test_draws_are_the_same_each_time():
    """Check that a draw is fixed by its number and the number of known classes."""
    first = draw_unknown("ABCDEF", 4, 0)
    assert first == draw_unknown("ABCDEF", 4, 0)
    assert len(first) == 2
    assert len({draw_unknown("ABCDEF", 4, draw) for draw in range(10)}) > 3


def test_folds_test_each_known_sample_once():
    """Check that folds test each known sample once, and train on no outsider."""
    X, y, _ = load("wine")
    tested = []
    for fold in range(5):
        X_train, y_train, X_test, y_test = Split(
            "", "", "wine", (2,), fold=(fold, 5)
        ).parts()
        assert set(y_train) == {0, 1}
        assert (y_test == 2).sum() == (y == 2).sum()
        assert len(X_train) + len(X_test) == len(X)
        tested += X_test[y_test != 2].tolist()
    assert sorted(tested) == sorted(X[y != 2].tolist())


def test_folds_calibrate_on_each_known_sample_once():
    """Check that no two folds calibrate, nor a fold trains and calibrates, alike."""
    X, y, _ = load("wine")
    calibrated = []
    for fold in range(5):
        split = Split("", "", "wine", (2,), fold=(fold, 5), calibrate_next=True)
        X_train, y_train, *_ = split.parts()
        train, held_out = split.held_out(y_train, seed=0)
        assert sorted([*train, *held_out]) == [*range(len(y_train))]
        assert len(np.unique(y_train[held_out])) == 2
        calibrated += X_train[held_out].tolist()
    assert sorted(calibrated) == sorted(X[y != 2].tolist())


def test_left_out_classes_are_known_ones():
    """Check that a split with classes left out shows no sample of the unknown classes."""
    split = replace(DIGITS, left_out=(2, 3, 1))
    _, y_train, _, y_test = split.parts()
    assert len(np.unique(y_train)) == 4
    assert len(np.unique(y_test)) == 6
    assert not np.isin(y_test, NEAL[0]).any()


def test_loader_says_what_is_missing(tmp_path):
    """Check that data that are not there are named, with what to pass."""
    for name in ("obesity", "svhn", "banking77 texts"):
        with pytest.raises(ValueError, match="pass --data-dir, a"):
            load(name)
    with pytest.raises(ValueError, match="pass --data-dir, a folder that holds notmnist"):
        benchmarks.data.load_notmnist()
    with pytest.raises(FileNotFoundError, match=r"a folder that holds mnist\.npz; got"):
        load("mnist", str(tmp_path))


def test_command(tmp_path, capsys):
    """Check that a suite runs, writes its tables and names the command that does it."""
    words = ["--suite", "bundled", "--quick", "--jobs", "1", "--out", str(tmp_path)]
    assert main([*words, "--rows", "wine: softmax*"]) == 0
    path = tmp_path / "bundled-quick.md"
    assert capsys.readouterr().out == f"{path}\n"
    text = path.read_text(encoding="utf-8")
    assert "--suite bundled --rows 'wine: softmax*' --quick\n" in text
    assert "| **softmax** | **max_softmax** |" in text
    assert "## digits" not in text
    assert str(tmp_path) not in text


@pytest.mark.slow
@pytest.mark.parametrize("suite", ["tables", "intents", "embeddings", "ossvm"])
def test_suites_on_made_data(suite, data_dir, tmp_path):
    """Check that a suite runs from its files to its tables."""
    words = ["--suite", suite, "--draws", "1", "--quick", "--jobs", "1"]
    words += ["--data-dir", data_dir, "--out", str(tmp_path), "--rows", "*logistic*"]
    few = {"ossvm": "*random forest*", "intents": "* 19 *logistic*"}
    words[-1] = few.get(suite, words[-1])
    assert main(words) == 0
    text = (tmp_path / f"{suite}-quick.md").read_text(encoding="utf-8")
    assert "--data-dir DIR" in text
    assert "nan" not in text


def test_floor(tmp_path, monkeypatch, capsys):
    """Check that the exit code tells whether the default fell below a floor."""
    words = ["--suite", "bundled", "--quick", "--jobs", "1", "--out", str(tmp_path)]
    words += ["--rows", "wine: center loss, auto", "--floor"]
    monkeypatch.setattr(benchmarks.open_set, "FLOORS", {"wine": 0.1})
    assert main(words) == 0
    monkeypatch.setattr(benchmarks.open_set, "FLOORS", {"wine": 1.1, "digits": 0.5})
    assert main(words) == 1
    error = capsys.readouterr().err
    assert "wine: AUROC 0." in error
    assert "digits: AUROC nan" in error


@pytest.mark.parametrize(
    "words", [["--suite", "letter", "--floor"], ["--suite", "bundled", "--rows", "nothing"]]
)
def test_command_refuses(words, capsys):
    """Check that options without a meaning are refused."""
    with pytest.raises(SystemExit):
        main(words)
    assert words[2] in capsys.readouterr().err
