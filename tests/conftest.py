"""What holds for all tests."""

import signal


def pytest_configure() -> None:
    """A shell that starts a job in the background has it ignore Ctrl-C; tests, and the programs they start, heed it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
