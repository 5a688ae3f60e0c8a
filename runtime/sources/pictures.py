"""Pictures from files: one, a folder of them, a glob pattern or a numbered sequence."""

import logging
import time
from collections.abc import Sequence
from fractions import Fraction
from itertools import groupby
from pathlib import Path

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.fit import check_native_size, place
from artmirror.runtime.common.pictures import MOST_PIXELS, picture_size, read_picture
from artmirror.runtime.common.pixels import SMALLEST_SIDE, Pixels, Size
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.tracks import Tracks

_log = logging.getLogger("artmirror.runtime")

_NAMED = 5  # names of files that are told; more are counted


class PictureSource:
    """Pictures from files, each once, all on one size.

    One that cannot be read is told and left out; at the end that is a failure.

    Attributes: see `base.Source`; the rate is None and no picture has a media time.
    """

    def __init__(
        self,
        name: str,
        paths: Sequence[Path],
        size: tuple[int, int] | None,
        mirror: bool,
        most_pixels: int | None = None,
    ) -> None:
        """Open at least one path; `size` is (H, W), None means that of the first picture that can be read.

        Raises:
            ArtmirrorError: no picture can be read, or the first is smaller than 64 pixels and no size is given.
        """
        self.name = name
        self._paths = list(paths)
        self._most_pixels = most_pixels or MOST_PIXELS
        self._left_out: list[Path] = []
        self._next = 0
        self._mirror = mirror
        self._closed = False
        self._first: tuple[Path, Pixels] | None = self._read_next()
        if self._first is None:
            raise ArtmirrorError(f"{name}: {self._told()}")
        path, picture = self._first
        self.size = size or check_native_size(str(path), (picture.shape[0], picture.shape[1]))
        self.rate: Fraction | None = None
        self.frame_count: int | None = len(self._paths)
        self.live = False
        self.tracks: Tracks | None = None
        self.files = tuple(self._paths)

    def read(self, slot: FrameSlot) -> bool:
        """Load the next picture into `slot.frame`; `slot.label` becomes the name of its file.

        Raises:
            ArtmirrorError: at the end, where a picture could not be read.
        """
        found = None if self._closed else self._first or self._read_next()
        self._first = None
        if found is None:
            if self._left_out and not self._closed:
                raise ArtmirrorError(self._told())
            return False
        path, picture = found
        place(picture, self._mirror, slot.frame)
        slot.captured_ns = time.monotonic_ns()
        slot.media_time_s = None
        slot.label = path.name
        return True

    def close(self) -> None:
        """End the pictures; nothing is held open between reads."""
        self._closed = True

    def _read_next(self) -> tuple[Path, Pixels] | None:
        while self._next < len(self._paths):
            path = self._paths[self._next]
            self._next += 1
            try:
                return path, read_picture(path, self._most_pixels)
            except ArtmirrorError as error:
                if len(self._paths) == 1:
                    raise
                _log.warning("%s; it is left out", error.message)
                self._left_out.append(path)
        return None

    def _told(self) -> str:
        names = ", ".join(path.name for path in self._left_out[:_NAMED])
        more = f" and {len(self._left_out) - _NAMED} more" if len(self._left_out) > _NAMED else ""
        return f"{len(self._left_out)} of {len(self._paths)} pictures could not be read: {names}{more}"


def stretches(paths: Sequence[Path]) -> list[tuple[Size | None, list[Path]]]:
    """The pictures in their order, parted where the size changes.

    One that cannot be read goes with those before it; None is the size of too small ones, which are refused when they
    are read.
    """
    sizes: list[Size | None] = []
    for path in paths:
        try:
            sizes.append(picture_size(path))
        except ArtmirrorError:  # whoever reads it says so
            sizes.append(sizes[-1] if sizes else None)
    known = next((size for size in sizes if size is not None), None)
    sizes = [size or known for size in sizes]
    large = [size if size is None or min(size) >= SMALLEST_SIDE else None for size in sizes]
    return [
        (size, [path for path, _ in stretch])
        for size, stretch in groupby(zip(paths, large, strict=True), key=lambda pair: pair[1])
    ]
