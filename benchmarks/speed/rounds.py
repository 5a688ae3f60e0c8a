"""Measures candidates against each other in interleaved rounds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

from artmirror.benchmarks.records.speed import Record, Round, Start, StartRecord
from artmirror.benchmarks.speed.gpu_sensors import open_gpus
from artmirror.benchmarks.speed.scenarios import Scenario
from artmirror.benchmarks.speed.sensors import Sensors
from artmirror.benchmarks.speed.workload import Workload
from artmirror.runtime.engines.base import Engine
from artmirror.runtime.run_statistics import peak_rss_bytes


class Starts(NamedTuple):
    """Two starts in fresh processes, one right after the other."""

    cold: Start
    cached: Start
    cache_bytes: int  # what the first left for the second


class Starter(Protocol):
    """Something that starts an engine in fresh processes.

    Attributes:
        frames: Painted after the first, before memory is read.
    """

    frames: int

    def run(self, should_stop: Callable[[], bool]) -> Starts:
        """Start twice.

        Raises:
            ArtmirrorError: the engine failed there.
            Stopped: `should_stop` said so.
        """
        ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """An opened engine and what is to be run with it."""

    label: str  # the engine file's name without its suffix
    engine: Engine
    threads: int | None  # as asked for; None where the library chooses
    scenarios: tuple[Scenario, ...]
    workload: Workload | None = None  # None where nobody counted
    starter: Starter | None = None  # None where starts are not measured


class Measured(NamedTuple):
    """What came of it, in the order of the candidates."""

    records: tuple[Record, ...]
    starts: tuple[StartRecord, ...]


def measure(
    candidates: Sequence[Candidate],
    *,
    rounds: int,
    frames: int,
    should_stop: Callable[[], bool] = lambda: False,
    observe: Callable[[], None] = lambda: None,
) -> tuple[Record, ...]:
    """The records of `measure_with_starts`, for candidates that have no starter."""
    return measure_with_starts(
        candidates, rounds=rounds, frames=frames, should_stop=should_stop, observe=observe
    ).records


def measure_with_starts(
    candidates: Sequence[Candidate],
    *,
    rounds: int,
    frames: int,
    should_stop: Callable[[], bool] = lambda: False,
    observe: Callable[[], None] = lambda: None,
) -> Measured:
    """Run the first round of every scenario of every candidate, then the second, and so on.

    So the drift of a machine that warms up or gets busy hits all alike.

    Args:
        rounds: How often each scenario is run.
        frames: Measured frames of a round; warm-up frames come on top.
        should_stop: Asked for every frame.
        observe: Called after every run, so `rounds` times for each scenario and each starter.

    Returns:
        A record for each scenario of each candidate, and one for each starter.

    Raises:
        ArtmirrorError: an engine or a source failed.
        Stopped: `should_stop` said so.
    """
    runs: list[tuple[Candidate, Scenario, list[Round]]] = [
        (candidate, scenario, []) for candidate in candidates for scenario in candidate.scenarios
    ]
    starts: list[tuple[Candidate, Starter, list[Starts]]] = [
        (candidate, candidate.starter, []) for candidate in candidates if candidate.starter is not None
    ]
    sensors = Sensors(gpus=open_gpus())
    for _ in range(rounds):
        for _, scenario, done in runs:
            before = sensors.read()
            measured = scenario.run(frames, should_stop)
            sensed = sensors.between(before, sensors.read())
            done.append(replace(measured, sensed=sensed, bookkeeping_ns=scenario.bookkeeping_ns()))
            observe()
        for _, starter, started in starts:
            started.append(starter.run(should_stop))
            observe()
    return Measured(
        tuple(_record(candidate, scenario, done) for candidate, scenario, done in runs),
        tuple(_start_record(candidate, starter, started) for candidate, starter, started in starts),
    )


def _record(candidate: Candidate, scenario: Scenario, rounds: Sequence[Round]) -> Record:
    subject, workload = _subject(candidate), candidate.workload
    return Record(
        **subject,
        scenario=scenario.name,
        source=scenario.source,
        rounds=tuple(rounds),
        peak_rss_bytes=peak_rss_bytes(),
        macs=None if workload is None else workload.macs,
        bytes_moved=None if workload is None else workload.bytes_moved(subject["precision"]),
        holds=scenario.holds,
    )


def _start_record(candidate: Candidate, starter: Starter, starts: Sequence[Starts]) -> StartRecord:
    return StartRecord(
        **_subject(candidate),
        frames=starter.frames,
        cache_bytes=max(entry.cache_bytes for entry in starts),
        cold=tuple(entry.cold for entry in starts),
        cached=tuple(entry.cached for entry in starts),
    )


def _subject(candidate: Candidate) -> dict[str, Any]:
    """The fields of `Subject`."""
    manifest, info = candidate.engine.manifest, candidate.engine.describe()
    return {
        "engine": candidate.label,
        "style": manifest.name,
        "preset": manifest.preset,
        "graph_sha256": manifest.graph_sha256,
        "backend": info.backend,
        "library": info.library,
        "device": info.device,
        "precision": info.precision,
        "height": info.size[0],
        "width": info.size[1],
        "threads": candidate.threads,
    }
