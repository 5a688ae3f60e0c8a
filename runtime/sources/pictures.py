"""Pictures from files: one, a folder of them, or a glob pattern."""

import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from artmirror.runtime.common.fit import check_native_size, place
from artmirror.runtime.common.pictures import read_picture
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.tracks import Tracks


class PictureSource:
    """Pictures from files, each once, all on the size of the first.

    Attributes: see `base.Source`; the rate is None and no picture has a media time.
    """

    def __init__(self, name: str, paths: Sequence[Path], size: tuple[int, int] | None, mirror: bool) -> None:
        """Open at least one path; `size` is (H, W), None means that of the first picture.

        Raises:
            ArtmirrorError: the first picture cannot be read, or is smaller than 64 pixels and no size is given.
        """
        self.name = name
        self._paths = list(paths)
        self._first: Pixels | None = read_picture(self._paths[0])
        height, width = self._first.shape[:2]
        self.size = size or check_native_size(str(self._paths[0]), (height, width))
        self.rate: Fraction | None = None
        self.frame_count: int | None = len(self._paths)
        self.live = False
        self.tracks: Tracks | None = None
        self.files = tuple(self._paths)
        self._mirror = mirror
        self._next = 0
        self._closed = False

    def read(self, slot: FrameSlot) -> bool:
        """Load the next picture into `slot.frame`; `slot.label` becomes the name of its file.

        Raises:
            ArtmirrorError: the picture cannot be read.
        """
        if self._closed or self._next == len(self._paths):
            return False
        path = self._paths[self._next]
        self._next += 1
        picture = self._first if self._first is not None else read_picture(path)
        self._first = None
        place(picture, self._mirror, slot.frame)
        slot.captured_ns = time.monotonic_ns()
        slot.media_time_s = None
        slot.label = path.name
        return True

    def close(self) -> None:
        """End the pictures; nothing is held open between reads."""
        self._closed = True
