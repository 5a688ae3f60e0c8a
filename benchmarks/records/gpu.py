"""What `st-bench gpu` leaves behind: a row for each way to run a network, what became of tests, and their JSON."""

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from artmirror.benchmarks.records.environment import Environment
from artmirror.benchmarks.records.json_file import fitted_record, read_text, write_text
from artmirror.runtime.common.plain_data import Decibels, Duration, Positive, Rate, Whole

KIND = "gpu"
WITHOUT_GRAPH = " without graph"  # ends the name of a row of an engine that has another one with a CUDA graph
FORMAT_VERSION = 2


@dataclass(frozen=True, slots=True)
class Row:
    """One way to run the network at one size. All that was not measured is empty or None, with a reason."""

    name: str
    size: str  # 640x360
    network: str = ""
    frame_flop: Positive | None = None  # of the convolutions
    frame_bytes: Positive | None = None  # moved, estimated from the graph with nothing fused
    reason: str | None = None  # why it was not measured
    library: str = ""
    note: str = ""
    psnr_db: Decibels | None = None  # against PyTorch in FP32; infinite where nothing differs
    compute_ns: tuple[Duration, ...] = ()  # each frame by itself, by the host's clock, from its start to its end
    compute_fps: Rate | None = None  # with frames queued up
    end_to_end_ns: tuple[Duration, ...] = ()  # each frame by itself, from host memory to host memory
    end_to_end_fps_one_slot: Rate | None = None
    end_to_end_fps_two_slots: Rate | None = None
    end_to_end_fps_three_slots: Rate | None = None
    end_to_end_fps_asleep: Rate | None = None  # two slots; the thread that waits sleeps, in all else it spins
    program_fps: Rate | None = None  # of a whole st-run, its test picture painted into nothing
    program_latency_ms: dict[str, Positive] = field(default_factory=dict)  # there, from capture: p50, p95, p99

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """A row that another program measured."""
        known = {entry.name for entry in fields(cls)}
        given: dict[str, Any] = {key: value for key, value in values.items() if key in known}
        given = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
        return cls(**given)

    @property
    def overlap_gain(self) -> float | None:
        """How many times as many frames two slots let through as one."""
        if self.end_to_end_fps_one_slot is None or self.end_to_end_fps_two_slots is None:
            return None
        return self.end_to_end_fps_two_slots / self.end_to_end_fps_one_slot

    @property
    def best_end_to_end_fps(self) -> float | None:
        """With as many slots as it takes."""
        rates = (self.end_to_end_fps_one_slot, self.end_to_end_fps_two_slots, self.end_to_end_fps_three_slots)
        return max((rate for rate in rates if rate is not None), default=None)


@dataclass(frozen=True, slots=True)
class GpuTests:
    """What became of the project's tests with the mark `gpu`."""

    passed: Whole = 0
    failed: tuple[str, ...] = ()  # their names; and files with such tests that cannot be read
    skipped: dict[str, Whole] = field(default_factory=dict)  # why -> how many
    duration_s: Positive = 0.0
    reason: str | None = None  # why none was run, or not all

    @property
    def told(self) -> str:
        """All of it in one line."""
        counts = f"{self.passed} passed, {len(self.failed)} failed, {sum(self.skipped.values())} skipped"
        told = [f"{counts} in {self.duration_s:.0f} s"] if self.duration_s else []
        told += [self.reason] if self.reason is not None else []
        told += [f"failed: {name}" for name in self.failed]
        return "; ".join([*told, *(f"skipped {count}: {why}" for why, count in self.skipped.items())])


@dataclass(frozen=True, slots=True)
class GpuSession:
    """One call of st-bench gpu."""

    environment: Environment
    device: dict[str, Any]  # name, compute capability and driver, or the reason why there is none
    rows: tuple[Row, ...] = ()
    ceilings: dict[str, Rate] = field(default_factory=dict)  # what the card was measured to do at best
    tests: GpuTests | None = None  # None: not tried yet

    def to_json(self) -> str:
        """The session as one JSON object."""
        return json.dumps({"format_version": FORMAT_VERSION, "kind": KIND, **asdict(self)})

    @classmethod
    def from_json(cls, text: str, source: str) -> Self:
        """Read a session.

        Args:
            source: The file's name, for errors.

        Raises:
            ArtmirrorError: the text is no such session, or of a version that is not read here.
        """
        return fitted_record(text, source, KIND, FORMAT_VERSION, "st-bench gpu", cls)


def write_gpu(session: GpuSession, path: Path) -> None:
    """Write a session's JSON whole or not at all.

    Raises:
        ArtmirrorError: the file cannot be written.
    """
    write_text(session.to_json(), path)


def read_gpu(path: Path) -> GpuSession:
    """Read what `write_gpu` wrote.

    Raises:
        ArtmirrorError: the file is missing, or holds no session of this version.
    """
    return GpuSession.from_json(read_text(path, "st-bench gpu"), str(path))
