"""Records as one page of HTML that needs nothing else: no network, no script, no other file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment as Templates
from jinja2 import StrictUndefined
from markupsafe import Markup

from artmirror.benchmarks.grid import Grid
from artmirror.benchmarks.records.environment import Environment
from artmirror.benchmarks.records.machine import Gpu
from artmirror.benchmarks.records.speed import ScenarioName, Session
from artmirror.benchmarks.records.temporal import TemporalSession
from artmirror.benchmarks.report import figures, moments
from artmirror.benchmarks.report.moments import Moment
from artmirror.benchmarks.speed.notes import roof_notes, speed_notes
from artmirror.benchmarks.speed.summary import by_size, series
from artmirror.benchmarks.speed.table import sizes, speed_grids
from artmirror.benchmarks.temporal import table as temporal_report
from artmirror.benchmarks.temporal.kept_frames import WHITE, KeptFrames

_CURVES = 12  # sequences whose curves are shown
# Scenarios whose latency is drawn: with transfers it looks as without, and a pipeline's frames wait in a full queue.
_WITH_LATENCY: dict[ScenarioName, str] = {"engine": "engine alone", "live": "live"}


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure and its words."""

    svg: Markup
    title: str
    caption: str


@dataclass(frozen=True, slots=True)
class Section:
    """What one record says."""

    title: str
    grids: tuple[Grid, ...]
    legend: tuple[str, ...]  # names of the series, in the order of their colours
    drawings: tuple[Drawing, ...]
    side_by_side: tuple[Moment, ...]
    worst: tuple[Moment, ...]
    notes: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]


def render_page(records: Sequence[tuple[Session | TemporalSession, KeptFrames | None]]) -> str:
    """The page. Every record has a section of its own, so that values of two machines never meet in one figure.

    Args:
        records: Each with the pictures that its run kept, or None.
    """
    template = Templates(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined).from_string(
        files("artmirror.benchmarks.report").joinpath("page.html.j2").read_text(encoding="utf-8")
    )
    sections = [
        _temporal_section(session, kept) if isinstance(session, TemporalSession) else _speed_section(session)
        for session, kept in records
    ]
    return template.render(sections=sections, series=figures.SERIES)


def _speed_section(session: Session) -> Section:
    names = tuple(
        f"{number}: {entry.engine} {entry.backend} {entry.precision}"
        for number, entry in enumerate(series(session), start=1)
    )
    told = speed_notes(session)
    if session.ceilings is not None:
        told += roof_notes(session.ceilings)
    return Section(
        title=f"Speed at {', '.join(sizes(session))}",
        grids=tuple(speed_grids(session)),
        legend=names,
        drawings=tuple(_speed_drawings(session)),
        side_by_side=(),
        worst=(),
        notes=tuple(told),
        environment=_environment(session.environment),
    )


def _speed_drawings(session: Session) -> Iterator[Drawing]:
    several = len(sizes(session)) > 1
    for size, part in by_size(session):
        at = f", {size}" if several else ""
        if part.records:
            svg = Markup(figures.fps_figure(session, part))
            yield Drawing(svg, f"FPS{at}", "A point for each round, a bar at their median.")
        for scenario, name in _WITH_LATENCY.items():
            records = [record for record in part.records if record.scenario == scenario]
            if records:
                distribution = Markup(figures.latency_figure(session, records))
                caption = "The share of the frames that was done in so much time."
                yield Drawing(distribution, f"Latency, {name}{at}", caption)
                course = Markup(figures.latency_course_figure(session, records))
                yield Drawing(course, f"Latency over time, {name}{at}", "Every measured frame.")
        if part.starts:
            svg = Markup(figures.starts_figure(session, part.starts))
            yield Drawing(svg, f"Start-up{at}", "From a fresh process to its first painted frame, medians of stages.")
    roofline = figures.roofline_figure(session)
    if roofline is not None:
        yield Drawing(
            Markup(roofline),
            "Roofline",
            "The roofs of this machine, measured in the same run, and each engine with the share that it reaches of "
            "the roof above it.",
        )


def _temporal_section(session: TemporalSession, kept: KeptFrames | None) -> Section:
    told = temporal_report.notes(session)
    if len(session.sequences) > _CURVES:
        told.append(f"curves of the first {_CURVES} of {len(session.sequences)} sequences")
    if kept is None:
        told.append("no pictures: the run kept none, or --frames does not name them")
    else:
        told.append(
            f"instability: black where a frame and its warped successor agree, white where they differ by {WHITE}"
        )
    return Section(
        title="Temporal error",
        grids=tuple(temporal_report.grids(session, numbers=False)),
        legend=tuple(
            " ".join(filter(None, (painter.info.label, painter.info.backend, painter.info.precision)))
            for painter in session.painters
        ),
        drawings=tuple(_temporal_drawings(session)),
        side_by_side=() if kept is None else tuple(moments.side_by_side(session, kept)),
        worst=() if kept is None else tuple(moments.worst_moments(session, kept)),
        notes=tuple(told),
        environment=_environment(session.environment),
    )


def _temporal_drawings(session: TemporalSession) -> Iterator[Drawing]:
    for index, sequence in enumerate(session.sequences[:_CURVES]):
        for step in session.steps:
            svg = figures.instability_figure(session, index, step)
            if svg is not None:
                caption = f"Error of each pair of frames that are {step} apart."
                yield Drawing(Markup(svg), f"{sequence.name}, step {step}", caption)


def _environment(place: Environment) -> tuple[tuple[str, str], ...]:
    """What is known; what the system did not tell is said once, at the end."""
    gigabytes = None if place.memory_bytes is None else f"{place.memory_bytes / 1e9:.1f} GB"
    values = {
        "processor": place.cpu,
        "cores": str(place.cores),
        "core limit": _told(place.core_limit),
        "instruction sets": ", ".join(place.cpu_features) or None,
        "virtual machine": None if place.virtual is None else "yes" if place.virtual else "no",
        "clock, MHz": _told(place.clock_mhz),
        "highest clock, MHz": _told(place.clock_max_mhz),
        "governor": place.governor,
        "memory": gigabytes,
        "GPU": "; ".join(_gpu(gpu) for gpu in place.gpus) or None,
        "system": place.os,
        "Python": place.python,
        "artmirror": place.artmirror,
        "commit": place.commit,
        "libraries": ", ".join(f"{name} {version}" for name, version in place.libraries.items()),
        "time": place.time,
        "load before": _told(place.load_average_1min),
    }
    known = [(name, value) for name, value in values.items() if value is not None]
    return (*known, ("not told or not there", ", ".join(name for name, value in values.items() if value is None)))


def _gpu(gpu: Gpu) -> str:
    clocks = f", {gpu.clock} of {gpu.clock_max}" if gpu.clock else ""
    return f"{gpu.name}, {gpu.memory}, driver {gpu.driver}{clocks}"


def _told(value: float | None) -> str | None:
    return None if value is None else f"{value:g}"
