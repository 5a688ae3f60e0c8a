"""The study of unseen paintings: what stands in its rows, and how it gives pictures to networks of others."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper

from artmirror.benchmarks.studies.many_paintings import Row, markdown, measure, open_peer
from artmirror.benchmarks.temporal.sequences import Frame
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pictures import save_picture
from artmirror.train.objective.vgg import VggFeatures
from artmirror.train.pairs.paintings import Painting

RANDOM = np.random.default_rng(3)


class Clip:
    """Grey noise that stands still on the left and changes on the right."""

    name, size, frame_count, unrelated = "clip", (64, 96), 3, False

    def frames(self) -> Iterator[Frame]:
        still = RANDOM.integers(0, 256, (64, 96, 3), np.uint8)
        for _ in range(3):
            frame = still.copy()
            frame[:, 48:] = RANDOM.integers(0, 256, (64, 48, 3), np.uint8)
            yield Frame(frame)


@pytest.fixture(scope="module")
def features() -> VggFeatures:
    torch.manual_seed(0)
    return VggFeatures("torchvision")


def save_network(path: Path, nodes: list[onnx.NodeProto], inputs: dict[str, list[int | str]], rank: int) -> str:
    """A network of a few nodes, whose output is called `out`."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
    output = helper.make_tensor_value_info("out", TensorProto.FLOAT, [None] * rank)
    graph = helper.make_graph(nodes, "peer", values, [output])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return str(path)


class TestMeasure:
    def test_the_input_is_one_and_one_that_flickers_is_told_from_one_that_does_not(
        self, features: VggFeatures, tmp_path: Path
    ) -> None:
        save_picture(RANDOM.integers(0, 256, (64, 80, 3), np.uint8), tmp_path / "painting.png")
        turns = iter(range(99))
        networks = {
            "input": lambda painting: lambda frame: frame,
            "dark": lambda painting: lambda frame: frame / 2,
            "flickers": lambda painting: lambda frame: frame / 2 + 0.1 * (next(turns) % 2),
        }
        rows, sheet = measure(networks, [Painting(tmp_path / "painting.png")], [Clip()], features)
        by_name = {row.name: row for row in rows}
        assert (by_name["input"].style, by_name["input"].layered, by_name["input"].content) == (1, 1, 0)
        assert by_name["input"].flicker == by_name["dark"].flicker == 0
        assert by_name["flickers"].flicker == pytest.approx(25.5, abs=0.5)
        assert by_name["dark"].content > 0
        assert by_name["flickers"].e_stab > by_name["dark"].e_stab
        assert sheet.shape == (180, 3 * 320, 3)


class TestPeer:
    @pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
    def test_pictures_arrive_as_each_network_wants_them(self, layout: str, tmp_path: Path) -> None:
        picture: list[int | str] = [1, 3, "h", "w"] if layout == "NCHW" else [1, 32, 32, 3]
        frame: list[int | str] = [1, 3, "h", "w"] if layout == "NCHW" else [1, "h", "w", 3]
        axes = [2, 3] if layout == "NCHW" else [1, 2]
        mean = helper.make_node("ReduceMean", ["style"], ["out"], axes=axes, keepdims=1)
        add = helper.make_node("Add", ["image", "code"], ["out"])
        predict = save_network(tmp_path / "predict.onnx", [mean], {"style": picture}, 4)
        code: list[int | str] = [1, 3, 1, 1] if layout == "NCHW" else [1, 1, 1, 3]
        transform = save_network(tmp_path / "transform.onnx", [add], {"image": frame, "code": code}, 4)
        painting: NDArray[np.uint8] = np.full((66, 90, 3), (51, 102, 153), np.uint8)
        painted = open_peer(f"{predict},{transform}")(painting)(torch.zeros(1, 3, 64, 72))
        assert painted.shape == (1, 3, 64, 72)
        torch.testing.assert_close(painted.mean((2, 3))[0], torch.tensor([0.2, 0.4, 0.6]), atol=1e-5, rtol=0)

    @pytest.mark.parametrize(("files", "told"), [("one.onnx", "two files"), ("no.onnx,no.onnx", "cannot open")])
    def test_what_is_no_peer_is_told_in_one_line(self, files: str, told: str) -> None:
        with pytest.raises(ArtmirrorError, match=told) as error:
            open_peer(files)
        assert "\n" not in str(error.value)


def test_the_table_has_a_line_for_each_network() -> None:
    page = markdown([Row("any", 0.2, 0.3, 4.56, 0.0123, 1.15)], 10, ["a.mp4", "b.mp4"])
    assert "10 paintings" in page
    assert re.search(r"\| any \| 0.200 \| 0.300 \| 4.56 \| 0.0123 \| 1.15 \|", page)
