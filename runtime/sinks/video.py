"""Video files through PyAV, with the sound of the source."""

from fractions import Fraction
from math import ceil
from pathlib import Path

import cv2  # noqa: F401 - before PyAV: loaded after it, OpenCV's first window hangs in PyAV's copy of libxcb

# isort: split
import av
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation
from av.video.stream import VideoStream

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pictures import check_writable
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.sinks.base import SinkFormat
from artmirror.runtime.sinks.sound import SoundTrack

_PICTURE_RATE = Fraction(25)  # frames per second where the source is single pictures
_FINE_TICKS = 90_000  # per second, at least: the grid of a variable frame rate
_THREADS = 2  # the engine wants the other cores
_ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    ".webm": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "6", "crf": "24", "b": "0", "row-mt": "1"}),
    ".avi": ("mpeg4", {"qmin": "2", "qmax": "5"}),
}
_H264 = ("libx264", {"preset": "veryfast", "crf": "18"})
_H264_MISSING = ("mpeg4", {"qmin": "2", "qmax": "5"})


class VideoSink:
    """Writes a video beside its final name and renames it when it is whole.

    Times come from the frames: the media time where there is one; for single pictures (no rate) 25 per second; else
    the source is live, and the time of capture counts from the first frame.
    """

    def __init__(self, path: Path, format: SinkFormat) -> None:
        """Open the file; the suffix of `path` chooses container and encoder.

        Raises:
            ArtmirrorError: the folder cannot be written, or the sound file cannot be read.
        """
        check_writable(path.parent)
        if path.is_dir():
            raise ArtmirrorError(f"{path} is a folder, a video's name is wanted: name a file inside it")
        self._path = path
        self._part = path.with_name(f".{path.stem}.part{path.suffix}")
        self._rate = format.rate or _PICTURE_RATE
        self._single_pictures = format.rate is None
        self._written = 0
        self._last_pts = -1
        self._first_captured_ns = 0
        self._end_s = Fraction(0)  # where the last picture stops
        self._open = True
        suffix = path.suffix.lower()
        # AVI counts frames instead of keeping times, and MPEG-4 has 16 bits for its ticks.
        self._coarse = suffix == ".avi"
        ticks = 1 if self._coarse else ceil(Fraction(_FINE_TICKS, self._rate.numerator))
        self._time_base = 1 / self._rate if self._coarse else Fraction(1, self._rate.numerator * ticks)
        options = {"movflags": "+faststart"} if suffix in (".mp4", ".mov") else {}
        self._container: OutputContainer = av.open(f"file:{self._part}", "w", container_options=options)
        try:
            self._stream = self._add_stream(suffix, format.size)
            self._sound = SoundTrack(format.sound, self._container) if format.sound else None
        except (av.FFmpegError, OSError, ValueError) as error:
            self.discard()
            raise ArtmirrorError(f"cannot write {path}: {_reason(error)}") from error
        except ArtmirrorError:
            self.discard()
            raise

    def write(self, slot: FrameSlot) -> bool:
        """Encode `slot.stylized`, and the sound up to its time.

        Raises:
            ArtmirrorError: the file cannot be written (disk full); what cannot be played is removed.
        """
        at_s = self._time_of(slot)
        pts = max(self._last_pts + 1, round(at_s / self._time_base))
        # The frame borrows the slot's memory; the conversion copies, so the encoder keeps nothing of it.
        picture = VideoFrame.from_numpy_buffer(slot.stylized, format="bgr24")
        frame = picture.reformat(
            format=self._stream.pix_fmt,
            dst_colorspace=self._matrix,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BILINEAR | Interpolation.ACCURATE_RND,  # without it white comes back as 250
            threads=1,
        )
        frame.pts = pts
        frame.time_base = self._time_base
        try:
            self._container.mux(self._stream.encode(frame))
            if self._sound is not None:
                self._sound.mux_until(at_s)
        except (av.FFmpegError, OSError) as error:
            self._fail(error)
        self._last_pts = pts
        self._end_s = pts * self._time_base + 1 / self._rate
        self._written += 1
        return True

    def close(self) -> None:
        """Finish the video and give it its name; without a frame nothing is left behind.

        Raises:
            ArtmirrorError: the file cannot be finished (disk full); what cannot be played is removed.
        """
        if not self._open:
            return
        if not self._written:
            self._abandon()
            return
        try:
            self._container.mux(self._stream.encode(None))
            if self._sound is not None:
                self._sound.finish(self._end_s)
            self._container.close()
            self._open = False
            self._part.replace(self._path)
        except (av.FFmpegError, OSError) as error:
            self._fail(error)

    def discard(self) -> None:
        """Finish the video with what was written where that can be played, else remove it."""
        try:
            self.close()
        except ArtmirrorError:
            return  # already removed, and the failure that brought us here is the one to tell

    def _add_stream(self, suffix: str, size: tuple[int, int]) -> VideoStream:
        height, width = size
        name, options = _ENCODERS.get(suffix, _H264 if "libx264" in av.codecs_available else _H264_MISSING)
        stream = self._container.add_stream(name, rate=self._rate, options=dict(options))
        assert isinstance(stream, VideoStream)
        # Half the colour resolution needs even sides; an odd size is kept exactly by full colour resolution.
        even = height % 2 == 0 and width % 2 == 0
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuv420p" if even or name == "mpeg4" else "yuv444p"
        context = stream.codec_context
        context.time_base = self._time_base
        context.thread_count = _THREADS
        # Players that ignore the tags take the matrix from the height, so the tags say what they would take.
        hd = height >= 720
        self._matrix = Colorspace.ITU709 if hd else Colorspace.SMPTE170M
        context.colorspace = 1 if hd else 6  # AVCOL_SPC_BT709, AVCOL_SPC_SMPTE170M
        context.color_range = ColorRange.MPEG
        context.color_primaries = ColorPrimaries.BT709 if hd else ColorPrimaries.SMPTE170M
        context.color_trc = ColorTrc.BT709 if hd else ColorTrc.SMPTE170M
        return stream

    def _time_of(self, slot: FrameSlot) -> Fraction:
        if slot.media_time_s is not None:
            return slot.media_time_s
        if self._single_pictures:
            return self._written / self._rate
        if not self._written:
            self._first_captured_ns = slot.captured_ns
        return Fraction(slot.captured_ns - self._first_captured_ns, 1_000_000_000)

    def _fail(self, error: Exception) -> None:
        self._abandon()
        raise ArtmirrorError(
            f"cannot write {self._path}: {_reason(error)}; the unfinished file is removed, make room and start again"
        ) from error

    def _abandon(self) -> None:
        """Close without finishing and remove the partial file."""
        self._open = False
        if self._sound is not None:
            self._sound.close()
        try:
            self._container.close()
        except (av.FFmpegError, OSError):
            pass  # it is removed anyway
        finally:
            self._part.unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
