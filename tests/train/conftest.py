"""Little photos, a painting and a random VGG-19, made once for all tests of training."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn

from artmirror.train.checkpoint import Checkpoint, StyleInfo
from artmirror.train.config import NetworkConfig, TrainConfig
from artmirror.train.networks.stylizer import Stylizer
from artmirror.train.objective.vgg import VggFeatures

TINY = NetworkConfig(channels=(4, 6, 8), blocks=1)


def smooth_picture(size: tuple[int, int], seed: int) -> NDArray[np.uint8]:
    """Return a (H, W, 3) uint8 picture of soft blots: interpolation does it little harm."""
    knots = np.random.default_rng(seed).uniform(40, 215, (6, 6, 3)).astype(np.float32)
    return cv2.resize(knots, size[::-1], interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of five photos, wide, tall and small, one of them in a folder below."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "below").mkdir()
    sizes = {"a.png": (96, 128), "b.png": (128, 96), "c.jpg": (80, 80), "d.JPG": (40, 60), "below/e.png": (110, 90)}
    for seed, (name, size) in enumerate(sizes.items()):
        assert cv2.imwrite(str(folder / name), smooth_picture(size, seed))
    return folder


@pytest.fixture(scope="session")
def painting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a picture file of stripes and blots."""
    picture = smooth_picture((80, 100), 99)
    picture[::8] = 255 - picture[::8]
    path = tmp_path_factory.mktemp("painting") / "stripes.png"
    assert cv2.imwrite(str(path), picture)
    return path


@pytest.fixture(scope="session")
def random_vgg() -> VggFeatures:
    """Return VGG-19 with random weights of a useful size; tests must not change it."""
    torch.manual_seed(7)
    features = VggFeatures("torchvision")
    for layer in features.layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            assert layer.bias is not None
            nn.init.uniform_(layer.bias, -0.1, 0.1)
    return features


@pytest.fixture(scope="session")
def vgg_file(random_vgg: VggFeatures, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a `.safetensors` file of the random VGG-19, half precision like the real one."""
    path = tmp_path_factory.mktemp("vgg") / "random.safetensors"
    save_file({key: value.half() for key, value in random_vgg.layers.state_dict().items()}, path)
    return path


@pytest.fixture
def make_config(photos: Path, painting: Path, vgg_file: Path) -> Callable[..., TrainConfig]:
    """Return a maker of configurations of small, quick runs."""

    def make(**changes: object) -> TrainConfig:
        values: dict[str, object] = {
            "painting_path": str(painting),
            "photos_path": str(photos),
            "vgg_path": str(vgg_file),
            "network": TINY,
            "steps": 6,
            "pairs": 2,
            "crop": 64,
            "painting_size": 64,
            "precision": "fp32",
        }
        return TrainConfig(**{**values, **changes})  # type: ignore[arg-type]

    return make


@pytest.fixture
def checkpoint() -> Checkpoint:
    """Return the checkpoint of an untrained tiny network."""
    torch.manual_seed(3)
    style = StyleInfo("starry", "The Starry Night", "Vincent van Gogh", "1889")
    return Checkpoint(
        style, "huang", TINY, Stylizer(TINY).state_dict(), {"steps": 6, "vgg_path": None}, 6, {"total": 1.5}
    )
