"""The whole show, as a process: its page's requests, its file, its end."""

import json
import os
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from artmirror.runtime.common.pictures import encode_picture
from tests.fakes.running_show import RunningShow, running_show
from tests.fakes.show_parts import wait_until


@pytest.fixture(scope="module")
def show(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningShow]:
    with running_show(tmp_path_factory.mktemp("show"), remote="allow_paintings = true") as running:
        yield running


def test_it_paints_and_says_so(show: RunningShow) -> None:
    state = show.get("/api/state")
    assert state["headline"].startswith("Running, ")
    assert state["headline"].endswith("camera ok")
    assert (state["title"], state["quality"], state["is_well"]) == ("A test", "nano", True)
    assert show.text_of("/healthz") == "ok"
    assert [scene["key"] for scene in show.get("/api/scenes")] == ["starry", "wave"]


def test_hands_change_it(show: RunningShow) -> None:
    assert show.post("/api/show", {"key": "wave"}) == 200
    show.wait_for(scene="wave", scene_title="The Great Wave off Kanagawa")
    assert show.post("/api/next") == 200
    show.wait_for(scene="starry")
    assert show.post("/api/previous") == 200
    show.wait_for(scene="wave")
    assert show.post("/api/look", {"strength": 0.5, "keep_colours": True}) == 200
    show.wait_for(strength=0.5, keep_colours=True)
    assert show.post("/api/look", {"strength": 1.0, "keep_colours": False}) == 200
    for name, key in (("hold", "held"), ("black", "black")):
        for on in (True, False):
            assert show.post(f"/api/{name}", {"on": on}) == 200
            show.wait_for(**{key: on})
    assert show.post("/api/card") == 200
    assert show.post("/api/camera", {"index": 0}) == 200
    show.wait_for(camera="ok", black=False)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/show", {"key": "../../etc/passwd"}, 404),
        ("/api/show", {}, 422),
        ("/api/show", {"key": 3}, 422),
        ("/api/look", {"strength": 2}, 422),
        ("/api/look", {"colour": 2}, 422),
        ("/api/hold", {"on": "yes"}, 422),
        ("/api/camera", {"index": 7}, 404),
        ("/api/nothing", {}, 404),
        ("/api/next", [], 422),
    ],
)
def test_wrong_requests_are_refused(show: RunningShow, path: str, body: Any, status: int) -> None:
    assert show.post(path, body) == status


def test_wrong_hosts_and_origins_are_refused(show: RunningShow) -> None:
    assert show.post("/api/next", Host="evil.example") == 421
    assert show.post("/api/next", Origin="https://evil.example") == 403
    assert show.post("/api/next", Origin=show.base) == 200


def test_a_tile_is_a_picture_and_keys_are_no_paths(show: RunningShow) -> None:
    with urllib.request.urlopen(f"{show.base}/api/scenes/starry/picture") as answer:
        assert answer.headers["content-type"] == "image/jpeg"
        assert cv2.imdecode(np.frombuffer(answer.read(), np.uint8), cv2.IMREAD_COLOR).shape[2] == 3
    for key in ("nothing", "..%2f..%2fremote.py"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{show.base}/api/scenes/{key}/picture")
    for name in ("remote.py", "example.toml", "..%2fcli.py"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{show.base}/{name}")


def test_figures_for_prometheus(show: RunningShow) -> None:
    figures = dict(line.split() for line in show.text_of("/metrics").splitlines() if line and not line.startswith("#"))
    assert figures["artmirror_up"] == "1.0"
    assert float(figures["artmirror_frames_total"]) > 0
    assert float(figures["artmirror_memory_bytes"]) > 1e7


def test_live_pictures_come_one_for_one(show: RunningShow) -> None:
    from websockets.sync.client import connect

    with connect(f"ws://127.0.0.1:{show.port}/api/live", origin=show.base) as page:  # type: ignore[arg-type]
        state = json.loads(page.recv(timeout=10))
        assert state["title"] == "A test"
        for _ in range(3):
            page.send("picture")
            end_s = time.monotonic() + 10
            while not isinstance(picture := page.recv(timeout=10), bytes):
                assert time.monotonic() < end_s
            assert picture[:2] == b"\xff\xd8"
        end_s = time.monotonic() + 1.5
        while time.monotonic() < end_s:  # none was asked for
            with suppress(TimeoutError):
                assert not isinstance(page.recv(timeout=0.3), bytes)


def test_live_pictures_are_not_for_other_sites(show: RunningShow) -> None:
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    with pytest.raises(InvalidStatus), connect(f"ws://127.0.0.1:{show.port}/api/live", origin="https://evil.example"):  # type: ignore[arg-type]
        pass


def test_a_visitor_sends_a_painting(show: RunningShow) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)

    def send(body: bytes, kind: str = "image/jpeg") -> tuple[int, str]:
        request = urllib.request.Request(f"{show.base}/api/paintings", body, {"content-type": kind})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    status, told = send(bytes(encode_picture(picture, ".jpg")))
    assert (status, "single paintings" in told) == (422, True)  # this show has networks of their own
    assert send(b"no picture")[0] == 422
    assert send(b"x", "text/html")[0] == 415


def test_a_photo_is_fetched_and_no_other(show: RunningShow) -> None:
    assert show.post("/api/photo") == 200
    wait_until(lambda: show.get("/api/state")["photo"] == "shown")
    assert show.get("/api/state")["photos"] == 1
    for key in ("0" * 32, "x", "0" * 31):
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"{show.base}/photo/{key}")
    assert not list(show.folder.rglob("*.jp*g"))  # nothing of a visitor on the disk


