"""Video files and network streams through PyAV."""

import time
from collections.abc import Callable
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import cv2  # before PyAV: loaded after it, OpenCV's first window hangs in PyAV's copy of libxcb

# isort: split
import av
import numpy as np
from av.video.frame import VideoFrame

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.film import Film, kept_metadata
from artmirror.runtime.common.fit import centre_crop, check_native_size, cover_size
from artmirror.runtime.common.latch import Latch
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.common.video import (
    Orientation,
    orientation_of,
    oriented,
    preferred,
    scaled_bgr,
    shown_size,
    square_size,
)
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.tracks import TrackPacket, Tracks

_SLACK_FRAMES = 2  # so many missing at the end are the container's rounding, not damage
_COARSEST_TICK_S = Fraction(1, 1000)
_STEADY = Fraction(102, 100)  # a rate whose grid is finer than this times the average varies
_FASTEST_GRID, _COARSEST_GRID = 120, 25  # frames per second


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
        self.files: tuple[Path, ...] = (Path(name),) if not stream and Path(name).is_file() else ()
        self._mirror = mirror
        self._monotonic = monotonic
        self._latch = Latch(self._release)
        self._sleep = sleep or self._latch.closed.wait
        self._film = Film(name, stream=stream, observe=self._pass_on)
        self._stream = self._film.video
        try:
            self.tracks: Tracks | None = None if self.live else self._open_tracks()
            self._pictures = self._film.pictures()
            first = self._next_picture()
            if first is None:
                raise ArtmirrorError(f"{name} holds no picture that can be decoded: a playable video is wanted")
        except BaseException:
            self._film.container.close()
            raise
        self._waiting: VideoFrame | None = first
        self._orientation = orientation_of(first)
        self.size = size or check_native_size(name, shown_size(first, self._stream))
        self._rate = self._stream.average_rate or self._stream.guessed_rate or Fraction(25)
        self.rate: Fraction | None = self._even_rate()
        self._short_avi = self._film.container.format.name == "avi" and bool(self.files) and _is_short_avi(name)
        # Not the frames' own: those that the decoder gives last have none.
        self._tick_s = self._stream.time_base or 1 / self._rate
        self._origin_s = self._film.time_s(first) or Fraction(0)
        if self.tracks is not None:
            self.tracks.origin_s = self._origin_s
        self.frame_count: int | None = None if self.live else self._trusted_count()
        # A stream that knows its length is a file behind a server: it comes faster than it should be shown.
        self._paced = live or (stream and self._film.container.duration is not None)
        self._started_s: float | None = None
        self._stored = self._scaled = (0, 0)  # (h, w) of the pictures in the file, and of what is made of them
        self._delivered = 0
        self._end_s = Fraction(0)  # where the last picture delivered stops, in media time
        self._last_s = Fraction(-1)  # where it began

    def read(self, slot: FrameSlot) -> bool:
        """Decode the next picture into `slot.frame`; a paced source sleeps until the picture is due.

        Raises:
            ArtmirrorError: the file ends early or is damaged, or the stream broke.
        """
        with self._latch:
            if self._latch.closed.is_set():
                return False
            if self.tracks is not None:
                self.tracks.begin()
            frame, self._waiting = self._waiting or self._next_picture(), None
            if frame is None:
                if self.tracks is not None:
                    self.tracks.ended = True
                self._check_end()
                return False
            media_s = self._media_time_s(frame)
            duration_s = self._film.duration_s(frame)
            self._convert(frame, slot.frame)
            self._delivered += 1
            self._last_s = media_s
            self._end_s = media_s + max(1 / self._rate, duration_s or 0)
            if self._paced and not self._wait_until_due(float(media_s)):
                return False
        slot.captured_ns = time.monotonic_ns()
        slot.media_time_s = None if self.live else media_s
        slot.duration_s = duration_s
        slot.label = ""
        return True

    def close(self) -> None:
        """Close the file or stream, from any thread; a stream's blocked `read` returns within 10 s."""
        self._latch.close()

    def _release(self) -> None:
        self._waiting = None
        if self.tracks is None:
            self._film.container.close()
        else:
            self.tracks.leave()  # sinks may still have to decode its sound

    def _open_tracks(self) -> Tracks:
        container = self._film.container
        sounds = [found for found in container.streams.audio if found.codec_context is not None]
        sound = preferred(sounds) if sounds else None
        others = [found for found in container.streams if found not in (self._stream, sound)]
        tracks = Tracks(sound, others, kept_metadata(container.metadata), container.chapters(), container.close)
        tracks.pictures_metadata = kept_metadata(self._stream.metadata)
        return tracks

    def _even_rate(self) -> Fraction:
        """The rate, or one on whose grid the pictures lie where it varies: what a container with one rate needs."""
        grid = self._stream.guessed_rate
        if grid is None or grid <= self._rate * _STEADY or grid > _FASTEST_GRID:
            return self._rate
        return grid * ceil(_COARSEST_GRID / grid)

    def _pass_on(self, packet: "av.Packet[Any]") -> None:
        if self.tracks is not None:
            stamp = packet.dts if packet.pts is None else packet.pts
            assert stamp is not None
            self.tracks.put(TrackPacket(packet, stamp * packet.time_base))

    def _next_picture(self) -> VideoFrame | None:
        for picture in self._pictures:
            if picture is not None:  # what is missing counts at the end
                return picture
        return None

    def _media_time_s(self, frame: VideoFrame) -> Fraction:
        """When `frame` is shown, counted from the first; exact for a constant rate that the container rounded."""
        if not self._delivered:
            return Fraction(0)
        shown_s = self._film.time_s(frame)
        if shown_s is None or shown_s - self._origin_s <= self._last_s:  # no stamp, or a wrong one
            return self._last_s + 1 / self._rate
        media_s = shown_s - self._origin_s
        even_s = round(media_s * self._rate) / self._rate
        # Matroska counts milliseconds: 30000/1001 frames per second would become a rate that jitters.
        if self._last_s < even_s and abs(even_s - media_s) <= min(self._tick_s, _COARSEST_TICK_S):
            return even_s
        return media_s

    def _convert(self, frame: VideoFrame, out: Pixels) -> None:
        """Write `frame` into `out` (H, W, 3) uint8 BGR: scaled while its colours are converted, cropped, turned."""
        turn, mirrored = self._orientation
        want = (self.size[1], self.size[0]) if self._orientation.lying else self.size  # (h, w) before the turn
        stored = (frame.height, frame.width)
        if stored != self._stored:
            self._stored, self._scaled = stored, cover_size(square_size(frame, self._stream), want)
        scaled = scaled_bgr(frame, self._scaled)
        picture = oriented(centre_crop(scaled, want), Orientation(turn, False))  # (H, W, 3) uint8 BGR
        if mirrored != self._mirror:
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
        """Where the container says that the pictures end, on the film's clock, or None."""
        start_s = (self._stream.start_time or 0) * self._tick_s
        if self._stream.duration is not None:
            return start_s + self._stream.duration * self._tick_s
        hours = self._stream.metadata.get("DURATION", "").split(":")  # Matroska: "00:00:02.040000000"
        if len(hours) == 3:
            try:
                return int(hours[0]) * 3600 + int(hours[1]) * 60 + Fraction(hours[2])
            except ValueError:
                return None
        container = self._film.container
        if len(container.streams) == 1 and container.duration is not None:
            return start_s + Fraction(container.duration, av.time_base)
        return None

    def _trusted_count(self) -> int | None:
        """The container's number of pictures where its duration says the same, else None."""
        count, end_s = self._stream.frames, self._declared_end_s()
        if count > 0 and end_s is not None and abs((end_s - self._origin_s) * self._rate - count) <= _SLACK_FRAMES:
            return count
        return None

    def _check_end(self) -> None:
        """Raise where the pictures ended clearly before the end that the container declares.

        Both the number and the time must be short: an edit list hides pictures, a variable rate stretches them.
        """
        end_s = self._declared_end_s()
        if self.live or end_s is None or self._film.clock.jumped:
            return
        missing = (end_s - self._origin_s - self._end_s) * self._rate
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
