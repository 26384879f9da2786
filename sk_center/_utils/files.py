"""Write a file atomically, so that no incomplete file is ever visible."""

import os
import secrets
import shutil
from contextlib import contextmanager, suppress
from errno import EINVAL
from pathlib import Path


@contextmanager
def atomic_write(path):
    """Give a temporary path to write to, which becomes ``path`` when the block ends.

    If the block raises or is interrupted, the temporary file is removed, and what was at
    ``path`` is still there. A link at ``path`` stays one: what it points to is replaced. An
    OSError names ``path``.
    """
    target = Path(os.path.realpath(path))
    # A name has room for 255 bytes.
    temporary = target.with_name(f".{target.name[:50]}.{secrets.token_hex(8)}.tmp")
    try:
        if target.exists() and not target.is_file():
            raise OSError(EINVAL, "it is a folder or a device")
        try:
            temporary.open("xb").close()  # with the rights that the user's umask leaves
            if target.exists():
                shutil.copymode(target, temporary)
            mode = temporary.stat().st_mode
            yield temporary
            # safetensors puts another file there, which nobody else may read.
            temporary.chmod(mode)
            with temporary.open("r+b") as file:
                os.fsync(file.fileno())  # else a crash may leave the new name on nothing
            os.replace(temporary, target)
        finally:
            with suppress(OSError):
                temporary.unlink()
    except OSError as error:
        told = f"cannot write {os.fspath(path)!r}: {error.strerror or error}"
        if error.errno is None:
            raise OSError(told) from error
        raise OSError(error.errno, told) from error
