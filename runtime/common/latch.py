"""A lock for things that one thread uses while another may want to close them."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self


class Latch:
    """Releases a device or file exactly once, and never while a `with` block is inside it.

    `close` returns at once: where another thread is inside, that thread releases when it leaves.
    """

    def __init__(self, release: Callable[[], None]) -> None:
        """Remember `release`, which is called once, without the device in use."""
        self.closed = threading.Event()
        self._release = release
        self._released = False
        self._in_use = threading.Lock()

    def __enter__(self) -> Self:
        self._in_use.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._in_use.release()
        # Looked at after the release: a close that found the lock taken has set it before.
        if self.closed.is_set():
            self._release_if_idle()

    def close(self) -> None:
        """Release now, or as soon as the thread inside leaves. May be called more than once, from any thread."""
        self.closed.set()
        self._release_if_idle()

    def _release_if_idle(self) -> None:
        if not self._in_use.acquire(blocking=False):
            return
        try:
            if not self._released:
                self._released = True
                self._release()
        finally:
            self._in_use.release()
