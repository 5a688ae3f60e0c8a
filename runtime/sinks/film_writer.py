"""Encodes frames, and the tracks that belong to them, into a container."""

import logging
from contextlib import suppress
from fractions import Fraction
from math import ceil
from typing import Any

import cv2  # noqa: F401 - before PyAV: loaded after it, OpenCV's first window hangs in PyAV's copy of libxcb

# isort: split
import av
import numpy as np
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation
from av.video.stream import VideoStream

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.sinks.base import SinkFormat
from artmirror.runtime.sinks.sound import FilmTracks

_log = logging.getLogger("artmirror.runtime")

_PICTURE_RATE = Fraction(25)  # frames per second where the source is single pictures
_FINE_TICKS = 90_000  # per second, at least: the grid of a variable frame rate
_THREADS = 2  # the engine wants the other cores
INDEXED = ("mp4", "mov")
FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".avi": "avi"}
_ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    "webm": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "6", "crf": "24", "b": "0", "row-mt": "1"}),
    "avi": ("mpeg4", {"qmin": "2", "qmax": "5"}),
}
# Of x264's presets at this quality, in milliseconds of one core and kB for a painted frame of 640x360: veryfast 14.3
# and 21, superfast 6.1 and 22, ultrafast 3.5 and 34. Live, painting needs the processor more than files need room.
_H264 = ("libx264", {"preset": "superfast", "crf": "18"})
_H264_LIVE = ("libx264", {"preset": "ultrafast", "crf": "18"})
_H264_MISSING = ("mpeg4", {"qmin": "2", "qmax": "5"})
_LARGEST = {"libx264": 16_384, "libvpx-vp9": 16_384, "mpeg4": 8_190}  # pixels a side
# In fragments until it is finished: what was recorded can be played even if the power fails.
_FRAGMENTS = {"movflags": "frag_keyframe+delay_moov+default_base_moof", "frag_duration": "2000000"}
# AVI has no times: what an encoder of sound has in front of time zero must not move the pictures.
_OPTIONS = {"mp4": _FRAGMENTS, "mov": _FRAGMENTS, "avi": {"avoid_negative_ts": "disabled"}}
_FASTEST_RATE = Fraction(60)  # frames per second in a container of fixed rate
_SLOWEST_RATE = Fraction(25)  # there, where the times vary: half a frame of it is as much as sound may be off


