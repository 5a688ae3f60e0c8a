"""Video files and streams: the one place where they are opened, and how their pictures are to be shown."""

import os
import re
import select
import stat
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import cv2  # before PyAV: loaded after it, OpenCV's first window hangs in PyAV's copy of libxcb

# isort: split
import av
import numpy as np
from av.container import InputContainer
from av.filter import Graph
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace
from av.video.stream import VideoStream
from numpy.typing import NDArray

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pixels import Pixels, Size, over_white

NETWORK_TIMEOUT_S = 10.0
PIPES = ("-", "pipe:", "/dev/stdin")  # names of what is piped in
_TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}
_UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED
_HD_HEIGHT = 720
_HDR_TRANSFERS = (16, 18)  # AVCOL_TRC_SMPTE2084 (PQ), AVCOL_TRC_ARIB_STD_B67 (HLG)
_WIDE_PRIMARIES = (9, 11, 12)  # AVCOL_PRI_BT2020, AVCOL_PRI_SMPTE431 and 432 (P3)
_SQUARE = 0.005  # pixels whose shape is so near to square are square: rounding of whoever wrote the file
_OBLONG = 8  # pixels longer than that are a mistake in the file
_POLL_S = 0.2
_ALPHA: dict[str, bool] = {}  # by format
_S = TypeVar("_S", bound=Stream)

# Formats that open further files by themselves: a name within a file is no wish of the user.
_PLAYLISTS = {"hls", "concat", "dash", "image2", "image2pipe", "imf", "sdp", "rtsp", "rtp", "sap", "alias_pix", "tty"}
# Drawings, and formats that make pictures or sound out of anything, or of a device.
_NO_FILES = {
    "svg_pipe",
    "lavfi",
    "alsa",
    "oss",
    "fbdev",
    "kmsgrab",
    "x11grab",
    "video4linux2,v4l2",
    "data",
    "bin",
    "xbin",
}
# What an address may lead to; a page that names a local file is not followed.
_PROTOCOLS = {
    "http": "http,https,tcp,tls,crypto,httpproxy,data",
    "https": "http,https,tcp,tls,crypto,httpproxy,data",
    "rtsp": "rtsp,rtp,rtcp,udp,tcp,tls,srtp",
    "rtsps": "rtsps,rtsp,rtp,rtcp,udp,tcp,tls,srtp",
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,rtmp,tls,tcp",
    "rtp": "rtp,rtcp,udp",
}


