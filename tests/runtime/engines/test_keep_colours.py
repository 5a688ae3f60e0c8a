"""Light and shade from the painting, colours from the camera."""

import cv2
import numpy as np

from artmirror.runtime.engines.base import stylize
from artmirror.runtime.engines.keep_colours import KeepColours
from tests.fakes.engine import FakeEngine

SIZE = (64, 96)


def test_luminance_is_the_paintings_and_chroma_the_cameras() -> None:
    frame = np.random.default_rng(0).integers(60, 190, (*SIZE, 3), np.uint8)
    plain, keeping = FakeEngine(SIZE), KeepColours(FakeEngine(SIZE))
    found = []
    for engine in (plain, keeping):
        (slot,) = engine.allocate(1)
        slot.frame[:] = frame
        stylize(engine, slot)
        assert (slot.frame == frame).all()
        found.append(slot.stylized.copy())
    painted, kept = (cv2.cvtColor(picture, cv2.COLOR_BGR2YCrCb).astype(int) for picture in found)
    camera = cv2.cvtColor(frame, cv2.COLOR_BGR2YCrCb).astype(int)
    assert np.abs(kept[..., 0] - painted[..., 0]).mean() < 2
    assert np.abs(kept[..., 1:] - camera[..., 1:]).mean() < 2
    assert np.abs(painted[..., 1:] - camera[..., 1:]).mean() > 10


def test_it_is_the_engine_within() -> None:
    inner = FakeEngine(SIZE)
    engine = KeepColours(inner)
    engine.reset()
    engine.close()
    assert (inner.resets, inner.closed, engine.describe()) == (1, True, inner.describe())
