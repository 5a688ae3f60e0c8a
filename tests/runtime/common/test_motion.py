"""Motion between frames as networks with a memory are given it."""

import cv2
import numpy as np
import pytest

from artmirror.runtime.common.motion import FrameMotion, KeyMotion, _Steps
from artmirror.runtime.common.pixels import Pixels

SIZE = (179, 241)  # odd


def scene(shift: tuple[float, float] = (0, 0), seed: int = 0, noise: float = 0) -> Pixels:
    """Soft blots that moved by (dx, dy) pixels."""
    knots = np.random.default_rng(seed).uniform(0, 255, (14, 18, 3)).astype(np.float32)
    large = cv2.resize(knots, (SIZE[1] + 80, SIZE[0] + 80), interpolation=cv2.INTER_CUBIC)
    matrix = np.array([[1, 0, shift[0] - 40], [0, 1, shift[1] - 40]], np.float32)
    moved = cv2.warpAffine(large, matrix, SIZE[::-1], flags=cv2.INTER_CUBIC)
    moved = moved + np.random.default_rng(seed + 1).normal(0, noise, moved.shape)
    return np.clip(moved, 0, 255).astype(np.uint8)


Motion = type[FrameMotion] | type[KeyMotion]
both = pytest.mark.parametrize("kind", [FrameMotion, KeyMotion])


@both
@pytest.mark.parametrize("shift", [(3.0, 0.0), (-2.0, 4.5), (0.0, -1.5)])
def test_it_finds_where_a_frame_came_from(shift: tuple[float, float], kind: Motion) -> None:
    motion = kind(SIZE)
    assert not motion.follow(scene())
    assert motion.follow(scene(shift))
    assert motion.flow.shape == (90, 121, 2)
    assert np.median(motion.flow[..., 0]) == pytest.approx(-shift[0], abs=0.4)
    assert np.median(motion.flow[..., 1]) == pytest.approx(-shift[1], abs=0.4)
    assert motion.mask[8:-8, 8:-8].mean() > 0.95


@both
def test_noise_is_no_motion_and_is_trusted(kind: Motion) -> None:
    motion = kind(SIZE)
    motion.follow(scene(noise=4))
    still = np.clip(scene().astype(int) + np.random.default_rng(9).normal(0, 4, (*SIZE, 3)), 0, 255).astype(np.uint8)
    assert motion.follow(still)
    assert (motion.flow == 0).mean() > 0.95
    assert motion.mask.mean() > 0.98


def test_a_slow_pan_is_motion_and_not_noise() -> None:
    motion = FrameMotion(SIZE)
    for number in range(6):
        motion.follow(scene((0.3 * number, 0), noise=1))
    assert (motion.flow[..., 0] < -0.1).mean() > 0.9
    assert np.median(motion.flow[..., 0]) == pytest.approx(-0.3, abs=0.1)


def test_an_even_sky_goes_with_the_camera() -> None:
    """It looks the same wherever it is; strokes on it would stand still over a scene that moves."""
    motion = FrameMotion(SIZE)
    for number in range(8):
        frame = scene((0.8 * number, 0)).astype(np.float32)
        fade = np.clip((np.arange(SIZE[0]) - 90) / 20, 0.02, 1)[:, None, None]
        motion.follow((200 + fade * (frame - 200)).astype(np.uint8))
    sky = motion.flow[8:36, 12:-12, 0]
    assert (sky == 0).mean() < 0.1
    assert np.median(sky) < -0.2


@both
def test_what_came_into_the_picture_is_not_trusted(kind: Motion) -> None:
    motion = kind(SIZE)
    motion.follow(scene())
    there = scene()
    there[60:120, 80:160] = scene(seed=5)[60:120, 80:160]
    assert motion.follow(there)
    assert motion.mask[36:54, 48:72].mean() < 0.5
    assert motion.mask[:24].mean() > 0.95


