"""Shows a session as a table: pure functions from records to what rich prints."""

from collections.abc import Sequence
from statistics import median

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table

from artmirror.benchmarks.grid import Grid, markdown_grid, rich_grid
from artmirror.benchmarks.record import Ceilings, Record, Session
from artmirror.benchmarks.statistics import (
    BUSY_SPREAD,
    engine_record_of,
    hottest_c,
    pipeline_ratio,
    power_w,
    reached,
    summarize,
)


def render_session(session: Session) -> RenderableType:
    """Where it was measured, the table, and the notes below it."""
    place = session.environment
    # The size is no column: a session has one, and the table has to fit 80 columns.
    sizes = ", ".join(dict.fromkeys(f"{record.width}x{record.height}" for record in session.records))
    title = f"{sizes} on {place.cpu} ({place.cores} cores), artmirror {place.artmirror}"
    shown: list[RenderableType] = [
        title,
        records_table(session.records),
        *notes(session.records),
        *sensor_notes(session.records),
    ]
    if session.ceilings is not None:
        shown += [rich_grid(roofs_grid(session)), *roof_notes(session.ceilings)]
    return Group(*shown)


def records_table(records: Sequence[Record]) -> Table:
    """A row for each record."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("engine", overflow="fold")
    table.add_column("backend")  # folds between back end and precision in a narrow terminal
    table.add_column("scenario", no_wrap=True)
    for name in ("FPS", "min-max", "p50\nms", "p95\nms", "p99\nms", "of\nengine"):
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
            _ratio(record, records),
        )
    return table


def speed_grid(session: Session) -> Grid:
    """A row for each record, numbered, with all that does not fit a terminal."""
    powers = [power_w(record) for record in session.records]
    watts = any(power is not None for power in powers)
    header = ["#", "engine", "backend", "scenario", "FPS", "min-max", "p50 ms", "p95 ms", "p99 ms", "of engine"]
    rows = []
    for index, record in enumerate(session.records, start=1):
        found, power, alone = summarize(record), powers[index - 1], engine_record_of(record, session.records)
        whole = record.scenario == "pipeline" and alone is not None
        rows.append(
            (
                str(index),
                record.engine,
                f"{record.backend} {record.precision}",
                record.scenario if record.source is None else f"{record.scenario} from {record.source}",
                f"{found.fps_median:.1f}",
                f"{found.fps_min:.1f}-{found.fps_max:.1f}{'~' if found.spread > BUSY_SPREAD else ''}",
                *(f"{value_ms:.1f}" for value_ms in (found.p50_ms, found.p95_ms, found.p99_ms)),
                f"{pipeline_ratio(record, alone):.0%}" if whole and alone is not None else "",
                *(["" if power is None else f"{power:.1f}"] if watts else []),
            )
        )
    return Grid("Frames per second and latency", (*header, *(["W"] if watts else [])), tuple(rows), texts=4)


def markdown_session(session: Session) -> str:
    """The session as Markdown, for a page of its own or behind others."""
    grids = [speed_grid(session), *([] if session.ceilings is None else [roofs_grid(session)])]
    told = [*notes(session.records), *sensor_notes(session.records)]
    told += [] if session.ceilings is None else roof_notes(session.ceilings)
    place = session.environment
    sizes = ", ".join(dict.fromkeys(f"{record.width}x{record.height}" for record in session.records))
    lines = ["# Speed", "", f"{sizes} on {place.cpu} ({place.cores} cores), artmirror {place.artmirror}", ""]
    for grid in grids:
        lines += [f"## {grid.title}", "", *markdown_grid(grid), ""]
    libraries = ", ".join(f"{name} {version}" for name, version in place.libraries.items())
    lines += [f"- {note}" for note in told]
    lines += ["", f"{place.os}, {place.python}, {libraries}; commit {place.commit or 'of a package'}; {place.time}", ""]
    return "\n".join(lines)


def notes(records: Sequence[Record]) -> list[str]:
    """What a reader of the table has to know, a line each."""
    lines = []
    if any(summarize(record).spread > BUSY_SPREAD for record in records):
        lines.append(f"~ spread over {BUSY_SPREAD:.0%}: the machine was busy")
    if any(record.scenario == "pipeline" and not record.live for record in records):
        lines.append("pipeline latency includes the wait in the queue, which this source keeps full")
    dropped = sum(one_round.frames_dropped for record in records for one_round in record.rounds)
    if dropped:
        lines.append(f"{dropped} frames of a live source were dropped")
    peaks = [record.peak_rss_bytes for record in records if record.peak_rss_bytes is not None]
    if peaks:
        engines = len({(record.engine, record.graph_sha256, record.backend) for record in records})
        shared = f", one process with {engines} engines" if engines > 1 else ""
        lines.append(f"peak memory {max(peaks) / 1e6:.0f} MB{shared}")
    return lines


def roofs_grid(session: Session) -> Grid:
    """A row for each engine alone: what it reaches of the machine's roofs."""
    header = ("engine", "backend", "GMAC", "MB", "GFLOP/s", "GB/s", "nearer roof", "reached")
    rows = []
    for record in session.records:
        found = None if session.ceilings is None else reached(record, session.ceilings)
        if record.scenario != "engine" or found is None or record.macs is None or record.bytes_moved is None:
            continue
        cost = (f"{record.macs / 1e9:.2f}", f"{record.bytes_moved / 1e6:.0f}")
        speed = (f"{found.flop_per_s / 1e9:.0f}", f"{found.bytes_per_s / 1e9:.1f}")
        name = f"{record.backend} {record.precision}"
        rows.append((record.engine, name, *cost, *speed, found.bound, f"{found.share:.0%}"))
    return Grid("Roofs", header, tuple(rows), texts=2)


