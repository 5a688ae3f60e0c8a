"""A tiny network with a memory, exported once for all tests: as ONNX, and where asked for as ncnn's files."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from artmirror.export.to_onnx import onnx_of, save_onnx
from artmirror.export.trained import trained_of
from artmirror.train.checkpoint import Checkpoint, StyleInfo, save_checkpoint
from artmirror.train.config import NetworkConfig
from artmirror.train.networks.stylizer import Stylizer

CONFIG = NetworkConfig(channels=(4, 6, 8), blocks=1, memory=True)
_folder = TemporaryDirectory(prefix="tiny_memory")


def tiny_memory_checkpoint() -> Checkpoint:
    """Random weights; what it remembers makes a difference, and much of it is kept."""
    torch.manual_seed(0)
    network = Stylizer(CONFIG)
    with torch.no_grad():
        network.last_conv().weight *= 2
        network.memory.entering().weight.normal_(0, 0.03)
    style = StyleInfo("tiny", "A Tiny Picture", "Nobody", "2026")
    return Checkpoint(style, "huang", CONFIG, network.state_dict(), {"steps": 1}, 7, {"total": 1.0})


@cache
def tiny_memory() -> Path:
    """The checkpoint, beside it tiny.onnx; tests leave them alone."""
    path = Path(_folder.name) / "tiny.pt"
    checkpoint = tiny_memory_checkpoint()
    save_checkpoint(path, checkpoint)
    save_onnx(onnx_of(trained_of(checkpoint, path), fp16=False)[0], path.with_suffix(".onnx"))
    return path


@cache
def tiny_memory_ncnn() -> Path:
    """The same as ncnn's two files: the path of the first."""
    from artmirror.export.to_ncnn import write_ncnn_of

    path = tiny_memory().with_suffix(".ncnn.param")
    write_ncnn_of(trained_of(tiny_memory_checkpoint(), tiny_memory()), path, fp16=False)
    return path
