"""Picture files: which there are, reading them, writing them. The one place where a picture file is opened."""

import io
import logging
import os
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import write_whole
from artmirror.runtime.common.pixels import Pixels, Size, over_white
from artmirror.runtime.common.suffixes import PICTURE_SUFFIXES

JPEG_SUFFIXES = (".jpg", ".jpeg", ".jfif")
_JPEG_QUALITY = 95  # of 100
_log = logging.getLogger("artmirror.runtime")

MOST_PIXELS = 200_000_000  # larger pictures are refused: a few bytes of a file can ask for all memory
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_START_OF_SCAN, _FILL = 0xDA, 0xFF
_ORIENTATION = 0x0112  # EXIF's tag
_ONE_NUMBER = 3  # parts that a pattern with one number has
_FIRST_LYING = 5  # of its values
_PLAIN_FORMATS = {"JPEG", "MPO", "PNG", "BMP", "DIB", "TIFF", "WEBP"}  # read by OpenCV as by Pillow
_ANIMATED = {"GIF", "WEBP", "PNG", "AVIF"}
_TURNED_BY_READER = {"HEIF", "AVIF", "TIFF"}
_SAME_LEVELS = 2  # of 255: profiles of one colour space differ by so much
_SHORTEST_S, _UNSAID_S = Fraction(2, 100), Fraction(1, 10)  # delays that browsers believe, and what they take instead
# What Pillow raises for files that are damaged.
_NO_PICTURE = (
    *(UnidentifiedImageError, OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError),
    *(struct.error, OverflowError, AttributeError, MemoryError, RuntimeError, ZeroDivisionError, AssertionError),
    NotImplementedError,
)

Image.MAX_IMAGE_PIXELS = None  # the limit is ours, and told in our words


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
    pictures = [path for path in inside if path.suffix.lower() in PICTURE_SUFFIXES]
    taken = set(pictures)
    others = [path.name for path in inside if path not in taken]
    if pictures and others and not below:
        _log.warning("%s: %d files are no pictures and are left out (%s)", folder, len(others), ", ".join(others[:5]))
    if not pictures:
        found = f"{len(inside)} other files" if inside else "nothing"
        raise ArtmirrorError(
            f"{folder} holds {found}, a folder of pictures ({' '.join(PICTURE_SUFFIXES)}) is wanted: "
            "give pictures, or name one video file by itself"
        )
    return natural_order(pictures)


