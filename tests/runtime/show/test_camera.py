"""A camera that fails in every way is looked for, and found."""

import time
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pixels import Pixels, Size
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.show import camera as module
from artmirror.runtime.show.camera import CameraState, WatchedSource, label_of
from artmirror.runtime.show.rehearsal import RehearsalSource
from tests.fakes.show_parts import ScriptedSource, noisy, wait_until

SIZE = Size(64, 96)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "_LATE_S": 0.2,
        "_HANGS_S": 0.4,
        "_OPENING_S": 2.0,
        "_FROZEN_S": 0.3,
        "_BLACK_S": 0.3,
        "_BACK_OFF_S": (0.3,),
        "_WATCH_S": 0.02,
    }.items():
        monkeypatch.setattr(module, name, value)


class Bench:
    """Sources in the order in which they are opened; the last one for all that follow."""

    def __init__(self, *makes: Callable[[int], Pixels | None] | Exception) -> None:
        self.makes = list(makes)
        self.opened: list[ScriptedSource] = []

    def open(self, uri: str) -> ScriptedSource:
        make = self.makes[min(len(self.opened), len(self.makes) - 1)]
        if isinstance(make, Exception):
            self.makes.remove(make)
            raise make
        self.opened.append(ScriptedSource(SIZE, make))
        return self.opened[-1]


