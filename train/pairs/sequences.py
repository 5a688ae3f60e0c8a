"""Sequences for networks with a memory: a photo that moves along a smooth path, things before it, cuts."""

import math
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.flow import inside, warp_image
from artmirror.runtime.common.motion import KeyMotion
from artmirror.train.config import MotionConfig, TrainConfig
from artmirror.train.pairs.base import resized, to_tensor
from artmirror.train.pairs.photos import MovedPhotos, Photos
from artmirror.train.pairs.random_flow import random_flow

_STILL, _SLOW = 0.2, 0.4  # shares of the sequences in which the camera stands still, and moves less than a third
_WORN_AT_ONCE = 0.5  # share in which every frame is a key frame
_THING, _CUT = 0.5, 0.1  # shares in which something passes before the photo, and in which another scene begins
_HOLES = 0.5  # share in which a place is not trusted from some frame on, though nothing passed there


class FoundMotion(NamedTuple):
    """From the second frame on, how each moved since its key frame, as it is found at show time."""

    flow: Tensor  # (L + K - 1, 2, s, s) float32 pixels of the frame; s = S / 2
    renewed: Tensor  # (L + K - 1, 1, 1, 1) float32, 1 where the frame before is the key frame from now on
    mask: Tensor  # (L + K - 1, 1, s, s) float32, where what the key frame shows can be trusted


class FrameSequence(NamedTuple):
    """Some frames after each other; batched by the loader along a leading B.

    L frames lead in, so that what is remembered is as old as in a show; K more are learned from.
    """

    frames: Tensor  # (L + K, 3, S, S) float32 RGB in [0, 1]
    flow: Tensor  # (K - 1, 2, S, S) float32 pixels, exact, from each of the last frames to the one before it
    visible: Tensor  # (K - 1, 1, S, S) float32, 1 where the frame before it shows the same
    long_flow: Tensor  # (2, S, S) float32 pixels, exact, from the last frame to that of `long_gap` before
    long_visible: Tensor  # (1, S, S) float32
    found_flow: Tensor  # the three of `found`
    renewed: Tensor
    mask: Tensor

    @property
    def found(self) -> FoundMotion:
        """Of a batch too."""
        return FoundMotion(self.found_flow, self.renewed, self.mask)

    @property
    def lead(self) -> int:
        """L, of a batch too."""
        return self.found_flow.shape[-4] - self.flow.shape[-4]


def long_gap(count: int) -> int:
    """Frames from the earlier to the later of the pair for what is kept long, of `count` frames."""
    return min(5, count - 1)


class MovedSequences(Dataset[FrameSequence]):
    """Photos that move along a smooth path. Sequence `i` depends on the configuration, the photos and `i` alone.

    The flow that the losses take is exact. What the network is given is found by `KeyMotion` on the noisy frames, as
    at show time: so it learns how far that can be trusted.

    Raises:
        ArtmirrorError: the folder does not exist or holds no photos.
    """

    def __init__(self, folder: Path, config: TrainConfig) -> None:
        self.config = config
        self._moved = MovedPhotos(folder, config)

    def __len__(self) -> int:
        return self.config.steps * self.config.pairs

    def calibration_photos(self, count: int = 16) -> Tensor:
        """Some pictures as (count, 3, S, S) float32 RGB in [0, 1], the same for every seed."""
        return self._moved.calibration_photos(count)

    def __getitem__(self, index: int) -> FrameSequence:
        rng = np.random.default_rng((self.config.seed, index))
        config = self.config
        return moved_sequence(self._moved.photos, config.crop, (config.lead, config.frames), config.motion, rng)


def moved_sequence(
    photos: Photos, side: int, counts: tuple[int, int], motion: MotionConfig, rng: np.random.Generator
) -> FrameSequence:
    """Draw a sequence of frames of `side` pixels; `counts` are of those that lead in, and of those learned from.

    Raises:
        ArtmirrorError: too many photos cannot be read, or one cannot be cropped.
    """
    lead, count = counts
    total = lead + count
    scene = _Scene(photos, side, count, motion, rng)
    cut = int(rng.integers(1, total)) if rng.random() < _CUT else total
    after = _Scene(photos, side, count, motion, rng) if cut < total else scene
    noise_std = rng.uniform(0, motion.noise_std)
    steps = [_to_and_fro(number - lead, count - 1) for number in range(total)]

    # A show has many key frames after each other, more than there are frames here.
    following = KeyMotion((side, side), worn=math.inf) if rng.random() < _WORN_AT_ONCE else KeyMotion((side, side))
    hole_from = int(rng.integers(max(lead, 1), total)) if rng.random() < _HOLES else total
    frames, flows, visibles, found, renewed, masks = [], [], [], [], [], []
    for number, step in enumerate(steps):
        shown = scene if number < cut else after
        noise = rng.normal(0, 255 * noise_std, (side, side, 3)).astype(np.float32)
        frame = np.clip(shown.frame(step) + noise, 0, 255).astype(np.uint8)
        frames.append(to_tensor(frame))
        following.follow(np.ascontiguousarray(frame[..., ::-1]))
        if number:
            found.append(following.flow.copy())
            renewed.append(following.renewed)
            masks.append(
                following.mask * _around(following.mask.shape[0], rng) if number >= hole_from else following.mask.copy()
            )
        if number > lead:
            flow, visible = shown.flow(step, steps[number - 1])
            flows.append(flow)
            visibles.append(visible & (number != cut))
    earlier = total - 1 - long_gap(total)
    long_flow, long_visible = after.flow(steps[-1], steps[earlier])
    return FrameSequence(
        torch.stack(frames),
        _planes(np.stack(flows)),
        _planes(np.stack(visibles)[..., None]),
        _planes(long_flow[None])[0],
        _planes((long_visible & (not earlier < cut < total))[None, ..., None])[0],
        _planes(np.stack(found)),
        torch.tensor(renewed).float()[:, None, None, None],
        _planes(np.stack(masks)[..., None]),
    )


