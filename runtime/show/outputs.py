"""Where the painted picture goes beside the screen: each output on a thread of its own, so that none slows another."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime
from fractions import Fraction
from pathlib import Path

import numpy as np

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pixels import Size
from artmirror.runtime.common.priority import give_way
from artmirror.runtime.common.suffixes import WRITTEN_VIDEO_SUFFIXES
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.show.settings import Output as OutputSettings
from artmirror.runtime.sinks.base import Sink, SinkFormat
from artmirror.runtime.sinks.open import ANNOUNCED, open_sink

_log = logging.getLogger("artmirror.show")

_RETRY_S = (1.0, 2.0, 5.0, 10.0, 30.0)


class Output:
    """One place. It takes the newest picture when it has written the one before; what comes between is dropped.

    One that breaks (a server that is gone, a disk that is full) is opened again, for ever; the show goes on meanwhile.

    Args:
        open_output: Opens the sink; once more after a failure and for each segment.
        segment_s: A new sink each so long; None for one.
    """

    def __init__(
        self,
        name: str,
        size: Size,
        rate: float,
        open_output: Callable[[], Sink],
        segment_s: float | None = None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.written = self.dropped = self.failures = 0
        self.problem = ""
        self._open_output, self._segment_s, self._clock_s = open_output, segment_s, clock_s
        self._period_ns = int(0.9e9 / rate)
        self._last_ns = 0
        self._next = FrameSlot(np.zeros((1, 1, 3), np.uint8), np.zeros((*size, 3), np.uint8))
        self._mine = FrameSlot(self._next.frame, np.zeros((*size, 3), np.uint8))
        self._waiting = False
        self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name=f"output {name}", daemon=True)
        self._thread.start()

    def offer(self, slot: FrameSlot) -> None:
        """Take a copy of `slot.stylized`, unless it comes too soon; never waits for the place it goes to."""
        if slot.captured_ns - self._last_ns < self._period_ns:
            return
        self._last_ns = slot.captured_ns
        with self._changed:
            self.dropped += self._waiting
            np.copyto(self._next.stylized, slot.stylized)
            self._next.id, self._next.captured_ns = slot.id, slot.captured_ns
            self._waiting = True
            self._changed.notify()

    def close(self) -> None:
        """Finish what was written; waits some seconds for it."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join(timeout=10)

    def _work(self) -> None:
        give_way()
        sink: Sink | None = None
        began_s = next_try_s = 0.0
        tries = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ended)
                if self._ended:
                    break
                self._waiting = False
                self._next, self._mine = self._mine, self._next
            now_s = self._clock_s()
            try:
                if sink is not None and self._segment_s is not None and now_s - began_s >= self._segment_s:
                    done, sink = sink, None
                    done.close()
                if sink is None:
                    if now_s < next_try_s:
                        self.dropped += 1
                        continue
                    sink = self._open_output()
                    began_s = now_s
                sink.write(self._mine)
                self.written += 1
                tries, self.problem = 0, ""
            except Exception as error:  # of any library; the show goes on
                told = getattr(error, "message", f"{type(error).__name__}: {error}")
                if told != self.problem:
                    _log.warning("output %s: %s", self.name, told)
                self.problem, self.failures = str(told), self.failures + 1
                next_try_s = now_s + _RETRY_S[min(tries, len(_RETRY_S) - 1)]
                tries += 1
                if sink is not None:
                    sink.discard()
                    sink = None
        if sink is not None:
            try:
                sink.close()
            except ArtmirrorError as error:
                _log.warning("output %s: %s", self.name, error.message)


def _free_name(path: Path) -> Path:
    """The recording's name with the time of now: never over an older one."""
    stem = f"{path.stem}-{datetime.now():%Y%m%d-%H%M%S}"
    names = (path.with_name(f"{stem}{number}{path.suffix}") for number in ("", *(f"-{n}" for n in range(2, 10_000))))
    return next(name for name in names if not name.exists())


def open_output(settings: OutputSettings, size: Size, folder: Path) -> Output:
    """Begin an output as the show's file names it.

    Args:
        folder: Of the show's file.

    Raises:
        ArtmirrorError: it is a window, or segments are wanted of what is no film.
    """
    uri = settings.to
    if uri in ("window:", "-") or uri.startswith("pipe:"):
        raise ArtmirrorError(f"{uri} is no output of a show: name a film, a stream, camera:, ndi: or null:")
    is_film = Path(uri).suffix.lower() in WRITTEN_VIDEO_SUFFIXES and "://" not in uri
    if settings.segment is not None and not is_film:
        raise ArtmirrorError(f"{uri} has no segments: they are for recordings such as show.mp4")
    format = SinkFormat(size, Fraction(settings.rate).limit_denominator(1001), None, None, live=True)

    def opened() -> Sink:
        if "://" in uri or uri in ("null:",) or uri.startswith(ANNOUNCED):
            return open_sink(uri, format)
        path = folder / Path(uri).expanduser()
        if is_film:
            path = _free_name(path)
        return open_sink(f"{path}/" if uri.endswith("/") else str(path), format)

    return Output(uri, size, settings.rate, opened, settings.segment)
