"""Pictures too large for the memory, painted in tiles by OpenVINO: the same picture as if painted whole.

A tile by itself would be normalised by its own means and deviations, and change its tone. So the network is taken apart
at its normalisations: what they need to know of the whole picture is put in from outside. It is measured over all
tiles, normalisation by normalisation, each by the part of the network that comes before it. Tiles overlap by as far as
the network looks.

That takes several times as long as painting. What a small copy of the picture tells is quick and wrong, by 8 levels of
255 where it was tried, since strokes answer to the grain of the full size: it only gives the scale to measure in.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openvino as ov
import openvino.opset13 as ops
from numpy.typing import NDArray

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pixels import SMALLEST_SIDE, Pixels
from artmirror.runtime.engines.base import EngineInfo, Look, SmallInputs
from artmirror.runtime.engines.openvino import device_info, first_line, input_names, read_network, shared_core
from artmirror.runtime.formats.manifest import Manifest
from artmirror.runtime.frame import FrameSlot

_LARGEST_TILE, _SMALLEST_TILE = 1024, 320  # pixels a side
_STRIDE = 4  # the network's coarsest grid: tiles begin on it
_PAINTING = 0.15  # of the time for a frame; the rest is measuring

Values = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Tile:
    """Where a tile lies along one axis, and which part of it is its own."""

    start: int
    length: int
    first: int  # of its own pixels, from the picture's edge
    last: int  # one behind the last


@dataclass(slots=True)
class Statistics:
    """What the normalisations know of the picture."""

    means: list[Values]  # (1, C, 1, 1) each
    deviations: list[Values]


def tiles_along(side: int, longest: int, margin: int) -> list[Tile]:
    """Cover `side` pixels by tiles of one length, each with `margin` pixels more on either side.

    They begin on multiples of four and the last one ends with the picture, so that strides and edges are those of the
    whole.
    """
    if side <= longest:
        return [Tile(0, side, 0, side)]
    length = longest - (longest - side) % _STRIDE
    step = (length - 2 * margin) // _STRIDE * _STRIDE
    count = 1 + ceil((side - length) / step)
    starts = [min(place * step, side - length) for place in range(count)]
    edges = [0, *(start + margin for start in starts[1:]), side]
    return [Tile(start, length, first, last) for start, first, last in zip(starts, edges, edges[1:], strict=False)]


class TiledEngine:
    """Paints one frame after the other, each in tiles. Keeps the contract of `base.Engine`.

    Attributes:
        observe: Called with the share that is done of the frame at work.
    """

    max_in_flight = 1

    def __init__(self, path: Path, manifest: Manifest, size: tuple[int, int], pixels: int, threads: int | None) -> None:
        """Compile the network for tiles of about so many `pixels`, within limits that keep the overlap worth while.

        Raises:
            ArtmirrorError: OpenVINO cannot run it.
        """
        self.manifest = manifest
        self.observe: Callable[[float], None] = lambda share: None
        self._path, self._size, self._threads = path, size, threads
        probe = read_network(path, manifest, (SMALLEST_SIDE * 2, SMALLEST_SIDE * 2))
        self.has_strength = "strength" in input_names(probe)
        margin = _reach(probe)
        side = round(min(_LARGEST_TILE, max(_SMALLEST_TILE, sqrt(pixels))))
        side = max(side, 2 * margin + 16 * _STRIDE) // _STRIDE * _STRIDE
        # A narrow strip gets longer tiles.
        self._rows = tiles_along(size[0], max(side, side * side // max(size[1], 1) if size[1] < side else side), margin)
        self._columns = tiles_along(size[1], max(side, side * side // size[0] if size[0] < side else side), margin)
        tile = self._rows[0].length, self._columns[0].length
        scale = min(1.0, side / sqrt(size[0] * size[1]))
        height, width = (max(SMALLEST_SIDE, round(length * scale)) for length in size)
        self._small = (height, width)
        self._grain, self._layers = _grain(probe), len(_normalisations(probe))
        self._tile = tile
        try:
            self._painter = self._compiled(_painter(read_network(path, manifest, tile)))
            self._first_look = (
                self._compiled(_with_moments(read_network(path, manifest, self._small))) if self._layers else None
            )
        except RuntimeError as error:
            raise ArtmirrorError(f"OpenVINO cannot run {path}: {first_line(error)}") from error
        self._waiting: dict[FrameSlot, SmallInputs] = {}

    @property
    def tiles(self) -> int:
        """How many tiles a frame has."""
        return len(self._rows) * len(self._columns)

    def allocate(self, count: int) -> list[FrameSlot]:
        shape = (*self._size, 3)
        return [FrameSlot(np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)) for _ in range(count)]

    def follow(self, slot: FrameSlot, look: Look) -> bool:
        return False  # nothing is remembered

    def submit(self, slot: FrameSlot, look: Look) -> None:
        small = SmallInputs(self.has_strength, self.manifest.style_length)
        small.set(look)
        self._waiting[slot] = small

    def wait(self, slot: FrameSlot) -> None:
        small = self._waiting.pop(slot)
        try:
            self._paint(slot.frame, slot.stylized, small.by_name)
        except RuntimeError as error:
            raise ArtmirrorError(f"OpenVINO failed while stylizing: {first_line(error)}") from error

    def reset(self) -> None:
        pass  # every frame is painted by itself

    def describe(self) -> EngineInfo:
        return device_info(self._painter, self.manifest, self._size, f"in {self.tiles} tiles")

    def close(self) -> None:
        self._waiting.clear()
        self._painter = self._first_look = None

    def _compiled(self, model: Any) -> Any:
        properties: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if self._threads is not None:
            properties["INFERENCE_NUM_THREADS"] = self._threads
        return shared_core().compile_model(model, "CPU", properties)

    def _paint(self, frame: Pixels, out: Pixels, small: Mapping[str, Values]) -> None:
        style = {name: numbers for name, numbers in small.items() if name == "style"}
        statistics = self._measured(frame, style)
        request = self._painter.create_infer_request()
        for done, (rows, columns, given) in enumerate(self._parts(frame, statistics, self._layers)):
            painted = request.infer({**given, **small})["stylized"][0]
            own = _own(rows), _own(columns)
            out[rows.first : rows.last, columns.first : columns.last] = painted[own]
            self.observe(1 - _PAINTING * (1 - (done + 1) / self.tiles))

    def _measured(self, frame: Pixels, style: Mapping[str, Values]) -> Statistics:
        """The means and deviations of the whole picture at each normalisation."""
        if self._first_look is None:
            return Statistics([], [])
        statistics = self._of_a_small_copy(frame, style)
        for layer in range(self._layers):
            meter = self._compiled(_meter(read_network(self._path, self.manifest, self._tile), layer))
            request = meter.create_infer_request()
            total: NDArray[np.float64] = np.zeros(statistics.means[layer].shape)
            square: NDArray[np.float64] = total
            count = 0.0
            for done, (rows, columns, given) in enumerate(self._parts(frame, statistics, layer + 1)):
                weights = {
                    "rows": _weights(rows, self._size[0], meter.input("rows").shape),
                    "columns": _weights(columns, self._size[1], meter.input("columns").shape),
                }
                found = request.infer({**given, **weights, **style})
                count += float(weights["rows"].sum() * weights["columns"].sum())
                total = total + np.asarray(found["sum"], np.float64)
                square = square + np.asarray(found["square"], np.float64)
                share = (layer + (done + 1) / self.tiles) / self._layers
                self.observe((1 - _PAINTING) * share)
            # Measured in units of what was taken for true.
            mean = total / count
            ratio = np.sqrt(np.maximum(square / count - mean**2, 1e-12))
            deviation = statistics.deviations[layer]
            statistics.means[layer] = np.asarray(statistics.means[layer] + deviation * mean, np.float32)
            statistics.deviations[layer] = np.asarray(deviation * ratio, np.float32)
        return statistics

    def _of_a_small_copy(self, frame: Pixels, style: Mapping[str, Values]) -> Statistics:
        assert self._first_look is not None
        small = cv2.resize(frame, self._small[::-1], interpolation=cv2.INTER_AREA)
        given: dict[str, Any] = {"frame": small[None], **style}
        if self.has_strength:
            given["strength"] = np.ones(1, np.float32)
        found = self._first_look.create_infer_request().infer(given)
        means, deviations = [], []
        for layer in range(self._layers):
            mean, square = (found[f"{name}_{layer}"].astype(np.float64) for name in ("mean", "square"))
            means.append(mean.astype(np.float32))
            deviations.append(np.sqrt(np.maximum(square - mean**2, 1e-8)).astype(np.float32))
        return Statistics(means, deviations)

    def _parts(self, frame: Pixels, statistics: Statistics, layers: int) -> Iterator[tuple[Tile, Tile, dict[str, Any]]]:
        """Each tile with what goes into a network of so many normalisations."""
        known = {}
        for layer in range(layers):
            known[f"mean_{layer}"] = statistics.means[layer]
            known[f"gain_{layer}"] = np.asarray(1 / statistics.deviations[layer], np.float32)
        for rows in self._rows:
            for columns in self._columns:
                part = frame[rows.start : rows.start + rows.length, columns.start : columns.start + columns.length]
                given: dict[str, Any] = {"frame": part[None], **known}
                if self._grain is not None:
                    down = (rows.start + np.arange(rows.length)) % self._grain.shape[0]
                    across = (columns.start + np.arange(columns.length)) % self._grain.shape[1]
                    given["grain"] = self._grain[np.ix_(down, across)]
                yield rows, columns, given


def _weights(tile: Tile, side: int, shape: Sequence[int]) -> Values:
    """1 for what is a tile's own, at the size of a normalisation; 0 for the overlap."""
    length = max(shape)
    scale = round(tile.length / length)
    weights = np.zeros(length, np.float32)
    last = length if tile.last == side else (tile.last - tile.start) // scale
    weights[(tile.first - tile.start) // scale : last] = 1
    return weights.reshape(shape)


def _own(tile: Tile) -> slice:
    return slice(tile.first - tile.start, tile.last - tile.start)


def _normalisations(model: Any) -> list[Any]:
    return [node for node in model.get_ordered_ops() if node.get_type_name() == "MVN"]


def _reach(model: Any) -> int:
    """How far a pixel's surroundings count, in pixels, rounded up to the network's grid."""
    height = model.input("frame").shape[1]
    reach = 0.0
    for node in model.get_ordered_ops():
        if node.get_type_name() in ("Convolution", "GroupConvolution"):
            kernel = node.input_value(1).get_partial_shape().to_shape()[-1]
            reach += (kernel // 2) * height / node.input_value(0).get_partial_shape().to_shape()[2]
    return ceil((reach + 2 * _STRIDE) / _STRIDE) * _STRIDE


def _grain_node(model: Any) -> Any | None:
    """The node that cuts the fixed noise out to the frame's size."""
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Gather":
            inner = node.input_value(0).get_node()
            if inner.get_type_name() == "Gather" and inner.input_value(0).get_node().get_type_name() == "Constant":
                return node
    return None


def _grain(model: Any) -> NDArray[Any] | None:
    node = _grain_node(model)
    return None if node is None else np.array(node.input_value(0).get_node().input_value(0).get_node().data)


def _opened_up(model: Any, layers: int) -> tuple[list[Any], Any]:
    """Take means and gains of the first normalisations from outside, and the grain.

    Returns:
        The new inputs, and what the last of these normalisations gives.
    """
    inputs, y = [], None
    grain = _grain_node(model)
    if grain is not None:
        inputs.append(_parameter(list(grain.output(0).shape), grain.output(0).element_type, "grain"))
        grain.output(0).replace(inputs[-1].output(0))
    for layer, node in enumerate(_normalisations(model)[:layers]):
        kind, channels = node.output(0).element_type, node.output(0).shape[1]
        mean, gain = (_parameter([1, channels, 1, 1], kind, f"{name}_{layer}") for name in ("mean", "gain"))
        inputs += [mean, gain]
        y = ops.multiply(ops.subtract(node.input_value(0), mean), gain)
        for target in node.output(0).get_target_inputs():
            target.replace_source_output(y.output(0))
    return inputs, y


def _painter(model: Any) -> Any:
    """The network for a tile."""
    inputs, _ = _opened_up(model, len(_normalisations(model)))
    return ov.Model(model.get_results(), [*model.get_parameters(), *inputs], "painter")


def _meter(model: Any, layer: int) -> Any:
    """The network up to a normalisation, which gives sums over a tile's own part."""
    inputs, y = _opened_up(model, layer + 1)
    _, _, height, width = y.output(0).shape
    rows = _parameter([1, 1, height, 1], y.output(0).element_type, "rows")
    columns = _parameter([1, 1, 1, width], y.output(0).element_type, "columns")
    own = ops.multiply(ops.multiply(y, rows), columns)
    outputs = [_sum(own, "sum"), _sum(ops.multiply(own, y), "square")]
    taken = [parameter for parameter in model.get_parameters() if {"frame", "style"} & parameter.output(0).get_names()]
    return ov.Model(outputs, [*taken, *inputs, rows, columns], "meter")


def _with_moments(model: Any) -> Any:
    """The whole network, with the mean and the mean square before each normalisation as further outputs."""
    outputs = []
    for layer, node in enumerate(_normalisations(model)):
        x = node.input_value(0)
        outputs.append(_mean(x, f"mean_{layer}"))
        outputs.append(_mean(ops.multiply(x, x), f"square_{layer}"))
    return ov.Model([*model.get_results(), *outputs], model.get_parameters(), "first look")


def _parameter(shape: list[int], kind: Any, name: str) -> Any:
    parameter = ops.parameter(shape, kind, name)
    parameter.output(0).set_names({name})
    return parameter


def _sum(x: Any, name: str) -> Any:
    result = ops.result(ops.reduce_sum(x, np.array([2, 3]), keep_dims=True))
    result.output(0).set_names({name})
    return result


def _mean(x: Any, name: str) -> Any:
    result = ops.result(ops.reduce_mean(x, np.array([2, 3]), keep_dims=True))
    result.output(0).set_names({name})
    return result