@both
def test_a_cut_and_a_light_switched_on_are_other_scenes(kind: Motion) -> None:
    motion = kind(SIZE)
    motion.follow(scene())
    assert not motion.follow(scene(seed=7))
    assert not motion.mask.any()
    assert motion.follow(scene(seed=7))
    assert not motion.follow(np.clip(scene(seed=7).astype(int) + 60, 0, 255).astype(np.uint8))


@both
def test_it_forgets(kind: Motion) -> None:
    motion = kind(SIZE)
    motion.follow(scene())
    motion.forget()
    assert not motion.follow(scene())
    assert motion.follow(scene())


@both
def test_its_arrays_stay_where_they_are(kind: Motion) -> None:
    motion = kind(SIZE)
    flow, mask = motion.flow, motion.mask
    for shift in (0, 2, 4):
        motion.follow(scene((shift, 0)))
    assert motion.flow is flow
    assert motion.mask is mask
    assert flow.any()


@both
def test_the_smallest_frame_is_followed(kind: Motion) -> None:
    motion = kind((64, 64))
    motion.follow(scene()[:64, :64].copy())
    assert motion.follow(scene()[:64, :64].copy())


def test_a_key_frame_stays_while_it_shows_the_same() -> None:
    motion = KeyMotion(SIZE)
    motion.follow(scene())
    renewed = []
    for number in range(1, 6):
        assert motion.follow(scene((1.5 * number, 0)))
        renewed.append(motion.renewed)
        assert np.median(motion.flow[..., 0]) == pytest.approx(-1.5 * number, abs=0.5)  # the whole way
    assert renewed == [True, False, False, False, False]


def test_a_worn_key_frame_is_the_last_frames_turn() -> None:
    motion = KeyMotion(SIZE)
    motion.follow(scene())
    ways = []
    for number in range(1, 12):
        assert motion.follow(scene((2.0 * number, 0)))  # after eight frames one part in fourteen is gone
        ways.append(-np.median(motion.flow[..., 0]) / 2)
    assert max(ways) == pytest.approx(8.5, abs=1.5)
    worn = int(np.argmax(ways))
    assert ways[worn + 1] == pytest.approx(1, abs=0.2)
    assert motion.mask.mean() > 0.9


def test_after_a_cut_the_new_scene_is_the_key_frame() -> None:
    motion = KeyMotion(SIZE)
    motion.follow(scene())
    motion.follow(scene((1, 0)))
    assert not motion.follow(scene(seed=7))
    assert motion.follow(scene((3, 0), seed=7))
    assert motion.renewed
    assert np.median(motion.flow[..., 0]) == pytest.approx(-3, abs=0.4)


def renewals(motion: KeyMotion, shown: list[Pixels]) -> list[int]:
    """The frames at which another became the key frame, the first one left out."""
    found = []
    for number, frame in enumerate(shown):
        motion.follow(frame)
        if motion.renewed and number > 1:
            found.append(number)
    return found


def test_what_changed_slowly_is_not_trusted_for_long() -> None:
    shown = []
    for number in range(14):
        lit = scene().astype(int)
        lit[:60] += number  # a level a frame, in a third of the picture
        shown.append(np.clip(lit, 0, 255).astype(np.uint8))
    assert renewals(KeyMotion(SIZE), shown)


def test_a_key_frame_grows_old_where_nothing_changes() -> None:
    assert renewals(KeyMotion(SIZE), [scene()] * 40) == [17, 33]


def test_flow_that_draws_even_ground_out_is_not_trusted() -> None:
    steps = _Steps((180, 240), fine=True)
    even = np.full(steps.size, 120, np.uint8)
    flow = np.zeros((*steps.size, 2), np.float32)
    flow[:, 40:60, 0] = np.arange(20, dtype=np.float32)  # a pixel more for each pixel to the right
    flow[:, 60:, 0] = 20
    trust = steps.trust(even, even, flow)
    assert trust is not None
    assert trust[:, 46:54].max() == 0
    assert trust[:, :30].min() == trust[:, 72:96].min() == 1  # where it stands, and where all of it moves alike
