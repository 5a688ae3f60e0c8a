"""A real `st-show` in a process of its own."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from artmirror.benchmarks.studies.soak import free_port
from tests.fakes.show_parts import wait_until

SHOW = """\
title = "A test"
[camera]
sources = ["{camera}"]
[screen]
{screen}
[look]
quality = "nano"
size = "{size}"
[playlist]
styles = ["starry", "wave"]
networks = "own"
every = "1 h"
[card]
seconds = 0
[photo]
countdown = 1
shown = 30
[remote]
port = {port}
{remote}
"""


class RunningShow:
    """What a test does with it."""

    def __init__(self, folder: Path, **changes: str) -> None:
        self.folder, self.port = folder, free_port()
        self.path = folder / "show.toml"
        values = {
            "camera": "rehearsal:160x96@30+calm",
            "screen": "full_screen = false",
            "size": "160x96",
            "remote": "",
            "port": str(self.port),
        }
        self.text = SHOW.format(**{**values, **changes})
        self.path.write_text(self.text)
        self.process: subprocess.Popen[bytes] | None = None
        self.environment = {**os.environ, "XDG_STATE_HOME": str(folder), "SDL_VIDEODRIVER": "dummy"}

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def start(self) -> None:
        """Begin, and wait for pictures."""
        with (self.folder / "log").open("ab") as told:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "artmirror.runtime.show.cli", str(self.path)],
                env=self.environment,
                cwd=self.folder,
                stdout=told,
                stderr=told,
            )
        end_s = time.monotonic() + 60
        while not self._paints():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < end_s, self.log
            time.sleep(0.05)

    def _paints(self) -> bool:
        try:
            return bool(self.get("/api/state")["frames"] > 0)
        except (OSError, ValueError, KeyError):
            return False

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.base + path, timeout=10) as answer:
            return json.loads(answer.read())

    def text_of(self, path: str) -> str:
        with urllib.request.urlopen(self.base + path, timeout=10) as answer:
            return str(answer.read().decode())

    def post(self, path: str, body: Any = None, **headers: str) -> int:
        """The status of a request for a change."""
        data = json.dumps({} if body is None else body).encode()
        request = urllib.request.Request(self.base + path, data, {"content-type": "application/json", **headers})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def wait_for(self, **wanted: Any) -> None:
        """Until the state has these values."""
        wait_until(lambda: all(self.get("/api/state")[name] == value for name, value in wanted.items()))

    def stop(self) -> int:
        """Ask it to end; its status."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(20)


@contextmanager
def running_show(folder: Path, environment: dict[str, str] | None = None, **changes: str) -> Iterator[RunningShow]:
    """Start one, and end it."""
    show = RunningShow(folder, **changes)
    show.environment |= environment or {}
    try:
        show.start()
        yield show
    finally:
        if show.process is not None and show.process.poll() is None:
            show.process.kill()
            show.process.wait(10)
