"""What records say: pure functions of saved values."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from statistics import median
from typing import Literal

import numpy as np

from artmirror.benchmarks.records.speed import Ceilings, Record, Round, Sensed, Session, Start, Subject

STAGES = ("interpreter", "import", "read", "compile", "first_frame")  # of a start, in their order


@dataclass(frozen=True, slots=True)
class Summary:
    """A record in numbers: frames per second over its rounds, latency in milliseconds over all frames."""

    fps_median: float
    fps_min: float
    fps_max: float
    p50_ms: float
    p95_ms: float
    p99_ms: float

    @property
    def spread(self) -> float:
        """Distance between the fastest and the slowest round, as a part of the median."""
        return (self.fps_max - self.fps_min) / self.fps_median


@dataclass(frozen=True, slots=True)
class Reached:
    """An engine under the machine's roofs."""

    flop_per_s: float  # two operations for each multiply-accumulate
    bytes_per_s: float  # by the rule of `workload`
    bound: Literal["arithmetic", "memory"]  # the roof that is nearer
    share: float  # of the FPS that this roof allows


def summarize(record: Record) -> Summary:
    """Boil a record down. Its warm-up frames do not count."""
    round_fps = [fps(one_round) for one_round in record.rounds]
    return Summary(median(round_fps), min(round_fps), max(round_fps), *latency_percentiles_ms(record))


def fps(one_round: Round) -> float:
    """Frames per second of a round, from the last warm-up frame to its last frame."""
    completed_ns = one_round.measured.completed_ns
    return len(completed_ns) / completed_ns[-1] * 1e9


def latency_ms(one_round: Round) -> float:
    """Median latency of a round, in milliseconds."""
    return median(one_round.measured.latency_ns) / 1e6


def latency_percentiles_ms(record: Record, percentiles: Sequence[float] = (50, 95, 99)) -> list[float]:
    """Percentiles of the latency of all frames of all rounds, in milliseconds, interpolated as NumPy does."""
    latency_ns = [value for one_round in record.rounds for value in one_round.measured.latency_ns]
    return [float(value) / 1e6 for value in np.percentile(latency_ns, percentiles)]


