"""The exported file: its contract, its manifest, its precision, its agreement with PyTorch."""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto

from artmirror.export.fp16 import choose_precision
from artmirror.export.parity import check_parity, read_pictures
from artmirror.export.to_onnx import onnx_of, save_onnx
from artmirror.export.trained import trained_of
from artmirror.export.video_filter import VideoFilter
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.formats.manifest import read_manifest
from artmirror.train.checkpoint import Checkpoint
from artmirror.train.config import NETWORK_PRESETS, NetworkConfig
from artmirror.train.pairs.base import own_pictures
from tests.export.conftest import make_checkpoint
from tests.fakes.tiny_memory import tiny_memory, tiny_memory_checkpoint
from tests.places import ROOT


def export(checkpoint: Checkpoint, path: Path, *, fp16: bool) -> Path:
    output = path.with_suffix(".onnx")
    model, _ = onnx_of(trained_of(checkpoint, path), fp16=fp16)
    save_onnx(model, output)
    return output


def shape(value: onnx.ValueInfoProto) -> list[int | str]:
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


@pytest.mark.parametrize("fp16", [False, True])
def test_the_contract(tiny: Checkpoint, tiny_path: Path, fp16: bool) -> None:
    model = onnx.load(export(tiny, tiny_path, fp16=fp16))
    frame, strength = model.graph.input
    (stylized,) = model.graph.output
    assert (frame.name, strength.name, stylized.name) == ("frame", "strength", "stylized")
    assert frame.type.tensor_type.elem_type == stylized.type.tensor_type.elem_type == TensorProto.UINT8
    assert strength.type.tensor_type.elem_type == TensorProto.FLOAT
    assert shape(frame) == [1, "height", "width", 3]
    assert shape(stylized)[0] == 1
    assert shape(stylized)[3] == 3
    assert shape(strength) == [1]
    assert not any(tensor.external_data for tensor in model.graph.initializer)


@pytest.mark.parametrize("fp16", [False, True])
def test_the_contract_of_a_network_with_memory(fp16: bool) -> None:
    model, _ = onnx_of(trained_of(tiny_memory_checkpoint(), tiny_memory()), fp16=fp16)
    assert [value.name for value in model.graph.input] == ["frame", "strength", "previous", "mask"]
    assert [value.name for value in model.graph.output] == ["stylized", "painted"]
    for value in model.graph.input:
        if value.name != "strength":
            assert value.type.tensor_type.elem_type == TensorProto.UINT8
            assert shape(value) == [1, "height", "width", 3]


@pytest.mark.parametrize("fp16", [False, True])
def test_the_manifest(tiny: Checkpoint, tiny_path: Path, fp16: bool) -> None:
    manifest = read_manifest(export(tiny, tiny_path, fp16=fp16))
    assert (manifest.name, manifest.title, manifest.artist, manifest.year) == (
        "tiny",
        "A Tiny Picture",
        "Nobody",
        "2026",
    )
    assert manifest.precision == ("fp16" if fp16 else "fp32")
    assert manifest.network["channels"] == [4, 6, 8]
    assert (manifest.height, manifest.width, manifest.steps) == (None, None, 7)
    assert manifest.checkpoint_sha256 == hashlib.sha256(tiny_path.read_bytes()).hexdigest()
    assert set(manifest.exporter) >= {"artmirror", "torch", "onnx"}


def test_no_path_of_this_machine_is_in_the_file(tiny: Checkpoint, tiny_path: Path) -> None:
    data = export(tiny, tiny_path, fp16=True).read_bytes()
    assert str(Path(torch.__file__).parents[1]).encode() not in data
    assert str(ROOT).encode() not in data


@pytest.mark.parametrize(("fold", "convolutions", "norms"), [(1, 10, 9), (2, 8, 7), (4, 7, 5)])
def test_fp16_is_where_it_should_be(tiny_path: Path, fold: int, convolutions: int, norms: int) -> None:
    checkpoint = make_checkpoint(NetworkConfig(channels=(4, 6, 8), blocks=2, fold=fold))
    half = onnx.load(export(checkpoint, tiny_path, fp16=True))
    inferred = onnx.shape_inference.infer_shapes(half)
    types = {value.name: value.type.tensor_type.elem_type for value in inferred.graph.value_info}
    types |= {tensor.name: tensor.data_type for tensor in half.graph.initializer}

    def types_around(operation: str, inputs: int) -> list[set[int]]:
        nodes = [node for node in half.graph.node if node.op_type == operation]
        return [{types[name] for name in (*node.input[:inputs], *node.output) if name in types} for node in nodes]

    assert types_around("Conv", 3) == [{TensorProto.FLOAT16}] * convolutions
    assert types_around("InstanceNormalization", 3) == [{TensorProto.FLOAT}] * norms
    for operation in ("Pad", "Resize", "Relu", "DepthToSpace", "Slice"):  # what else they read are sizes
        assert all(found == {TensorProto.FLOAT16} for found in types_around(operation, 1)), operation
    for operation in ("Tanh", "Transpose", "Div", "Mul", "Sub", "Round"):
        around = types_around(operation, 2)
        assert around, operation
        assert all(found == {TensorProto.FLOAT} for found in around), operation


