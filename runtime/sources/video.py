"""Video files and network streams through PyAV."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2  # before PyAV: loaded after it, OpenCV's first window hangs in PyAV's copy of libxcb

# isort: split
import av
import numpy as np
from av.video.frame import VideoFrame

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.fit import centre_crop, check_native_size, cover_size
from artmirror.runtime.common.latch import Latch
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.common.video import TURNS, open_video, reason_of, scaled_bgr, turn_of, upright_size
from artmirror.runtime.frame import FrameSlot

_log = logging.getLogger("artmirror.runtime")

_SLACK_FRAMES = 2  # so many missing at the end are the container's rounding, not damage
_COARSEST_TICK_S = Fraction(1, 1000)


class VideoSource:
    """A video file, or a stream from the network.

    Attributes: see `base.Source`. A file is read as fast as it is wanted, with exact media times
    counted from its first picture; with `live` it is paced at its own rate and has neither media times nor sound.
    """

    def __init__(
        self,
        name: str,
        size: tuple[int, int] | None,
        mirror: bool,
        *,
        stream: bool = False,
        live: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        """Open the path or URL `name` and decode its first picture; `size` is (H, W).

        Raises:
            ArtmirrorError: it cannot be opened, holds no picture, or is smaller than 64 pixels and no size is given.
        """
        self.name = name
        self.live = live or stream
        self._mirror = mirror
        self._monotonic = monotonic
        self._latch = Latch(self._release)
        self._sleep = sleep or self._latch.closed.wait
        self._container, self._stream = open_video(name, stream=stream)
        try:
            # One thread: two decode in 20 % more CPU time, and the engine wants all cores.
            self._stream.codec_context.thread_count = 1
            self._waiting: deque[VideoFrame] = deque()
            self._packets = self._demux()
            first = self._next_frame()
            if first is None:
                raise ArtmirrorError(f"{name} holds no picture that can be decoded: a playable video is wanted")
        except BaseException:
            self._container.close()
            raise
        self._waiting.appendleft(first)
        self._turn = turn_of(first)
        self.size = size or check_native_size(name, upright_size(first))
        self._rate = self._stream.average_rate or self._stream.guessed_rate or Fraction(25)
        self.rate: Fraction | None = self._rate
        self._short_avi = self._container.format.name == "avi" and not stream and _is_short_avi(name)
        self._first_pts = first.pts or 0
        # Not the frames' own: those that the decoder gives last have none.
        self._tick_s = self._stream.time_base or 1 / self._rate
        self.frame_count: int | None = None if self.live else self._trusted_count()
        self.sound: str | None = name if self._container.streams.audio and not self.live else None
        # A stream that knows its length is a file behind a server: it comes faster than it should be shown.
        self._paced = live or (stream and self._container.duration is not None)
        self._started_s: float | None = None
        self._delivered = 0
        self._end_s = Fraction(0)  # where the last picture delivered stops, in media time

    def read(self, slot: FrameSlot) -> bool:
        """Decode the next picture into `slot.frame`; a paced source sleeps until the picture is due.

        Raises:
            ArtmirrorError: the file ends early or is damaged, or the stream broke.
        """
        with self._latch:
            if self._latch.closed.is_set():
                return False
            frame = self._next_frame()
            if frame is None:
                self._check_end()
                return False
            media_s = self._media_time_s(frame)
            self._convert(frame, slot.frame)
            self._delivered += 1
            self._end_s = media_s + max(1 / self._rate, (frame.duration or 0) * self._tick_s)
            if self._paced and not self._wait_until_due(float(media_s)):
                return False
        slot.captured_ns = time.monotonic_ns()
        slot.media_time_s = None if self.live else media_s
        slot.label = ""
        return True

    def close(self) -> None:
        """Close the file or stream, from any thread; a stream's blocked `read` returns within 10 s."""
        self._latch.close()

    def _release(self) -> None:
        self._waiting.clear()
        self._container.close()

    def _demux(self) -> Iterator["av.Packet[Any]"]:
        try:
            yield from self._container.demux(self._stream)
        except (av.FFmpegError, OSError) as error:
            if self.live:
                raise ArtmirrorError(
                    f"the stream {self.name} broke ({reason_of(error)}): check the network and its server"
                ) from error
            _log.debug("%s: %s", self.name, error)  # `_check_end` tells whether pictures are missing
            yield av.Packet()  # an empty packet drains the decoder
            return

    def _next_frame(self) -> VideoFrame | None:
        while not self._waiting:
            packet = next(self._packets, None)
            if packet is None:
                return None
            try:
                self._waiting.extend(self._stream.decode(packet if packet.size else None))
            except av.EOFError:
                return None
            except av.FFmpegError as error:
                # One bad packet: later ones may be whole, and what is missing counts at the end.
                _log.debug("%s: %s", self.name, error)
        return self._waiting.popleft()

    def _media_time_s(self, frame: VideoFrame) -> Fraction:
        """When `frame` is shown, counted from the first; exact for a constant rate that the container rounded."""
        if frame.pts is None:
            return self._delivered / self._rate
        media_s = (frame.pts - self._first_pts) * self._tick_s
        even_s = round(media_s * self._rate) / self._rate
        # Matroska counts milliseconds: 30000/1001 frames per second would become a rate that jitters.
        return even_s if abs(even_s - media_s) <= min(self._tick_s, _COARSEST_TICK_S) else media_s

    def _convert(self, frame: VideoFrame, out: Pixels) -> None:
        """Write `frame` into `out` (H, W, 3) uint8 BGR: scaled while its colours are converted, cropped, turned."""
        lying = self._turn in (90, 270)
        want = (self.size[1], self.size[0]) if lying else self.size  # (h, w) before the turn
        height, width = cover_size((frame.height, frame.width), want)
        scaled = scaled_bgr(frame, (height, width))
        plane = scaled.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8, plane.line_size * height).reshape(height, plane.line_size)
        picture = centre_crop(rows[:, : width * 3].reshape(height, width, 3), want)  # (h, w, 3) uint8 BGR
        if self._turn:
            cv2.rotate(picture, TURNS[self._turn], dst=out)
            if self._mirror:
                cv2.flip(out, 1, dst=out)
        elif self._mirror:
            cv2.flip(picture, 1, dst=out)
        else:
            np.copyto(out, picture)

    def _wait_until_due(self, media_s: float) -> bool:
        now_s = self._monotonic()
        if self._started_s is None or now_s > self._started_s + media_s:
            self._started_s = now_s - media_s  # first picture, or late: go on from now, catch up with nothing
        else:
            self._sleep(self._started_s + media_s - now_s)
        return not self._latch.closed.is_set()

    def _declared_end_s(self) -> Fraction | None:
        """Where the container says that the pictures end, in media time, or None."""
        if self._stream.duration is not None:
            return self._stream.duration * self._tick_s
        hours = self._stream.metadata.get("DURATION", "").split(":")  # Matroska: "00:00:02.040000000"
        if len(hours) == 3:
            start_s = (self._stream.start_time or 0) * self._tick_s
            return int(hours[0]) * 3600 + int(hours[1]) * 60 + Fraction(hours[2]) - start_s
        if len(self._container.streams) == 1 and self._container.duration is not None:
            return Fraction(self._container.duration, av.time_base)
        return None

    def _trusted_count(self) -> int | None:
        """The container's number of pictures where its duration says the same, else None."""
        count, end_s = self._stream.frames, self._declared_end_s()
        if count > 0 and end_s is not None and abs(end_s * self._rate - count) <= _SLACK_FRAMES:
            return count
        return None

    def _check_end(self) -> None:
        """Raise where the pictures ended clearly before the end that the container declares.

        Both the number and the time must be short: an edit list hides pictures, a variable rate stretches them.
        """
        end_s = self._declared_end_s()
        if self.live or end_s is None:
            return
        missing = (end_s - self._end_s) * self._rate
        if self._stream.frames > 0:
            few = Fraction(self._stream.frames - self._delivered)
            missing = few if self._short_avi else min(missing, few)
        elif missing <= self._rate / 2:
            return  # without a count, a last picture that is shown for long looks the same
        if missing > _SLACK_FRAMES:
            about = self._stream.frames or self._delivered + round(missing)
            raise ArtmirrorError(
                f"{self.name} ends at frame {self._delivered} of about {about} (cut off or damaged); "
                "what was decoded is kept"
            )


def _is_short_avi(path: str) -> bool:
    """Whether an AVI file is shorter than its header says; libav then shortens the duration without a word."""
    with Path(path).open("rb") as file:
        head = file.read(8)
        return int.from_bytes(head[4:], "little") + len(head) > file.seek(0, 2)
