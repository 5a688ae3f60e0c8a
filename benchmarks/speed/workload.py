"""What one frame costs a network: its layers, their multiply-accumulates, and the values that have to be moved.

OpenVINO reads the graph and tells all shapes, since it is there wherever the runtime is.

Values are counted under one fusion rule, that of compilers of today: convolutions, normalisations, padding, resizing
and joining read their inputs and weights and write their output, once each; whatever works on single values (bias,
scale, ReLU, tanh, casts) is done in passing and free. The frame is read and written once as uint8. The same layers
stand under other rules in `predict/passes.py`.
"""

from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import openvino as ov

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.engines.openvino import shared_core

CONVERSION = "Convert"  # between the frame's uint8 and the network's numbers
# Operation -> which shape is multiplied with the weights', and at which of the weights' dimensions that begins.
_PRODUCTS = {
    "Convolution": ("output", 1),
    "GroupConvolution": ("output", 2),
    "ConvolutionBackpropData": ("input", 1),
    "GroupConvolutionBackpropData": ("input", 2),
}
_MOVERS = {*_PRODUCTS, "MVN", "Pad", "Interpolate", "Concat", "DepthToSpace", "SpaceToDepth", "AvgPool", "MaxPool"}
_ACTIVATIONS = {"Relu", "PRelu", "Elu", "Tanh", "Sigmoid"}
_BYTES = {"fp32": 4, "fp16": 2, "bf16": 2}


@dataclass(frozen=True, slots=True)
class Layer:
    """One operation that reads and writes whole pictures, and what is done to its output in passing."""

    name: str
    operation: str  # OpenVINO's type: Convolution, MVN, Pad, ...; or CONVERSION
    shape: tuple[int, ...]  # of its output
    inputs: tuple[int, ...]  # places of the layers that it reads; the frame is none
    macs: int  # multiply-accumulates of a convolution
    values_read: int
    values_written: int
    weights: int
    values_joined: int = 0  # of other layers, added in passing: a residual
    activated: bool = False  # a ReLU or the like in passing

    @property
    def is_product(self) -> bool:
        """It multiplies with weights."""
        return self.operation in _PRODUCTS


@dataclass(frozen=True, slots=True)
class Workload:
    """One frame of one size."""

    macs: int  # multiply-accumulates of convolutions
    values_moved: int  # read and written, each as large as the precision says
    frame_bytes: int  # uint8, in and out

    def bytes_moved(self, precision: str) -> int | None:
        """Bytes of one frame where the network is computed in `precision`; None for one whose size is not known."""
        size = _BYTES.get(precision)
        return None if size is None else self.values_moved * size + self.frame_bytes


def read_workload(path: Path, size: tuple[int, int]) -> Workload:
    """Count an ONNX file of ours.

    Args:
        size: (H, W) of the frame.

    Raises:
        ArtmirrorError: OpenVINO cannot read the file, or it does not take the size.
    """
    layers = [layer for layer in read_layers(path, size) if layer.operation != CONVERSION]
    return Workload(
        macs=sum(layer.macs for layer in layers),
        values_moved=sum(layer.values_read + layer.weights + layer.values_written for layer in layers),
        frame_bytes=2 * 3 * prod(size),
    )


def read_layers(path: Path, size: tuple[int, int]) -> tuple[Layer, ...]:
    """The layers of an ONNX file of ours, in the order of the graph.

    Args:
        size: (H, W) of the frame.

    Raises:
        ArtmirrorError: OpenVINO cannot read the file, or it does not take the size.
    """
    try:
        model = shared_core().read_model(path)
        pictures = [port.any_name for port in model.inputs if len(port.partial_shape) == 4]
        model.reshape({name: [1, *size, 3] for name in pictures})
        operations = model.get_ordered_ops()
    except RuntimeError as error:
        raise ArtmirrorError(f"cannot count the operations of {path}: {str(error).splitlines()[-1]}") from None
    layers: list[Layer] = []
    maker: dict[str, int] = {}  # operation -> place of the layer that its output comes from
    joined: set[tuple[int, int]] = set()  # a layer reads another once, however often it is used in passing
    for operation in operations:
        kind, name = operation.get_type_name(), operation.get_name()
        sources = [
            maker[source]
            for source in (value.get_node().get_name() for value in operation.input_values())
            if source in maker
        ]
        if _is_layer(operation):
            maker[name] = len(layers)
            layers.append(_layer(operation, tuple(dict.fromkeys(sources))))
        elif sources and operation.get_output_size() and _is_picture(operation.output(0)):
            last = maker[name] = max(sources)
            for other in {*sources} - {last}:
                if (last, other) not in joined:
                    joined.add((last, other))
                    more = layers[last].values_joined + layers[other].values_written
                    layers[last] = replace(layers[last], values_joined=more)
            if kind in _ACTIVATIONS:
                layers[last] = replace(layers[last], activated=True)
    return tuple(layers)


def _is_layer(operation: Any) -> bool:
    kind = operation.get_type_name()
    if kind == CONVERSION:
        readers = operation.output(0).get_target_inputs()
        ends = {operation.input_value(0).get_node(), *(reader.get_node() for reader in readers)}
        return any(end.get_type_name() in {"Parameter", "Result"} for end in ends)
    return kind in _MOVERS and bool(operation.get_output_element_type(0).is_real())


def _layer(operation: Any, inputs: tuple[int, ...]) -> Layer:
    kind = operation.get_type_name()
    weights = prod(operation.get_input_shape(1)) if kind in _PRODUCTS else 0
    # Pictures, not weights or the numbers that say how to pad.
    pictures = operation.inputs()[:1] if weights or kind == CONVERSION else filter(_is_picture, operation.inputs())
    return Layer(
        name=operation.get_friendly_name().removesuffix("/WithoutBiases"),
        operation=kind,
        shape=tuple(operation.get_output_shape(0)),
        inputs=inputs,
        macs=_macs(operation),
        values_read=int(sum(prod(picture.get_shape()) for picture in pictures)),
        values_written=int(prod(operation.get_output_shape(0))),
        weights=int(weights),
    )


def _macs(operation: Any) -> int:
    where = _PRODUCTS.get(operation.get_type_name())
    if where is None:
        return 0
    picture = operation.get_output_shape(0) if where[0] == "output" else operation.get_input_shape(0)
    return int(prod(picture) * prod(list(operation.get_input_shape(1))[where[1] :]))


def _is_picture(port: Any) -> bool:
    """Also one that INT8 networks hold in bytes, between rounding and convolution."""
    is_number = port.get_element_type().is_real() or port.get_element_type() == ov.Type.u8
    return bool(is_number and port.get_partial_shape().rank == 4)
