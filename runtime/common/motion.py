"""Motion from each frame back to one that was painted before it, for networks with a memory."""

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
_STILL_PX, _LITTLE_PX, _NEW = 0.1, 1.0, 0.4  # pixels of the frame, share of the newest motion
_STANDS = 0.1  # share of the frame that drifts so little, at least: with less the camera moves, and nothing is still
_EVERY, _AROUND = 2, 13  # of the half's pixels every second tells, either way; and how many of those about
_AGO, _BETTER, _LEVELS = 8, 1.4, 0.3  # frames, times, levels
_SURE, _LOST, _NEAR = 8.0, 18.0, 5  # levels that the moved frame may differ by, trusted and not; small pixels about
# Even ground is drawn along with what moves before it, and looks the same: so flow that stretches is trusted less.
_RIGID, _TORN, _TEAR = 0.5, 0.8, 9  # pixels a pixel that flow may change by, trusted and not; small pixels about
_CUT = 0.3  # share of the frame that has to be trusted; with less it is another scene
_WORN = 0.93  # with less of a key frame trusted, the next frame takes its place
_OLD = 16  # frames; so that the network gets a word in where nothing changes either, and heals what was trusted wrongly


class FrameMotion:
    """Follows the frames of one stream, from each to the one before it.

    Both arrays are overwritten by `follow`, never replaced.

    Attributes:
        flow: (h, w, 2) float32 (dx, dy) in pixels of the full frame, from this frame to the last one; h and w are a
            half of the frame's, rounded up.
        mask: (h, w) float32 in [0, 1], where the last frame, moved so, shows the same as this one. 0 everywhere after
            `forget` and at a cut.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        """`size` is (H, W) of the frames."""
        self._steps = _Steps(size, fine=False)
        self.flow = np.zeros((*self._steps.size, 2), np.float32)
        self.mask = np.zeros(self._steps.size, np.float32)

    def forget(self) -> None:
        """The next frame has none before it."""
        self._steps.forget()

    def follow(self, frame: Pixels) -> bool:
        """Find the motion from `frame` (H, W, 3) uint8 BGR to the frame of the call before.

        Returns:
            Whether there is anything to remember: not at first, and not after a cut.
        """
        grey, last = self._steps.shrunk(frame), self._steps.last
        step = self._steps.to_last(grey)
        trust = None if last is None or step is None else self._steps.trust(last, grey, step)
        if step is None or trust is None:
            self.flow[:] = 0
            self.mask[:] = 0
            return False
        self.mask[:] = trust
        cv2.multiply(step, self._steps.scale, dst=self.flow)
        return True


class KeyMotion:
    """Follows the frames of one stream, from each to a key frame, which stays for some frames while it shows the same.

    What is brought from the key frame is sampled between pixels once, however many frames lie between; from frame to
    frame it would be once for each, and lose strokes every time. The flow is made of the steps from frame to frame,
    which are steadier than a flow that is found anew over a longer way. The mask looks at the key frame itself.

    Arrays as in `FrameMotion`, flow and mask to the key frame.

    Attributes:
        renewed: The key frame is the frame right before this one, and was not before.
    """

    def __init__(self, size: tuple[int, int], *, worn: float = _WORN) -> None:
        """`size` is (H, W) of the frames; a key frame of which less than `worn` is trusted is the last frame's turn."""
        self._steps = _Steps(size, fine=True)
        self._worn = worn
        self.flow = np.zeros((*self._steps.size, 2), np.float32)
        self.mask = np.zeros(self._steps.size, np.float32)
        self.renewed = False
        self._age = 0  # frames since the key frame
        self._key: NDArray[np.uint8] | None = None  # (h, w) grey; None where the last frame is to be it
        self._way = np.zeros((*self._steps.size, 2), np.float32)  # to the key frame, pixels of the half

    def forget(self) -> None:
        """The next frame has none before it."""
        self._steps.forget()
        self._key = None

    def follow(self, frame: Pixels) -> bool:
        """Find the motion from `frame` (H, W, 3) uint8 BGR to the key frame.

        Returns:
            Whether there is anything to remember: not at first, and not after a cut.
        """
        grey, last = self._steps.shrunk(frame), self._steps.last
        step = self._steps.to_last(grey)
        self.renewed = self._key is None
        if self._key is None:
            self._key = last
            self._way[:] = 0
            self._age = 0
        self._age += 1
        trust = None
        if step is not None and self._key is not None:
            self._way = step + np.asarray(self._steps.moved(self._way, step), np.float32)
            trust = self._steps.trust(self._key, grey, self._way)
        if trust is None:
            self._key = None
            self.flow[:] = 0
            self.mask[:] = 0
            return False
        if trust.mean() < self._worn or self._age >= _OLD:
            self._key = None
        self.mask[:] = trust
        cv2.multiply(self._way, self._steps.scale, dst=self.flow)
        return True


