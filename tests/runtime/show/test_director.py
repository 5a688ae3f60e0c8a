"""Playlist, hours, presence, photo: with a clock that is set."""

from datetime import datetime
from typing import Any

import numpy as np
import pytest

from artmirror.runtime.gallery.palette import Paint
from artmirror.runtime.show.camera import CameraState
from artmirror.runtime.show.director import Director, Phase, PhotoStep
from artmirror.runtime.show.photo import PhotoBooth, PhotoStore
from artmirror.runtime.show.presence import Presence
from artmirror.runtime.show.scenes import Programme, Scene
from artmirror.runtime.show.settings import Settings
from artmirror.runtime.show.stage import Stage
from tests.fakes.engine import FakeEngine
from tests.fakes.show_parts import Clock, wait_until

SIZE = (64, 96)


class Camera:
    def __init__(self) -> None:
        self.state = CameraState.OK
        self.rests = False
        self.chosen = 0

    def rest(self, on: bool) -> None:
        self.rests = on

    def snapshot(self) -> Any:
        return np.full((*SIZE, 3), 30, np.uint8)

    def choose(self, index: int) -> None:
        self.chosen = index


class Set:
    """A director with everything around it."""

    def __init__(self, **settings: Any) -> None:
        self.settings = Settings.model_validate(settings)
        self.clock = Clock()
        self.now = datetime(2026, 11, 23, 12)  # a Monday
        scenes = [Scene(key, key.upper(), "", "", None, 10.0, {"full": Paint(key.upper())}) for key in "abc"]
        self.stage = Stage(
            Programme(scenes, [self.settings_path()]),
            self.settings.look,
            SIZE,
            open_network=lambda path: FakeEngine(SIZE),
        )
        self.camera = Camera()
        self.presence = Presence(self.clock)
        self.booth = PhotoBooth({0: FakeEngine(SIZE)}, PhotoStore(600, 5, self.clock))
        self.director = Director(
            self.settings,
            self.stage,
            self.camera,  # type: ignore[arg-type]
            self.presence,
            self.booth,
            clock_s=self.clock,
            wall_clock=lambda: self.now,
        )

    @staticmethod
    def settings_path() -> Any:
        from pathlib import Path

        return Path("fake.onnx")

    def after(self, seconds: float) -> Any:
        self.clock.now_s += seconds
        return self.director.tick()


def test_the_playlist_goes_on_by_itself_and_round() -> None:
    parts = Set()
    seen = []
    for _ in range(4):
        parts.after(5)
        seen.append(parts.stage.scene.key)
        parts.after(5.1)
    assert seen == ["a", "b", "c", "a"]
    assert parts.director.switches == 4


def test_held_it_stays() -> None:
    parts = Set()
    parts.director.hold(True)
    parts.after(100)
    assert parts.stage.scene.key == "a"
    parts.director.hold(False)
    parts.after(5)
    assert parts.stage.scene.key == "a"  # its time begins anew
    parts.after(5.1)
    assert parts.stage.scene.key == "b"


def test_a_hand_gives_a_painting_its_whole_time() -> None:
    parts = Set()
    parts.after(9)
    assert parts.director.show_key("c")
    parts.after(9)
    assert parts.stage.scene.key == "c"
    assert not parts.director.show_key("x")
    parts.director.previous()
    assert parts.stage.scene.key == "b"


def test_the_card_fades_in_stays_and_goes() -> None:
    parts = Set(card={"seconds": 8})
    parts.director.show(1)
    assert parts.after(0).card == 0
    assert 0 < parts.after(0.3).card < 1
    assert parts.after(2).card == 1
    assert parts.after(6).card == 0
    parts.director.show_card()
    assert parts.after(1).card == 1


def test_a_card_for_ever_and_none() -> None:
    assert Set(card={"seconds": 0}).after(9).card == 1
    assert Set(card={"show": False}).after(1).card == 0


def test_outside_the_hours_it_is_dark_and_the_camera_rests() -> None:
    parts = Set(hours={"open": ["Mon 09:00-18:00"]})
    assert parts.after(1).phase is Phase.RUNNING
    parts.now = parts.now.replace(hour=18)
    view = parts.after(1)
    assert (view.phase, view.brightness) == (Phase.CLOSED, 0.0)
    assert parts.camera.rests
    parts.after(100)
    assert parts.stage.scene.key == "a"  # nobody misses a painting
    parts.now = parts.now.replace(day=30, hour=9)
    assert parts.after(1).phase is Phase.RUNNING
    assert not parts.camera.rests


