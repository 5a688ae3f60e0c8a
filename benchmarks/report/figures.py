"""Pictures of records as SVG that goes into a page, in the page's own colours, light or dark.

Matplotlib draws them: it knows axes, logarithms and ticks, and its SVG keeps text as text and needs no script, so a
page of ten figures stays below half a megabyte. Colours are drawn as placeholders that become CSS variables.
"""

import re
from collections.abc import Callable, Sequence
from io import StringIO
from itertools import chain
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from artmirror.benchmarks.records.speed import Record, Session, StartRecord
from artmirror.benchmarks.records.temporal import TemporalSession
from artmirror.benchmarks.speed.summary import STAGES, fps, reached, series, series_place, stage_ms

SERIES = 8  # colours; a further series begins again
_SIZE_IN = (4.8, 3.0)  # read at full width on a phone, two beside each other on a screen
_WIDE = 10  # values that differ by more go on a logarithmic axis
_INK, _FAINT = "#010203", "#010204"
_COLOURS = [f"#0102{16 + index:02x}" for index in range(SERIES)]
_VARIABLES = {_INK: "var(--ink)", _FAINT: "var(--faint)"} | {
    colour: f"var(--series-{index})" for index, colour in enumerate(_COLOURS)
}
_STAGE_COLOURS = [_FAINT, *_COLOURS[4:8]]  # not those of the first engines
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_DASHES: tuple[object, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1, 1, 1)))
_RC: Any = {
    "svg.fonttype": "none",
    "font.size": 10,
    "text.color": _INK,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _FAINT,
    "grid.alpha": 0.5,
    "grid.linewidth": 0.5,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "lines.linewidth": 1.3,
}


def fps_figure(session: Session, part: Session) -> str:
    """A group of columns for each scenario: a point for each round, a bar at their median.

    Args:
        session: The whole, which gives everything its colour.
        part: What is drawn of it, of one size.
    """
    scenarios = list(dict.fromkeys(record.scenario for record in part.records))
    count = len(series(session))
    width = 0.8 / count

    def draw(axes: Axes) -> None:
        for record in part.records:
            place = series_place(session, record)
            middle = scenarios.index(record.scenario) + (place - (count - 1) / 2) * width
            values = [fps(one_round) for one_round in record.rounds]
            offsets = np.linspace(-0.25, 0.25, len(values)) * width if len(values) > 1 else [0.0]
            axes.plot(
                middle + np.asarray(offsets), values, _marker(place), color=_colour(place), markersize=4, alpha=0.7
            )
            edges = middle - 0.4 * width, middle + 0.4 * width
            axes.hlines(float(np.median(values)), *edges, color=_colour(place), linewidth=3)
        axes.set_xticks(range(len(scenarios)), scenarios)
        axes.grid(axis="x", visible=False)
        axes.set_ylim(bottom=0)
        axes.set_ylabel("frames per second")

    return _svg("FPS of each round", draw)


def latency_figure(session: Session, part: Sequence[Record]) -> str:
    """How large a part of the frames was done in so many milliseconds; `part` is of one size and scenario."""

    def draw(axes: Axes) -> None:
        longest = []
        for record in part:
            place = series_place(session, record)
            values = np.sort(_latency_ms(record))
            share = np.arange(1, len(values) + 1) / len(values)
            axes.step(values, 100 * share, where="post", color=_colour(place), linestyle=_dash(place))
            longest += [values[0], values[-1]]
        if longest and max(longest) > _WIDE * min(longest):
            axes.set_xscale("log")
            _plain_log(axes.xaxis)
        axes.set_xlabel("latency, ms")
        axes.set_ylabel("% of the frames")

    return _svg("Distribution of latency", draw)


def latency_course_figure(session: Session, part: Sequence[Record]) -> str:
    """Latency of every frame, in the order in which they came, all rounds one after the other."""

    def draw(axes: Axes) -> None:
        every = []
        for record in part:
            values = _latency_ms(record)
            place = series_place(session, record)
            axes.plot(np.arange(1, len(values) + 1), values, color=_colour(place), linewidth=0.9)
            for end in np.cumsum([len(one_round.measured.latency_ns) for one_round in record.rounds])[:-1]:
                axes.axvline(end + 0.5, color=_FAINT, linewidth=0.5)
            every += values
        if every and max(every) > _WIDE * min(every):
            axes.set_yscale("log")
            _plain_log(axes.yaxis)
        axes.grid(axis="x", visible=False)
        axes.set_xlabel("frame; a line between rounds")
        axes.set_ylabel("latency, ms")

    return _svg("Latency over time", draw)


