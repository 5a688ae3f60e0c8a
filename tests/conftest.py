"""What holds for all tests."""

import faulthandler
import logging
import os
import signal
import sys
from collections.abc import Iterator

import pytest

# Tiny networks in several processes: one thread each is fastest, and what tests start inherits it.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_configure() -> None:
    """A shell that starts a job in the background has it ignore Ctrl-C; tests, and the programs they start, heed it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure() -> None:
    """A library that does not let the process end is named, with a status that is not 0; without this, CI waits."""
    faulthandler.dump_traceback_later(120, exit=True, file=sys.__stderr__)


@pytest.fixture(autouse=True)
def _loggers_as_they_were() -> Iterator[None]:
    """A command sets how much is told; the tests after it in the same process hear no more than before."""
    ours = [logging.getLogger(name) for name in ("artmirror", "artmirror.runtime", "artmirror.train")]
    before = [logger.level for logger in ours]
    yield
    for logger, level in zip(ours, before, strict=True):
        logger.setLevel(level)
