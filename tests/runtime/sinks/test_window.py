"""The window: keys, pace, figures."""

import shutil
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest

from artmirror.runtime.gallery.palette import Paint, Palette
from artmirror.runtime.sinks.hud import Hud
from artmirror.runtime.sinks.open import display_available
from artmirror.runtime.sinks.window import WindowSink
from tests.fakes.media import (
    error_of_sink,
    flat,
    format_of,
    make_slot,
)
from tests.places import ROOT

SIZE = (96, 128)


class FakeScreen:
    """OpenCV's windows, as far as they are used, with keys pressed by the test and a clock that waiting moves."""

    def __init__(self, keys: list[int] | None = None) -> None:
        self.keys = keys or []
        self.shown: list[np.ndarray] = []
        self.full_screen: list[float] = []
        self.open, self.now_s = False, 0.0

    def namedWindow(self, winname: str, flags: int = 0) -> None:
        self.open = True

    def resizeWindow(self, winname: str, width: int, height: int) -> None:
        self.size = (height, width)

    def imshow(self, winname: str, mat: np.ndarray) -> None:
        assert self.open
        self.shown.append(mat.copy())

    def waitKey(self, delay: int = 0) -> int:
        self.now_s += delay / 1000
        return self.keys.pop(0) if self.keys else -1

    def getWindowProperty(self, winname: str, prop_id: int) -> float:
        return float(self.open)

    def setWindowProperty(self, winname: str, prop_id: int, prop_value: float) -> None:
        self.full_screen.append(prop_value)

    def destroyWindow(self, winname: str) -> None:
        assert self.open
        self.open = False

    def monotonic(self) -> float:
        return self.now_s


def show(keys: list[int], count: int = 1) -> tuple[FakeScreen, list[bool]]:
    screen = FakeScreen(keys)
    sink = WindowSink(format_of(), screen=screen)
    slot, results = make_slot(SIZE), []
    for slot.id in range(count):
        slot.stylized[:] = 200
        results.append(sink.write(slot))
    return screen, results


@pytest.mark.parametrize("key", [ord("q"), ord("Q"), 27])
def test_window_stops_on_key(key):
    screen, results = show([-1, key], 3)
    assert results == [True, False, False]
    assert not screen.open


def test_closed_window_stops():
    screen = FakeScreen()
    sink = WindowSink(format_of(), screen=screen)
    slot = make_slot(SIZE)
    assert sink.write(slot)
    screen.open = False
    assert not sink.write(slot)
    sink.close()


def test_window_keys_for_full_screen_line_and_snapshot(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    screen, results = show([ord("f"), ord("f"), ord("h"), ord("s"), ord("s")], 6)
    assert all(results)
    assert screen.full_screen == [cv2.WINDOW_FULLSCREEN, cv2.WINDOW_NORMAL]
    assert [(picture == 200).all() for picture in screen.shown] == [False, False, False, True, True, True]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["artmirror_000.png", "artmirror_001.png"]
    assert (cv2.imread("artmirror_000.png") == 200).all()  # without the line of figures


def test_keys_turn_to_another_painting_and_change_the_strength():
    paints = [Paint(title, np.zeros(4, np.float32)) for title in ("The Starry Night", "K\u014dy\u014d", "c")]
    palette = Palette(paints)
    screen = FakeScreen(keys=[ord(key) for key in "nnp--+"])
    sink = WindowSink(replace(format_of(), controls=palette), screen=screen)
    slot = make_slot(SIZE)
    for slot.id in range(6):
        assert sink.write(slot)
    assert palette.title == paints[1].title
    assert palette.strength == pytest.approx(0.9)
    sink.close()


def test_file_in_a_window_is_paced_and_never_catches_up():
    screen = FakeScreen()
    sink = WindowSink(format_of(), screen=screen, monotonic=screen.monotonic)
    slot, moments = make_slot(SIZE), []
    for slot.id in range(6):
        slot.media_time_s = slot.id * Fraction(1, 25)
        screen.now_s += 0.5 if slot.id == 3 else 0.005  # the network's time
        sink.write(slot)
        moments.append(screen.now_s)
    steps = np.diff(moments)
    assert steps[2] == pytest.approx(0.5, abs=0.01)
    assert np.delete(steps, 2) == pytest.approx(0.04, abs=0.003)


def test_single_pictures_stay_until_a_key():
    screen = FakeScreen([-1, -1, ord("n"), -1, ord("q")])
    sink = WindowSink(format_of(rate=None), screen=screen)
    assert sink.write(make_slot(SIZE))
    assert not sink.write(make_slot(SIZE))
    assert len(screen.shown) == 2
    assert screen.keys == []


def test_hud_figures_and_their_pace(monkeypatch):
    texts: list[str] = []
    monkeypatch.setattr(cv2, "putText", lambda strip, text, *rest: texts.append(text))
    screen = FakeScreen()
    sink = WindowSink(format_of(), screen=screen)
    slot = make_slot(SIZE)
    for index in range(100):  # 50 frames per second for two seconds, every second frame dropped
        slot.id = 2 * index
        slot.stylized_ns = 10**9 + index * 20_000_000
        slot.captured_ns = slot.stylized_ns - 33_000_000
        sink.write(slot)
    assert len(texts) == 4
    assert texts[-1].split() == ["50.0", "FPS", "33.0", "ms", "75", "dropped"]


def test_hud_is_drawn_in_the_corner_only():
    hud = Hud()
    hud.update(0, 30.0, 12_000_000, 0)
    large, small = flat((200, 400), (9, 9, 9)), flat((10, 20), (9, 9, 9))
    hud.draw(large)
    hud.draw(small)
    assert large[:26, :330].max() > 200
    assert (large[26:] == 9).all()
    assert (large[:, 330:] == 9).all()


def test_no_display_is_an_error(monkeypatch):
    if sys.platform in ("win32", "darwin"):
        pytest.skip("there is always a display")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert not display_available()
    assert "no display" in error_of_sink("window:", format_of())


REAL_WINDOW = """
import artmirror.runtime.sinks.video, artmirror.runtime.sources.video  # PyAV too: the two can hang each other
from fractions import Fraction
from artmirror.runtime.sinks.base import SinkFormat
from artmirror.runtime.sinks.open import display_available, open_sink
from tests.fakes.media import halves, make_slot
assert display_available()
sink = open_sink("window:", SinkFormat((360, 640), Fraction(30), None, None))
slot = make_slot((360, 640))
slot.stylized[:] = halves((360, 640))
for slot.id in range(20):
    assert sink.write(slot)
sink.close()
sink.close()
print("shown")
"""


@pytest.mark.skipif(shutil.which("xvfb-run") is None, reason="needs xvfb-run")
def test_real_window_opens_and_closes():
    command = ["xvfb-run", "-a", sys.executable, "-c", REAL_WINDOW]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=30, check=False)
    assert (done.stdout, done.stderr) == ("shown\n", "")
