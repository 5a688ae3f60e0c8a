"""An engine without a network: it inverts pixels, takes the time it is told to, and watches over its slots."""

import threading
import time
from collections import deque

import numpy as np

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.engines.base import EngineInfo, Look
from artmirror.runtime.formats.manifest import Manifest
from artmirror.runtime.frame import FrameSlot


def make_manifest(**changes: object) -> Manifest:
    values = {
        "name": "fake",
        "title": "Fake",
        "artist": "Nobody",
        "year": "",
        "preset": "huang",
        "network": {},
        "precision": "fp32",
        "height": None,
        "width": None,
        "checkpoint_sha256": "0" * 64,
        "steps": 1,
        "graph_sha256": "0" * 64,
    }
    return Manifest(**{**values, **changes})


class FakeEngine:
    """Keeps the Protocol and asserts that its users do.

    Args:
        delay_s: Called for every frame: how long it takes, seconds.
        gate: If given, every frame waits for one release of it.
        fail_at: Raise at this frame, counted from 0 (the pipeline's warm-up is not counted).
        follow_s: How long it takes to follow a frame.
    """

    def __init__(
        self,
        size: tuple[int, int] = (64, 96),
        *,
        delay_s=lambda: 0.0,
        gate: threading.Semaphore | None = None,
        fail_at: int | None = None,
        max_in_flight: int = 2,
        follow_s: float = 0.0,
    ) -> None:
        self.manifest = make_manifest()
        self.has_strength = True
        self.max_in_flight = max_in_flight
        self.closed = False
        self.most_in_flight = 0
        self.resets = 0
        self.followed: FrameSlot | None = None
        self.followed_beside = 0  # how many, while another frame was in flight
        self._follow_s = follow_s
        self._size = size
        self._delay_s = delay_s
        self._gate = gate
        self._fail_at = fail_at
        self._in_flight: deque[tuple[FrameSlot, np.ndarray, float]] = deque()
        self._warmed_up = False
        self._done = 0

    def allocate(self, count: int) -> list[FrameSlot]:
        return [
            FrameSlot(np.zeros((*self._size, 3), np.uint8), np.zeros((*self._size, 3), np.uint8)) for _ in range(count)
        ]

    def follow(self, slot: FrameSlot, look: Look) -> bool:
        assert self.followed is None, "a slot was followed, and not submitted"
        self.followed = slot
        self.followed_beside += bool(self._in_flight)
        time.sleep(self._follow_s)
        return self._follow_s > 0

    def submit(self, slot: FrameSlot, look: Look) -> None:
        assert self.followed in (slot, None), "another slot was followed"
        self.followed = None
        assert all(slot is not other for other, _, _ in self._in_flight), "a slot was submitted twice"
        self._in_flight.append((slot, slot.frame.copy(), look.strength))
        assert len(self._in_flight) <= self.max_in_flight
        self.most_in_flight = max(self.most_in_flight, len(self._in_flight))

    def wait(self, slot: FrameSlot) -> None:
        expected, before, strength = self._in_flight.popleft()
        assert slot is expected, "waited for out of order"
        if self._warmed_up:
            if self._gate is not None:
                self._gate.acquire()
            time.sleep(self._delay_s())
            if self._done == self._fail_at:
                raise ArtmirrorError("the device is gone")
            self._done += 1
        self._warmed_up = True
        assert (slot.frame == before).all(), "somebody wrote into a slot that the engine owned"
        blend = before + strength * (255.0 - 2.0 * before)
        slot.stylized[:] = np.rint(blend).astype(np.uint8)

    def reset(self) -> None:
        self.resets += 1

    def describe(self) -> EngineInfo:
        return EngineInfo("fake", "fake 1", "CPU", "fp32", self._size)

    def close(self) -> None:
        self.closed = True
