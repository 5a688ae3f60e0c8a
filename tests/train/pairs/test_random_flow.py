"""Flow that is made up: size, direction, chance."""

import numpy as np

from artmirror.train.config import MotionConfig
from artmirror.train.pairs.random_flow import random_flow


def test_random_flow_depends_on_the_generator_alone() -> None:
    first = [random_flow(32, MotionConfig(), np.random.default_rng(seed)) for seed in range(4)]
    again = [random_flow(32, MotionConfig(), np.random.default_rng(seed)) for seed in range(4)]
    np.testing.assert_array_equal(first, again)
    assert len({flow.tobytes() for flow in first}) == 4
    assert all(flow.shape == (32, 32, 2) and flow.dtype == np.float32 for flow in first)


def test_one_flow_in_eight_stands_still() -> None:
    rng = np.random.default_rng(0)
    still = sum(not random_flow(8, MotionConfig(), rng).any() for _ in range(4000))
    assert 400 < still < 600  # 500 expected, standard deviation 21


def test_random_flow_stays_within_the_configured_motion() -> None:
    side, motion = 65, MotionConfig(rotation_deg=3, scale=0.04, shift=0.03, wobble_px=0)
    corner_px = np.hypot(32, 32)
    furthest_px = corner_px * abs(1.04 * np.exp(1j * np.deg2rad(3)) - 1) + np.hypot(0.03, 0.03) * side
    rng = np.random.default_rng(1)
    lengths = [np.linalg.norm(random_flow(side, motion, rng), axis=-1).max() for _ in range(200)]
    assert max(lengths) <= furthest_px
    assert max(lengths) > furthest_px / 2


def test_rotation_and_scale_turn_about_the_centre() -> None:
    side, motion = 33, MotionConfig(rotation_deg=10, scale=0.2, shift=0, wobble_px=0)
    y, x = np.mgrid[:side, :side] - 16.0
    rng = np.random.default_rng(2)
    flow = next(flow for flow in (random_flow(side, motion, rng) for _ in range(99)) if flow.any())
    start, end = x + 1j * y, (x + flow[..., 0]) + 1j * (y + flow[..., 1])
    assert abs(end[16, 16]) < 1e-5
    away = np.abs(start) > 0
    factor = end[away] / start[away]  # one complex number: a scale and an angle
    np.testing.assert_allclose(factor, factor[0], atol=1e-5)
    assert 0.8 <= abs(factor[0]) <= 1.2
    assert abs(np.angle(factor[0], deg=True)) <= 10


def test_wobble_is_smooth_and_of_its_amplitude() -> None:
    motion = MotionConfig(rotation_deg=0, scale=0, shift=0, wobble_px=3)
    rng = np.random.default_rng(3)
    flows = np.stack([random_flow(128, motion, rng) for _ in range(100)])
    assert 0.5 < flows.std() < 3
    assert np.abs(flows).max() < 3 * 6  # cubic between normal knots: six standard deviations are out of reach
    assert np.abs(np.diff(flows, axis=1)).max() < 1  # no folds