def open_video(name: str, *, stream: bool = False) -> tuple[InputContainer, VideoStream]:
    """Open the path or, as a `stream`, the URL `name`: the container, and the stream of its pictures.

    A path may be that of a pipe, or one of `PIPES`. A file opens no other file, a stream opens no file.

    Raises:
        ArtmirrorError: it cannot be opened or holds no film.
    """
    if stream:
        protocol = name.split(":", 1)[0].lower()
        options = {"rtsp_flags": "prefer_tcp", "protocol_whitelist": _PROTOCOLS.get(protocol, f"{protocol},udp,tcp")}
        where = name
    else:
        where = _plain_address(name)
        allowed = sorted(av.formats_available - _PLAYLISTS - _NO_FILES)
        options = {"protocol_whitelist": "file,pipe,fd", "format_whitelist": ",".join(allowed)}
    try:
        container = av.open(
            where,
            metadata_errors="replace",  # titles in old encodings are no reason to refuse a video
            timeout=NETWORK_TIMEOUT_S if stream else None,
            options=options,
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        raise ArtmirrorError(_cannot_open(name, stream, error)) from error
    pictures = [found for found in container.streams.video if not found.disposition & _STILL]
    if not pictures:
        still = bool(container.streams.video)
        container.close()
        raise ArtmirrorError(
            f"{name} has no film in it, sound only{' with a cover' if still else ''}: a video file is wanted"
        )
    known = [found for found in pictures if found.codec_context is not None]
    if not known:
        container.close()
        raise ArtmirrorError(f"{name} holds pictures of a kind that cannot be decoded here; save it as H.264 in MP4")
    return container, preferred(known)


_STILL = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image


def preferred(streams: list[_S]) -> _S:
    """The stream that the file's author marked as the default one, else the first."""
    return next((found for found in streams if found.disposition & Disposition.default), streams[0])


def reason_of(error: Exception) -> str:
    """What libav says went wrong."""
    if isinstance(error, av.error.ExitError):  # what it says when the timeout strikes
        return f"no data within {NETWORK_TIMEOUT_S:.0f} s"
    return getattr(error, "strerror", None) or str(error)


class Orientation(NamedTuple):
    """How a picture is to be turned and mirrored before it is shown: first turned, then mirrored."""

    turn: int  # 0, 90, 180 or 270 degrees counterclockwise
    mirror: bool  # left and right

    @property
    def lying(self) -> bool:
        """Whether width and height change places."""
        return self.turn in (90, 270)


UPRIGHT = Orientation(0, False)


def orientation_of(picture: VideoFrame) -> Orientation:
    """What phones and editors note in the file: one of the eight ways to hold a picture."""
    notes: Any = picture.side_data  # by kind; the library's own types do not know it
    note = notes.get(SideDataType.DISPLAYMATRIX)
    if note is None:
        return UPRIGHT
    # 16.16 fixed point; (x, y) is shown at (a x + c y, b x + d y), y downwards (libavutil/display.h).
    a, b, _, c, d, *_ = np.frombuffer(bytes(note)[:36], np.int32).tolist()
    if a * d - b * c < 0:
        a, c = -a, -c  # what is left after the mirror, which comes last
        mirror = True
    else:
        mirror = False
    # The column that x goes to: (a, b) = (cos, sin) of a turn that is clockwise as y points down.
    clockwise = round(np.degrees(np.arctan2(b, a)) / 90) % 4 * 90
    return Orientation(-clockwise % 360, mirror)


def oriented(pixels: Pixels, orientation: Orientation) -> Pixels:
    """The picture turned and mirrored."""
    if orientation.turn:
        pixels = np.asarray(cv2.rotate(pixels, _TURNS[orientation.turn]), np.uint8)
    if orientation.mirror:
        pixels = np.asarray(cv2.flip(pixels, 1), np.uint8)
    return pixels


def square_size(picture: VideoFrame, stream: VideoStream) -> Size:
    """The size that the picture has with square pixels, not yet turned: its width is stretched or squeezed."""
    ratio = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or Fraction(1)
    if ratio <= 0 or not 1 / _OBLONG <= ratio <= _OBLONG or abs(ratio - 1) <= _SQUARE:
        return Size(picture.height, picture.width)
    return Size(picture.height, max(2, 2 * round(picture.width * ratio / 2)))


def shown_size(picture: VideoFrame, stream: VideoStream) -> Size:
    """The size as shown: with square pixels, turned upright."""
    size = square_size(picture, stream)
    return Size(size.width, size.height) if orientation_of(picture).lying else size


def scaled_bgr(picture: VideoFrame, size: tuple[int, int], interpolation: str = "BILINEAR") -> NDArray[np.uint8]:
    """The picture as (H, W, 3) uint8 BGR of `size`, not yet turned; transparent parts show white.

    The array may borrow the frame's memory: copy it before the next one is asked for.
    """
    # Untagged video of HD size is BT.709 by convention; libswscale would take it for BT.601.
    untagged_hd = picture.colorspace == _UNSPECIFIED and picture.height >= _HD_HEIGHT
    clear = _has_alpha(picture)
    scaled = picture.reformat(
        width=size[1],
        height=size[0],
        format="bgra" if clear else "bgr24",
        src_colorspace=Colorspace.ITU709 if untagged_hd else None,
        interpolation=interpolation,
        threads=1,  # the engine wants all cores, and the bytes must not depend on their number
    )
    channels = 4 if clear else 3
    plane = scaled.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8, plane.line_size * size[0]).reshape(size[0], plane.line_size)
    pixels = rows[:, : size[1] * channels].reshape(size[0], size[1], channels)
    return over_white(pixels) if clear else pixels


def _has_alpha(picture: VideoFrame) -> bool:
    kind = picture.format
    found = _ALPHA.get(kind.name)
    if found is None:  # asked once for each kind: it takes long for every picture
        found = _ALPHA[kind.name] = any(component.is_alpha for component in kind.components)
    return found


