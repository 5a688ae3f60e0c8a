"""starry.pt -> starry.onnx under the contract between export and runtime."""

import contextlib
import io
import logging
import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch

from artmirror.export.fp16 import Choice, convert_to_fp16, halve_weights
from artmirror.export.int8 import quantise
from artmirror.export.picture_filter import PictureFilter
from artmirror.export.trained import Trained
from artmirror.export.video_filter import VideoFilter
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import write_whole
from artmirror.runtime.common.pixels import SMALLEST_SIDE, Pixels
from artmirror.runtime.common.style_file import Vector
from artmirror.runtime.formats.encoder import ENCODER_KEY, SMALLEST_PAINTING, EncoderManifest
from artmirror.runtime.formats.manifest import METADATA_KEY, EnginePrecision
from artmirror.runtime.formats.onnx import UnsafeOnnx, parse_onnx_metadata
from artmirror.train.networks.picture_encoder import PictureEncoder

OPSET = 20
_SIDES = {1: "height", 2: "width"}  # axes of a frame


def onnx_of(
    trained: Trained,
    *,
    fp16: bool,
    calibration: Sequence[Pixels] | None = None,
    styles: Sequence[Vector] = (),
) -> tuple[onnx.ModelProto, list[Choice]]:
    """Export a network with free height and width, its manifest inside.

    Args:
        fp16: Convolutions and what lies between them in FP16, normalisation in FP32.
        calibration: Frames, (H, W, 3) uint8 BGR; convolutions in INT8 with the ranges found on these. Not with `fp16`.
        styles: (S,) float32 each, for the ranges of a network for many paintings.

    Returns:
        The model, and the precision of each of its nodes with the reason.

    Raises:
        ArtmirrorError: the weights do not fit the network's configuration.
        ArtmirrorError: there are no frames to calibrate on, or the graph is beyond the runtime's limits.
    """
    model, choices = graph_of(VideoFilter(trained.painter), fp16=fp16)
    precision: EnginePrecision = "fp16" if fp16 else "fp32"
    quantiser = {}
    if calibration is not None:
        model, choices = quantise(model, calibration, styles)
        precision, quantiser = "int8", {"onnxruntime": onnxruntime.__version__}
    manifest = trained.manifest(
        precision=precision, graph_sha256=_graph_sha256(model), libraries=("onnx", "onnxscript")
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


def encoder_of(trained: Trained) -> onnx.ModelProto:
    """The encoder of a network for many paintings: a picture in, its code out, its manifest inside.

    Weights are stored in half precision, as the checkpoint has them.

    Raises:
        ArtmirrorError: it looks through VGG-19, which is not shipped.
    """
    assert trained.many is not None
    assert trained.style is not None
    encoder = trained.many.encoder
    if not isinstance(encoder, PictureEncoder):
        raise ArtmirrorError(
            f"the encoder of {trained.info.name}.pt looks through VGG-19, which does not come along; let one that "
            f"looks at pixels learn from it with st-train --distil {trained.info.name}.pt, and export what that wrote"
        )
    picture = torch.zeros((1, 262, 325, 3), dtype=torch.uint8)
    height, width = (torch.export.Dim(name, min=SMALLEST_PAINTING, max=16384) for name in ("height", "width"))
    model = _exported(PictureFilter(encoder), (picture,), ["picture"], ["code"], ({1: height, 2: width},))
    halve_weights(model.graph)
    onnx.checker.check_model(model, full_check=True)
    manifest = EncoderManifest(
        name=trained.info.name,
        code_length=trained.style.code_length,
        code_space=trained.style.code_space,
        checkpoint_sha256=trained.sha256,
        graph_sha256=_graph_sha256(model),
        exporter={library: version(library) for library in ("artmirror", "torch", "onnx", "onnxscript")},
    )
    model.metadata_props.add(key=ENCODER_KEY, value=manifest.to_json())
    return model


def _graph_sha256(model: onnx.ModelProto) -> str:
    try:
        _, found = parse_onnx_metadata(memoryview(model.SerializeToString()))
    except UnsafeOnnx as error:
        raise ArtmirrorError(f"the runtime would not open this network: {error}; choose a smaller one") from None
    assert found is not None
    return found


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
    given: tuple[torch.Tensor | None, ...] = (frame, torch.ones(1))
    names = ["frame", "strength"]
    if video_filter.style_length:
        given, names = (*given, torch.zeros(video_filter.style_length)), [*names, "style"]
    height = torch.export.Dim("height", min=SMALLEST_SIDE, max=16384)
    width = torch.export.Dim("width", min=SMALLEST_SIDE, max=16384)
    sizes: tuple[Any, ...] = ({1: height, 2: width}, *(None for _ in names[1:]))
    if not video_filter.has_memory:
        return _exported(video_filter, given, names, ["stylized"], sizes)
    if not video_filter.style_length:
        given, sizes = (*given, None), (*sizes, None)
    given, sizes = (*given, frame.clone(), frame.clone()), (*sizes, {1: height, 2: width}, {1: height, 2: width})
    model = _exported(video_filter, given, [*names, "previous", "mask"], ["stylized", "painted"], sizes)
    # The exporter calls sizes that several inputs share by numbers.
    called = {model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param: name for axis, name in _SIDES.items()}
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            for number, name in called.items() if dim.dim_param else ():
                dim.dim_param = re.sub(rf"\b{number}\b", name, dim.dim_param)
    return model


def _exported(
    module: torch.nn.Module,
    given: tuple[torch.Tensor | None, ...],
    names: list[str],
    outputs: list[str],
    sizes: tuple[Any, ...],
) -> onnx.ModelProto:
    # The exporter talks of operators of packages that are not installed; none is used here.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            given,
            input_names=names,
            output_names=outputs,
            dynamic_shapes=sizes,
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
