"""Pictures from files: one, a folder of them, or a glob pattern."""

import re
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.fit import check_native_size, place
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.common.suffixes import PICTURE_SUFFIXES
from artmirror.runtime.frame import FrameSlot


def picture_paths(folder: Path) -> list[Path]:
    """Return the pictures directly inside `folder`, sorted by name with numbers by value (2 before 10).

    Raises:
        ArtmirrorError: the folder holds no picture or cannot be read.
    """
    try:
        inside = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    except OSError as error:
        raise ArtmirrorError(f"cannot read the folder {folder}: {error.strerror}") from error
    pictures = [path for path in inside if path.suffix.lower() in PICTURE_SUFFIXES]
    if not pictures:
        found = f"{len(inside)} other files" if inside else "nothing"
        raise ArtmirrorError(
            f"{folder} holds {found}, a folder of pictures ({' '.join(PICTURE_SUFFIXES)}) is wanted: "
            "give pictures, or name one video file by itself"
        )
    return natural_order(pictures)


def natural_order(paths: Sequence[Path]) -> list[Path]:
    """Return `paths` sorted by name, numbers by their value."""
    return sorted(
        paths,
        key=lambda path: [(int(part), "") if part.isdecimal() else (-1, part) for part in _parts(path.name.lower())],
    )


def _parts(name: str) -> list[str]:
    return [part for part in re.split(r"(\d+)", name) if part]


def load_picture(path: Path) -> Pixels:
    """Return the picture at `path` as (H, W, 3) uint8 BGR, turned upright.

    Grey becomes BGR, 16 bits per channel become 8, and transparent parts show white, as picture viewers do.

    Raises:
        ArtmirrorError: the file cannot be read or is no picture.
    """
    try:
        data = np.fromfile(path, np.uint8)  # not cv2.imread: it cannot open every Unicode path
    except OSError as error:
        raise ArtmirrorError(f"cannot read the picture {path}: {error.strerror}") from error
    try:
        raw = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
        if raw is not None and raw.dtype == np.uint8 and (raw.ndim == 2 or raw.shape[2] == 3):
            raw = cv2.imdecode(data, cv2.IMREAD_COLOR)  # the one mode that turns the picture by its EXIF orientation
    except cv2.error as error:
        raise ArtmirrorError(f"cannot read the picture {path}: {error.err}") from error
    if raw is None:
        raise ArtmirrorError(
            f"{path} is not a picture that can be read (damaged, or another format under this name): "
            "open it in a picture viewer and save it again as PNG or JPEG"
        )
    if raw.dtype == np.uint16:
        raw = np.right_shift(raw, 8, casting="unsafe").astype(np.uint8)
    if raw.dtype != np.uint8:
        raise ArtmirrorError(f"{path} has {raw.dtype} pixels, 8 or 16 bits are wanted: save it again as PNG or JPEG")
    if raw.ndim == 2:
        return cast(Pixels, cv2.cvtColor(raw, cv2.COLOR_GRAY2BGR))
    if raw.shape[2] == 4:
        alpha = raw[:, :, 3:].astype(np.uint16)
        return ((raw[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return cast(Pixels, raw)


class PictureSource:
    """Pictures from files, each once, all on the size of the first.

    Attributes: see `artmirror.runtime.sources.base.Source`; the rate is None and no picture has a media time.
    """

    def __init__(self, name: str, paths: Sequence[Path], size: tuple[int, int] | None, mirror: bool) -> None:
        """Open at least one path; `size` is (H, W), None means that of the first picture.

        Raises:
            ArtmirrorError: the first picture cannot be read, or is smaller than 64 pixels and no size is given.
        """
        self.name = name
        self._paths = list(paths)
        self._first: Pixels | None = load_picture(self._paths[0])
        height, width = self._first.shape[:2]
        self.size = size or check_native_size(str(self._paths[0]), (height, width))
        self.rate: Fraction | None = None
        self.frame_count: int | None = len(self._paths)
        self.live = False
        self.sound: str | None = None
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
        picture = self._first if self._first is not None else load_picture(path)
        self._first = None
        place(picture, self._mirror, slot.frame)
        slot.captured_ns = time.monotonic_ns()
        slot.media_time_s = None
        slot.label = path.name
        return True

    def close(self) -> None:
        """End the pictures; nothing is held open between reads."""
        self._closed = True
