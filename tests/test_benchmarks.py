"""The benchmarks: their splits, runs, tables and command."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import beta, ttest_rel
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split

pytest.importorskip("benchmarks", reason="it is in the source tree alone")

import benchmarks.open_set
import benchmarks.speed
from benchmarks.data import NEAL, Split, load
from benchmarks.open_set import main
from benchmarks.recipes import BASE_SCORES, PyODDetector, Together
from benchmarks.runs import FIELDS, Columns, Job, append, judge, read, run_all, run_job
from benchmarks.tables import (
    by_unit,
    paired_difference,
    parse_counts,
    share,
    tail_of_promise,
    write_tables,
)
from sk_center import OpenSetClassifier
from sk_center.metrics import auroc_score, fpr_at_tpr, oscr_score
from sk_center.scores import (
    CenterDistance,
    Combined,
    Energy,
    FunctionScore,
    Mahalanobis,
    PerClass,
)

DIGITS = Split("digits", "0", "digits", NEAL[0], max_train=300)
SHORT = (("max_epochs", 2),)


def write(path, *results):
    """Write a CSV file of results, of which a few values are given."""
    made = {"case": "data", "seed": 0, "rule": "held out", "promise": 0.05, "seconds": 1.0}
    made |= {"environment": "numpy 1, 2 cores", "date": "2000-01-01"}
    append([made | dict.fromkeys(FIELDS[7:14]) | result for result in results], path)
    return path


def test_paired_difference():
    """Check the interval of a paired difference against scipy's paired t-test."""
    rng = np.random.default_rng(0)
    values, reference = rng.normal(size=(2, 7))
    expected = ttest_rel(values, reference).confidence_interval(0.95)
    found = paired_difference(values, reference)
    mean = np.mean(values - reference)
    np.testing.assert_allclose(found, [mean, expected.low, expected.high])
    # A unit that one of them lacks does not count.
    with_gap = paired_difference(np.append(values, np.nan), np.append(reference, 1))
    np.testing.assert_allclose(with_gap, found)


@pytest.mark.parametrize(("rejected", "members"), [(7, 120), (0, 30), (30, 30)])
def test_share_interval(rejected, members):
    """Check the interval of a share against the formula of Clopper and Pearson."""
    low = beta.ppf(0.025, rejected, members - rejected + 1) if rejected else 0
    high = beta.ppf(0.975, rejected + 1, members - rejected) if rejected < members else 1
    np.testing.assert_allclose(share((rejected, members)), (rejected / members, low, high))


def test_units_are_splits_else_seeds(tmp_path):
    """Check that folds and seeds of a split are averaged, and seeds of the only one not."""
    row = {"recipe": "softmax", "score": "knn"}
    folds = [("0.0", 0, 0.5), ("0.0", 1, 0.7), ("0.1", 0, 0.6), ("1.0", 0, 0.9)]
    results = [
        {**row, "case": "folds", "split": split, "seed": seed, "auroc": auroc}
        for split, seed, auroc in folds
    ]
    results += [
        {**row, "case": "seeds", "split": "0", "seed": seed, "auroc": auroc}
        for seed, auroc in enumerate([0.1, 0.3])
    ]
    table = by_unit(read(write(tmp_path / "x.csv", *results)), "auroc")["softmax", "knn"]
    np.testing.assert_allclose(table["folds"], [0.6, 0.9])
    np.testing.assert_allclose(table["seeds"], [0.1, 0.3])


def test_comparison_table(tmp_path):
    """Check mean, spread and difference in a table against numpy and scipy."""
    base, other = np.array([0.81, 0.85, 0.93]), np.array([0.91, 0.90, 0.99])
    results = [
        {"recipe": recipe, "score": score, "split": str(i), "auroc": a, "oscr": a / 2}
        for recipe, score, column in (
            ("softmax", "max_softmax", base),
            ("center loss", "auto", other),
        )
        for i, a in enumerate(column)
    ]
    path = write(tmp_path / "letter.csv", *results)
    text = write_tables(path, "the command").read_text(encoding="utf-8")
    interval = ttest_rel(other, base).confidence_interval(0.95)
    mean = 100 * np.mean(other - base)
    expected = f"{mean:+.2f} [{100 * interval.low:+.2f}, {100 * interval.high:+.2f}]"
    best, baseline = (
        line for line in text.splitlines() if " | auto |" in line or "**" in line
    )
    spread = 100 * np.std(other, ddof=1)
    assert f"| {100 * other.mean():.2f} ± {spread:.2f} |" in best
    assert f"| {expected} |" in best
    assert baseline.startswith("| **softmax** | **max_softmax** | 86.33 ± 6.11 |")
    for fact in ("    the command", "Seeds of the training: 0.", "2000-01-01", "2 cores"):
        assert fact in text


