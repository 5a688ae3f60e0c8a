"""A moving test picture that is the same on every machine."""

import math
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.tracks import Tracks

_UNPACED_RATE = Fraction(30)  # what the media times count in where nobody asked for a rate
_LOOP_FRAMES = 160  # about so many until the motion repeats


class SyntheticSource:
    """Endless picture whose upper half glides left while the lower half glides right, so that edges get covered.

    Attributes: see `base.Source`. It is live and paced where a rate is given, else as fast as
    it is read, with a media time of 1/30 s per frame.
    """

    def __init__(
        self,
        name: str,
        size: tuple[int, int],
        rate: Fraction | None,
        mirror: bool,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        """Build the picture for `size` (H, W); `rate` in frames per second."""
        self.name = name
        self.size = size
        self.live = rate is not None
        self.rate: Fraction | None = rate or _UNPACED_RATE
        self.frame_count: int | None = None
        self.tracks: Tracks | None = None
        self.files: tuple[Path, ...] = ()
        self._period_s = float(1 / (rate or _UNPACED_RATE))
        self._mirror = mirror
        self._closed = threading.Event()
        self._monotonic = monotonic
        self._sleep = sleep or self._closed.wait
        self._next_id = 0
        self._step = max(1, size[1] // _LOOP_FRAMES)  # pixels per frame
        self._due_s = monotonic()
        tile = _paint(size)
        self._scroll: Pixels = np.concatenate([tile, tile], axis=1)  # (H, 2 W, 3) uint8 BGR

    def read(self, slot: FrameSlot) -> bool:
        """Copy the next picture into `slot.frame`; a paced source sleeps until the picture is due."""
        if self.live:
            now_s = self._monotonic()
            if now_s < self._due_s:
                self._sleep(self._due_s - now_s)
            else:
                self._due_s = now_s  # late: go on from now, catch up with nothing
            self._due_s += self._period_s
        if self._closed.is_set():
            return False
        height, width = self.size
        half = height // 2
        offset = self._next_id * self._step % width
        above = self._scroll[:half, offset : offset + width]
        below = self._scroll[half:, width - offset : 2 * width - offset]
        if self._mirror:
            cv2.flip(above, 1, dst=slot.frame[:half])
            cv2.flip(below, 1, dst=slot.frame[half:])
        else:
            np.copyto(slot.frame[:half], above)
            np.copyto(slot.frame[half:], below)
        slot.captured_ns = time.monotonic_ns()
        slot.media_time_s = None if self.live else self._next_id / _UNPACED_RATE
        slot.label = ""
        self._next_id += 1
        return True

    def close(self) -> None:
        """End the picture; a sleeping `read` returns False."""
        self._closed.set()


def _paint(size: tuple[int, int]) -> Pixels:
    """Return a (H, W, 3) uint8 BGR picture that joins itself at the left and right edge."""
    height, width = size
    turn = np.linspace(0.0, 2.0 * math.pi, width, endpoint=False)[None, :]
    drop = np.linspace(0.0, 2.0 * math.pi, height, endpoint=False)[:, None]
    waves = [np.sin(turn + drop), np.sin(2 * turn - drop), np.sin(3 * turn + 2 * drop)]
    picture = np.stack([128 + 90 * wave for wave in waves], axis=-1).astype(np.uint8)  # (H, W, 3) uint8 BGR
    radius = max(4, min(size) // 10)
    for index in range(8):  # discs and frames of several sizes and colours, clear of the joining edge
        centre = (width * (2 * index + 1) // 16, height * (1 + 2 * (index * 3 % 8)) // 16)
        reach = max(2, min(radius, centre[0] - 1, width - centre[0] - 1))
        colour = (40 + 25 * index, 255 - 30 * index, 90 * (index % 3))
        if index % 2:
            cv2.circle(picture, centre, reach, colour, -1, cv2.LINE_AA)
        else:
            corners = (centre[0] - reach, centre[1] - reach), (centre[0] + reach, centre[1] + reach)
            cv2.rectangle(picture, *corners, colour, max(2, reach // 4))
    return picture
