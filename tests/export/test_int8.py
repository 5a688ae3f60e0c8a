"""The INT8 export: what is quantised and what is not, how much of the picture is left, and who opens it."""

import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import numpy_helper

from artmirror.benchmarks.speed.workload import read_layers
from artmirror.export import parity
from artmirror.export.cli import main
from artmirror.export.int8 import quantise, read_calibration
from artmirror.export.parity import check_parity, read_pictures
from artmirror.export.to_onnx import graph_of, onnx_of, save_onnx
from artmirror.export.trained import trained_of
from artmirror.export.video_filter import VideoFilter
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.engines.base import stylize
from artmirror.runtime.engines.open import open_engine
from artmirror.runtime.formats.manifest import read_manifest
from artmirror.train.checkpoint import Checkpoint
from artmirror.train.config import NetworkConfig
from artmirror.train.pairs.base import own_pictures
from tests.export.conftest import make_checkpoint


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def export(checkpoint: Checkpoint, path: Path) -> Path:
    model, _ = onnx_of(trained_of(checkpoint, path), fp16=False, calibration=read_pictures(own_pictures())[:1])
    output = path.with_suffix(".onnx")
    save_onnx(model, output)
    return output


@pytest.fixture(scope="module")
def int8(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("int8") / "tiny.pt"
    path.write_bytes(b"only its checksum counts here")
    return export(make_checkpoint(NetworkConfig(channels=(4, 6, 8), blocks=2)), path)


def test_convolutions_read_bytes_but_for_the_first(int8: Path) -> None:
    graph = onnx.load(int8).graph
    maker = {output: node for node in graph.node for output in node.output}
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    first, *others = [node for node in graph.node if node.op_type == "Conv"]
    assert maker[first.input[0]].op_type == "Pad"
    assert weights[first.input[1]].dtype == np.float32
    assert len(others) == 9
    for node in others:
        stored = [maker[name].input[0] for name in node.input[:2]]
        assert [maker[name].op_type for name in node.input[:2]] == ["DequantizeLinear"] * 2
        assert maker[stored[0]].op_type == "QuantizeLinear"
        kernel = weights[stored[1]]
        assert kernel.dtype == np.int8
        assert 63 <= np.abs(kernel).max() <= 64  # 7 bits
        assert weights[maker[node.input[1]].input[1]].shape == (kernel.shape[0],)  # a scale for each output
        assert not [reader for reader in graph.node if node.output[0] in reader.input and "Quantize" in reader.op_type]


def test_normalisation_and_residual_sums_stay_in_float(int8: Path) -> None:
    graph = onnx.load(int8).graph
    maker = {output: node.op_type for node in graph.node for output in node.output}
    for node in graph.node:
        if node.op_type in {"InstanceNormalization", "Add", "Relu", "Tanh"}:
            assert "DequantizeLinear" not in {maker.get(name) for name in node.input}


def test_the_float_graph_is_left_alone(tiny: Checkpoint) -> None:
    model, _ = graph_of(VideoFilter(tiny.stylizer()), fp16=False)
    before = model.SerializeToString()
    quantised, choices = quantise(model, read_pictures(own_pictures())[:1])
    assert model.SerializeToString() == before
    by_node = {choice.node: choice for choice in choices}
    for node in quantised.graph.node:
        if node.op_type == "Conv":
            assert by_node[node.name].precision == ("fp32" if node.name == "node_conv2d" else "int8")
    assert all(choice.reason for choice in choices)


@pytest.mark.parametrize(
    "config",
    [
        NetworkConfig(channels=(4, 6, 8), blocks=1, upsampling="deconv", padding="zeros"),
        NetworkConfig(channels=(4, 6, 8), blocks=1, norm="batch", padding="replicate", end_kernel=9),
        NetworkConfig(channels=(8, 8, 8), blocks=1, padding="replicate", fold=2),
        NetworkConfig(
            channels=(8, 8, 8), blocks=1, padding="replicate", fold=2, block_conv="separable", block_padding="zeros"
        ),
        NetworkConfig(channels=(8, 6, 8), blocks=1, padding="replicate", fold=4),
        NetworkConfig(channels=(4, 6, 8), blocks=1, memory=True),
    ],
    ids=["deconv-zeros", "batch-replicate-9", "lite", "lite-separable", "nano", "memory"],
)
def test_both_back_ends_paint_nearly_the_same(tmp_path: Path, config: NetworkConfig) -> None:
    checkpoint = make_checkpoint(config)
    path = tmp_path / "x.pt"
    path.write_bytes(b"")
    output = export(checkpoint, path)
    results = check_parity(VideoFilter(checkpoint.stylizer()), output, read_pictures(own_pictures())[:1], "int8")
    assert {"onnxruntime cpu int8", "openvino cpu int8"} <= {result.engine for result in results}
    assert all(result.floor_db == 30 and result.passed for result in results), results
    assert all(result.psnr_db < 70 for result in results), results  # of the float file it is over 80


def test_the_manifest_and_any_size(int8: Path) -> None:
    manifest = read_manifest(int8)
    assert (manifest.precision, manifest.height, manifest.steps) == ("int8", None, 7)
    assert set(manifest.exporter) >= {"torch", "onnx", "onnxruntime"}
    for size in ((64, 97), (130, 71)):
        engine = open_engine(int8, size=size)
        slot = engine.allocate(1)[0]
        slot.frame[:] = np.random.default_rng(0).integers(0, 256, slot.frame.shape, np.uint8)
        stylize(engine, slot)
        assert engine.describe().precision in {"int8", "int8+bf16", "int8+fp16"}
        assert slot.stylized.std() > 10
        engine.close()


def test_ranges_come_from_the_pictures(tiny: Checkpoint) -> None:
    model, _ = graph_of(VideoFilter(tiny.stylizer()), fp16=False)
    photo = read_pictures(own_pictures())[0]
    scales = []
    for picture in (photo, np.full_like(photo, 128)):
        graph = quantise(model, [picture])[0].graph
        values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        scales.append([float(values[node.input[1]]) for node in graph.node if node.op_type == "QuantizeLinear"])
    assert len(scales[0]) == len(scales[1])
    assert scales[0] != scales[1]
    with pytest.raises(ArtmirrorError, match="no frames to calibrate"):
        quantise(model, [])


def test_layers_are_counted_as_in_the_float_file(tiny: Checkpoint, tiny_path: Path, int8: Path, tmp_path: Path) -> None:
    model, _ = onnx_of(trained_of(tiny, tiny_path), fp16=False)
    plain = tmp_path / "plain.onnx"
    save_onnx(model, plain)
    one, other = (read_layers(path, (72, 96)) for path in (plain, int8))
    assert [(layer.operation, layer.shape, layer.inputs, layer.macs, layer.values_read) for layer in one] == [
        (layer.operation, layer.shape, layer.inputs, layer.macs, layer.values_read) for layer in other
    ]


def test_from_the_command_line(tiny_path: Path) -> None:
    code, out, err = run("--int8", "--photos", own_pictures(), "--verbose", tiny_path)
    assert code == 0, err
    assert err == ""
    assert "openvino cpu int8" in out
    assert "would spread the error" in out
    output = tiny_path.with_suffix(".onnx")
    assert sorted(path.name for path in tiny_path.parent.iterdir()) == ["tiny.onnx", "tiny.pt"]  # and no plan
    assert str(Path(onnx.__file__).parents[1]).encode() not in output.read_bytes()
    code, out, err = run("inspect", output)
    assert code == 0, err
    assert "DequantizeLinear" in out
    convolutions = [line.split() for line in out.splitlines() if line.startswith("│ Conv ")]
    assert [line[3] for line in convolutions] == ["fp32", "uint8"]


def test_no_plan_is_built_of_it(int8: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    code, _, err = run("--target", "sm86", int8)
    assert code == 1
    assert "is INT8 for processors; for a plan, export the checkpoint with --fp16" in err
    assert not int8.with_suffix(".plan").exists()


def test_user_mistakes_are_one_line(tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = own_pictures()
    for arguments, code, words in [
        (("--int8", tiny_path), 2, "go together"),
        (("--photos", photos, tiny_path), 2, "go together"),
        (("--int8", "--photos", photos, "--fp16", tiny_path), 2, "leave out --fp16"),
        (("--int8", "--photos", photos, "--plan", tiny_path), 2, "leave out --fp16, --ncnn and --plan"),
        (("--int8", "--photos", photos, "x.onnx"), 2, "only a plan"),
        (("--int8", "--photos", tmp_path / "absent", tiny_path), 1, "cannot read the folder"),
    ]:
        found, _, err = run(*arguments)
        assert (found, words in err) == (code, True), (arguments, err)
        assert "Traceback" not in err
    monkeypatch.setitem(parity.PSNR_FLOOR_DB, "int8", 1000.0)
    code, _, err = run("--int8", "--photos", photos, tiny_path)
    assert code == 1
    assert "or export without --int8" in err
    assert [path.name for path in tiny_path.parent.iterdir()] == ["tiny.pt"]
    monkeypatch.setitem(sys.modules, "onnxruntime.quantization", None)
    monkeypatch.delitem(sys.modules, "artmirror.export.int8")
    code, _, err = run("--int8", "--photos", photos, tiny_path)
    assert code == 1
    assert "install it with pip install 'artmirror[export]'" in err


def test_calibration_is_spread_over_folder_and_sizes(tmp_path: Path) -> None:
    for i in range(70):
        cv2.imwrite(str(tmp_path / f"{i:02}.png"), np.full((500, 600, 3), 3 * i, np.uint8))
    frames = read_calibration(tmp_path)
    assert [frame.shape[:2] for frame in frames[:4]] == [(256, 307), (360, 432), (480, 576), (256, 307)]
    assert [int(frame[0, 0, 0]) // 3 for frame in frames] == [i * 70 // 32 for i in range(32)]
    for path in sorted(tmp_path.iterdir())[2:]:
        path.unlink()
    cv2.imwrite(str(tmp_path / "small.png"), np.zeros((70, 80, 3), np.uint8))
    assert [frame.shape[:2] for frame in read_calibration(tmp_path)] == [(256, 307), (360, 432), (70, 80)]
