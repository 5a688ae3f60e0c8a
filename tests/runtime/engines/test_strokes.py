"""Brush strokes without a network: along edges, clipped at them, moving with the picture, and never boiling."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.engines.base import stylize
from artmirror.runtime.engines.open import open_engine
from artmirror.runtime.engines.strokes import StrokesEngine, directions

SIZE = (180, 240)


def halves(angle_deg: float = 90) -> Pixels:
    """Dark and light, with a straight edge through the middle; 90 degrees stands upright."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    angle = np.deg2rad(angle_deg)
    side = (x - SIZE[1] / 2) * np.sin(angle) - (y - SIZE[0] / 2) * np.cos(angle)
    picture = np.where(side[..., None] < 0, [40, 60, 50], [200, 180, 190])
    return np.asarray(picture, np.uint8)


def photo(shift: float = 0) -> Pixels:
    knots = np.random.default_rng(4).uniform(0, 255, (14, 18, 3)).astype(np.float32)
    large = cv2.resize(knots, (SIZE[1] + 60, SIZE[0]), interpolation=cv2.INTER_CUBIC)
    matrix = np.array([[1, 0, shift - 30], [0, 1, 0]], np.float32)
    return cv2.warpAffine(large, matrix, SIZE[::-1], flags=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


def painted(engine: StrokesEngine, frames: list[Pixels]) -> list[np.ndarray]:
    (slot,) = engine.allocate(1)
    pictures = []
    for frame in frames:
        slot.frame[:] = frame
        stylize(engine, slot)
        pictures.append(slot.stylized.astype(int))
    return pictures


@pytest.mark.parametrize("angle_deg", [90, 45, 20, 135])
def test_strokes_lie_along_edges(angle_deg: float) -> None:
    picture = cv2.GaussianBlur(halves(angle_deg), (0, 0), 1.5)
    angle, strength = directions(np.asarray(picture, np.uint8))
    on_edge = strength > 14
    off_by = np.abs(np.angle(np.exp(2j * (angle[on_edge] - np.deg2rad(angle_deg))))) / 2
    assert np.rad2deg(np.median(off_by)) < 3
    near = np.s_[85:95, 100:140]  # flat places take the direction of the edge beside them
    off_by = np.abs(np.angle(np.exp(2j * (angle[near] - np.deg2rad(angle_deg))))) / 2
    assert np.rad2deg(np.median(off_by)) < 10


def test_strokes_are_clipped_at_edges() -> None:
    (picture,) = painted(StrokesEngine(SIZE), [halves()])
    dark, light = picture[:, : SIZE[1] // 2 - 6], picture[:, SIZE[1] // 2 + 6 :]
    assert dark.max() < 100
    assert light.min() > 130


def test_a_still_picture_does_not_boil() -> None:
    first, *others = painted(StrokesEngine(SIZE), [photo()] * 4)
    assert all(np.array_equal(first, other) for other in others)


def test_strokes_move_with_the_picture() -> None:
    engine = StrokesEngine(SIZE)
    first, *_, last = painted(engine, [photo(3 * number) for number in range(5)])
    inner = slice(20, -20)
    moved = np.abs(last[inner, 40:-20] - first[inner, 28:-32]).mean()
    stayed = np.abs(last[inner, 40:-20] - first[inner, 40:-20]).mean()
    assert moved < 0.7 * stayed


def test_places_are_neither_empty_nor_crowded() -> None:
    engine = StrokesEngine(SIZE)
    painted(engine, [photo(4 * number) for number in range(8)])
    strokes = engine._strokes
    assert strokes is not None
    counts = np.bincount(engine._places(strokes), minlength=engine._grid[0] * engine._grid[1])
    assert counts.min() >= 1
    assert counts.max() <= 3
    assert (np.diff(strokes.order) >= 0).all()


def test_after_a_cut_and_a_reset_all_strokes_are_new() -> None:
    engine = StrokesEngine(SIZE)
    (alone,) = painted(engine, [photo()])
    painted(engine, [255 - photo()[::-1]])
    engine.reset()
    assert np.array_equal(painted(engine, [photo()])[0], alone)


def test_there_is_no_gpu_in_it() -> None:
    with pytest.raises(ArtmirrorError, match="without a network"):
        open_engine(Path("strokes:"), size=SIZE, device="cuda")
    with pytest.raises(ArtmirrorError, match="without a network"):
        open_engine(Path("strokes:"), size=SIZE, backend="openvino")
