"""Measures candidates against each other in interleaved rounds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from artmirror.benchmarks.record import Record, Round
from artmirror.benchmarks.scenarios import Scenario
from artmirror.benchmarks.sensors import Sensors
from artmirror.benchmarks.workload import Workload
from artmirror.runtime.engine import Engine
from artmirror.runtime.statistics import peak_rss_bytes


@dataclass(frozen=True, slots=True)
class Candidate:
    """An opened engine and what is to be run with it."""

    label: str  # the engine file's name without its suffix
    engine: Engine
    threads: int | None  # as asked for; None where the library chooses
    scenarios: tuple[Scenario, ...]
    workload: Workload | None = None  # None where nobody counted


def measure(
    candidates: Sequence[Candidate],
    *,
    rounds: int,
    frames: int,
    should_stop: Callable[[], bool] = lambda: False,
    observe: Callable[[], None] = lambda: None,
) -> tuple[Record, ...]:
    """Run the first round of every scenario of every candidate, then the second, and so on.

    So the drift of a machine that warms up or gets busy hits all alike.

    Args:
        rounds: How often each scenario is run.
        frames: Measured frames of a round; warm-up frames come on top.
        should_stop: Asked for every frame.
        observe: Called after every run, so `rounds` times for each scenario.

    Returns:
        A record for each scenario of each candidate, in their order.

    Raises:
        ArtmirrorError: an engine or a source failed.
        Stopped: `should_stop` said so.
    """
    runs: list[tuple[Candidate, Scenario, list[Round]]] = [
        (candidate, scenario, []) for candidate in candidates for scenario in candidate.scenarios
    ]
    sensors = Sensors()
    for _ in range(rounds):
        for _, scenario, done in runs:
            before = sensors.read()
            measured = scenario.run(frames, should_stop)
            done.append(replace(measured, sensed=sensors.between(before, sensors.read())))
            observe()
    return tuple(_record(candidate, scenario, done) for candidate, scenario, done in runs)


def _record(candidate: Candidate, scenario: Scenario, rounds: Sequence[Round]) -> Record:
    manifest, info, workload = candidate.engine.manifest, candidate.engine.describe(), candidate.workload
    return Record(
        engine=candidate.label,
        style=manifest.name,
        preset=manifest.preset,
        graph_sha256=manifest.graph_sha256,
        backend=info.backend,
        library=info.library,
        device=info.device,
        precision=info.precision,
        height=info.size[0],
        width=info.size[1],
        threads=candidate.threads,
        scenario=scenario.name,
        source=scenario.source,
        live=scenario.live,
        rounds=tuple(rounds),
        peak_rss_bytes=peak_rss_bytes(),
        macs=None if workload is None else workload.macs,
        bytes_moved=None if workload is None else workload.bytes_moved(info.precision),
    )
