"""A show's file."""

from datetime import datetime
from importlib.resources import files
from pathlib import Path

import pytest

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pixels import Size
from artmirror.runtime.show.hours import is_open, parse_opening
from artmirror.runtime.show.settings import Settings, read_settings


def read(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "show.toml"
    path.write_text(text)
    return read_settings(path)


def error_of(tmp_path: Path, text: str) -> str:
    with pytest.raises(ArtmirrorError) as caught:
        read(tmp_path, text)
    return str(caught.value.message)


def test_the_file_to_begin_with_is_right_and_names_every_setting(tmp_path: Path) -> None:
    text = (files("artmirror.runtime.show") / "example.toml").read_text()
    settings = read(tmp_path, text)
    assert settings.look.size == Size(360, 640)
    assert settings.playlist.every == 60
    said = {line.strip("# ").split("=")[0].strip() for line in text.splitlines() if "=" in line}
    for table, field in Settings.model_fields.items():
        kind = field.annotation
        inner = getattr(kind, "model_fields", None)
        for name in inner or ():
            if (table, name) not in {("look", "threads"), ("look", "device"), ("screen", "show"), ("screen", "size")}:
                assert name in said or name in (
                    "shown",
                    "most",
                    "model",
                    "hosts",
                    "link",
                    "preview_fps",
                    "osc_address",
                ), (
                    table,
                    name,
                )


def test_an_empty_file_is_a_show(tmp_path: Path) -> None:
    assert read(tmp_path, "") == Settings()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[camera]\nsources = []\n", "line 2: camera.sources"),
        ("[camera]\n\ncolour = 3\n", "line 3: camera.colour is no setting; there are: sources, size, rotation, mirror"),
        ("[look]\nstrength = 2\n", "line 2: look.strength: Input should be less than or equal to 1"),
        ('[look]\ncrossfade = "soon"\n', "line 2: look.crossfade: got 'soon'; wanted a number of seconds, or a text"),
        ("[screen]\nrotation = 45\n", "line 2: screen.rotation"),
        ('[camera]\nsize = "big"\n', "line 2: camera.size: got 'big'; wanted WIDTHxHEIGHT"),
        ('[hours]\nopen = ["Mon-Fri 9-18", "Noon"]\n', "line 2: hours.open[2]: got 'Noon'; wanted days and hours"),
        ('[[scene]]\nstyle = "starry"\n[[scene]]\nseconds = 3\n', "line 3: scene[2]: wanted exactly one of style"),
        ("[[output]]\nrate = 3\n", "line 1: output[1].to: Field required"),
        ("[nothing]\na = 1\n", "line 1: nothing is no setting; there are: title, camera, screen"),
        ('title = "a\\u0007"\n', "line 1: title: a character in it cannot be printed"),
        ("[camera\n", "is no TOML file"),
        ("title = 3\n", "line 1: title: Input should be a valid string"),
    ],
)
def test_mistakes_are_told_with_their_lines(tmp_path: Path, text: str, told: str) -> None:
    message = error_of(tmp_path, text)
    assert told in message
    assert "\n" not in message


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    message = error_of(tmp_path, "[look]\nstrength = 2\n[card]\nseconds = -1\n[x]\n")
    assert message.partition("toml: ")[2].startswith("line 2: ")
    for line in ("line 2", "line 4", "line 5"):
        assert line in message


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ArtmirrorError, match=r"st-show --init show\.toml"):
        read_settings(tmp_path / "show.toml")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("1.5", 1.5), ('"90 s"', 90), ('"2 min"', 120), ('"1.5 hours"', 5400), ('"1 h"', 3600)],
)
def test_times(tmp_path: Path, text: str, seconds: float) -> None:
    assert read(tmp_path, f"[presence]\nafter = {text}\n").presence.after == seconds


def test_what_needs_a_new_start() -> None:
    base = Settings()
    same = [{"title": "x"}, {"look": {"strength": 0.3}}, {"card": {"seconds": 3}}, {"photo": {"countdown": 5}}]
    new = [
        {"camera": {"mirror": False}},
        {"look": {"quality": "nano"}},
        {"photo": {"allow": False}},
        {"remote": {"port": 1}},
    ]
    assert not any(base.needs_new_start(Settings.model_validate(values)) for values in same)
    assert all(base.needs_new_start(Settings.model_validate(values)) for values in new)


MONDAY = datetime(2026, 11, 23)


@pytest.mark.parametrize(
    ("text", "day", "hour", "minute", "open_then"),
    [
        ("Mon-Fri 09:00-18:00", 0, 9, 0, True),
        ("Mon-Fri 09:00-18:00", 0, 8, 59, False),
        ("Mon-Fri 09:00-18:00", 4, 17, 59, True),
        ("Mon-Fri 09:00-18:00", 4, 18, 0, False),
        ("Mon-Fri 09:00-18:00", 5, 12, 0, False),
        ("Sat,Sun 10-20", 6, 19, 59, True),
        ("Sat-Tue 10-20", 0, 12, 0, True),
        ("Sat-Tue 10-20", 2, 12, 0, False),
        ("daily 20:00-02:00", 2, 23, 0, True),
        ("Wed 20:00-02:00", 3, 1, 30, True),  # the night from Wednesday on
        ("Wed 20:00-02:00", 2, 1, 30, False),
        ("daily 00:00-24:00", 2, 0, 0, True),
        ("daily 00:00-24:00", 2, 23, 59, True),
    ],
)
def test_hours(text: str, day: int, hour: int, minute: int, open_then: bool) -> None:
    now = MONDAY.replace(day=23 + day, hour=hour, minute=minute)
    assert is_open([parse_opening(text)], now) is open_then


def test_without_hours_it_is_always_open() -> None:
    assert is_open([], MONDAY)
