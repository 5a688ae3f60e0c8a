"""Pictures whose motion is known, and painters whose flicker is."""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from artmirror.benchmarks.records.temporal import PainterInfo
from artmirror.benchmarks.temporal.painters import Painted
from artmirror.benchmarks.temporal.run import WARMUP_FRAMES
from artmirror.runtime.common.flow import write_flow

Picture = NDArray[np.uint8]  # (H, W, 3) BGR

SIZE = (64, 80)  # (H, W)


def texture(size: tuple[int, int] = SIZE, seed: int = 0) -> Picture:
    """Return noise in the middle of the range, so that nothing is clipped."""
    return np.random.default_rng(seed).integers(100, 150, (*size, 3), np.uint8)


def shifted(count: int, step_px: int) -> list[Picture]:
    """Return views of one texture, each `step_px` further to the right in it."""
    wide = texture((SIZE[0], SIZE[1] + count * step_px))
    return [np.ascontiguousarray(wide[:, index * step_px :][:, : SIZE[1]]) for index in range(count)]


def constant_flow(x: float, y: float = 0, size: tuple[int, int] = SIZE) -> NDArray[np.float32]:
    """Return a (H, W, 2) flow that is the same everywhere."""
    return np.full((*size, 2), (x, y), np.float32)


def write_picture(path: Path, picture: NDArray[np.uint8]) -> Path:
    """Write a picture, with the folders that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture)
    return path


def write_frames(
    folder: Path,
    frames: Sequence[Picture],
    flow: NDArray[np.float32] | None = None,
    occluded: NDArray[np.bool_] | None = None,
) -> Path:
    """Write frames with the same flow and occlusion mask between all neighbours, and return the folder."""
    for number, frame in enumerate(frames, start=1):
        write_picture(folder / f"frame_{number:04}.png", frame)
        if flow is not None and number < len(frames):
            write_flow(folder / f"frame_{number:04}.flo", flow)
        if occluded is not None and number < len(frames):
            write_picture(folder / f"occlusion_{number:04}.png", occluded.astype(np.uint8) * 255)
    return folder


class FunctionPainter:
    """Paints with a function of the frame's number and the frame; the n-th call, warm-up included, takes n ms."""

    def __init__(self, function: Callable[[int, Picture], Picture], label: str = "function") -> None:
        self.function = function
        self.label = label
        self.calls = 0
        self.closed = False
        self.note = ""

    def describe(self) -> PainterInfo:
        return PainterInfo(self.label, "engine", backend="fake", precision="fp32", threads=2, note=self.note)

    def paint(self, frame: Picture) -> Painted:
        self.calls += 1
        number = self.calls - 1 - WARMUP_FRAMES
        return Painted(frame if number < 0 else self.function(number, frame), 1_000_000 * self.calls)

    def forget(self) -> None:
        """Every frame is painted by itself."""

    def close(self) -> None:
        self.closed = True
