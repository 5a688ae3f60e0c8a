"""What passes cost, in closed form on graphs of a few nodes."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from artmirror.benchmarks.predict.passes import RULES, Pass, passes_of
from artmirror.benchmarks.speed.workload import read_layers, read_workload
from tests.fakes.tiny_networks import write_network
from tests.places import STARRY

SIZE = (64, 80)
PIXELS = 64 * 80


def costs(path: Path, rules: str = "compiled", precision: str = "fp32") -> list[tuple[str, int, int]]:
    """Kind, operations and bytes of each pass."""
    passes: tuple[Pass, ...] = passes_of(read_layers(path, SIZE), RULES[rules], precision)
    return [(one.kind, one.flop, one.bytes_moved) for one in passes]


def constant(name: str, *values: float, kind: type = np.int64) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.array(values, kind)))


class TestConvolution:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """3 to 8 channels, 3x3, a halved picture, a ReLU."""
        convolution = helper.make_node("Conv", ["x", "w"], ["z"], strides=[2, 2], pads=[1, 1, 1, 1])
        relu = helper.make_node("Relu", ["z"], ["y"])
        return write_network(tmp_path / "a.onnx", convolution, relu, w=(8, 3, 3, 3))

    def test_by_hand(self, path: Path) -> None:
        written = 32 * 40 * 8
        assert costs(path) == [
            ("conversion", 0, PIXELS * 3 * (1 + 4)),
            ("convolution", 2 * written * 3 * 3 * 3, 4 * (PIXELS * 3 + 8 * 3 * 3 * 3 + written)),
            ("conversion", 0, written * (4 + 1)),
        ]

    def test_precision_is_the_size_of_values(self, path: Path) -> None:
        read, written = PIXELS * 3 + 216, 32 * 40 * 8
        for precision in ("fp16", "bf16"):
            assert costs(path, precision=precision)[1][2] == 2 * (read + written)
        assert costs(path, precision="int8")[1][2] == read + 2 * written
        assert costs(path, precision="fp16")[0] == costs(path)[0]  # the frame is converted to fp32 anyway


def test_padding_is_a_pass_or_folded(tmp_path: Path) -> None:
    path = write_network(
        tmp_path / "a.onnx",
        constant("pads", 0, 0, 1, 1, 0, 0, 1, 1),
        helper.make_node("Pad", ["x", "pads"], ["p"], mode="reflect"),
        helper.make_node("Conv", ["p", "w"], ["y"]),
        w=(8, 3, 3, 3),
    )
    padded, written = 66 * 82 * 3, PIXELS * 8
    flop = 2 * written * 27
    assert costs(path)[1:-1] == [
        ("movement", 0, 4 * (PIXELS * 3 + padded)),
        ("convolution", flop, 4 * (padded + 216 + written)),
    ]
    assert costs(path, "folded")[1:-1] == [("convolution", flop, 4 * (PIXELS * 3 + 216 + written))]


def test_what_is_resized_and_padded_is_read_small(tmp_path: Path) -> None:
    path = write_network(
        tmp_path / "a.onnx",
        constant("scales", 1, 1, 2, 2, kind=np.float32),
        constant("pads", 0, 0, 1, 1, 0, 0, 1, 1),
        helper.make_node("Resize", ["x", "", "scales"], ["r"], mode="nearest"),
        helper.make_node("Pad", ["r", "pads"], ["p"], mode="edge"),
        helper.make_node("Conv", ["p", "w"], ["y"]),
        w=(8, 3, 3, 3),
    )
    kinds = [kind for kind, *_ in costs(path)]
    assert kinds == ["conversion", "movement", "movement", "convolution", "conversion"]
    written = 4 * PIXELS * 8
    assert costs(path, "folded")[1:-1] == [("convolution", 2 * written * 27, 4 * (PIXELS * 3 + 216 + written))]


def test_padding_that_somebody_else_reads_is_not_folded(tmp_path: Path) -> None:
    path = write_network(
        tmp_path / "a.onnx",
        constant("pads", 0, 0, 1, 1, 0, 0, 1, 1),
        helper.make_node("Pad", ["x", "pads"], ["p"], mode="reflect"),
        helper.make_node("Conv", ["p", "w"], ["z"], pads=[1, 1, 1, 1]),
        helper.make_node("Concat", ["p", "z"], ["y"], axis=1),
        w=(8, 3, 3, 3),
    )
    assert [kind for kind, *_ in costs(path, "folded")].count("movement") == 2


class TestNormalisation:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """Two convolutions, the second normalised; the first is added behind it."""
        return write_network(
            tmp_path / "a.onnx",
            helper.make_node("Conv", ["x", "w"], ["first"], pads=[1, 1, 1, 1]),
            helper.make_node("Conv", ["first", "v"], ["second"], pads=[1, 1, 1, 1]),
            helper.make_node("InstanceNormalization", ["second", "scale", "bias"], ["normal"]),
            helper.make_node("Relu", ["normal"], ["positive"]),
            helper.make_node("Add", ["positive", "first"], ["y"]),
            w=(8, 3, 3, 3),
            v=(8, 8, 3, 3),
            scale=(8,),
            bias=(8,),
        )

    def test_compiled_takes_activation_and_residual_along(self, path: Path) -> None:
        """Read for the statistics, read and written to apply them, and the residual read."""
        found = costs(path)
        assert [kind for kind, *_ in found].count("elementwise") == 0
        assert found[3] == ("normalisation", 0, 4 * PIXELS * 8 * (3 + 1))

    def test_ncnn_reads_once_more_and_fuses_nothing(self, path: Path) -> None:
        values = PIXELS * 8
        found = costs(path, "ncnn", "fp16")
        assert found[3:6] == [
            ("normalisation", 0, values * 4 * 2),
            ("elementwise", 0, values * 2 * 2),
            ("elementwise", 0, values * 3 * 2),
        ]


def test_the_layers_of_the_bundled_network_are_its_workload() -> None:
    workload = read_workload(STARRY, SIZE)
    layers = read_layers(STARRY, SIZE)
    for rules in RULES.values():
        assert sum(one.flop for one in passes_of(layers, rules, "fp32")) == 2 * workload.macs
    moved = {name: sum(one.bytes_moved for one in passes_of(layers, rules, "fp32")) for name, rules in RULES.items()}
    assert moved["folded"] < moved["compiled"] < moved["ncnn"]
    # Five residual blocks add what came before them.
    assert sum(layer.values_joined > 0 for layer in layers if layer.operation == "MVN") == 5
