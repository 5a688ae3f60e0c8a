"""An engine around another one: light and shade from the painting, colours from the camera."""

import cv2
import numpy as np

from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.engines.base import Engine, EngineInfo, Look
from artmirror.runtime.frame import FrameSlot


class KeepColours:
    """Paints with another engine, then gives each pixel the chroma that the frame has there (YCrCb, BT.601).

    Gatys et al. 2017, "Controlling perceptual factors in neural style transfer", section 5.2: luminance-only transfer.
    A departure: the network is given the frame with its colours, as it was trained.

    Attributes:
        on: Whether it does; may change between two frames.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.on = True
        self.manifest = engine.manifest
        self.has_strength = engine.has_strength
        self.max_in_flight = engine.max_in_flight
        shape = (*engine.describe().size, 3)
        self._painted: Pixels = np.empty(shape, np.uint8)  # YCrCb
        self._camera: Pixels = np.empty(shape, np.uint8)  # YCrCb

    def allocate(self, count: int) -> list[FrameSlot]:
        return self._engine.allocate(count)

    def follow(self, slot: FrameSlot, look: Look) -> bool:
        return self._engine.follow(slot, look)

    def submit(self, slot: FrameSlot, look: Look) -> None:
        self._engine.submit(slot, look)

    def wait(self, slot: FrameSlot) -> None:
        self._engine.wait(slot)
        if not self.on:
            return
        cv2.cvtColor(slot.frame, cv2.COLOR_BGR2YCrCb, dst=self._camera)
        cv2.cvtColor(slot.stylized, cv2.COLOR_BGR2YCrCb, dst=self._painted)
        cv2.mixChannels([self._painted], [self._camera], [0, 0])
        cv2.cvtColor(self._camera, cv2.COLOR_YCrCb2BGR, dst=slot.stylized)

    def reset(self) -> None:
        self._engine.reset()

    def describe(self) -> EngineInfo:
        return self._engine.describe()

    def close(self) -> None:
        self._engine.close()
