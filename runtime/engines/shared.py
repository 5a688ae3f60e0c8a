"""One engine for several streams: each gets a lane, and the lanes take turns."""

import threading
from collections import deque

from artmirror.runtime.engines.base import Engine, EngineInfo, Look
from artmirror.runtime.frame import FrameSlot


class _Turns:
    """A lock that is fair: who came first is next. The library's own may let one thread pass the others for ever."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: deque[threading.Event] = deque()

    def __enter__(self) -> None:
        mine = threading.Event()
        with self._lock:
            self._queue.append(mine)
            if self._queue[0] is mine:
                mine.set()
        mine.wait()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._queue.popleft()
            if self._queue:
                self._queue[0].set()


class SharedEngine:
    """An engine that several threads use, each through a lane of its own.

    Args:
        engine: Without a memory from frame to frame, which knows but one stream. `close` closes it.
    """

    def __init__(self, engine: Engine) -> None:
        assert not engine.manifest.has_memory
        self._engine = engine
        self._turns = _Turns()

    def lane(self) -> "Lane":
        """An engine for one stream."""
        return Lane(self._engine, self._turns)

    def close(self) -> None:
        """Close the engine; no lane may be used any more."""
        self._engine.close()


class Lane:
    """One stream's share of an engine. Whose turn it is holds the engine from `submit` to `wait`."""

    max_in_flight = 1

    def __init__(self, engine: Engine, turns: _Turns) -> None:
        self._engine, self._turns = engine, turns
        self.manifest, self.has_strength = engine.manifest, engine.has_strength

    def allocate(self, count: int) -> list[FrameSlot]:
        with self._turns:
            return self._engine.allocate(count)

    def follow(self, slot: FrameSlot, look: Look) -> bool:
        return False  # nothing is remembered

    def submit(self, slot: FrameSlot, look: Look) -> None:
        self._turns.__enter__()
        try:
            self._engine.submit(slot, look)
        except BaseException:
            self._turns.__exit__()
            raise

    def wait(self, slot: FrameSlot) -> None:
        try:
            self._engine.wait(slot)
        finally:
            self._turns.__exit__()

    def reset(self) -> None:
        pass  # nothing is remembered

    def describe(self) -> EngineInfo:
        return self._engine.describe()

    def close(self) -> None:
        """Leaves the engine to the other lanes."""
