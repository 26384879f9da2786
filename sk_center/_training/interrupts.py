"""Ctrl-C in training as a flag that the loop over batches reads."""

import signal
import threading
from contextlib import contextmanager


@contextmanager
def ctrl_c_as_flag(net):
    """Let the first Ctrl-C set ``net.interrupted_`` for a block, and the second raise.

    A step of the optimizer is then always completed. If the program has its own handler,
    and in other threads, which get no signals, nothing changes.
    """
    before = signal.getsignal(signal.SIGINT)
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not (in_main_thread and before is signal.default_int_handler):
        yield
        return

    def handle(number, frame):
        if net.interrupted_:
            signal.default_int_handler(number, frame)
        net.interrupted_ = True

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is handle:
            signal.signal(signal.SIGINT, before)
