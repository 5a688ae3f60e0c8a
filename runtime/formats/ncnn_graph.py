"""Checks ncnn's text of a graph, its shapes and the length of its weights, before ncnn sees them.

ncnn takes for granted that a graph is right: with a wrong count or a stride of 0 it reads beyond its memory or ends the
process. So every layer is followed with a frame of some size: only the layers that st-export writes, with the numbers
that it writes, each blob made once and used once, as many weights as the layers read.
"""

import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

FIRST_LINE = b"7767517"
MOST_LAYERS = 10_000
LARGEST_NUMBER = 1 << 16
MOST_ELEMENTS = 1 << 28  # of a layer's weights
_RAW, _FP16 = 0, 0x01306B47  # what stands in front of a convolution's weights
_NAME = re.compile(r"[A-Za-z0-9_.+/-]{1,200}")
_NUMBER = re.compile(r"-?\d{1,12}(\.\d{1,12})?(e[+-]?\d{1,2})?")

Shape = tuple[int, int, int]  # channels, height, width


class WrongGraph(ValueError):
    """ncnn had better not see it; the message says why."""


@dataclass(frozen=True, slots=True)
class _Layer:
    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    numbers: Mapping[int, float]
    texts: Mapping[int, str]

    def whole(self, key: int, default: int = 0, *, least: int = 0) -> int:
        value = self.numbers.get(key, default)
        if value != int(value) or not least <= value <= LARGEST_NUMBER:
            raise WrongGraph(f"{self.name} has {key}={value:g}")
        return int(value)


def check_ncnn_graph(
    param: bytes, weights: bytes, size: tuple[int, int], style_length: int = 0, *, has_memory: bool = False
) -> None:
    """Follow a frame through the graph.

    Args:
        param: The text.
        weights: Its weights.
        size: (H, W) of the frame.
        style_length: How many numbers a second input has; 0 for none.
        has_memory: Whether the last two inputs are pictures like the frame.

    Raises:
        WrongGraph: something is wrong.
    """
    shapes: dict[str, Shape] = {}  # of blobs that are made and not used yet
    made: set[str] = set()
    inputs: list[Shape] = [(3, *size)]
    inputs += [(1, 1, style_length)] if style_length else []
    inputs += [(3, *size)] * 2 if has_memory else []
    given = {f"in{number}": shape for number, shape in enumerate(inputs)}
    reader = _Weights(weights)
    for layer in _layers(param):
        taken = [shapes.pop(name, None) for name in layer.inputs]
        present = [shape for shape in taken if shape is not None]
        if len(present) < len(taken) or made & {*layer.outputs} or len({*layer.outputs}) < len(layer.outputs):
            raise WrongGraph(f"{layer.name} uses what no layer makes, or makes what is there")
        made |= {*layer.outputs}
        for name, shape in zip(layer.outputs, _outputs(layer, present, given, reader), strict=True):
            if min(shape) < 1 or shape[1] * shape[2] > 4 * max(size[0] * size[1], 1 << 20):
                raise WrongGraph(f"{layer.name} gives {shape[2]}x{shape[1]}")
            shapes[name] = shape
    if shapes.pop("out0", None) != (3, *size) or any(name != "out1" for name in shapes):
        raise WrongGraph("it does not give a picture of the frame's size")
    reader.end()


def _layers(param: bytes) -> list[_Layer]:
    try:
        first, counts, *lines = param.decode("ascii").splitlines()
    except ValueError:
        raise WrongGraph("it is no text of ncnn's") from None
    numbers = counts.split()
    if first.encode() != FIRST_LINE or len(numbers) != 2 or not all(re.fullmatch(r"\d{1,12}", n) for n in numbers):
        raise WrongGraph("it is no text of ncnn's")
    if int(numbers[0]) > MOST_LAYERS:
        raise WrongGraph(f"it has {numbers[0]} layers, at most {MOST_LAYERS} are wanted")
    layers = [_layer(line) for line in lines]
    blobs = sum(len(layer.outputs) for layer in layers)
    if (int(numbers[0]), int(numbers[1])) != (len(layers), blobs):
        raise WrongGraph(f"it says {counts.strip()} and has {len(layers)} layers with {blobs} results")
    return layers


