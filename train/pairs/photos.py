"""Pairs from photos: a photo and its twin, moved by a random smooth warp whose flow is exact."""

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.flow import inside
from artmirror.runtime.common.suffixes import PICTURE_SUFFIXES
from artmirror.train.config import TrainConfig
from artmirror.train.pairs.base import Pair, PairStream, make_pair, middle, read_rgb, resized, to_tensor
from artmirror.train.pairs.random_flow import random_flow


class MovedPhotos(PairStream):
    """Photos and their twins, moved by a random smooth warp.

    Raises:
        ArtmirrorError: the folder does not exist or holds no photos.
    """

    def __init__(self, folder: Path, config: TrainConfig) -> None:
        super().__init__(config)
        if not folder.is_dir():
            raise ArtmirrorError(f"folder of photos {folder} does not exist; name one with --photos")
        self.paths = sorted(
            path
            for path in folder.rglob("*")
            # Hidden ones are no photos: macOS lays "._photo.jpg" beside "photo.jpg" on foreign disks.
            if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".") and path.is_file()
        )
        if not self.paths:
            raise ArtmirrorError(f"{folder} holds no photos; wanted {', '.join(sorted(PICTURE_SUFFIXES))}")

    def __getitem__(self, index: int) -> Pair:
        rng = np.random.default_rng((self.config.seed, index))
        # Every epoch is a shuffle of its own, so that each photo is seen once before any is seen twice.
        epoch, place = divmod(index, len(self.paths))
        order = np.random.default_rng((self.config.seed, 1 << 32, epoch)).permutation(len(self.paths))
        path = self.paths[order[place]]
        try:
            return self._pair(read_rgb(path), rng)
        except cv2.error:
            raise ArtmirrorError(
                f"{path} cannot be cropped; is it a very long strip? Take it out of the folder"
            ) from None

    def calibration_photos(self, count: int = 16) -> Tensor:
        step = max(1, len(self.paths) // count)
        return torch.stack([to_tensor(middle(read_rgb(path), self.config.crop)) for path in self.paths[::step][:count]])

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
