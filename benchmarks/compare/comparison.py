"""Two records side by side: what is in both, what changed, and what else is different. Pure functions.

Values of two records are never pooled: each is judged by its own.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from statistics import median
from typing import NamedTuple

from artmirror.benchmarks.compare.significance import ALPHA, Change, compare_pairs, compare_rounds
from artmirror.benchmarks.grid import Grid
from artmirror.benchmarks.records.environment import Environment
from artmirror.benchmarks.records.speed import Record, Session, Subject
from artmirror.benchmarks.records.temporal import PainterRecord, TemporalSession
from artmirror.benchmarks.speed.summary import fps, latency_ms, start_ms
from artmirror.benchmarks.temporal.metric import e_stab
from artmirror.runtime.common.errors import ArtmirrorError


@dataclass(frozen=True, slots=True)
class Row:
    """One figure that both records have."""

    words: tuple[str, ...]  # what was measured
    old: float
    new: float
    change: Change


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that two records say of each other."""

    title: str
    heads: tuple[str, ...]  # of the words of a row
    verdicts: Mapping[str, str]  # Change's word -> the word for these figures, where it is another one
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    machines_differ: bool

    def regressions(self, tolerated: float) -> list[Row]:
        """The rows that got worse for sure, and by more than the part that is tolerated."""
        return [row for row in self.rows if row.change.is_regression(tolerated)]

    def grid(self) -> Grid:
        """The rows as a table."""
        header = (*self.heads, "verdict", "old", "new", "change", f"{1 - ALPHA:.0%} interval")
        rows = (
            (
                *row.words,
                self.verdicts.get(row.change.verdict, row.change.verdict),
                f"{row.old:.4g}",
                f"{row.new:.4g}",
                _percent(row.change.ratio),
                "" if isnan(row.change.low) else f"{_percent(row.change.low)} to {_percent(row.change.high)}",
            )
            for row in self.rows
        )
        return Grid(self.title, header, tuple(rows), texts=len(self.heads) + 1)


class _SpeedKey(NamedTuple):
    """What has to agree for two records of speed to be compared. Neither the graph nor library versions have to."""

    engine: str
    backend: str
    precision: str
    scenario: str
    source: str | None
    height: int
    width: int
    threads: int | None


class _PainterKey(NamedTuple):
    label: str
    kind: str
    backend: str | None
    precision: str | None


class _Measured(NamedTuple):
    """A network and what it took, in milliseconds: a value of each round, by figure."""

    graph_sha256: str
    figures: dict[str, list[float]]


def compare_sessions(old: Session | TemporalSession, new: Session | TemporalSession) -> Comparison:
    """Compare two records of one kind.

    Raises:
        ArtmirrorError: they are of different kinds, or have nothing in common; or SciPy is not installed.
    """
    if isinstance(old, Session) and isinstance(new, Session):
        return _compare_speed(old, new)
    if isinstance(old, TemporalSession) and isinstance(new, TemporalSession):
        return _compare_temporal(old, new)
    kinds = ["temporal error" if isinstance(session, TemporalSession) else "speed" for session in (old, new)]
    raise ArtmirrorError(f"OLD is a record of {kinds[0]}, NEW one of {kinds[1]}: name two of one kind")


def _environment_differences(old: Environment, new: Environment) -> list[str]:
    """What is not the same, a line each; times and loads are never the same and left out."""
    names = ("cpu", "cores", "core_limit", "virtual", "governor", "gpus", "os", "python", "artmirror", "commit")
    pairs = [(name, _word(getattr(old, name)), _word(getattr(new, name))) for name in names]
    pairs += [
        (name, old.libraries.get(name, "not there"), new.libraries.get(name, "not there"))
        for name in dict.fromkeys((*old.libraries, *new.libraries))
    ]
    return [f"{name}: {before} before, {after} now" for name, before, after in pairs if before != after]


def _compare_speed(old: Session, new: Session) -> Comparison:
    before, after = _measured(old), _measured(new)
    common = [key for key in before if key in after]
    _check_common(common)
    several = len({(key.height, key.width) for key in common}) > 1
    rows = []
    for key in common:
        old_figures, new_figures = before[key].figures, after[key].figures
        for figure in old_figures:
            pair = old_figures[figure], new_figures[figure]
            size = f" {key.width}x{key.height}" if several else ""
            words = (key.engine, f"{key.backend} {key.precision}", f"{key.scenario}{size} {figure}".strip())
            rows.append(Row(words, median(pair[0]), median(pair[1]), compare_rounds(*pair)))
    notes = [
        *_environment_notes(old.environment, new.environment),
        *_missing_notes(map(_speed_name, before), map(_speed_name, after)),
        *(
            f"{_speed_name(key)}: another graph under the same name"
            for key in common
            if before[key].graph_sha256 != after[key].graph_sha256
        ),
        "ms: median over rounds, of each round's time of a frame, of its median latency, of its start; "
        f"change: median ratio of a new to an old round; Mann-Whitney U test of the rounds, p < {ALPHA}",
        "whatever the machine did between the two records counts as a change too: measure both again to be sure",
    ]
    if any(row.change.verdict == "too few values" for row in rows):
        notes.append("too few values: no test can decide on so few rounds; five in each record are enough")
    verdicts = {"better": "faster", "worse": "slower"}
    sizes = ", ".join(dict.fromkeys(f"{key.width}x{key.height}" for key in common))
    differ = _machine(old.environment) != _machine(new.environment)
    return Comparison(
        f"Speed, {sizes}, ms", ("engine", "backend", "figure"), verdicts, tuple(rows), tuple(notes), differ
    )


