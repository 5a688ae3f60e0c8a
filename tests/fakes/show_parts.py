"""Parts of a show that do as they are told."""

import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np

from artmirror.runtime.common.pixels import Pixels, Size
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.tracks import Tracks


class Clock:
    """A clock that stands until it is set."""

    def __init__(self, now_s: float = 100.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


class ScriptedSource:
    """A source that gives what a function makes of the frame's number, or raises what it raises; None ends it."""

    def __init__(self, size: tuple[int, int], make: Callable[[int], Pixels | None], period_s: float = 0.01) -> None:
        self.name, self.size, self.rate = "scripted", size, Fraction(30)
        self.frame_count: int | None = None
        self.live = True
        self.files: tuple[Path, ...] = ()
        self.tracks: Tracks | None = None
        self.closed = threading.Event()
        self._make, self._period_s, self._number = make, period_s, 0

    def read(self, slot: FrameSlot) -> bool:
        if self.closed.wait(self._period_s):
            return False
        picture = self._make(self._number)
        self._number += 1
        if picture is None:
            return False
        slot.frame[:] = picture
        slot.captured_ns = time.monotonic_ns()
        return True

    def close(self) -> None:
        self.closed.set()


def noisy(number: int, size: tuple[int, int] = (64, 96), level: int = 120) -> Pixels:
    """A picture that is another one each time, as a sensor's is."""
    noise = np.random.default_rng(number).integers(0, 20, (*size, 3), np.uint8)
    return (noise + np.uint8(level)).astype(np.uint8)


class FakeScreen:
    """Keeps what is shown."""

    is_seen = True

    def __init__(self, size: tuple[int, int] = (360, 640)) -> None:
        self.size = Size(*size)
        self.shown: list[Pixels] = []
        self.keys: list[str] = []
        self.count = 0
        self.powered = True
        self.gone = False
        self.times_s: list[float] = []

    def show(self, picture: Pixels) -> bool:
        if self.gone:
            return False
        assert picture.shape == (*self.size, 3)
        self.count += 1
        self.times_s.append(time.monotonic())
        self.shown = [*self.shown[-30:], picture.copy()]
        return True

    def events(self) -> list[str]:
        keys, self.keys = self.keys, []
        return keys

    def set_power(self, on: bool) -> None:
        self.powered = on

    def close(self) -> None:
        pass


def wait_until(condition: Callable[[], bool], patience_s: float = 20.0) -> None:
    """Wait for something that other threads do.

    Raises:
        AssertionError: it did not happen.
    """
    end_s = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end_s, "it did not happen"
        time.sleep(0.01)
