"""Video files as upright, progressive frames, one after the other; what is damaged is told and stepped over."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import cv2  # noqa: F401 - before PyAV: loaded after it, OpenCV's first window hangs in PyAV's copy of libxcb

# isort: split
import av
import numpy as np
from av.video.frame import VideoFrame

from artmirror.runtime.common.film import Film
from artmirror.runtime.common.pixels import Pixels, Size
from artmirror.runtime.common.video import open_video, orientation_of, oriented, scaled_bgr, shown_size

_SHORT = 0.95  # of the declared frames; containers round, and edit lists hide a few


class Frame(NamedTuple):
    """One decoded picture."""

    picture: VideoFrame
    shown: Size  # with square pixels, upright
    time_s: float  # from the file's first picture
    after_damage: bool  # something between the last picture and this one could not be decoded


class Margins(NamedTuple):
    """What to leave out at each side, as shares of the upright picture's width or height."""

    left: float = 0.0
    top: float = 0.0
    right: float = 0.0
    bottom: float = 0.0


NO_MARGINS = Margins()


class VideoReader:
    """A video file, read from its beginning, any number of times and each time the same.

    Frames are what a screen shows (`runtime.common.film`). Where the frame rate varies, the frames are
    taken as they are, none twice and none left out; `fps` is then the average.

    Attributes:
        fps: Frames per second, as the file says.
        expected_frames: How many the file says it has, or about as many as its duration holds; 0 if it says neither.
        remarks: What was wrong with the file, as far as it was read.
    """

    def __init__(self, path: Path) -> None:
        """See that the file can be opened.

        Raises:
            ArtmirrorError: it cannot, or holds no video.
        """
        self._path = path
        self.remarks: list[str] = []
        container, stream = open_video(str(self._path))
        with container:
            self.fps = float(stream.average_rate or stream.guessed_rate or 25)
            self.expected_frames = stream.frames or round((container.duration or 0) / av.time_base * self.fps)

    def frames(self) -> Iterator[Frame]:
        """Decode the file; a damaged place or end is noted in `remarks`.

        Raises:
            ArtmirrorError: the file is gone.
        """
        self.remarks = []
        film = Film(str(self._path), threads=0)
        with film.container:
            first_s: Fraction | None = None
            count, holes, damaged = 0, 0, False
            for picture in film.pictures():
                if picture is None or picture.is_corrupt:
                    holes += not damaged
                    damaged = True
                    continue
                shown_s = film.time_s(picture)
                if first_s is None:
                    first_s = shown_s or Fraction(0)
                time_s = count / self.fps if shown_s is None else float(shown_s - first_s)
                yield Frame(picture, shown_size(picture, film.video), time_s, damaged)
                damaged = False
                count += 1
            if holes:
                self.remarks.append(f"damaged in {holes} place(s); the pictures there are left out")
            declared = film.video.frames
            if count < declared * _SHORT:
                self.remarks.append(f"ends at frame {count} of {declared} (cut off or damaged)")


def fitted(frame: Frame, long_side: int) -> Pixels:
    """Scale the whole picture so that its longer side has `long_side` pixels: (h, w, 3) uint8 BGR, upright."""
    height, width = frame.shown
    scale = long_side / max(width, height)
    return _upright(frame, Size(max(16, round(height * scale)), max(16, round(width * scale))))


def filled(frame: Frame, size: Size, margins: Margins = NO_MARGINS) -> Pixels:
    """Scale and crop around the middle, so that `size` is filled: (size.height, size.width, 3) uint8 BGR, upright.

    Args:
        margins: Bars to leave out before.
    """
    height, width = frame.shown
    scale = fill_scale(frame.shown, size, margins)
    whole = Size(max(size.height, round(height * scale)), max(size.width, round(width * scale)))
    left = (whole.width * (1 + margins.left - margins.right) - size.width) / 2
    top = (whole.height * (1 + margins.top - margins.bottom) - size.height) / 2
    x = min(max(0, round(left)), whole.width - size.width)
    y = min(max(0, round(top)), whole.height - size.height)
    return np.ascontiguousarray(_upright(frame, whole)[y : y + size.height, x : x + size.width])


def fill_scale(source: Size, target: Size, margins: Margins = NO_MARGINS) -> float:
    """How much larger a thing is in the target than in the source."""
    inner_width = source.width * (1 - margins.left - margins.right)
    inner_height = source.height * (1 - margins.top - margins.bottom)
    return max(target.width / inner_width, target.height / inner_height)


def _upright(frame: Frame, size: Size) -> Pixels:
    orientation = orientation_of(frame.picture)
    return oriented(scaled_bgr(frame.picture, size[::-1] if orientation.lying else size, "BICUBIC"), orientation)