def _compare_temporal(old: TemporalSession, new: TemporalSession) -> Comparison:
    before = {_painter_key(painter): painter for painter in old.painters}
    after = {_painter_key(painter): painter for painter in new.painters}
    common = [key for key in before if key in after]
    _check_common([key for key in common if key.kind != "input"])
    rows = []
    for key in common:
        old_errors, new_errors = _errors(before[key], old), _errors(after[key], new)
        for step in old.steps:
            shared = [pair for pair in old_errors if pair in new_errors and pair[2] == step]
            if shared:
                values = [[errors[pair] for pair in shared] for errors in (old_errors, new_errors)]
                words = (key.label, f"{key.backend or ''} {key.precision or ''}".strip(), str(step))
                rows.append(Row(words, e_stab(values[0]), e_stab(values[1]), compare_pairs(*values)))
    if not rows:
        raise ArtmirrorError("the two records have no pair of frames in common: measure the same sequences and steps")
    notes = [
        *_environment_notes(old.environment, new.environment),
        *_missing_notes(map(_painter_name, before), map(_painter_name, after)),
        *_pair_notes(old, new),
        f"e_stab over the pairs that both records have; {1 - ALPHA:.0%} interval by a paired bootstrap over the pairs: "
        "it tells how much hangs on single pairs of these clips, not how other clips would look",
    ]
    if any(row.change.verdict == "too few values" for row in rows):
        notes.append("too few values: ten pairs at least are wanted")
    verdicts = {"better": "steadier", "worse": "less steady"}
    differ = _machine(old.environment) != _machine(new.environment)
    return Comparison("e_stab", ("network", "on", "step"), verdicts, tuple(rows), tuple(notes), differ)


def _measured(session: Session) -> dict[_SpeedKey, _Measured]:
    """All that a record of speed measured. The library's start counts from a fresh process to its first frame."""
    found = {
        _speed_key(record, record.scenario, record.source): _Measured(record.graph_sha256, _figures(record))
        for record in session.records
    }
    for record in session.starts:
        for scenario, starts in (("cold start", record.cold), ("cached start", record.cached)):
            figures = {"": [start_ms(start) for start in starts]}
            found[_speed_key(record, scenario, None)] = _Measured(record.graph_sha256, figures)
    return found


def _speed_key(subject: Subject, scenario: str, source: str | None) -> _SpeedKey:
    return _SpeedKey(
        engine=subject.engine,
        backend=subject.backend,
        precision=subject.precision,
        scenario=scenario,
        source=source,
        height=subject.height,
        width=subject.width,
        threads=subject.threads,
    )


def _painter_key(painter: PainterRecord) -> _PainterKey:
    return _PainterKey(*(getattr(painter.info, name) for name in _PainterKey._fields))


def _speed_name(key: _SpeedKey) -> str:
    source = f" from {key.source}" if key.source else ""
    threads = f" with {key.threads} threads" if key.threads else ""
    return f"{key.engine} ({key.backend} {key.precision}, {key.width}x{key.height}) {key.scenario}{source}{threads}"


def _painter_name(key: _PainterKey) -> str:
    return key.label if key.backend is None else f"{key.label} ({key.backend} {key.precision})"


def _figures(record: Record) -> dict[str, list[float]]:
    """The figures that judge a record, a value of each round, in milliseconds.

    Where a live source sets the pace, FPS says nothing; where the queue is kept full, latency says nothing new.
    """
    frames = {"frame": [1000 / fps(one_round) for one_round in record.rounds]}
    latency = {"latency": [latency_ms(one_round) for one_round in record.rounds]}
    if record.scenario in ("engine", "transfers"):
        return frames | latency
    return latency if record.scenario == "live" else frames


def _errors(painter: PainterRecord, session: TemporalSession) -> dict[tuple[str, int, int, str], float]:
    """Squared error by sequence, first frame, step and kind of flow."""
    return {
        (f"{sequence.name} {sequence.width}x{sequence.height}", pair.first, pair.step, pair.flow): error
        for sequence, values in zip(session.sequences, painter.values, strict=True)
        for pair, error in zip(sequence.pairs, values.squared_errors, strict=True)
    }


def _pair_notes(old: TemporalSession, new: TemporalSession) -> Iterator[str]:
    before, after = (set(_errors(session.painters[0], session)) for session in (old, new))
    alone = len(before ^ after)
    if alone:
        yield f"{alone} pairs of frames are in one of the records only and do not count"


def _check_common(common: Sequence[object]) -> None:
    if not common:
        raise ArtmirrorError(
            "the two records have no row in common: engine, back end, precision, size, threads and source have to agree"
        )


def _missing_notes(before: Iterable[str], after: Iterable[str]) -> Iterator[str]:
    old_names, new_names = list(before), list(after)
    yield from (f"only in OLD: {name}" for name in old_names if name not in new_names)
    yield from (f"only in NEW: {name}" for name in new_names if name not in old_names)


def _environment_notes(old: Environment, new: Environment) -> Iterator[str]:
    if _machine(old) != _machine(new):
        yield "THE MACHINES DIFFER: a change may be theirs"
    yield from _environment_differences(old, new)


def _machine(environment: Environment) -> tuple[object, ...]:
    return environment.cpu, environment.cores, environment.core_limit


def _word(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(f"{gpu.name} (driver {gpu.driver})" for gpu in value) or "none"
    return "not told" if value is None else str(value)


def _percent(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.1f}%"
