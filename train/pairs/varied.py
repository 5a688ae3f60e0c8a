"""Pairs for the many-painting network: crops of several sizes, and the noise and light of real cameras."""

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from artmirror.runtime.common.flow import inside
from artmirror.runtime.common.pictures import picture_paths
from artmirror.train.config import MotionConfig
from artmirror.train.pairs.base import Pair, to_tensor
from artmirror.train.pairs.photos import Photos, moved_crop
from artmirror.train.pairs.random_flow import random_flow
from artmirror.train.pairs.sequences import FrameSequence, moved_sequence

# Sides of the frames, pixels, and how many pairs a step then has: about the same work.
SIZES = ((128, 4), (160, 3), (192, 2), (224, 2), (256, 1))
_EARLY, _LATE = (0.15, 0.25, 0.3, 0.15, 0.15), (0.1, 0.2, 0.25, 0.2, 0.25)
_SEQUENCES = (0.2, 0.2, 0.4, 0.0, 0.2)  # sizes that are multiples of four whole quarters, and not too many at once
_MOTION = MotionConfig(noise_std=0.03)  # of sequences
_STILL = 0.35  # of the pairs: only noise and light differ, as before a camera that stands


class VariedPairs:
    """Steps of pairs; step `i` depends on the photos, the seed and `i` alone.

    Raises:
        ArtmirrorError: the folder holds no photos.
    """

    def __init__(self, folder: Path, seed: int, late_from: int) -> None:
        self.photos = Photos(picture_paths(folder, below=True))
        self._seed, self._late_from = seed, late_from

    def step(self, index: int) -> Pair:
        """The pairs of a step, batched along a leading B.

        Raises:
            ArtmirrorError: a photo cannot be read or cropped.
        """
        rng = np.random.default_rng((self._seed, index))
        side, count = SIZES[rng.choice(len(SIZES), p=_LATE if index >= self._late_from else _EARLY)]
        return self._pairs(side, count, rng)

    def sequences(self, index: int, lead: int = 6, count: int = 3) -> FrameSequence:
        """As `step`, sequences for networks with a memory: `lead` frames, and `count` that are learned from."""
        rng = np.random.default_rng((self._seed, index))
        side, batch = SIZES[rng.choice(len(SIZES), p=_SEQUENCES)]
        made = [moved_sequence(self.photos, side, (lead, count), _MOTION, rng) for _ in range(max(1, batch // 2))]
        return FrameSequence(*(torch.stack(tensors) for tensors in zip(*made, strict=True)))

    def of_one_size(self, index: int, side: int, count: int) -> Pair:
        """As `step`, with so many pairs of (3, side, side)."""
        return self._pairs(side, count, np.random.default_rng((self._seed, index)))

    def _pairs(self, side: int, count: int, rng: np.random.Generator) -> Pair:
        pairs = [self._pair(int(rng.integers(len(self.photos))), side, rng) for _ in range(count)]
        return Pair(*(torch.stack(tensors) for tensors in zip(*pairs, strict=True)))

    def _pair(self, place: int, side: int, rng: np.random.Generator) -> Pair:
        def draw_flow() -> NDArray[np.float32]:
            still = rng.random() < _STILL
            return np.zeros((side, side, 2), np.float32) if still else random_flow(side, MotionConfig(), rng)

        moved = moved_crop(self.photos, place, side, 1.6, draw_flow, rng)
        first, second = to_tensor(moved.first), to_tensor(moved.second)
        fine, blotches = rng.uniform(0, 0.02), rng.uniform(0, 0.015)
        if rng.random() < 0.5:
            first = first + _noise(side, fine * 0.7, blotches * 0.7, rng)
        light, black = float(1 + rng.normal(0, 0.01)), float(rng.normal(0, 0.004))
        second = (second + _noise(side, fine, blotches, rng)) * light + black
        return Pair(
            first.clamp(0, 1),
            second.clamp(0, 1),
            torch.from_numpy(moved.flow).permute(2, 0, 1).contiguous(),
            torch.from_numpy(inside(moved.flow))[None].float(),
        )


def _noise(side: int, fine: float, blotches: float, rng: np.random.Generator) -> torch.Tensor:
    """A sensor's noise, and the blotches that a codec makes of it: (3, S, S) float32."""
    block = int(rng.integers(2, 7))
    coarse = rng.normal(0, blotches, (side // block + 2, side // block + 2, 3)).astype(np.float32)
    spread = np.asarray(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC), np.float32)
    return torch.from_numpy(rng.normal(0, fine, (side, side, 3)).astype(np.float32) + spread).permute(2, 0, 1)
