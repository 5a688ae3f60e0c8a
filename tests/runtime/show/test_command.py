"""`st-show` beside the show itself: its file, its service, its memory, other hands, the mask."""

import io
import json
import os
import socket
import stat
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.engines.base import stylize
from artmirror.runtime.show import mask as mask_module
from artmirror.runtime.show import service
from artmirror.runtime.show.cli import main
from artmirror.runtime.show.controllers import MidiDoor, OscDoor
from artmirror.runtime.show.kept import KeptFile
from artmirror.runtime.show.mask import MaskedEngine, PersonMask, download_model
from artmirror.runtime.show.remote import RemoteDoor, base_address, join_address
from artmirror.runtime.show.settings import Remote
from tests.fakes.engine import FakeEngine
from tests.fakes.show_parts import wait_until


def run(*arguments: str) -> Any:
    return CliRunner().invoke(main, list(arguments))


def test_a_file_to_begin_with(tmp_path: Path) -> None:
    path = tmp_path / "show.toml"
    assert run("--init", str(path)).exit_code == 0
    done = run("--check", str(path))
    assert done.exit_code == 0
    assert "The Starry Night, Vincent van Gogh, 1889 (60 s)" in done.output
    again = run("--init", str(path))
    assert again.exit_code == 1
    assert "is there already" in again.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "st-show --init show.toml writes one"),
        (("missing.toml",), "cannot read missing.toml"),
        (("--check", "missing.toml"), "cannot read missing.toml"),
        (("--link", "missing.toml"), "cannot read missing.toml"),
        (("--install-service", "missing.toml"), "cannot read missing.toml"),
        (("--uninstall-service",), "nothing was installed"),
    ],
)
def test_mistakes_get_one_line(
    arguments: tuple[str, ...], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    done = run(*arguments)
    assert done.exit_code in (1, 2)
    assert told in done.output
    assert "Traceback" not in done.output


def test_the_service_runs_this_python_and_restarts_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("DISPLAY", ":7")
    path = tmp_path / "show.toml"
    path.write_text("")
    done = run("--install-service", str(path))
    assert done.exit_code == 0
    assert f"systemctl --user enable --now {service.UNIT}" in done.output
    text = service.unit_path().read_text()
    for line in ("Type=notify", "Restart=always", f"WatchdogSec={service.WATCHDOG_S}", "Environment=DISPLAY=:7"):
        assert line in text
    assert f'-m artmirror.runtime.show.cli "{path}"' in text
    assert run("--uninstall-service").exit_code == 0
    assert not service.unit_path().exists()


def test_a_path_that_systemd_would_misread_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = tmp_path / "100%.toml"
    path.write_text("")
    done = run("--install-service", str(path))
    assert done.exit_code == 1
    assert "rename it" in done.output


def test_notify_speaks_to_systemd_and_to_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service.notify("READY=1")  # nobody listens
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "n"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "n"))
        service.notify("WATCHDOG=1")
        assert listener.recv(100) == b"WATCHDOG=1"
    (tmp_path / "n").unlink()
    service.notify("WATCHDOG=1")  # it went away


def test_what_is_kept_is_for_its_owner_and_survives_damage(tmp_path: Path) -> None:
    path = tmp_path / "a" / "show.json"
    kept = KeptFile(path)
    kept.values.scene = "wave"
    assert kept.save()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = KeptFile(path)
    assert (again.values.scene, again.values.token) == ("wave", kept.values.token)
    assert set(json.loads(path.read_text())) == {"token", "scene", "held"}
    path.write_text("{")
    assert KeptFile(path).values.token not in ("", kept.values.token)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_full_disk_does_not_end_the_show(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert not KeptFile(tmp_path / "a" / "show.json").save()


def test_links() -> None:
    assert join_address(Remote(), "t") == "http://127.0.0.1:8470/"
    assert join_address(Remote(address="192.168.1.5"), "t") == "http://192.168.1.5:8470/join?token=t"
    assert join_address(Remote(address="0.0.0.0", link="https://mirror.example/"), "t") == (
        "https://mirror.example/join?token=t"
    )
    assert base_address(Remote(address="::1"), 1) == "http://[::1]:1"


def test_a_port_that_is_taken_is_told() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(ArtmirrorError, match="choose another port"):
            RemoteDoor(Remote(port=other.getsockname()[1]), "t")


class Director:
    def __init__(self) -> None:
        self.done: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        def note(*values: Any) -> bool:
            self.done.append((name, *values))
            return True

        return note


def test_osc_reaches_the_show() -> None:
    from pythonosc.udp_client import SimpleUDPClient

    door = OscDoor("127.0.0.1", 0)
    director = Director()
    door.admit(SimpleNamespace(director=director))  # type: ignore[arg-type]
    client = SimpleUDPClient("127.0.0.1", door.port)
    for address, value in (
        ("/artmirror/next", []),
        ("/artmirror/next", 0.0),  # a button that is let go
        ("/artmirror/previous", 1.0),
        ("/artmirror/strength", 0.25),
        ("/artmirror/strength", 7.0),
        ("/artmirror/show", "wave"),
        ("/artmirror/show", 3),
        ("/artmirror/black", 1),
        ("/artmirror/keep_colours", 0),
        ("/artmirror/photo", 1),
        ("/artmirror/nothing", 1),
        ("/other/next", 1),
    ):
        client.send_message(address, value)
    wait_until(lambda: len(director.done) >= 9)
    assert director.done == [
        ("next",),
        ("previous",),
        ("set_strength", 0.25),
        ("set_strength", 1.0),
        ("show_key", "wave"),
        ("show", 3),
        ("black", True),
        ("set_keep_colours", False),
        ("take_photo",),
    ]
    door.admit(None)
    assert not door.act("next", None)
    door.close()


def test_midi_reaches_the_show(monkeypatch: pytest.MonkeyPatch) -> None:
    door = MidiDoor.__new__(MidiDoor)
    director = Director()
    door.admit(SimpleNamespace(director=director))  # type: ignore[arg-type]
    for message in (
        SimpleNamespace(type="control_change", control=1, value=127),
        SimpleNamespace(type="control_change", control=7, value=127),
        SimpleNamespace(type="note_on", note=38, velocity=90),
        SimpleNamespace(type="note_on", note=38, velocity=0),
        SimpleNamespace(type="note_on", note=24, velocity=90),
        SimpleNamespace(type="note_off", note=24, velocity=0),
    ):
        door.hear(message)
    assert director.done == [("set_strength", 1.0), ("show", 2), ("take_photo",)]


def test_midi_without_its_packages_or_port_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "mido", None)
    with pytest.raises(ArtmirrorError, match=r"artmirror\[midi\]"):
        MidiDoor("knobs")
    monkeypatch.setitem(sys.modules, "mido", SimpleNamespace(get_input_names=lambda: ["Keys"]))
    with pytest.raises(ArtmirrorError, match="there are: Keys"):
        MidiDoor("knobs")


