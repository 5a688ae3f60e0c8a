"""What a library makes of a network's layers: passes over memory, each with its operations and bytes.

Which layers become one pass is stated as `FusionRules`. Everywhere, a convolution does its bias and activation in
passing, bias and scale of a normalisation cost nothing, and so does whatever works on single values.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from artmirror.benchmarks.speed.workload import CONVERSION, Layer

Kind = Literal["convolution", "normalisation", "movement", "elementwise", "conversion"]
Precision = Literal["fp32", "fp16", "bf16", "int8"]

_FP32_BYTES = 4
_VALUE_BYTES: dict[Precision, int] = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 2}
_OPERAND_BYTES: dict[Precision, int] = {**_VALUE_BYTES, "int8": 1}  # of what a convolution reads


@dataclass(frozen=True, slots=True)
class FusionRules:
    """Which layers a library does in one pass, and how often its normalisation goes over the picture."""

    description: str
    folded: frozenset[str] = frozenset()  # operations that the convolution behind them does while it reads
    normalisation_values: int = 3  # moved for each value: read for the statistics; read, written
    normalisation_launches: int = 1
    normalisation_fused: bool = True  # with the activation and the residual behind it


RULES = {
    "compiled": FusionRules(
        "as OpenVINO and TensorRT compile: padding, resizing and shuffling are passes of their own; a normalisation "
        "reads twice and writes once, its ReLU and residual in passing",
    ),
    # Seen in the shaders of ncnn 20261020, for devices that add within a subgroup, as Maxwell and later do.
    "ncnn": FusionRules(
        "as ncnn on Vulkan: a normalisation reads twice for mean and variance, then reads and writes; its ReLU and "
        "residual are passes of their own; not counted: that one subgroup sums up four whole channels, which leaves "
        "most of a card idle, and that the frame is converted on the processor",
        normalisation_values=4,
        normalisation_launches=3,
        normalisation_fused=False,
    ),
    "folded": FusionRules(
        "what kernels of its own could reach: convolutions pad, resize and shuffle while they read",
        folded=frozenset({"Pad", "Interpolate", "DepthToSpace", "SpaceToDepth"}),
    ),
}


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass of one frame."""

    name: str
    kind: Kind
    shape: tuple[int, ...]  # of its output
    flop: int  # two for each multiply-accumulate; what else is computed counts as free
    bytes_moved: int
    launches: int = 1


def passes_of(layers: Sequence[Layer], rules: FusionRules, precision: Precision) -> tuple[Pass, ...]:
    """The passes of a network, in the order of its layers.

    Args:
        precision: Size of the values: int8 is that of what convolutions read, weights included, all else is fp16 then.
    """
    vanished: set[int] = set()
    for place in reversed(range(len(layers))):
        readers = {other for other, layer in enumerate(layers) if place in layer.inputs}
        on_the_way = all(layers[reader].is_product or reader in vanished for reader in readers)
        if layers[place].operation in rules.folded and not layers[place].values_joined and readers and on_the_way:
            vanished.add(place)
    passes: list[Pass] = []
    for place, layer in enumerate(layers):
        if place not in vanished:
            passes += _passes_of_layer(layer, _values_read(layers, layer, vanished), rules, precision)
    return tuple(passes)


def _values_read(layers: Sequence[Layer], layer: Layer, vanished: set[int]) -> int:
    """What is really read: the small picture where it grows only on its way."""
    while len(layer.inputs) == 1 and layer.inputs[0] in vanished:
        layer = layers[layer.inputs[0]]
    return layer.values_read


def _passes_of_layer(layer: Layer, values_read: int, rules: FusionRules, precision: Precision) -> list[Pass]:
    size = _VALUE_BYTES[precision]

    def one(kind: Kind, bytes_moved: int, launches: int = 1, name: str = layer.name) -> Pass:
        return Pass(name, kind, layer.shape, 2 * layer.macs, bytes_moved, launches)

    if layer.operation == CONVERSION:  # bytes on one side, numbers on the other: fp32 in every precision of ours
        return [one("conversion", values_read + layer.values_written * _FP32_BYTES)]
    joined = layer.values_joined * size
    if layer.is_product:
        read = (values_read + layer.weights) * _OPERAND_BYTES[precision]
        return [one("convolution", read + layer.values_written * size + joined)]
    if layer.operation != "MVN":
        return [one("movement", (values_read + layer.values_written) * size + joined)]
    moved = layer.values_written * rules.normalisation_values * size
    if rules.normalisation_fused:
        return [one("normalisation", moved + joined)]
    passes = [one("normalisation", moved, rules.normalisation_launches)]
    if layer.activated:
        passes.append(one("elementwise", 2 * layer.values_written * size, name=f"{layer.name} activation"))
    if joined:
        passes.append(one("elementwise", 2 * layer.values_written * size + joined, name=f"{layer.name} residual"))
    return passes
