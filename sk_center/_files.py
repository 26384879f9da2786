"""Files that are written whole or not at all."""

import os
from contextlib import contextmanager, suppress
from errno import EINVAL
from pathlib import Path
from uuid import uuid4


@contextmanager
def atomic_write(path):
    """Give a temporary path to write to, and put the file in its place at the end.

    Whatever happens before that, a full disk or the end of the process, leaves an earlier
    file of that name as it is.

    Parameters
    ----------
    path : str or path-like
        Where the file is to be.

    Yields
    ------
    temporary : pathlib.Path
        An empty file in the same folder.

    Raises
    ------
    OSError
        If the file cannot be written; the message names ``path``.
    """
    # What a symbolic link points to is written, not the link.
    target = Path(os.path.realpath(path))
    # A name has room for 255 bytes.
    temporary = target.with_name(f".{target.name[:50]}.{uuid4().hex}")
    try:
        if target.exists() and not target.is_file():
            raise OSError(EINVAL, "it is a folder or a device")
        # Not by tempfile, whose files nobody else may read.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        mode = temporary.stat().st_mode
        yield temporary
        # safetensors puts another file there, which nobody else may read.
        temporary.chmod(mode)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, target)
        sync_folder(target.parent)
    except OSError as error:
        reason = error.strerror or error
        raise type(error)(error.errno, f"cannot write {str(path)!r}: {reason}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def sync_folder(folder):
    """Bring new names in a folder to the disk, where folders can be opened.

    Parameters
    ----------
    folder : str or path-like
        The folder.
    """
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