SIZE = (64, 96)


class Mask:
    """The left half is a person."""

    def __init__(self) -> None:
        self.newest = np.zeros((144, 256), np.uint8)
        self.newest[:, :128] = 255
        self.offered = 0

    def offer(self, frame: Any) -> None:
        self.offered += 1


@pytest.mark.parametrize("paint_person", [True, False])
def test_the_mask_paints_one_part_and_leaves_the_other(paint_person: bool) -> None:
    mask = Mask()
    engine = MaskedEngine(FakeEngine(SIZE), mask, paint_person=paint_person)  # type: ignore[arg-type]
    slot = engine.allocate(1)[0]
    slot.frame[:] = 40  # which the fake engine paints as 215
    stylize(engine, slot)
    left, right = slot.stylized[:, :44], slot.stylized[:, 52:]
    assert {int(left.min()), int(left.max())} == ({215} if paint_person else {40})
    assert {int(right.min()), int(right.max())} == ({40} if paint_person else {215})
    assert mask.offered == 1
    assert (slot.frame == 40).all()


@pytest.mark.parametrize("paint_person", [True, False])
def test_the_mask_follows_who_comes_and_goes(paint_person: bool) -> None:
    """Only the part with people is mixed, and only a new mask is looked at: what was there before must not stay."""
    mask = Mask()
    engine = MaskedEngine(FakeEngine(SIZE), mask, paint_person=paint_person)  # type: ignore[arg-type]
    slot = engine.allocate(1)[0]
    person, other = (215, 40) if paint_person else (40, 215)
    someone = np.zeros((144, 256), np.uint8)
    someone[48:96, 96:160] = 255
    nobody = np.zeros((144, 256), np.uint8)
    for newest in (mask.newest, someone, nobody, someone):
        mask.newest = newest
        slot.frame[:] = 40
        stylize(engine, slot)
        found = slot.stylized[..., 0]
        expected = np.where(cv2.resize(newest, SIZE[::-1], interpolation=cv2.INTER_NEAREST) > 0, person, other)
        surely = cv2.dilate(newest, np.ones((9, 9))) == cv2.erode(newest, np.ones((9, 9)))  # off the soft edge
        surely = cv2.resize(surely.astype(np.uint8), SIZE[::-1], interpolation=cv2.INTER_NEAREST) > 0
        assert surely.mean() > 0.8
        assert (found[surely] == expected[surely]).all()


def test_a_model_that_is_missing_or_another_one_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArtmirrorError, match="--get-mask-model"):
        PersonMask(tmp_path / "none.tflite")
    (tmp_path / "bad.tflite").write_bytes(b"nothing")
    with pytest.raises(ArtmirrorError, match="damaged"):
        PersonMask(tmp_path / "bad.tflite")
    with tarfile.open(tmp_path / "other.tgz", mode="w:gz") as files:
        member = tarfile.TarInfo(mask_module._MEMBER)
        member.size = 3
        files.addfile(member, io.BytesIO(b"abc"))
    monkeypatch.setattr(mask_module, "npm_archive", lambda package, version: tmp_path / "other.tgz")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ArtmirrorError, match="another file than expected"):
        download_model()
    assert not mask_module.model_path().exists()


@pytest.mark.shared
def test_a_real_person_is_found() -> None:
    from tests.places import SHARED

    if not mask_module.model_path().is_file():
        pytest.skip("needs the model: st-show --get-mask-model")
    clip = SHARED / "data" / "webcam" / "asl_again.mp4"
    if not clip.is_file():
        pytest.skip(f"needs {clip}")
    done, picture = cv2.VideoCapture(str(clip)).read()
    assert done
    mask = PersonMask(mask_module.model_path())
    found = mask.find(np.asarray(cv2.resize(picture, (256, 144)), np.uint8))
    mask.close()
    assert found[70:140, 100:150].mean() > 200  # the chest, in the middle
    assert found[:40, :40].mean() < 40  # the wall
