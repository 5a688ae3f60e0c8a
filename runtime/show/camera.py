"""A source that never ends: what is lost, frozen, black or hanging is looked for, for ever, while the show goes on."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.fit import place
from artmirror.runtime.common.pixels import Pixels, Size
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.sources.base import Source
from artmirror.runtime.tracks import Tracks

_log = logging.getLogger("artmirror.show")

_LATE_S = 1.2  # without a picture, until the camera counts as lost
_HANGS_S = 5.0  # without a picture, until whoever reads is given up and another one begins
_OPENING_S = 20.0  # the same, while it opens
_FROZEN_S = 3.0  # of the same bytes
_BLACK_S = 3.0
_REOPEN_BLACK_S = 30.0
_BACK_OFF_S = (0.5, 1.0, 2.0, 4.0, 8.0, 10.0)
_WATCH_S = 0.1
_MOST_HUNG = 4  # readers that hang in a driver at a time
_BLACKEST, _DARKEST = 24, 6  # levels of 255: of the brightest pixel, and of the mean
_SPARSE = 16  # each so manieth pixel is looked at, both ways

_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


class CameraState(Enum):
    """How the camera is; the value is what the attendant reads."""

    OK = "ok"
    STARTING = "starting"
    LOST = "lost: check its cable"
    FROZEN = "frozen: the same picture for seconds"
    BLACK = "black: is the lens covered, is there light?"


class _Reader:
    """One thread that opens a source and reads it until it breaks, or nobody wants it any more."""

    def __init__(self, owner: "WatchedSource", uri: str) -> None:
        self.uri = uri
        self.source: Source | None = None
        self.error = ""
        self.frames = 0
        self.began_s = self.last_s = owner.clock_s()
        self._owner = owner
        self._wanted = True
        self.thread = threading.Thread(target=self._work, name="camera", daemon=True)
        self.thread.start()

    def leave(self) -> None:
        """Let the source go; a reader that hangs is left alone until it comes back."""
        self._wanted = False
        if self.source is not None:
            try:
                self.source.close()
            except Exception as error:  # a driver may raise anything; the show goes on
                _log.warning("closing %s failed: %s", label_of(self.uri), error)

    def _work(self) -> None:
        owner = self._owner
        try:
            source = owner.open_one(self.uri)
            self.source = source
            slot = owner.borrow(source.size)
            self.last_s = owner.clock_s()
            while self._wanted and source.read(slot):
                self.frames += 1
                self.last_s = owner.clock_s()
                if not self._wanted:
                    break
                slot = owner.publish(self, slot)
            owner.give_back(slot)
        except ArtmirrorError as error:
            self.error = error.message
        except Exception as error:  # a driver may raise anything; the show goes on
            self.error = f"{type(error).__name__}: {error}"
        finally:
            self.leave()


@dataclass(slots=True)
class _Newest:
    slot: FrameSlot
    number: int


class WatchedSource:
    """The show's camera, or one of several: see `sources.base.Source`. Its size never changes.

    Args:
        uris: Sources as `st-run` names them; the first is shown first, the next where one is lost for long.
        open_one: Opens one for pictures of `inner_size`.
        size: (H, W) of the pictures that `read` gives, turned already; larger ones of the source are scaled.
        rotation: 0, 90, 180 or 270 degrees clockwise.
        watches: Whether the same or a black picture for seconds is a failure, as with cameras; not so for films.
        look_at: Called with every good picture, before it is turned, by the thread that reads.
    """

    def __init__(
        self,
        uris: Sequence[str],
        open_one: Callable[[str], Source],
        size: Size,
        *,
        rotation: int = 0,
        mirror: bool = False,
        watches: Callable[[str], bool] = lambda uri: True,
        look_at: Callable[[Pixels], None] = lambda picture: None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = uris[0]
        self.size: tuple[int, int] = size
        self.rate: Fraction | None = Fraction(30)
        self.frame_count: int | None = None
        self.live = True
        self.files: tuple[Path, ...] = ()
        self.tracks: Tracks | None = None
        self.open_one, self.clock_s = open_one, clock_s
        self.rests = False  # pictures are read and looked at, but not given on
        self._uris, self._watches, self._look_at = list(uris), watches, look_at
        self._rotation, self._mirror = rotation, mirror
        self._at = 0
        self._changed = threading.Condition()
        self._newest: _Newest | None = None
        self._spare: list[FrameSlot] = []  # used again: memory that each reader makes and leaves would add up
        self._taken = 0
        self._closed = False
        self._state = CameraState.STARTING
        self._reader: _Reader | None = None
        self._hung: list[_Reader] = []
        self._failures = 0
        self._next_try_s = clock_s()
        self._last_good_s = clock_s()
        self._before: Pixels | None = None  # a sparse copy of the picture before
        self._same_since_s: float | None = None
        self._black_since_s: float | None = None
        self.losses = 0
        self.problem = ""  # the last one, in words
        self._keeper = threading.Thread(target=self._keep, name="camera keeper", daemon=True)
        self._keeper.start()

    @property
    def state(self) -> CameraState:
        """How the camera is."""
        return self._state

    @property
    def current(self) -> str:
        """The source that is shown."""
        return self._uris[self._at]

    @property
    def index(self) -> int:
        """Its place among all, from 0."""
        return self._at

    @property
    def labels(self) -> list[str]:
        """All of them, as people may read them: without folders, names and passwords."""
        return [label_of(uri) for uri in self._uris]

    def choose(self, index: int) -> None:
        """Take another one of the sources."""
        with self._changed:
            self._at = index % len(self._uris)
            self._failures = 0
            self._give_up("")
            self._next_try_s = self.clock_s()

    def read(self, slot: FrameSlot, ended: Callable[[], bool] = lambda: False) -> bool:
        """Wait for the next good picture, for as long as it takes; False once closed.

        Args:
            ended: Asked after `wake`: whether this reader wants no more.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._closed or ended() or (self._newest and self._newest.number != self._taken and not self.rests)
                )
            )
            if self._closed or ended() or self._newest is None:
                return False
            self._taken = self._newest.number
            self._place(self._newest.slot.frame, slot.frame)
            slot.captured_ns = self._newest.slot.captured_ns
        slot.media_time_s = slot.duration_s = None
        slot.label = ""
        return True

    def snapshot(self) -> Pixels | None:
        """The newest picture in the source's own size, turned and mirrored; None before the first."""
        with self._changed:
            if self._newest is None:
                return None
            picture = self._newest.slot.frame
            height, width = picture.shape[:2]
            size = (width, height) if self._rotation in (90, 270) else (height, width)
            found: Pixels = np.empty((*size, 3), np.uint8)
            self._place(picture, found)
            return found

    def _place(self, picture: Pixels, out: Pixels) -> None:
        if self._rotation:
            picture = np.asarray(cv2.rotate(picture, _TURNS[self._rotation]), np.uint8)
        place(picture, self._mirror, out)

    def borrow(self, size: tuple[int, int]) -> FrameSlot:
        """A slot to read into."""
        with self._changed:
            while self._spare:
                slot = self._spare.pop()
                if slot.frame.shape[:2] == size:
                    return slot
        return FrameSlot(np.zeros((*size, 3), np.uint8), np.zeros((1, 1, 3), np.uint8))

    def give_back(self, slot: FrameSlot) -> None:
        """A slot that nobody reads into any more."""
        with self._changed:
            self._spare.append(slot)

    def publish(self, reader: _Reader, slot: FrameSlot) -> FrameSlot:
        """Take a picture over, where it is a good one, and give the slot for the next one."""
        now_s = self.clock_s()
        with self._changed:
            if reader is not self._reader:
                return slot
            if self._watches(reader.uri) and not self._is_good(slot.frame, now_s):
                return slot
            if self._state is not CameraState.OK:
                _log.info("%s is well", label_of(reader.uri))
            self._state = CameraState.OK
            self._failures, self.problem = 0, ""
            self._last_good_s = now_s
            before, number = (self._newest.slot, self._newest.number) if self._newest else (None, 0)
            self._newest = _Newest(slot, number + 1)
            self._changed.notify_all()
        self._look_at(slot.frame)
        if before is None or before.frame.shape != slot.frame.shape:
            return self.borrow((slot.frame.shape[0], slot.frame.shape[1]))
        return before

    def rest(self, on: bool) -> None:
        """Give no pictures on, or go on."""
        with self._changed:
            self.rests = on
            self._changed.notify_all()

    def wake(self) -> None:
        """Make whoever waits in `read` look whether it is still wanted."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """End it, from any thread."""
        with self._changed:
            self._closed = True
            if self._reader is not None:
                self._reader.leave()
            self._changed.notify_all()

    def _is_good(self, picture: Pixels, now_s: float) -> bool:
        sparse = picture[::_SPARSE, ::_SPARSE]
        same = self._before is not None and np.array_equal(sparse, self._before)
        if self._before is None or not same:
            self._before = sparse.copy()
            self._same_since_s = None
        elif self._same_since_s is None:
            self._same_since_s = now_s
        is_black = int(sparse.max()) <= _BLACKEST and float(sparse.mean()) <= _DARKEST
        self._black_since_s = (self._black_since_s or now_s) if is_black else None
        if self._black_since_s is not None and now_s - self._black_since_s >= _BLACK_S:
            self._fault(CameraState.BLACK)
            return False
        if self._same_since_s is not None and now_s - self._same_since_s >= _FROZEN_S and not is_black:
            self._fault(CameraState.FROZEN)
            self._give_up("the same picture for seconds")
            return False
        return True

    def _fault(self, state: CameraState) -> None:
        if self._state is not state:
            if self._state is CameraState.OK:
                self.losses += 1
            self._state = state
            self.problem = state.value
            _log.warning("%s is %s", self.labels[self._at], state.value)

    def _keep(self) -> None:
        """See that somebody reads, or begins to, as long as the show lasts."""
        while True:
            with self._changed:
                if self._closed:
                    return
                self._look_after(self.clock_s())
            time.sleep(_WATCH_S)

    def _look_after(self, now_s: float) -> None:
        self._hung = [reader for reader in self._hung if reader.thread.is_alive()]
        reader = self._reader
        if reader is None:
            if now_s >= self._next_try_s and len(self._hung) < _MOST_HUNG:
                self._same_since_s = None
                self._reader = _Reader(self, self.current)
        elif not reader.thread.is_alive():
            film_ended = not reader.error and reader.frames > 0 and not self._watches(reader.uri)
            self._give_up(reader.error or "it ended", film_ended)
        elif now_s - reader.last_s > (_HANGS_S if reader.source is not None else _OPENING_S):
            self._hung.append(reader)
            self._give_up("it hangs")
        elif (
            self._black_since_s is not None
            and self._state is CameraState.BLACK
            and now_s - self._black_since_s > _REOPEN_BLACK_S
        ):
            self._black_since_s = now_s - _BLACK_S
            self._give_up("it stays black")
        if self._state is CameraState.OK and now_s - self._last_good_s > _LATE_S:
            self._fault(CameraState.LOST)

    def _give_up(self, why: str, film_ended: bool = False) -> None:
        """Leave the reader, and say when the next one begins."""
        reader, self._reader = self._reader, None
        if reader is None:
            return
        reader.leave()
        now_s = self.clock_s()
        if film_ended:
            self._next_try_s = now_s
            return
        if why:
            if why != self.problem:  # else it is the same again and again
                _log.warning("%s: %s; looking for it", label_of(reader.uri), why)
            self.problem = why
            self._next_try_s = now_s + _BACK_OFF_S[min(self._failures, len(_BACK_OFF_S) - 1)]
            self._failures += 1
            if len(self._uris) > 1 and self._failures >= 3:  # another one may be there
                self._at = (self._at + 1) % len(self._uris)


def is_camera(uri: str) -> bool:
    """Whether a source is a camera or a stream, and no file."""
    return uri.isdecimal() or uri.startswith(("camera:", "rehearsal:", "synthetic:")) or "://" in uri


def label_of(uri: str) -> str:
    """A source's name as people may read it."""
    if uri.isdecimal() or uri.startswith("camera:"):
        return f"Camera {uri.removeprefix('camera:')}"
    if "://" in uri:
        return f"Stream from {urlsplit(uri).hostname or 'elsewhere'}"
    return Path(uri).name