def test_promise_table(tmp_path):
    """Check that a promise counts as broken where its lower bound is above it."""
    row = {"score": "knn", "rejected": 0.5}
    many = 10**6  # calibration samples, so that their draw does nothing
    results = [
        {
            **row,
            "recipe": recipe,
            "split": str(fold),
            "by_class": f"{first}/100/{many}/0 {second}/100/{many}/1",
        }
        for recipe, (first, second) in (("broken", (20, 9)), ("kept", (8, 3)))
        for fold in range(2)
    ]
    path = write(tmp_path / "promise.csv", *results)
    text = write_tables(path, "x").read_text(encoding="utf-8")
    broken, kept = (line for line in text.splitlines() if " | knn | " in line)
    low, high = (100 * bound for bound in share((58, 400))[1:])
    assert f"| 5 | 14.50 [{low:.2f}, {high:.2f}] | **no** | 20.00 [" in broken
    assert "| 5.50 [" in kept
    assert "| yes | 8.00 [" in kept


@pytest.mark.parametrize("promise", [0.05, 0.1])
@pytest.mark.parametrize("groups", [[0, 1, 2], [0, 1, 1], [0, 0, 0]])
def test_tail_of_a_promise(groups, promise):
    """Check the law of rejections against conformal thresholds on drawn samples."""
    members, samples = np.array([30, 11, 17]), np.array([59, 25, 40])
    shared = np.array([samples[np.equal(groups, group)].sum() for group in groups])
    rng, n_draws, drawn = np.random.default_rng(0), 4000, 0
    for group in set(groups):
        mask = np.equal(groups, group)
        own = np.sort(rng.random((n_draws, samples[mask].sum())), axis=1)
        rank = int(promise * (own.shape[1] + 1))
        threshold = own[:, rank - 1] if rank else np.full(n_draws, -np.inf)
        tested = rng.random((n_draws, members[mask].sum()))
        drawn = drawn + (tested <= threshold[:, None]).sum(axis=1)
    for rejected in np.quantile(drawn, [0.5, 0.9, 0.97]).astype(int):
        counts = np.column_stack([[rejected, 0, 0], members, shared, groups])
        expected = np.mean(drawn >= rejected)
        error = 4 * np.sqrt(expected * (1 - expected) / n_draws)
        assert tail_of_promise([counts], promise) == pytest.approx(expected, abs=error)
    # Runs are independent: two of them reject as their sum does.
    twice = np.mean(drawn + rng.permutation(drawn) >= 2 * rejected)
    error = 4 * np.sqrt(twice * (1 - twice) / n_draws) + 1e-3
    assert tail_of_promise([counts] * 2, promise) == pytest.approx(twice, abs=error)


def test_resume_skips_what_is_finished(tmp_path, capsys):
    """Check that only what is missing runs, also after a line that was cut off."""
    path = tmp_path / "x.csv"
    forest = Job(DIGITS, 0, "random forest", ("max_softmax", "mahalanobis"), (0.05, 0.1))
    jobs = [forest, replace(forest, seed=1)]
    run_all(jobs, path)
    whole = path.read_text(encoding="utf-8")
    assert len(read(path)) == 8
    run_all(jobs, path)
    assert path.read_text(encoding="utf-8") == whole
    assert "2 of 2 runs are in" in capsys.readouterr().err
    path.write_text(whole[:-40], encoding="utf-8")
    run_all(jobs, path)
    columns = [name for name in FIELDS if name != "seconds"]
    again = read(path)[columns]
    path.write_text(whole, encoding="utf-8")
    assert again.equals(read(path)[columns])


