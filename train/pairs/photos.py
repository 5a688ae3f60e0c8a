"""Pairs from photos: a photo and its twin, moved by a random smooth warp whose flow is exact."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.flow import inside
from artmirror.runtime.common.pictures import is_picture
from artmirror.runtime.common.suffixes import PICTURE_SUFFIXES
from artmirror.train.config import TrainConfig
from artmirror.train.pairs.base import Pair, PairStream, make_pair, middle, read_rgb, resized, to_tensor
from artmirror.train.pairs.random_flow import random_flow

_log = logging.getLogger("artmirror.train")


class MovedPhotos(PairStream):
    """Photos and their twins, moved by a random smooth warp.

    Raises:
        ArtmirrorError: the folder does not exist or holds no photos.
    """

    def __init__(self, folder: Path, config: TrainConfig) -> None:
        super().__init__(config)
        if not folder.is_dir():
            raise ArtmirrorError(f"folder of photos {folder} does not exist; name one with --photos")
        self.photos = Photos(sorted(path for path in folder.rglob("*") if is_picture(path)))
        if not self.photos.paths:
            raise ArtmirrorError(f"{folder} holds no photos; wanted {', '.join(sorted(PICTURE_SUFFIXES))}")

    def __getitem__(self, index: int) -> Pair:
        rng = np.random.default_rng((self.config.seed, index))
        # Every epoch is a shuffle of its own, so that each photo is seen once before any is seen twice.
        epoch, place = divmod(index, len(self.photos))
        order = np.random.default_rng((self.config.seed, 1 << 32, epoch)).permutation(len(self.photos))
        # The crop takes between all and two thirds of the short side.
        side, motion = self.config.crop, self.config.motion
        twins = moved_crop(self.photos, int(order[place]), side, 1.5, lambda: random_flow(side, motion, rng), rng)
        return make_pair(*twins, inside(twins.flow), motion.noise_std, rng)

    def calibration_photos(self, count: int = 16) -> Tensor:
        places = range(0, len(self.photos), max(1, len(self.photos) // count))[:count]
        return torch.stack([to_tensor(middle(self.photos.read(place)[1], self.config.crop)) for place in places])


class Photos:
    """A folder's photos, by their places; one that is damaged is told once, and the next one stands for it.

    So pair `i` depends on the files and `i` alone, and a run that is resumed sees the same.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)
        self._damaged: dict[int, Path] = {}

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, place: int) -> tuple[Path, NDArray[np.uint8]]:
        """The photo at a place, or the next one that can be read: its path, and (H, W, 3) uint8 RGB.

        Raises:
            ArtmirrorError: more than one in a hundred is damaged.
        """
        for step in range(len(self.paths)):
            at = (place + step) % len(self.paths)
            if at in self._damaged:
                continue
            try:
                return self.paths[at], read_rgb(self.paths[at])
            except ArtmirrorError as error:
                self._damaged[at] = self.paths[at]
                if len(self._damaged) == len(self.paths):
                    raise
                if len(self._damaged) > max(1, len(self.paths) // 100):
                    names = ", ".join(path.name for path in list(self._damaged.values())[:5])
                    raise ArtmirrorError(
                        f"{len(self._damaged)} of {len(self.paths)} photos cannot be read ({names}, ...); "
                        f"take them out of the folder. The last one: {error.message}"
                    ) from None
                _log.warning("%s; the next photo is taken in its place", error.message)
        raise AssertionError("the last photo that cannot be read has raised")


class MovedCrop(NamedTuple):
    """A square of a photo, and its twin: first(x) = second(x + flow(x)) holds exactly."""

    first: NDArray[np.uint8]  # (S, S, 3) RGB
    second: NDArray[np.uint8]  # (S, S, 3) RGB
    flow: NDArray[np.float32]  # (S, S, 2) pixels


def moved_crop(
    photos: Photos,
    place: int,
    side: int,
    most: float,
    draw_flow: Callable[[], NDArray[np.float32]],
    rng: np.random.Generator,
) -> MovedCrop:
    """Cut a random square, mirrored half of the time, out of a photo, and move it.

    Args:
        most: The short side is scaled to between 1 and so many times `side`.
        draw_flow: Called once, after the square was drawn.

    Raises:
        ArtmirrorError: too many photos cannot be read, or this one cannot be cropped.
    """
    path, rgb = photos.read(place)
    try:
        rgb = resized(rgb, round(side * rng.uniform(1.0, most)))
        if rng.random() < 0.5:
            rgb = np.ascontiguousarray(rgb[:, ::-1])
        top = rng.uniform(0, rgb.shape[0] - side)
        left = rng.uniform(0, rgb.shape[1] - side)
        y, x = np.mgrid[:side, :side].astype(np.float32)
        x += np.float32(left)
        y += np.float32(top)
        flow = draw_flow()
        # The second frame is the plain crop. The first is what the flow finds in the photo, so that the flow needs no
        # inversion.
        second = _sample(rgb, x, y)
        return MovedCrop(_sample(rgb, x + flow[..., 0], y + flow[..., 1]), second, flow)
    except cv2.error:
        raise ArtmirrorError(f"{path} cannot be cropped; is it a very long strip? Take it out of the folder") from None


def _sample(rgb: NDArray[np.uint8], x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.uint8]:
    sampled = cv2.remap(rgb, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(sampled, np.uint8)
