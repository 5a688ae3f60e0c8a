"""Reads metadata_props from an ONNX file without an ONNX library, which the runtime does not carry.

An ONNX file is one protobuf message (ModelProto). What a library computes with is looked at before the library sees it:
with an opset, a size or a number that no network has, some of them compute for minutes, take all memory or crash. The
limits are far above what st-export writes. The contents of tensors are skipped over, and a file that was cut off is
noticed because a field's length points past the end.
"""

import hashlib
import struct
from collections.abc import Iterator
from math import prod
from pathlib import Path

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.plain_data import read_up_to

LARGEST_ONNX_BYTES = 512_000_000
LARGEST_OPSET = 64
LARGEST_IR = 64
MOST_NODES = 10_000
MOST_ELEMENTS = 1 << 28  # of a tensor
MOST_SIDES = 8
LARGEST_NUMBER = 1 << 16  # among a node's attributes: kernels, strides, axes

# Field numbers in onnx.proto, by message.
_IR_VERSION, _GRAPH, _OPSETS, _METADATA_PROPS, _TRAINING, _FUNCTIONS = 1, 7, 8, 14, 20, 25  # ModelProto
_KEY, _VALUE = 1, 2  # StringStringEntryProto
_OPSET_VERSION = 2  # OperatorSetIdProto
_NODE, _INITIALIZER, _INPUT, _SPARSE_INITIALIZER = 1, 5, 11, 15  # GraphProto
_INPUT_NAME = 1  # ValueInfoProto
_NODE_INPUT, _NODE_OUTPUT, _OPERATION, _ATTRIBUTE, _DOMAIN = 1, 2, 4, 5, 7  # NodeProto
_ATTRIBUTE_NAME = 1  # AttributeProto
_INT, _TENSOR, _SUBGRAPH, _INTS, _TENSORS, _SUBGRAPHS = 3, 5, 6, 8, 10, 11  # AttributeProto
_SPARSE, _SPARSES = 22, 23
_DIMS, _DATA_TYPE, _TENSOR_NAME, _RAW_DATA, _EXTERNAL, _LOCATION = 1, 2, 8, 9, 13, 14  # TensorProto
_INT32_DATA, _INT64_DATA = 5, 7
_TYPED_DATA = (4, 5, 6, 7, 10, 11)
_BITS = {1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 16: 16}  # by data type
_LETTERS = {1: "f", 6: "i", 7: "q", 10: "e"}  # of struct, by data type

# What they are given decides how large a result is. Slice is none of them: it ends at the largest number there is.
_SHAPING = ("Range", "Reshape", "Resize", "Expand", "Pad", "Split", "Squeeze", "Unsqueeze")
MOST_SMALL = 64  # numbers

_OPERATIONS = {  # with the least and the most inputs: what st-export writes, and what networks like ours are made of
    **dict.fromkeys(("Conv", "ConvTranspose", "Gemm", "QuantizeLinear", "DequantizeLinear"), (2, 3)),
    **dict.fromkeys(("Relu", "LeakyRelu", "Tanh", "Sigmoid", "Sqrt", "Reciprocal", "Abs", "Neg", "Exp", "Log"), (1, 1)),
    **dict.fromkeys(("Round", "Floor", "Ceil", "Cast", "Identity", "Shape", "Flatten", "Transpose"), (1, 1)),
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth", "GlobalAveragePool"), (1, 1)),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Pow", "Mod", "MatMul", "Gather", "Reshape", "Unsqueeze"), (2, 2)),
    **dict.fromkeys(("Min", "Max", "Concat"), (1, 64)),
    **dict.fromkeys(("Squeeze", "Split", "ReduceMean", "ReduceSum"), (1, 2)),
    "BatchNormalization": (5, 5),
    "Clip": (1, 3),
    "Constant": (0, 0),
    "Expand": (2, 2),
    "InstanceNormalization": (3, 3),
    "Pad": (2, 4),
    "Range": (3, 3),
    "Resize": (1, 4),
    "Slice": (3, 5),
    "Where": (3, 3),
}
_LEAST = dict.fromkeys(("strides", "dilations", "group", "kernel_shape", "blocksize"), 1)  # of attributes


class UnsafeOnnx(Exception):
    """A library had better not see it; the message says why."""


