"""Video files as upright, progressive frames, one after the other; what is damaged is told and stepped over."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import cv2  # before PyAV: loaded after it, OpenCV's first window hangs in PyAV's copy of libxcb

# isort: split
import av
import numpy as np
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from artmirror.runtime.common.pixels import Pixels, Size
from artmirror.runtime.common.video import TURNS, open_video, scaled_bgr, turn_of, upright_size

_SHORT = 0.95  # of the declared frames; containers round, and edit lists hide a few


class Frame(NamedTuple):
    """One decoded picture."""

    picture: VideoFrame
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

    Interlaced frames are deinterlaced (yadif, one frame for two fields). Where the frame rate varies, the frames are
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
        container, stream = open_video(str(self._path))
        with container:
            stream.thread_type = "AUTO"
            tick_s = stream.time_base or 1 / Fraction(self.fps)
            first_pts: int | None = None
            count, holes, damaged = 0, 0, False
            for picture in self._progressive(container, stream):
                if picture is None or picture.is_corrupt:
                    holes += not damaged
                    damaged = True
                    continue
                if first_pts is None:
                    first_pts = picture.pts or 0
                time_s = count / self.fps if picture.pts is None else float((picture.pts - first_pts) * tick_s)
                yield Frame(picture, time_s, damaged)
                damaged = False
                count += 1
            if holes:
                self.remarks.append(f"damaged in {holes} place(s); the pictures there are left out")
            declared = stream.frames
            if count < declared * _SHORT:
                self.remarks.append(f"ends at frame {count} of {declared} (cut off or damaged)")

    def _progressive(
        self, container: "av.container.InputContainer", stream: VideoStream
    ) -> Iterator[VideoFrame | None]:
        """Yield pictures without interlacing, and None where data were damaged."""
        graph: Graph | None = None
        for picture in _decoded(container, stream):
            if picture is not None and graph is None and picture.interlaced_frame:
                graph = _deinterlacer(picture, stream)
            if picture is None or graph is None:
                yield picture
                continue
            try:
                graph.vpush(picture)
            except av.FFmpegError:  # another size or format from here on
                yield None
                graph = _deinterlacer(picture, stream)
                graph.vpush(picture)
            yield from _pulled(graph)
        if graph is not None:
            graph.vpush(None)
            yield from _pulled(graph)


def fitted(picture: VideoFrame, long_side: int) -> Pixels:
    """Scale the whole picture so that its longer side has `long_side` pixels: (h, w, 3) uint8 BGR, upright."""
    height, width = upright_size(picture)
    scale = long_side / max(width, height)
    return _upright(picture, Size(max(16, round(height * scale)), max(16, round(width * scale))))


def filled(picture: VideoFrame, size: Size, margins: Margins = NO_MARGINS) -> Pixels:
    """Scale and crop around the middle, so that `size` is filled: (size.height, size.width, 3) uint8 BGR, upright.

    Args:
        margins: Bars to leave out before.
    """
    height, width = upright_size(picture)
    scale = fill_scale(Size(height, width), size, margins)
    whole = Size(max(size.height, round(height * scale)), max(size.width, round(width * scale)))
    left = (whole.width * (1 + margins.left - margins.right) - size.width) / 2
    top = (whole.height * (1 + margins.top - margins.bottom) - size.height) / 2
    x = min(max(0, round(left)), whole.width - size.width)
    y = min(max(0, round(top)), whole.height - size.height)
    return np.ascontiguousarray(_upright(picture, whole)[y : y + size.height, x : x + size.width])


def fill_scale(source: Size, target: Size, margins: Margins = NO_MARGINS) -> float:
    """How much larger a thing is in the target than in the source."""
    inner_width = source.width * (1 - margins.left - margins.right)
    inner_height = source.height * (1 - margins.top - margins.bottom)
    return max(target.width / inner_width, target.height / inner_height)


def _upright(picture: VideoFrame, size: Size) -> Pixels:
    turn = turn_of(picture)
    lying = turn in (90, 270)
    scaled = scaled_bgr(picture, size[::-1] if lying else size, "BICUBIC").to_ndarray()
    return np.asarray(cv2.rotate(scaled, TURNS[turn]) if turn else scaled, np.uint8)


def _decoded(container: "av.container.InputContainer", stream: VideoStream) -> Iterator[VideoFrame | None]:
    packets: Iterator[av.Packet[Any]] = container.demux(stream)
    packet: av.Packet[Any] | None
    while True:
        try:
            packet = next(packets, None)
        except (av.FFmpegError, OSError):  # what follows cannot be found: the pictures on their way are the last
            yield None
            packet = av.Packet()
        if packet is None:
            return
        try:
            yield from stream.decode(packet if packet.size else None)
        except av.EOFError:
            return
        except av.FFmpegError:  # one bad packet: later ones may be whole
            yield None
        if not packet.size:
            return


def _deinterlacer(picture: VideoFrame, stream: VideoStream) -> Graph:
    graph = Graph()
    source = graph.add_buffer(
        width=picture.width, height=picture.height, format=picture.format, time_base=stream.time_base
    )
    graph.link_nodes(source, graph.add("yadif", "mode=send_frame:deint=interlaced"), graph.add("buffersink"))
    graph.configure()
    return graph


def _pulled(graph: Graph) -> Iterator[VideoFrame]:
    while True:
        try:
            yield graph.vpull()
        except (av.BlockingIOError, av.EOFError):
            return
