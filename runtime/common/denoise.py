"""A sensor's noise, taken out of a live picture: a running mean where nothing moves, the frame where it does."""

import cv2
import numpy as np

from artmirror.runtime.common.pixels import Pixels

_LEAST = 0.2  # share of the new frame where all stands still: the noise falls to a third
_QUIETEST, _LOUDEST = 0.7, 7.0  # levels that the noise is taken to be at least, and at most
_STILL, _MOVES = 1.5, 2.5  # times the noise: below, all is noise; above, something moves
_BLUR = 7  # pixels: what moves is wider than a pixel, noise is not


class Denoiser:
    """Takes frames of one stream in their order. It knows nothing before the first.

    The noise is measured in the frames themselves: the median of how far they are from the mean. So a good camera in
    good light is left alone.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        """`size` is (H, W) of the frames."""
        self._mean = np.zeros((*size, 3), np.uint8)
        self._began = False
        self._share = np.zeros(size, np.float32)
        self._rest = np.zeros(size, np.float32)
        self._noise = 0.0  # levels

    def __call__(self, frame: Pixels) -> None:
        """Put the denoised frame in the place of `frame`, (H, W, 3) uint8."""
        if self._began:
            differs = cv2.cvtColor(cv2.absdiff(frame, self._mean), cv2.COLOR_BGR2GRAY)
            near = cv2.boxFilter(differs, cv2.CV_32F, (_BLUR, _BLUR))
            # Of a scene that moves as a whole the median is motion; the cap keeps that from being taken for noise.
            here = float(np.clip(np.median(near[::8, ::8]), _QUIETEST, _LOUDEST))
            self._noise = here if self._noise == 0 else min(here, 1.05 * self._noise)
            low, high = _STILL * self._noise, _MOVES * self._noise
            # 0.2 below `low`, 1 above `high`, in memory that is there.
            np.subtract(near, low, out=self._share)
            np.multiply(self._share, (1 - _LEAST) / (high - low), out=self._share)
            np.add(self._share, _LEAST, out=self._share)
            np.clip(self._share, _LEAST, 1, out=self._share)
            np.subtract(1, self._share, out=self._rest)
            cv2.blendLinear(frame, self._mean, self._share, self._rest, dst=frame)
        self._began = True
        np.copyto(self._mean, frame)
