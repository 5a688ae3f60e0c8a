"""An engine and a source that count what is done to them, and records made of round numbers."""

import time
from collections import deque
from dataclasses import fields, replace
from fractions import Fraction

import numpy as np

from artmirror.benchmarks.records.environment import Environment
from artmirror.benchmarks.records.speed import Record, Round, Samples, Sensed, Start, StartRecord, Subject
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.engines.base import EngineInfo, Look
from artmirror.runtime.formats.manifest import Manifest
from artmirror.runtime.frame import FrameSlot

SIZE = (64, 80)  # (H, W)


def make_manifest(name: str) -> Manifest:
    """Return the manifest of a network that does not exist."""
    return Manifest(
        name=name,
        title="",
        artist="",
        year="",
        preset="tiny",
        network={},
        precision="fp32",
        height=None,
        width=None,
        checkpoint_sha256="",
        steps=0,
        graph_sha256=f"sha of {name}",
    )


class FakeEngine:
    """Inverts the picture, and holds its user to the Protocol."""

    has_strength = True
    max_in_flight = 2

    def __init__(
        self, name: str = "fake", backend: str = "openvino", fail_at: int | None = None, size: tuple[int, int] = SIZE
    ) -> None:
        self.size = size
        self.manifest = make_manifest(name)
        self.backend = backend
        self.fail_at = fail_at
        self.allocated = 0
        self.waited = 0
        self.most_in_flight = 0
        self.inputs: list[int] = []  # one pixel value of every frame
        self.in_flight: deque[FrameSlot] = deque()
        self.closed = False

    def allocate(self, count: int) -> list[FrameSlot]:
        self.allocated += count
        shape = (*self.size, 3)
        return [FrameSlot(np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)) for _ in range(count)]

    def submit(self, slot: FrameSlot, look: Look) -> None:
        assert all(slot is not other for other in self.in_flight), "the slot is in the engine already"
        assert len(self.in_flight) < self.max_in_flight
        self.in_flight.append(slot)
        self.most_in_flight = max(self.most_in_flight, len(self.in_flight))
        self.inputs.append(int(slot.frame[0, 0, 0]))

    def wait(self, slot: FrameSlot) -> None:
        assert self.in_flight.popleft() is slot, "waited for out of order"
        self.waited += 1
        if self.waited == self.fail_at:
            raise ArtmirrorError("the fake engine broke")
        np.subtract(255, slot.frame, out=slot.stylized)

    def reset(self) -> None:
        pass

    def describe(self) -> EngineInfo:
        return EngineInfo(self.backend, "fakelib 1.2", "no processor", "fp32", self.size)

    def close(self) -> None:
        self.closed = True


class FakeSource:
    """So many frames, all of one colour."""

    name = "fake"
    size = SIZE
    rate: Fraction | None = None
    sound: str | None = None

    def __init__(self, frames: int, live: bool = False) -> None:
        self.frame_count: int | None = frames
        self.live = live
        self.left = frames
        self.closed = False

    def read(self, slot: FrameSlot) -> bool:
        if self.left == 0 or self.closed:
            return False
        self.left -= 1
        slot.frame[:] = 7
        slot.captured_ns = time.monotonic_ns()
        return True

    def close(self) -> None:
        self.closed = True


def make_round(frame_ms: float, latency_ms: list[float] | None = None, sensed: Sensed | None = None) -> Round:
    """Return a round of ten frames, `frame_ms` apart, after warm-up frames that took far longer."""
    latency_ns = tuple(round(value * 1e6) for value in latency_ms or [frame_ms] * 10)
    return Round(
        warmup=Samples(completed_ns=(900_000_000, 1_800_000_000), latency_ns=(900_000_000, 900_000_000)),
        measured=Samples(
            completed_ns=tuple(round(frame_ms * 1e6) * (index + 1) for index in range(10)), latency_ns=latency_ns
        ),
        sensed=sensed,
    )


def make_record(*rounds: Round, **changes: object) -> Record:
    """Return an engine-only record of `rounds`."""
    record = Record(
        engine="starry",
        style="starry",
        preset="tiny",
        graph_sha256="abc",
        backend="openvino",
        library="openvino 1",
        device="a processor",
        precision="bf16",
        height=360,
        width=640,
        threads=None,
        scenario="engine",
        source=None,
        rounds=rounds,
        peak_rss_bytes=200_000_000,
    )
    return replace(record, **changes)


def make_start(total_ms: int, **changes: object) -> Start:
    """Return a start whose stages take nothing, a tenth, two tenths, three and four of `total_ms`."""
    tenth_ns = total_ms * 100_000
    start = Start(0, tenth_ns, 2 * tenth_ns, 3 * tenth_ns, 4 * tenth_ns, 150_000_000, None)
    return replace(start, **changes)


def make_start_record(cold: tuple[Start, ...], cached: tuple[Start, ...], **changes: object) -> StartRecord:
    """Return the starts of the engine of `make_record`."""
    same = {entry.name: getattr(make_record(), entry.name) for entry in fields(Subject)}
    return replace(StartRecord(**same, frames=10, cache_bytes=1000, cold=cold, cached=cached), **changes)


def make_environment() -> Environment:
    """Return an environment that is nobody's."""
    return Environment(
        artmirror="0.1.0",
        commit=None,
        python="CPython 3.11.0",
        os="Linux",
        cpu="a processor",
        cores=2,
        libraries={"numpy": "2.0"},
        time="2026-01-01T00:00:00+00:00",
        load_average_1min=0.5,
    )
