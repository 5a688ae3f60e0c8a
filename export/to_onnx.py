"""starry.pt -> starry.onnx under the contract between export and runtime."""

import contextlib
import io
import logging
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import onnx
import onnxruntime
import torch

from artmirror.export.checkpoint_manifest import manifest_of
from artmirror.export.fp16 import Choice, convert_to_fp16
from artmirror.export.int8 import quantise
from artmirror.export.video_filter import VideoFilter
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import write_whole
from artmirror.runtime.common.pixels import SMALLEST_SIDE, Pixels
from artmirror.runtime.formats.manifest import METADATA_KEY, EnginePrecision
from artmirror.runtime.formats.onnx import UnsafeOnnx, parse_onnx_metadata
from artmirror.train.checkpoint import Checkpoint

OPSET = 20


def onnx_from_checkpoint(
    checkpoint: Checkpoint, checkpoint_path: Path, *, fp16: bool, calibration: Sequence[Pixels] | None = None
) -> tuple[onnx.ModelProto, list[Choice]]:
    """Export a checkpoint with free height and width, its manifest inside.

    Args:
        checkpoint_path: The file that `checkpoint` came from, for its SHA-256.
        fp16: Convolutions and what lies between them in FP16, normalisation in FP32.
        calibration: Frames, (H, W, 3) uint8 BGR; convolutions in INT8 with the ranges found on these. Not with `fp16`.

    Returns:
        The model, and the precision of each of its nodes with the reason.

    Raises:
        ArtmirrorError: the weights do not fit the network's configuration.
        ArtmirrorError: there are no frames to calibrate on, or the graph is beyond the runtime's limits.
    """
    model, choices = graph_of(VideoFilter(checkpoint.stylizer()), fp16=fp16)
    precision: EnginePrecision = "fp16" if fp16 else "fp32"
    quantiser = {}
    if calibration is not None:
        model, choices = quantise(model, calibration)
        precision, quantiser = "int8", {"onnxruntime": onnxruntime.__version__}
    try:
        _, graph_sha256 = parse_onnx_metadata(memoryview(model.SerializeToString()))
    except UnsafeOnnx as error:
        raise ArtmirrorError(f"the runtime would not open this network: {error}; choose a smaller one") from None
    assert graph_sha256 is not None
    manifest = manifest_of(
        checkpoint, checkpoint_path, precision=precision, graph_sha256=graph_sha256, libraries=("onnx", "onnxscript")
    )
    manifest = replace(manifest, exporter=manifest.exporter | quantiser)
    model.metadata_props.add(key=METADATA_KEY, value=manifest.to_json())
    return model, choices


def graph_of(video_filter: VideoFilter, *, fp16: bool) -> tuple[onnx.ModelProto, list[Choice]]:
    """The graph with free height and width, without a manifest, and the precision of its nodes with the reason."""
    model = _trace(video_filter)
    choices = convert_to_fp16(model) if fp16 else []
    onnx.checker.check_model(model, full_check=True)
    return model, choices


def save_onnx(model: onnx.ModelProto, path: Path) -> None:
    """Write the file to a temporary name and rename it.

    Raises:
        ArtmirrorError: the folder does not exist or cannot be written.
    """
    try:
        write_whole(path, model.SerializeToString(), durable=True)
    except OSError as error:
        raise ArtmirrorError(f"cannot write {path}: {error.strerror}; name another place with -o") from None


def _trace(video_filter: VideoFilter) -> onnx.ModelProto:
    # The exporter specialises sizes that look like constants, so the example's are unlike any in the network.
    frame = torch.zeros((1, 3 * SMALLEST_SIDE + 6, 4 * SMALLEST_SIDE + 10, 3), dtype=torch.uint8)
    strength = torch.ones(1)
    height = torch.export.Dim("height", min=SMALLEST_SIDE, max=16384)
    width = torch.export.Dim("width", min=SMALLEST_SIDE, max=16384)
    # The exporter talks of operators of packages that are not installed; none is used here.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            video_filter,
            (frame, strength),
            input_names=["frame", "strength"],
            output_names=["stylized"],
            dynamic_shapes=({1: height, 2: width}, None),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    del model.metadata_props[:]
    for node in model.graph.node:  # stack traces with paths of this machine
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
    return model