def roof_notes(ceilings: Ceilings) -> list[str]:
    """The roofs themselves, and what the shares are shares of."""
    values = {"copy": ceilings.copy_bytes_per_s, **ceilings.product_flop_per_s}
    told = [f"{name} product {max(found) / 1e9:.0f} GFLOP/s" for name, found in ceilings.product_flop_per_s.items()]
    lines = [f"roofs measured here: copy {max(ceilings.copy_bytes_per_s) / 1e9:.1f} GB/s, {', '.join(told)}"]
    shaky = [name for name, found in values.items() if (max(found) - min(found)) / median(found) > BUSY_SPREAD]
    if shaky:
        lines.append(f"~ the roofs' own spread is over {BUSY_SPREAD:.0%} ({', '.join(shaky)}): the machine was busy")
    lines.append(
        "reached: share of the FPS that the nearer roof allows; MB: with bias, scale, ReLU and casts done in passing, "
        "nothing kept in caches, so a share of the memory's roof may exceed 100%"
    )
    return lines


def sensor_notes(records: Sequence[Record]) -> list[str]:
    """Power and temperature, a line for each record, or that nobody tells."""
    if all(one_round.sensed is None for record in records for one_round in record.rounds):
        return []  # of a version that did not ask
    lines = []
    for record in records:
        power, hottest = power_w(record), hottest_c(record)
        told = [f"{power:.1f} W" if power is not None else "", f"{hottest:.0f} °C" if hottest is not None else ""]
        if any(told):
            name = f"{record.engine} {record.backend} {record.precision} {record.scenario}"
            lines.append(f"processor with {name}: {', '.join(filter(None, told))}")
    return lines or ["this system tells neither power nor temperature of the processor"]


def _short(value: float) -> str:
    """Three digits or so: more would be noise, and the table has to fit 80 columns."""
    return f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def _ratio(record: Record, records: Sequence[Record]) -> str:
    if record.scenario != "pipeline":
        return ""
    engine = engine_record_of(record, records)
    return "" if engine is None else f"{pipeline_ratio(record, engine):.0%}"