def test_shared_training_changes_nothing():
    """Check that scores on one training give what each OpenSetClassifier would."""
    sums = "sum(center_distance, energy)"
    scores = ("auto", sums, "vim", "max_softmax", "input_density")
    job = Job(DIGITS, 3, "center loss", scores, budget=SHORT)
    X, y, X_test, y_test = DIGITS.parts()
    rows = np.arange(len(y))
    parts = train_test_split(rows, test_size=0.2, stratify=y, random_state=3)
    alone = [
        "auto",
        Combined([CenterDistance(), Energy()], how="sum"),
        "vim",
        "max_softmax",
        "input_density",
    ]
    for score, found in zip(alone, run_job(job), strict=True):
        model = OpenSetClassifier(
            job.estimator(), conformity_score=score, cv=[parts], refit=False
        ).fit(X, y)
        known_score, classes = model.score_samples(X_test), model.classes_
        predicted = model.estimator_.predict(X_test)
        outlier = model.is_outlier(X_test)
        is_known = np.isin(y_test, classes)
        assert found["auroc"] == auroc_score(y_test, known_score, labels=classes)
        assert found["fpr95"] == fpr_at_tpr(y_test, known_score, labels=classes)
        assert found["oscr"] == oscr_score(y_test, predicted, known_score, labels=classes)
        assert found["accuracy"] == np.mean((predicted == y_test)[is_known])
        assert found["kept"] == outlier[is_known].mean()
        assert found["rejected"] == outlier[~is_known].mean()


def test_training_quantile():
    """Check the threshold that others take against the quantile by hand."""
    job = Job(DIGITS, 0, "random forest", ("mahalanobis",), (0.1,), ("training quantile",))
    X, y, X_test, y_test = DIGITS.parts()
    rows = np.arange(len(y))
    train, _ = train_test_split(rows, test_size=0.2, stratify=y, random_state=0)
    score, classes = Mahalanobis().fit(X[train], y[train]), np.unique(y)
    rejected = np.ones(len(X_test), dtype=bool)
    for k, label in enumerate(classes):
        own = score.score_classes(X[train])[y[train] == label, k]
        rejected &= score.score_classes(X_test)[:, k] < np.quantile(own, 0.1)
    known = np.isin(y_test, classes)
    assert run_job(job)[0]["kept"] == pytest.approx(rejected[known].mean(), abs=1e-12)


class Detector(BaseEstimator):
    """What the benchmarks take of PyOD: how far a sample is from the mean."""

    def fit(self, X):
        """Learn the mean, and how far the samples are from it."""
        self.mean_ = X.mean(axis=0)
        self.decision_scores_ = self.decision_function(X)
        return self

    def decision_function(self, X):
        """Return the distances."""
        return np.linalg.norm(X - self.mean_, axis=1)


@pytest.mark.parametrize("kind", [PerClass, Together])
def test_contamination(kind, monkeypatch):
    """Check the threshold of PyOD against the quantile of the distances by hand."""
    monkeypatch.setitem(BASE_SCORES, "detector", kind(PyODDetector(Detector())))
    job = Job(DIGITS, 0, "random forest", ("detector",), (0.1,), ("contamination",))
    X, y, X_test, y_test = DIGITS.parts()
    train, _ = train_test_split(
        np.arange(len(y)), test_size=0.2, stratify=y, random_state=0
    )
    rejected = np.ones(len(X_test), dtype=bool)
    for label in np.unique(y):
        own = X[train][y[train] == label] if kind is PerClass else X[train]
        largest = np.quantile(np.linalg.norm(own - own.mean(axis=0), axis=1), 0.9)
        rejected &= np.linalg.norm(X_test - own.mean(axis=0), axis=1) > largest
    known = np.isin(y_test, np.unique(y))
    assert run_job(job)[0]["kept"] == pytest.approx(rejected[known].mean(), abs=1e-12)


