"""Motion from each frame back to the one that was painted before it, for networks with a memory."""

from collections import deque
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from artmirror.runtime.common.pixels import Pixels

HALF = 2  # times smaller than the frame are flow and mask
# What stands still is not sampled between pixels, which would cost sharpness. A single place tells nothing: noise moves
# it more than a slow pan does. So it is what drifts less than this, over its neighbourhood and some frames, or what
# drifts a little and differs from several frames ago by no more than from the last one: that difference is noise.
_STILL_PX, _LITTLE_PX, _AROUND, _NEW = 0.1, 1.0, 25, 0.4  # pixels of the frame, of the half, share of the newest motion
_AGO, _BETTER, _LEVELS = 8, 1.4, 0.3  # frames, times, levels
_MOVED = 0.95  # trust in what moved, beside what stood still: it was sampled between pixels, by an estimate
_SURE, _LOST, _NEAR = 7.0, 21.0, 5  # levels that the moved frame may differ by, trusted and not; small pixels about
_CUT = 0.3  # share of the frame that has to be trusted; with less it is another scene


class FrameMotion:
    """Follows the frames of one stream.

    Both arrays are overwritten by `follow`, never replaced, so that an engine may be bound to them.

    Attributes:
        flow: (h, w, 2) float32 (dx, dy) in pixels of the full frame, from this frame to the last one; h and w are a
            half of the frame's, rounded up.
        mask: (h, w) float32 in [0, 1], where the last frame, moved so, shows the same as this one: up to 1 where it
            stood still, and a little less where it moved. 0 everywhere after `forget` and at a cut.
    """

    def __init__(self, size: tuple[int, int], *, fine: bool = True) -> None:
        """`size` is (H, W) of the frames; `fine` searches at every second point of the half, else every fourth."""
        self._small = (-(-size[1] // HALF), -(-size[0] // HALF))  # (w, h)
        columns, rows = self._small
        self.flow = np.zeros((rows, columns, 2), np.float32)
        self.mask = np.zeros((rows, columns), np.float32)
        self._scale = np.array([size[1] / columns, size[0] / rows, 0, 0])  # OpenCV wants four numbers
        self._pixel = np.array([[-1], [1]]) / self._scale[:2]  # of the frame, either way
        self._inside = np.array([[0, 0], [columns - 1, rows - 1]], np.float64)
        self._places = np.dstack(np.meshgrid(np.arange(columns), np.arange(rows))).astype(np.float32)
        # DIS (Kroeger et al. 2016) has no coarse grid for pictures that are very small.
        self._search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._search.setFinestScale(1 if fine else 2)
        self._drift = np.zeros((rows, columns, 2), np.float32)
        self._before: deque[NDArray[np.uint8]] = deque(maxlen=_AGO)  # (h, w) grey, the newest last

    def forget(self) -> None:
        """The next frame has none before it."""
        self._before.clear()
        self._drift[:] = 0

    def follow(self, frame: Pixels) -> bool:
        """Find the motion from `frame` (H, W, 3) uint8 BGR to the frame of the call before.

        Returns:
            Whether there is anything to remember: not at first, and not after a cut.
        """
        small = cv2.resize(frame, self._small, interpolation=cv2.INTER_AREA)
        grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8)
        self.flow[:] = 0
        self.mask[:] = 0
        if not self._before:
            self._before.append(grey)
            return False
        last, ago = self._before[-1], self._before[0]
        self._before.append(grey)
        found = self._search.calc(grey, last, None)  # type: ignore[call-overload]
        around = cv2.blur(found, (_AROUND, _AROUND))
        cv2.addWeighted(around, _NEW, self._drift, 1 - _NEW, 0, dst=self._drift)
        changed, noise = _blurred(ago, grey, _AROUND), _blurred(self._moved(last, found), grey, _AROUND)
        unchanged = (changed <= _BETTER * noise + _LEVELS).astype(np.uint8)
        little = cv2.inRange(self._drift, *(_LITTLE_PX * self._pixel))
        still = cv2.bitwise_or(cv2.inRange(self._drift, *(_STILL_PX * self._pixel)), little * unchanged)
        found = np.asarray(cv2.copyTo(found, cv2.bitwise_not(still)), np.float32)
        differs = _blurred(self._moved(last, found), grey, _NEAR)
        differs[cv2.inRange(cv2.add(found, self._places), *self._inside) == 0] = _LOST
        mask = np.clip((_LOST - differs) / (_LOST - _SURE), 0, 1)
        if mask.mean() < _CUT:
            self.forget()
            self._before.append(grey)
            return False
        np.multiply(mask, np.where(still, np.float32(1), np.float32(_MOVED)), out=self.mask)
        cv2.multiply(found, self._scale, dst=self.flow)
        return True

    def _moved(self, grey: NDArray[np.uint8], flow: NDArray[np.float32]) -> NDArray[np.uint8]:
        where: Any = cv2.add(flow, self._places)
        moved = cv2.remap(grey, where, cast(Any, None), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(moved, np.uint8)


def _blurred(one: NDArray[np.uint8], other: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """How far two pictures differ, over squares of `side` pixels."""
    return np.asarray(cv2.blur(cv2.absdiff(one, other).astype(np.float32), (side, side)), np.float32)
