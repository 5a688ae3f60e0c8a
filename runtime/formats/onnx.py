"""Reads metadata_props from an ONNX file without an ONNX library, which the runtime does not carry.

An ONNX file is one protobuf message (ModelProto). What a library computes with is looked at before the library sees it:
with an opset, a size or a number that no network has, some of them compute for minutes, take all memory or crash. The
limits are far above what st-export writes. The contents of tensors are skipped over, and a file that was cut off is
noticed because a field's length points past the end.
"""

import hashlib
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
_NODE, _INITIALIZER, _SPARSE_INITIALIZER = 1, 5, 15  # GraphProto
_ATTRIBUTE = 5  # NodeProto
_INT, _TENSOR, _SUBGRAPH, _INTS, _TENSORS, _SUBGRAPHS = 3, 5, 6, 8, 10, 11  # AttributeProto
_SPARSE, _SPARSES = 22, 23
_DIMS, _DATA_TYPE, _RAW_DATA, _EXTERNAL, _LOCATION = 1, 2, 9, 13, 14  # TensorProto
_TYPED_DATA = (4, 5, 6, 7, 10, 11)
_BITS = {1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 16: 16}  # by data type


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
    nodes = 0
    for number, value in _fields(graph):
        if number == _NODE:
            nodes += 1
            if nodes > MOST_NODES:
                raise UnsafeOnnx(f"it has more than {MOST_NODES} nodes")
            for key, attribute in _fields(_content(value)):
                if key == _ATTRIBUTE:
                    _check_attribute(_content(attribute))
        elif number == _INITIALIZER:
            _check_tensor(_content(value))
        elif number == _SPARSE_INITIALIZER:
            raise UnsafeOnnx("it holds sparse tensors")


def _check_attribute(attribute: memoryview) -> None:
    for number, value in _fields(attribute):
        if number in (_INT, _INTS):
            for found in _numbers(value):
                if not -LARGEST_NUMBER <= found <= LARGEST_NUMBER:
                    raise UnsafeOnnx(f"a number of a node is {found}, at most {LARGEST_NUMBER} is wanted")
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