class FilmWriter:
    """A film in the making: frames in, a container out.

    Times come from the frames: the media time where there is one; for single pictures (no rate) 25 per second; else
    the source is live, and the time of capture counts from the first frame. AVI has one rate: frames are repeated and
    left out so that each is shown when it should be.

    Attributes:
        written: How many frames it took.
        encoded: How many packets of pictures they became.
        tracks: What else goes in, or None.

    Args:
        address: For libav.
        name: For messages.
        kind: The container, libav's name.
        format: Of the frames.
        options: For the container, over those that belong to its kind.

    Raises:
        ArtmirrorError: the container takes neither these pictures nor this sound, or cannot be written.
    """

    def __init__(
        self, address: str, name: str, kind: str, format: SinkFormat, options: dict[str, str] | None = None
    ) -> None:
        self._name, self._kind = name, kind
        self._rate = format.rate or _PICTURE_RATE
        self._single_pictures = format.rate is None
        self.written = 0
        self.encoded = 0
        self._last_pts = -1
        self._last: VideoFrame | None = None
        self._first_captured_ns = 0
        self._end_s = Fraction(0)  # where the last picture stops
        self._durations: dict[int, int] = {}  # of the pictures that the encoder still holds, in ticks
        height, width = format.size
        self._live = format.live
        self._even = height + height % 2, width + width % 2
        # AVI counts frames instead of keeping times, and MPEG-4 has 16 bits for its ticks.
        self._fixed = kind == "avi"
        if self._fixed:
            self._rate = min(self._rate, _FASTEST_RATE).limit_denominator(1001)
        ticks = 1 if self._fixed else ceil(Fraction(_FINE_TICKS, self._rate.numerator))
        self._time_base = 1 / self._rate if self._fixed else Fraction(1, self._rate.numerator * ticks)
        self._check_size(format.size)
        self._open_container(address, format, {**_OPTIONS.get(kind, {}), **(options or {})})
        if self._even != format.size:
            told = f"{width}x{height} becomes {self._even[1]}x{self._even[0]}"
            _log.warning("%s: %s, by the last row or column once more: few players show odd sizes", name, told)

    def write(self, slot: FrameSlot) -> None:
        """Encode `slot.stylized`, and the sound up to its time.

        Raises:
            av.FFmpegError, OSError, ValueError: the container cannot be written.
        """
        at_s = self._time_of(slot)
        frame = self._converted(slot.stylized)
        if self._fixed:
            self._write_fixed(frame, at_s)
        else:
            self._encode(frame, max(self._last_pts + 1, round(at_s / self._time_base)))
        if self.tracks is not None:
            self.tracks.mux_until(at_s)
        shown_s = slot.duration_s if slot.duration_s is not None and slot.media_time_s is not None else 1 / self._rate
        self._durations[self._last_pts] = max(1, round(shown_s / self._time_base))
        self._end_s = max(at_s, self._last_pts * self._time_base) + shown_s
        self.written += 1

    def finish(self) -> None:
        """Write what is still on its way, and the end of the container.

        Raises:
            av.FFmpegError, OSError, ValueError: the container cannot be written.
        """
        if self._fixed and self._last is not None:  # the last picture is shown to its end
            for pts in range(self._last_pts + 1, round(self._end_s * self._rate)):
                self._encode(self._last, pts)
        self._mux(self._stream.encode(None))
        if self.tracks is not None:
            self.tracks.finish(self._end_s)
        self._container.close()

    def abandon(self) -> None:
        """Close without finishing; what was written is of no use."""
        if self.tracks is not None:
            self.tracks.close()
        with suppress(av.FFmpegError, OSError):
            self._container.close()

    def _check_size(self, size: tuple[int, int]) -> None:
        name, _ = self._encoder()
        if max(size) > _LARGEST[name]:
            raise ArtmirrorError(
                f"{size[1]}x{size[0]} is too large for {self._name}: video of this kind has at most "
                f"{_LARGEST[name]} pixels a side; make it smaller with --size WIDTHxHEIGHT"
            )

    def _open_container(self, address: str, format: SinkFormat, options: dict[str, str]) -> None:
        """Open the file and write its head: what the container does not take shows here, before anything is painted."""
        tracks = format.tracks
        attempts = [(True, True), (False, True), (True, False), (False, False)]  # copy the sound; the other tracks
        reason: Exception | None = None
        for copy_sound, copy_others in attempts if tracks is not None else [(True, True)]:
            self.tracks: FilmTracks | None = None
            self._container: OutputContainer = av.open(address, "w", format=self._kind, options=options)
            try:
                self._stream = self._add_stream(format.size)
                if tracks is not None:
                    self._container.metadata.update(tracks.metadata)
                    self._stream.metadata.update(
                        {
                            key: tracks.pictures_metadata[key]
                            for key in ("language", "title")
                            if key in tracks.pictures_metadata
                        }
                    )
                    self.tracks = FilmTracks(tracks, self._container, copy_sound=copy_sound, copy_others=copy_others)
                    if self._kind not in INDEXED:  # there they would be a track that fragments cannot hold
                        self._container.set_chapters(self.tracks.chapters)
                self._container.start_encoding()
            except (av.FFmpegError, OSError, ValueError) as error:
                reason = reason or error
                if self.tracks is not None:
                    self.tracks.close()
                with suppress(av.FFmpegError, OSError):
                    self._container.close()
                continue
            if self.tracks is not None and (left := self.tracks.left_out()):
                _log.warning("%s does not take: %s; left out", self._name, left)
            return
        assert reason is not None
        raise ArtmirrorError(f"cannot write {self._name}: {reason_of(reason)}") from reason

    def _encoder(self) -> tuple[str, dict[str, str]]:
        h264 = _H264_LIVE if self._live else _H264
        return _ENCODERS.get(self._kind, h264 if "libx264" in av.codecs_available else _H264_MISSING)

    def _add_stream(self, size: tuple[int, int]) -> VideoStream:
        name, options = self._encoder()
        stream = self._container.add_stream(name, rate=self._rate, options=dict(options))
        assert isinstance(stream, VideoStream)
        # Half the colour resolution plays everywhere, and needs even sides.
        stream.height, stream.width = self._even
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = self._time_base
        context.thread_count = _THREADS
        # Players that ignore the tags take the matrix from the height, so the tags say what they would take.
        hd = size[0] >= 720
        self._matrix = Colorspace.ITU709 if hd else Colorspace.SMPTE170M
        context.colorspace = 1 if hd else 6  # AVCOL_SPC_BT709, AVCOL_SPC_SMPTE170M
        context.color_range = ColorRange.MPEG
        context.color_primaries = ColorPrimaries.BT709 if hd else ColorPrimaries.SMPTE170M
        context.color_trc = ColorTrc.BT709 if hd else ColorTrc.SMPTE170M
        return stream

    def _converted(self, picture: Pixels) -> VideoFrame:
        if picture.shape[:2] != self._even:
            below, beside = self._even[0] - picture.shape[0], self._even[1] - picture.shape[1]
            picture = np.pad(picture, ((0, below), (0, beside), (0, 0)), mode="edge")
        # The frame borrows the slot's memory; the conversion copies, so the encoder keeps nothing of it.
        return VideoFrame.from_numpy_buffer(picture, format="bgr24").reformat(
            format=self._stream.pix_fmt,
            dst_colorspace=self._matrix,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BILINEAR | Interpolation.ACCURATE_RND,  # without it white comes back as 250
            threads=1,
        )

    def _write_fixed(self, frame: VideoFrame, at_s: Fraction) -> None:
        """Show the frame from its own time on, as near as the fixed rate can."""
        pts = round(at_s * self._rate)
        if self._last is not None:
            for between in range(self._last_pts + 1, pts):
                self._encode(self._last, between)
        if pts > self._last_pts:
            self._encode(frame, pts)
        self._last = frame

    def _encode(self, frame: VideoFrame, pts: int) -> None:
        frame.pts, frame.time_base = pts, self._time_base
        self._last_pts = pts
        self._mux(self._stream.encode(frame))

    def _mux(self, packets: "list[av.Packet[Any]]") -> None:
        for packet in packets:
            self.encoded += 1
            if packet.pts is not None:
                packet.duration = self._durations.pop(packet.pts, packet.duration or 0)
            self._container.mux(packet)

    def _time_of(self, slot: FrameSlot) -> Fraction:
        if slot.media_time_s is not None:
            return slot.media_time_s
        if self._single_pictures:
            return self.written / self._rate
        if not self.written:
            self._first_captured_ns = slot.captured_ns
        return Fraction(slot.captured_ns - self._first_captured_ns, 1_000_000_000)


def reason_of(error: Exception) -> str:
    """What libav or the system says went wrong."""
    return getattr(error, "strerror", None) or str(error)