def starts_figure(session: Session, part: Sequence[StartRecord]) -> str:
    """The stages of each start, one after the other; `part` is of one size."""
    bars = [
        (f"{series_place(session, record) + 1} {word}", starts)
        for record in part
        for word, starts in (("cold", record.cold), ("cached", record.cached))
    ]
    rows = np.arange(len(bars))

    def draw(axes: Axes) -> None:
        left_ms = np.zeros(len(bars))
        for index, stage in enumerate(STAGES):
            widths_ms = np.array([stage_ms(starts, stage) for _, starts in bars])
            axes.barh(rows, widths_ms, left=left_ms, color=_STAGE_COLOURS[index], label=stage.replace("_", " "))
            left_ms += widths_ms
        axes.set_yticks(rows, [label for label, _ in bars])
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("ms")
        axes.figure.legend(loc="outside lower center", ncols=3, frameon=False)

    return _svg("Start-up", draw, height_in=max(_SIZE_IN[1], 1 + 0.22 * len(bars)))


def roofline_figure(session: Session) -> str | None:
    """The machine's roofs and every engine below them; None where nobody measured roofs."""
    ceilings = session.ceilings
    points = [
        (series_place(session, record), found)
        for record in session.records
        if record.scenario == "engine" and ceilings is not None and (found := reached(record, ceilings)) is not None
    ]
    if ceilings is None or not points:
        return None
    copy = max(ceilings.copy_bytes_per_s)
    products = {name: max(values) for name, values in ceilings.product_flop_per_s.items()}

    def draw(axes: Axes) -> None:
        intensities = [found.flop_per_s / found.bytes_per_s for _, found in points]
        corners = [product / copy for product in products.values()]
        reach = np.geomspace(min(*intensities, *corners) / 4, max(*intensities, *corners) * 4, 200)
        for name, product in products.items():
            axes.plot(reach, np.minimum(copy * reach, product) / 1e9, color=_INK, linewidth=1.2)
            axes.annotate(f"{name} product", (reach[-1], product / 1e9), (0, 3), textcoords="offset points", ha="right")
        start = reach[0] * 1.15
        axes.annotate("copy", (start, copy * start / 1e9), (8, -4), textcoords="offset points")
        for (index, found), intensity in zip(points, intensities, strict=True):
            axes.plot(intensity, found.flop_per_s / 1e9, _marker(index), color=_colour(index), markersize=8)
            label = f"{index + 1}: {found.share:.0%}"
            axes.annotate(label, (intensity, found.flop_per_s / 1e9), (8, -4), textcoords="offset points")
        axes.set_xscale("log")
        axes.set_yscale("log")
        _plain_log(axes.xaxis)
        _plain_log(axes.yaxis)
        axes.set_xlabel("FLOP per byte moved")
        axes.set_ylabel("GFLOP/s")

    return _svg("Roofline", draw)


def instability_figure(session: TemporalSession, sequence: int, step: int) -> str | None:
    """Root of the squared error of each pair along one sequence, all painters; None where it has no such pair."""
    chosen = [index for index, pair in enumerate(session.sequences[sequence].pairs) if pair.step == step]
    if not chosen:
        return None
    frames = [session.sequences[sequence].pairs[index].first for index in chosen]

    def draw(axes: Axes) -> None:
        for index, painter in enumerate(session.painters):
            errors = painter.values[sequence].squared_errors
            values = [errors[place] ** 0.5 for place in chosen]
            dots = "." if len(values) < 40 else ""
            axes.plot(frames, values, marker=dots, color=_colour(index), linestyle=_dash(index))
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("frame")
        axes.set_ylabel("error of the pair")

    return _svg(f"{session.sequences[sequence].name}, step {step}", draw)


def _latency_ms(record: Record) -> list[float]:
    return [value / 1e6 for value in chain.from_iterable(entry.measured.latency_ns for entry in record.rounds)]


def _plain_log(axis: Axis) -> None:
    """Plain numbers on a logarithmic axis: at 1, 2 and 5 of every power of ten, or at the powers over a long way."""
    low, high = sorted(axis.get_view_interval())
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 200 * low else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _colour(index: int) -> str:
    return _COLOURS[index % SERIES]


def _marker(index: int) -> str:
    return _MARKERS[index % len(_MARKERS)]


def _dash(index: int) -> object:
    return _DASHES[index % len(_DASHES)]


def _svg(title: str, draw: Callable[[Axes], None], height_in: float = _SIZE_IN[1]) -> str:
    """Draw, and make it part of a page: no size of its own, no identifiers that two figures share."""
    with matplotlib.rc_context({**_RC, "svg.hashsalt": title}):  # the same records always make the same page
        figure = Figure((_SIZE_IN[0], height_in), layout="constrained")
        draw(figure.add_subplot())
        written = StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    text = written.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<(metadata|style).*?</\1>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*">', "<g>", text)
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)  # the page's
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    label = title.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return re.sub(r"<svg [^>]*?(viewBox=\"[^\"]*\")[^>]*>", rf'<svg \1 role="img" aria-label="{label}">', text, count=1)
