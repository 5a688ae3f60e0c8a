"""What is run: the engine alone, with transfers, and the whole pipeline from a source to nowhere."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from statistics import median
from typing import Protocol

import numpy as np

from artmirror.benchmarks.records.measuring import Stopped
from artmirror.benchmarks.records.speed import Round, Samples, ScenarioName
from artmirror.benchmarks.speed.idle_engine import IdleEngine, SlotPainter
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.engines.base import FULL_STYLE, Engine, EngineInfo, Look
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.pipeline import Pipeline
from artmirror.runtime.sinks.null import NullSink
from artmirror.runtime.sources.base import Source

WARMUP_FRAMES = 5  # of every run: they refill the caches that the run before took
_BOOKKEPT_FRAMES = 500  # over which the cost of measuring is taken: under a millisecond


class Scenario(Protocol):
    """Something that can be run again and again.

    Attributes:
        name: For the record.
        source: Where frames come from, or None.
        holds: What its times are times of, in words.
    """

    name: ScenarioName
    source: str | None
    holds: str

    def run(self, frames: int, should_stop: Callable[[], bool]) -> Round:
        """Run `WARMUP_FRAMES` and then `frames` frames.

        Raises:
            ArtmirrorError: engine or source failed, or the source ended too soon.
            Stopped: `should_stop` said so; it is asked for every frame.
        """
        ...

    def bookkeeping_ns(self) -> int:
        """What measuring takes of every frame: the same loop, or what it calls, with nothing to measure."""
        ...


class KeptSlots:
    """An engine that lends the same slots to every run; by itself it would keep new ones for each until it closes."""

    def __init__(self, engine: Engine) -> None:
        """Take over `engine`; `close` closes it."""
        self._engine = engine
        self._slots: list[FrameSlot] = []
        self.manifest = engine.manifest
        self.has_strength = engine.has_strength
        self.max_in_flight = engine.max_in_flight

    def allocate(self, count: int) -> list[FrameSlot]:
        """Lend `count` slots; those lent before must be free again."""
        missing = count - len(self._slots)
        if missing > 0:
            self._slots += self._engine.allocate(missing)
        return self._slots[:count]

    def follow(self, slot: FrameSlot, look: Look) -> bool:
        """Find its motion, as the engine does."""
        return self._engine.follow(slot, look)

    def submit(self, slot: FrameSlot, look: Look) -> None:
        """Begin to stylize, as the engine does."""
        self._engine.submit(slot, look)

    def wait(self, slot: FrameSlot) -> None:
        """Wait as the engine does.

        Raises:
            ArtmirrorError: the device or the library failed.
        """
        self._engine.wait(slot)

    def reset(self) -> None:
        """Forget as the engine does."""
        self._engine.reset()

    def describe(self) -> EngineInfo:
        """The engine's own description."""
        return self._engine.describe()

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()


class EngineOnly:
    """One picture through the engine, over and over, first one at a time, then with the engine kept full."""

    source: str | None = None

    def __init__(self, engine: SlotPainter, picture: Pixels, holds: str = "", *, name: ScenarioName = "engine") -> None:
        """Use `engine` with `picture`, (H, W, 3) uint8 BGR of its size."""
        self.name: ScenarioName = name
        self._engine = engine
        self._picture = picture
        self.holds = holds

    def run(self, frames: int, should_stop: Callable[[], bool]) -> Round:
        """Measure latency, then throughput: that comes last, next to the pipeline's run that it is compared with."""
        count = WARMUP_FRAMES + frames
        slots = self._engine.allocate(self._engine.max_in_flight)
        self._prepare(slots)
        latency_ns = self._one_at_a_time(slots[0], count, should_stop)
        completed_ns = self._kept_full(slots, count, should_stop)
        if should_stop():
            raise Stopped
        return split_round(completed_ns, latency_ns)

    def bookkeeping_ns(self) -> int:
        """The loops' own time, by running them on an engine that does nothing: the longer of the two."""
        found = self._idle().run(_BOOKKEPT_FRAMES, lambda: False).measured
        return max(_median_step(found.completed_ns), round(median(found.latency_ns)))

    def _idle(self) -> "EngineOnly":
        return type(self)(IdleEngine(), np.zeros((1, 1, 3), np.uint8))

    def _prepare(self, slots: Sequence[FrameSlot]) -> None:
        for slot in slots:
            slot.frame[:] = self._picture

    def _begin(self, slot: FrameSlot) -> None:
        self._engine.submit(slot, FULL_STYLE)

    def _finish(self, slot: FrameSlot) -> None:
        self._engine.wait(slot)

    def _one_at_a_time(self, slot: FrameSlot, count: int, should_stop: Callable[[], bool]) -> list[int]:
        latency_ns = []
        for _ in range(count):
            if should_stop():
                break
            started_ns = time.monotonic_ns()
            self._begin(slot)
            self._finish(slot)
            latency_ns.append(time.monotonic_ns() - started_ns)
        return latency_ns

    def _kept_full(self, slots: list[FrameSlot], count: int, should_stop: Callable[[], bool]) -> list[int]:
        completed_ns = []
        in_engine: deque[FrameSlot] = deque()
        free = deque(slots)
        left = count
        started_ns = time.monotonic_ns()
        while left or in_engine:
            if left and should_stop():
                left = 0  # what is in the engine comes out before anybody touches the slots again
            elif left and free:
                slot = free.popleft()
                self._begin(slot)
                in_engine.append(slot)
                left -= 1
            else:
                slot = in_engine.popleft()
                self._finish(slot)
                completed_ns.append(time.monotonic_ns() - started_ns)
                free.append(slot)
        return completed_ns