def read_onnx_metadata(path: Path) -> tuple[dict[str, str], str]:
    """Return metadata_props as a dictionary, and the SHA-256 of the graph's bytes in hexadecimal.

    Raises:
        ArtmirrorError: the file cannot be read, is no ONNX, is cut off, or is beyond the limits of this module.
    """
    try:
        data = memoryview(read_up_to(path, LARGEST_ONNX_BYTES))
    except OSError as error:
        raise ArtmirrorError(f"cannot read {path}: {error.strerror}; name an ONNX file written by st-export") from None
    except ValueError as error:
        raise ArtmirrorError(f"{path} is no ONNX file of st-export: {error}") from None
    try:
        metadata, graph_sha256 = parse_onnx_metadata(data)
    except (IndexError, KeyError, ValueError):
        raise ArtmirrorError(
            f"{path} is no ONNX file, or it is cut off or damaged ({len(data)} bytes); "
            "export it again with st-export, or copy it again"
        ) from None
    except UnsafeOnnx as error:
        raise ArtmirrorError(f"{path} was not written by st-export, or is damaged: {error}; export it again") from None
    if graph_sha256 is None:
        raise ArtmirrorError(f"{path} holds no ONNX graph ({len(data)} bytes); export it again with st-export")
    return metadata, graph_sha256


def parse_onnx_metadata(data: memoryview) -> tuple[dict[str, str], str | None]:
    """Walk a serialised ModelProto: its metadata_props, and the SHA-256 of its graph (None without a graph).

    Raises:
        UnsafeOnnx: it is beyond the limits of this module, or holds what st-export never writes.
        IndexError, KeyError, ValueError: the bytes are no whole protobuf message.
    """
    metadata: dict[str, str] = {}
    graph_sha256 = None
    for number, value in _fields(data):
        if number == _GRAPH:
            if graph_sha256 is not None:
                raise UnsafeOnnx("it holds more than one graph")
            graph_sha256 = hashlib.sha256(_content(value)).hexdigest()
            _check_graph(_content(value))
        elif number == _METADATA_PROPS:
            entry = {key: bytes(_content(text)).decode() for key, text in _fields(_content(value))}
            metadata[entry[_KEY]] = entry.get(_VALUE, "")
        elif number == _OPSETS:
            versions = [found for key, found in _fields(_content(value)) if key == _OPSET_VERSION]
            _check_up_to("opset", versions, LARGEST_OPSET)
        elif number == _IR_VERSION:
            _check_up_to("version of its format", [value], LARGEST_IR)
        elif number in (_TRAINING, _FUNCTIONS):
            raise UnsafeOnnx("it holds functions or a training graph")
    return metadata, graph_sha256


def _check_up_to(what: str, found: list[int | memoryview], most: int) -> None:
    for value in found:
        if not isinstance(value, int):
            raise ValueError(what)
        if not 0 < value <= most:
            raise UnsafeOnnx(f"its {what} is {value}, at most {most} is wanted")


def _check_graph(graph: memoryview) -> None:
    nodes = []
    known: set[bytes] = set()  # what a node may take: inputs, tensors, and what earlier nodes made
    constants: dict[bytes, list[float]] = {}  # small tensors of numbers: sizes, axes, scales
    for number, value in _fields(graph):
        if number == _NODE:
            nodes.append(_content(value))
        elif number == _INITIALIZER:
            _check_tensor(_content(value))
            name = _name(_content(value), _TENSOR_NAME)
            known.add(name)
            constants[name] = _small_numbers(_content(value))
        elif number == _INPUT:
            known.add(_name(_content(value), _INPUT_NAME))
        elif number == _SPARSE_INITIALIZER:
            raise UnsafeOnnx("it holds sparse tensors")
    if len(nodes) > MOST_NODES:
        raise UnsafeOnnx(f"it has {len(nodes)} nodes, at most {MOST_NODES} are wanted")
    for node in nodes:
        _check_node(node, known, constants)


def _check_node(node: memoryview, known: set[bytes], constants: dict[bytes, list[float]]) -> None:
    """See that a node has as many inputs as its operation needs, that they are there before it, and are no bombs."""
    operation = ""
    inputs, outputs = [], []
    for number, value in _fields(node):
        if number == _NODE_INPUT:
            inputs.append(bytes(_content(value)))
        elif number == _NODE_OUTPUT:
            outputs.append(bytes(_content(value)))
        elif number == _OPERATION:
            operation = bytes(_content(value)).decode()
        elif number == _ATTRIBUTE:
            _check_attribute(_content(value))
        elif number == _DOMAIN and len(_content(value)) > 0:
            raise UnsafeOnnx("an operation of it is none of ONNX's own")
    if operation not in _OPERATIONS:
        raise UnsafeOnnx(f"it holds the operation {operation[:40]!r}, which st-export never writes")
    least, most = _OPERATIONS[operation]
    if not least <= len(inputs) <= most or not all(inputs[:least]) or not outputs:
        raise UnsafeOnnx(f"a {operation} in it has {len(inputs)} inputs, {least} to {most} are wanted")
    if any(name and name not in known for name in inputs) or known & {*outputs}:
        raise UnsafeOnnx(f"a {operation} in it takes what is not there, or makes what is there")
    if operation in ("Div", "Mod") and 0 in constants.get(inputs[1], []):
        raise UnsafeOnnx(f"a {operation} in it divides by 0")
    if operation in _SHAPING:
        for given in (given for name in inputs for given in constants.get(name, [])):
            if not abs(given) <= LARGEST_NUMBER:  # NaN neither
                raise UnsafeOnnx(f"a {operation} in it is given {given:g}, at most {LARGEST_NUMBER} is wanted")
    known |= {*outputs}


