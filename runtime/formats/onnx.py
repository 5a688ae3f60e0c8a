"""Reads metadata_props from an ONNX file without an ONNX library, which the runtime does not carry.

An ONNX file is one protobuf message (ModelProto). Only its outermost fields are walked: tensors are skipped over, and a
file that was cut off is noticed because a field's length points past the end.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from artmirror.runtime.common.errors import ArtmirrorError

_METADATA_PROPS = 14  # field number in ModelProto, onnx.proto
_GRAPH = 7
_KEY, _VALUE = 1, 2  # field numbers in StringStringEntryProto


def read_onnx_metadata(path: Path) -> tuple[dict[str, str], str]:
    """Return metadata_props as a dictionary, and the SHA-256 of the graph's bytes in hexadecimal.

    Raises:
        ArtmirrorError: the file cannot be read, is no ONNX, or is cut off.
    """
    try:
        data = memoryview(path.read_bytes())
    except OSError as error:
        raise ArtmirrorError(f"cannot read {path}: {error.strerror}; name an ONNX file written by st-export") from None
    try:
        metadata, graph_sha256 = parse_onnx_metadata(data)
    except (IndexError, KeyError, ValueError):
        raise ArtmirrorError(
            f"{path} is no ONNX file, or it is cut off or damaged ({len(data)} bytes); "
            "export it again with st-export, or copy it again"
        ) from None
    if graph_sha256 is None:
        raise ArtmirrorError(f"{path} holds no ONNX graph ({len(data)} bytes); export it again with st-export")
    return metadata, graph_sha256


def parse_onnx_metadata(data: memoryview) -> tuple[dict[str, str], str | None]:
    """Walk a serialised ModelProto: its metadata_props, and the SHA-256 of its graph (None without a graph).

    Raises:
        IndexError, KeyError, ValueError: the bytes are no whole protobuf message.
    """
    metadata: dict[str, str] = {}
    graph_sha256 = None
    for number, content in _fields(data):
        if number == _GRAPH:
            graph_sha256 = hashlib.sha256(content).hexdigest()
        elif number == _METADATA_PROPS:
            entry = {key: bytes(text).decode() for key, text in _fields(content)}
            metadata[entry[_KEY]] = entry.get(_VALUE, "")
    return metadata, graph_sha256


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Walk a protobuf message: (field number, content); numbers have empty content."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        wire_type = tag & 7
        length = 0
        if wire_type == 0:
            _, position = _varint(data, position)
        elif wire_type == 1:
            length = 8
        elif wire_type == 2:
            length, position = _varint(data, position)
        elif wire_type == 5:
            length = 4
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