class PictureFilter:
    """Makes pictures what a screen shows: whole ones of two fields, and colours of an ordinary screen.

    Interlaced pictures go through yadif, one picture for two fields. PQ and HLG (Rec. ITU-R BT.2100) become BT.709 by
    libswscale: white of 203 cd/m2 (Report ITU-R BT.2408) becomes white, and what is brighter stays white. Other
    pictures pass as they are, at no cost.

    Args:
        time_base: Of pictures that have none of their own.
    """

    def __init__(self, time_base: Fraction | None) -> None:
        self._time_base = time_base
        self._graph: Graph | None = None
        self._kind: tuple[object, ...] = ()
        self._interlaced = False

    def push(self, picture: VideoFrame) -> Iterator[VideoFrame]:
        """Give a picture; out come those that are ready.

        Raises:
            av.FFmpegError: a filter cannot take it.
        """
        self._interlaced |= picture.interlaced_frame
        wide = picture.color_trc in _HDR_TRANSFERS or picture.color_primaries in _WIDE_PRIMARIES
        if not self._interlaced and not wide:
            yield picture
            return
        kind = (picture.width, picture.height, picture.format.name, self._interlaced, wide)
        if self._graph is None or kind != self._kind:
            yield from self.flush()
            self._graph, self._kind = self._built(picture, wide), kind
        self._graph.vpush(picture)
        yield from self._ready()

    def flush(self) -> Iterator[VideoFrame]:
        """The pictures that a filter still holds."""
        if self._graph is not None:
            self._graph.vpush(None)
            yield from self._ready()
            self._graph = None

    def _built(self, picture: VideoFrame, wide: bool) -> Graph:
        graph = Graph()
        last = graph.add_buffer(
            width=picture.width,
            height=picture.height,
            format=picture.format,
            time_base=picture.time_base or self._time_base,
        )
        filters = [("yadif", "mode=send_frame:deint=interlaced")] if self._interlaced else []
        if wide:
            screen = "out_primaries=bt709:out_transfer=bt709:out_color_matrix=bt709:out_range=full"
            filters += [("scale", f"{screen}:intent=relative_colorimetric"), ("format", "bgr24")]
        for name, values in [*filters, ("buffersink", "")]:
            added = graph.add(name, values)
            last.link_to(added)
            last = added
        graph.configure()
        return graph

    def _ready(self) -> Iterator[VideoFrame]:
        assert self._graph is not None
        while True:
            try:
                picture = self._graph.vpull()
            except (av.BlockingIOError, av.EOFError):
                return
            yield picture


def _plain_address(name: str) -> str:
    if name not in PIPES and not re.fullmatch(r"/dev/fd/\d+|/proc/self/fd/\d+", name):
        try:
            if not Path(name).is_fifo():
                return f"file:{name}"  # a colon in a file's name must not read as a protocol
            # Opened here and waited for here: libav's own opening could not be interrupted.
            pipe = os.open(name, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        except OSError as error:
            raise ArtmirrorError(f"cannot read {name}: {error.strerror}; check its name and permissions") from error
    else:
        pipe = 0 if name in PIPES else int(name.rsplit("/", 1)[1])
        if pipe == 0 and sys.stdin is not None and sys.stdin.isatty():
            raise ArtmirrorError(f"nothing is piped into {name}: cat film.mkv | st-run --input - is wanted")
        if stat.S_ISREG(os.fstat(pipe).st_mode):  # st-run < film.mp4
            return f"fd:{pipe}" if sys.platform == "win32" else f"file:/dev/fd/{pipe}"
    while not select.select([pipe], [], [], _POLL_S)[0]:
        pass
    os.set_blocking(pipe, True)
    return f"pipe:{pipe}"


def _cannot_open(name: str, stream: bool, error: Exception) -> str:
    reason = reason_of(error)
    if stream:
        return f"cannot open the stream {name} ({reason}): check the address, the network and that its server runs"
    if isinstance(error, PermissionError):
        return f"cannot read {name} ({reason}): check its permissions"
    if name in PIPES or not Path(name).is_file():
        return (
            f"what is piped into {name} is not a video that can be read ({reason}): a pipe cannot be wound back, so "
            "MP4 needs its index in front (faststart); name the file itself, or pipe Matroska or MPEG-TS"
        )
    with Path(name).open("rb") as file:
        head = file.read(1024)
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"#extm3u", b"ffconcat", b"<?xml", b"[playlist]")) and b"<svg" not in start:
        return f"{name} is a playlist, which opens other files: give the address of the stream, or the film itself"
    if b"<svg" in start:
        return f"{name} is a drawing (SVG), not a film: save it as PNG first"
    if not head:
        return f"{name} is empty: a playable video is wanted"
    return (
        f"{name} is not a video that can be read ({reason}; cut off, damaged or no video): a playable video is wanted"
    )
