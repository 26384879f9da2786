"""The benchmark of speed and memory."""

import pytest

pytest.importorskip("benchmarks", reason="it is in the source tree alone")

from benchmarks.speed.__main__ import main
from benchmarks.speed.growth import growth, profile
from benchmarks.speed.memory import peak
from benchmarks.speed.timing import QUICK


@pytest.mark.slow
@pytest.mark.parametrize(
    ("group", "n_rows"), [("fits", 9), ("predictions", 3), ("images", 1), ("rejection", 5)]
)
def test_speed_writes_its_table(group, n_rows, tmp_path):
    """Check that comparisons run and have a ratio, a target and whether it is within."""
    assert main(["--quick", "--groups", group, "--out", str(tmp_path)]) == 0
    lines = (tmp_path / "speed-quick.md").read_text().splitlines()
    rows = [line.split(" | ") for line in lines if line.startswith("| ")][2:]
    assert len(rows) == n_rows
    for row in rows:
        ratio, target, within = row[-3:]
        is_within = float(ratio.split()[0]) <= float(target)
        assert within.strip(" |") == ("yes" if is_within else "**no**")


@pytest.mark.slow
def test_speed_shows_growth_and_profile():
    """Check that the other two tables have their rows, and shares add up."""
    assert len(list(growth(QUICK))) == 4
    rows = list(profile(QUICK))
    for weight in ("lambda 0", "lambda 0.1"):
        shares = [int(row[3].rstrip("%")) for row in rows if row[0] == weight]
        assert len(shares) == 7
        assert abs(sum(shares) - 100) <= 4


@pytest.mark.slow
def test_peak_memory_is_seen():
    """Check that a prediction of many features is seen to take memory, and a few none."""
    code = "from benchmarks.speed.memory import *\nbefore = start_of_peak()\n"
    code += "np.ones(int(sys.argv[1]) * 2**17)\nprint(peak_memory() - before)"
    assert 90e6 < peak(code, 100) < 130e6
    assert peak(code, 1) < 10e6


def test_speed_of_no_group_is_an_error(tmp_path, capsys):
    """Check that a group that does not exist is named."""
    with pytest.raises(SystemExit):
        main(["--groups", "fit", "--out", str(tmp_path)])
    assert "--groups must match one of fits" in capsys.readouterr().err
