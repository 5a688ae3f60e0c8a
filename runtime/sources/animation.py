"""Animated pictures as films: WebP, PNG and AVIF with their own delays. GIF goes the way of films."""

import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from artmirror.runtime.common.fit import check_native_size, place
from artmirror.runtime.common.pictures import read_animation
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.tracks import Tracks


class AnimationSource:
    """The pictures of one animated file, once.

    Attributes: see `base.Source`. Its rate is the average one; times and durations are exact.
    """

    def __init__(self, path: Path, pictures: int, size: tuple[int, int] | None, mirror: bool) -> None:
        """Decode the first picture; `size` is (H, W), None means the file's own.

        Raises:
            ArtmirrorError: it cannot be read, or is smaller than 64 pixels and no size is given.
        """
        self.name = str(path)
        self._pictures: Iterator[tuple[Pixels, Fraction]] = read_animation(path)
        self._first: tuple[Pixels, Fraction] | None = next(self._pictures)
        shape = self._first[0].shape
        self.size = size or check_native_size(self.name, (shape[0], shape[1]))
        self.rate: Fraction | None = 1 / self._first[1]
        self.frame_count: int | None = pictures
        self.live = False
        self.files: tuple[Path, ...] = (path,)
        self.tracks: Tracks | None = None
        self._mirror = mirror
        self._at_s = Fraction(0)
        self._closed = False

    def read(self, slot: FrameSlot) -> bool:
        """Decode the next picture into `slot.frame`.

        Raises:
            ArtmirrorError: the file ends early or is damaged.
        """
        found = None if self._closed else self._first or next(self._pictures, None)
        self._first = None
        if found is None:
            return False
        picture, duration_s = found
        place(picture, self._mirror, slot.frame)
        slot.captured_ns = time.monotonic_ns()
        slot.media_time_s, slot.duration_s, slot.label = self._at_s, duration_s, ""
        self._at_s += duration_s
        return True

    def close(self) -> None:
        """End the pictures."""
        self._closed = True
