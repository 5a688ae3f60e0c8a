"""A picture in memory, and its size."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]  # (H, W, 3) in [0, 255]; BGR, as OpenCV and PyAV hand it over, where nothing else is said

SMALLEST_SIDE = (
    64  # pixels, of what a network paints; below, reflection at a quarter of the size has nothing to reflect
)


class Size(NamedTuple):
    """(H, W) in pixels: the one order in the house; only the command line says 640x360."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"
