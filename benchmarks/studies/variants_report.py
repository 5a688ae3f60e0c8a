"""Shows what a search among networks gave: pure functions from records to a Markdown page."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from artmirror.benchmarks.grid import Grid, markdown_grid
from artmirror.benchmarks.records.measuring import BUSY_SPREAD
from artmirror.benchmarks.records.speed import Record, Session
from artmirror.benchmarks.records.temporal import PainterRecord, TemporalSession
from artmirror.benchmarks.speed.summary import latency_ms
from artmirror.benchmarks.studies.training_runs import Run, figure
from artmirror.benchmarks.studies.variants_costs import CARD_NAME, CARD_PRECISION, CARD_RULES, Costs
from artmirror.benchmarks.temporal.summary import mean_content, mean_style, ratio, temporal_error

REFERENCE = "huang"
_LIBRARIES = {"openvino": "OpenVINO", "onnxruntime": "ONNX Runtime"}  # the others are written as they are called

Way = tuple[str, str]  # back end and precision


def markdown(
    runs: Sequence[Run],
    recipe: str,
    costs: Mapping[str, Costs],
    speed: Session,
    temporal: TemporalSession,
    sheet: str,
) -> str:
    """The page.

    Args:
        recipe: st-train's options that all runs have in common.
        costs: Run -> its costs.
        sheet: The sheet's path, from the page.
    """
    lines = ["# The search for lighter networks", "", *(f"- {note}" for note in _notes(recipe, speed, temporal)), ""]
    for grid in (_figures(runs, costs, speed, temporal), _beside_reference(runs, speed, temporal)):
        lines += [f"## {grid.title}", "", *markdown_grid(grid), ""]
    return "\n".join([*lines, f"![Every network on the same pictures]({sheet})", ""])


def caption(run: Run, speed: Session, temporal: TemporalSession) -> str:
    """The figures of a run that stand below its pictures."""
    style, _, error, *_ = _judged(_painters(temporal)[run.name], temporal)
    as_shown, *_ = _records(speed, run.name).values()
    return f"{_ms(as_shown)} ms, style {figure(style, 2)}, e_stab {figure(error, 4)}"


def _figures(runs: Sequence[Run], costs: Mapping[str, Costs], speed: Session, temporal: TemporalSession) -> Grid:
    painters, ways = _painters(temporal), _ways(speed)
    header = ["network", "GMAC", "params, k", "MB moved"]
    header += [f"{_LIBRARIES.get(backend, backend)} {precision}, ms" for backend, precision in ways]
    header += [f"{CARD_NAME}, FPS", "style", "content", *(f"e_stab {step}" for step in temporal.steps)]
    _, _, *floor = _judged(painters["input"], temporal)
    rows = [("input", *[""] * (len(header) - 1 - len(floor)), *(figure(error, 4) for error in floor))]
    for run in runs:
        cost, records = costs[run.name], _records(speed, run.name)
        style, content, *errors = _judged(painters[run.name], temporal)
        counted = (f"{cost.macs / 1e9:.2f}", f"{cost.parameters / 1e3:.0f}", f"{cost.bytes_moved / 1e6:.0f}")
        timed = (_ms(records[way]) if way in records else "-" for way in ways)
        judged = (figure(style, 2), figure(content, 2), *(figure(error, 4) for error in errors))
        rows.append((run.name, *counted, *timed, f"{cost.predicted_fps:.0f}", *judged))
    return Grid("Figures", tuple(header), tuple(rows), texts=1)


def _beside_reference(runs: Sequence[Run], speed: Session, temporal: TemporalSession) -> Grid:
    painters, way = _painters(temporal), _ways(speed)[0]
    reference, reference_record = painters.get(REFERENCE), _records(speed, REFERENCE).get(way)
    rows = []
    for run in runs:
        record = _records(speed, run.name).get(way)
        faster = _times_as_fast(record, reference_record) if record and reference_record else None
        judged = _judged(painters[run.name], temporal)
        beside = _judged(reference, temporal) if reference else [None] * len(judged)
        told = (run.name, f"`{run.options}`" if run.options else "", run.question)
        rows.append((*told, figure(faster, 2), *(figure(ratio(*both), 2) for both in zip(judged, beside, strict=True))))
    header = ("network", "st-train", "question", "speed", "style", "content")
    return Grid(f"Times {REFERENCE}'s", (*header, *(f"e_stab {step}" for step in temporal.steps)), tuple(rows), texts=3)


def _notes(recipe: str, speed: Session, temporal: TemporalSession) -> Iterator[str]:
    place, first = speed.environment, speed.records[0]
    libraries = dict.fromkeys(record.library for record in speed.records)
    yield f"every network: `st-train {recipe}`, one painting, the same photos: early figures, to choose by"
    yield (
        f"ms: a {first.width}x{first.height} frame, one at a time, {first.threads} threads, {place.cpu} "
        f"({place.cores} cores), all networks and libraries in turn, median of {len(first.rounds)} rounds; "
        f"{', '.join(libraries)}; {place.time[:10]}"
    )
    if any(_busy(record) for record in speed.records):
        yield f"~ the rounds span more than {BUSY_SPREAD:.0%} of their median: the machine was busy"
    yield (
        "MB moved: for a frame, two bytes a value, read once and written once by convolutions, normalisations, padding "
        "and resizing"
    )
    yield (
        f"{CARD_NAME}: predicted, not measured, as `st-bench predict --gpu {CARD_NAME} --precision {CARD_PRECISION}` "
        f"does by the rules `{CARD_RULES}`"
    )
    clips = ", ".join(sequence.name for sequence in temporal.sequences)
    yield (
        f"style and content distance, and e_stab {' and '.join(map(str, temporal.steps))} frames apart: "
        f"`st-bench temporal --full-precision` on {clips}, which nothing was trained on; input: the floor"
    )


def _judged(painter: PainterRecord, temporal: TemporalSession) -> list[float | None]:
    """Style, content, then e_stab of each step."""
    return [
        mean_style(painter, temporal.sequences, photos=False),
        mean_content(painter, temporal.sequences, photos=False),
        *(temporal_error(painter, temporal.sequences, step) for step in temporal.steps),
    ]


def _painters(temporal: TemporalSession) -> dict[str, PainterRecord]:
    return {painter.info.label: painter for painter in temporal.painters}


def _ways(speed: Session) -> list[Way]:
    return list(dict.fromkeys((record.backend, record.precision) for record in speed.records))


def _records(speed: Session, name: str) -> dict[Way, Record]:
    return {(record.backend, record.precision): record for record in speed.records if record.engine == name}


def _times_as_fast(record: Record, reference: Record) -> float:
    """The median of each round's own ratio: the two were neighbours in time."""
    rounds = zip(record.rounds, reference.rounds, strict=True)
    return median(latency_ms(theirs) / latency_ms(own) for own, theirs in rounds)


def _ms(record: Record) -> str:
    return f"{'~' if _busy(record) else ''}{_median_ms(record):.1f}"


def _median_ms(record: Record) -> float:
    return median(latency_ms(one_round) for one_round in record.rounds)


def _busy(record: Record) -> bool:
    times_ms = [latency_ms(one_round) for one_round in record.rounds]
    return max(times_ms) - min(times_ms) > BUSY_SPREAD * _median_ms(record)
