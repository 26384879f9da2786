"""The benchmark of classes that are added by a few samples."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

pytest.importorskip("benchmarks", reason="it is in the source tree alone")

from benchmarks.suites import new_classes


def test_parts_of_a_draw():
    """Check that kinds of classes share none, and that few samples are nested."""
    (X, y), (X_test, y_test), kinds = new_classes.drawn("digits", 0, None)
    assert_array_equal(np.sort(np.concatenate(kinds)), np.arange(10))
    assert [len(kind) for kind in kinds] == [2, 2, 6]
    assert len(y) + len(y_test) == len(X) + len(X_test) == 1797
    few, more = (new_classes.few(X, y, kinds[0], n, 0) for n in (3, 5))
    assert_array_equal(np.bincount(few[1], minlength=10)[kinds[0]], 3)
    assert {x.tobytes() for x in few[0]} <= {x.tobytes() for x in more[0]}


@pytest.mark.slow
def test_table(monkeypatch, capsys):
    """Check that the command prints a row for each way and number of samples."""
    monkeypatch.setitem(new_classes.CASES, "digits", (2, 2, 1))
    monkeypatch.setattr(new_classes, "SIZES", (1, 5))
    new_classes.main(["--data", "digits", "--draws", "1"])
    table = capsys.readouterr().out.partition("##")[2]
    rows = [line.split(" | ")[:2] for line in table.splitlines() if line[:3] > "| -"]
    names = ["added", "trained anew"]
    expected = [["| 0", "before"], *([f"| {n}", way] for n in (1, 5) for way in names)]
    assert rows[-5:] == expected
