"""What the loops of a measurement use of an engine, and one that does nothing, so that only the measuring is left."""

from typing import Protocol

import numpy as np

from artmirror.runtime.engines.base import Look
from artmirror.runtime.frame import FrameSlot


class SlotPainter(Protocol):
    """What the loops use of an engine; see `artmirror.runtime.engines.base.Engine`."""

    max_in_flight: int

    def allocate(self, count: int) -> list[FrameSlot]: ...

    def submit(self, slot: FrameSlot, look: Look) -> None: ...

    def wait(self, slot: FrameSlot) -> None: ...


class IdleEngine:
    """Does nothing, to frames of one pixel: what is measured of it is the measuring."""

    max_in_flight = 2

    def allocate(self, count: int) -> list[FrameSlot]:
        """Make so many slots."""
        return [FrameSlot(np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1, 3), np.uint8)) for _ in range(count)]

    def submit(self, slot: FrameSlot, look: Look) -> None:
        """Do nothing."""

    def wait(self, slot: FrameSlot) -> None:
        """Wait for nothing."""
