"""The benchmark of the monitor."""

import pytest

pytest.importorskip("benchmarks", reason="it is in the source tree alone")

from benchmarks.suites import monitor


def test_one_stream_of_each_kind(tmp_path, monkeypatch):
    """Check that the table has a row for each change, and that outsiders are noticed."""
    monkeypatch.setattr(monitor, "CALIBRATION", (19, 100))
    monitor.main(
        ["--streams", "1", "--false-alarms", "1", "--out", str(tmp_path), "--jobs", "1"]
    )
    text = (tmp_path / "monitor.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith(("| 19 ", "| 100 "))]
    assert len(rows) == 1 + len(monitor.CHANGES)
    assert "| 100 | 50 % outsiders | 100, after " in text
