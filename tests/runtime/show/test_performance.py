"""A show in this process, with parts that fail."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from artmirror.runtime.engines.open import Opened
from artmirror.runtime.show import performance as performance_module
from artmirror.runtime.show import stage as stage_module
from artmirror.runtime.show.kept import KeptFile
from artmirror.runtime.show.performance import EngineHangs
from artmirror.runtime.show.show import Show
from tests.fakes.engine import FakeEngine
from tests.fakes.show_parts import FakeScreen, wait_until

SIZE = (96, 160)
FILE = """\
[camera]
sources = ["{camera}"]
[look]
size = "160x96"
quality = "{quality}"
[playlist]
styles = ["starry", "wave"]
networks = "own"
every = "1 h"
[photo]
allow = false
"""


class Running:
    """A show in a thread, and what a test reads of it."""

    def __init__(self, folder: Path, camera: str = "rehearsal:160x96@60+calm", quality: str = "auto") -> None:
        path = folder / "show.toml"
        path.write_text(FILE.format(camera=camera, quality=quality))
        self.screen = FakeScreen(SIZE)
        self.opened: Any = None
        self.error: BaseException | None = None
        self._stop = threading.Event()
        self.show = Show(
            path,
            KeptFile(folder / "kept.json"),
            lambda settings: self.screen,
            lambda settings: [self],
            stop=self._stop.is_set,
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def admit(self, opened: Any) -> None:
        self.opened = opened

    def close(self) -> None:
        """As a door."""

    def _run(self) -> None:
        try:
            self.show.run()
        except BaseException as error:
            self.error = error

    def end(self) -> None:
        self._stop.set()
        self._thread.join(20)
        assert not self._thread.is_alive()

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()


def engines(monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], FakeEngine]) -> list[str]:
    """Let the stage open fakes; returns the names of the networks in the order in which they are opened."""
    opened: list[str] = []

    def open_one(path: Path, **options: Any) -> Opened:
        opened.append(path.stem)
        return Opened(make(path), path, "fake")

    monkeypatch.setattr(stage_module, "open_for_show", open_one)
    monkeypatch.setattr(performance_module, "_BACK_OFF_S", (0.0,))
    return opened


def test_an_engine_that_fails_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[FakeEngine] = []

    def make(path: Path) -> FakeEngine:
        made.append(FakeEngine(SIZE, fail_at=30 if len(made) < 2 else None))
        return made[-1]

    engines(monkeypatch, make)
    running = Running(tmp_path, quality="full")
    wait_until(lambda: running.show.counters.engine_failures >= 1)
    before = running.screen.count
    wait_until(lambda: running.screen.count > before + 60)
    assert running.show.counters.engine_failures == 1
    running.end()
    assert all(engine.closed for engine in made)
    assert running.error is None


def test_one_that_fails_again_and_again_is_changed_for_a_lighter_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(path: Path) -> FakeEngine:
        return FakeEngine(SIZE, fail_at=None if "nano" in path.stem else 20)

    engines(monkeypatch, make)
    monkeypatch.setattr(stage_module, "measure_fps", lambda *arguments: 99.0)  # all seem well at the start
    running = Running(tmp_path)
    wait_until(lambda: running.opened is not None and running.opened.director.stage.quality == "nano", 60)
    before = running.screen.count
    wait_until(lambda: running.screen.count > before + 60)
    running.end()
    assert running.error is None


def test_an_engine_that_hangs_ends_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd starts it again: a thread inside a library cannot be stopped."""
    monkeypatch.setattr(performance_module, "_HUNG_S", 1.0)
    gate = threading.Semaphore(60)
    engines(monkeypatch, lambda path: FakeEngine(SIZE, gate=gate))
    running = Running(tmp_path, quality="full")
    wait_until(lambda: running.ended, 60)
    assert isinstance(running.error, EngineHangs)
    gate.release(1000)


def test_a_screen_that_is_gone_ends_nothing_and_systemd_hears_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(performance_module, "notify", told.append)
    monkeypatch.setattr(performance_module, "_NOTIFY_S", 0.05)
    engines(monkeypatch, lambda path: FakeEngine(SIZE))
    running = Running(tmp_path, quality="full")
    wait_until(lambda: "WATCHDOG=1" in told)
    running.screen.gone = True
    time.sleep(0.2)
    told.clear()
    painted = running.show.counters.painted
    wait_until(lambda: running.show.counters.painted > painted + 60)
    assert told == []
    running.screen.gone = False
    wait_until(lambda: "WATCHDOG=1" in told)
    running.end()


def test_without_a_camera_the_screen_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engines(monkeypatch, lambda path: FakeEngine(SIZE))
    running = Running(tmp_path, camera="missing.mp4", quality="full")
    wait_until(lambda: running.screen.count > 20)
    assert running.opened.director.phase.value == "no camera"
    gaps = [
        after - before for before, after in zip(running.screen.times_s[5:], running.screen.times_s[6:], strict=False)
    ]
    assert sorted(gaps)[len(gaps) // 2] < 1
    assert running.screen.shown[-1].max() > 100  # the painting hangs there
    running.end()


def test_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engines(monkeypatch, lambda path: FakeEngine(SIZE))
    running = Running(tmp_path, quality="full")
    wait_until(lambda: running.opened is not None and running.screen.count > 5)
    stage, director = running.opened.director.stage, running.opened.director
    for keys, reached in (
        (["right"], lambda: stage.scene.key == "wave"),
        (["p"], lambda: stage.scene.key == "starry"),
        (["-", "-"], lambda: stage.palette.strength == pytest.approx(0.8)),
        (["up"], lambda: stage.palette.strength == pytest.approx(0.9)),
        (["h"], lambda: director.held),
        (["b"], lambda: director.is_black),
        (["b"], lambda: not director.is_black),
        (["c"], lambda: stage.keep_colours),
    ):
        running.screen.keys = list(keys)
        wait_until(reached)
    running.screen.keys = ["q"]
    wait_until(lambda: running.ended)
    assert running.error is None
