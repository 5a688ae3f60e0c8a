"""Picture files: which there are, reading them, writing them. The one place where a picture file is opened."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import write_whole
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.common.suffixes import PICTURE_SUFFIXES

JPEG_SUFFIXES = (".jpg", ".jpeg")
_JPEG_QUALITY = 95  # of 100
_JPEG_START = b"\xff\xd8"


def is_picture(path: Path) -> bool:
    """Whether a file is there, not hidden, and named as pictures are.

    Hidden ones are none: macOS lays "._photo.jpg" beside "photo.jpg" on foreign disks.
    """
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".") and path.is_file()


def picture_paths(folder: Path, *, below: bool = False) -> list[Path]:
    """Return the pictures inside `folder`, sorted by name with numbers by value (2 before 10).

    Args:
        below: Search the folders in it too.

    Raises:
        ArtmirrorError: the folder holds no picture or cannot be read.
    """
    try:
        entries = folder.rglob("*") if below and folder.is_dir() else folder.iterdir()
        inside = [path for path in entries if path.is_file() and not path.name.startswith(".")]
    except OSError as error:
        raise ArtmirrorError(f"cannot read the folder {folder}: {error.strerror}") from error
    pictures = [path for path in inside if is_picture(path)]
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


def read_picture(path: Path) -> Pixels:
    """Return the picture at `path` as (H, W, 3) uint8 BGR, turned upright.

    Grey becomes BGR, 16 bits per channel become 8, and transparent parts show white, as picture viewers do.

    Raises:
        ArtmirrorError: the file cannot be read or is no picture.
    """
    try:
        data = np.fromfile(path, np.uint8)  # not cv2.imread: it cannot open every Unicode path
    except OSError as error:
        raise ArtmirrorError(f"cannot read the picture {path}: {error.strerror}; name a picture file") from error
    return decode_picture(data, str(path))


def decode_picture(data: NDArray[np.uint8], name: str) -> Pixels:
    """Decode the bytes of a picture file, as `read_picture` does; `name` is for the error.

    Raises:
        ArtmirrorError: they are no picture.
    """
    try:
        raw = _decoded(data) if data.size else None
    except cv2.error as error:  # as for a size beyond OpenCV's limit
        raise ArtmirrorError(f"cannot read the picture {name}: {error.err}") from error
    if raw is None:
        raise ArtmirrorError(
            f"{name} is not a picture that can be read (damaged, or another format under this name): "
            "open it in a picture viewer and save it again as PNG or JPEG"
        )
    if raw.dtype == np.uint16:
        raw = np.right_shift(raw, 8, casting="unsafe").astype(np.uint8)
    if raw.dtype != np.uint8:
        raise ArtmirrorError(f"{name} has {raw.dtype} pixels, 8 or 16 bits are wanted: save it again as PNG or JPEG")
    if raw.ndim == 2:
        return cast(Pixels, cv2.cvtColor(raw, cv2.COLOR_GRAY2BGR))
    if raw.shape[2] == 4:
        alpha = raw[:, :, 3:].astype(np.uint16)
        return ((raw[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return cast(Pixels, raw)


def _decoded(data: NDArray[np.uint8]) -> NDArray[Any] | None:
    # IMREAD_COLOR is the one mode that turns the picture by its EXIF orientation; it drops alpha and 16 bits, which a
    # JPEG never has.
    if data[:2].tobytes() == _JPEG_START:
        return cv2.imdecode(data, cv2.IMREAD_COLOR)
    raw = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if raw is not None and raw.dtype == np.uint8 and (raw.ndim == 2 or raw.shape[2] == 3):
        return cv2.imdecode(data, cv2.IMREAD_COLOR)
    return raw


def encode_picture(picture: Pixels, suffix: str, quality: int | None = None) -> memoryview:
    """Return `picture` (H, W, 3) uint8 BGR as the bytes of a file; `suffix` chooses the format.

    Args:
        quality: Of 100; None for 95 of JPEG and an exact WebP. Other formats are always exact.

    Raises:
        ArtmirrorError: OpenCV cannot write such a picture.
    """
    options: list[int] = []
    if suffix.lower() in JPEG_SUFFIXES:
        options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY if quality is None else quality]
    elif suffix.lower() == ".webp" and quality is not None:
        options = [cv2.IMWRITE_WEBP_QUALITY, quality]
    try:
        done, data = cv2.imencode(suffix, picture, options)
    except cv2.error as error:
        raise ArtmirrorError(f"a picture cannot be written as {suffix} ({error.err}): choose .png") from error
    if not done:
        raise ArtmirrorError(f"a picture cannot be written as {suffix}, which this OpenCV does not know: choose .png")
    return data.data


def save_picture(picture: Pixels, path: Path, quality: int | None = None) -> None:
    """Write `picture` (H, W, 3) uint8 BGR to `path`, whole or not at all; see `encode_picture`.

    Raises:
        ArtmirrorError: the picture cannot be encoded or written.
    """
    try:
        write_whole(path, encode_picture(picture, path.suffix, quality))
    except OSError as error:
        raise ArtmirrorError(
            f"cannot write {path}: {error.strerror}; free some space or choose another place"
        ) from error


def check_writable(folder: Path) -> None:
    """Try to make a file in `folder`, so that a failure shows before the first frame.

    Raises:
        ArtmirrorError: the folder does not exist or takes no file.
    """
    if not folder.is_dir():
        raise ArtmirrorError(f"the folder {folder} does not exist: make it first, or choose another")
    probe = folder / f".artmirror.{os.getpid()}.part"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ArtmirrorError(f"cannot write into {folder}: {error.strerror}; choose another folder") from error
