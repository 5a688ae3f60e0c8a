"""A picture in memory, its size, and how far two are apart."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]  # (H, W, 3) in [0, 255]; BGR, as OpenCV and PyAV hand it over, where nothing else is said

SMALLEST_SIDE = (
    64  # pixels, of what a network paints; below, reflection at a quarter of the size has nothing to reflect
)


_ROWS = 256  # of a picture that are worked on at once


class Size(NamedTuple):
    """(H, W) in pixels: the one order in the house; only the command line says 640x360."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


def over_white(pixels: NDArray[np.uint8]) -> Pixels:  # (H, W, 4) uint8 BGRA
    """Transparent parts show white, as picture viewers do: (H, W, 3) uint8 BGR."""
    out = np.empty((*pixels.shape[:2], 3), np.uint8)
    for top in range(0, pixels.shape[0], _ROWS):  # a large picture's sums would take several times its memory
        part = pixels[top : top + _ROWS]
        alpha = part[:, :, 3:].astype(np.uint16)
        out[top : top + _ROWS] = (part[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255
    return out


def psnr_db(found: Pixels, wanted: Pixels) -> float:
    """Peak signal-to-noise ratio of two pictures in decibels; infinite where they are equal."""
    return decibels(float(((found.astype(np.int32) - wanted) ** 2).mean()))


def decibels(mean_square: float) -> float:
    """The peak signal-to-noise ratio that a mean squared difference of 8-bit values stands for."""
    return float("inf") if mean_square == 0 else float(10 * np.log10(255**2 / mean_square))
