"""`rehearsal:` a simulated camera that fails as real ones do, to see what the show does then.

rehearsal:640x360@30        a moving picture that stalls, dies, repeats frames, turns black, changes its size
rehearsal:640x360@30+calm   the same without failures
"""

import re
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from random import Random

import cv2
import numpy as np

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.fit import place
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.sources.synthetic import SyntheticSource

PREFIX = "rehearsal:"
_URI = re.compile(r"rehearsal:(?:(\d+)x(\d+))?(?:@(\d+))?(\+calm)?")
_EVERY_S = (12.0, 30.0)  # between two failures
_NOISE_FRAMES = 8


class RehearsalSource(SyntheticSource):
    """A test picture with a sensor's noise, and the failures of a camera at random times.

    Each opening fails one time in three: a camera that was unplugged takes a while.
    """

    def __init__(
        self,
        uri: str,
        size: tuple[int, int],
        *,
        seed: int | None = None,
        clock_s: Callable[[], float] = time.monotonic,
        stall: Callable[[float], object] = time.sleep,
    ) -> None:
        match = _URI.fullmatch(uri)
        if match is None:
            raise ArtmirrorError(f"{uri} is not understood: rehearsal: or rehearsal:640x360@30 is wanted")
        own = (int(match[2]), int(match[1])) if match[1] else size
        self._chance = Random(seed)
        self._calm = match[4] is not None
        if not self._calm and self._chance.random() < 1 / 3:
            raise ArtmirrorError("the rehearsal's camera cannot be opened: it is unplugged for a while")
        super().__init__(uri, own, Fraction(match[3] or 30), mirror=False)
        self.size = size
        self._inner = FrameSlot(np.zeros((*own, 3), np.uint8), np.zeros((1, 1, 3), np.uint8))
        self._own = own
        self._clock_s, self._stall = clock_s, stall
        self._failure = ""
        self._next_s = clock_s() + self._chance.uniform(*_EVERY_S)
        self._ends_s = 0.0
        self._noise = _noise(own)
        self._woken = threading.Event()

    def read(self, slot: FrameSlot) -> bool:
        """The next picture, or a failure."""
        self._misbehave()
        inner = self._inner
        if self._failure != "frozen":
            wanted, self.size = self.size, self._own
            try:
                if not super().read(inner):
                    return False
            finally:
                self.size = wanted
            cv2.add(inner.frame, self._noise[self._next_id % _NOISE_FRAMES], dst=inner.frame)
        else:
            self._woken.wait(1 / 30)
        picture = inner.frame
        if self._failure == "black":
            picture = np.zeros_like(picture)
        elif self._failure == "small":
            picture = np.ascontiguousarray(picture[: self._own[0] // 2, : self._own[1] // 2])
        _put(picture, slot)
        return not self._closed.is_set()

    def close(self) -> None:
        """End it; whoever stalls comes back."""
        super().close()
        self._woken.set()

    def _misbehave(self) -> None:
        now_s = self._clock_s()
        if self._calm:
            return
        if self._failure and now_s >= self._ends_s:
            self._failure = ""
            self._next_s = now_s + self._chance.uniform(*_EVERY_S)
        if self._failure or now_s < self._next_s:
            return
        self._failure = self._chance.choice(("stall", "dies", "frozen", "black", "small", "raises"))
        self._ends_s = now_s + self._chance.uniform(2, 6)
        if self._failure == "stall":
            self._stall(self._ends_s - now_s)  # as a driver does: closing it changes nothing
        elif self._failure == "dies":
            self._next_s = now_s
            raise ArtmirrorError("the rehearsal's camera was unplugged")
        elif self._failure == "raises":
            raise cv2.error("the rehearsal's driver failed")


@cache
def _noise(size: tuple[int, int]) -> list[Pixels]:
    """What a sensor adds, made once: the camera is opened again and again."""
    generator = np.random.default_rng(1)
    return [generator.integers(0, 5, (*size, 3), np.uint8) for _ in range(_NOISE_FRAMES)]


def _put(picture: Pixels, slot: FrameSlot) -> None:
    place(picture, False, slot.frame)
    slot.captured_ns = time.monotonic_ns()
    slot.media_time_s = None
    slot.label = ""
