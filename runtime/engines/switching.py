"""An engine around several, all compiled before the show: each frame's look says which of them paints it."""

from collections.abc import Sequence

import numpy as np

from artmirror.runtime.engines.base import Engine, EngineInfo, Look
from artmirror.runtime.frame import FrameSlot


class SwitchingEngine:
    """Changes the network between two frames, without opening or freeing anything.

    Each engine has memory of its own, so a slot has a twin in every other one. The first engine's slots go round; for
    the others a frame is copied to the twin and back, 0.1 ms at 640x360.

    Args:
        engines: Of one size; `close` closes them. `Look.network` counts them from 0.
    """

    def __init__(self, engines: Sequence[Engine]) -> None:
        self._engines = list(engines)
        first = self._engines[0]
        self.manifest = first.manifest
        self.has_strength = all(engine.has_strength for engine in self._engines)
        self.max_in_flight = min(engine.max_in_flight for engine in self._engines)
        self._twins: dict[FrameSlot, list[FrameSlot]] = {}  # one for each engine; the first is the slot itself
        self._at: dict[FrameSlot, int] = {}  # slots in flight, and where
        self._last = 0
        self._prepared_twin: FrameSlot | None = None  # which has its frame already, since it was followed

    def allocate(self, count: int) -> list[FrameSlot]:
        slots = [engine.allocate(count) for engine in self._engines]
        for twins in zip(*slots, strict=True):
            self._twins[twins[0]] = list(twins)
        return slots[0]

    def follow(self, slot: FrameSlot, look: Look) -> bool:
        self._prepared_twin = twin = self._prepared(slot, look.network)
        return self._engines[look.network].follow(twin, look)

    def submit(self, slot: FrameSlot, look: Look) -> None:
        twin = self._prepared(slot, look.network)
        self._prepared_twin = None
        self._engines[look.network].submit(twin, look)
        self._at[slot] = look.network

    def wait(self, slot: FrameSlot) -> None:
        place = self._at.pop(slot)
        twin = self._twins[slot][place]
        self._engines[place].wait(twin)
        if twin is not slot:
            np.copyto(slot.stylized, twin.stylized)

    def _prepared(self, slot: FrameSlot, place: int) -> FrameSlot:
        twin = self._twins[slot][place]
        if twin is not slot and twin is not self._prepared_twin:
            np.copyto(twin.frame, slot.frame)
        if place != self._last:
            self._engines[place].reset()  # what it remembers is of long ago
            self._last = place
        return twin

    def reset(self) -> None:
        for engine in self._engines:
            engine.reset()

    def describe(self) -> EngineInfo:
        return self._engines[self._last].describe()

    def close(self) -> None:
        self._twins.clear()
        for engine in self._engines:
            engine.close()
