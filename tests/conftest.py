"""What holds for all tests."""

import faulthandler
import signal
import sys


def pytest_configure() -> None:
    """A shell that starts a job in the background has it ignore Ctrl-C; tests, and the programs they start, heed it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure() -> None:
    """A library that does not let the process end is named, with a status that is not 0; without this, CI waits."""
    faulthandler.dump_traceback_later(120, exit=True, file=sys.__stderr__)
