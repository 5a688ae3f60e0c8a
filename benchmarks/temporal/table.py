"""Shows a session of `st-bench temporal`: pure functions from records to tables, for the terminal and as Markdown."""

from collections.abc import Iterator, Sequence
from statistics import fmean

from rich.console import Group, RenderableType

from artmirror.benchmarks.grid import Grid, markdown_grid, rich_grid
from artmirror.benchmarks.records.measuring import BUSY_SPREAD
from artmirror.benchmarks.records.temporal import FlowKind, PainterRecord, TemporalSession
from artmirror.benchmarks.temporal.metric import STILL
from artmirror.benchmarks.temporal.summary import (
    edge_error,
    mean_content,
    mean_lpips,
    mean_style,
    median_ms,
    normalised_style,
    pairs_at,
    ratio,
    still_change,
    temporal_error,
    timed_size,
    times_spread,
)

_PAINTERS_PER_TABLE = 8  # besides the input, so that a table fits 100 columns
_HALF_SEEN = 0.5
_NAMED = 10  # sequences in a note
_MOST_PARTS = 40  # sequences in a table; of more, as with many paintings, only all together are shown
_FLOWS: dict[FlowKind, str] = {"truth": "truth", "dis": "DIS"}


def render_temporal(session: TemporalSession) -> RenderableType:
    """Title, tables and notes for a terminal."""
    return Group(title(session), *(rich_grid(grid) for grid in grids(session, numbers=True)), *notes(session))


def markdown_temporal(session: TemporalSession) -> str:
    """The same as a Markdown page."""
    lines = ["# Temporal error", "", title(session), ""]
    for grid in grids(session, numbers=False):
        lines += [f"## {grid.title}", "", *markdown_grid(grid), ""]
    lines += [f"- {note}" for note in notes(session)]
    libraries = ", ".join(f"{name} {version}" for name, version in session.environment.libraries.items())
    place = session.environment
    lines += ["", f"{place.os}, {place.python}, {libraries}; commit {place.commit or 'of a package'}; {place.time}", ""]
    return "\n".join(lines)


def title(session: TemporalSession) -> str:
    """Where it was measured."""
    place = session.environment
    return f"{place.cpu} ({place.cores} cores), artmirror {place.artmirror}"


def grids(session: TemporalSession, *, numbers: bool) -> list[Grid]:
    """The summary, and the temporal error of each sequence.

    Args:
        numbers: Head the second table's columns with the first table's numbers, where there is no room for names.
    """
    heads = [f"#{index}" if numbers else _name(painter) for index, painter in enumerate(session.painters)]
    heads[0] = session.painters[0].info.label
    shown = [_summary(session)]
    for start in range(1, max(2, len(heads)), _PAINTERS_PER_TABLE):
        shown.append(_details(session, [0, *range(start, min(start + _PAINTERS_PER_TABLE, len(heads)))], heads))
    return shown


def _summary(session: TemporalSession) -> Grid:
    sequences = session.sequences
    photos = session.judges is not None and any(sequence.unrelated for sequence in sequences)
    header = ["#", "network", "on"]
    for step in session.steps:
        header += [f"e_stab\nstep {step}", "of\ninput"]
        if step == _edged_step(session):
            header.append("of\nedges")
            if _at_rest(session):
                header.append("at\nrest")
    if session.lpips is not None:
        header += [f"LPIPS\nstep {step}" for step in session.steps]
    if session.judges is not None:
        header += ["style", "of\nphoto", "by\nlayer", "content"] if _by_layer(session) else ["style", "content"]
    if photos:
        header += ["style\nphotos", "content\nphotos"]
    header.append("ms")
    rows = []
    for index, painter in enumerate(session.painters):
        computed = f"{painter.info.backend or ''} {painter.info.precision or ''}".strip()
        row = [str(index or ""), painter.info.label, computed]
        for step in session.steps:
            value = temporal_error(painter, sequences, step)
            row += [_error(value), _times(ratio(value, temporal_error(session.painters[0], sequences, step)))]
            if step == _edged_step(session):
                row.append(_times(ratio(value, edge_error(painter, session.painters[0], sequences, step))))
                if _at_rest(session):
                    change = still_change(painter, sequences, step)
                    row.append("-" if change is None else f"{change:.2f}")
        if session.lpips is not None:
            row += [_error(mean_lpips(painter, sequences, step)) for step in session.steps]
        for among_photos in (False, True)[: (session.judges is not None) + photos]:
            row.append(_distance(mean_style(painter, sequences, photos=among_photos)))
            if not among_photos and _by_layer(session):
                for by_layer in (False, True):
                    row.append(_distance(normalised_style(painter, session.painters[0], sequences, by_layer=by_layer)))
            row.append(_distance(mean_content(painter, sequences, photos=among_photos)))
        row.append(_ms(median_ms(painter, sequences), times_spread(painter, sequences)))
        rows.append(tuple(row))
    return Grid("All sequences", tuple(header), tuple(rows), texts=3)


