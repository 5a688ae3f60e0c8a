"""Little video files whose content is known to the frame, for tests."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.fakes.clip_dataset import texture
from tests.fakes.media import write_clip

WIDTH, HEIGHT = 160, 96
Frames = list[NDArray[np.uint8]]  # (HEIGHT, WIDTH, 3) BGR


def ground(seed: int) -> NDArray[np.uint8]:
    """Return a picture larger than a frame, coarse and fine enough for flow and for sharpness."""
    picture = texture(2 * HEIGHT, 2 * WIDTH, seed).astype(np.float32)
    rng = np.random.default_rng(seed)
    picture += rng.uniform(-40, 40, 3).astype(np.float32)  # scenes differ in colour more than in anything
    grain = rng.normal(0, 15, picture.shape[:2]).astype(np.float32)
    return np.asarray((picture + cv2.GaussianBlur(grain, (0, 0), 0.7)[..., None]).clip(0, 255), np.uint8)


def pan(seed: int, frames: int, dx: int = 2, dy: int = 0) -> Frames:
    """A camera moves over a ground: what it sees moves by (-dx, -dy) a frame, back and forth."""
    picture, shot = ground(seed), []
    for index in range(frames):
        x, y = (_bounced(index * speed, room) for speed, room in ((dx, WIDTH), (dy, HEIGHT)))
        shot.append(picture[y : y + HEIGHT, x : x + WIDTH].copy())
    return shot


def _bounced(at: int, room: int) -> int:
    return room - abs(room - at % (2 * room))


def _blurred(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Blur a frame and give it back some contrast, which large things keep when they are out of focus."""
    soft = cv2.GaussianBlur(frame.astype(np.float32), (0, 0), 4)
    return np.asarray((soft.mean() + 2 * (soft - soft.mean())).clip(0, 255), np.uint8)


def write_clips(folder: Path) -> Path:
    """Write the clips that `test_prepare` knows, good, bad and broken ones."""
    folder.mkdir()
    first = pan(1, 60)
    clips: dict[str, Iterable[NDArray[np.uint8]]] = {
        "a_two_shots.mp4": [*first, *pan(2, 40, dx=1, dy=1)],
        "b_black.mp4": np.full((30, HEIGHT, WIDTH, 3), 4, np.uint8),
        "c_static.mp4": [ground(3)[:HEIGHT, :WIDTH]] * 40,
        "d_blurred.mp4": [_blurred(frame) for frame in pan(4, 30)],
        "below/e_copy.mkv": first[5:45],
        "below/f_mirrored.mp4": [frame[:, ::-1].copy() for frame in first[10:50]],
        "g_good.avi": pan(5, 40, dx=3),
    }
    (folder / "below").mkdir()
    for name, frames in clips.items():
        write_clip(folder / name, frames)
    (folder / "h_empty.mp4").touch()
    (folder / "i_text.mov").write_text("no video " * 100)
    (folder / "notes.txt").write_text("not looked at")
    whole = write_clip(folder / "j_cut_off.mkv", pan(6, 60, dx=1))
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    return folder