def numbered_paths(pattern: Path) -> list[Path]:
    """The files of a pattern such as `frames/%06d.png`, in the order of their numbers; none where it is no pattern."""
    parts = re.split(r"%(0\d+)?d", pattern.name)
    if len(parts) != _ONE_NUMBER or not pattern.parent.is_dir():
        return []
    before, digits, after = parts
    width = rf"\d{{{int(digits)},}}" if digits else r"\d+"
    wanted = re.compile(f"{re.escape(before)}({width}){re.escape(after)}")
    found = [(int(match[1]), path) for path in pattern.parent.iterdir() if (match := wanted.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def natural_order(paths: Sequence[Path]) -> list[Path]:
    """Return `paths` sorted by name, numbers by their value."""
    return sorted(
        paths,
        key=lambda path: [
            (0, int(part), "") if part.isdecimal() else (1, 0, part) for part in _parts(path.name.lower())
        ],
    )


def _parts(name: str) -> list[str]:
    return [part for part in re.split(r"(\d+)", name) if part]


def read_picture(path: Path, most_pixels: int = MOST_PIXELS) -> Pixels:
    """Return the picture at `path` as (H, W, 3) uint8 BGR in sRGB, turned upright.

    Grey and CMYK become BGR, 16 bits per channel become 8, and transparent parts show white, as picture viewers do.
    Colours are converted from the file's ICC profile. Of an animation the first picture is taken.

    Args:
        most_pixels: Larger pictures are refused before they are decoded.

    Raises:
        ArtmirrorError: the file cannot be read, is no picture, is cut off, or too large.
    """
    try:
        data = np.fromfile(path, np.uint8)  # not cv2.imread: it cannot open every Unicode path
    except OSError as error:
        raise ArtmirrorError(f"cannot read the picture {path}: {error.strerror}; name a picture file") from error
    return decode_picture(data, str(path), most_pixels)


def decode_picture(data: NDArray[np.uint8], name: str, most_pixels: int = MOST_PIXELS) -> Pixels:
    """Decode the bytes of a picture file, as `read_picture` does; `name` is for the error.

    Raises:
        ArtmirrorError: they are no picture, a part of one, or of a picture too large.
    """
    head = look_at(data, name, most_pixels)
    picture = _decoded_quickly(data) if head.is_plain else None
    if picture is None:
        picture = _decoded_with_colours(data, name)
    return np.ascontiguousarray(_UPRIGHT[head.orientation](picture))


@dataclass(frozen=True, slots=True)
class PictureHead:
    """What a picture file says before its pixels."""

    width: int
    height: int
    orientation: int  # EXIF's, 1 to 8
    is_plain: bool  # whether its numbers are sRGB's, or grey of the same curve
    pictures: int  # of an animation; 1 for others


# What EXIF's orientations want done (CIPA DC-008, section 4.6.4): pixels in, upright pixels out.
_UPRIGHT: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: pixels.transpose(1, 0, 2)[:, ::-1],
    7: lambda pixels: pixels.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda pixels: pixels.transpose(1, 0, 2)[::-1],
}


def look_at(data: NDArray[np.uint8], name: str, most_pixels: int = MOST_PIXELS) -> PictureHead:
    """Read the head of a picture file, without its pixels.

    Raises:
        ArtmirrorError: it is no picture, or has more than `most_pixels`.
    """
    try:
        with _opened(data) as image:
            width, height = image.size
            if width * height > most_pixels:
                raise ArtmirrorError(
                    f"{name} is {width}x{height}, {width * height / 1e6:.0f} megapixels; at most "
                    f"{most_pixels / 1e6:.0f} are taken: make it smaller"
                )
            profile = image.info.get("icc_profile") or b""
            # PNG's own getexif would decode all pixels to look behind them.
            exif = _png_exif(data) if image.format == "PNG" else image.getexif()
            orientation = exif.get(_ORIENTATION, 1)
            plain = (
                image.format in _PLAIN_FORMATS
                and (not profile or _changes_nothing(profile, image.mode))
                and _is_whole(data)
            )
            pictures = getattr(image, "n_frames", 1) if image.format in _ANIMATED else 1
            orientation = orientation if orientation in _UPRIGHT else 1
            if image.format == "TIFF" and orientation >= _FIRST_LYING:
                width, height = height, width
            if image.format in _TURNED_BY_READER:
                orientation = 1
            return PictureHead(width, height, orientation, plain, pictures)
    except _NO_PICTURE as error:
        raise _no_picture(data, name) from error


def _png_exif(data: NDArray[np.uint8]) -> Image.Exif:
    exif, raw, at = Image.Exif(), data.tobytes(), 8
    while at + 8 <= len(raw):
        length = int.from_bytes(raw[at : at + 4], "big")
        if raw[at + 4 : at + 8] == b"eXIf":
            exif.load(b"Exif\0\0" + raw[at + 8 : at + 8 + length])
            break
        at += length + 12
    return exif


def read_animation(path: Path) -> Iterator[tuple[Pixels, Fraction]]:
    """The pictures of an animated WebP, PNG, AVIF or GIF, and how long each is shown, in seconds.

    A delay under 0.02 s is shown as 0.1 s, as browsers do.

    Raises:
        ArtmirrorError: it cannot be read, or ends early.
    """
    try:
        data = np.fromfile(path, np.uint8)
        with _opened(data) as image:
            for number in range(getattr(image, "n_frames", 1)):
                image.seek(number)
                image.load()
                delay_s = Fraction(image.info.get("duration", 0) or 0).limit_denominator(1000) / 1000
                yield _to_bgr(image), delay_s if delay_s >= _SHORTEST_S else _UNSAID_S
    except OSError as error:
        raise ArtmirrorError(f"cannot read {path}: {error.strerror or error}") from error
    except _NO_PICTURE as error:
        raise ArtmirrorError(f"{path} is cut off or damaged: save it again") from error


def picture_size(path: Path) -> Size:
    """The size of a picture as it is shown, from its head.

    Raises:
        ArtmirrorError: it cannot be read, is no picture, or too large.
    """
    try:
        head = look_at(np.fromfile(path, np.uint8), str(path))
    except OSError as error:
        raise ArtmirrorError(f"cannot read the picture {path}: {error.strerror}") from error
    lying = head.orientation >= _FIRST_LYING
    return Size(head.width, head.height) if lying else Size(head.height, head.width)


def picture_count(path: Path) -> int:
    """How many pictures an animated file has; 1 for all others, and for what cannot be read."""
    try:
        return look_at(np.fromfile(path, np.uint8), str(path)).pictures
    except (ArtmirrorError, OSError):
        return 1  # whoever reads it says what is wrong


def _opened(data: NDArray[np.uint8]) -> Image.Image:
    if data[4:8].tobytes() == b"ftyp":  # a phone's; the library for it takes its time to load
        _register_heif()
    return Image.open(io.BytesIO(data.tobytes()))


@cache
def _register_heif() -> None:
    with suppress(ImportError):  # without it such files are told to be no pictures that can be read
        import pi_heif  # type: ignore[import-untyped]

        pi_heif.register_heif_opener()


def _decoded_quickly(data: NDArray[np.uint8]) -> Pixels | None:
    """By OpenCV, several times as fast; None for what it does not do right."""
    raw: Any
    try:
        raw = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    if raw is None:
        return None
    if raw.dtype == np.uint16:
        raw = np.right_shift(raw, 8, casting="unsafe").astype(np.uint8)
    if raw.dtype != np.uint8:
        return None
    if raw.ndim == 2:
        return cast(Pixels, cv2.cvtColor(raw, cv2.COLOR_GRAY2BGR))
    return over_white(raw) if raw.shape[2] == 4 else raw


def _decoded_with_colours(data: NDArray[np.uint8], name: str) -> Pixels:
    """By Pillow, with the file's colour profile.

    Raises:
        ArtmirrorError: it is no whole picture.
    """
    try:
        with _opened(data) as image:
            image.load()
            return _to_bgr(image)
    except _NO_PICTURE as error:
        raise _no_picture(data, name) from error


def _to_bgr(image: Image.Image) -> Pixels:
    profile = image.info.get("icc_profile") or b""
    if image.mode in ("P", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode in ("I;16", "I;16B", "I;16L", "I", "F"):
        values = np.asarray(image)
        deep = values.astype(np.float64) / (1 if image.mode == "F" and values.max(initial=0) <= 1 else 65535)
        image = Image.fromarray((deep.clip(0, 1) * 255 + 0.5).astype(np.uint8))
    alpha = image.getchannel("A") if image.mode in ("RGBA", "LA") else None
    if alpha is not None:
        image = image.convert("RGB" if image.mode == "RGBA" else "L")
    if profile:
        image = _in_srgb(image, profile)
    pixels = np.asarray(image.convert("RGB"), np.uint8)[..., ::-1]
    return pixels if alpha is None else over_white(np.dstack([pixels, np.asarray(alpha)]))


def _in_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(
            image,
            source,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image  # a profile that is damaged, or for another kind of picture, says nothing
    return converted or image


@lru_cache(64)
def _changes_nothing(profile: bytes, mode: str) -> bool:
    """Whether a profile says what is taken for granted anyway, as most that cameras and programs write."""
    if mode not in ("RGB", "RGBA", "P"):
        return False
    shades = np.array([0, 30, 90, 150, 210, 255], np.uint8)
    colours = np.stack(np.meshgrid(shades, shades, shades, indexing="ij"), -1).reshape(1, -1, 3)
    converted = np.asarray(_in_srgb(Image.fromarray(colours), profile), np.int16)
    return bool(np.abs(converted - colours).max() <= _SAME_LEVELS)


def _is_whole(data: NDArray[np.uint8]) -> bool:
    """Whether a JPEG has its end: OpenCV paints what is missing grey, without a word."""
    raw = data.tobytes()
    if not raw.startswith(_JPEG_START):
        return True
    at = 2
    while raw[at : at + 1] == b"\xff" and at + 4 <= len(raw):
        kind = raw[at + 1]
        if kind == _START_OF_SCAN:
            return raw.rfind(_JPEG_END) > at  # behind the one of a small copy in the head
        at += 1 if kind == _FILL else 2 + int.from_bytes(raw[at + 2 : at + 4], "big")
    return False


def _no_picture(data: NDArray[np.uint8], name: str) -> ArtmirrorError:
    head = data[:512].tobytes()
    if not head:
        told = "is empty: a picture is wanted"
    elif b"<svg" in head.lower():
        told = "is a drawing (SVG): save it as PNG first"
    elif head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"hevc", b"avif"):
        told = "is HEIC or AVIF that cannot be read here (damaged, or pi-heif is missing): save it as JPEG"
    elif (
        head[4:8] == b"ftyp"
        or (head[:4] == b"RIFF" and head[8:12] != b"WEBP")
        or head.startswith((b"ID3", b"OggS", b"fLaC", b"\x1aE\xdf\xa3"))
    ):
        told = "is a film or sound under a picture's name: give it its own name"
    else:
        told = (
            "is not a picture that can be read (cut off, damaged, or another format under this name): "
            "open it in a picture viewer and save it again as PNG or JPEG"
        )
    return ArtmirrorError(f"{name} {told}")


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
