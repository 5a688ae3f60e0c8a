"""A camera through OpenCV (V4L2 on Linux), found again when it drops out."""

import logging
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Protocol, cast

import cv2
import cv2.utils.logging
import numpy as np
from cv2.typing import MatLike

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.fit import check_native_size, place
from artmirror.runtime.common.latch import Latch
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.tracks import Tracks

_log = logging.getLogger("artmirror.runtime")

_DEFAULT_SIZE = (360, 640)  # (H, W) asked for where the user asked for none
_DEFAULT_RATE = Fraction(30)  # for cameras that do not tell theirs
_FAILED_READS = 5  # in a row, until the camera counts as lost
_RETRY_S = 1.0
_GIVE_UP_S = 30.0


class Capture(Protocol):
    """The part of `cv2.VideoCapture` that is used."""

    def isOpened(self) -> bool: ...
    def set(self, propId: int, value: float) -> bool: ...
    def get(self, propId: int) -> float: ...
    def read(self, image: MatLike | None = ...) -> tuple[bool, MatLike]: ...
    def release(self) -> None: ...


def open_capture(number: int) -> Capture:
    """Open camera `number`, on Linux through V4L2 only: other back ends take the number for something else."""
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2.VideoCapture(number, cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY)


class CameraSource:
    """A live camera.

    Attributes: see `base.Source`. Without a wanted size it is the size that the camera gave when
    it was asked for 640x360.
    """

    def __init__(
        self,
        number: int,
        size: tuple[int, int] | None,
        mirror: bool,
        *,
        opener: Callable[[int], Capture] = open_capture,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        """Open camera `number` and take one picture of it; `size` is (H, W).

        Raises:
            ArtmirrorError: there is no such camera, or it gives no picture.
        """
        self.name = str(number)
        self._number = number
        self._asked = size or _DEFAULT_SIZE
        self._mirror = mirror
        self._opener = opener
        self._monotonic = monotonic
        self._latch = Latch(self._release)
        self._sleep = sleep or self._latch.closed.wait
        self._capture: Capture | None = None
        self._picture: MatLike = np.empty((*self._asked, 3), np.uint8)  # (h, w, 3) uint8 BGR, as the camera gives it
        if not self._connect():
            self._release()
            raise ArtmirrorError(f"camera {number} cannot be opened: {_cameras_that_exist()}")
        first = self._grab(self._picture)
        if first is None:
            self._release()
            raise ArtmirrorError(f"camera {number} gives no picture: end other programs that use it, or replug it")
        self._picture = first
        height, width = first.shape[:2]
        self.size = size or check_native_size(f"camera {number}", (height, width))
        self.rate: Fraction | None = self._achieved_rate()
        self.frame_count: int | None = None
        self.live = True
        self.tracks: Tracks | None = None
        self.files: tuple[Path, ...] = ()
        _log.info("camera %d gives %dx%d at %s frames/s", number, width, height, self.rate)

    def read(self, slot: FrameSlot) -> bool:
        """Wait for the camera's next picture and write it into `slot.frame`.

        OpenCV writes it there itself where it needs neither scaling nor mirroring. A lost camera is looked for every
        second.

        Raises:
            ArtmirrorError: the camera was lost and did not come back within 30 s.
        """
        with self._latch:
            fits = not self._mirror and self._picture.shape == slot.frame.shape
            picture = self._grab(slot.frame if fits else self._picture)
            if picture is None and not self._latch.closed.is_set():
                picture = self._reconnect()
            if picture is None or self._latch.closed.is_set():
                return False
            slot.captured_ns = time.monotonic_ns()
            if picture is not slot.frame:
                self._picture = picture  # the same memory, unless the camera changed its size
                place(cast(Pixels, picture), self._mirror, slot.frame)
        slot.media_time_s = None
        slot.label = ""
        return True

    def close(self) -> None:
        """Let the camera go, from any thread."""
        self._latch.close()

    def _grab(self, into: MatLike) -> MatLike | None:
        """The next picture, in `into` if it has that size; None where the camera is lost or was closed."""
        for _ in range(_FAILED_READS):
            if self._capture is None or self._latch.closed.is_set():
                return None
            try:
                done, picture = self._capture.read(into)
            except cv2.error as error:  # a driver that fails, or a frame that is damaged: as a lost one
                _log.warning("camera %d: %s", self._number, error.err or error)
                continue
            if done and picture is not None and picture.size:
                return cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR) if picture.ndim == 2 else picture
        return None

    def _connect(self) -> bool:
        self._release()
        capture = self._opener(self._number)
        if not capture.isOpened():
            capture.release()
            return False
        # MJPG first: uncompressed pictures do not fit through USB 2 at size and rate, and the order matters to V4L2.
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, self._asked[1])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self._asked[0])
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self._capture = capture
        return True

    def _reconnect(self) -> MatLike | None:
        """The first picture after the camera came back; None where it was closed meanwhile."""
        _log.warning("camera %d is lost; looking for it for %.0f s", self._number, _GIVE_UP_S)
        lost_s = self._monotonic()
        while not self._latch.closed.is_set():
            if self._monotonic() - lost_s > _GIVE_UP_S:
                raise ArtmirrorError(
                    f"camera {self._number} was lost and did not come back within {_GIVE_UP_S:.0f} s: "
                    "check its cable, then start again"
                )
            self._sleep(_RETRY_S)
            if self._latch.closed.is_set() or not self._connect():
                continue
            picture = self._grab(self._picture)
            if picture is not None:
                _log.warning("camera %d is back after %.0f s", self._number, self._monotonic() - lost_s)
                return picture
        return None

    def _achieved_rate(self) -> Fraction:
        rate = self._capture.get(cv2.CAP_PROP_FPS) if self._capture is not None else 0.0
        return Fraction(rate).limit_denominator(1001) if 1.0 <= rate <= 1000.0 else _DEFAULT_RATE

    def _release(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None


def _cameras_that_exist() -> str:
    if sys.platform != "linux":
        return "plug one in, or give another number"
    there = sorted(str(path) for path in Path("/dev").glob("video*"))
    if not there:
        return "this machine has no camera (no /dev/video*): plug one in, or name a video file"
    return f"this machine has {', '.join(there)}: give one of these numbers (not every one takes pictures)"
