"""What a session of st-bench leaves behind: immutable records of raw values, and their JSON.

Nothing here is computed from the values (see `statistics`), so that new statistics can read old records.
"""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self, get_args

from artmirror.benchmarks.environment import Environment
from artmirror.benchmarks.record_json import check_version, parse, read_text, write_text
from artmirror.runtime.errors import ArtmirrorError

KIND = "speed"  # tells these files from those of `temporal_record`
FORMAT_VERSION = 2  # 2: sensors, roofs, costs, more of the environment
_READ_VERSIONS = (1, 2)  # what an earlier version lacks is None

ScenarioName = Literal["engine", "pipeline"]


@dataclass(frozen=True, slots=True)
class Samples:
    """Raw values of neighbouring frames, in the order in which the frames were done; all in nanoseconds."""

    completed_ns: tuple[int, ...]  # when each frame was done, with as many in the engine as it takes
    latency_ns: tuple[int, ...]  # engine: submit to result, alone; pipeline: capture to delivered to the sink
    engine_ns: tuple[int, ...] = ()  # pipeline: time that the engine spent on each frame


@dataclass(frozen=True, slots=True)
class Sensed:
    """What the machine's sensors said of one run, its warm-up included."""

    duration_ns: int
    energy_j: float | None  # of all processor packages; None where the system does not tell
    hottest_c: float | None  # of the processor, at the end; None where the system does not tell


@dataclass(frozen=True, slots=True)
class Round:
    """One run of one scenario.

    `warmup.completed_ns` counts from the start of the run, `measured.completed_ns` from the last warm-up frame.
    """

    warmup: Samples
    measured: Samples
    frames_dropped: int = 0  # by a live source's pipeline, or under way at its end; warm-up included
    sensed: Sensed | None = None  # None in records of version 1


@dataclass(frozen=True, slots=True)
class Record:
    """All rounds of one scenario with one engine."""

    engine: str  # the file's name without its suffix
    style: str
    preset: str  # of the network
    graph_sha256: str  # of the network, so that it is the same one whatever the file is called
    backend: str
    library: str  # name and version
    device: str
    precision: str  # in which the engine computes
    height: int
    width: int
    threads: int | None  # None where the library chose
    scenario: ScenarioName
    source: str | None  # of the pipeline, without folders and hosts
    live: bool  # the pipeline's source paced itself: it bounds the FPS, and frames may be dropped
    rounds: tuple[Round, ...]
    peak_rss_bytes: int | None  # of the whole process, which holds every engine of the session; None where unknown
    macs: int | None = None  # multiply-accumulates of a frame; None where nobody counted, as in version 1
    bytes_moved: int | None = None  # of a frame, by the rule of `workload`


@dataclass(frozen=True, slots=True)
class Ceilings:
    """The machine's own roofs, measured after the engines, a value of each round; see `ceilings`."""

    threads: int | None  # None where the library chose
    copy_bytes_per_s: tuple[float, ...]  # read and written
    product_flop_per_s: dict[str, tuple[float, ...]]  # by precision; two operations for each multiply-accumulate


@dataclass(frozen=True, slots=True)
class Session:
    """One call of st-bench: where it ran, and what it measured."""

    environment: Environment
    records: tuple[Record, ...]
    ceilings: Ceilings | None = None

    def to_json(self) -> str:
        """The session as one JSON object."""
        return json.dumps({"format_version": FORMAT_VERSION, "kind": KIND, **asdict(self)})

    @classmethod
    def from_json(cls, text: str, source: str) -> Self:
        """Read a session.

        Args:
            source: The file's name, for errors.

        Raises:
            ArtmirrorError: the text is no session, or of a version that is not read here.
        """
        values = parse(text, source)
        if not isinstance(values, dict) or "format_version" not in values:
            raise ArtmirrorError(f"{source} is no record of st-bench; measure again with --json")
        if values.get("kind", KIND) != KIND:
            raise ArtmirrorError(f"{source} is a record of kind {values['kind']}; one of speed is wanted")
        check_version(values["format_version"], _READ_VERSIONS, source)
        try:
            return cls(
                environment=Environment.from_json(values["environment"]),
                records=tuple(_record(record) for record in values["records"]),
                ceilings=_ceilings(values.get("ceilings")),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ArtmirrorError(f"{source} is a damaged record of st-bench ({error}); measure again") from None


def write_session(session: Session, path: Path) -> None:
    """Write a session's JSON whole or not at all.

    Raises:
        ArtmirrorError: the file cannot be written.
    """
    write_text(session.to_json(), path)


def read_session(path: Path) -> Session:
    """Read what `write_session` wrote.

    Raises:
        ArtmirrorError: the file is missing, or holds no session of this version.
    """
    return Session.from_json(read_text(path), str(path))


def _record(values: dict[str, Any]) -> Record:
    if values["scenario"] not in get_args(ScenarioName):
        raise ValueError(f"scenario {values['scenario']!r}")
    return Record(**{**values, "rounds": tuple(_round(entry) for entry in values["rounds"])})


def _ceilings(values: dict[str, Any] | None) -> Ceilings | None:
    if values is None:
        return None
    products = {name: tuple(found) for name, found in values["product_flop_per_s"].items()}
    return Ceilings(values["threads"], tuple(values["copy_bytes_per_s"]), products)


def _round(values: dict[str, Any]) -> Round:
    sensed = values.get("sensed")
    return Round(
        _samples(values["warmup"]),
        _samples(values["measured"]),
        values["frames_dropped"],
        None if sensed is None else Sensed(**sensed),
    )


def _samples(values: dict[str, Any]) -> Samples:
    return Samples(**{entry.name: tuple(values[entry.name]) for entry in fields(Samples)})
