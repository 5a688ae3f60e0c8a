"""Frames that were painted before, given one after the other."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.engines.base import stylize
from artmirror.runtime.engines.open import open_engine

SIZE = (64, 80)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in (1, 2, 10):
        assert cv2.imwrite(str(tmp_path / f"frame_{number}.png"), np.full((*SIZE, 3), number, np.uint8))
    return tmp_path


def test_one_picture_for_each_frame_in_their_order(folder: Path) -> None:
    engine = open_engine(Path(f"frames:{folder}"), size=SIZE)
    (slot,) = engine.allocate(1)
    for _ in range(2):
        for wanted in (1, 2, 10):
            stylize(engine, slot)
            assert (slot.stylized == wanted).all()
        with pytest.raises(ArtmirrorError, match="holds 3 pictures, and the film has more frames"):
            stylize(engine, slot)
        engine.reset()
    engine.close()


def test_mistakes(folder: Path, tmp_path: Path) -> None:
    engine = open_engine(Path(f"frames:{folder}"), size=(64, 96))
    (slot,) = engine.allocate(1)
    with pytest.raises(ArtmirrorError, match="use --size 80x64"):
        stylize(engine, slot)
    with pytest.raises(ArtmirrorError, match="none"):
        open_engine(Path(f"frames:{tmp_path / 'none'}"), size=SIZE)
    with pytest.raises(ArtmirrorError, match="leave out --backend"):
        open_engine(Path(f"frames:{folder}"), size=SIZE, device="cuda")
