"""One string, one source: a camera's number, a path, a URL or `synthetic:`."""

import logging
import os
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pixels import SMALLEST_SIDE, Size
from artmirror.runtime.common.suffixes import PICTURE_SUFFIXES
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.sources.base import Source

_log = logging.getLogger("artmirror.runtime")

_STREAM_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "udp", "rtp", "tcp", "srt")
_SYNTHETIC = re.compile(r"synthetic:(?:(\d+)x(\d+))?(?:@(\d+/[1-9]\d*|\d+(?:\.\d+)?))?")
_WANTED = "a camera's number, a video, a picture, a folder of pictures, a stream's URL or synthetic:"


def open_source(
    uri: str,
    *,
    size: tuple[int, int] | None,
    mirror: bool = False,
    live: bool = False,
    max_frames: int | None = None,
    most_pixels: int | None = None,
) -> Source:
    """Open what `uri` names.

    Args:
        uri: `camera:0`, or `0` where no file is called so, `-` (a film that is piped in), `rtsp://...` (a stream), a
            path of a video, a picture or a folder of pictures, a glob pattern of pictures, `synthetic:` or
            `synthetic:WIDTHxHEIGHT@RATE` (a moving test picture).
        size: (H, W) to scale and crop to, or None for the source's own.
        mirror: Flip left and right.
        live: Pace a video file at its own rate, like a camera. Pictures have no rate and ignore it.
        max_frames: End after so many frames.
        most_pixels: Larger pictures are refused before they are decoded; None for the house's limit.

    Raises:
        ArtmirrorError: there is no such source, or it cannot be opened.
    """
    if size is not None and min(size) < SMALLEST_SIDE:
        raise ArtmirrorError(
            f"--size {size[1]}x{size[0]} is too small: at least {SMALLEST_SIDE}x{SMALLEST_SIDE} is wanted"
        )
    if max_frames is not None and max_frames < 1:
        raise ArtmirrorError(f"{max_frames} frames are asked for, at least 1 is wanted")
    source = _open(uri, size, mirror, live, most_pixels)
    return source if max_frames is None else ShortenedSource(source, max_frames)


def is_camera(uri: str) -> bool:
    """Whether a name is a camera's: `camera:0`, or a number where no file is called so, such as a folder 2024."""
    named = re.fullmatch(r"(camera:)?\d{1,4}", uri)
    return named is not None and (named[1] is not None or not Path(uri).exists())


def _open(uri: str, size: tuple[int, int] | None, mirror: bool, live: bool, most_pixels: int | None) -> Source:
    # The modules come in on use: each brings a library that takes its time to load.
    if is_camera(uri):
        from artmirror.runtime.sources.camera import CameraSource

        return CameraSource(int(uri.removeprefix("camera:")), size, mirror)
    if uri.startswith("synthetic:"):
        return _open_synthetic(uri, size, mirror)
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):", uri)
    if scheme and scheme[1].lower() in _STREAM_SCHEMES:
        from artmirror.runtime.sources.video import VideoSource

        return VideoSource(uri, size, mirror, stream=True)
    return _open_path(uri, size, mirror, live, most_pixels)


def _open_synthetic(uri: str, size: tuple[int, int] | None, mirror: bool) -> Source:
    from artmirror.runtime.sources.synthetic import SyntheticSource

    parts = _SYNTHETIC.fullmatch(uri)
    if parts is None:
        raise ArtmirrorError(f"{uri} is not understood: synthetic: or synthetic:640x360@60 is wanted")
    width, height, rate = parts.groups()
    own = (int(height), int(width)) if width else (360, 640)
    paced = Fraction(rate) if rate else None
    if min(own) < SMALLEST_SIDE or paced == 0:
        raise ArtmirrorError(
            f"{uri} is too small: at least {SMALLEST_SIDE}x{SMALLEST_SIDE} and a rate above 0 are wanted"
        )
    return SyntheticSource(uri, size or own, paced, mirror)


