"""What one frame costs a network: multiply-accumulates, and bytes that have to be moved.

OpenVINO reads the graph and tells all shapes, since it is there wherever the runtime is.

Bytes are counted under one fusion rule, that of compilers of today: convolutions, normalisations, padding, resizing
and joining read their inputs and weights and write their output, once each; whatever works on single values (bias,
scale, ReLU, tanh, casts) is done in passing and free. The frame is read and written once as uint8.
"""

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import openvino as ov

from artmirror.runtime.errors import ArtmirrorError

# Operation -> which shape is multiplied with the weights', and at which of the weights' dimensions that begins.
_PRODUCTS = {
    "Convolution": ("output", 1),
    "GroupConvolution": ("output", 2),
    "ConvolutionBackpropData": ("input", 1),
    "GroupConvolutionBackpropData": ("input", 2),
}
_MOVERS = {*_PRODUCTS, "MVN", "Pad", "Interpolate", "Concat", "DepthToSpace", "SpaceToDepth", "AvgPool", "MaxPool"}
_BYTES = {"fp32": 4, "fp16": 2, "bf16": 2}


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
    try:
        model = ov.Core().read_model(path)
        model.reshape({"frame": [1, *size, 3]})
        operations = model.get_ordered_ops()
    except RuntimeError as error:
        raise ArtmirrorError(f"cannot count the operations of {path}: {str(error).splitlines()[-1]}") from None
    movers = [operation for operation in operations if operation.get_type_name() in _MOVERS]
    floats = [operation for operation in movers if operation.get_output_element_type(0).is_real()]
    return Workload(
        macs=sum(map(_macs, floats)),
        values_moved=sum(map(_values, floats)),
        frame_bytes=2 * 3 * prod(size),
    )


def _macs(operation: Any) -> int:
    where = _PRODUCTS.get(operation.get_type_name())
    if where is None:
        return 0
    picture = operation.get_output_shape(0) if where[0] == "output" else operation.get_input_shape(0)
    return int(prod(picture) * prod(list(operation.get_input_shape(1))[where[1] :]))


def _values(operation: Any) -> int:
    inputs = range(operation.get_input_size())
    read = sum(prod(operation.get_input_shape(index)) for index in inputs if _is_picture(operation, index))
    return int(read + prod(operation.get_output_shape(0)))


def _is_picture(operation: Any, index: int) -> bool:
    """Pictures and weights, not the numbers that say how to pad."""
    return bool(
        operation.get_input_element_type(index).is_real() and operation.get_input_partial_shape(index).rank == 4
    )
