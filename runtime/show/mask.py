"""Painting the visitor alone, or all but the visitor: a mask of people, found ten times a second beside the engine.

The network is MediaPipe's selfie segmentation (Apache-2.0), which OpenCV runs. It is downloaded once, by
`st-show --get-mask-model`.
"""

import hashlib
import logging
import tarfile
import threading
import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from artmirror.runtime.common.cache import cache_folder, write_cache
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.npm import npm_archive
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.common.priority import give_way
from artmirror.runtime.engines.base import Engine, EngineInfo, Look
from artmirror.runtime.frame import FrameSlot

_log = logging.getLogger("artmirror.show")

_PACKAGE, _VERSION = "@mediapipe/selfie_segmentation", "0.1.1675465747"
_MEMBER = "package/selfie_segmentation_landscape.tflite"
_SHA256 = "4aafe6223bb8dac6fac8ca8ed56852870a33051ef3f6238822d282a109962894"
_INPUT = (256, 144)  # (w, h)
_PERIOD_S = 0.1
_SMOOTH = 0.6  # of the new mask; the rest is the one before
_FEATHER = 5  # pixels of the small mask

Mask = NDArray[np.uint8]  # (h, w) in [0, 255], 255 where there is a person


def model_path() -> Path:
    """Where the network lies once it was downloaded."""
    return cache_folder() / "selfie_segmentation_landscape.tflite"


def download_model() -> Path:
    """Fetch the network, 4 MB of which 0.25 MB are kept.

    Raises:
        ArtmirrorError: there is no connection, or it is another file than expected.
    """
    archive = npm_archive(_PACKAGE, _VERSION)
    try:
        with tarfile.open(archive) as files:
            member = files.extractfile(_MEMBER)
            content = member.read() if member is not None else b""
    except (OSError, tarfile.TarError, KeyError) as error:
        raise ArtmirrorError(f"{archive} is damaged: {error}; remove it and try again") from None
    if hashlib.sha256(content).hexdigest() != _SHA256:
        raise ArtmirrorError(f"{archive} holds another file than expected: remove it and try again")
    if not write_cache(model_path(), content):
        raise ArtmirrorError(f"cannot write {model_path()}: make room, or check its permissions")
    return model_path()


class PersonMask:
    """Finds people in the newest frame, in a thread of its own.

    Raises:
        ArtmirrorError: the network is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise ArtmirrorError(f"there is no {path}: run st-show --get-mask-model once, with a connection")
        try:
            self._network = cv2.dnn.readNetFromTFLite(str(path))
        except cv2.error as error:
            raise ArtmirrorError(f"{path} is damaged: {error.err}; run st-show --get-mask-model again") from None
        self._changed = threading.Condition()
        self._small: Pixels = np.zeros((_INPUT[1], _INPUT[0], 3), np.uint8)
        self._waiting = self._ended = False
        self._offered_s = 0.0
        self.newest: Mask = np.full((_INPUT[1], _INPUT[0]), 255, np.uint8)
        self.count = 0
        self._before: NDArray[np.float32] | None = None
        self._thread = threading.Thread(target=self._work, name="mask", daemon=True)
        self._thread.start()

    def offer(self, frame: Pixels) -> None:
        """Look for people in a frame, unless that was done a moment ago; costs next to nothing."""
        now_s = time.monotonic()
        if now_s - self._offered_s < _PERIOD_S:
            return
        self._offered_s = now_s
        with self._changed:
            cv2.resize(frame, _INPUT, dst=self._small, interpolation=cv2.INTER_AREA)
            self._waiting = True
            self._changed.notify()

    def find(self, small: Pixels) -> Mask:  # (144, 256, 3) uint8 BGR
        """The mask of one small picture."""
        rgb = cv2.cvtColor(small, cv2.COLOR_BGR2RGB).astype(np.float32) / 255
        self._network.setInput(np.ascontiguousarray(rgb.transpose(2, 0, 1)[None]))
        found = np.asarray(self._network.forward(), np.float32).reshape(_INPUT[1], _INPUT[0])
        self._before = found if self._before is None else _SMOOTH * found + (1 - _SMOOTH) * self._before
        soft = cv2.GaussianBlur(self._before, (_FEATHER, _FEATHER), 0)
        return np.asarray(np.clip((soft - 0.2) * (255 / 0.6), 0, 255), np.uint8)

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join(timeout=2)

    def _work(self) -> None:
        give_way()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ended)
                if self._ended:
                    return
                self._waiting = False
                small = self._small.copy()
            try:
                self.newest = self.find(small)
                self.count += 1
            except cv2.error as error:
                _log.warning("the mask failed: %s", error.err)


class MaskedEngine:
    """An engine around another one: the painted picture where the mask says so, the frame elsewhere."""

    def __init__(self, engine: Engine, mask: PersonMask, *, paint_person: bool) -> None:
        self._engine, self._mask, self._paint_person = engine, mask, paint_person
        self.manifest = engine.manifest
        self.has_strength = engine.has_strength
        self.max_in_flight = engine.max_in_flight
        height, width = engine.describe().size
        self._alpha: Mask = np.empty((height, width), np.uint8)
        self._wide: Pixels = np.empty((height, width, 3), np.uint8)
        self._back: Pixels = np.empty((height, width, 3), np.uint8)

    def allocate(self, count: int) -> list[FrameSlot]:
        return self._engine.allocate(count)

    def submit(self, slot: FrameSlot, look: Look) -> None:
        self._mask.offer(slot.frame)
        self._engine.submit(slot, look)

    def wait(self, slot: FrameSlot) -> None:
        self._engine.wait(slot)
        height, width = self._alpha.shape
        cv2.resize(self._mask.newest, (width, height), dst=self._alpha, interpolation=cv2.INTER_LINEAR)
        if not self._paint_person:
            cv2.bitwise_not(self._alpha, dst=self._alpha)
        cv2.cvtColor(self._alpha, cv2.COLOR_GRAY2BGR, dst=self._wide)
        cv2.multiply(slot.stylized, self._wide, dst=slot.stylized, scale=1 / 255)
        cv2.bitwise_not(self._wide, dst=self._wide)
        cv2.multiply(slot.frame, self._wide, dst=self._back, scale=1 / 255)
        cv2.add(slot.stylized, self._back, dst=slot.stylized)

    def reset(self) -> None:
        self._engine.reset()

    def describe(self) -> EngineInfo:
        return self._engine.describe()

    def close(self) -> None:
        self._engine.close()
