"""A small network with random weights, saved as a checkpoint."""

from pathlib import Path

import pytest
import torch

from artmirror.train.checkpoint import Checkpoint, StyleInfo, save_checkpoint
from artmirror.train.config import NetworkConfig
from artmirror.train.networks.stylizer import Stylizer


def make_checkpoint(config: NetworkConfig) -> Checkpoint:
    torch.manual_seed(0)
    network = Stylizer(config)
    with torch.no_grad():  # instance norms that do something, and outputs that use the whole range
        for name, parameter in network.named_parameters():
            if "norm" in name or name == "stem.1.weight":
                parameter += 0.3 * torch.randn_like(parameter)
        *_, last = (layer for layer in network.head.modules() if isinstance(layer, torch.nn.Conv2d))
        last.weight *= 3
        if config.memory:
            network.memory.entering().weight.normal_(0, 0.3)
    return Checkpoint(
        style=StyleInfo("tiny", "A Tiny Picture", "Nobody", "2026"),
        preset="huang",
        network=config,
        weights=network.state_dict(),
        training={"steps": 1},
        step=7,
        losses={"total": 1.0},
    )


@pytest.fixture
def tiny() -> Checkpoint:
    return make_checkpoint(NetworkConfig(channels=(4, 6, 8), blocks=2))


@pytest.fixture
def tiny_path(tiny: Checkpoint, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.pt"
    save_checkpoint(path, tiny)
    return path