def _to_and_fro(number: int, most: int) -> int:
    """The step along a path of `most` steps, of the frame of this number: a long lead-in stays in the picture."""
    number = abs(number) % (2 * most)
    return number if number <= most else 2 * most - number


class _Scene:
    """A photo whose every pixel goes its own straight way, and perhaps a piece of another photo that passes before it.

    At step k a frame shows at x what the photo has at x + k field(x).
    """

    def __init__(self, photos: Photos, side: int, count: int, motion: MotionConfig, rng: np.random.Generator) -> None:
        self._side = side
        self._rgb = self._photo(photos, rng)
        self._left = rng.uniform(0, self._rgb.shape[1] - side)
        self._top = rng.uniform(0, self._rgb.shape[0] - side)
        self._field = _field(side, motion, rng)
        self._thing: NDArray[np.uint8] | None = None
        if rng.random() < _THING:
            self._thing = self._photo(photos, rng)[:side, :side]
            self._shape = _blob(side, rng)
            self._way = rng.uniform(-0.06, 0.06, 2).astype(np.float32) * side  # pixels a frame
            self._middle = (count - 1) / 2

    def _photo(self, photos: Photos, rng: np.random.Generator) -> NDArray[np.uint8]:
        path, rgb = photos.read(int(rng.integers(len(photos))))
        try:
            return resized(rgb, round(self._side * rng.uniform(1.0, 1.5)))
        except cv2.error:
            raise ArtmirrorError(f"{path} cannot be cropped; is it a very long strip? Take it out") from None

    def frame(self, step: int) -> NDArray[np.float32]:
        """(S, S, 3) RGB in [0, 255]."""
        y, x = np.mgrid[: self._side, : self._side].astype(np.float32)
        at_x, at_y = (step * self._field[..., 0] + x + self._left), (step * self._field[..., 1] + y + self._top)
        ground = cv2.remap(self._rgb, at_x, at_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
        if self._thing is None:
            return np.asarray(ground, np.float32)
        shape, thing = (self._shifted(picture, step) for picture in (self._shape, self._thing.astype(np.float32)))
        return np.asarray(ground + shape[..., None] * (thing - ground), np.float32)

    def flow(self, start: int, end: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """From step `start` to step `end`, (S, S, 2) pixels, and where both show the same, (S, S)."""
        ground = start * self._field
        for _ in range(6):  # start field(x) = g + end field(x + g): the field is smooth, so this soon stands still
            ground = start * self._field - end * warp_image(self._field, ground)
        visible = inside(ground)
        if self._thing is None:
            return ground, visible
        before, here = self._shifted(self._shape, end), self._shifted(self._shape, start)
        visible &= (warp_image(before, ground) < 0.02) & (here < 0.02)
        of_thing = np.broadcast_to((end - start) * self._way, ground.shape)
        thing = here > 0.98
        flow = np.where(thing[..., None], of_thing, ground).astype(np.float32)
        return flow, np.where(thing, inside(flow), visible)

    def _shifted(self, picture: NDArray[np.float32], step: int) -> NDArray[np.float32]:
        x, y = (step - self._middle) * self._way
        matrix = np.array([[1, 0, x], [0, 1, y]], np.float32)
        size = (self._side, self._side)
        return np.asarray(cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR), np.float32)


def _field(side: int, motion: MotionConfig, rng: np.random.Generator) -> NDArray[np.float32]:
    drawn = rng.random()
    if drawn < _STILL:
        return np.zeros((side, side, 2), np.float32)
    share = rng.uniform(0.02, 0.33) if drawn < _STILL + _SLOW else rng.uniform(0.33, 1)
    return random_flow(side, motion, rng) * np.float32(share)


def _blob(side: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """A round thing with a soft edge: (S, S) in [0, 1]."""
    y, x = np.mgrid[:side, :side].astype(np.float32) / side
    angle = np.arctan2(y - 0.5, x - 0.5)
    radius = rng.uniform(0.1, 0.3)
    edge = radius * (1 + sum(rng.uniform(0, 0.3) * np.sin(k * angle + rng.uniform(0, 6.3)) for k in (1, 2, 3)))
    return np.asarray(np.clip((edge - np.hypot(x - 0.5, y - 0.5)) * side / 1.5 + 0.5, 0, 1), np.float32)


def _around(side: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """0 in a round place of any size, 1 far from it: (S, S) float32.

    What a hand uncovers is such a place, in a frame that is trusted else. With things that pass alone there were too
    few of them: `lite` painted a grid of two pixels there.
    """
    soft = cv2.GaussianBlur(_blob(side, rng), (0, 0), rng.uniform(0.3, 4))
    x, y = rng.uniform(-0.5, 0.5, 2) * side
    return 1 - cv2.warpAffine(soft, np.array([[1, 0, x], [0, 1, y]], np.float32), (side, side)).astype(np.float32)


def _planes(arrays: NDArray[np.generic]) -> Tensor:  # (..., S, S, C)
    """(..., C, S, S) float32."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(arrays, -1, -3))).float()
