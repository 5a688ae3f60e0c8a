"""A live stream to elsewhere: RTSP and WHIP to a server, MPEG-TS to an address, HLS into a folder."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2  # noqa: F401 - before PyAV: loaded after it, OpenCV's first window hangs in PyAV's copy of libxcb

# isort: split
import av
from av.video.frame import VideoFrame

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.sinks.base import SinkFormat
from artmirror.runtime.sinks.film_writer import reason_of

_TICKS = 90_000  # per second
_KEY_FRAME_S = 2  # whoever joins waits no longer
_TIMEOUT_US = "5000000"
# (container, options) by the beginning of the address
_KINDS: dict[str, tuple[str, dict[str, str]]] = {
    "rtsp": ("rtsp", {"rtsp_transport": "tcp", "timeout": _TIMEOUT_US}),
    "rtsps": ("rtsp", {"rtsp_transport": "tcp", "timeout": _TIMEOUT_US}),
    "udp": ("mpegts", {"pkt_size": "1316"}),
    "srt": ("mpegts", {"pkt_size": "1316"}),
    "tcp": ("mpegts", {}),
    "rtmp": ("flv", {}),
    "rtmps": ("flv", {}),
    "whip+http": ("whip", {}),
    "whip+https": ("whip", {}),
}
_HLS_OPTIONS = {"hls_time": "2", "hls_list_size": "6", "hls_flags": "delete_segments+temp_file+omit_endlist"}


class StreamSink:
    """Encodes what comes for players that watch now: H.264 without delay, a key picture every two seconds.

    There is no sound: a mirror has none. Frames are stamped with their time of capture.
    """

    def __init__(self, uri: str, format: SinkFormat) -> None:
        """Open it; a server that is not there is an error.

        Args:
            uri: `rtsp://...`, `udp://...`, `srt://...`, `rtmp://...`, `whip+https://...`, or a path ending in .m3u8.

        Raises:
            ArtmirrorError: it cannot be opened.
        """
        self._uri = uri
        scheme = uri.partition("://")[0]
        kind, options = _KINDS.get(scheme, ("hls", _HLS_OPTIONS))
        if kind == "hls" and not Path(uri).parent.is_dir():
            raise ArtmirrorError(f"{Path(uri).parent} is no folder: make it, so that the stream can be written there")
        rate = format.rate or Fraction(30)
        height, width = format.size
        try:
            self._container = av.open(uri.removeprefix("whip+"), "w", format=kind, options=options)
            stream: Any = self._container.add_stream("libx264", rate=rate)
            stream.width, stream.height = width // 2 * 2, height // 2 * 2
            stream.pix_fmt = "yuv420p"
            stream.time_base = Fraction(1, _TICKS)
            stream.codec_context.time_base = Fraction(1, _TICKS)
            stream.codec_context.thread_count = 2  # the engine wants the other cores
            stream.codec_context.max_b_frames = 0
            gop = round(float(rate) * _KEY_FRAME_S)
            stream.options = {
                "preset": "superfast",
                "tune": "zerolatency",
                "crf": "21",
                "g": str(gop),
                "profile": "baseline" if kind == "whip" else "main",
            }
            if kind != "whip":
                self._container.flags |= 0x40  # AVFMT_FLAG_FLUSH_PACKETS: out as soon as it is there
            self._container.start_encoding()
        except (av.FFmpegError, OSError, ValueError) as error:
            raise ArtmirrorError(f"cannot stream to {uri}: {reason_of(error)}; is the server there?") from error
        self._stream = stream
        self._began_ns: int | None = None
        self._last = -1
        self._open = True

    def write(self, slot: FrameSlot) -> bool:
        """Encode and send `slot.stylized`.

        Raises:
            ArtmirrorError: nobody takes it any more.
        """
        if self._began_ns is None:
            self._began_ns = slot.captured_ns
        stamp = max(self._last + 1, (slot.captured_ns - self._began_ns) * _TICKS // 1_000_000_000)
        self._last = stamp
        height, width = self._stream.height, self._stream.width
        frame = VideoFrame.from_ndarray(slot.stylized[:height, :width], format="bgr24")
        frame.pts, frame.time_base = stamp, Fraction(1, _TICKS)
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise ArtmirrorError(f"the stream to {self._uri} broke: {reason_of(error)}") from error
        return True

    def close(self) -> None:
        """End the stream."""
        if not self._open:
            return
        self._open = False
        try:
            for packet in self._stream.encode(None):
                self._container.mux(packet)
            self._container.close()
        except (av.FFmpegError, OSError, ValueError):
            pass  # who listened is gone

    def discard(self) -> None:
        """End the stream."""
        self.close()
