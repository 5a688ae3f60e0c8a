"""Shows a session as a table: pure functions from records to what rich prints."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table

from artmirror.benchmarks.grid import Grid, markdown_grid, rich_grid
from artmirror.benchmarks.records.measuring import BUSY_SPREAD
from artmirror.benchmarks.records.speed import Record, ScenarioName, Session
from artmirror.benchmarks.speed.notes import live_notes, roof_notes, speed_notes
from artmirror.benchmarks.speed.starts_table import starts_grid
from artmirror.benchmarks.speed.summary import (
    age_percentiles_ms,
    by_size,
    engine_record_of,
    frames_dropped,
    pipeline_ratio,
    power_w,
    reached,
    series_place,
    summarize,
)

_OF_ENGINE: tuple[ScenarioName, ...] = ("transfers", "pipeline")  # whose FPS is compared with the engine's alone


def render_session(session: Session) -> RenderableType:
    """Where it was measured, the tables, and the notes below them."""
    place = session.environment
    shown: list[RenderableType] = [
        f"{', '.join(sizes(session))} on {place.cpu} ({place.cores} cores), artmirror {place.artmirror}"
    ]
    for size, part in by_size(session):
        # The size is no column: the table has to fit 80 of them.
        shown += [size] if len(sizes(session)) > 1 else []
        shown += [records_table(part.records)] if part.records else []
        shown += [rich_grid(starts_grid(part))] if part.starts else []
    shown += [*speed_notes(session), *live_notes(session.records)]
    if session.ceilings is not None:
        shown += [rich_grid(roofs_grid(session)), *roof_notes(session.ceilings)]
    return Group(*shown)


def sizes(session: Session) -> list[str]:
    """The sizes of the frames, in the order in which they were measured."""
    return [size for size, _ in by_size(session)]


def records_table(records: Sequence[Record]) -> Table:
    """A row for each record."""
    ages = any(record.scenario == "live" for record in records)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("engine", overflow="fold")
    table.add_column("backend")  # folds between back end and precision in a narrow terminal
    table.add_column("scenario", no_wrap=True)
    for name in ("FPS", "min-max", "p50\nms", "p95\nms", "p99\nms", *["age\np95"] * ages, "of\nengine"):
        table.add_column(name, no_wrap=True, justify="right")
    for record in records:
        summary = summarize(record)
        mark = "~" if summary.spread > BUSY_SPREAD else " "
        table.add_row(
            record.engine,
            f"{record.backend} {record.precision}",
            record.scenario,
            _short(summary.fps_median),
            f"{_short(summary.fps_min)}-{_short(summary.fps_max)}{mark}",
            *(_short(value_ms) for value_ms in (summary.p50_ms, summary.p95_ms, summary.p99_ms)),
            *([_short(age_percentiles_ms(record)[1]) if record.scenario == "live" else ""] if ages else []),
            _ratio(record, records),
        )
    return table


def speed_grid(session: Session) -> Grid:
    """A row for each record, numbered as in the figures, with all that does not fit a terminal."""
    several = len(sizes(session)) > 1
    columns = {
        "age\np50": [_age(record, 0) for record in session.records],
        "age\np95": [_age(record, 1) for record in session.records],
        "dropped": [str(frames_dropped(record)) if record.scenario == "live" else "" for record in session.records],
        "W": [_told(power_w(record)) for record in session.records],
        "GPU W": [_told(power_w(record, gpu=True)) for record in session.records],
    }
    columns = {name: cells for name, cells in columns.items() if any(cells)}
    figures = ("FPS", "min-max", "p50\nms", "p95\nms", "p99\nms", "of\nengine", *columns)
    header = ("#", "engine", "backend", *["size"] * several, "scenario", *figures)
    rows = []
    for index, record in enumerate(session.records):
        found = summarize(record)
        rows.append(
            (
                str(series_place(session, record) + 1),
                record.engine,
                f"{record.backend} {record.precision}",
                *([f"{record.width}x{record.height}"] * several),
                record.scenario,
                f"{found.fps_median:.1f}",
                f"{found.fps_min:.1f}-{found.fps_max:.1f}{'~' if found.spread > BUSY_SPREAD else ''}",
                *(f"{value_ms:.1f}" for value_ms in (found.p50_ms, found.p95_ms, found.p99_ms)),
                _ratio(record, session.records),
                *(cells[index] for cells in columns.values()),
            )
        )
    return Grid("Frames per second and latency", header, tuple(rows), texts=4 + several)


def markdown_session(session: Session) -> str:
    """The session as Markdown, for a page of its own or behind others."""
    place = session.environment
    title = f"{', '.join(sizes(session))} on {place.cpu} ({place.cores} cores), artmirror {place.artmirror}"
    lines = ["# Speed", "", title, ""]
    for grid in speed_grids(session):
        lines += [f"## {grid.title}", "", *markdown_grid(grid), ""]
    libraries = ", ".join(f"{name} {version}" for name, version in place.libraries.items())
    told = [*speed_notes(session), *([] if session.ceilings is None else roof_notes(session.ceilings))]
    lines += [f"- {note}" for note in told]
    lines += ["", f"{place.os}, {place.python}, {libraries}; commit {place.commit or 'of a package'}; {place.time}", ""]
    return "\n".join(lines)


def speed_grids(session: Session) -> list[Grid]:
    """All tables that have rows."""
    grids = [speed_grid(session), starts_grid(session)]
    if session.ceilings is not None:
        grids.append(roofs_grid(session))
    return [grid for grid in grids if grid.rows]


def roofs_grid(session: Session) -> Grid:
    """A row for each engine alone: what it reaches of the machine's roofs."""
    several = len(sizes(session)) > 1
    figures = ("GMAC", "MB", "GFLOP/s", "GB/s", "nearer roof", "reached")
    rows = []
    for record in session.records:
        found = None if session.ceilings is None else reached(record, session.ceilings)
        if record.scenario != "engine" or found is None or record.macs is None or record.bytes_moved is None:
            continue
        cost = (f"{record.macs / 1e9:.2f}", f"{record.bytes_moved / 1e6:.0f}")
        speed = (f"{found.flop_per_s / 1e9:.0f}", f"{found.bytes_per_s / 1e9:.1f}")
        name = f"{record.backend} {record.precision}"
        size = [f"{record.width}x{record.height}"] * several
        rows.append((record.engine, name, *size, *cost, *speed, found.bound, f"{found.share:.0%}"))
    header = ("engine", "backend", *["size"] * several, *figures)
    return Grid("Roofs", header, tuple(rows), texts=2 + several)


def _age(record: Record, place: int) -> str:
    return f"{age_percentiles_ms(record)[place]:.1f}" if record.scenario == "live" else ""


def _told(power: float | None) -> str:
    return "" if power is None else f"{power:.1f}"


def _short(value: float) -> str:
    """Three digits or so: more would be noise, and the table has to fit 80 columns."""
    return f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def _ratio(record: Record, records: Sequence[Record]) -> str:
    engine = engine_record_of(record, records) if record.scenario in _OF_ENGINE else None
    return "" if engine is None else f"{pipeline_ratio(record, engine):.0%}"
