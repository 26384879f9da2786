"""Tests of the benchmark of a GPU, on the device that stands in for one."""

import csv

import pytest
import torch
from stand_in import DEVICE, NAME

pytest.importorskip("benchmarks", reason="it is in the source tree alone")

from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu.groups import correctness
from benchmarks.gpu.sizes import QUICK, Size
from benchmarks.speed.timing import Row


@pytest.mark.slow
def test_correctness(counts):
    """Check that fits on the device are found equal to those on the CPU."""
    size = Size(DEVICE, **QUICK)
    cases = [case for case in correctness(size) if "compile" not in case[0]]
    rows = [function() for _, function in cases]
    assert len(rows) == 8
    assert max(row.ratio for row in rows) < 0.1


def test_files(counts, tmp_path, monkeypatch):
    """Check table, rows and log, with a row that fails."""

    def group(size):
        yield "good", lambda: Row("good", "it", "1 s", "2 s", 0.5, target=1)
        yield "bad", lambda: 1 / 0

    monkeypatch.setattr(gpu, "GROUPS", (group,))
    assert gpu.main(["--quick", "--out", str(tmp_path)]) == 0
    (row,) = csv.DictReader((tmp_path / "gpu-quick.csv").open())
    assert row["within"] == "yes"
    table, missing = (tmp_path / "gpu-quick.md").read_text().split("not measured")
    assert f"{NAME}," in table
    assert "| good | it | 1 s | 2 s | 0.50 | 1 | yes |" in table
    assert "| group: bad | ZeroDivisionError: division by zero |" in missing
    assert "Traceback" in (tmp_path / "gpu-quick.log").read_text()


def test_failures_cost_no_other_row(tmp_path):
    """Check rows that fail, a group that fails, and rows that come too late."""

    def group(size):
        yield "good", lambda: Row("good", "it", "1 s", "2 s", 0.5, target=1)
        yield "bad", lambda: 1 / 0
        yield "slow", lambda: Row("slow", "it", "3 s", "2 s", 1.5, target=1)
        raise MemoryError("full")

    size = Size(torch.device("cpu"), **QUICK)
    path = tmp_path / "gpu.csv"
    found, missing = gpu.measured([group, group], size, float("inf"), path)
    assert [row[-1] for row in found] == ["yes", "**no**"] * 2
    bad = ["group: bad", "ZeroDivisionError: division by zero"]
    assert missing == [bad, ["group: the rest", "MemoryError: full"]] * 2
    assert [row["what"] for row in csv.DictReader(path.open())] == ["good", "slow"] * 2
    found, missing = gpu.measured([group], size, 0, path)
    assert not found
    assert {why for _, why in missing} == {"no time left"}


def test_without_a_gpu(capsys):
    """Check what is said where there is nothing to measure."""
    with pytest.raises(SystemExit):
        gpu.main([])
    assert "--device cpu --quick" in capsys.readouterr().err
