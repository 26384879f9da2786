"""The tables that the benchmarks write."""

import numpy as np
import pytest
from scipy.stats import ttest_rel

pytest.importorskip("benchmarks", reason="it is in the source tree alone")

from benchmarks.measures import METRICS
from benchmarks.results import append, read
from benchmarks.suites import SUITES
from benchmarks.suites.guarantee import share
from benchmarks.tables import by_unit, leads, paired_difference, write_tables


def write(path, *results):
    """Write a CSV file of results, of which a few values are given."""
    made = {"case": "data", "seed": 0, "split": "0", "rule": "marginal", "rate": 0.05}
    made |= {"seconds": 1.0, "environment": "numpy 1, 2 cores", "date": "2000-01-01"}
    append([made | dict.fromkeys(METRICS) | result for result in results], path)
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


def test_units_are_splits_else_seeds(tmp_path):
    """Check that folds and seeds of a split are averaged, and seeds of the only one not."""
    row = {"recipe": "softmax", "score": "knn"}
    folds = [("0.0", 0, 0.5), ("0.0", 1, 0.7), ("0.1", 0, 0.6), ("1.0", 0, 0.9)]
    results = [
        {**row, "case": "folds", "split": split, "seed": seed, "auroc": auroc}
        for split, seed, auroc in folds
    ]
    results += [
        {**row, "case": "seeds", "seed": seed, "auroc": auroc}
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
    path = write_tables(path, "the command", SUITES["letter"].tables)
    text = path.read_text(encoding="utf-8")
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


def test_leads(tmp_path):
    """Check the lead over the best five-liner, and that losses are listed."""
    rejected = {
        "wins": {"auto": 0.9, "nearest sample": 0.7, "largest probability": 0.5},
        "loses": {"auto": 0.6, "nearest sample": 0.7, "isolation forest": 0.2},
    }
    results = [
        {
            "case": case,
            "split": str(i),
            "recipe": "SVM",
            "score": score,
            "kept": 0.05,
            "rejected": value + change,
            "fpr95": 1 - value + change,
        }
        for case, rows in rejected.items()
        for score, value in rows.items()
        for i, change in enumerate((-0.1, 0.1))
    ]
    path = write(tmp_path / "tables.csv", *results)
    found = leads(read(path)).set_index("case")
    assert found["best"].tolist() == ["nearest sample"] * 2
    np.testing.assert_allclose(found["lead"], [20, -10])
    np.testing.assert_allclose(found["lead at 5 %"], [20, -10])
    text = write_tables(path, "x", SUITES["tables"].tables).read_text(encoding="utf-8")
    assert "Mean lead over 2 rows: 5.0 points" in text
    assert "more than two points behind: 1." in text
    assert text.count("| loses | SVM | 5.0 / 60.0 |") == 2


def test_guarantee_table(tmp_path):
    """Check that a guarantee counts as broken where so many rejections are improbable."""
    row = {"score": "knn", "rejected": 0.5}
    many = 10**6  # calibration samples, so that their draw does nothing
    results = [
        {
            **row,
            "recipe": recipe,
            "split": str(fold),
            "by_class": f"{first}/100 {second}/100",
            "by_group": f"{first + second}/200/{many}",
        }
        for recipe, (first, second) in (("broken", (20, 9)), ("kept", (8, 3)))
        for fold in range(2)
    ]
    path = write(tmp_path / "guarantee.csv", *results)
    text = write_tables(path, "x", SUITES["guarantee"].tables).read_text(encoding="utf-8")
    broken, kept = (line for line in text.splitlines() if " | knn | " in line)
    low, high = (100 * bound for bound in share((58, 400))[1:])
    assert f"| 5 | 14.50 [{low:.2f}, {high:.2f}] | **no** | 20.00 [" in broken
    assert "| 5.50 [" in kept
    assert "| yes | 8.00 [" in kept
    assert "| data | marginal | 1 of 2 |" in text


@pytest.mark.parametrize("suite", ["ossvm", "intents"])
def test_published_numbers_stand_beside(suite, tmp_path):
    """Check that means over the draws stand in the columns of the published numbers."""
    cases = {
        "ossvm": [f"{n} known letters" for n in (3, 6, 9, 12)],
        "intents": [f"embeddings, {n} known intents" for n in (19, 39, 58)],
    }[suite]
    results = [
        {
            "case": case,
            "split": str(i),
            "recipe": "center loss",
            "score": score,
            "open_f1": 0.5 + column / 10 + change,
            "normalized_accuracy": 0.5 + column / 10 + change,
            "known_f": 0.25,
            "kept": 0.05,
            "rejected": 0.5,
            "fpr95": 0.5,
            "auroc": 0.5,
            "oscr": 0.5,
        }
        for column, case in enumerate(cases)
        for score in ("auto", "largest probability")
        for i, change in enumerate((-0.01, 0.01))
    ]
    path = write(tmp_path / f"{suite}.csv", *results)
    text = write_tables(path, "x", SUITES[suite].tables).read_text(encoding="utf-8")
    cells = [f"{50 + 10 * column:.1f}" for column in range(len(cases))]
    start = "embeddings, " if suite == "intents" else ""
    assert f"| {start}center loss, auto | 5 | {' | '.join(cells)} |" in text
    published = {
        "ossvm": "| EVM | published | 91.1",
        "intents": "| DA-ADB | published | 73",
    }
    assert published[suite] in text
