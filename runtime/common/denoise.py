"""A sensor's noise, taken out of a live picture: a running mean where nothing moves, the frame where it does."""

import cv2
import numpy as np

from artmirror.runtime.common.pixels import Pixels

_LEAST = 51  # of 255: share of the new frame where all stands still: the noise falls to a third
_QUIETEST, _LOUDEST = 0.7, 7.0  # levels that the noise is taken to be at least, and at most
_STILL, _MOVES = 1.5, 2.5  # times the noise: below, all is noise; above, something moves
_BLUR = 3  # pixels of the halved picture: what moves is wider than a pixel, noise is not


class Denoiser:
    """Takes frames of one stream in their order. It knows nothing before the first.

    The noise is measured in the frames themselves: the median of how far they are from the mean. So a good camera in
    good light is left alone. All but the blend is looked at in half the size: this runs beside a network on two cores.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        """`size` is (H, W) of the frames."""
        self._size = size
        self._mean, self._differs, self._shares = (np.zeros((*size, 3), np.uint8) for _ in range(3))
        self._share = np.zeros(size, np.uint8)  # of the new frame, of 255
        self._began = False
        self._noise = 0.0  # levels

    def __call__(self, frame: Pixels) -> None:
        """Put the denoised frame in the place of `frame`, (H, W, 3) uint8."""
        if self._began:
            self._look(frame)
            cv2.cvtColor(self._share, cv2.COLOR_GRAY2BGR, dst=self._shares)
            cv2.multiply(frame, self._shares, dst=frame, scale=1 / 255)
            cv2.bitwise_not(self._shares, dst=self._shares)
            cv2.multiply(self._mean, self._shares, dst=self._mean, scale=1 / 255)
            cv2.add(frame, self._mean, dst=frame)
        self._began = True
        np.copyto(self._mean, frame)

    def _look(self, frame: Pixels) -> None:
        """Find each pixel's share of the new frame."""
        height, width = self._size
        cv2.absdiff(frame, self._mean, dst=self._differs)
        half = (max(width // 2, 1), max(height // 2, 1))
        small = cv2.cvtColor(cv2.resize(self._differs, half, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY)
        near = cv2.boxFilter(small, cv2.CV_32F, (_BLUR, _BLUR))
        # Of a scene that moves as a whole the median is motion; the cap keeps that from being taken for noise.
        here = float(np.clip(np.median(near[::4, ::4]), _QUIETEST, _LOUDEST))
        self._noise = here if self._noise == 0 else min(here, 1.05 * self._noise)
        # _LEAST at _STILL times the noise, 255 at _MOVES times; rounding to 8 bits cuts off what is beyond.
        slope = (255 - _LEAST) / ((_MOVES - _STILL) * self._noise)
        share = cv2.addWeighted(near, slope, near, 0, _LEAST - slope * _STILL * self._noise, dtype=cv2.CV_8U)
        np.maximum(share, _LEAST, out=share)
        cv2.resize(share, (width, height), dst=self._share, interpolation=cv2.INTER_LINEAR)
