"""How the show does: frames on the screen, memory, heat; and when a lighter quality is due."""

import ctypes
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_WINDOW_S = 5.0  # that the frame rate is the mean of
_SLOW = 0.9  # of the rate that could be: below it the show is too slow
_DOWN_S = 60.0  # of too slow, until a lighter quality is taken
_UP_S = 600.0  # of fast enough, until the better one is tried again; doubles with each try that failed
_M_ARENA_MAX = -8  # of malloc.h
_FAILED_S = 180.0  # a step up that ends in a step down within so long failed


class FrameRate:
    """Frames a second over the last seconds. Counted by one thread, read by any."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._times_s: deque[float] = deque(maxlen=2048)
        self.count = 0
        self.last_s = clock_s()
        self.longest_gap_s = 0.0

    def add(self) -> None:
        """One more frame."""
        now_s = self._clock_s()
        if self.count:
            self.longest_gap_s = max(self.longest_gap_s, now_s - self.last_s)
        self.last_s = now_s
        self.count += 1
        self._times_s.append(now_s)

    @property
    def fps(self) -> float:
        """The mean over the last seconds."""
        now_s = self._clock_s()
        recent = [at for at in list(self._times_s) if now_s - at <= _WINDOW_S]
        return (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 2 and now_s - recent[-1] < 1 else 0.0


class QualityKeeper:
    """Says when to step down to a lighter quality, and when to try the better one again."""

    def __init__(self, target_fps: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._target_fps, self._clock_s = target_fps, clock_s
        self._slow_since_s: float | None = None
        self._fast_since_s = clock_s()
        self._up_s = _UP_S
        self._stepped_up_s = -1e9

    def step(self, fps: float, source_fps: float) -> int:
        """1 for lighter, -1 for better, 0 for neither; asked once a second while the show runs.

        Args:
            source_fps: What the camera gives: a slow camera is no reason.
        """
        now_s = self._clock_s()
        wanted = min(self._target_fps, source_fps) * _SLOW
        if fps >= wanted:
            self._slow_since_s = None
            if now_s - self._fast_since_s >= self._up_s:
                self._fast_since_s = self._stepped_up_s = now_s
                return -1
            return 0
        self._fast_since_s = now_s
        if self._slow_since_s is None:
            self._slow_since_s = now_s
        if now_s - self._slow_since_s < _DOWN_S:
            return 0
        self._slow_since_s = None
        if now_s - self._stepped_up_s < _FAILED_S:
            self._up_s = min(self._up_s * 2, 24 * 3600)
        return 1

    def rest(self) -> None:
        """Nothing is painted now: no reason for anything."""
        self._slow_since_s = None
        self._fast_since_s = self._clock_s()


@dataclass(slots=True)
class Counters:
    """What a show counts from its start; each written by one thread."""

    started_s: float = field(default_factory=time.time)
    painted: int = 0
    presented: int = 0
    engine_failures: int = 0
    new_starts: int = 0
    latency_ms: float = 0.0  # of the last frames, smoothed
    settings_problem: str = ""
    longest_gap_s: float = 0.0  # between two pictures on the screen


def limit_heaps() -> None:
    """Keep glibc from giving each of many threads a heap of its own, which grows for hours; elsewhere nothing."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


def give_memory_back() -> None:
    """Give pages that are free in glibc's heaps back to the system: for months they would only add up."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def memory_bytes() -> int:
    """Resident memory of this process; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def open_files() -> int:
    """File descriptors of this process; 0 where the system does not tell."""
    try:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a Path for each would be the more
    except OSError:
        return 0


def thread_count() -> int:
    """Threads of this process, those of libraries too."""
    try:
        return len(os.listdir("/proc/self/task"))  # noqa: PTH208 - a Path for each would be the more
    except OSError:
        return threading.active_count()


def temperature_c() -> float | None:
    """The hottest place that the system tells of, in degrees Celsius."""
    found = []
    for path in Path("/sys/class/thermal").glob("thermal_zone*/temp"):
        try:
            found.append(int(path.read_text()) / 1000)
        except (OSError, ValueError):
            continue
    return max(found) if found else None