def _check_attribute(attribute: memoryview) -> None:
    name = _name(attribute, _ATTRIBUTE_NAME).decode()
    least = _LEAST.get(name, -LARGEST_NUMBER)
    for number, value in _fields(attribute):
        if number in (_INT, _INTS):
            for found in _numbers(value):
                if not least <= found <= LARGEST_NUMBER:
                    raise UnsafeOnnx(f"{name[:40]} of a node is {found}, {least} to {LARGEST_NUMBER} is wanted")
        elif number in (_TENSOR, _TENSORS):
            _check_tensor(_content(value))
        elif number in (_SUBGRAPH, _SUBGRAPHS, _SPARSE, _SPARSES):
            raise UnsafeOnnx("a node of it holds a graph or a sparse tensor")


def _check_tensor(tensor: memoryview) -> None:
    """See that a tensor is not larger than the bytes that are there for it, and that they are in this file."""
    dims: list[int] = []
    data_type = raw_bytes = typed_bytes = 0
    for number, value in _fields(tensor):
        if number == _DIMS:
            dims += _numbers(value)
        elif number == _DATA_TYPE and isinstance(value, int):
            data_type = value
        elif number == _RAW_DATA:
            raw_bytes = len(_content(value))
        elif number in _TYPED_DATA:
            typed_bytes += len(value) if isinstance(value, memoryview) else 8
        elif number == _EXTERNAL or (number == _LOCATION and value != 0):
            raise UnsafeOnnx("the content of a tensor is in another file")
    if len(dims) > MOST_SIDES or min(dims, default=0) < 0 or prod(dims) > MOST_ELEMENTS:
        raise UnsafeOnnx(
            f"a tensor has the sides {dims[:MOST_SIDES]}, at most {MOST_SIDES} with {MOST_ELEMENTS} elements are wanted"
        )
    if data_type not in _BITS:
        raise UnsafeOnnx(f"a tensor has the data type {data_type}, which st-export never writes")
    wanted = prod(dims) * _BITS[data_type] // 8
    if raw_bytes != wanted if raw_bytes else typed_bytes < prod(dims):
        raise UnsafeOnnx(f"a tensor of {prod(dims)} elements has {raw_bytes or typed_bytes} bytes")


def _small_numbers(tensor: memoryview) -> list[float]:
    """The values of a tensor of a few numbers, as shapes are computed with; nothing of others."""
    fields = list(_fields(tensor))
    data_type = next((value for number, value in fields if number == _DATA_TYPE), 0)
    raw = next((bytes(_content(value)) for number, value in fields if number == _RAW_DATA), b"")
    if not raw:
        typed = [_numbers(value) for number, value in fields if number in (_INT32_DATA, _INT64_DATA)]
        return [float(number) for numbers in typed for number in numbers[:MOST_SMALL]]
    if not isinstance(data_type, int) or data_type not in _LETTERS:
        return []
    letter = _LETTERS[data_type]
    count = len(raw) // struct.calcsize(letter)
    return list(struct.unpack_from(f"<{count}{letter}", raw)) if count <= MOST_SMALL else []


def _name(message: memoryview, field: int) -> bytes:
    return next((bytes(_content(value)) for number, value in _fields(message) if number == field), b"")


def _content(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where a message belongs")
    return value


def _numbers(value: int | memoryview) -> list[int]:
    """One int64, or several that are packed."""
    found, position = [], 0
    if isinstance(value, int):
        found = [value]
    else:
        while position < len(value):
            number, position = _varint(value, position)
            found.append(number)
    return [number - (1 << 64) if number >> 63 else number for number in found]


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Walk a protobuf message: (field number, content); a whole number is itself, all else its bytes."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        wire_type = tag & 7
        if wire_type == 0:
            value, position = _varint(data, position)
            yield tag >> 3, value
            continue
        if wire_type == 2:
            length, position = _varint(data, position)
        elif wire_type in (1, 5):
            length = 8 if wire_type == 1 else 4
        else:
            raise ValueError(f"wire type {wire_type}")
        if position + length > len(data):
            raise IndexError("a field ends after the file")
        yield tag >> 3, data[position : position + length]
        position += length


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
