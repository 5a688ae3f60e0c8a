"""What is run on a GPU besides: its work alone, without the copies that `submit` and `wait` include."""

import time
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from artmirror.benchmarks.speed.idle_engine import IdleEngine, SlotPainter
from artmirror.benchmarks.speed.scenarios import WARMUP_FRAMES, EngineOnly
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.engines.base import FULL_STYLE
from artmirror.runtime.frame import FrameSlot


@runtime_checkable
class ComputesAlone(Protocol):
    """An engine that can leave the copies out, as `artmirror.runtime.engines.cuda.CudaEngine` can."""

    def compute(self, slot: FrameSlot, count: int) -> None:
        """Run the network `count` times on what the GPU has of `slot`, and wait."""
        ...


class ComputeOnly(EngineOnly):
    """The GPU's work on a frame that it has already, one at a time and then queued up."""

    def __init__(self, engine: SlotPainter, picture: Pixels, alone: ComputesAlone, holds: str = "") -> None:
        """Use slots of `engine`, and `alone` to compute on them."""
        super().__init__(engine, picture, holds)
        self._alone = alone

    def _idle(self) -> EngineOnly:
        return ComputeOnly(IdleEngine(), np.zeros((1, 1, 3), np.uint8), _Idle())

    def _prepare(self, slots: Sequence[FrameSlot]) -> None:
        super()._prepare(slots)
        for slot in slots:
            self._engine.submit(slot, FULL_STYLE)  # brings the picture there
            self._engine.wait(slot)

    def _begin(self, slot: FrameSlot) -> None:
        self._alone.compute(slot, 1)

    def _finish(self, slot: FrameSlot) -> None:
        """It is done already."""

    def _kept_full(self, slots: list[FrameSlot], count: int, should_stop: Callable[[], bool]) -> list[int]:
        """The host sees no single frame of a queue, so frames count as done when their handful is."""
        completed_ns: list[int] = []
        started_ns = time.monotonic_ns()
        while len(completed_ns) < count and not should_stop():
            queued = min(WARMUP_FRAMES, count - len(completed_ns))
            self._alone.compute(slots[0], queued)
            completed_ns += [time.monotonic_ns() - started_ns] * queued
        return completed_ns


class _Idle:
    def compute(self, slot: FrameSlot, count: int) -> None:
        """Do nothing."""
