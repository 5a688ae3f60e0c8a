"""The live picture for those who look from afar: the newest one, small, as JPEG, only while somebody looks."""

import threading
import time
from collections.abc import Callable

import cv2
import numpy as np

from artmirror.runtime.common.pictures import encode_picture
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.frame import FrameSlot

_SIDE = 480  # pixels of the longer side
_QUALITY = 72
_LOOKED_S = 2.0  # after the last question nobody looks any more


class Preview:
    """Keeps a small copy of the newest picture. `offer` is called by the show, `jpeg` by the remote's threads."""

    def __init__(self, fps: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._period_s = 1 / fps
        self._asked_s = -1e9
        self._taken_s = -1e9
        self._changing = threading.Lock()
        self._picture: Pixels | None = None
        self._number = 0
        self._encoded: tuple[int, bytes] = (0, b"")

    def offer(self, slot: FrameSlot) -> None:
        """Take over a picture where somebody looks and the last one is old enough."""
        now_s = self._clock_s()
        if now_s - self._asked_s > _LOOKED_S or now_s - self._taken_s < self._period_s:
            return
        self._taken_s = now_s
        height, width = slot.stylized.shape[:2]
        scale = min(1.0, _SIDE / max(height, width))
        size = (round(width * scale), round(height * scale))
        small = np.asarray(cv2.resize(slot.stylized, size, interpolation=cv2.INTER_AREA), np.uint8)
        with self._changing:
            self._picture = small
            self._number += 1

    def jpeg(self, after: int) -> tuple[int, bytes] | None:
        """The newest picture and its number; None where that is not above `after`."""
        self._asked_s = self._clock_s()
        with self._changing:
            picture, number = self._picture, self._number
            if picture is None or number <= after:
                return None
            if self._encoded[0] != number:  # once for all who look
                self._encoded = (number, bytes(encode_picture(picture, ".jpg", _QUALITY)))
            return self._encoded
