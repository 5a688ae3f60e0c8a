"""An engine and a source that count what is done to them."""

import time
from collections import deque
from fractions import Fraction
from pathlib import Path

import numpy as np

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.engines.base import EngineInfo, Look
from artmirror.runtime.formats.manifest import Manifest
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.tracks import Tracks

SIZE = (64, 80)  # (H, W)


def make_manifest(name: str) -> Manifest:
    """Return the manifest of a network that does not exist."""
    return Manifest(
        name=name,
        title="",
        artist="",
        year="",
        preset="tiny",
        network={},
        precision="fp32",
        height=None,
        width=None,
        checkpoint_sha256="",
        steps=0,
        graph_sha256=f"sha of {name}",
    )


class CountingEngine:
    """Inverts the picture, and holds its user to the Protocol."""

    has_strength = True
    max_in_flight = 2

    def __init__(
        self, name: str = "fake", backend: str = "openvino", fail_at: int | None = None, size: tuple[int, int] = SIZE
    ) -> None:
        self.size = size
        self.manifest = make_manifest(name)
        self.backend = backend
        self.fail_at = fail_at
        self.allocated = 0
        self.waited = 0
        self.most_in_flight = 0
        self.inputs: list[int] = []  # one pixel value of every frame
        self.in_flight: deque[FrameSlot] = deque()
        self.closed = False

    def allocate(self, count: int) -> list[FrameSlot]:
        self.allocated += count
        shape = (*self.size, 3)
        return [FrameSlot(np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)) for _ in range(count)]

    def follow(self, slot: FrameSlot, look: Look) -> bool:
        return False  # nothing is remembered

    def submit(self, slot: FrameSlot, look: Look) -> None:
        assert all(slot is not other for other in self.in_flight), "the slot is in the engine already"
        assert len(self.in_flight) < self.max_in_flight
        self.in_flight.append(slot)
        self.most_in_flight = max(self.most_in_flight, len(self.in_flight))
        self.inputs.append(int(slot.frame[0, 0, 0]))

    def wait(self, slot: FrameSlot) -> None:
        assert self.in_flight.popleft() is slot, "waited for out of order"
        self.waited += 1
        if self.waited == self.fail_at:
            raise ArtmirrorError("the fake engine broke")
        np.subtract(255, slot.frame, out=slot.stylized)

    def reset(self) -> None:
        pass

    def describe(self) -> EngineInfo:
        return EngineInfo(self.backend, "fakelib 1.2", "no processor", "fp32", self.size)

    def close(self) -> None:
        self.closed = True


class CountingSource:
    """So many frames, all of one colour."""

    name = "fake"
    size = SIZE
    rate: Fraction | None = None
    tracks: Tracks | None = None
    files: tuple[Path, ...] = ()

    def __init__(self, frames: int, live: bool = False) -> None:
        self.frame_count: int | None = frames
        self.live = live
        self.left = frames
        self.closed = False

    def read(self, slot: FrameSlot) -> bool:
        if self.left == 0 or self.closed:
            return False
        self.left -= 1
        slot.frame[:] = 7
        slot.captured_ns = time.monotonic_ns()
        return True

    def close(self) -> None:
        self.closed = True
