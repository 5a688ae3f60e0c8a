"""Whether somebody stands before the camera, by what moves."""

import time
from collections.abc import Callable

import cv2
import numpy as np

from artmirror.runtime.common.pixels import Pixels

_SIZE = (32, 18)  # (w, h) that pictures are compared at
_LEARNS = 0.02  # of the difference, each look: someone who stays is not forgotten for minutes
_LEVELS = 9.0  # of 255 that a place has to change by
_PLACES = 0.012  # of all places that have to change
_PAUSE_S = 0.2  # between two looks


class Presence:
    """Tells how long nobody was there.

    A place of the picture counts as changed where it differs from the picture before by more than a sensor's noise.
    Light that is switched on changes all of it, and counts too: somebody did that.
    """

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._looked_s = -1e9
        self._background = np.zeros((_SIZE[1], _SIZE[0]), np.float32)
        self._before = self._background.copy()
        self._first = True
        self.seen_s = clock_s()

    def look_at(self, picture: Pixels) -> None:
        """Take a camera's picture into account; cheap, and most are not looked at."""
        now_s = self._clock_s()
        if now_s - self._looked_s < _PAUSE_S:
            return
        self._looked_s = now_s
        small = np.asarray(cv2.resize(picture, _SIZE, interpolation=cv2.INTER_AREA))
        grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.float32)
        if self._first:
            self._background[:], self._before[:], self._first = grey, grey, False
            return
        moved = np.abs(grey - self._before) > _LEVELS
        differs = np.abs(grey - self._background) > _LEVELS
        # What moves was there before and is there now; what only differs may be a chair that was put down.
        if float(moved.mean()) >= _PLACES and float(differs.mean()) >= _PLACES:
            self.seen_s = now_s
        self._background += _LEARNS * (grey - self._background)
        self._before[:] = grey

    @property
    def away_s(self) -> float:
        """Seconds since somebody was seen."""
        return self._clock_s() - self.seen_s