@pytest.mark.parametrize(("then", "least", "rests"), [("dim", 0.12, False), ("off", 0.0, True)])
def test_nobody_there(then: str, least: float, rests: bool) -> None:
    parts = Set(presence={"after": 60, "then": then})
    parts.director.hold(True)
    assert parts.after(59).brightness == 1
    parts.after(2)
    assert parts.after(1).brightness < 1
    view = parts.after(5)
    assert view.phase is Phase.AWAY
    assert view.brightness == pytest.approx(least)
    assert parts.camera.rests is rests
    parts.presence.seen_s = parts.clock.now_s  # somebody comes
    assert parts.after(0.1).brightness == 1
    assert not parts.camera.rests


def test_a_lost_camera_is_a_phase() -> None:
    parts = Set()
    parts.camera.state = CameraState.LOST
    assert parts.after(1).phase is Phase.NO_CAMERA
    assert not parts.director.take_photo()
    parts.camera.state = CameraState.OK
    assert parts.after(1).phase is Phase.RUNNING


def test_black_by_hand() -> None:
    parts = Set()
    parts.director.black(True)
    assert parts.after(1).brightness == 0
    parts.director.black(False)
    assert parts.after(1).brightness == 1


def test_a_photo_from_countdown_to_gone() -> None:
    parts = Set(photo={"countdown": 3, "shown": 15})
    assert parts.director.take_photo()
    assert not parts.director.take_photo()  # one at a time
    assert [parts.after(0.5).countdown, parts.after(1).countdown, parts.after(1).countdown] == [3, 2, 1]
    parts.after(0.6)
    assert parts.director.photo_step is PhotoStep.PAINTING
    assert parts.booth is not None
    wait_until(lambda: not parts.booth.busy)
    view = parts.after(0.1)
    assert view.photo is not None
    assert parts.booth.store.get(view.photo.key) is view.photo
    assert view.photo.title == "A"
    assert view.card == 0
    assert parts.after(14).photo is not None
    parts.after(2)
    assert parts.director.photo_step is PhotoStep.NONE
    assert parts.booth.store.get(view.photo.key) is not None  # off the screen, but still to be had
    parts.clock.now_s += 600
    assert parts.booth.store.get(view.photo.key) is None
    assert parts.director.photos == 1


def test_the_painting_waits_for_the_photo() -> None:
    parts = Set(photo={"countdown": 10})
    parts.after(9.5)
    parts.director.take_photo()
    parts.after(1)
    assert parts.stage.scene.key == "a"


def test_settings_that_change_leave_what_hands_did() -> None:
    parts = Set()
    parts.director.set_strength(0.4)
    parts.director.adjust(Settings.model_validate({"card": {"seconds": 3}}))
    assert parts.stage.palette.strength == 0.4
    parts.director.adjust(Settings.model_validate({"look": {"strength": 0.7, "keep_colours": True}}))
    assert parts.stage.palette.strength == 0.7
    assert parts.stage.keep_colours


def test_photos_are_not_guessed_and_the_oldest_goes_first() -> None:
    clock = Clock()
    store = PhotoStore(600, 2, clock)
    photos = [store.add(b"jpeg", "x") for _ in range(3)]
    assert len({photo.key for photo in photos}) == 3
    assert all(len(photo.key) == 32 for photo in photos)
    assert store.get(photos[0].key) is None
    assert store.get(photos[2].key) is photos[2]
    clock.now_s += 601
    assert store.get(photos[2].key) is None
    assert len(store) == 0


def test_a_photo_that_fails_is_told() -> None:
    parts = Set(photo={"countdown": 0})
    parts.booth._engines[0] = FakeEngine((32, 32))
    parts.director.take_photo()
    parts.after(0.1)
    wait_until(lambda: not parts.booth.busy)
    parts.after(0.1)
    assert parts.director.photo_step is PhotoStep.FAILED
    parts.director.end_photo()
    assert parts.director.photo_step is PhotoStep.NONE


def test_presence_sees_who_moves_and_not_the_noise() -> None:
    clock = Clock()
    presence = Presence(clock)
    noise = np.random.default_rng(0)

    def look(person: int | None) -> None:
        picture = noise.integers(90, 110, (180, 320, 3), np.uint8)
        if person is not None:
            picture[60:, person : person + 60] = 220
        clock.now_s += 0.25
        presence.look_at(picture)

    for _ in range(40):
        look(None)
    assert presence.away_s >= 9
    look(20)
    assert presence.away_s < 1
    for step in range(8):
        look(20 + 20 * step)
    assert presence.away_s < 1