def _open_path(uri: str, size: tuple[int, int] | None, mirror: bool, live: bool, most_pixels: int | None) -> Source:
    from artmirror.runtime.common.video import PIPES

    if uri in PIPES:
        from artmirror.runtime.sources.video import VideoSource

        return VideoSource(uri, size, mirror, live=live)
    paths = _several_pictures(uri)
    if paths is not None:
        from artmirror.runtime.sources.pictures import PictureSource

        return PictureSource(uri, paths, size, mirror, most_pixels)
    path = Path(uri).expanduser()
    if not uri or not path.exists():
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", uri):
            raise ArtmirrorError(f"{uri} names no known kind of source: {_WANTED} is wanted")
        raise ArtmirrorError(f"{uri or 'an empty name'} does not exist: {_WANTED} is wanted")
    if not os.access(path, os.R_OK):
        raise ArtmirrorError(f"cannot read {uri}: check its permissions")
    if path.suffix.lower() in PICTURE_SUFFIXES:
        from artmirror.runtime.common.pictures import picture_count
        from artmirror.runtime.sources.pictures import PictureSource

        pictures = picture_count(path)
        if pictures > 1:
            from artmirror.runtime.sources.animation import AnimationSource

            return AnimationSource(path, pictures, size, mirror)
        return PictureSource(uri, [path], size, mirror, most_pixels)
    from artmirror.runtime.sources.video import VideoSource

    return VideoSource(str(path), size, mirror, live=live)


def _several_pictures(uri: str) -> list[Path] | None:
    """The files of a folder, a pattern or a numbered sequence; None where `uri` is none of these.

    Raises:
        ArtmirrorError: there is no picture among them.
    """
    path = Path(uri).expanduser()
    is_folder = bool(uri) and path.is_dir()
    if not is_folder and (path.exists() or not re.search(r"[*?\[%]", uri)):
        return None
    from artmirror.runtime.common.pictures import natural_order, numbered_paths, picture_paths

    if is_folder:
        return picture_paths(path)
    if numbered := numbered_paths(path):
        return numbered
    if not re.search(r"[*?\[]", uri):
        return None
    found = [
        match for match in path.parent.glob(path.name) if match.suffix.lower() in PICTURE_SUFFIXES and match.is_file()
    ]
    if not found:
        raise ArtmirrorError(f"no picture matches {uri}: check the pattern")
    return natural_order(found)


def open_sources(
    uri: str,
    *,
    size: tuple[int, int] | None,
    mirror: bool = False,
    live: bool = False,
    max_frames: int | None = None,
    most_pixels: int | None = None,
) -> Iterator[Source]:
    """Open what `uri` names, as `open_source`; pictures of several sizes as several sources, each of one size.

    Raises:
        ArtmirrorError: as `open_source`; at the end, where pictures could not be opened.
    """
    paths = None if size is not None or _is_no_path(uri) else _several_pictures(uri)
    parts: list[tuple[Size | None, list[Path]]] = []
    if paths is not None:
        from artmirror.runtime.sources.pictures import PictureSource, stretches

        parts = stretches(paths)
    if len(parts) <= 1:
        yield open_source(uri, size=size, mirror=mirror, live=live, max_frames=max_frames, most_pixels=most_pixels)
        return
    left, left_out = sum(len(part) for _, part in parts) if max_frames is None else max_frames, 0
    for part_size, part in parts:
        if left <= 0:
            break
        try:
            source: Source = PictureSource(uri, part, part_size, mirror, most_pixels)
        except ArtmirrorError as error:
            _log.warning("%s", error.message)
            left_out += len(part)
            continue
        yield source if len(part) <= left else ShortenedSource(source, left)
        left -= len(part)
    if left_out:
        raise ArtmirrorError(f"{left_out} of the pictures of {uri} could not be painted")


def _is_no_path(uri: str) -> bool:
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):", uri)
    known = (*_STREAM_SCHEMES, "synthetic", "camera", "pipe")
    return uri == "-" or bool(scheme and scheme[1].lower() in known)


class ShortenedSource:
    """Another source that ends after a number of frames."""

    def __init__(self, source: Source, max_frames: int) -> None:
        """Take over `source`; `close` closes it."""
        self._source = source
        self._left = max_frames
        self.name = source.name
        self.size = source.size
        self.rate = source.rate
        self.frame_count: int | None = min(max_frames, source.frame_count or max_frames)
        self.live = source.live
        self.tracks = source.tracks
        self.files = source.files

    def read(self, slot: FrameSlot) -> bool:
        """Read from the source; False once the number is reached.

        Raises:
            ArtmirrorError: as the source does.
        """
        if self._left == 0:
            return False
        self._left -= 1
        return self._source.read(slot)

    def close(self) -> None:
        """Close the source."""
        self._source.close()
