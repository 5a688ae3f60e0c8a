"""What a session of st-bench leaves behind: immutable records of raw values, and their JSON.

Nothing here is computed from the values (see `speed/summary.py`), so that new statistics can read old records.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from msgspec import Meta

from artmirror.benchmarks.records.environment import Environment
from artmirror.benchmarks.records.json_file import fitted_record, read_text, write_text
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.plain_data import Duration, Finite, Pixels, Positive, Rate, Whole

KIND = "speed"  # tells these files from those of `records/temporal.py`
FORMAT_VERSION = 3  # the one that is read: nothing older was ever released

ScenarioName = Literal["engine", "transfers", "pipeline", "live"]


@dataclass(frozen=True, slots=True)
class Samples:
    """Raw values of neighbouring frames, in the order in which the frames were done; all in nanoseconds."""

    completed_ns: tuple[Whole, ...]  # when each frame was done, with as many in the engine as it takes
    latency_ns: tuple[Duration, ...]  # with a source: capture to delivered to the sink; else of one frame at a time
    engine_ns: tuple[Whole, ...] = ()  # with a source: time that the engine spent on each frame


@dataclass(frozen=True, slots=True)
class Sensed:
    """What the machine's sensors said of one run, its warm-up included."""

    duration_ns: Duration
    energy_j: Positive | None  # of all processor packages; None where the system does not tell
    hottest_c: Finite | None  # of the processor, at the end; None where the system does not tell
    gpu_energy_j: Positive | None = None  # of all NVIDIA GPUs; None where nobody tells
    gpu_hottest_c: Finite | None = None  # of the hottest of them, at the end


@dataclass(frozen=True, slots=True)
class Round:
    """One run of one scenario.

    `warmup.completed_ns` counts from the start of the run, `measured.completed_ns` from the last warm-up frame.
    """

    warmup: Samples
    measured: Samples
    frames_dropped: Whole = 0  # by a live source's pipeline, or under way at its end; warm-up included
    sensed: Sensed | None = None
    bookkeeping_ns: Whole | None = None  # what measuring itself takes of every frame


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured: a network in a library on a device, for frames of one size."""

    engine: str  # the file's name without its suffix
    style: str
    preset: str  # of the network
    graph_sha256: str  # of the network, so that it is the same one whatever the file is called
    backend: str
    library: str  # name and version
    device: str
    precision: str  # in which the engine computes
    height: Pixels
    width: Pixels
    threads: Whole | None  # None where the library chose


@dataclass(frozen=True, slots=True)
class Record(Subject):
    """All rounds of one scenario with one engine."""

    scenario: ScenarioName
    source: str | None  # where frames came from, without folders and hosts
    rounds: tuple[Round, ...]
    peak_rss_bytes: Whole | None  # of the whole process, which holds every engine of the session; None where unknown
    macs: Whole | None = None  # multiply-accumulates of a frame; None where nobody counted
    bytes_moved: Whole | None = None  # of a frame, by the rule of `speed/workload.py`
    holds: str = ""  # what the scenario's times are times of, in words


@dataclass(frozen=True, slots=True)
class Start:
    """A fresh process, from the moment it was asked for to its first painted frame: stages that follow each other."""

    interpreter_ns: Whole  # until Python runs the first line
    import_ns: Duration  # st-run's modules and the library
    read_ns: Whole  # the file and its manifest
    compile_ns: Whole  # the engine is ready; the library reads the file again for that, from memory now
    first_frame_ns: Whole
    peak_rss_bytes: Whole | None  # after some more frames; None where the system does not tell
    device_bytes: Whole | None  # taken of the GPU's memory by then; None where nobody tells, and without a GPU


@dataclass(frozen=True, slots=True)
class StartRecord(Subject):
    """Starts with one engine, a cold and a cached one of each round."""

    frames: Whole  # painted after the first, before memory was read
    cache_bytes: Whole  # compiled networks that a cold start left for the next one; 0 where the library keeps none
    cold: tuple[Start, ...]  # nothing that was compiled before is at hand
    cached: tuple[Start, ...]  # with what the cold start of the same round left


@dataclass(frozen=True, slots=True)
class Ceilings:
    """The machine's own roofs, measured after the engines, a value of each round; see `speed/ceilings.py`."""

    threads: Whole | None  # None where the library chose
    copy_bytes_per_s: Annotated[tuple[Rate, ...], Meta(min_length=1)]  # read and written
    product_flop_per_s: dict[
        str, Annotated[tuple[Rate, ...], Meta(min_length=1)]
    ]  # by precision; two operations for each multiply-accumulate


@dataclass(frozen=True, slots=True)
class Session:
    """One call of st-bench: where it ran, and what it measured."""

    environment: Environment
    records: tuple[Record, ...]
    ceilings: Ceilings | None = None
    starts: tuple[StartRecord, ...] = ()
    omissions: tuple[str, ...] = ()  # what was asked for and could not be measured, a line each

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
        found = fitted_record(text, source, KIND, FORMAT_VERSION, "st-bench", cls)
        engines = [record.engine for record in found.records if not _is_whole(record)]
        engines += [record.engine for record in found.starts if not record.cold or not record.cached]
        if engines:
            raise ArtmirrorError(
                f"{source} is a damaged record of st-bench ({engines[0][:80]} has rounds without values); measure again"
            )
        return found


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


def _is_whole(record: Record) -> bool:
    """Whether there is a value wherever one is divided by, or in the middle of."""
    samples = [one_round.measured for one_round in record.rounds]
    return bool(samples) and all(
        found.completed_ns
        and found.completed_ns[-1] > 0
        and found.latency_ns
        and (record.scenario != "live" or len(found.latency_ns) == len(found.completed_ns))
        for found in samples
    )
