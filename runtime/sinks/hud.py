"""The line of figures in the window's corner."""

import unicodedata

import cv2
import numpy as np

from artmirror.runtime.common.pixels import Pixels

_REFRESH_NS = 500_000_000  # figures that change faster cannot be read
_HEIGHT, _WIDTH = 26, 330  # pixels of the strip
_STYLE_WIDTH = 330  # pixels more, where it tells the style too
_BASELINE = (8, 18)  # (x, y) in the strip


class Hud:
    """Shows frames per second, latency, dropped frames and the style; drawn at most twice per second."""

    def __init__(self) -> None:
        """Allocate the strip."""
        self._strip: Pixels = np.zeros((_HEIGHT, _WIDTH + _STYLE_WIDTH, 3), np.uint8)
        self._width = _WIDTH
        self._style = ""
        self._drawn_ns: int | None = None

    def update(self, now_ns: int, rate: float, latency_ns: int, dropped: int, style: str = "") -> None:
        """Draw the text anew where the last drawing is half a second old, or the style another.

        Args:
            rate: Frames per second.
        """
        if style == self._style and self._drawn_ns is not None and now_ns - self._drawn_ns < _REFRESH_NS:
            return
        self._style = style
        self._drawn_ns = now_ns
        text = f"{rate:5.1f} FPS   {latency_ns / 1e6:5.1f} ms   {dropped} dropped"
        self._width = _WIDTH + (_STYLE_WIDTH if style else 0)
        if style:  # OpenCV's letters are those of ASCII
            plain = unicodedata.normalize("NFKD", style).encode("ascii", "ignore").decode()
            text += f"   {plain}"
        self._strip[:] = 0
        cv2.putText(self._strip, text, _BASELINE, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)

    def draw(self, picture: Pixels) -> None:
        """Copy the strip into the upper left corner of `picture` (H, W, 3) in place, cut where that is smaller."""
        height, width = min(_HEIGHT, picture.shape[0]), min(self._width, picture.shape[1])
        np.copyto(picture[:height, :width], self._strip[:height, :width])
