"""Noise is taken out of what stands still; what moves leaves no trail."""

from itertools import pairwise

import cv2
import numpy as np
import pytest

from artmirror.runtime.common.denoise import Denoiser
from artmirror.runtime.common.pixels import Pixels

SIZE = (120, 200)
BOX = (210.0, 190.0, 60.0)


def ground() -> np.ndarray:
    knots = np.random.default_rng(1).uniform(60, 180, (7, 9, 3)).astype(np.float32)
    return cv2.resize(knots, SIZE[::-1], interpolation=cv2.INTER_CUBIC)


def frames(count: int, noise_std: float, step: int = 0) -> list[Pixels]:
    """A still ground; where `step` says so, a box crosses its upper half."""
    made = []
    for number in range(count):
        picture = ground()
        if step:
            left = 10 + step * number
            picture[20:50, left : left + 30] = BOX
        noise = np.random.default_rng(number).normal(0, noise_std, picture.shape)
        made.append(np.clip(picture + noise, 0, 255).astype(np.uint8))
    return made


def denoised(shown: list[Pixels]) -> list[np.ndarray]:
    denoise = Denoiser(SIZE)
    taken = []
    for frame in shown:
        own = frame.copy()
        denoise(own)
        taken.append(own.astype(int))
    return taken


def change(pictures: list[np.ndarray], rows: slice) -> float:
    return float(np.mean([np.abs(b - a)[rows].mean() for a, b in pairwise(pictures[9:])]))


@pytest.mark.parametrize("noise_std", [3.0, 6.0, 10.0])
def test_noise_falls_to_a_third(noise_std: float) -> None:
    shown = frames(20, noise_std)
    lower = slice(60, 120)
    assert change(denoised(shown), lower) < 0.35 * change([frame.astype(int) for frame in shown], lower)
    assert np.abs(denoised(shown)[-1][lower] - ground()[lower]).mean() < 0.5 * noise_std


@pytest.mark.parametrize("noise_std", [0.0, 3.0, 6.0, 10.0])
def test_what_moves_leaves_no_trail(noise_std: float) -> None:
    last = denoised(frames(14, noise_std, step=8))[-1]
    left = 10 + 8 * 13
    inside = last[24:46, left + 4 : left + 26]
    assert np.abs(inside.mean((0, 1)) - BOX).max() < 1.5
    for before in range(1, 5):  # where it was one to four frames ago
        behind = np.s_[22:48, left - 8 * before : left - 8 * before + 6]
        assert np.abs((last[behind] - ground()[behind]).mean((0, 1))).max() < 2


def test_the_first_frame_and_a_new_scene_are_taken_as_they_are() -> None:
    denoise = Denoiser(SIZE)
    first = frames(1, 5)[0]
    own = first.copy()
    denoise(own)
    assert np.array_equal(own, first)
    other = np.clip(first.astype(int) + 60, 0, 255).astype(np.uint8)
    own = other.copy()
    denoise(own)
    assert np.abs(own.astype(int) - other).max() <= 1


def test_light_that_grows_is_followed() -> None:
    denoise = Denoiser(SIZE)
    for number in range(30):
        frame = np.clip(frames(1, 3)[0].astype(int) + number, 0, 255).astype(np.uint8)
        wanted = float(frame.mean())
        denoise(frame)
    assert abs(float(frame.mean()) - wanted) < 5
