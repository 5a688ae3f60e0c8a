"""One engine measured on a GPU: painted right, how fast alone, and how fast with transfers."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.engines.base import FULL_STYLE, stylize
from artmirror.runtime.engines.cuda import CudaEngine
from artmirror.runtime.frame import FrameSlot

_WARMUP = 10  # frames before the measured ones


@dataclass(frozen=True, slots=True)
class Row:
    """One way to run the network at one size. All that was not measured is empty or None, with a reason."""

    name: str
    size: str  # 640x360
    network: str = ""
    frame_flop: float | None = None  # of the convolutions
    frame_bytes: float | None = None  # moved, estimated from the graph with nothing fused
    reason: str | None = None  # why it was not measured
    library: str = ""
    note: str = ""
    psnr_db: float | None = None  # against PyTorch in FP32
    compute_ns: tuple[int, ...] = ()  # each frame by itself, by the host's clock, from its start to its end
    compute_fps: float | None = None  # with frames queued up
    end_to_end_ns: tuple[int, ...] = ()  # each frame by itself, from host memory to host memory
    end_to_end_fps_one_slot: float | None = None
    end_to_end_fps_two_slots: float | None = None

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """A row that another program measured."""
        known = {entry.name for entry in fields(cls)}
        given: dict[str, Any] = {key: value for key, value in values.items() if key in known}
        given = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
        return cls(**given)

    @property
    def overlap_gain(self) -> float | None:
        """How many times as many frames two slots let through as one."""
        if self.end_to_end_fps_one_slot is None or self.end_to_end_fps_two_slots is None:
            return None
        return self.end_to_end_fps_two_slots / self.end_to_end_fps_one_slot

    @property
    def best_end_to_end_fps(self) -> float | None:
        """With as many slots as it takes."""
        return self.end_to_end_fps_two_slots or self.end_to_end_fps_one_slot


def measure_engine(name: str, engine: CudaEngine, picture: Pixels, painted: Pixels, frames: int) -> Row:
    """Paint `picture` and compare, then measure.

    Args:
        painted: What PyTorch in FP32 makes of `picture`; (H, W, 3) uint8 BGR both.
        frames: Measured frames of every kind.

    Raises:
        ArtmirrorError: the engine failed.
    """
    slots = engine.allocate(2)
    for slot in slots:
        slot.frame[:] = picture
    stylize(engine, slots[0])
    psnr = psnr_db(slots[0].stylized, painted)
    for _ in range(_WARMUP):
        stylize(engine, slots[0])
    compute_ns, end_to_end_ns = [], []
    for _ in range(frames):
        start_ns = time.perf_counter_ns()
        engine.compute(slots[0], 1)
        compute_ns.append(time.perf_counter_ns() - start_ns)
    start_s = time.perf_counter()
    engine.compute(slots[0], frames)
    compute_fps = frames / (time.perf_counter() - start_s)
    for _ in range(frames):
        start_ns = time.perf_counter_ns()
        stylize(engine, slots[0])
        end_to_end_ns.append(time.perf_counter_ns() - start_ns)
    info = engine.describe()
    return Row(
        name=name,
        size=f"{info.size[1]}x{info.size[0]}",
        library=info.library,
        note=info.note,
        psnr_db=psnr,
        compute_ns=tuple(compute_ns),
        compute_fps=compute_fps,
        end_to_end_ns=tuple(end_to_end_ns),
        end_to_end_fps_one_slot=_throughput(engine, slots[:1], frames),
        end_to_end_fps_two_slots=_throughput(engine, slots, frames),
    )


def psnr_db(found: Pixels, wanted: Pixels) -> float:
    """Peak signal-to-noise ratio of two pictures in decibels; infinite where they are equal."""
    squares = float(((found.astype(np.int32) - wanted) ** 2).mean())
    return float("inf") if squares == 0 else float(10 * np.log10(255**2 / squares))


def _throughput(engine: CudaEngine, slots: Sequence[FrameSlot], frames: int) -> float:
    """Frames per second with all the slots in flight."""
    start_s = time.perf_counter()
    for index in range(frames + len(slots)):
        slot = slots[index % len(slots)]
        if index >= len(slots):
            engine.wait(slot)
        if index < frames:
            engine.submit(slot, FULL_STYLE)
    return frames / (time.perf_counter() - start_s)
