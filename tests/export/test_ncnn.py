"""Checkpoints as ncnn's two files: what PyTorch paints at any size, and what is refused."""

import dataclasses
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from artmirror.export import parity
from artmirror.export.parity import check_parity
from artmirror.export.to_ncnn import write_ncnn_of
from artmirror.export.trained import load_trained, trained_of
from artmirror.export.video_filter import VideoFilter
from artmirror.runtime.formats.ncnn import read_ncnn_manifest
from artmirror.train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from artmirror.train.config import NetworkConfig
from artmirror.train.many import ManyConfig, ManyModel, save_many
from artmirror.train.networks.many_style import CODE_LENGTH
from artmirror.train.networks.picture_encoder import PictureEncoder, PictureEncoderSize
from tests.export.conftest import make_checkpoint
from tests.export.test_export_cli import run
from tests.fakes.tiny_many import styles

SMALL = NetworkConfig(channels=(4, 6, 8), blocks=1)
NAMES = ["tiny.ncnn.bin", "tiny.ncnn.param"]


def pictures(*sizes: tuple[int, int]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    found = []
    for height, width in sizes:
        coarse = rng.integers(0, 256, (height // 16 + 1, width // 16 + 1, 3), np.uint8)
        found.append(np.kron(coarse, np.ones((16, 16, 1), np.uint8))[:height, :width])
    return found


def convert(checkpoint: Checkpoint, folder: Path, *, fp16: bool = False) -> Path:
    save_checkpoint(folder / "tiny.pt", checkpoint)
    write_ncnn_of(trained_of(checkpoint, folder / "tiny.pt"), folder / "tiny.ncnn.param", fp16=fp16)
    return folder / "tiny.ncnn.param"


@pytest.mark.parametrize(
    "changes",
    [
        {"grain": 0.05},  # strong enough to tell
        {"grain": 0.0, "padding": "replicate", "norm": "batch", "upsampling": "deconv"},
        {"padding": "zeros", "output": "linear", "end_kernel": 5},
        {"padding": "replicate", "block_conv": "separable"},
    ],
)
def test_parity_at_any_size(changes: dict[str, object], tmp_path: Path) -> None:
    checkpoint = make_checkpoint(dataclasses.replace(SMALL, **changes))
    path = convert(checkpoint, tmp_path)
    results = check_parity(VideoFilter(checkpoint.stylizer()), path, pictures((64, 64), (321, 215)), "fp32")
    assert results[0].engine == "ncnn cpu fp32"
    assert results[0].psnr_db > 60
    assert all(result.passed for result in results), results


def test_grain_is_in_the_files(tmp_path: Path) -> None:
    checkpoint = make_checkpoint(dataclasses.replace(SMALL, grain=0.05))
    path = convert(checkpoint, tmp_path)
    plain = dataclasses.replace(checkpoint, network=dataclasses.replace(checkpoint.network, grain=0.0))
    results = check_parity(VideoFilter(plain.stylizer()), path, pictures((300, 270)), "fp32")
    assert results[0].psnr_db < 40


def test_fp16_weights(tmp_path: Path) -> None:
    checkpoint = make_checkpoint(SMALL)
    full = convert(checkpoint, tmp_path).with_suffix(".bin").stat().st_size
    path = convert(checkpoint, tmp_path, fp16=True)
    assert path.with_suffix(".bin").stat().st_size < full
    assert read_ncnn_manifest(path).precision == "fp16"
    results = check_parity(VideoFilter(checkpoint.stylizer()), path, pictures((65, 98)), "fp16")
    assert all(result.passed for result in results), results


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small picture: llvmpipe takes its time."""
    path = tmp_path_factory.mktemp("pictures")
    cv2.imwrite(str(path / "a.png"), pictures((64, 66))[0])
    return path


def test_export_checks_and_names_the_next_step(tiny_path: Path, folder: Path) -> None:
    code, out, err = run("--ncnn", "--pictures", folder, tiny_path)
    assert code == 0, err
    output = tiny_path.with_suffix(".ncnn.param")
    manifest = read_ncnn_manifest(output)
    assert (manifest.title, manifest.precision, manifest.steps) == ("A Tiny Picture", "fp32", 7)
    assert set(manifest.exporter) == {"artmirror", "torch", "pnnx"}
    assert manifest.network["channels"] == list(load_checkpoint(tiny_path).network.channels)
    assert "ncnn cpu fp32" in out
    assert f"st-run --engine {output}" in out
    assert sorted(path.name for path in tiny_path.parent.iterdir()) == [*NAMES, "tiny.pt"]
    code, out, err = run("inspect", output)
    assert code == 0, err
    assert "A Tiny Picture" in out
    assert "InstanceNormalization" in out


@pytest.mark.parametrize("changes", [{"grain": 0.05}, {"padding": "replicate", "fold": 2, "block_padding": "zeros"}])
def test_a_memory_goes_along(changes: dict[str, object], tmp_path: Path) -> None:
    checkpoint = make_checkpoint(dataclasses.replace(SMALL, memory=True, **changes))
    path = convert(checkpoint, tmp_path)
    assert read_ncnn_manifest(path, (65, 98)).has_memory
    results = check_parity(VideoFilter(checkpoint.stylizer()), path, pictures((64, 64), (321, 215)), "fp32")
    assert results[0].psnr_db > 60
    assert all(result.passed for result in results), results


def test_a_memory_goes_along_with_many_paintings(tmp_path: Path) -> None:
    network = NetworkConfig(channels=(4, 6, 8), blocks=1, block_padding="zeros", memory=True)
    torch.manual_seed(0)
    model = ManyModel(network, PictureEncoder(PictureEncoderSize(24, CODE_LENGTH)))
    with torch.no_grad():
        model.network.affine.weight *= 4
        model.network.body.memory.entering().weight.normal_(0, 0.3)
    path = tmp_path / "any.pt"
    save_many(path, model.eval(), ManyConfig("paintings", "photos", network=network).to_portable_dict(), 3)
    trained = load_trained(path)
    write_ncnn_of(trained, tmp_path / "any.ncnn.param", fp16=False)
    shown, given = pictures((64, 64), (121, 95)), styles(2)
    results = check_parity(VideoFilter(trained.painter), tmp_path / "any.ncnn.param", shown, "fp32", given)
    assert results[0].psnr_db > 60
    assert all(result.passed for result in results), results


def test_files_that_differ_are_not_kept(tiny_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(parity.PSNR_FLOOR_DB, "fp32", 1000.0)
    code, _, err = run("--ncnn", "--pictures", folder, tiny_path)
    assert code == 1
    assert "wanted at least 1000 dB" in err
    assert [path.name for path in tiny_path.parent.iterdir()] == ["tiny.pt"]


def test_user_mistakes_are_one_line(tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments, code, words in [
        ((tmp_path / "absent.pt",), 1, "does not exist"),
        ((tiny_path, "-o", tmp_path / "x.onnx"), 2, "ends in .ncnn.param"),
        ((tiny_path, "--plan"), 2, "without --plan"),
        ((tmp_path / "x.onnx",), 2, "goes with a checkpoint"),
        ((tiny_path, "--no-parity", "-o", tmp_path / "no" / "x.ncnn.param"), 1, "cannot write"),
    ]:
        found, _, err = run("--ncnn", *arguments)
        assert found == code, (arguments, err)
        assert words in err
        assert "Traceback" not in err
    monkeypatch.setitem(sys.modules, "pnnx", None)
    monkeypatch.delitem(sys.modules, "artmirror.export.to_ncnn")
    code, _, err = run("--ncnn", tiny_path)
    assert code == 1
    assert "package pnnx; install it with pip install 'artmirror[export-ncnn]'" in err
