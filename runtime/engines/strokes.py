"""Brush strokes without a network: Litwinowicz 1997, "Processing images and video for an impressionist effect".

Strokes lie on a grid, each along the edges of the picture and clipped at them (section 2.2, 2.3), in a colour that is
taken at its middle and varied a little (2.1). In a film they move with the picture, are removed where they crowd, and
added where there are none (section 3). Each keeps its variation as long as it lives, so the picture does not boil.

Departures. The paper places strokes by a Delaunay triangulation after they have moved; here a grid counts them. Where
the picture is flat, the paper interpolates the gradient by a thin-plate spline; here it is smoothed widely, as a
doubled angle. An edge ends a stroke only if it is one: noise on a wall is none. Strokes are lines, without a texture.
"""

from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from artmirror.runtime.common.motion import FrameMotion
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.engines.base import EngineInfo, Look
from artmirror.runtime.formats.kind import STROKES_MANIFEST
from artmirror.runtime.formats.manifest import Manifest
from artmirror.runtime.frame import FrameSlot

_REFERENCE_HEIGHT = 360  # pixels that the sizes below are for
_SPACING, _LENGTH, _RADIUS = 6.0, 22.0, 2.2  # of strokes, pixels
_ANGLE, _COLOUR, _LIGHT = np.deg2rad(15), 12.0, 0.12  # most that a stroke varies: radians, levels, share
_SMOOTH, _WIDE = 1.5, 9.0  # sigma of what gradients are taken of, and of their spreading over flat places
_EDGE = 14.0  # levels a pixel; weaker gradients end no stroke
_FLAT = 3.0  # levels a pixel: below, the direction is that of the surroundings
_CROWD = 2  # strokes in a place of the grid
_SHIFT = 4  # bits behind the point of line coordinates


@dataclass(slots=True)
class _Strokes:
    """As many numbers of each kind as there are strokes, in the order in which they are drawn."""

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    order: NDArray[np.float32]  # ascending
    angle: NDArray[np.float32]  # what it is turned by
    light: NDArray[np.float32]  # what its colour is multiplied by
    colour: NDArray[np.float32]  # (N, 3), what is added to it
    length: NDArray[np.float32]  # of both halves together, pixels

    def take(self, chosen: NDArray[np.intp] | NDArray[np.bool_]) -> "_Strokes":
        return _Strokes(*(getattr(self, entry.name)[chosen] for entry in fields(self)))

    def with_more(self, more: "_Strokes") -> "_Strokes":
        joined = _Strokes(
            *(np.concatenate([getattr(self, entry.name), getattr(more, entry.name)]) for entry in fields(self))
        )
        return joined.take(np.argsort(joined.order, kind="stable"))