def _details(session: TemporalSession, chosen: Sequence[int], heads: Sequence[str]) -> Grid:
    shown = [session.painters[index] for index in chosen]
    rows = []
    parts: list[tuple[str, int | None]] = [(sequence.name, index) for index, sequence in enumerate(session.sequences)]
    if len(parts) > _MOST_PARTS:
        parts = []
    for name, only in parts if len(parts) == 1 else [*parts, ("all", None)]:
        for step in session.steps:
            for flow in _FLOWS:
                pairs = pairs_at(session.sequences, step, flow=flow, only=only)
                if pairs:
                    errors = (
                        temporal_error(painter, session.sequences, step, flow=flow, only=only) for painter in shown
                    )
                    visible = f"{fmean(pair.visible for pair in pairs):.0%}"
                    told = (name, _size(session, only), str(step), _FLOWS[flow], str(len(pairs)), visible)
                    rows.append((*told, *(_error(error) for error in errors)))
    header = ("sequence", "size", "step", "flow", "pairs", "seen", *(heads[index] for index in chosen))
    return Grid("e_stab by sequence", header, tuple(rows), texts=2)


def notes(session: TemporalSession) -> list[str]:
    """What a reader of the tables has to know, a line each."""
    return list(_notes(session))


def _notes(session: TemporalSession) -> Iterator[str]:
    sequences, judges = session.sequences, session.judges
    yield (
        "e_stab: root of the mean over pairs of the masked squared difference between a painted frame and its warped "
        "successor, over all pixels, pictures in [0, 1]; step: frames between the two; input: the frames themselves, "
        "the floor; seen: share of the pixels inside the mask"
    )
    if _edged_step(session) is not None:
        yield (
            "of edges: of what the input's own error would be at edges as sharp as the painted ones; a painter whose "
            "strokes move exactly with the picture has about 1, or less where it does not paint the input's noise"
        )
    if _at_rest(session):
        yield (
            "at rest: mean change of the painted picture from a frame to the next, of 255, where no channel of the "
            f"input changes by {STILL} or more"
        )
    flows = {pair.flow for sequence in sequences for pair in sequence.pairs}
    if "dis" in flows:
        yield "DIS: flow estimated on the input frames, masked where forward and backward disagree and at motion edges"
    if "truth" in flows:
        yield "truth: flow given with the frames, for neighbours only; larger steps take DIS"
    if any(len({pair.flow for pair in pairs_at(sequences, step)}) > 1 for step in session.steps):
        yield "errors by given and by estimated flow do not compare with each other; the first table pools both"
    uncovered = sum(not pair.occlusions for sequence in sequences for pair in sequence.pairs)
    if uncovered:
        yield f"{uncovered} pairs have given flow but no occlusion mask: hidden places count as errors there"
    blind = sum(pair.visible < _HALF_SEEN for sequence in sequences for pair in sequence.pairs)
    if blind:
        yield (
            f"in {blind} pairs less than half of the pixels count (a cut, fast motion, sparse truth): "
            "a low error there says little"
        )
    for step in session.steps:
        short = [
            f"{entry.name} ({entry.frames})" for entry in sequences if not entry.unrelated and entry.frames <= step
        ]
        if short:
            more = f" and {len(short) - _NAMED} more" if len(short) > _NAMED else ""
            yield f"too short for a pair at step {step} (frames): {', '.join(short[:_NAMED])}{more}"
    if judges is None:
        yield "no style and content distance: --vgg and --painting were not given"
    else:
        scale = f"normalised on {judges.normalised_on} photos" if judges.normalised_on else "taken as it is"
        yield (
            f"style and content: training's losses by {judges.vgg} ({scale}), against {judges.painting} at short side "
            f"{judges.painting_size}; every {judges.every}. frame at its full size"
        )
        if _by_layer(session):
            yield (
                "of photo: style distance in units of what the unpainted frame has; by layer: the mean of the four "
                "layers, each in its own unit"
            )
        yield from (
            f"photos: {sequence.frames} of {sequence.name} at {sequence.width}x{sequence.height}"
            for sequence in sequences
            if sequence.unrelated
        )
    if session.lpips is None:
        yield "no LPIPS: --lpips was not given"
    else:
        yield (
            f"LPIPS: mean distance of a painted frame to its warped successor, by {session.lpips.alexnet} and "
            f"{session.lpips.linear}; places outside the mask count as equal; pairs from every {session.lpips.every}. "
            "frame"
        )
    height, width = timed_size(sequences)
    threads = session.painters[-1].info.threads  # one option for all
    yield f"ms: median of a {width}x{height} frame with {threads} threads, networks in turn; peers without conversion"
    if any((times_spread(painter, sequences) or 0) > BUSY_SPREAD for painter in session.painters):
        yield f"~ the middle half of the times spans more than {BUSY_SPREAD:.0%} of the median: the machine was busy"
    for painter in session.painters:
        if painter.info.note:
            yield f"{painter.info.label} {painter.info.note}"


def _edged_step(session: TemporalSession) -> int | None:
    """The smallest step, for which alone edges are shown: a terminal has no room for more, and others are alike."""
    return session.steps[0] if any(values.edges for values in session.painters[0].values) else None


def _at_rest(session: TemporalSession) -> bool:
    return any(values.changes for values in session.painters[0].values)


def _by_layer(session: TemporalSession) -> bool:
    return any(values.style_layers for values in session.painters[0].values)


def _size(session: TemporalSession, only: int | None) -> str:
    if only is None:
        return ""
    sequence = session.sequences[only]
    return f"{sequence.width}x{sequence.height}"


def _name(painter: PainterRecord) -> str:
    return f"{painter.info.label} ({painter.info.backend})"


def _error(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _times(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}x"


def _distance(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _ms(value: float | None, spread: float | None) -> str:
    return "" if value is None or spread is None else f"{value:.1f}{'~' if spread > BUSY_SPREAD else ''}"
