"""A film, decoded picture by picture, each as a screen shows it and with its time on one clock."""

import logging
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import cv2  # noqa: F401 - before PyAV: loaded after it, OpenCV's first window hangs in PyAV's copy of libxcb

# isort: split
import av
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.film_clock import FilmClock, PictureOrder
from artmirror.runtime.common.video import PictureFilter, open_video, reason_of

_log = logging.getLogger("artmirror.runtime")

_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # libav's own decoders leave transparency out
# What an encoder says of itself is of no use to the next one.
_OF_THE_FILE = {"encoder", "major_brand", "minor_version", "compatible_brands", "duration", "software"}


class Film:
    """An opened video file or stream, read once from its beginning.

    Attributes:
        container: As PyAV opened it.
        video: The stream of the pictures.
        clock: Of all tracks; it has mended what was read so far.

    Args:
        name: Path, name of a pipe, or URL.
        stream: Whether it is a URL; if it breaks, that is an error, while a file that breaks off just ends.
        threads: Of the decoder; 0 for as many as there are cores.
        observe: Called with each packet of another track, on the film's clock.

    Raises:
        ArtmirrorError: it cannot be opened or holds no film.
    """

    def __init__(
        self,
        name: str,
        *,
        stream: bool = False,
        threads: int = 1,
        observe: Callable[["av.Packet[Any]"], None] = lambda packet: None,
    ) -> None:
        self.container, self.video = open_video(name, stream=stream)
        self.clock = FilmClock(self.container.format.name)
        self._name, self._breaks, self._observe = name, stream, observe
        self._filter = PictureFilter(self.video.time_base)
        # AVI counts pictures in the order of the file, whatever order they are shown in.
        self._order = PictureOrder() if self.container.format.name == "avi" else None
        self._decoder: VideoCodecContext = self.video.codec_context
        codec = _WITH_ALPHA.get(self.video.codec_context.name or "")
        if codec in av.codecs_available and self.video.metadata.get("alpha_mode") == "1":
            self._decoder = VideoCodecContext.create(codec, "r")  # type: ignore[assignment]
        self._decoder.thread_count = threads
        if not threads:
            self._decoder.thread_type = "AUTO"

    def time_s(self, picture: VideoFrame) -> Fraction | None:
        """When a picture is shown, on the film's clock; None where nothing says it."""
        tick_s = picture.time_base or self.video.time_base
        return None if picture.pts is None or tick_s is None else picture.pts * tick_s

    def duration_s(self, picture: VideoFrame) -> Fraction | None:
        """How long a picture is shown, where the file says so."""
        tick_s = picture.time_base or self.video.time_base
        return picture.duration * tick_s if picture.duration and tick_s else None

    def pictures(self) -> Iterator[VideoFrame | None]:
        """Decode; None where data were damaged.

        Raises:
            ArtmirrorError: a stream broke.
        """
        for packet in self._packets():
            if packet is None:  # what follows cannot be found: the pictures on their way are the last
                yield None
                yield from self._decoded(None)
            elif packet.stream.index == self.video.index:  # at the end each stream has an empty packet
                yield from self._decoded(packet if packet.size else None)
        yield from self._filter.flush()

    def _packets(self) -> Iterator["av.Packet[Any] | None"]:
        packets = self.container.demux()
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError) as error:
                if self._breaks:
                    raise ArtmirrorError(
                        f"the stream {self._name} broke ({reason_of(error)}): check the network and its server"
                    ) from error
                _log.debug("%s: %s", self._name, error)
                yield None
                return
            if packet is None:
                return
            if packet.size:
                self.clock.mend(packet)
                if packet.stream_index == self.video.index:
                    if self._order is not None:
                        self._order.packet(packet)
                elif packet.pts is not None or packet.dts is not None:
                    self._observe(packet)
            yield packet

    def _decoded(self, packet: "av.Packet[Any] | None") -> Iterator[VideoFrame | None]:
        try:
            pictures = self._decoder.decode(packet)
        except av.EOFError:
            return
        except av.FFmpegError as error:
            _log.debug("%s: %s", self._name, error)  # one bad packet: later ones may be whole
            yield None
            return
        for picture in pictures:
            if self._order is not None:
                picture.pts = self._order.stamp()
            try:
                yield from self._filter.push(picture)
            except av.FFmpegError as error:
                _log.debug("%s: %s", self._name, error)
                yield None


def kept_metadata(metadata: dict[str, str]) -> dict[str, str]:
    """What is said of the film: title, creation time, language; not what is said of the file."""
    return {key: value for key, value in metadata.items() if key.lower() not in _OF_THE_FILE}
