"""Draws docs/rooms.svg from the imports in the code: `PYTHONPATH=. python tests/draw_rooms.py`."""

import textwrap
from collections.abc import Iterator
from html import escape
from importlib import import_module
from itertools import pairwise

import grimp

from tests.places import ROOT

PICTURE = ROOT / "docs" / "rooms.svg"
ROOMS = ("train", "export", "runtime", "benchmarks")  # as data goes
FILES = ("starry.pt", "starry.onnx", "frames")  # what goes from each room to the next
FRAMES_WAY = ("sources", "engines", "sinks")

_WIDTH, _GAP, _MARGIN = 186, 76, 22
_TOP, _HEAD, _ROW, _CHIP, _LANE = 44, 118, 48, 34, 46
_INK, _FAINT, _PAPER = "#22303c", "#566573", "#fbfaf7"
_COLOURS = {"train": "#b5562f", "export": "#7a5ca6", "runtime": "#2f6f99", "benchmarks": "#4a7d47"}


def graph() -> grimp.ImportGraph:
    """Who imports whom, in the code as it is installed."""
    return grimp.build_graph(*(f"artmirror.{room}" for room in ROOMS), cache_dir=None)


def wings(modules: grimp.ImportGraph, room: str) -> list[str]:
    """The wings of a room: a frame's way in its order, then the others by name."""
    found = {
        child.rpartition(".")[2] for child in modules.find_children(f"artmirror.{room}") if modules.find_children(child)
    }
    way = [wing for wing in FRAMES_WAY if room == "runtime" and wing in found]
    return way + sorted(found - set(way))


def between_rooms(modules: grimp.ImportGraph) -> dict[tuple[str, str], set[str]]:
    """(room, other room that it imports) -> the parts of the other one that it takes: wings, and files at its top."""
    found: dict[tuple[str, str], set[str]] = {}
    for importer in modules.modules:
        for imported in modules.find_modules_directly_imported_by(importer):
            room, (_, other, part) = importer.split(".")[1], (*imported.split("."), "")[:3]
            if room != other and part:  # a room's own __init__ is imported with whatever is in it
                found.setdefault((room, other), set()).add(part)
    return found


def draw() -> str:
    """The picture as SVG: a column for each room with its wings, data above it, imports below it."""
    modules = graph()
    columns = {room: wings(modules, room) for room in ROOMS}
    bottom = _TOP + _HEAD + _ROW * max(map(len, columns.values())) + 6
    imports = between_rooms(modules)
    importers = [room for room in ROOMS if any(importer == room for importer, _ in imports)]
    width = len(ROOMS) * _WIDTH + (len(ROOMS) - 1) * _GAP + 2 * _MARGIN
    height = bottom + 40 + _LANE * len(importers) + 8
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        f'<title>The rooms of artmirror</title><rect width="{width}" height="{height}" fill="{_PAPER}"/>',
    ]
    for room, wing_names in columns.items():
        lines += _column(room, wing_names, bottom)
    for (room, other), name in zip(pairwise(ROOMS), FILES, strict=True):
        start, end = _left(room) + _WIDTH, _left(other)
        y = _TOP + 26
        lines.append(_text((start + end) / 2, y - 9, name, 13, _INK, middle=True))
        lines.append(f'<path d="M{start + 6} {y}H{end - 8}" stroke="{_INK}" stroke-width="2.5"/>')
        lines.append(f'<path d="M{end - 12} {y - 6}l9 6l-9 6z" fill="{_INK}"/>')
    lines += _frames_way(modules, columns["runtime"])
    for lane, room in enumerate(importers):
        taken = {other: imports[room, other] for other in ROOMS if (room, other) in imports}
        lines += _lane(room, taken, bottom, bottom + 40 + _LANE * lane, offset=44 * (lane - 1))
    lines.append("</svg>\n")
    return "\n".join(lines)


def _left(room: str) -> int:
    return _MARGIN + ROOMS.index(room) * (_WIDTH + _GAP)


def _column(room: str, wing_names: list[str], bottom: int) -> Iterator[str]:
    x, colour = _left(room), _COLOURS[room]
    yield f'<rect x="{x}" y="{_TOP}" width="{_WIDTH}" height="{bottom - _TOP}" rx="12" '
    yield f'fill="{colour}" fill-opacity="0.12" stroke="{colour}" stroke-width="1.5"/>'
    yield _text(x + 14, _TOP + 32, f"{room}/", 22, colour, bold=True)
    sentence = str(import_module(f"artmirror.{room}").__doc__).partition(".")[0]
    for row, words in enumerate(textwrap.wrap(sentence, 23)[:3]):
        yield _text(x + 14, _TOP + 56 + 18 * row, words, 14, _FAINT)
    for row, wing in enumerate(wing_names):
        y = _TOP + _HEAD + row * _ROW
        yield f'<rect x="{x + 12}" y="{y}" width="{_WIDTH - 24}" height="{_CHIP}" rx="8" fill="white" '
        yield f'stroke="{colour}" stroke-opacity="0.6"/>'
        yield _text(x + 24, y + 23, wing, 17, _INK)


def _frames_way(modules: grimp.ImportGraph, wing_names: list[str]) -> Iterator[str]:
    """Arrows down the runtime, between the wings that the pipeline hands a frame through."""
    pipeline = modules.find_modules_directly_imported_by("artmirror.runtime.pipeline")
    walked = [wing for wing in FRAMES_WAY if f"artmirror.runtime.{wing}.base" in pipeline]
    x = _left("runtime") + _WIDTH / 2
    for wing in walked[:-1]:
        y = _TOP + _HEAD + wing_names.index(wing) * _ROW + _CHIP
        colour = _COLOURS["runtime"]
        yield f'<path d="M{x} {y}v7" stroke="{colour}" stroke-width="2.5"/>'
        yield f'<path d="M{x - 6} {y + 5}h12l-6 9z" fill="{colour}"/>'


def _lane(room: str, taken: dict[str, set[str]], bottom: int, y: int, offset: int) -> Iterator[str]:
    """A line from a room to all that it imports, with a tip below each of them."""
    colour = _COLOURS[room]
    start = _left(room) + _WIDTH / 2 + offset
    ends = {other: _left(other) + _WIDTH / 2 + offset for other in taken}
    reach = (min([start, *ends.values()]), max([start, *ends.values()]))
    yield f'<path d="M{reach[0]} {y}H{reach[1]}M{start} {bottom}V{y}" stroke="{colour}" stroke-width="2" fill="none"/>'
    yield f'<circle cx="{start}" cy="{bottom}" r="5" fill="{colour}"/>'
    for end in ends.values():
        yield f'<path d="M{end} {y}V{bottom + 9}" stroke="{colour}" stroke-width="2"/>'
        yield f'<path d="M{end - 6} {bottom + 12}h12l-6 -10z" fill="{colour}"/>'
    named = [f"{other}/{parts.copy().pop()}" if len(parts) == 1 else other for other, parts in taken.items()]
    words = f"{room} imports {', '.join(named)}"
    yield _text(_left(ROOMS[0]) + _WIDTH / 2 + 56, y + 18, words, 15, colour)  # no line goes down there


def _text(x: float, y: float, words: str, size: int, colour: str, *, bold: bool = False, middle: bool = False) -> str:
    style = ' font-weight="bold"' if bold else ""
    style += ' text-anchor="middle"' if middle else ""
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{colour}"{style}>{escape(words)}</text>'


if __name__ == "__main__":
    PICTURE.write_text(draw(), "utf-8")