def test_counts_by_class():
    """Check what is counted of classes of which some share a threshold, others do not."""
    _, y, _, y_test = DIGITS.parts()
    n_samples = np.array([30, 8, 25, 3])
    own = np.repeat(np.unique(y)[:4], n_samples)
    known = np.isin(y_test, own)
    scores = np.tile(np.arange(len(own))[:, None] / len(own), 4)
    with pytest.warns(UserWarning, match="share one threshold"):
        model = OpenSetClassifier(
            Columns(),
            conformity_score=FunctionScore(np.asarray),
            false_rejection_rate=0.1,
            cv=[(np.arange(len(own)), np.arange(len(own)))],
            refit=False,
        ).fit(scores, own)
    outlier = np.arange(len(y_test)) % 3 == 0
    found = judge(y_test, y_test, np.ones(len(y_test)), outlier, model)
    counts = parse_counts(found["by_class"])
    members = [(y_test == label).sum() for label in model.classes_]
    assert counts[:, 0].sum() == outlier[known].sum()
    assert counts[:, 1].tolist() == members
    assert counts[:, 2].tolist() == [30, 11, 25, 11]
    assert counts[1, 3] == counts[3, 3]
    assert len(np.unique(counts[:, 3])) == 3


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
    with pytest.raises(ValueError, match="pass --data-dir, a folder that holds notmnist"):
        benchmarks.data.load_notmnist()
    with pytest.raises(FileNotFoundError, match=r"a folder that holds mnist\.npz; got"):
        load("mnist", str(tmp_path))


def test_command(tmp_path, capsys):
    """Check that a suite runs, writes its tables and names the command that does it."""
    words = ["--suite", "bundled", "--quick", "--jobs", "1", "--out", str(tmp_path)]
    assert main([*words, "--rows", "wine*"]) == 0
    path = tmp_path / "bundled-quick.md"
    assert capsys.readouterr().out == f"{path}\n"
    text = path.read_text(encoding="utf-8")
    assert "--suite bundled --rows 'wine*' --quick\n" in text
    assert "| **softmax** | **max_softmax** |" in text
    assert "## digits" not in text
    assert str(tmp_path) not in text


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


@pytest.mark.slow
@pytest.mark.parametrize("group", ["fits", "predictions", "images"])
def test_speed_writes_its_table(group, tmp_path):
    """Check that comparisons run and have ratio, target and verdict."""
    assert (
        benchmarks.speed.main(["--quick", "--groups", group, "--out", str(tmp_path)]) == 0
    )
    lines = (tmp_path / "speed-quick.md").read_text().splitlines()
    rows = [line.split(" | ") for line in lines if line.startswith("| ")][2:]
    assert len(rows) == {"fits": 9, "predictions": 3, "images": 1}[group]
    for row in rows:
        ratio, target, verdict = row[-3:]
        met = float(ratio.split()[0]) <= float(target)
        assert verdict.strip(" |") == ("met" if met else "**missed**")


@pytest.mark.slow
def test_speed_shows_growth_and_profile():
    """Check that the other two tables have their rows, and shares add up."""
    assert len(list(benchmarks.speed.growth(benchmarks.speed.QUICK))) == 4
    rows = list(benchmarks.speed.profile(benchmarks.speed.QUICK))
    for weight in ("lambda 0", "lambda 0.1"):
        shares = [int(row[3].rstrip("%")) for row in rows if row[0] == weight]
        assert len(shares) == 7
        assert abs(sum(shares) - 100) <= 4


@pytest.mark.slow
def test_peak_memory_is_seen():
    """Check that a prediction of many features is seen to take memory, and a few none."""
    code = "from benchmarks.speed import *\nbefore = start_of_peak()\n"
    code += "np.ones(int(sys.argv[1]) * 2**17)\nprint(peak_memory() - before)"
    assert 90e6 < benchmarks.speed.peak(code, 100) < 130e6
    assert benchmarks.speed.peak(code, 1) < 10e6


def test_speed_of_no_group_is_an_error(tmp_path, capsys):
    """Check that a group that does not exist is named."""
    with pytest.raises(SystemExit):
        benchmarks.speed.main(["--groups", "fit", "--out", str(tmp_path)])
    assert "--groups must match one of fits" in capsys.readouterr().err
