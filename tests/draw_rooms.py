"""Draws docs/rooms.svg from the imports in the code: `PYTHONPATH=. python tests/draw_rooms.py`."""

import ast
from html import escape
from itertools import count

from tests.places import ROOT

PICTURE = ROOT / "docs" / "rooms.svg"
ROOMS = ("train", "export", "runtime", "benchmarks")
_WIDTH, _GAP, _TOP, _ROW = 236, 40, 96, 40
_INK, _FAINT, _PAPER = "#22303c", "#6b7a88", "#fbfaf7"
_COLOURS = {"train": "#c96f4a", "export": "#8a6fb0", "runtime": "#3f7fa8", "benchmarks": "#5d8f5a"}
_WAY = ("sources", "engines", "sinks")  # a frame's way


def imports() -> dict[tuple[str, str], set[tuple[str, str]]]:
    """Which wing imports which, as (room, wing); files at a room's top are the wing "" of it."""
    found: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            here = (room, path.relative_to(ROOT / room).parts[0] if path.parent.name != room else "")
            known = found.setdefault(here, set())
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                for name in names:
                    parts = name.split(".")
                    if parts[0] == "artmirror" and len(parts) > 1:
                        wing = parts[2] if len(parts) > 2 and (ROOT / parts[1] / parts[2]).is_dir() else ""
                        known.add((parts[1], wing))
            known.discard(here)
    return found


def draw() -> str:
    """The picture as SVG: a column for each room, its wings in it, and how many wings of a room import another room."""
    found = imports()
    wings = {room: sorted(wing for r, wing in found if r == room and wing) for room in ROOMS}
    height = _TOP + _ROW * (max(map(len, wings.values())) + 1) + 190
    width = len(ROOMS) * _WIDTH + (len(ROOMS) + 1) * _GAP
    left = {room: _GAP + index * (_WIDTH + _GAP) for index, room in enumerate(ROOMS)}
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        f'<title>The rooms of artmirror</title><rect width="{width}" height="{height}" fill="{_PAPER}"/>',
        '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 8 4 0 8z" fill="{_INK}"/></marker></defs>',
        _text(_GAP, 40, "Data goes from left to right, by file. Arrows below the rooms are imports.", 17, _FAINT),
    ]
    bottom = _TOP + _ROW * (max(map(len, wings.values())) + 1)
    for room in ROOMS:
        x, colour = left[room], _COLOURS[room]
        lines.append(f'<rect x="{x}" y="{_TOP - 34}" width="{_WIDTH}" height="{bottom - _TOP + 46}" rx="12" ')
        lines.append(f'fill="{colour}" fill-opacity="0.13" stroke="{colour}" stroke-width="1.5"/>')
        lines.append(_text(x + 16, _TOP - 8, f"{room}/", 20, colour, bold=True))
        for row, wing in enumerate(wings[room]):
            y = _TOP + 8 + row * _ROW
            lines.append(f'<rect x="{x + 14}" y="{y}" width="{_WIDTH - 28}" height="30" rx="7" fill="white" ')
            lines.append(f'stroke="{colour}" stroke-opacity="0.55"/>')
            step = f"  {_WAY.index(wing) + 1}." if room == "runtime" and wing in _WAY else ""
            lines.append(_text(x + 26, y + 20, wing, 15, _INK))
            if step:
                lines.append(_text(x + _WIDTH - 62, y + 20, f"step {step.strip()}", 12, _FAINT))
    # Imports between rooms, a line each, with the number of wings (the room's top counts as one) that hold them.
    level = count(1)
    for room in reversed(ROOMS):
        for other in ROOMS:
            holders = sorted(
                wing for (r, wing), known in found.items() if r == room and any(o == other for o, _ in known)
            )
            if room == other or not holders:
                continue
            y = bottom + 14 + 24 * next(level)
            start, end = left[room] + _WIDTH / 2, left[other] + _WIDTH / 2
            lines.append(f'<path d="M{start} {y}H{end}" stroke="{_INK}" stroke-width="1.4" marker-end="url(#a)"/>')
            lines.append(f'<circle cx="{start}" cy="{y}" r="3.5" fill="{_COLOURS[room]}"/>')
            told = f"{room} imports {other} ({len(holders)})"
            lines.append(_text((start + end) / 2, y - 4, told, 12, _FAINT, middle=True))
    lines.append("</svg>\n")
    return "\n".join(lines)


def _text(x: float, y: float, words: str, size: int, colour: str, *, bold: bool = False, middle: bool = False) -> str:
    style = ' font-weight="bold"' if bold else ""
    style += ' text-anchor="middle"' if middle else ""
    return f'<text x="{x}" y="{y}" font-size="{size}" fill="{colour}"{style}>{escape(words)}</text>'


if __name__ == "__main__":
    PICTURE.write_text(draw(), "utf-8")
