"""Training pairs, and photos as such: a photo and its twin, moved by a random smooth warp whose flow is exact."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.flow import inside
from artmirror.train.config import TrainConfig
from artmirror.train.motion import random_flow

PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}


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


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Read a picture of any kind as (H, W, 3) uint8 RGB.

    Raises:
        ArtmirrorError: the file is missing or no picture.
    """
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise ArtmirrorError(f"cannot read {path}: {error.strerror}; name a picture file") from None
    return decode_picture(data, str(path))


def decode_picture(data: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """Decode the bytes of a picture file to (H, W, 3) uint8 RGB; `name` is for the error.

    Raises:
        ArtmirrorError: they are no picture.
    """
    try:
        bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except cv2.error:  # as for a size beyond OpenCV's limit
        bgr = None
    if bgr is None:
        raise ArtmirrorError(f"{name} is not a picture; wanted JPEG, PNG, WebP, BMP or TIFF")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def read_painting(path: Path, short_side: int) -> Tensor:
    """Read the painting at a given short side: (1, 3, h, w) float32 RGB in [0, 1].

    Raises:
        ArtmirrorError: the file is missing or no picture.
    """
    rgb = resized(read_picture(path), short_side)
    return to_tensor(rgb)[None]


def to_tensor(rgb: NDArray[np.uint8]) -> Tensor:  # (H, W, 3) uint8 RGB
    """Return (3, H, W) float32 RGB in [0, 1]."""
    return torch.from_numpy(rgb).permute(2, 0, 1).float().div(255).contiguous()


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


class MovedPhotos(PairStream):
    """Photos and their twins, moved by a random smooth warp.

    Raises:
        ArtmirrorError: the folder does not exist or holds no photos.
    """

    def __init__(self, folder: Path, config: TrainConfig) -> None:
        super().__init__(config)
        if not folder.is_dir():
            raise ArtmirrorError(f"content folder {folder} does not exist; name a folder of photos with --content")
        self.paths = sorted(
            path
            for path in folder.rglob("*")
            # Hidden ones are no photos: macOS lays "._photo.jpg" beside "photo.jpg" on foreign disks.
            if path.suffix.lower() in PHOTO_SUFFIXES and not path.name.startswith(".") and path.is_file()
        )
        if not self.paths:
            raise ArtmirrorError(f"{folder} holds no photos; wanted {', '.join(sorted(PHOTO_SUFFIXES))}")

    def __getitem__(self, index: int) -> Pair:
        rng = np.random.default_rng((self.config.seed, index))
        # Every epoch is a shuffle of its own, so that each photo is seen once before any is seen twice.
        epoch, place = divmod(index, len(self.paths))
        order = np.random.default_rng((self.config.seed, 1 << 32, epoch)).permutation(len(self.paths))
        path = self.paths[order[place]]
        try:
            return self._pair(read_picture(path), rng)
        except cv2.error:
            raise ArtmirrorError(
                f"{path} cannot be cropped; is it a very long strip? Take it out of the folder"
            ) from None

    def calibration_photos(self, count: int = 16) -> Tensor:
        step = max(1, len(self.paths) // count)
        return torch.stack(
            [to_tensor(middle(read_picture(path), self.config.crop)) for path in self.paths[::step][:count]]
        )

    def _pair(self, rgb: NDArray[np.uint8], rng: np.random.Generator) -> Pair:
        side = self.config.crop
        # Scale so that the crop takes between all and two thirds of the short side, then mirror half of them.
        rgb = resized(rgb, round(side * rng.uniform(1.0, 1.5)))
        if rng.random() < 0.5:
            rgb = np.ascontiguousarray(rgb[:, ::-1])
        top = rng.uniform(0, rgb.shape[0] - side)
        left = rng.uniform(0, rgb.shape[1] - side)
        y, x = np.mgrid[:side, :side].astype(np.float32)
        x += np.float32(left)
        y += np.float32(top)
        flow = random_flow(side, self.config.motion, rng)
        # The second frame is the plain crop. The first is what the flow finds in the photo, so that
        # first(x) = second(x + flow(x)) holds exactly and the flow needs no inversion.
        second = _sample(rgb, x, y)
        first = _sample(rgb, x + flow[..., 0], y + flow[..., 1])
        return make_pair(first, second, flow, inside(flow), self.config.motion.noise_std, rng)


def _sample(rgb: NDArray[np.uint8], x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.uint8]:
    sampled = cv2.remap(rgb, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(sampled, np.uint8)
