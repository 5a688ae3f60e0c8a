"""Starts in real processes, of a real network in a real library; no times are asserted but their order."""

import os
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest

from artmirror.benchmarks.records.measuring import Stopped
from artmirror.benchmarks.records.speed import Start
from artmirror.benchmarks.speed.rounds import Starts
from artmirror.benchmarks.speed.start_probe import Request
from artmirror.benchmarks.speed.starts import StartUp
from artmirror.runtime.common.errors import ArtmirrorError
from tests.places import STARRY

REQUEST = Request(str(STARRY), 64, 80, None, "cpu", 1, False, 2)


def never() -> bool:
    return False


def total_ns(start: Start) -> int:
    return sum(getattr(start, entry.name) for entry in fields(start) if entry.name.endswith("_ns"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def measured(home: Path) -> tuple[Starts, int]:
    """Two starts, and the time that both took together."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(home))
        began_ns = time.monotonic_ns()
        starts = StartUp(REQUEST).run(never)
        return starts, time.monotonic_ns() - began_ns


def test_stages_cover_a_process_from_its_beginning(measured: tuple[Starts, int]) -> None:
    starts, both_ns = measured
    for start in (starts.cold, starts.cached):
        for entry in fields(start):
            if entry.name.endswith("_ns"):
                assert getattr(start, entry.name) > 0, entry.name
    assert total_ns(starts.cold) + total_ns(starts.cached) < both_ns
    assert starts.cold.import_ns > starts.cold.read_ns  # OpenVINO's import takes a hundred times as long


def test_memory_is_that_of_the_process(measured: tuple[Starts, int]) -> None:
    for start in measured[0][:2]:
        assert start.device_bytes is None
        assert start.peak_rss_bytes is not None
        assert 50e6 < start.peak_rss_bytes < 2e9


def test_the_second_start_finds_what_the_first_compiled_and_the_users_cache_is_left_alone(
    measured: tuple[Starts, int], home: Path
) -> None:
    assert measured[0].cache_bytes > 100_000
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (replace(REQUEST, path="none.onnx"), r"none\.onnx failed in a process of its own: .*none\.onnx"),
        (replace(REQUEST, device="cuda:99", backend="openvino"), "the openvino back end runs on cpu"),
    ],
)
def test_a_failure_is_one_line(request_: Request, message: str) -> None:
    with pytest.raises(ArtmirrorError, match=message) as caught:
        StartUp(request_).run(never)
    assert "\n" not in caught.value.message


class Until:
    """Says stop as soon as somebody asks, and whether the process that was waited for is gone."""

    def __init__(self) -> None:
        self.children: set[int] = set()
        self._before = self._now()  # other tests' helpers, which stay

    def __call__(self) -> bool:
        self.children |= self._now() - self._before
        return True

    def _now(self) -> set[int]:
        return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks at Linux' processes")
def test_a_stop_ends_the_process() -> None:
    asked = Until()
    stop: Callable[[], bool] = asked
    with pytest.raises(Stopped):
        StartUp(REQUEST).run(stop)
    assert asked.children
    assert not any(Path(f"/proc/{pid}").exists() for pid in asked.children)
