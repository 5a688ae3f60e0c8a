"""What a graph costs at one size: multiply-accumulates, and bytes moved between its nodes.

An estimate from the graph alone: every node reads its inputs and writes its outputs once, with nothing fused and
nothing kept in a cache. It is the upper end of the traffic; a compiler that fuses neighbours moves less.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from artmirror.runtime.common.errors import ArtmirrorError

PRECISION_NAMES = {
    TensorProto.FLOAT: "fp32",
    TensorProto.FLOAT16: "fp16",
    TensorProto.BFLOAT16: "bf16",
    TensorProto.UINT8: "uint8",
    TensorProto.INT8: "int8",
    TensorProto.INT64: "int64",
}


@dataclass(frozen=True, slots=True)
class NodeCost:
    """One node at one size."""

    name: str
    op_type: str
    precision: str  # of what it reads: fp32, fp16, uint8, ...; behind a DequantizeLinear, of what that reads
    shape: tuple[int, ...]  # of its first output
    macs: int  # multiply-accumulates; of convolutions, 0 elsewhere
    bytes_read: int  # inputs and weights
    bytes_written: int


@dataclass(frozen=True, slots=True)
class GraphCost:
    """All nodes that move a picture, in the order of the graph."""

    nodes: tuple[NodeCost, ...]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one frame; an operation count has two for each."""
        return sum(node.macs for node in self.nodes)

    @property
    def bytes_moved(self) -> int:
        """Bytes read and written for one frame, with nothing fused."""
        return sum(node.bytes_read + node.bytes_written for node in self.nodes)


def graph_cost(model: onnx.ModelProto, size: tuple[int, int]) -> GraphCost:
    """Estimate one frame of a graph of ours; the model is not changed.

    Args:
        size: (H, W) of the frame, pixels.

    Raises:
        ArtmirrorError: the sizes inside the graph cannot be told from the frame's.
    """
    model = _at_size(model, size)
    try:
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        raise ArtmirrorError(f"the graph does not work at {size[1]}x{size[0]}: {str(error).splitlines()[0]}") from None
    graph = inferred.graph
    values = {value.name: value.type.tensor_type for value in (*graph.input, *graph.value_info, *graph.output)}
    shapes = {name: tuple(dim.dim_value for dim in value.shape.dim) for name, value in values.items()}
    types = {name: value.elem_type for name, value in values.items()}
    for tensor in graph.initializer:
        shapes[tensor.name] = tuple(tensor.dims)
        types[tensor.name] = tensor.data_type

    def count_bytes(names: Iterable[str]) -> int:
        return sum(prod(shapes[name]) * helper.tensor_dtype_to_np_dtype(types[name]).itemsize for name in names if name)

    quantised = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    costs = []
    for node in graph.node:
        if any(0 in shapes.get(name, (0,)) for name in node.output):
            raise ArtmirrorError(f"the size of {node.name} ({node.op_type}) cannot be told at {size[1]}x{size[0]}")
        read = types[quantised.get(node.input[0], node.input[0])]
        costs.append(
            NodeCost(
                node.name,
                node.op_type,
                PRECISION_NAMES.get(read, str(read)),
                shapes[node.output[0]],
                _macs(node, shapes),
                count_bytes(node.input),
                count_bytes(node.output),
            )
        )
    return GraphCost(tuple(costs))


def _at_size(model: onnx.ModelProto, size: tuple[int, int]) -> onnx.ModelProto:
    """A copy for one size. What follows from the size alone is computed: shape inference follows little of it."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    del graph.value_info[:]
    pictures = [value for value in graph.input if len(value.type.tensor_type.shape.dim) == 4]
    for value in pictures:
        for dim, pixels in zip(value.type.tensor_type.shape.dim[1:3], size, strict=True):
            dim.dim_value = pixels
    names = {value.name for value in pictures}
    shape = [1, *size, 3]
    for value in graph.output:
        value.type.tensor_type.shape.Clear()
        value.type.tensor_type.ClearField("shape")
    for node in [node for node in graph.node if node.op_type == "Shape" and node.input[0] in names]:
        bounds = {attribute.name: attribute.i for attribute in node.attribute}
        part = np.array(shape[bounds.get("start", 0) : bounds.get("end")], np.int64)
        graph.initializer.append(numpy_helper.from_array(part, node.output[0]))
        graph.node.remove(node)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in list(graph.node):
        if not all(name in constants for name in node.input if name):
            continue
        evaluator = ReferenceEvaluator(node, opsets={"": copy.opset_import[0].version})
        found = evaluator.run(None, {name: constants[name] for name in node.input if name})
        for name, value in zip(node.output, found, strict=True):
            constants[name] = np.asarray(value)
            graph.initializer.append(numpy_helper.from_array(constants[name], name))
        graph.node.remove(node)
    return copy


def _macs(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> int:
    if node.op_type not in {"Conv", "ConvTranspose"}:
        return 0
    # Every weight of one output (Conv) or input (ConvTranspose) channel is used once for each pixel of that channel.
    picture = shapes[node.output[0] if node.op_type == "Conv" else node.input[0]]
    return prod(picture) * prod(shapes[node.input[1]][1:])