class _Steps:
    """Motion from frame to frame at half size: what both are made of.

    Attributes:
        size: (h, w) of the half.
        scale: Pixels of the frame for one of the half, (x, y, 0, 0): OpenCV wants four numbers.
        last: (h, w) uint8, the frame before in grey; None where there is none.
    """

    def __init__(self, size: tuple[int, int], *, fine: bool) -> None:
        self.size = rows, columns = -(-size[0] // HALF), -(-size[1] // HALF)
        self.scale = np.array([size[1] / columns, size[0] / rows, 0, 0])
        self._pixel = np.array([[-1], [1]]) / self.scale[:2]  # of the frame, either way
        self._inside = np.array([[0, 0], [columns - 1, rows - 1]], np.float64)
        self._places = np.dstack(np.meshgrid(np.arange(columns), np.arange(rows))).astype(np.float32)
        # DIS (Kroeger et al. 2016). Fine: patches at every fifth point of the half itself, else at every fourth of an
        # eighth of the frame. It has no coarse grid for pictures that are very small.
        self._search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._search.setFinestScale(0 if fine else 2)
        if fine:
            self._search.setPatchStride(5)
            self._search.setGradientDescentIterations(5)
        self._every = np.ascontiguousarray(self._places[::_EVERY, ::_EVERY])
        self._drift = np.zeros(self._every.shape, np.float32)
        self._before: deque[NDArray[np.uint8]] = deque(maxlen=_AGO)  # (h, w) grey, the newest last

    @property
    def last(self) -> NDArray[np.uint8] | None:
        return self._before[-1] if self._before else None

    def forget(self) -> None:
        self._before.clear()
        self._drift[:] = 0

    def shrunk(self, frame: Pixels) -> NDArray[np.uint8]:
        """(h, w) grey of a frame (H, W, 3) BGR."""
        small = cv2.resize(frame, self.size[::-1], interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8)

    def to_last(self, grey: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        """(h, w, 2) pixels of the half; None where there is no frame before. Keeps `grey` as the last frame."""
        self._before.append(grey)
        if len(self._before) == 1:
            return None
        found = np.asarray(self._search.calc(grey, self._before[-2], None), np.float32)  # type: ignore[call-overload]
        return np.asarray(cv2.copyTo(found, cv2.bitwise_not(self._still(found, grey))), np.float32)

    def _still(self, found: NDArray[np.float32], grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Where nothing moves though motion was found: (h, w), 255 or 0."""
        last, ago = self._before[-2], self._before[0]
        few, now = np.ascontiguousarray(found[::_EVERY, ::_EVERY]), grey[::_EVERY, ::_EVERY]
        cv2.addWeighted(cv2.blur(few, (_AROUND, _AROUND)), _NEW, self._drift, 1 - _NEW, 0, dst=self._drift)
        still = cv2.inRange(self._drift, *(_STILL_PX * self._pixel))
        if still.mean() < 255 * _STANDS:  # an even sky would stay where it is, and its strokes with it
            return np.zeros(self.size, np.uint8)
        changed, noise = (
            _blurred(ago[::_EVERY, ::_EVERY], now, _AROUND),
            _blurred(_at(last, few + self._every), now, _AROUND),
        )
        unchanged = (changed <= _BETTER * noise + _LEVELS).astype(np.uint8)
        little = cv2.inRange(self._drift, *(_LITTLE_PX * self._pixel))
        still = cv2.bitwise_or(still, little * unchanged)
        rows, columns = self.size
        return np.asarray(still, np.uint8).repeat(_EVERY, 0).repeat(_EVERY, 1)[:rows, :columns]

    def trust(
        self, earlier: NDArray[np.uint8], grey: NDArray[np.uint8], flow: NDArray[np.float32]
    ) -> NDArray[np.float32] | None:
        """Where `earlier`, moved by `flow`, shows the same as `grey`: (h, w) in [0, 1]. None at a cut, and forgets."""
        differs = _blurred(self.moved(earlier, flow), grey, _NEAR)
        differs[cv2.inRange(cv2.add(flow, self._places), *self._inside) == 0] = _LOST
        mask = np.asarray(np.clip((_LOST - differs) / (_LOST - _SURE), 0, 1), np.float32)
        mask *= np.clip((_TORN - _stretch(flow)) / (_TORN - _RIGID), 0, 1)
        if mask.mean() >= _CUT:
            return mask
        self.forget()
        self._before.append(grey)
        return None

    def moved(self, field: NDArray[Any], flow: NDArray[np.float32]) -> NDArray[Any]:
        """`field` of the earlier frame (h, w) or (h, w, 2), sampled where `flow` points."""
        return _at(field, np.asarray(cv2.add(flow, self._places), np.float32))


def _at(field: NDArray[Any], places: NDArray[np.float32]) -> NDArray[Any]:
    """`field` at places (h, w, 2), which may lie between its own."""
    where: Any = places
    return np.asarray(cv2.remap(field, where, cast(Any, None), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def _blurred(one: NDArray[np.uint8], other: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """How far two pictures differ, over squares of `side` pixels."""
    return np.asarray(cv2.blur(cv2.absdiff(one, other).astype(np.float32), (side, side)), np.float32)


def _stretch(flow: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much it changes from place to place, (h, w) pixels a pixel, over squares of `_TEAR` pixels."""
    changes = [cv2.Sobel(flow, cv2.CV_32F, dx, 1 - dx, ksize=3, scale=1 / 8) for dx in (0, 1)]
    squares = np.asarray(sum(change[..., axis] ** 2 for change in changes for axis in (0, 1)), np.float32)
    return np.asarray(cv2.blur(np.sqrt(squares), (_TEAR, _TEAR)), np.float32)
