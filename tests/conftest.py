"""What holds for all tests."""

import faulthandler
import os
import signal
import sys

# Tiny networks in several processes: one thread each is fastest, and what tests start inherits it.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_configure() -> None:
    """A shell that starts a job in the background has it ignore Ctrl-C; tests, and the programs they start, heed it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure() -> None:
    """A library that does not let the process end is named, with a status that is not 0; without this, CI waits."""
    faulthandler.dump_traceback_later(120, exit=True, file=sys.__stderr__)
