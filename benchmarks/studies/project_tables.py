"""Tables of numbers for README and docs, from the records of `studies/project.py`: pure functions to Markdown.

A table stands on a page between `<!-- bench: NAME -->` and `<!-- /bench -->`.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from artmirror.benchmarks.grid import Grid, markdown_grid
from artmirror.benchmarks.records.environment import Environment
from artmirror.benchmarks.records.measuring import BUSY_SPREAD
from artmirror.benchmarks.records.speed import Record, Session, StartRecord, Subject, read_session
from artmirror.benchmarks.records.temporal import TemporalSession, read_temporal
from artmirror.benchmarks.speed.summary import (
    age_percentiles_ms,
    frames_dropped,
    latency_percentiles_ms,
    start_ms,
    summarize,
)
from artmirror.benchmarks.temporal.table import grids
from artmirror.runtime.common.errors import ArtmirrorError

SPEED = {"default": "speed.json", "fp32": "speed-fp32.json", "live": "speed-live.json"}
TEMPORAL = {
    "variants": "temporal-variants.json",
    "mosaic": "temporal-mosaic.json",
    "paintings": "temporal-paintings.json",
}
NETWORKS = "networks.sha256"  # what was measured: lines of sha256sum, paths from the project's root

_REPORT = "report.md"  # in tables, until the page that they stand on is known
_BLOCK = re.compile(r"^(<!-- bench: ([\w-]+) -->\n)(.*?)^(<!-- /bench -->)$", re.MULTILINE | re.DOTALL)
_MARKER = re.compile(r"^<!-- /?bench\b.*-->$", re.MULTILINE)
_LIBRARIES = {"openvino": "OpenVINO", "onnxruntime": "ONNX Runtime"}  # others as they call themselves


def tables(folder: Path, report: str) -> dict[str, str]:
    """Name of a block -> its Markdown, from the records in a folder.

    Args:
        report: The link to where all of it stands.

    Raises:
        ArtmirrorError: a record is missing or damaged, or they are of different machines.
    """
    speed = [read_session(folder / name) for name in SPEED.values()]
    temporal = {f"temporal-{name}": read_temporal(folder / path) for name, path in TEMPORAL.items()}
    check_machine([*(session.environment for session in speed), *(entry.environment for entry in temporal.values())])
    found = {"speed": speed_table(speed), **{name: temporal_table(session) for name, session in temporal.items()}}
    return {name: table.replace(_REPORT, report) for name, table in found.items()}


def fill(text: str, tables: Mapping[str, str]) -> str:
    """A page with its blocks replaced; what stands outside of them stays as it is.

    Raises:
        ArtmirrorError: there is no block, one has no table, or a marker has no counterpart.
    """
    names = [match[2] for match in _BLOCK.finditer(text)]
    known = set(names) <= set(tables) and len(set(names)) == len(names) > 0
    if not known or len(_MARKER.findall(text)) != 2 * len(names):
        wanted = ", ".join(f"<!-- bench: {name} -->" for name in tables)
        raise ArtmirrorError(
            f"the page has blocks for {', '.join(names) or 'nothing'}; wanted some of {wanted}, each once, on a line "
            "of its own, and <!-- /bench --> behind it"
        )
    return _BLOCK.sub(lambda match: match[1] + tables[match[2]] + match[4], text)


def check_machine(environments: Sequence[Environment]) -> None:
    """Raise ArtmirrorError where records that stand beside each other are of different machines."""
    machines = dict.fromkeys((place.cpu, place.cores) for place in environments)
    if len(machines) > 1:
        raise ArtmirrorError(f"the records are of different machines ({machines}); measure again")


def speed_table(sessions: Sequence[Session]) -> str:
    """A column for each network, a row for each way to run it."""
    records = [record for session in sessions for record in session.records]
    starts = [record for session in sessions for record in session.starts]
    columns = dict.fromkeys(_network(subject) for subject in (*records, *starts))
    rows: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for subject, row, cell in [*_record_cells(records), *_start_cells(starts)]:
        rows[row].setdefault(_network(subject), cell)
    header = ("", *columns)
    lines = tuple((row, *(cells.get(column, "") for column in columns)) for row, cells in rows.items())
    sizes = dict.fromkeys(f"{record.width}x{record.height}" for record in (*records, *starts))
    libraries = dict.fromkeys(record.library for record in records)
    sources = dict.fromkeys(record.source for record in records if record.scenario == "pipeline")
    rounds = max(len(record.rounds) for record in records)
    caption = (
        f"{_place([session.environment for session in sessions])}; {', '.join(sizes)}; medians of {rounds} rounds that "
        f"take turns, `~` where they spread over {BUSY_SPREAD:.0%}; {', '.join(libraries)}. Source to sink: from "
        f"{', '.join(map(str, sources))} to nowhere."
    )
    return _block(caption, Grid("Speed", header, lines, texts=1))


def temporal_table(session: TemporalSession) -> str:
    """The summary of `st-bench temporal`."""
    summary = grids(session, numbers=False)[0]
    rows = tuple(row[1:] for row in summary.rows)  # without numbers, to which nothing refers here
    # With several paintings a sequence stands there once for each: "clip, painting".
    frames = {sequence.name.partition(", ")[0]: sequence.frames for sequence in session.sequences}
    clips = ", ".join(f"{name} ({count})" for name, count in frames.items())
    threads = session.painters[-1].info.threads  # one option for all
    judges = "" if session.judges is None else f"; style and content against {session.judges.painting}"
    return _block(
        f"{_place([session.environment])}; clips (frames): {clips}{judges}; ms: of a frame, with {threads} threads, "
        "`~` where the machine was busy.",
        Grid("Temporal error", summary.header[1:], rows, texts=summary.texts - 1),
    )


def _block(caption: str, grid: Grid) -> str:
    return "\n".join([caption, "", *markdown_grid(grid), ""])


def _record_cells(records: Sequence[Record]) -> Iterator[tuple[Subject, str, str]]:
    """What was measured, the name of a row, and what stands there."""
    for record in sorted(records, key=lambda record: record.scenario == "live"):
        found, way = summarize(record), f"{_LIBRARIES.get(record.backend, record.backend)} {record.precision}"
        mark = "~" if found.spread > BUSY_SPREAD else ""
        if record.scenario == "live":
            rate = (record.source or "").rpartition("@")[2]
            latency, age = latency_percentiles_ms(record), age_percentiles_ms(record)
            live = f"{way}, live at {rate} FPS"
            yield record, f"{live}: FPS shown", f"{found.fps_median:.1f}{mark}"
            yield record, f"{live}: latency, ms, p50 / p95", f"{latency[0]:.0f} / {latency[1]:.0f}"
            yield record, f"{live}: age of what is seen, ms, p50 / p95", f"{age[0]:.0f} / {age[1]:.0f}"
            yield record, f"{live}: frames dropped", str(frames_dropped(record))
        else:
            kind = {"engine": "engine alone", "pipeline": "source to sink"}.get(record.scenario, record.scenario)
            yield record, f"{way}, {kind}, FPS", f"{found.fps_median:.1f}{mark}"


def _start_cells(starts: Sequence[StartRecord]) -> Iterator[tuple[Subject, str, str]]:
    for record in starts:
        cold, cached = (median(map(start_ms, entries)) / 1e3 for entries in (record.cold, record.cached))
        peaks = [start.peak_rss_bytes for start in (*record.cold, *record.cached) if start.peak_rss_bytes is not None]
        yield record, "start to the first painted frame, s, cold / cached", f"{cold:.2f} / {cached:.2f}"
        if peaks:
            yield record, "peak memory of that process, MB", f"{max(peaks) / 1e6:.0f}"


def _network(subject: Subject) -> str:
    return f"{subject.engine.removesuffix('.ncnn')} (`{subject.preset}`)"


def _place(environments: Sequence[Environment]) -> str:
    place = environments[0]
    commits = dict.fromkeys(_short(entry.commit) for entry in environments)
    day = min(entry.time for entry in environments)[:10]
    return f"[`make bench`]({_REPORT}) on {place.cpu} ({place.cores} cores), {day}, commit {', '.join(commits)}"


def _short(commit: str | None) -> str:
    if commit is None:
        return "unknown"
    name, dash, dirty = commit.partition("-")
    return name[:7] + dash + dirty
