"""What is run: the engine alone, and the whole pipeline from a source to nowhere."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from artmirror.benchmarks.record import Round, Samples, ScenarioName
from artmirror.runtime.engine import Engine, EngineInfo, stylize
from artmirror.runtime.errors import ArtmirrorError
from artmirror.runtime.frame import FrameSlot, Pixels
from artmirror.runtime.pipeline import Pipeline
from artmirror.runtime.sink_null import NullSink
from artmirror.runtime.source import Source

WARMUP_FRAMES = 5  # of every run: they refill the caches that the run before took


class Stopped(Exception):
    """A run was asked to stop; what it measured is void."""


class Scenario(Protocol):
    """Something that can be run again and again.

    Attributes:
        name: For the record.
        source: The pipeline's source, or None.
        live: Whether that source paces itself.
    """

    name: ScenarioName
    source: str | None
    live: bool

    def run(self, frames: int, should_stop: Callable[[], bool]) -> Round:
        """Run `WARMUP_FRAMES` and then `frames` frames.

        Raises:
            ArtmirrorError: engine or source failed, or the source ended too soon.
            Stopped: `should_stop` said so; it is asked for every frame.
        """
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

    def submit(self, slot: FrameSlot, strength: float) -> None:
        """Begin to stylize, as the engine does."""
        self._engine.submit(slot, strength)

    def wait(self, slot: FrameSlot) -> None:
        """Wait as the engine does.

        Raises:
            ArtmirrorError: the device or the library failed.
        """
        self._engine.wait(slot)

    def describe(self) -> EngineInfo:
        """The engine's own description."""
        return self._engine.describe()

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()


class EngineOnly:
    """One picture through the engine, over and over, first one at a time, then with the engine kept full."""

    name: ScenarioName = "engine"
    source: str | None = None
    live = False

    def __init__(self, engine: Engine, picture: Pixels) -> None:
        """Use `engine` with `picture`, (H, W, 3) uint8 BGR of its size."""
        self._engine = engine
        self._picture = picture

    def run(self, frames: int, should_stop: Callable[[], bool]) -> Round:
        """Measure latency, then throughput: that comes last, next to the pipeline's run that it is compared with."""
        count = WARMUP_FRAMES + frames
        slots = self._engine.allocate(self._engine.max_in_flight)
        for slot in slots:
            slot.frame[:] = self._picture
        latency_ns = self._one_at_a_time(slots[0], count, should_stop)
        completed_ns = self._kept_full(slots, count, should_stop)
        if should_stop():
            raise Stopped
        return split_round(completed_ns, latency_ns)

    def _one_at_a_time(self, slot: FrameSlot, count: int, should_stop: Callable[[], bool]) -> list[int]:
        latency_ns = []
        for _ in range(count):
            if should_stop():
                break
            started_ns = time.monotonic_ns()
            stylize(self._engine, slot)
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
                self._engine.submit(slot, 1.0)
                in_engine.append(slot)
                left -= 1
            else:
                slot = in_engine.popleft()
                self._engine.wait(slot)
                completed_ns.append(time.monotonic_ns() - started_ns)
                free.append(slot)
        return completed_ns


class WholePipeline:
    """Source, engine and a sink that keeps nothing, threads and all, as st-run runs them."""

    name: ScenarioName = "pipeline"

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
        self.source: str | None = source
        self.live = live

    def run(self, frames: int, should_stop: Callable[[], bool]) -> Round:
        """Run from a freshly opened source to the last frame that is wanted."""
        wanted = WARMUP_FRAMES + frames
        completed_ns: list[int] = []
        source = self._open_source(None if self.live else wanted)
        try:
            pipeline = Pipeline(source, self._engine, [NullSink()])
            started_ns = time.monotonic_ns()
            statistics = pipeline.run(
                should_stop=lambda: should_stop() or (self.live and len(completed_ns) == wanted),
                observe=lambda frames_out: completed_ns.append(time.monotonic_ns() - started_ns),
            )
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
            completed_ns, statistics.latency_ns.tolist(), statistics.engine_ns.tolist(), statistics.frames_dropped
        )


def source_label(uri: str) -> str:
    """A source's name for a record that may be published: no folders, no hosts, no passwords."""
    scheme, separator, _ = uri.partition("://")
    if separator:
        return f"{scheme}://"
    return uri if uri.startswith("synthetic:") or uri.isdecimal() else Path(uri).name


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
