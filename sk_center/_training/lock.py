"""A lock on a file, which the system releases when the process that holds it dies."""

import errno
import os
import socket
from contextlib import contextmanager, suppress

from sk_center._utils.user_warning import warn_user

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
    import msvcrt

HELD = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


@contextmanager
def locked(path):
    """Hold a lock beside a file for a block, or raise RuntimeError that names the holder.

    A lock that a dead process has left is taken over: the lock is held by the system, and
    the file only records the number of the process and its host.
    """
    lock = path.with_name(path.name + ".lock")
    file = acquired(lock)
    try:
        yield
    finally:
        if fcntl is not None:
            with suppress(OSError):
                lock.unlink()
        file.close()
        if fcntl is None:  # Windows cannot remove an open file
            with suppress(OSError):
                lock.unlink()


def acquired(lock):
    """Return the open file that holds a lock."""
    while True:
        file = open(lock, "a+b")  # noqa: SIM115
        try:
            take(file)
        except OSError as error:
            file.seek(1)
            holder = file.read().decode(errors="replace")
            file.close()
            if error.errno not in HELD:
                warn_user(
                    f"{str(lock.parent)!r} has no locks ({error}), so that nothing keeps "
                    "two trainings of the same data and parameters from mixing checkpoints."
                )
                return open(os.devnull, "rb")
            raise RuntimeError(
                "The same training, of the same data and parameters, is writing its "
                f"checkpoints to {str(lock.parent)!r} right now: {holder}. Wait until it "
                "ends, or give this one another checkpoint_dir."
            ) from error
        with suppress(OSError):  # the previous holder may have removed the file
            if fcntl is None or os.fstat(file.fileno()).st_ino == os.stat(lock).st_ino:
                file.truncate(0)
                # From the second byte on: on Windows locked bytes cannot be read.
                file.write(f"-process {os.getpid()} on {socket.gethostname()}".encode())
                file.flush()
                return file
        file.close()


def take(file):
    """Lock an open file at once, or raise OSError."""
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
