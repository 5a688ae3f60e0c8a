"""A network as a browser wants it: no value in FP16."""

from dataclasses import replace
from pathlib import Path

import onnx
from onnx import TensorProto, numpy_helper

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.formats.manifest import METADATA_KEY, Manifest, read_manifest
from artmirror.runtime.formats.onnx import parse_onnx_metadata


def read_network(path: Path) -> tuple[bytes, Manifest]:
    """An exported network with every FP16 value in FP32, as the bytes of a file, and the manifest inside.

    A device without WebGPU's `shader-f16` reads FP16 wrong and says nothing; the tile of grain is FP16 in every file.
    FP32 holds all that FP16 holds, so nothing is lost that the file still had.

    Raises:
        ArtmirrorError: the file was not written by st-export, or wants more than a frame and a strength.
    """
    manifest = read_manifest(path)
    model = onnx.load(path)
    inputs = {value.name for value in model.graph.input}
    if inputs != {"frame", "strength"}:
        raise ArtmirrorError(f"{path} takes {', '.join(sorted(inputs))}; the page gives a frame and a strength")
    _widen(model.graph)
    _, graph_sha256 = parse_onnx_metadata(memoryview(model.SerializeToString()))
    assert graph_sha256 is not None
    precision = "fp32" if manifest.precision == "fp16" else manifest.precision
    manifest = replace(manifest, precision=precision, graph_sha256=graph_sha256)
    (entry,) = (entry for entry in model.metadata_props if entry.key == METADATA_KEY)
    entry.value = manifest.to_json()
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(), manifest


def _widen(graph: onnx.GraphProto) -> None:
    for tensor in graph.initializer:
        _widen_tensor(tensor)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name == "to" and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
            if attribute.HasField("t"):
                _widen_tensor(attribute.t)
    del graph.value_info[:]  # they name the old types; every runtime infers the new ones


def _widen_tensor(tensor: onnx.TensorProto) -> None:
    if tensor.data_type == TensorProto.FLOAT16:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype("float32"), tensor.name))
