"""A tiny network for many paintings with its encoder: checkpoint, ONNX and ncnn's files, made once for all tests."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from artmirror.export.to_ncnn import write_ncnn_of
from artmirror.export.to_onnx import encoder_of, onnx_of, save_onnx
from artmirror.export.trained import load_trained
from artmirror.runtime.common.style_file import StyleFile, Vector, save_style, stored
from artmirror.train.config import NetworkConfig
from artmirror.train.many import ManyConfig, ManyModel, save_many
from artmirror.train.networks.many_style import CODE_LENGTH
from artmirror.train.networks.picture_encoder import PictureEncoder, PictureEncoderSize

CONFIG = NetworkConfig(channels=(4, 6, 8), blocks=1, block_padding="zeros")
_folder = TemporaryDirectory(prefix="tiny_many")


def tiny_model() -> ManyModel:
    """Random weights, with codes that make a difference."""
    torch.manual_seed(0)
    model = ManyModel(CONFIG, PictureEncoder(PictureEncoderSize(24, CODE_LENGTH)))
    with torch.no_grad():
        model.network.affine.weight *= 4
        *_, last = (layer for layer in model.network.body.head.modules() if isinstance(layer, torch.nn.Conv2d))
        last.weight *= 2
    return model.eval()


@cache
def tiny_many() -> Path:
    """The checkpoint, beside it any.onnx, any-encoder.onnx and any.ncnn.param; tests leave them alone."""
    folder = Path(_folder.name)
    path = folder / "any.pt"
    save_many(path, tiny_model(), ManyConfig("paintings", "photos", network=CONFIG).to_portable_dict(), 3)
    trained = load_trained(path)
    save_onnx(onnx_of(trained, fp16=False)[0], folder / "any.onnx")
    save_onnx(encoder_of(trained), folder / "any-encoder.onnx")
    write_ncnn_of(trained, folder / "any.ncnn.param", fp16=False)
    return path


def styles(count: int) -> list[Vector]:
    """Some styles of this network, the last with scales and shifts of its own."""
    rng = np.random.default_rng(1)
    length = tiny_model().network.style_length
    found = []
    for _ in range(count):
        vector = np.zeros(length, np.float32)
        vector[:CODE_LENGTH] = rng.uniform(-1, 1, CODE_LENGTH)
        found.append(vector)
    found[-1][CODE_LENGTH:] = rng.normal(0, 0.2, length - CODE_LENGTH)
    return found


def write_style(path: Path, vector: Vector, title: str = "") -> Path:
    """A style file of a vector for `tiny_many`."""
    trained = load_trained(tiny_many())
    assert trained.style is not None
    code, changes = vector[:CODE_LENGTH], vector[CODE_LENGTH:]
    tuned = {trained.sha256: stored(changes)} if changes.any() else {}
    save_style(path, StyleFile(path.stem, title, "Nobody", "2026", trained.style.code_space, stored(code), tuned))
    return path
