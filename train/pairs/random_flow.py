"""Motion that training makes up for a photo. The convention is that of `artmirror.runtime.common.flow`."""

import cv2
import numpy as np
from numpy.typing import NDArray

from artmirror.train.config import MotionConfig


def random_flow(side: int, motion: MotionConfig, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a smooth flow for a square frame: rotation, scale and shift about the centre, and a wobbling field.

    One pair in eight stands still, so that the network also learns to paint a still camera's noise away.

    Returns:
        (side, side, 2) float32, pixels.
    """
    if rng.random() < 1 / 8:
        return np.zeros((side, side, 2), np.float32)
    angle = np.deg2rad(rng.uniform(-motion.rotation_deg, motion.rotation_deg))
    scale = 1 + rng.uniform(-motion.scale, motion.scale)
    shift = rng.uniform(-motion.shift, motion.shift, 2) * side
    axis = np.arange(side, dtype=np.float32) - (side - 1) / 2
    x, y = np.meshgrid(axis, axis)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    flow = np.stack([cos * x - sin * y - x + shift[0], sin * x + cos * y - y + shift[1]], axis=-1).astype(np.float32)
    knots = rng.standard_normal((5, 5, 2)).astype(np.float32)
    wobble = cv2.resize(knots, (side, side), interpolation=cv2.INTER_CUBIC)
    flow += wobble * np.float32(rng.uniform(0, motion.wobble_px))
    return flow  # (side, side, 2) float32 pixels
