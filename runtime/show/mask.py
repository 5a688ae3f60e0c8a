"""Painting the visitor alone, or all but the visitor: a mask of people, found ten times a second beside the engine.

The network is MediaPipe's selfie segmentation (Apache-2.0), which OpenVINO runs on one core: in a quarter of the time
that OpenCV takes for it. It is downloaded once, by `st-show --get-mask-model`.
"""

import hashlib
import logging
import tarfile
import threading
import time
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from openvino import opset13 as ops
from openvino.frontend import ConversionExtension

from artmirror.runtime.common.cache import cache_folder, write_cache
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.npm import npm_archive
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.common.priority import give_way
from artmirror.runtime.engines.base import Engine, EngineInfo, Look
from artmirror.runtime.engines.openvino import first_line, shared_core
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
            self._find = _compile(path)
        except Exception as error:  # a damaged graph may raise nearly anything
            why = first_line(error)
            raise ArtmirrorError(f"{path} is damaged: {why}; run st-show --get-mask-model again") from None
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
        found = np.array(self._find.infer([rgb[None]])[0], np.float32).reshape(_INPUT[1], _INPUT[0])
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
            except RuntimeError as error:
                _log.warning("the mask failed: %s", first_line(error))


def _compile(path: Path) -> Any:
    """A request of the network, for (1, h, w, 3) float32 RGB in [0, 1]; its answer is (1, h, w, 1), 1 for a person."""
    _teach()
    properties = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "ENABLE_CPU_PINNING": False}
    return shared_core().compile_model(shared_core().read_model(path), "CPU", properties).create_infer_request()


@cache  # a Core keeps what it was taught
def _teach() -> None:
    """Say what MediaPipe's own operation is, of which OpenVINO knows nothing.

    A transposed convolution with a bias, whose kernel is as large as its step: 2. Weights are (O, 2, 2, I).
    """

    def convert(node: Any) -> Any:
        picture, weights, bias = (node.get_input(number) for number in range(3))
        nchw = ops.transpose(picture, np.array([0, 3, 1, 2]))
        kernel = ops.transpose(weights, np.array([3, 0, 1, 2]))  # (I, O, 2, 2)
        doubled = ops.convolution_backprop_data(nchw, kernel, strides=[2, 2])
        return ops.add(ops.transpose(doubled, np.array([0, 2, 3, 1])), bias).outputs()

    shared_core().add_extension(ConversionExtension("Convolution2DTransposeBias", convert))


class MaskedEngine:
    """An engine around another one: the painted picture where the mask says so, the frame elsewhere."""

    def __init__(self, engine: Engine, mask: PersonMask, *, paint_person: bool) -> None:
        self._engine, self._mask, self._paint_person = engine, mask, paint_person
        self.manifest = engine.manifest
        self.has_strength = engine.has_strength
        self.max_in_flight = engine.max_in_flight
        height, width = engine.describe().size
        self._spread_mask: Mask | None = None
        self._share = np.empty((height, width), np.uint8)  # of what is found to be a person, of 255
        self._shares, self._rests, self._people, self._others = (
            np.empty((height, width, 3), np.uint8) for _ in range(4)
        )
        self._rows = self._columns = slice(0, 0)  # the part with people

    def allocate(self, count: int) -> list[FrameSlot]:
        return self._engine.allocate(count)

    def follow(self, slot: FrameSlot, look: Look) -> bool:
        return self._engine.follow(slot, look)

    def submit(self, slot: FrameSlot, look: Look) -> None:
        self._mask.offer(slot.frame)
        self._engine.submit(slot, look)

    def wait(self, slot: FrameSlot) -> None:
        self._engine.wait(slot)
        newest = self._mask.newest
        if newest is not self._spread_mask:  # ten times a second, not with every frame
            self._spread(newest)
        part = np.s_[self._rows, self._columns]
        people, others = (slot.stylized, slot.frame) if self._paint_person else (slot.frame, slot.stylized)
        if self._rows.stop > self._rows.start:
            cv2.multiply(people[part], self._shares[part], dst=self._people[part], scale=1 / 255)
            cv2.multiply(others[part], self._rests[part], dst=self._others[part], scale=1 / 255)
        if self._paint_person:
            np.copyto(slot.stylized, slot.frame)
        if self._rows.stop > self._rows.start:
            cv2.add(self._people[part], self._others[part], dst=slot.stylized[part])

    def _spread(self, mask: Mask) -> None:
        """Bring a mask to the size of the frame, and find the part of it that has people."""
        height, width = self._share.shape
        cv2.resize(mask, (width, height), dst=self._share, interpolation=cv2.INTER_LINEAR)
        cv2.cvtColor(self._share, cv2.COLOR_GRAY2BGR, dst=self._shares)
        cv2.bitwise_not(self._shares, dst=self._rests)
        left, top, across, down = cv2.boundingRect(self._share)
        self._rows, self._columns = slice(top, top + down), slice(left, left + across)
        self._spread_mask = mask

    def reset(self) -> None:
        self._engine.reset()

    def describe(self) -> EngineInfo:
        return self._engine.describe()

    def close(self) -> None:
        self._engine.close()
