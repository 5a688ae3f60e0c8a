"""The camera: its size, its pictures, its loss and return."""

import itertools
import threading
import time
from fractions import Fraction

import cv2
import numpy as np
import pytest

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.sources import camera as source_camera
from artmirror.runtime.sources.camera import CameraSource
from tests.fakes.media import FakeClock, error_of, halves, make_slot


class FakeCapture:
    """A camera that gives `size` whatever it is asked for, and reads `pictures` before it drops out."""

    def __init__(self, size: tuple[int, int], pictures: int, opens: bool = True) -> None:
        self.size, self.left, self.opens = size, pictures, opens
        self.asked: list[int] = []
        self.released = False

    def isOpened(self) -> bool:
        return self.opens

    def set(self, propId: int, value: float) -> bool:
        self.asked.append(propId)
        return True

    def get(self, propId: int) -> float:
        return 29.97

    def read(self, image: object = None) -> tuple[bool, np.ndarray]:
        assert not self.released
        if self.left == 0:
            return True, None  # type: ignore[return-value]  # what OpenCV does for a broken picture
        self.left -= 1
        return True, halves(self.size)

    def release(self) -> None:
        self.released = True


def test_camera_gives_its_own_size_and_asks_in_order():
    capture = FakeCapture((240, 320), 3)
    source = CameraSource(0, None, False, opener=lambda number: capture)
    assert (source.size, source.live, source.rate) == ((240, 320), True, Fraction(2997, 100))
    assert capture.asked[:3] == [cv2.CAP_PROP_FOURCC, cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT]
    slot = make_slot((240, 320))
    assert source.read(slot)
    assert np.array_equal(slot.frame, halves((240, 320)))
    assert slot.captured_ns > 0
    source.close()
    assert capture.released
    assert source.read(slot) is False


def test_camera_picture_is_fitted_to_the_asked_size():
    source = CameraSource(0, (128, 128), True, opener=lambda number: FakeCapture((240, 320), 3))
    slot = make_slot((128, 128))
    assert source.read(slot)
    assert slot.frame[0, -1].min() > 250
    assert slot.frame[0, 0].max() == 0


def test_opencv_writes_straight_into_the_slot(monkeypatch):
    class Filling(FakeCapture):
        def read(self, image: np.ndarray) -> tuple[bool, np.ndarray]:
            done, picture = super().read()
            if image.shape != picture.shape:  # what OpenCV does
                return done, picture
            image[:] = picture
            return done, image

    source = CameraSource(0, None, False, opener=lambda number: Filling((96, 128), 5))
    slot = make_slot((96, 128))
    monkeypatch.setattr(source_camera, "place", lambda *_: pytest.fail("it was copied"))
    assert source.read(slot)
    assert np.array_equal(slot.frame, halves((96, 128)))


def test_lost_camera_comes_back(caplog):
    first, dead, back = FakeCapture((96, 128), 2), FakeCapture((96, 128), 0, opens=False), FakeCapture((96, 128), 5)
    captures = iter([first, dead, dead, back])
    clock = FakeClock()
    source = CameraSource(
        0, None, False, opener=lambda number: next(captures), monotonic=clock.monotonic, sleep=clock.sleep
    )
    slot = make_slot((96, 128))
    assert source.read(slot)
    slot.frame[:] = 0
    with caplog.at_level("WARNING", logger="artmirror.runtime"):
        assert source.read(slot)
    assert slot.frame[0, 0].min() == 255
    assert [record.message for record in caplog.records] == [
        "camera 0 is lost; looking for it for 30 s",
        "camera 0 is back after 3 s",
    ]
    assert first.released


def test_camera_that_stays_away_is_an_error():
    captures = itertools.chain([FakeCapture((96, 128), 1)], itertools.repeat(FakeCapture((96, 128), 0, opens=False)))
    clock = FakeClock()
    source = CameraSource(
        0, None, False, opener=lambda number: next(captures), monotonic=clock.monotonic, sleep=clock.sleep
    )
    with pytest.raises(ArtmirrorError, match="did not come back within 30 s"):
        source.read(make_slot((96, 128)))
    assert 30 <= clock.now_s - 100 <= 33


def test_close_ends_the_search_for_a_camera():
    captures = itertools.chain([FakeCapture((96, 128), 1)], itertools.repeat(FakeCapture((96, 128), 0, opens=False)))
    source = CameraSource(0, None, False, opener=lambda number: next(captures))
    results: list[bool] = []
    reader = threading.Thread(target=lambda: results.append(source.read(make_slot((96, 128)))))
    reader.start()
    time.sleep(0.1)
    source.close()
    reader.join(5)
    assert results == [False]


def test_missing_camera_is_one_quiet_line(capfd):
    message = error_of("987")
    assert "camera 987 cannot be opened" in message
    assert capfd.readouterr().err == ""
    with pytest.raises(ArtmirrorError, match="gives no picture"):
        CameraSource(0, None, False, opener=lambda number: FakeCapture((96, 128), 0))
