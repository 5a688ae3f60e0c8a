"""What a trained network costs before anybody runs it: operations, parameters, bytes, and a prediction."""

from dataclasses import dataclass
from pathlib import Path

from artmirror.benchmarks.predict.cards import find_card
from artmirror.benchmarks.predict.passes import RULES, Precision, passes_of
from artmirror.benchmarks.predict.roofline import CARD, frame_s
from artmirror.benchmarks.speed.workload import read_layers, read_workload

CARD_NAME = "940m"
CARD_RULES = "ncnn"  # what runs on it: TensorRT no longer does
CARD_PRECISION: Precision = "fp16"  # in which values are stored


@dataclass(frozen=True, slots=True)
class Costs:
    """Of a frame, and of the network."""

    macs: int  # multiply-accumulates
    parameters: int  # trained ones
    bytes_moved: int  # by the rule of `workload`, two for each value
    predicted_fps: float  # on the card above


def read_costs(onnx: Path, checkpoint: Path, size: tuple[int, int]) -> Costs:
    """Count both files of a network.

    Args:
        size: (H, W) of the frame.

    Raises:
        ArtmirrorError: OpenVINO cannot read the .onnx.
        ArtmirrorError: the checkpoint cannot be read.
    """
    from artmirror.train.checkpoint import load_checkpoint

    workload = read_workload(onnx, size)
    bytes_moved = workload.bytes_moved(CARD_PRECISION)
    assert bytes_moved is not None
    passes = passes_of(read_layers(onnx, size), RULES[CARD_RULES], CARD_PRECISION)
    return Costs(
        macs=workload.macs,
        parameters=sum(parameter.numel() for parameter in load_checkpoint(checkpoint).stylizer().parameters()),
        bytes_moved=bytes_moved,
        predicted_fps=1 / frame_s(passes, find_card(CARD_NAME).roofs(CARD_PRECISION), CARD),
    )