@pytest.fixture
def watch() -> Iterator[Callable[..., WatchedSource]]:
    made: list[WatchedSource] = []

    def make(bench: Bench, uris: tuple[str, ...] = ("0",), **options: object) -> WatchedSource:
        made.append(WatchedSource(uris, bench.open, SIZE, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for source in made:
        source.close()


def slot() -> FrameSlot:
    return FrameSlot(np.zeros((*SIZE, 3), np.uint8), np.zeros((*SIZE, 3), np.uint8))


def test_pictures_come_through(watch: Callable[..., WatchedSource]) -> None:
    source = watch(Bench(noisy))
    place = slot()
    assert source.read(place)
    assert place.frame.mean() > 100
    assert place.captured_ns > 0
    wait_until(lambda: source.state is CameraState.OK)


@pytest.mark.parametrize("failure", ["ends", "error", "driver", "hangs", "frozen", "black"])
def test_it_comes_back_after(watch: Callable[..., WatchedSource], failure: str) -> None:
    def broken(number: int) -> Pixels | None:
        if number < 5:
            return noisy(number)
        if failure == "ends":
            return None
        if failure == "error":
            raise ArtmirrorError("unplugged")
        if failure == "driver":
            raise cv2.error("a driver's own")
        if failure == "hangs":
            time.sleep(1.5)
            return None
        return noisy(5) if failure == "frozen" else np.zeros((*SIZE, 3), np.uint8)

    bench = Bench(broken, ArtmirrorError("not yet"), noisy)
    if failure == "black":  # nothing is wrong with the camera: light comes back by itself
        lit = []
        bench = Bench(lambda number: noisy(number) if number < 5 or lit else np.zeros((*SIZE, 3), np.uint8))
    source = watch(bench)
    wait_until(lambda: source.state is CameraState.OK)
    wait_until(lambda: source.state is not CameraState.OK)
    wanted = {"frozen": CameraState.FROZEN, "black": CameraState.BLACK}.get(failure, CameraState.LOST)
    assert source.state in (wanted, CameraState.LOST)
    if failure == "black":
        lit.append(True)
    wait_until(lambda: source.state is CameraState.OK)
    before = source.losses
    place = slot()
    source.read(place)
    assert source.read(place)
    assert before >= 1


def test_a_film_begins_again_and_may_stand_still(watch: Callable[..., WatchedSource]) -> None:
    bench = Bench(lambda number: noisy(0) if number < 60 else None)
    source = watch(bench, watches=lambda uri: False)
    wait_until(lambda: len(bench.opened) >= 3)
    assert source.losses == 0


def test_turned_mirrored_and_scaled(watch: Callable[..., WatchedSource]) -> None:
    picture = np.zeros((*SIZE, 3), np.uint8)
    picture[:10, :20] = 255  # top left

    def still(number: int) -> Pixels:
        return picture

    bench = Bench(still)
    source = WatchedSource(["0"], bench.open, Size(96, 64), rotation=90, mirror=True, watches=lambda uri: False)
    place = FrameSlot(np.zeros((96, 64, 3), np.uint8), np.zeros((1, 1, 3), np.uint8))
    assert source.read(place)
    source.close()
    # A quarter turn clockwise takes the top left to the top right; the mirror back to the left.
    assert place.frame[:20, :10].min() == 255
    assert place.frame.sum() == 20 * 10 * 3 * 255


def test_resting_and_closing_end_a_read(watch: Callable[..., WatchedSource]) -> None:
    looked = []
    source = watch(Bench(noisy), look_at=lambda picture: looked.append(1))
    source.read(slot())
    source.rest(True)
    seen = len(looked)
    wait_until(lambda: len(looked) > seen + 3)  # it is still looked at
    ended = []
    assert not source.read(slot(), lambda: not ended.append(1))
    source.rest(False)
    assert source.read(slot())
    source.close()
    assert not source.read(slot())


def test_another_camera_is_taken_where_the_first_stays_away(watch: Callable[..., WatchedSource]) -> None:
    opened = []

    def open_one(uri: str) -> ScriptedSource:
        opened.append(uri)
        if uri == "0":
            raise ArtmirrorError("none")
        return ScriptedSource(SIZE, noisy)

    source = WatchedSource(["0", "1"], open_one, SIZE)
    wait_until(lambda: source.state is CameraState.OK)
    assert source.current == "1"
    assert opened.count("0") == 3
    source.choose(1)
    wait_until(lambda: source.state is CameraState.OK)
    source.close()


def test_the_snapshot_is_the_whole_picture(watch: Callable[..., WatchedSource]) -> None:
    bench = Bench(noisy)
    source = WatchedSource(["0"], bench.open, Size(64, 64))
    wait_until(lambda: source.state is CameraState.OK)
    found = source.snapshot()
    source.close()
    assert found is not None
    assert found.shape == (*SIZE, 3)


@pytest.mark.parametrize(
    ("uri", "label"),
    [
        ("0", "Camera 0"),
        ("camera:2", "Camera 2"),
        ("rtsp://name:secret@host:554/a", "Stream from host"),
        ("/home/somebody/film.mp4", "film.mp4"),
    ],
)
def test_labels_tell_no_secrets(uri: str, label: str) -> None:
    assert label_of(uri) == label


def test_a_rehearsal_fails_in_every_way() -> None:
    """With a clock that runs fast, one source shows all failures within some thousand frames."""
    seen = set()
    stalls: list[float] = []
    for seed in range(60):
        now = [0.0]

        def clock(now: list[float] = now) -> float:
            now[0] += 0.5
            return now[0]

        try:
            source = RehearsalSource("rehearsal:96x64@1000", SIZE, seed=seed, clock_s=clock, stall=stalls.append)
        except ArtmirrorError:
            seen.add("no opening")
            continue
        source._woken.set()
        place = slot()
        try:
            for _ in range(120):
                assert source.read(place)
                seen.add(source._failure)
        except ArtmirrorError:
            seen.add("dies")
        except cv2.error:
            seen.add("raises")
    assert stalls
    assert all(2 <= duration_s <= 6 for duration_s in stalls)
    assert {"", "no opening", "frozen", "black", "small", "dies", "raises"} <= seen


def test_a_calm_rehearsal_never_fails() -> None:
    source = RehearsalSource("rehearsal:96x64@1000+calm", SIZE, clock_s=iter(range(0, 10**9, 1000)).__next__)
    place = slot()
    before = place.frame.copy()
    for _ in range(20):
        assert source.read(place)
        assert not (place.frame == before).all()
        before = place.frame.copy()


def test_a_wrong_rehearsal_is_told() -> None:
    with pytest.raises(ArtmirrorError, match="rehearsal:640x360@30 is wanted"):
        RehearsalSource("rehearsal:big", SIZE)
