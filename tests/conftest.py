"""What holds for all tests."""

import faulthandler
import gc
import logging
import os
import signal
import sys
from collections.abc import Iterator

import pytest

from artmirror.runtime.engines.cuda_device import open_device
from tests.fakes.cuda_driver.elsewhere import send_away, write_down
from tests.fakes.cuda_driver.gpu import SimulatedGpu

# Tiny networks in several processes: one thread each is fastest, and what tests start inherits it.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_configure() -> None:
    """A shell that starts a job in the background has it ignore Ctrl-C; tests, and the programs they start, heed it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure() -> None:
    """A library that does not let the process end is named, with a status that is not 0; without this, CI waits.

    A worker waits here for the others, whose last test may take two minutes.
    """
    faulthandler.dump_traceback_later(400, exit=True, file=sys.__stderr__)


@pytest.fixture(autouse=True)
def _loggers_as_they_were() -> Iterator[None]:
    """A command sets how much is told; the tests after it in the same process hear no more than before."""
    ours = [logging.getLogger(name) for name in ("artmirror", "artmirror.runtime", "artmirror.train")]
    before = [logger.level for logger in ours]
    yield
    for logger, level in zip(ours, before, strict=True):
        logger.setLevel(level)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Once it is settled which tests are chosen."""
    send_away(items)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Of every test."""
    write_down(report)


@pytest.fixture
def gpu() -> Iterator[SimulatedGpu]:
    """The simulated GPU, as new, for tests with the mark `simulated_gpu`. None may misuse it, or leave something there.

    What lies on a GPU that was lost is given up with it.
    """
    open_device.cache_clear()
    simulated = SimulatedGpu()
    simulated.reset()
    before, misuses = simulated.alive(), simulated.counts()["misuses"]
    yield simulated
    lost = open_device.cache_info().currsize and open_device(0).lost
    open_device.cache_clear()
    if simulated.alive() != before:
        gc.collect()  # each takes a moment
    assert simulated.counts()["misuses"] == misuses
    assert lost or simulated.alive() == before