def test_the_api_is_described(show: RunningShow) -> None:
    description = show.get("/openapi.json")
    assert "/api/show" in description["paths"]
    assert all(method["summary"] for path in description["paths"].values() for method in path.values())


def test_no_request_breaks_it(show: RunningShow) -> None:
    """Schemathesis makes requests from the description: right ones and wrong ones."""
    schemathesis = pytest.importorskip("schemathesis")
    hypothesis = import_module("hypothesis")
    schema = schemathesis.openapi.from_url(f"{show.base}/openapi.json")
    told: list[int] = []
    for operation in schema.get_all_operations():
        case_of = operation.ok()

        @hypothesis.given(case=case_of.as_strategy())
        @hypothesis.settings(
            max_examples=12,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        def ask(case: Any) -> None:
            answer = case.call(base_url=show.base, timeout=20)
            told.append(answer.status_code)
            assert answer.status_code < 500 or answer.status_code == 503, (case.path, answer.status_code, answer.text)
            time.sleep(0.02)

        if case_of.path != "/api/restart":
            ask()
    assert len(told) > 60
    assert 200 in told
    assert {status for status in told if status >= 500} <= {503}
    show.post("/api/black", {"on": False})
    time.sleep(3)  # the bucket of requests fills again


def test_its_file_is_taken_over_while_it_runs_and_a_wrong_one_refused(tmp_path: Path) -> None:
    with running_show(tmp_path) as show:
        show.path.write_text(show.text.replace("A test", "Another"))
        show.wait_for(title="Another")
        frames = show.get("/api/state")["frames"]
        show.path.write_text(show.text.replace("every", "evry"))
        wait_until(lambda: "no setting" in show.get("/api/state")["settings_problem"])
        assert show.get("/api/state")["frames"] >= frames
        show.path.write_text(show.text.replace('"starry", "wave"', '"starry", "nothing-such"'))
        wait_until(lambda: "nothing-such" in show.get("/api/state")["settings_problem"])
        show.path.write_text(show.text.replace('"starry", "wave"', '"wave"'))  # needs a new start
        wait_until(lambda: _scenes(show) == ["wave"])
        wait_until(lambda: show.get("/api/state")["settings_problem"] == "")
        assert show.post("/api/restart") == 200
        wait_until(lambda: _starts(show) >= 2)
        assert show.stop() == 130


def _scenes(show: RunningShow) -> list[str]:
    try:
        return [scene["key"] for scene in show.get("/api/scenes")]
    except OSError:  # between two performances
        return []


def _starts(show: RunningShow) -> float:
    lines = show.text_of("/metrics").splitlines()
    return max((float(line.split()[1]) for line in lines if line.startswith("artmirror_new_starts_total ")), default=0)


def test_a_token_is_demanded_where_others_can_reach_it(tmp_path: Path) -> None:
    import subprocess
    import sys

    show = RunningShow(tmp_path, remote='address = "0.0.0.0"')
    show._paints = lambda: _port_open(show.port)  # type: ignore[method-assign]
    try:
        show.start()
        with pytest.raises(urllib.error.HTTPError, match="401"):
            show.get("/api/state")
        done = subprocess.run(
            [sys.executable, "-m", "artmirror.runtime.show.cli", "--link", str(show.path)],
            env=show.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        link = done.stdout.split()[-1]
        token = link.partition("token=")[2]
        assert len(token) >= 22
        with urllib.request.urlopen(f"{show.base}/join?token={token}") as answer:
            cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{show.base}/join?token=wrong")
        request = urllib.request.Request(f"{show.base}/api/state", headers={"cookie": cookie.partition(";")[0]})
        with urllib.request.urlopen(request) as answer:
            assert answer.status in (200, 503)
        kept = next(tmp_path.rglob("artmirror/show.json"))
        assert kept.stat().st_mode & 0o077 == 0  # for its owner alone
    finally:
        if show.process is not None:
            show.process.kill()
            show.process.wait(10)


def _port_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_killed_it_comes_back_where_it_was(tmp_path: Path) -> None:
    with running_show(tmp_path) as show:
        show.post("/api/show", {"key": "wave"})
        show.wait_for(scene="wave")
        wait_until(lambda: '"wave"' in next(tmp_path.rglob("artmirror/show.json")).read_text())
        assert show.process is not None
        os.kill(show.process.pid, signal.SIGKILL)
        show.process.wait(10)
        show.start()  # as systemd does
        assert show.get("/api/state")["scene"] == "wave"


def test_systemd_hears_of_pictures_on_the_screen_alone(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        systemd.settimeout(20)
        with running_show(tmp_path, {"NOTIFY_SOCKET": address}) as show:
            told = [systemd.recv(200).decode() for _ in range(3)]
            assert told[0].startswith("READY=1")
            assert told[1:] == ["WATCHDOG=1", "WATCHDOG=1"]
            assert show.process is not None
            os.kill(show.process.pid, signal.SIGSTOP)  # nothing reaches the screen any more
            systemd.settimeout(0.2)
            with suppress(TimeoutError):
                while True:  # what was on its way
                    systemd.recv(200)
            systemd.settimeout(4)
            with pytest.raises(TimeoutError):
                systemd.recv(200)
            os.kill(show.process.pid, signal.SIGCONT)
            assert show.stop() == 130
