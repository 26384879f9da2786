"""Files that are complete or not there."""

import sys

import pytest
from saved_models import X, Y, small

from sk_center import load, save
from sk_center._utils import files


def interrupted_at(n, function, *args):
    """Call a function and interrupt it at the n-th line that runs in the file of files.

    Return whether it was interrupted.
    """
    left = n

    def trace(frame, event, arg):
        nonlocal left
        if frame.f_code.co_filename != files.__file__:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        function(*args)
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return False


def test_interrupted_save_leaves_no_temporary_file(tmp_path):
    """Check that save, interrupted at any line, leaves the old file or the new one."""
    model, path = small().fit(X, Y), tmp_path / "model"
    save(model, path)
    for n in range(1, 99):
        if not interrupted_at(n, save, model, path):
            break
        assert [*tmp_path.iterdir()] == [path]
        load(path)  # which checks all of it
    assert 10 < n < 98


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_block_that_raises(error, tmp_path):
    """Check that nothing is left where the block that writes raises."""

    def write():
        with files.atomic_write(tmp_path / "new") as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        write()
    assert [*tmp_path.iterdir()] == []
