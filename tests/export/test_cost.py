"""The estimate of operations and bytes, against sums made by hand."""

from functools import cache

import onnx
import pytest

from artmirror.export.cost import graph_cost
from artmirror.export.to_onnx import graph_of
from artmirror.export.video_filter import VideoFilter
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.train.config import NetworkConfig
from artmirror.train.networks.stylizer import Stylizer


@cache
def graph(fp16: bool = False, upsampling: str = "nearest", memory: bool = False) -> onnx.ModelProto:
    network = NetworkConfig(channels=(4, 6, 8), blocks=1, upsampling=upsampling, memory=memory)
    return graph_of(VideoFilter(Stylizer(network)), fp16=fp16)[0]


@pytest.mark.parametrize("fp16", [False, True])
def test_by_hand(fp16: bool) -> None:
    height, width = 64, 96
    pixels, half, quarter = height * width, height * width // 4, height * width // 16
    cost = graph_cost(graph(fp16), (height, width))
    macs = [node.macs for node in cost.nodes if node.op_type == "Conv"]
    weights = [3 * 4, 4 * 6, 6 * 8, 8 * 8, 8 * 8, 8 * 6, 6 * 4, 4 * 3]
    places = [pixels, half, quarter, quarter, quarter, half, pixels, pixels]
    assert macs == [9 * weight * place for weight, place in zip(weights, places, strict=True)]
    assert cost.macs == sum(macs)

    stem = next(node for node in cost.nodes if node.op_type == "Conv")
    each = 2 if fp16 else 4
    assert stem.shape == (1, 4, height, width)
    assert stem.precision == ("fp16" if fp16 else "fp32")
    assert stem.bytes_read == each * (3 * (height + 2) * (width + 2) + 3 * 4 * 9 + 4)
    assert stem.bytes_written == each * 4 * pixels
    first, last = cost.nodes[0], cost.nodes[-1]
    assert (first.precision, first.bytes_read, first.bytes_written) == ("uint8", 3 * pixels, 4 * 3 * pixels)
    assert (last.shape, last.bytes_written) == ((1, height, width, 3), 3 * pixels)
    assert cost.bytes_moved == sum(node.bytes_read + node.bytes_written for node in cost.nodes)


def test_transposed_convolutions() -> None:
    cost = graph_cost(graph(upsampling="deconv"), (64, 96))
    ups = [node for node in cost.nodes if node.op_type == "ConvTranspose"]
    assert len(ups) == 2
    for node, in_channels, pixels in zip(ups, (8, 6), (16 * 24, 32 * 48), strict=True):
        assert node.macs % (in_channels * pixels) == 0
        assert node.macs > 0


def test_a_memory_is_counted() -> None:
    with_memory, without = graph_cost(graph(memory=True), (64, 96)), graph_cost(graph(), (64, 96))
    assert with_memory.macs > without.macs
    assert with_memory.nodes[0].shape[1:3] == (64, 96)


def test_odd_sizes_and_the_model_is_left_alone() -> None:
    model = graph()
    before = model.SerializeToString()
    cost = graph_cost(model, (361, 643))
    assert cost.nodes[-1].shape == (1, 361, 643, 3)
    assert model.SerializeToString() == before
    assert graph_cost(model, (720, 1280)).macs == 4 * graph_cost(model, (360, 640)).macs


def test_a_size_that_cannot_be_told() -> None:
    model = onnx.ModelProto()
    model.CopyFrom(graph())
    model.graph.input[0].name = "another"  # nobody feeds the graph now
    with pytest.raises(ArtmirrorError):
        graph_cost(model, (64, 64))