def test_fp16_halves_the_file(tmp_path: Path) -> None:
    checkpoint = make_checkpoint(NETWORK_PRESETS["huang"])
    path = tmp_path / "huang.pt"
    path.write_bytes(b"only its checksum counts here")
    full = export(checkpoint, path, fp16=False).stat().st_size
    half = export(checkpoint, path, fp16=True).stat().st_size
    assert half < 0.6 * full  # the grain is in half precision in both
    assert full < 1_200_000


def test_every_choice_has_its_reason(tiny: Checkpoint, tiny_path: Path) -> None:
    model, none = onnx_of(trained_of(tiny, tiny_path), fp16=False)
    assert none == []
    choices = choose_precision(model.graph)
    by_operation = {choice.op_type: choice for choice in choices}
    assert by_operation["Conv"].precision == by_operation["Pad"].precision == "fp16"
    assert by_operation["InstanceNormalization"].precision == by_operation["Tanh"].precision == "fp32"
    assert all(choice.reason for choice in choices)
    told = {choice.node for choice in choices}
    inferred = onnx.shape_inference.infer_shapes(model)
    floats = {
        value.name for value in inferred.graph.value_info if value.type.tensor_type.elem_type == TensorProto.FLOAT
    }
    assert told == {node.name for node in model.graph.node if node.op_type != "Cast" and floats & {*node.output}}


@pytest.mark.parametrize("fp16", [False, True])
@pytest.mark.parametrize(
    "config",
    [
        NetworkConfig(channels=(4, 6, 8), blocks=1),
        NetworkConfig(channels=(4, 6, 8), blocks=1, upsampling="deconv", padding="zeros"),
        NetworkConfig(channels=(4, 6, 8), blocks=1, norm="batch", padding="replicate", end_kernel=9),
        NetworkConfig(channels=(4, 6, 8), blocks=1, padding="replicate", fold=2),
        NetworkConfig(
            channels=(4, 6, 8), blocks=1, padding="replicate", fold=2, block_conv="separable", block_padding="zeros"
        ),
        NetworkConfig(channels=(4, 6, 8), blocks=1, padding="replicate", fold=4),
        NetworkConfig(channels=(4, 6, 8), blocks=1, memory=True),
        NetworkConfig(channels=(4, 6, 8), blocks=1, padding="replicate", fold=2, memory=True),
        NetworkConfig(channels=(4, 6, 8), blocks=1, padding="replicate", fold=4, memory=True),
    ],
    ids=[
        "huang",
        "deconv-zeros",
        "batch-replicate-9",
        "fold-2",
        "separable",
        "fold-4",
        "memory",
        "memory-2",
        "memory-4",
    ],
)
def test_parity_on_real_pictures(tmp_path: Path, config: NetworkConfig, fp16: bool) -> None:
    checkpoint = make_checkpoint(config)
    path = tmp_path / "x.pt"
    path.write_bytes(b"")
    output = export(checkpoint, path, fp16=fp16)
    precision = "fp16" if fp16 else "fp32"
    results = check_parity(VideoFilter(checkpoint.stylizer()), output, read_pictures(own_pictures())[:1], precision)
    assert {result.engine.split()[0] for result in results} == {"onnxruntime", "openvino"}
    assert all(result.passed for result in results), results


def test_parity_notices_another_network(tiny: Checkpoint, tiny_path: Path) -> None:
    output = export(tiny, tiny_path, fp16=False)
    other = tiny.stylizer()
    with torch.no_grad():
        other.head.bias += 0.5
    results = check_parity(VideoFilter(other), output, read_pictures(own_pictures())[:1], "fp32")
    assert not any(result.passed for result in results)


def test_the_exported_module_is_the_network_in_bgr(tiny: Checkpoint) -> None:
    stylizer = tiny.stylizer()
    bgr = np.random.default_rng(0).integers(0, 256, (1, 70, 81, 3), np.uint8)
    rgb = torch.from_numpy(bgr[..., ::-1].copy()).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        expected = (stylizer(rgb) * 255).round().byte().permute(0, 2, 3, 1).numpy()[..., ::-1]
        found = VideoFilter(stylizer)(torch.from_numpy(bgr), torch.ones(1)).numpy()
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_pictures_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(ArtmirrorError, match="a folder of pictures"):
        read_pictures(tmp_path)
    (tmp_path / "bad.png").write_bytes(b"not a picture")
    with pytest.raises(ArtmirrorError, match=r"bad\.png"):
        read_pictures(tmp_path)


def test_a_folder_that_is_not_there(tiny: Checkpoint, tiny_path: Path, tmp_path: Path) -> None:
    model, _ = onnx_of(trained_of(tiny, tiny_path), fp16=False)
    with pytest.raises(ArtmirrorError, match="cannot write"):
        save_onnx(model, tmp_path / "absent" / "x.onnx")
