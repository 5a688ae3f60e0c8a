"""What every kind of pairs has in common: a pair, a stream of them, and pictures as tensors."""

from abc import ABC, abstractmethod
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from artmirror.runtime.common.pictures import decode_picture, read_picture
from artmirror.train.config import TrainConfig


class Pair(NamedTuple):
    """Two frames of one scene; batched by the loader along a leading B."""

    first: Tensor  # (3, S, S) float32 RGB in [0, 1]
    second: Tensor  # (3, S, S) float32 RGB in [0, 1]
    flow: Tensor  # (2, S, S) float32 pixels, from first to second
    visible: Tensor  # (1, S, S) float32, 1 where the flow is trusted and stays within the second frame


class PairStream(Dataset[Pair], ABC):
    """An endless, stateless stream of pairs: pair `i` depends on the configuration, the material and `i` alone.

    So a run that is resumed at step s sees what the unbroken run would have seen, whatever the number of workers.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config

    def __len__(self) -> int:
        return self.config.steps * self.config.pairs

    @abstractmethod
    def __getitem__(self, index: int) -> Pair: ...

    @abstractmethod
    def calibration_photos(self, count: int = 16) -> Tensor:
        """Some pictures as (count, 3, S, S) float32 RGB in [0, 1], the same for every seed."""


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Read a picture of any kind as (H, W, 3) uint8 RGB.

    Raises:
        ArtmirrorError: the file is missing or no picture.
    """
    return np.asarray(cv2.cvtColor(read_picture(path), cv2.COLOR_BGR2RGB), np.uint8)


def decode_rgb(data: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """Decode the bytes of a picture file to (H, W, 3) uint8 RGB; `name` is for the error.

    Raises:
        ArtmirrorError: they are no picture.
    """
    return np.asarray(cv2.cvtColor(decode_picture(data, name), cv2.COLOR_BGR2RGB), np.uint8)


def read_painting(path: Path, short_side: int) -> Tensor:
    """Read the painting at a given short side: (1, 3, h, w) float32 RGB in [0, 1].

    Raises:
        ArtmirrorError: the file is missing or no picture.
    """
    rgb = resized(read_rgb(path), short_side)
    return to_tensor(rgb)[None]


def to_tensor(rgb: NDArray[np.uint8]) -> Tensor:  # (H, W, 3) uint8 RGB
    """Return (3, H, W) float32 RGB in [0, 1]."""
    return torch.from_numpy(rgb).permute(2, 0, 1).float().div(255).contiguous()


def to_bgr(picture: Tensor) -> NDArray[np.uint8]:
    """(1, 3, H, W) float RGB, about in [0, 1], as (H, W, 3) uint8 BGR on the processor."""
    rgb = (picture[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return np.ascontiguousarray(rgb[..., ::-1])


def make_pair(
    first: NDArray[np.uint8],  # (S, S, 3) RGB
    second: NDArray[np.uint8],  # (S, S, 3) RGB
    flow: NDArray[np.float32],  # (S, S, 2) pixels
    visible: NDArray[np.bool_],  # (S, S)
    noise_std: float,
    rng: np.random.Generator,
) -> Pair:
    """Put Gaussian noise on the second frame and make tensors of all."""
    noise = rng.normal(0, noise_std, second.shape).astype(np.float32)
    return Pair(
        first=to_tensor(first),
        second=(to_tensor(second) + torch.from_numpy(noise).permute(2, 0, 1)).clamp(0, 1),
        flow=torch.from_numpy(flow).permute(2, 0, 1).contiguous(),
        visible=torch.from_numpy(visible)[None].float(),
    )


def own_pictures() -> Path:
    """Folder of the three photos that come with the package."""
    return Path(str(files("artmirror.train"))) / "pictures"


def resized(rgb: NDArray[np.uint8], short_side: int) -> NDArray[np.uint8]:
    """Scale a picture so that its shorter side has `short_side` pixels."""
    height, width = rgb.shape[:2]
    scale = short_side / min(height, width)
    size = (max(short_side, round(width * scale)), max(short_side, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(rgb, size, interpolation=method), np.uint8)


def middle(rgb: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The largest square in the middle of a picture, at (side, side, 3)."""
    rgb = resized(rgb, side)
    top, left = (rgb.shape[0] - side) // 2, (rgb.shape[1] - side) // 2
    return rgb[top : top + side, left : left + side]
