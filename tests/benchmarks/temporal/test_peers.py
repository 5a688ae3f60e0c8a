"""Networks of others: tiny ones, made here, whose pictures are known."""

from pathlib import Path

import click
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from artmirror.benchmarks.temporal.peers import Peer, PeerSpec, from_planes, to_planes
from tests.fakes.moving_pictures import SIZE, texture


def write_network(
    path: Path,
    *nodes: onnx.NodeProto,
    shape: tuple[object, ...] = (1, 3, "h", "w"),
    kind: int = TensorProto.FLOAT,
    **constants: object,
) -> Path:
    """Write an ONNX file that takes `x` and gives `y`."""
    graph = helper.make_graph(
        nodes,
        "peer",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", kind, None)],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def add(path: Path, value: float) -> Path:
    """Write a network that adds a number."""
    return write_network(path, helper.make_node("Add", ["x", "c"], ["y"]), c=np.float32(value))


def error_of(path: Path, size: tuple[int, int] = SIZE, white: float = 255.0) -> str:
    with pytest.raises(click.ClickException) as caught:
        Peer(PeerSpec(path, white, "rgb"), size, 1).paint(texture(size))
    assert "\n" not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize("white", [1.0, 255.0])
@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_planes_and_back_are_the_picture(white: float, order: str) -> None:
    spec = PeerSpec(Path(), white, order)  # type: ignore[arg-type]
    picture = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    planes = to_planes(picture, spec)
    assert planes.shape == (1, 3, *SIZE)
    assert planes.max() == pytest.approx(white)
    red = 2 if order == "rgb" else 0  # of BGR
    np.testing.assert_allclose(planes[0, 0], picture[..., red] * (white / 255), rtol=1e-6)
    np.testing.assert_array_equal(from_planes(planes, spec), picture)


def test_values_beyond_the_range_are_clipped() -> None:
    spec = PeerSpec(Path(), 1.0, "rgb")
    planes = np.stack([np.full(SIZE, value, np.float32) for value in (-0.5, 0.5, 1.5)])[None]
    np.testing.assert_array_equal(from_planes(planes, spec)[0, 0], [255, 128, 0])


def test_range_and_order_reach_the_network(tmp_path: Path) -> None:
    """The network adds 10 in its own units, to red alone."""
    path = write_network(
        tmp_path / "red.onnx",
        helper.make_node("Add", ["x", "c"], ["y"]),
        c=np.array([10, 0, 0], np.float32).reshape(1, 3, 1, 1),
    )
    picture = texture()
    painted = Peer(PeerSpec(path, 255.0, "rgb"), SIZE, 1).paint(picture)
    np.testing.assert_array_equal(painted.pixels, picture + np.array([0, 0, 10], np.uint8))
    assert painted.latency_ns > 0
    painted = Peer(PeerSpec(path, 255.0, "bgr"), SIZE, 1).paint(picture)
    np.testing.assert_array_equal(painted.pixels, picture + np.array([10, 0, 0], np.uint8))
    painted = Peer(PeerSpec(add(tmp_path / "fifth.onnx", 0.2), 1.0, "rgb"), SIZE, 1).paint(picture)
    np.testing.assert_array_equal(painted.pixels, picture + 51)


def test_larger_pictures_are_cut_and_smaller_ones_widened(tmp_path: Path) -> None:
    pads = {"larger": [0, 0, 0, 0, 0, 0, 2, 4], "smaller": [0, 0, -2, -4, 0, 0, -2, -4]}  # begin, then end
    picture = texture()
    found = {}
    for name, values in pads.items():
        path = write_network(
            tmp_path / f"{name}.onnx", helper.make_node("Pad", ["x", "pads"], ["y"]), pads=np.array(values, np.int64)
        )
        peer = Peer(PeerSpec(path, 255.0, "rgb"), SIZE, 1)
        found[name] = peer.paint(picture).pixels
        assert peer.describe().note.startswith("gave 84x66" if name == "larger" else "gave 72x60")
    np.testing.assert_array_equal(found["larger"], picture)
    np.testing.assert_array_equal(found["smaller"][2:-2, 4:-4], picture[2:-2, 4:-4])
    np.testing.assert_array_equal(found["smaller"][0, 4:-4], picture[2, 4:-4])


def test_it_says_what_it_is(tmp_path: Path) -> None:
    peer = Peer(PeerSpec(add(tmp_path / "theirs.onnx", 0), 255.0, "rgb"), SIZE, 1)
    peer.paint(texture())
    told = peer.describe()
    assert (told.label, told.kind, told.backend, told.precision, told.threads) == (
        "theirs",
        "peer",
        "onnxruntime",
        "fp32",
        1,
    )
    assert told.note == ""
    assert told.sha256 is not None


@pytest.mark.parametrize(
    ("text", "white", "path", "found"),
    [
        ("a.onnx@255", None, "a.onnx", 255.0),
        ("a.onnx@1", "255", "a.onnx", 1.0),
        ("a.onnx", "255", "a.onnx", 255.0),
        ("me@home/a.onnx", "1", "me@home/a.onnx", 1.0),
    ],
)
def test_range_is_declared_by_file_or_for_all(text: str, white: str | None, path: str, found: float) -> None:
    assert PeerSpec.parse(text, white, "rgb") == PeerSpec(Path(path), found, "rgb")


def test_nobody_guesses_the_range() -> None:
    with pytest.raises(click.ClickException, match="is white 1 or 255 to it"):
        PeerSpec.parse("a.onnx", None, "rgb")


def test_errors_are_one_line(tmp_path: Path) -> None:
    assert "cannot read" in error_of(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("no network")
    assert "cannot open" in error_of(tmp_path / "text.onnx")
    identity = helper.make_node("Identity", ["x"], ["y"])
    assert "wanted one float tensor" in error_of(write_network(tmp_path / "a.onnx", identity, kind=TensorProto.UINT8))
    fixed = write_network(tmp_path / "b.onnx", identity, shape=(1, 3, 128, 128))
    assert "use its size with --size" in error_of(fixed)
    assert "wanted one float tensor" in error_of(write_network(tmp_path / "c.onnx", identity, shape=(3, "h", "w")))
    grey = helper.make_node("ReduceMean", ["x"], ["y"], axes=[1])
    assert "gave [1, 1, 64, 80]; wanted [1, 3, H, W]" in error_of(write_network(tmp_path / "d.onnx", grey))
    broken = helper.make_node("Div", ["x", "c"], ["y"])
    assert "no numbers" in error_of(write_network(tmp_path / "e.onnx", broken, c=np.float32(0)))
    reshape = helper.make_node("Reshape", ["x", "c"], ["y"])
    failing = write_network(tmp_path / "f.onnx", reshape, c=np.array([1, 3, 8, 8], np.int64))
    assert "failed on 80x64" in error_of(failing)
