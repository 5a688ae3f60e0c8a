"""The real-time path: source thread -> engine thread -> sinks in the calling thread.

    source --frames--> engine --results--> sinks
       ^                                     |
       +----------- pool of free slots <-----+

A slot goes round; nothing is allocated once the threads run.
"""

import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.engines.base import FULL_STYLE, Engine, Look, stylize
from artmirror.runtime.exchange import Handover, Policy, SlotPool
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.run_statistics import RunStatistics, Series
from artmirror.runtime.sinks.base import Sink
from artmirror.runtime.sources.base import Source

_log = logging.getLogger("artmirror.runtime")

_POLL_S = 0.05  # how soon a signal or a failure in another thread is noticed
_EARLY_S = 0.002  # motion is found so much earlier than it has to be, or a frame painted sooner would go unnoticed


class Pipeline:
    """One run of frames through an engine.

    Args:
        source: Opened; closed by `run`.
        engine: Compiled for the source's size; left open. It runs once here, since a first run sets things up.
        sinks: Opened; closed by `run`, or discarded where they failed.
        look: Asked for every frame, by the thread that hands it to the engine.
        first_id: Number of the first frame, where others were painted before.

    Raises:
        ArtmirrorError: the engine fails at its first run; source and sinks are left to the caller.
    """

    def __init__(
        self,
        source: Source,
        engine: Engine,
        sinks: Sequence[Sink],
        *,
        look: Callable[[], Look] = lambda: FULL_STYLE,
        first_id: int = 0,
    ) -> None:
        self._source = source
        self._engine = engine
        self._sinks = list(sinks)
        self._look = look
        self._policy = Policy.LIVE if source.live else Policy.EVERY
        # A second frame in the engine's queue keeps it busy, but grows old there: for files only.
        self._depth = 1 if source.live else engine.max_in_flight
        # One slot with the source, one before the engine, those in it, one behind it, one with the sinks; and a live
        # one that is followed.
        count = self._depth + 4 + source.live
        slots = engine.allocate(min(count, source.frame_count or count))
        if source.frame_count != 1:  # a single picture is painted once, not twice
            stylize(engine, slots[0], look())
            engine.reset()
        self._pool = SlotPool(slots)
        self._frames = Handover(self._policy, self._pool)
        self._results = Handover(self._policy, self._pool)
        self._first_id = first_id
        self._frames_in = 0
        self._frames_out = 0
        self._last_out_ns = 0
        self._done_ns = 0  # when the engine gave its last frame
        self._engine_ns = Series()
        self._latency_ns = Series()
        self._cut_short = False  # the source had more to come
        self.failure: ArtmirrorError | None = None  # the first that there was; what came before it is delivered

    def run(
        self,
        *,
        should_stop: Callable[[], bool] = lambda: False,
        observe: Callable[[int], None] = lambda frames_out: None,
    ) -> RunStatistics:
        """Run to the end of the source, a stop, or a failure (see `failure`), and close source and sinks.

        Sinks are discarded where the source or the engine failed, or a file was not read to its end: what they have is
        not whole.

        Args:
            should_stop: Asked for every frame, and at least every 50 ms.
            observe: Called after every frame with the number of frames out.
        """
        threads = [
            threading.Thread(target=self._guarded, args=(work, after), name=name, daemon=True)
            for name, work, after in (
                ("source", self._read, self._frames),
                ("engine", self._stylize, self._results),
            )
        ]
        started_ns = time.monotonic_ns()
        try:
            for thread in threads:
                thread.start()
            self._forward_results(should_stop, observe)
        finally:
            self._stop()
            for thread in threads:
                thread.join(timeout=5)  # a camera driver that hangs must not hang the program
            self._close_sinks()
            _let_go(self.failure)
        return RunStatistics(
            frames_in=self._frames_in,
            frames_out=self._frames_out,
            frames_dropped=self._frames_in - self._frames_out,
            duration_s=(self._last_out_ns - started_ns) / 1e9 if self._frames_out else 0.0,
            engine_ns=self._engine_ns.values_ns.copy(),
            latency_ns=self._latency_ns.values_ns.copy(),
            deepest_queue=self._frames.deepest,
        )

    def _forward_results(self, should_stop: Callable[[], bool], observe: Callable[[int], None]) -> None:
        while not self._results.ended:
            if should_stop():
                self._cut_short = not self._source.live
                return
            slot = self._results.take(_POLL_S)
            if slot is None:
                continue
            if not self._deliver(slot):
                return
            self._frames_out += 1
            self._last_out_ns = time.monotonic_ns()
            self._latency_ns.add(self._last_out_ns - slot.captured_ns)
            observe(self._frames_out)
            self._pool.give_back(slot)

    def _guarded(self, work: Callable[[], None], after: Handover) -> None:
        """Run a thread's work; keep its failure for the main thread; end the handover behind it in any case."""
        try:
            work()
        except ArtmirrorError as error:
            self._cut_short = True
            self._fail(error)
        except Exception as error:  # a defect; shown as one line, with its cause under --debug
            wrapped = ArtmirrorError(f"internal error in the {threading.current_thread().name} thread: {error!r}")
            wrapped.__cause__ = error
            self._cut_short = True
            self._fail(wrapped)
        finally:
            after.close()

    def _fail(self, error: ArtmirrorError) -> None:
        self.failure = self.failure or error

    def _read(self) -> None:
        while (slot := self._pool.borrow()) is not None:
            if not self._source.read(slot):
                self._pool.give_back(slot)
                return
            slot.id = self._first_id + self._frames_in
            self._frames_in += 1
            self._frames.put(slot)

    def _stylize(self) -> None:
        try:
            if self._source.live:
                self._stylize_newest()
            else:
                self._stylize_all()
        finally:
            self._frames.close(drop_waiting=True)  # after a failure nobody takes them
            self._pool.close()

    def _stylize_all(self) -> None:
        in_engine: deque[FrameSlot] = deque()
        while not (self._frames.ended and not in_engine):
            slot = self._frames.take(0 if in_engine else _POLL_S)
            if slot is not None:
                slot.submitted_ns = time.monotonic_ns()
                self._engine.submit(slot, self._look())
                in_engine.append(slot)
            if in_engine and (slot is None or len(in_engine) == self._depth):
                self._finish(in_engine.popleft())

    def _stylize_newest(self) -> None:
        """One frame at a time, the newest.

        Where an engine follows motion, it does so for the next frame while one is painted; as late as it can be done
        by then, since the frame grows old.
        """
        painting, following = _Duration(), _Duration()
        slot: FrameSlot | None = None
        look = FULL_STYLE
        while True:
            if slot is None:
                slot = self._frames.take(_POLL_S)
                if slot is None:
                    if self._frames.ended:
                        return
                    continue
                look = self._follow(slot, following)
            self._engine.submit(slot, look)
            began_s = time.monotonic()
            after = None
            if following.s > 0:
                time.sleep(max(0.0, painting.s - following.s - _EARLY_S))
                after = self._frames.take(0)
            if after is not None:
                look = self._follow(after, following)
            self._finish(slot)
            painting.add(time.monotonic() - began_s)
            slot = after

    def _follow(self, slot: FrameSlot, following: "_Duration") -> Look:
        slot.submitted_ns = time.monotonic_ns()
        look = self._look()
        began_s = time.monotonic()
        if self._engine.follow(slot, look):
            following.add(time.monotonic() - began_s)
        else:
            following.s = 0.0
        return look

    def _finish(self, slot: FrameSlot) -> None:
        self._engine.wait(slot)
        slot.stylized_ns = time.monotonic_ns()
        # A frame that waited behind another in the engine began when that one was done.
        self._engine_ns.add(slot.stylized_ns - max(slot.submitted_ns, self._done_ns))
        self._done_ns = slot.stylized_ns
        self._results.put(slot)

    def _deliver(self, slot: FrameSlot) -> bool:
        """Hand a result to every sink; False when the run should stop instead.

        One that fails is told and left out; the others go on.
        """
        for sink in list(self._sinks):
            try:
                if not sink.write(slot):
                    return False
            except ArtmirrorError as error:
                self._fail(error)
                self._sinks.remove(sink)
                sink.discard()
                if not self._sinks:
                    return False
                _log.warning("%s; the other outputs go on", error.message)
        return True

    def _stop(self) -> None:
        self._pool.close()
        self._frames.close(drop_waiting=True)
        self._results.close(drop_waiting=True)
        self._source.close()

    def _close_sinks(self) -> None:
        for sink in self._sinks:
            if self._cut_short:
                sink.discard()
                continue
            try:
                sink.close()
            except ArtmirrorError as error:
                self._fail(error)


class _Duration:
    """How long something takes lately."""

    def __init__(self) -> None:
        self.s = 0.0

    def add(self, taken_s: float) -> None:
        self.s = taken_s if self.s == 0 else 0.8 * self.s + 0.2 * taken_s


def _let_go(error: BaseException | None) -> None:
    """Drop what the frames of a traceback hold: slots and streams of a GPU would live as long as the error does.

    The traceback itself stays, for --debug.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
