"""What an engine keeps of the frames that it painted, for networks with a memory."""

from collections.abc import Callable
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from artmirror.runtime.common.motion import HALF, KeyMotion
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.engines.base import Look

INPUTS, OUTPUT = ("previous", "mask"), "painted"  # of a graph with a memory, beside those that every graph has


def _zeros(shape: tuple[int, ...]) -> Pixels:
    return np.zeros(shape, np.uint8)


class Memory:
    """A picture that was painted before, brought onto the frame that is painted now.

    That is the picture of a key frame (`KeyMotion`). For each frame: `follow` it, which needs no painted picture and
    may run while the last one is still painted; then, when that is done, `bring`. All arrays stay where they are, so
    that an engine binds them once.

    Attributes:
        previous: (1, H, W, 3) uint8 BGR, input.
        mask: (1, H, W, 3) uint8, input: where `previous` may be trusted, 255 for fully; three times the same.
        painted: (1, H, W, 3) uint8 BGR, output: the picture at full strength.
    """

    def __init__(self, size: tuple[int, int], allocate: Callable[[tuple[int, ...]], Pixels] = _zeros) -> None:
        """Know nothing yet.

        Args:
            size: (H, W) of the frames.
            allocate: Makes the three arrays, zeros of uint8, where a device wants its own kind of memory.
        """
        height, width = size
        self.previous, self.mask, self.painted = (allocate((1, height, width, 3)) for _ in range(3))
        self._motion = KeyMotion(size)
        self._kept = np.zeros((height, width, 3), np.uint8)  # the picture of the key frame
        self._remembers = False
        self._followed: Pixels | None = None  # the frame that is to be painted next
        self._style: NDArray[np.float32] | None = None
        self._flow = np.zeros((height, width, 2), np.float32)
        self._places = np.dstack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.float32)
        self._trust = np.zeros((height, width), np.uint8)

    def by_name(self) -> dict[str, Pixels]:
        """The inputs, as the graph names them."""
        return {"previous": self.previous, "mask": self.mask}

    def forget(self) -> None:
        """The next frame has none before it."""
        self._motion.forget()
        self._followed = None

    def follow(self, frame: Pixels, look: Look) -> None:
        """Find how `frame` (H, W, 3) uint8 BGR moved since the key frame. In another style nothing is kept.

        Once is enough: a second call with the same array does nothing until it was brought.
        """
        if self._followed is frame:
            return
        if not _equal(look.style, self._style):
            self.forget()
            self._style = None if look.style is None else look.style.copy()
        self._remembers = self._motion.follow(frame)
        self._followed = frame

    def bring(self) -> None:
        """Move the picture of the key frame to where its content is now. `painted` is still the last frame's."""
        height, width = self._trust.shape
        self._followed = None
        if not self._remembers:
            self.mask[:] = 0
            return
        small = cv2.convertScaleAbs(self._motion.mask, alpha=255)
        cv2.resize(small, (width, height), dst=self._trust, interpolation=cv2.INTER_LINEAR)
        cv2.cvtColor(self._trust, cv2.COLOR_GRAY2BGR, dst=self.mask[0])
        if self._motion.renewed:
            np.copyto(self._kept, self.painted[0])
        np.copyto(self.previous[0], self._kept)
        moving = self._motion.flow.view(np.complex64)[..., 0] != 0  # both coordinates at once: ten times as fast
        if not moving.any():
            return
        # Only what lies around all that moves is moved: before a camera that stands that is little.
        cv2.resize(self._motion.flow, (width, height), dst=self._flow, interpolation=cv2.INTER_LINEAR)
        rows, columns = (_around(np.asarray(moving.any(axis=1 - axis)), (height, width)[axis]) for axis in (0, 1))
        where = cv2.add(self._flow[rows, columns], self._places[rows, columns])
        both = cast(Any, where), cast(Any, None)  # both coordinates are in the first map, which the stubs forget
        # Bicubic: bilinearly it would lose sharpness every time.
        moved = cv2.remap(self._kept, *both, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        np.copyto(self.previous[0, rows, columns], moved)


def _equal(one: NDArray[np.float32] | None, other: NDArray[np.float32] | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other)


def _around(moving: NDArray[np.bool_], length: int) -> slice:
    """From the first to the last place that moves, in pixels of the full frame, and a little more."""
    places = np.flatnonzero(moving)
    return slice(max(0, (places[0] - 1) * HALF), min(length, (places[-1] + 2) * HALF))
