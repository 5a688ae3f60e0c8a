"""Both ends of a pipeline: a source of numbered frames, and a sink that knows what `FakeEngine` makes of them."""

import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.frame import FrameSlot

SIZE = (64, 96)


class CountingSource:
    """Writes its frame's number into the pixels."""

    name = "counting"
    size = SIZE
    rate: Fraction | None = Fraction(60)
    frame_count: int | None = None
    tracks = None
    files: tuple[Path, ...] = ()

    def __init__(
        self,
        frames: int,
        *,
        live: bool = False,
        before: Callable[[int], object] = lambda number: None,
        fails: bool = False,
    ) -> None:
        self.live = live
        self.read_all = threading.Event()
        self.closed = False
        self._frames = frames
        self._before = before
        self._fails = fails
        self._number = 0

    def read(self, slot: FrameSlot) -> bool:
        if self._number == self._frames:
            self.read_all.set()
            if self._fails:
                raise ArtmirrorError("the cable is out")
            return False
        self._before(self._number)
        slot.frame[:] = self._number % 200
        slot.captured_ns = time.monotonic_ns()
        self._number += 1
        return True

    def close(self) -> None:
        self.closed = True


class CollectingSink:
    """Keeps ids and checks that each result belongs to its frame."""

    def __init__(
        self, *, stop_after: int | None = None, fail_at: int | None = None, delay_s: Callable[[], float] = lambda: 0.0
    ) -> None:
        self.ids: list[int] = []
        self.ended: str | None = None
        self._stop_after = stop_after
        self._fail_at = fail_at
        self._delay_s = delay_s

    def write(self, slot: FrameSlot) -> bool:
        if len(self.ids) == self._fail_at:
            raise ArtmirrorError("the disk is full")
        expected = 255 - slot.id % 200
        assert (slot.stylized == expected).all()
        time.sleep(self._delay_s())
        assert (slot.stylized == expected).all(), "the picture changed while the sink had it"
        self.ids.append(slot.id)
        return len(self.ids) != self._stop_after

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def discard(self) -> None:
        self.ended = "discarded"