def _layer(line: str) -> _Layer:
    words = line.split()
    if len(words) < 4 or words[0] not in _LAYERS or not re.fullmatch(r"\d\d? \d\d?", " ".join(words[2:4])):
        raise WrongGraph(f"{line[:60]!r} is no layer that st-export writes")
    inputs, outputs = int(words[2]), int(words[3])
    names, settings = words[4 : 4 + inputs + outputs], words[4 + inputs + outputs :]
    if len(names) < inputs + outputs or not all(_NAME.fullmatch(name) for name in (words[1], *names)):
        raise WrongGraph(f"{line[:60]!r} is cut off")
    found: dict[int, float] = {}
    texts: dict[int, str] = {}
    for setting in settings:
        key, _, value = setting.partition("=")
        if (
            not re.fullmatch(r"\d\d?|-23300", key)
            or int(key) not in _LAYERS[words[0]]
            or int(key) in found.keys() | texts
        ):
            raise WrongGraph(f"{words[1]} has {setting[:40]!r}")
        if _NUMBER.fullmatch(value):
            found[int(key)] = float(value)
        else:
            texts[int(key)] = value
    return _Layer(words[0], words[1], tuple(names[:inputs]), tuple(names[inputs:]), found, texts)


class _Weights:
    """Walks over the weights as ncnn does."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def tagged(self, count: int) -> None:
        """A convolution's: what they are stored in, then they, up to a multiple of four bytes."""
        if self._at + 4 > len(self._content):
            raise WrongGraph("weights are missing")
        (tag,) = struct.unpack_from("<I", self._content, self._at)
        if tag not in (_RAW, _FP16):
            raise WrongGraph("weights are stored in another way than st-export stores them")
        self._take(4 + (4 * count if tag == _RAW else -(-2 * count // 4) * 4))

    def plain(self, count: int) -> None:
        """FP32 without anything in front."""
        self._take(4 * count)

    def end(self) -> None:
        """See that they are used up."""
        if self._at != len(self._content):
            raise WrongGraph(f"{len(self._content)} bytes of weights are there, {self._at} are read")

    def _take(self, count: int) -> None:
        self._at += count
        if self._at > len(self._content):
            raise WrongGraph("weights are missing")


def _outputs(layer: _Layer, inputs: list[Shape], given: Mapping[str, Shape], weights: _Weights) -> list[Shape]:
    least, most = _INPUTS.get(layer.kind, (1, 1))
    several = layer.kind in ("Split", "Slice")
    if not least <= len(inputs) <= most or (not several and len(layer.outputs) != 1):
        raise WrongGraph(f"{layer.name} has {len(inputs)} inputs and {len(layer.outputs)} results")
    if layer.texts and layer.kind not in ("Crop", "Slice"):
        raise WrongGraph(f"{layer.name} has {next(iter(layer.texts.values()))[:40]!r}")
    if layer.kind == "Input":
        if layer.outputs[0] not in given:
            raise WrongGraph(f"it has the input {layer.outputs[0]}")
        return [given[layer.outputs[0]]]
    if layer.kind == "Slice":
        return _slices(layer, inputs[0])
    if layer.kind == "Split":
        return inputs * len(layer.outputs)
    return [_FOLLOW[layer.kind](layer, inputs, weights)] if layer.kind in _FOLLOW else inputs[:1]


def _memory(layer: _Layer, _: list[Shape], weights: _Weights) -> Shape:
    shape = layer.whole(2, least=1), layer.whole(1, least=1), layer.whole(0, least=1)
    weights.plain(_bounded(layer, shape[0] * shape[1] * shape[2]))
    return shape


def _padding(layer: _Layer, inputs: list[Shape], _: _Weights) -> Shape:
    channels, height, width = inputs[0]
    top, bottom, left, right = (layer.whole(key) for key in range(4))
    if max(top, bottom) >= height or max(left, right) >= width or layer.whole(4) > 2:
        raise WrongGraph(f"{layer.name} pads more than there is")
    return channels, height + top + bottom, width + left + right


def _convolution(layer: _Layer, inputs: list[Shape], weights: _Weights) -> Shape:
    channels, height, width = inputs[0]
    filters, group = layer.whole(0, least=1), layer.whole(7, 1, least=1)
    kernel = (layer.whole(11, layer.whole(1, least=1), least=1), layer.whole(1, least=1))
    dilation = (layer.whole(12, layer.whole(2, 1, least=1), least=1), layer.whole(2, 1, least=1))
    stride = (layer.whole(13, layer.whole(3, 1, least=1), least=1), layer.whole(3, 1, least=1))
    left, top = layer.whole(4), layer.whole(14, layer.whole(4))
    right, bottom = layer.whole(15, left), layer.whole(16, top)
    if channels % group or filters % group or (group > 1 and layer.kind == "Convolution") or layer.whole(9) > 1:
        raise WrongGraph(f"{layer.name} has {group} groups of {channels} channels")
    count = _bounded(layer, filters * channels // group * kernel[0] * kernel[1])
    if layer.numbers.get(6) != count or layer.whole(5) > 1:
        raise WrongGraph(f"{layer.name} has {layer.numbers.get(6, 0):g} weights, {count} are wanted")
    weights.tagged(count)
    weights.plain(filters * layer.whole(5))
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    if layer.kind.startswith("Deconvolution"):
        more = layer.whole(19, layer.whole(18)), layer.whole(18)
        return (
            filters,
            (height - 1) * stride[0] + reach[0] - top - bottom + more[0],
            (width - 1) * stride[1] + reach[1] - left - right + more[1],
        )
    return (
        filters,
        (height + top + bottom - reach[0]) // stride[0] + 1,
        (width + left + right - reach[1]) // stride[1] + 1,
    )


def _norm(layer: _Layer, inputs: list[Shape], weights: _Weights) -> Shape:
    if layer.whole(0) != inputs[0][0] or layer.whole(2, 1) > 1 or not 0 < layer.numbers.get(1, 1e-3) < 1:
        raise WrongGraph(f"{layer.name} is for {layer.whole(0)} channels, it gets {inputs[0][0]}")
    weights.plain(2 * inputs[0][0] * layer.whole(2, 1))
    return inputs[0]


def _binary(layer: _Layer, inputs: list[Shape], _: _Weights) -> Shape:
    if layer.whole(0) > 3 or layer.whole(1) > 1 or (len(inputs) == 1) != (layer.whole(1) == 1):
        raise WrongGraph(f"{layer.name} is no operation that st-export writes")
    if len({*inputs}) > 1 and inputs[1] != (inputs[0][0], 1, 1):  # one number a channel
        raise WrongGraph(f"{layer.name} gets {inputs[0]} and {inputs[-1]}")
    return inputs[0]


def _slices(layer: _Layer, whole: Shape) -> list[Shape]:
    """The parts of a row of numbers; the length of the last may be left open."""
    text = layer.texts.get(_SLICES, "")
    if not re.fullmatch(r"\d{1,4}(,\d{1,6})+(,-233)?", text) or whole[:2] != (1, 1) or layer.whole(1):
        raise WrongGraph(f"{layer.name} cuts {whole} into {text[:40]!r}")
    count, *lengths = map(int, text.split(","))
    if lengths[-1] < 0:
        lengths[-1] = whole[2] - sum(lengths[:-1])
    if min(lengths) < 1 or sum(lengths) != whole[2] or not count == len(lengths) == len(layer.outputs):
        raise WrongGraph(f"{layer.name} cuts {whole[2]} numbers into {text[:40]!r}")
    return [(1, 1, length) for length in lengths]


def _inner_product(layer: _Layer, inputs: list[Shape], weights: _Weights) -> Shape:
    outputs, count = layer.whole(0, least=1), _bounded(layer, inputs[0][2] * layer.whole(0, least=1))
    if inputs[0][:2] != (1, 1) or layer.numbers.get(2) != count or layer.whole(1) > 1:
        raise WrongGraph(f"{layer.name} has {layer.numbers.get(2, 0):g} weights for {inputs[0]}, {count} are wanted")
    weights.tagged(count)
    weights.plain(outputs * layer.whole(1))
    return 1, 1, outputs


def _reshaped(layer: _Layer, inputs: list[Shape], _: _Weights) -> Shape:
    if inputs[0] != (1, 1, layer.whole(2)) or layer.whole(0) != 1 or layer.whole(1) != 1:
        raise WrongGraph(f"{layer.name} makes another shape of {inputs[0]} than st-export does")
    return layer.whole(2), 1, 1


def _interp(layer: _Layer, inputs: list[Shape], _: _Weights) -> Shape:
    channels, height, width = inputs[0]
    if layer.whole(0) != 1 or layer.whole(3) or layer.whole(4) or layer.whole(5) or layer.whole(6):
        raise WrongGraph(f"{layer.name} is no enlarging that st-export writes")
    return channels, height * layer.whole(1, 1, least=1), width * layer.whole(2, 1, least=1)


def _shuffle(layer: _Layer, inputs: list[Shape], _: _Weights) -> Shape:
    channels, height, width = inputs[0]
    factor = layer.whole(0, 1, least=1)
    if channels % factor**2 or layer.whole(1) > 1:
        raise WrongGraph(f"{layer.name} has {channels} channels for a factor of {factor}")
    return channels // factor**2, height * factor, width * factor


def _crop(layer: _Layer, inputs: list[Shape], _: _Weights) -> Shape:
    (channels, height, width), (_reference, wanted_height, wanted_width) = inputs
    if layer.numbers or layer.texts != _CROP or wanted_height > height or wanted_width > width:
        raise WrongGraph(f"{layer.name} is no cropping that st-export writes")
    return channels, wanted_height, wanted_width


def _bounded(layer: _Layer, count: int) -> int:
    if count > MOST_ELEMENTS:
        raise WrongGraph(f"{layer.name} has {count} weights, at most {MOST_ELEMENTS} are wanted")
    return count


_CROP = {19: '"0,0"', 20: '"1h,1w"', 21: '"1,2"'}  # to the height and width of the second input
_SLICES = -23300  # the key of the lengths, an array
_CONVOLUTION = (0, 1, 2, 3, 4, 5, 6, 7, 9, 11, 12, 13, 14, 15, 16)
_LAYERS: Mapping[str, tuple[int, ...]] = {  # with the keys of their settings
    "Input": (),
    "Split": (),
    "MemoryData": (0, 1, 2),
    "Padding": (0, 1, 2, 3, 4),
    "Convolution": _CONVOLUTION,
    "ConvolutionDepthWise": _CONVOLUTION,
    "Deconvolution": (*_CONVOLUTION, 18, 19),
    "InstanceNorm": (0, 1, 2),
    "ReLU": (),
    "TanH": (),
    "Clip": (0, 1),
    "BinaryOp": (0, 1, 2),
    "Slice": (1, _SLICES),
    "InnerProduct": (0, 1, 2),
    "Reshape": (0, 1, 2),
    "Interp": (0, 1, 2, 3, 4, 5, 6),
    "PixelShuffle": (0, 1),
    "Crop": tuple(_CROP),
}
_INPUTS = {"Input": (0, 0), "MemoryData": (0, 0), "BinaryOp": (1, 2), "Crop": (2, 2)}  # the others have one
_FOLLOW: Mapping[str, Callable[[_Layer, list[Shape], _Weights], Shape]] = {  # the others give what they get
    "MemoryData": _memory,
    "Padding": _padding,
    "Convolution": _convolution,
    "ConvolutionDepthWise": _convolution,
    "Deconvolution": _convolution,
    "InstanceNorm": _norm,
    "BinaryOp": _binary,
    "InnerProduct": _inner_product,
    "Reshape": _reshaped,
    "Interp": _interp,
    "PixelShuffle": _shuffle,
    "Crop": _crop,
}
