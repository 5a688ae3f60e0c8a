"""An explicit pass over an ONNX graph: convolutions in FP16, normalisation and pixel arithmetic in FP32.

Instance normalisation sums squares over a whole picture, which overflows FP16's 65504; its inputs are cast up and its
results down again. Weights of convolutions are stored in FP16, so the file has half the size.
"""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CONVOLUTIONS = {"Conv", "ConvTranspose"}
# Nodes that move or compare values follow the convolutions around them.
FOLLOWERS = {"Pad", "Relu", "Resize", "DepthToSpace", "Add", "Slice"}
NORMALISATIONS = {"InstanceNormalization", "BatchNormalization", "LayerNormalization"}


@dataclass(frozen=True, slots=True)
class Choice:
    """What the pass decided about one node, and why."""

    node: str
    op_type: str
    precision: str  # fp16 or fp32
    reason: str


def choose_precision(graph: onnx.GraphProto) -> list[Choice]:
    """Decide for every node that makes floats, casts apart; nothing is changed.

    A convolution runs in FP16. A follower runs in FP16 if all its float inputs come from FP16 nodes or normalisations,
    or if all its consumers run in FP16. Everything else stays in FP32.
    """
    producer = {output: node for node in graph.node for output in node.output}
    consumers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            consumers.setdefault(name, []).append(node)
    low = {node.name for node in graph.node if node.op_type in CONVOLUTIONS}

    def is_low_or_norm(name: str) -> bool:
        return name in producer and (producer[name].name in low or producer[name].op_type in NORMALISATIONS)

    changed = True
    while changed:
        changed = False
        for node in graph.node:
            if node.op_type not in FOLLOWERS or node.name in low:
                continue
            readers = [reader for output in node.output for reader in consumers.get(output, [])]
            fed_low = all(is_low_or_norm(name) for name in _float_inputs(node))
            read_low = bool(readers) and all(reader.name in low for reader in readers)
            if fed_low or read_low:
                low.add(node.name)
                changed = True
    floats = float_values(graph)
    choices = []
    for node in graph.node:
        if node.op_type in CONVOLUTIONS:
            choices.append(Choice(node.name, node.op_type, "fp16", "convolution"))
        elif node.name in low:
            choices.append(Choice(node.name, node.op_type, "fp16", "beside convolutions"))
        elif node.op_type in NORMALISATIONS:
            choices.append(Choice(node.name, node.op_type, "fp32", "sums of squares overflow FP16"))
        elif node.op_type != "Cast" and floats.intersection(node.output):
            choices.append(Choice(node.name, node.op_type, "fp32", "pixel arithmetic"))
    return choices


def convert_to_fp16(model: onnx.ModelProto) -> list[Choice]:
    """Rewrite the graph in place as `choose_precision` decides; returns the decisions."""
    graph = model.graph
    choices = choose_precision(graph)
    low = {choice.node for choice in choices if choice.precision == "fp16"}
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    floats = {name for name, tensor in initializers.items() if tensor.data_type == TensorProto.FLOAT}
    low_names = {output for node in graph.node if node.name in low for output in node.output}
    nodes: list[onnx.NodeProto] = []
    cast: dict[tuple[str, int], str] = {}  # (value, type) -> its cast twin

    def as_type(name: str, data_type: int) -> str:
        key = (name, data_type)
        if key not in cast:
            cast[key] = f"{name}_{'fp16' if data_type == TensorProto.FLOAT16 else 'fp32'}"
            nodes.append(helper.make_node("Cast", [name], [cast[key]], name=f"cast_{cast[key]}", to=data_type))
        return cast[key]

    for node in graph.node:
        for place, name in enumerate(node.input):
            if not name:
                continue
            carries = name in _float_inputs(node) and name not in initializers
            if node.name in low and name in floats and node.op_type in CONVOLUTIONS:
                half = numpy_helper.to_array(initializers[name]).astype(np.float16)
                initializers[name].CopyFrom(numpy_helper.from_array(half, name))
                floats.discard(name)
            elif node.name in low and carries and name not in low_names:
                node.input[place] = as_type(name, TensorProto.FLOAT16)
            elif node.name not in low and name in low_names and node.op_type not in {"Shape", "Cast"}:
                node.input[place] = as_type(name, TensorProto.FLOAT)
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]  # they name the old types; every runtime infers the new ones
    return choices


def halve_weights(graph: onnx.GraphProto) -> None:
    """Store matrices and kernels in FP16, in place; a cast in front of each reader keeps the computing in FP32."""
    nodes = []
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) > 1:
            name = tensor.name
            half = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(half, f"{name}_half"))
            nodes.append(helper.make_node("Cast", [f"{name}_half"], [name], name=f"cast_{name}", to=TensorProto.FLOAT))
    nodes += graph.node
    del graph.node[:]
    graph.node.extend(nodes)


def _float_inputs(node: onnx.NodeProto) -> list[str]:
    """The inputs that carry the picture; Pad, Resize and Slice have others for amounts."""
    count = {"Pad": 1, "Resize": 1, "Slice": 1, "Relu": 1, "Conv": 1, "ConvTranspose": 1}.get(node.op_type)
    return list(node.input[:count])


def float_values(graph: onnx.GraphProto) -> set[str]:
    """Names of what the nodes of a graph hand on in FP32."""
    return {value.name for value in graph.value_info if value.type.tensor_type.elem_type == TensorProto.FLOAT}
