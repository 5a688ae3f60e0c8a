"""The whole screen as one picture: the frame, turned and fitted, and what lies over it. Pure arithmetic on arrays."""

from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np

from artmirror.runtime.common.fit import centre_crop
from artmirror.runtime.common.pixels import Pixels, Size
from artmirror.runtime.show.cards import Patch

Anchor = Literal["bottom-left", "bottom-right", "top-left", "top-right", "centre"]
_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
_MARGIN = 0.035  # of the shorter side


@dataclass(slots=True)
class Overlay:
    """A patch and where it lies on the upright screen."""

    patch: Patch  # (h, w, 4) uint8 BGRA
    anchor: Anchor
    opacity: float = 1.0
    _turned: dict[int, Patch] = field(default_factory=dict, repr=False)

    def turned(self, rotation: int) -> Patch:
        """The patch as it lies on the screen's own pixels."""
        if rotation not in self._turned:
            patch = self.patch if not rotation else cv2.rotate(self.patch, _TURNS[rotation])
            self._turned[rotation] = np.ascontiguousarray(patch, np.uint8)
        return self._turned[rotation]


class Canvas:
    """Composes the screen.

    Args:
        size: (H, W) of the screen's own pixels.
        rotation: Of what is drawn, degrees clockwise; with 90 and 270 the upright screen is `size` turned.
        fit: `cover` cuts what is too much, `contain` leaves bars.
    """

    def __init__(self, size: Size, rotation: int = 0, fit: Literal["cover", "contain"] = "cover") -> None:
        self.size = size
        self.rotation = rotation
        self._fit = fit
        self.pixels: Pixels = np.zeros((*size, 3), np.uint8)  # (H, W, 3) uint8 BGR
        self._frame: Pixels | None = None

    @property
    def upright(self) -> Size:
        """(H, W) as the visitor sees it."""
        height, width = self.size
        return Size(width, height) if self.rotation in (90, 270) else Size(height, width)

    def draw(self, frame: Pixels | None, overlays: list[Overlay], brightness: float = 1.0) -> Pixels:
        """Compose everything into `pixels`, which is returned and overwritten by the next call.

        Args:
            frame: (h, w, 3) uint8 BGR; None for black.
            overlays: The last lies on top; they keep their brightness.
        """
        if frame is None or brightness <= 0:
            self.pixels[:] = 0
        else:
            self._put(frame)
            if brightness < 1:
                cv2.convertScaleAbs(self.pixels, dst=self.pixels, alpha=brightness)
        for overlay in overlays:
            if overlay.opacity > 0:
                self._lay(overlay)
        return self.pixels

    def _put(self, frame: Pixels) -> None:
        if self.rotation:  # before it grows: fewer pixels to turn
            shape = frame.shape if self.rotation == 180 else (frame.shape[1], frame.shape[0], 3)
            if self._frame is None or self._frame.shape != shape:
                self._frame = np.empty(shape, np.uint8)
            cv2.rotate(frame, _TURNS[self.rotation], dst=self._frame)
            frame = self._frame
        height, width = frame.shape[:2]
        scales = self.size.height / height, self.size.width / width
        if self._fit == "cover":
            scale = max(scales)
            seen = min(height, round(self.size.height / scale)), min(width, round(self.size.width / scale))
            part, target = centre_crop(frame, (max(1, seen[0]), max(1, seen[1]))), self.pixels
        else:
            scale = min(scales)
            inner = max(1, round(height * scale)), max(1, round(width * scale))
            part, target = frame, centre_crop(self.pixels, inner)
            if inner != tuple(self.size):
                self.pixels[:] = 0
        if part.shape == target.shape:
            np.copyto(target, part)
            return
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        cv2.resize(part, (target.shape[1], target.shape[0]), dst=target, interpolation=method)

    def _lay(self, overlay: Overlay) -> None:
        patch = overlay.turned(self.rotation)
        top, left = self._corner(patch.shape[0], patch.shape[1], overlay.anchor)
        height = min(patch.shape[0], self.size.height - top)
        width = min(patch.shape[1], self.size.width - left)
        if height <= 0 or width <= 0:
            return
        patch = patch[:height, :width]
        part = self.pixels[top : top + height, left : left + width]
        alpha = np.multiply(patch[:, :, 3:], np.float32(overlay.opacity / 255), dtype=np.float32)
        part[:] = np.rint(part + (patch[:, :, :3] - part.astype(np.float32)) * alpha)

    def _corner(self, height: int, width: int, anchor: Anchor) -> tuple[int, int]:
        """Where the patch's top left pixel lies on the screen's own pixels."""
        if anchor == "centre":
            return max(0, (self.size.height - height) // 2), max(0, (self.size.width - width) // 2)
        margin = round(_MARGIN * min(self.size))
        bottom, right = anchor.startswith("bottom"), anchor.endswith("right")
        for _ in range(self.rotation // 90):  # a quarter turn takes the top right corner to the bottom right one
            bottom, right = right, not bottom
        top = self.size.height - height - margin if bottom else margin
        left = self.size.width - width - margin if right else margin
        return max(0, top), max(0, left)