def age_percentiles_ms(record: Record, percentiles: Sequence[float] = (50, 95, 99)) -> list[float]:
    """How old the shown frame was, percentiles over time, in milliseconds; NaN where no round shows two frames.

    A frame is as old as its latency when it is shown, and grows older until the next one replaces it: from one to the
    other every age takes the same time. So this is not a distribution over frames: one that stays long counts long.
    """
    shown_ms, replaced_ms = [], []
    for one_round in record.rounds:
        latencies_ms = np.asarray(one_round.measured.latency_ns[:-1]) / 1e6
        shown_ms.append(latencies_ms)
        replaced_ms.append(latencies_ms + np.diff(one_round.measured.completed_ns) / 1e6)
    ages_ms = np.concatenate([*shown_ms, *replaced_ms])
    if not ages_ms.size:
        return [float("nan")] * len(percentiles)
    order = np.argsort(ages_ms)
    at_once = np.cumsum(np.repeat((1, -1), ages_ms.size // 2)[order])  # frames that had this age, and some more
    ages_ms = ages_ms[order]
    time_ms = np.concatenate(([0], np.cumsum(at_once[:-1] * np.diff(ages_ms))))  # with this age or less
    return [float(value) for value in np.interp(np.asarray(percentiles) / 100 * time_ms[-1], time_ms, ages_ms)]


def bookkeeping_share(record: Record) -> float | None:
    """What measuring takes of a frame's time, in the round where that is most; None in records that do not tell."""
    shares = [
        one_round.bookkeeping_ns * fps(one_round) / 1e9
        for one_round in record.rounds
        if one_round.bookkeeping_ns is not None
    ]
    return max(shares, default=None)


def frames_dropped(record: Record) -> int:
    """Of all rounds, warm-up included."""
    return sum(one_round.frames_dropped for one_round in record.rounds)


def stage_ms(starts: Sequence[Start], stage: str) -> float:
    """Median of one of `STAGES`, in milliseconds."""
    return float(median(getattr(start, f"{stage}_ns") for start in starts)) / 1e6


def start_ms(start: Start) -> float:
    """From the process to its first painted frame, in milliseconds."""
    return float(sum(getattr(start, f"{stage}_ns") for stage in STAGES) / 1e6)


def power_w(record: Record, *, gpu: bool = False) -> float | None:
    """Mean power of the processor, or of the GPUs, over all rounds, warm-up included; None where nobody tells."""
    told = _sensed(record)
    values_j = [sensed.gpu_energy_j if gpu else sensed.energy_j for sensed in told]
    energies_j = [energy_j for energy_j in values_j if energy_j is not None]
    if not energies_j or len(energies_j) < len(record.rounds):
        return None
    return sum(energies_j) / sum(sensed.duration_ns for sensed in told) * 1e9


def hottest_c(record: Record, *, gpu: bool = False) -> float | None:
    """The highest temperature of processor, or GPUs, at the end of a round; None where nobody tells."""
    values_c = [sensed.gpu_hottest_c if gpu else sensed.hottest_c for sensed in _sensed(record)]
    return max((value_c for value_c in values_c if value_c is not None), default=None)


def pipeline_ratio(pipeline: Record, engine: Record) -> float:
    """How much of the engine's FPS is left in the pipeline, or with transfers: 1 where the rest costs nothing.

    The median over rounds of each round's own ratio: the two were neighbours in time, so a busy minute hits both.
    """
    pairs = zip(pipeline.rounds, engine.rounds, strict=True)
    return median(fps(one_round) / fps(alone) for one_round, alone in pairs)


def engine_record_of(pipeline: Record, records: Sequence[Record]) -> Record | None:
    """The engine-only record that was measured beside a pipeline's, or None."""
    beside = (other for other in records if other.scenario == "engine" and subject(other) == subject(pipeline))
    return next(beside, None)


def subject(record: Subject) -> Subject:
    """What was measured, without how."""
    return Subject(*(getattr(record, entry.name) for entry in fields(Subject)))


def series(session: Session) -> tuple[Subject, ...]:
    """What was measured, whatever the size of its frames: the same at all sizes has one place, and so one colour."""
    return tuple(dict.fromkeys(_of_any_size(entry) for entry in (*session.records, *session.starts)))


def series_place(session: Session, record: Subject) -> int:
    """The place of a record of that session among its series."""
    return series(session).index(_of_any_size(record))


def by_size(session: Session) -> Iterator[tuple[str, Session]]:
    """What was measured at each size, in the order in which it was."""
    found = dict.fromkeys((entry.height, entry.width) for entry in (*session.records, *session.starts))
    for height, width in found:
        records = tuple(record for record in session.records if (record.height, record.width) == (height, width))
        starts = tuple(record for record in session.starts if (record.height, record.width) == (height, width))
        yield f"{width}x{height}", replace(session, records=records, starts=starts)


def _of_any_size(record: Subject) -> Subject:
    return replace(subject(record), height=0, width=0)


def reached(record: Record, ceilings: Ceilings) -> Reached | None:
    """What an engine reaches of the machine's roofs, which are the best that was measured of them.

    None where nobody counted what a frame takes, or where the precision has no roof here.
    """
    flop_per_s = max(ceilings.product_flop_per_s.get(record.precision, ()), default=None)
    if record.macs is None or record.bytes_moved is None or flop_per_s is None:
        return None
    computing_s = 2 * record.macs / flop_per_s
    moving_s = record.bytes_moved / max(ceilings.copy_bytes_per_s)
    per_s = summarize(record).fps_median
    return Reached(
        flop_per_s=2 * record.macs * per_s,
        bytes_per_s=record.bytes_moved * per_s,
        bound="arithmetic" if computing_s > moving_s else "memory",
        share=max(computing_s, moving_s) * per_s,
    )


def _sensed(record: Record) -> list[Sensed]:
    return [one_round.sensed for one_round in record.rounds if one_round.sensed is not None]