class WithTransfers(EngineOnly):
    """The same, from a picture in memory that is not the engine's to one that is not either."""

    def __init__(self, engine: SlotPainter, picture: Pixels, holds: str = "") -> None:
        """As for the engine alone."""
        super().__init__(engine, picture, holds, name="transfers")
        self.result = np.zeros_like(picture)  # of the frame that was done last

    def _begin(self, slot: FrameSlot) -> None:
        np.copyto(slot.frame, self._picture)
        super()._begin(slot)

    def _finish(self, slot: FrameSlot) -> None:
        super()._finish(slot)
        np.copyto(self.result, slot.stylized)


class WholePipeline:
    """Source, engine and a sink that keeps nothing, threads and all, as st-run runs them."""

    def __init__(self, engine: Engine, open_source: Callable[[int | None], Source], source: str, live: bool) -> None:
        """Run `engine` on what `open_source` gives, called for every run.

        Args:
            open_source: Takes the number of frames after which the source shall end; None for a live one, of whose
                frames nobody knows how many are dropped.
            source: Its name for the record.
            live: Whether it paces itself.
        """
        self._engine = engine
        self._open_source = open_source
        self._live = live
        self.name: ScenarioName = "live" if live else "pipeline"
        self.source: str | None = source
        self.holds = (
            "a source that paces itself, to a sink that keeps nothing; the newest frame wins"
            if live
            else "a source that is always ready, to a sink that keeps nothing"
        )

    def run(self, frames: int, should_stop: Callable[[], bool]) -> Round:
        """Run from a freshly opened source to the last frame that is wanted."""
        wanted = WARMUP_FRAMES + frames
        source = self._open_source(None if self._live else wanted)
        try:
            pipeline = Pipeline(source, self._engine, [NullSink()])
            log = _FrameLog(wanted if self._live else None, should_stop)
            statistics = pipeline.run(should_stop=log.is_over, observe=log.note)
        finally:
            source.close()
        if pipeline.failure is not None:
            raise pipeline.failure
        if should_stop():
            raise Stopped
        if statistics.frames_out <= WARMUP_FRAMES:
            raise ArtmirrorError(
                f"{self.source} gave {statistics.frames_out} frames; more than {WARMUP_FRAMES} are wanted, "
                f"since so many warm up: name a longer --input"
            )
        return split_round(
            log.completed_ns, statistics.latency_ns.tolist(), statistics.engine_ns.tolist(), statistics.frames_dropped
        )

    def bookkeeping_ns(self) -> int:
        """What the pipeline calls for every frame; its own statistics are st-run's too."""
        log = _FrameLog(_BOOKKEPT_FRAMES, lambda: False)
        while not log.is_over():
            log.note(0)
        return _median_step(log.completed_ns)


class _FrameLog:
    """When each frame of a run was done, and whether that was the last."""

    def __init__(self, wanted: int | None, should_stop: Callable[[], bool]) -> None:
        """Begin now; `wanted` frames end a run that has no end of its own."""
        self.completed_ns: list[int] = []
        self._wanted = wanted
        self._should_stop = should_stop
        self._started_ns = time.monotonic_ns()

    def is_over(self) -> bool:
        return self._should_stop() or len(self.completed_ns) == self._wanted

    def note(self, frames_out: int) -> None:
        self.completed_ns.append(time.monotonic_ns() - self._started_ns)


def split_round(
    completed_ns: Sequence[int], latency_ns: Sequence[int], engine_ns: Sequence[int] = (), frames_dropped: int = 0
) -> Round:
    """Part the warm-up frames from the measured ones. `completed_ns` counts from the start of the run."""
    warm_ns = completed_ns[WARMUP_FRAMES - 1]
    return Round(
        warmup=Samples(
            completed_ns=tuple(completed_ns[:WARMUP_FRAMES]),
            latency_ns=tuple(latency_ns[:WARMUP_FRAMES]),
            engine_ns=tuple(engine_ns[:WARMUP_FRAMES]),
        ),
        measured=Samples(
            completed_ns=tuple(done_ns - warm_ns for done_ns in completed_ns[WARMUP_FRAMES:]),
            latency_ns=tuple(latency_ns[WARMUP_FRAMES:]),
            engine_ns=tuple(engine_ns[WARMUP_FRAMES:]),
        ),
        frames_dropped=frames_dropped,
    )


def _median_step(completed_ns: Sequence[int]) -> int:
    return round(float(np.median(np.diff(completed_ns))))