class StrokesEngine:
    """Paints on the processor; one frame at a time. See `engines.base.Engine`."""

    max_in_flight = 1

    def __init__(self, size: tuple[int, int]) -> None:
        """`size` is (H, W) of the frames."""
        self.manifest = STROKES_MANIFEST
        self.has_strength = True
        self._size = size
        self._scale = min(size) / _REFERENCE_HEIGHT
        self._spacing = max(3.0, _SPACING * self._scale)
        self._grid = (int(-(-size[0] // self._spacing)), int(-(-size[1] // self._spacing)))
        self._motion = FrameMotion(size)
        self._strokes: _Strokes | None = None
        self._rng = np.random.default_rng(0)
        self._looks: dict[FrameSlot, Look] = {}

    def allocate(self, count: int) -> list[FrameSlot]:
        return [
            FrameSlot(np.zeros((*self._size, 3), np.uint8), np.zeros((*self._size, 3), np.uint8)) for _ in range(count)
        ]

    def follow(self, slot: FrameSlot, look: Look) -> bool:
        return False  # strokes are moved when they are painted

    def submit(self, slot: FrameSlot, look: Look) -> None:
        self._looks[slot] = look

    def wait(self, slot: FrameSlot) -> None:
        strength = self._looks.pop(slot).strength
        self._follow(slot.frame)
        self._paint(slot.frame, slot.stylized)
        if strength < 1:
            cv2.addWeighted(slot.stylized, strength, slot.frame, 1 - strength, 0, dst=slot.stylized)

    def reset(self) -> None:
        self._motion.forget()
        self._strokes = None
        self._rng = np.random.default_rng(0)

    def describe(self) -> EngineInfo:
        library = f"opencv {cv2.__version__}"
        return EngineInfo("strokes", library, "CPU", "fp32", self._size, "no network")

    def close(self) -> None:
        self._strokes = None

    def _follow(self, frame: Pixels) -> None:
        """Strokes of the last frame go where the picture went; all are new where there is none."""
        remembers = self._motion.follow(frame)
        strokes = self._strokes
        if strokes is None or not remembers:
            self._strokes = self._new(np.ones(self._grid, np.bool_))
            return
        # Flow leads back: x_now + flow(x_now) = x_before.
        x, y = strokes.x, strokes.y
        for _ in range(2):
            rows, columns = self._small(x, y)
            x, y = strokes.x - self._motion.flow[rows, columns, 0], strokes.y - self._motion.flow[rows, columns, 1]
        rows, columns = self._small(x, y)
        height, width = self._size
        there = (x >= 0) & (x < width) & (y >= 0) & (y < height) & (self._motion.mask[rows, columns] > 0.5)
        strokes.x, strokes.y = x, y
        kept = strokes.take(there)
        places = self._places(kept)
        # The first strokes of each place stay: numpy's unique keeps the order within a place.
        sorted_places = np.argsort(places, kind="stable")
        run = places[sorted_places]
        nth = np.arange(len(run)) - np.searchsorted(run, run)
        kept = kept.take(np.sort(sorted_places[nth < _CROWD]))
        empty = np.bincount(self._places(kept), minlength=self._grid[0] * self._grid[1]) == 0
        self._strokes = kept.with_more(self._new(empty.reshape(self._grid)))

    def _places(self, strokes: _Strokes) -> NDArray[np.intp]:
        rows = np.minimum((strokes.y / self._spacing).astype(np.intp), self._grid[0] - 1)
        columns = np.minimum((strokes.x / self._spacing).astype(np.intp), self._grid[1] - 1)
        return rows * self._grid[1] + columns

    def _small(self, x: NDArray[np.float32], y: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        rows, columns = self._motion.mask.shape
        return (
            np.clip(y * (rows / self._size[0]), 0, rows - 1).astype(np.intp),
            np.clip(x * (columns / self._size[1]), 0, columns - 1).astype(np.intp),
        )

    def _new(self, places: NDArray[np.bool_]) -> _Strokes:
        rows, columns = np.nonzero(places)
        count, rng = len(rows), self._rng
        height, width = self._size

        def drawn(low: float, high: float) -> NDArray[np.float32]:
            return rng.uniform(low, high, count).astype(np.float32)

        strokes = _Strokes(
            x=np.minimum((columns + drawn(0, 1)) * self._spacing, width - 1).astype(np.float32),
            y=np.minimum((rows + drawn(0, 1)) * self._spacing, height - 1).astype(np.float32),
            order=drawn(0, 1),
            angle=drawn(-_ANGLE, _ANGLE),
            light=drawn(1 - _LIGHT, 1 + _LIGHT),
            colour=rng.uniform(-_COLOUR, _COLOUR, (count, 3)).astype(np.float32),
            length=drawn(0.5, 1) * np.float32(_LENGTH * self._scale),
        )
        return strokes.take(np.argsort(strokes.order, kind="stable"))

    def _paint(self, frame: Pixels, into: Pixels) -> None:
        strokes = self._strokes
        assert strokes is not None
        smooth = np.asarray(cv2.GaussianBlur(frame, (0, 0), _SMOOTH * max(self._scale, 0.7)), np.uint8)
        angle, edges = directions(smooth)
        rows, columns = strokes.y.astype(np.intp), strokes.x.astype(np.intp)
        turned = angle[rows, columns] + strokes.angle
        ends = [self._end(strokes, turned + half, edges) for half in (0.0, np.pi)]
        colours = np.clip(smooth[rows, columns] * strokes.light[:, None] + strokes.colour, 0, 255)
        np.copyto(into, smooth)  # where no stroke reaches
        (start_x, start_y), (end_x, end_y) = ends
        lines = np.rint(np.stack([start_x, start_y, end_x, end_y], 1) * (1 << _SHIFT)).astype(int).tolist()
        thickness = max(1, round(2 * _RADIUS * self._scale))
        for (x0, y0, x1, y1), colour in zip(lines, colours.tolist(), strict=True):
            cv2.line(into, (x0, y0), (x1, y1), colour, thickness, cv2.LINE_AA, _SHIFT)

    def _end(
        self, strokes: _Strokes, angle: NDArray[np.float32], edges: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Where each stroke ends in one direction: at its length, or where it has come over the crest of an edge."""
        height, width = self._size
        step_x, step_y = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
        reach = np.zeros(len(angle), np.float32)
        going = np.ones(len(angle), np.bool_)
        last = edges[strokes.y.astype(np.intp), strokes.x.astype(np.intp)]
        for step in range(1, int(strokes.length.max(initial=0) / 2) + 1):
            x, y = strokes.x + step * step_x, strokes.y + step * step_y
            inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
            here = edges[np.clip(y, 0, height - 1).astype(np.intp), np.clip(x, 0, width - 1).astype(np.intp)]
            going &= inside & (step <= strokes.length / 2) & ~((here < last) & (last > _EDGE))
            reach[going] = step
            last = here
        return strokes.x + reach * step_x, strokes.y + reach * step_y


def directions(picture: Pixels) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Along the edges of a smooth picture (H, W, 3) uint8 BGR: angles (H, W) in radians, and gradients (H, W).

    The angle is normal to the gradient (section 2.3). Where there is nearly none, it is that of the surroundings.
    """
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    along_x, along_y = (np.asarray(cv2.Sobel(grey, cv2.CV_32F, *axis, scale=1 / 4)) for axis in ((1, 0), (0, 1)))
    # As doubled angles opposite directions agree, so that they can be averaged.
    double_x, double_y = along_x * along_x - along_y * along_y, 2 * along_x * along_y
    strength = np.sqrt(along_x * along_x + along_y * along_y)
    small = (max(1, picture.shape[1] // 4), max(1, picture.shape[0] // 4))
    wide = []
    for part in (double_x, double_y):
        shrunk = cv2.GaussianBlur(cv2.resize(part, small, interpolation=cv2.INTER_AREA), (0, 0), _WIDE / 4)
        wide.append(cv2.resize(shrunk, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR))
    flat = strength < _FLAT
    angle = 0.5 * np.arctan2(np.where(flat, wide[1], double_y), np.where(flat, wide[0], double_x)) + np.pi / 2
    return np.asarray(angle, np.float32), np.asarray(strength, np.float32)


def open_file(path: Path, manifest: Manifest, *, size: tuple[int, int], **_: object) -> StrokesEngine:
    """As the other back ends; there is no file. See `engines.open_engine`."""
    return StrokesEngine(size)
