"""Tiny ONNX files whose costs can be told by hand."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from artmirror.runtime.formats.onnx import read_onnx_metadata
from tests.fakes.counting_engine import make_manifest


def write_network(path: Path, *nodes: onnx.NodeProto, **weights: tuple[int, ...]) -> Path:
    """Write a network of `nodes` from `x` to `y` between a cast from uint8 and one back, with weights of these shapes.

    It has a manifest, as st-export writes it.
    """
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["frame"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("Transpose", ["float"], ["x"], perm=[0, 3, 1, 2]),
            *nodes,
            helper.make_node("Cast", ["y"], ["stylized"], to=TensorProto.UINT8),
        ],
        "test",
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, [1, "H", "W", 3])],
        [helper.make_tensor_value_info("stylized", TensorProto.UINT8, None)],
        [numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)
    manifest = replace(make_manifest(path.stem), graph_sha256=read_onnx_metadata(path)[1])
    entry = model.metadata_props.add()
    entry.key, entry.value = "artmirror", json.dumps(asdict(manifest))
    onnx.save(model, path)
    return path
