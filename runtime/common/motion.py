"""Motion from each frame back to the one that was painted before it, for networks with a memory."""

import cv2
import numpy as np
from numpy.typing import NDArray

from artmirror.runtime.common.pixels import Pixels

QUARTER = 4  # times smaller than the frame are flow and mask
_STILL_PX = 0.25  # smaller motion is none: every sampling between pixels costs sharpness
# Motion counts where it explains the frame better than none, in the neighbourhood and not at the pixel: a wall that is
# panned over has few places that tell, and noise at a pixel tells nothing. Tried on Sintel and webcams: of what stands
# still 68 % was moved before, a fifth after, at 0 to 0.2 pixels more error.
_AROUND, _BETTER, _LEVELS = 25, 1.2, 0.15  # pixels of the small picture, times, levels
_MOVED = 0.5  # trust in what moved, beside what stood still: it was sampled between pixels, by an estimate
_SURE, _LOST = 8.0, 24.0  # levels that the moved frame may differ by: trusted fully, and not at all
_CUT = 0.3  # share of the frame that has to be trusted; with less it is another scene


class FrameMotion:
    """Follows the frames of one stream.

    Both arrays are overwritten by `follow`, never replaced, so that an engine may be bound to them.

    Attributes:
        flow: (h, w, 2) float32 (dx, dy) in pixels of the full frame, from this frame to the last one; h and w are a
            quarter of the frame's, rounded up.
        mask: (h, w) float32 in [0, 1], where the last frame, moved so, shows the same as this one: up to 1 where it
            stood still, and to a half where it moved. 0 everywhere after `forget` and at a cut.
    """

    def __init__(self, size: tuple[int, int], *, fine: bool = True) -> None:
        """`size` is (H, W) of the frames; `fine` searches at all points of the small picture, not at half of them."""
        self._small = (-(-size[1] // QUARTER), -(-size[0] // QUARTER))  # (w, h)
        columns, rows = self._small
        self.flow = np.zeros((rows, columns, 2), np.float32)
        self.mask = np.zeros((rows, columns), np.float32)
        self._scale = np.array([size[1] / columns, size[0] / rows], np.float32)
        self._x, self._y = np.meshgrid(np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32))
        # DIS (Kroeger et al. 2016) has no coarse grid for pictures that are very small.
        self._search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._search.setFinestScale(0 if fine else 1)
        # Fewer patches and steps than the preset's: half the time, and a tenth more error on Sintel.
        self._search.setPatchStride(6)
        self._search.setGradientDescentIterations(8)
        self._last: NDArray[np.uint8] | None = None  # (h, w) grey

    def forget(self) -> None:
        """The next frame has none before it."""
        self._last = None

    def follow(self, frame: Pixels) -> bool:
        """Find the motion from `frame` (H, W, 3) uint8 BGR to the frame of the call before.

        Returns:
            Whether there is anything to remember: not at first, and not after a cut.
        """
        small = cv2.resize(frame, self._small, interpolation=cv2.INTER_AREA)
        grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8)
        last, self._last = self._last, grey
        self.flow[:] = 0
        self.mask[:] = 0
        if last is None:
            return False
        found = self._search.calc(grey, last, None)  # type: ignore[call-overload]
        x, y = self._x + found[..., 0], self._y + found[..., 1]
        moved = cv2.remap(last, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        unmoved, moved = (cv2.absdiff(picture, grey).astype(np.float32) for picture in (last, moved))
        before, after = (cv2.blur(differs, (_AROUND, _AROUND)) for differs in (unmoved, moved))
        still = (before <= _BETTER * after + _LEVELS) | (np.abs(found * self._scale).max(-1) < _STILL_PX)
        found[still] = 0
        differs = cv2.blur(np.where(still, unmoved, moved), (3, 3))
        x, y = self._x + found[..., 0], self._y + found[..., 1]
        inside = (x >= 0) & (x <= self._small[0] - 1) & (y >= 0) & (y <= self._small[1] - 1)
        mask = np.clip((_LOST - differs) / (_LOST - _SURE), 0, 1) * inside
        if mask.mean() < _CUT:
            return False
        mask[~still] *= _MOVED
        np.multiply(found, self._scale, out=self.flow)
        self.mask[:] = mask
        return True
