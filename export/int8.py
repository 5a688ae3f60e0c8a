"""Post-training quantisation of an ONNX graph: convolutions in INT8, by pairs of QuantizeLinear and DequantizeLinear.

What a convolution reads is rounded to 8 bits, and so are its weights. What it writes is not: the normalisation behind
it would spread the error. The first convolution stays as it is: it reads the frame, and what it loses is lost to all.
docs/measurements/precision.md has what each of these choices gains and costs.
"""

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from artmirror.export.fp16 import CONVOLUTIONS, NORMALISATIONS, Choice, float_values
from artmirror.export.parity import read_large_picture
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pictures import picture_paths
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.common.style_file import Vector
from artmirror.runtime.engines.memory import OUTPUT

CALIBRATION_PICTURES = 32  # 12 gave the same PSNR as 100
_SHORT_SIDES = (256, 360, 480)  # pixels, in turn: the ranges shall hold for frames of any size
# Padding moves values: behind the rounding it moves a byte for each.
_QUANTISED = ("Conv", "ConvTranspose", "Pad")


class _Frames(CalibrationDataReader):  # type: ignore[misc]
    """Hands to the quantiser what a graph takes."""

    def __init__(self, given: Iterator[dict[str, Any]]) -> None:
        self._given = given

    def get_next(self) -> dict[str, Any] | None:
        return next(self._given, None)


def _given(
    source: Path, frames: Sequence[Pixels], styles: Sequence[Vector], *, has_memory: bool
) -> Iterator[dict[str, Any]]:
    session = ort.InferenceSession(source, providers=["CPUExecutionProvider"]) if has_memory else None
    for frame, style in zip(frames, cycle(styles or (None,)), strict=False):
        given = {"frame": frame[None], "strength": np.ones(1, np.float32)}
        if style is not None:
            given["style"] = style
        if session is not None:
            nothing = np.zeros_like(frame[None])
            first = given | {"previous": nothing, "mask": nothing}
            yield first
            given |= {"previous": session.run([OUTPUT], first)[0], "mask": np.full_like(nothing, 255)}
        yield given


def read_calibration(folder: Path) -> list[Pixels]:
    """Frames to calibrate on: pictures spread over the folder, scaled down to several sizes.

    Returns:
        (H, W, 3) uint8 BGR each, at most `CALIBRATION_PICTURES`.

    Raises:
        ArtmirrorError: there is none, or one cannot be used.
    """
    paths = picture_paths(folder)
    count = min(len(paths), CALIBRATION_PICTURES)
    spread = (paths[i * len(paths) // count] for i in range(count))
    return [_scaled(read_large_picture(path), _SHORT_SIDES[i % len(_SHORT_SIDES)]) for i, path in enumerate(spread)]


def quantise(
    model: onnx.ModelProto, frames: Sequence[Pixels], styles: Sequence[Vector] = ()
) -> tuple[onnx.ModelProto, list[Choice]]:
    """Quantise a graph of ours in FP32; `model` is not changed.

    The range of an activation is the mean, over the frames, of each one's smallest and largest value. The largest of
    all would spend the 256 levels on rare peaks. Weights have a range for each output channel and 7 bits, so that sums
    of two products fit into 16 bits, as processors without VNNI want it.

    Args:
        frames: (H, W, 3) uint8 BGR each, of any sizes, like those to be painted.
        styles: (S,) float32 each, in turn, where the network paints many paintings.

    Returns:
        The quantised graph, and the precision of each node that makes floats with the reason.

    Raises:
        ArtmirrorError: there are no frames.
    """
    if not frames:
        raise ArtmirrorError("there are no frames to calibrate INT8 on; wanted some like those to be painted")
    stem = _stem(model.graph)
    has_memory = any(entry.name == OUTPUT for entry in model.graph.output)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        source, path = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, source)  # a model in memory it would change
        quantize_static(
            source,
            path,
            _Frames(_given(source, frames, styles, has_memory=has_memory)),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(_QUANTISED),
            nodes_to_exclude=sorted(stem),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={"CalibMovingAverage": True, "OpTypesToExcludeOutputQuantization": list(_QUANTISED)},
        )
        quantised = onnx.load(path)
    _unround_others(quantised.graph)
    del quantised.graph.value_info[:]  # every runtime infers them, at its own size
    del quantised.metadata_props[:]  # the quantiser's notes
    onnx.checker.check_model(quantised, full_check=True)
    return quantised, _choices(model.graph, stem)


def _stem(graph: onnx.GraphProto) -> set[str]:
    """Names of the first convolution and of its padding; the nodes of a graph are in their order."""
    first = next(node for node in graph.node if node.op_type == "Conv")
    return {first.name} | {node.name for node in graph.node if node.op_type == "Pad" and first.input[0] in node.output}


def _unround_others(graph: onnx.GraphProto) -> None:
    """Let the residual sums read what was not rounded yet: the quantiser gives the rounded twin to all readers."""
    rounded = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "QuantizeLinear"}
    twins = {node.output[0]: rounded.get(node.input[0]) for node in graph.node if node.op_type == "DequantizeLinear"}
    for node in graph.node:
        if node.op_type in {*_QUANTISED, "QuantizeLinear", "DequantizeLinear"}:
            continue
        for place, name in enumerate(node.input):
            node.input[place] = twins.get(name) or name


def _choices(graph: onnx.GraphProto, stem: set[str]) -> list[Choice]:
    floats = float_values(graph)
    choices = []
    for node in graph.node:
        if node.name in stem:
            choices.append(Choice(node.name, node.op_type, "fp32", "reads the frame"))
        elif node.op_type in _QUANTISED:
            reason = "convolution" if node.op_type in CONVOLUTIONS else "beside convolutions"
            choices.append(Choice(node.name, node.op_type, "int8", reason))
        elif node.op_type in NORMALISATIONS:
            choices.append(Choice(node.name, node.op_type, "fp32", "would spread the error"))
        elif node.op_type != "Cast" and floats.intersection(node.output):
            choices.append(Choice(node.name, node.op_type, "fp32", "arithmetic"))
    return choices


def _scaled(picture: Pixels, short_side: int) -> Pixels:
    """The picture with its short side at most so long."""
    height, width = picture.shape[:2]
    scale = short_side / min(height, width)
    if scale >= 1:
        return picture
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the quantiser's advice to fuse nodes first, which would break the graph's free height and width."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
