"""A window on the screen, with a few keys."""

import os
import time
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Protocol, cast

import cv2
import numpy as np
from cv2.typing import MatLike

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pictures import save_picture
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.sinks.base import SinkFormat
from artmirror.runtime.sinks.hud import Hud

_ESCAPE = 27
_RATE_FRAMES = 30  # the frame rate shown is the mean over so many
_STRENGTH_STEP = 0.1
_LONGEST_TITLE = 32  # characters in the line of figures
_KEY_PAUSE_MS = 50  # how often a waiting window looks whether it was closed


class Screen(Protocol):
    """The part of OpenCV's window functions that is used; the module `cv2` itself fits."""

    def namedWindow(self, winname: str, flags: int = ...) -> None: ...
    def resizeWindow(self, winname: str, width: int, height: int) -> None: ...
    def imshow(self, winname: str, mat: MatLike) -> None: ...
    def waitKey(self, delay: int = ...) -> int: ...
    def getWindowProperty(self, winname: str, prop_id: int) -> float: ...
    def setWindowProperty(self, winname: str, prop_id: int, prop_value: float) -> None: ...
    def destroyWindow(self, winname: str) -> None: ...


class WindowSink:
    """Shows frames: a file at its own rate, a live source as its frames come, single pictures until a key.

    Keys: q, Esc or closing the window stop; f full screen; h hide the line of figures; s save a picture here; n and p
    the next and the previous painting; + and - more and less of it.
    """

    def __init__(
        self, format: SinkFormat, *, screen: Screen | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Open the window; `screen` stands in for OpenCV's windows.

        Raises:
            ArtmirrorError: OpenCV cannot open a window.
        """
        self._screen = screen or cast(Screen, cv2)
        self._monotonic = monotonic
        self._title = format.title
        self._controls = format.controls
        self._waits_for_key = format.rate is None
        height, width = format.size
        self._canvas: Pixels = np.empty((height, width, 3), np.uint8)  # (H, W, 3) uint8 BGR
        self._hud = Hud()
        self._hud_shown = True
        self._full_screen = False
        self._snapshots = 0
        self._done_ns: deque[int] = deque(maxlen=_RATE_FRAMES + 1)
        self._dropped = 0
        self._last_id = -1
        self._started_s: float | None = None
        self._open = True
        # OpenCV's Qt complains of fonts that no window of ours shows.
        os.environ.setdefault("QT_LOGGING_RULES", "default.warning=false")
        try:
            self._screen.namedWindow(self._title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
            self._screen.resizeWindow(self._title, width, height)
        except cv2.error as error:
            raise ArtmirrorError(f"cannot open a window: {error.err}; name a file with --output instead") from error

    def write(self, slot: FrameSlot) -> bool:
        """Show `slot.stylized` when it is due; False once the viewer stopped.

        Raises:
            ArtmirrorError: a snapshot cannot be written.
        """
        if not self._open or (self._done_ns and not self._obey(-1, slot)):
            return False
        self._count(slot)
        np.copyto(self._canvas, slot.stylized)
        if self._hud_shown:
            self._hud.draw(self._canvas)
        if slot.media_time_s is not None and not self._wait_until_due(slot):
            return False
        self._screen.imshow(self._title, self._canvas)
        if self._waits_for_key:
            return self._wait_for_key(slot)
        return self._obey(self._screen.waitKey(1), slot)

    def close(self) -> None:
        """Close the window."""
        if not self._open:
            return
        self._open = False
        if self._visible():
            self._screen.destroyWindow(self._title)

    def discard(self) -> None:
        """Close the window."""
        self.close()

    def _count(self, slot: FrameSlot) -> None:
        self._dropped += slot.id - self._last_id - 1
        self._last_id = slot.id
        self._done_ns.append(slot.stylized_ns)
        span_ns = self._done_ns[-1] - self._done_ns[0]
        rate = (len(self._done_ns) - 1) * 1e9 / span_ns if span_ns > 0 else 0.0
        told = ""
        if self._controls is not None:
            title = self._controls.title
            short = title if len(title) <= _LONGEST_TITLE else f"{title[: _LONGEST_TITLE - 3].rstrip()}..."
            told = f"{short}   {self._controls.strength:.0%}"
        self._hud.update(slot.stylized_ns, rate, slot.stylized_ns - slot.captured_ns, self._dropped, told)

    def _wait_until_due(self, slot: FrameSlot) -> bool:
        """Obey keys until the frame's time has come; False once the viewer stopped."""
        media_s = float(slot.media_time_s or Fraction(0))
        now_s = self._monotonic()
        if self._started_s is None or now_s > self._started_s + media_s:
            self._started_s = now_s - media_s  # first frame, or late: go on from now, never faster than the file
        while (left_ms := int((self._started_s + media_s - self._monotonic()) * 1000)) > 0:
            if not self._obey(self._screen.waitKey(min(left_ms, _KEY_PAUSE_MS)), slot):
                return False
        return True

    def _wait_for_key(self, slot: FrameSlot) -> bool:
        key = -1
        while key == -1:
            key = self._screen.waitKey(_KEY_PAUSE_MS)
            if not self._obey(key, slot):
                return False
        return True

    def _obey(self, key: int, slot: FrameSlot) -> bool:
        """Do what the pressed key asks for; -1 is none. False for the end."""
        letter = chr(key & 0xFF).lower() if key != -1 else ""
        if letter in ("q", chr(_ESCAPE)) or not self._visible():
            self.close()
            return False
        if letter == "f":
            self._full_screen = not self._full_screen
            mode = cv2.WINDOW_FULLSCREEN if self._full_screen else cv2.WINDOW_NORMAL
            self._screen.setWindowProperty(self._title, cv2.WND_PROP_FULLSCREEN, mode)
        elif letter == "h":
            self._hud_shown = not self._hud_shown
        elif letter == "s":
            self._save(slot)
        elif self._controls is not None and letter:
            if letter in "np":
                self._controls.turn(1 if letter == "n" else -1)
            elif letter in "+=-":
                self._controls.strengthen(-_STRENGTH_STEP if letter == "-" else _STRENGTH_STEP)
        return True

    def _save(self, slot: FrameSlot) -> None:
        path = Path(f"artmirror_{self._snapshots:03d}.png")
        while path.exists():
            self._snapshots += 1
            path = Path(f"artmirror_{self._snapshots:03d}.png")
        save_picture(slot.stylized, path)

    def _visible(self) -> bool:
        try:
            return self._screen.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) >= 1
        except cv2.error:  # some back ends raise for a window that is gone
            return False
