"""A show for hours with everything that goes wrong: `make soak MINUTES=180`, or two minutes in the tests.

The real `st-show` in a process of its own, with a simulated camera that stalls, dies, freezes, turns black and changes
its size; a switch every two seconds, a photo every five, three pages that look. Once a second its figures are read.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np

from artmirror.runtime.common.command import StopOnSignals
from artmirror.runtime.common.errors import ArtmirrorError

_SHOW = """\
title = "soak"
[camera]
sources = ["rehearsal:{camera}"]
[screen]
full_screen = false
[look]
quality = "{quality}"
[playlist]
styles = ["starry", "wave", "scream", "udnie"]
networks = "{networks}"
every = "1 h"
[photo]
countdown = 1
shown = 2
kept = 30
[remote]
port = {port}
[[output]]
to = "soak.m3u8"
"""
CAMERA = "640x360@30"
_WARM_UP_S = 60.0
_SWITCH_S, _PHOTO_S = 2.0, 5.0
_PAGES = 3


@dataclass(frozen=True, slots=True)
class Soak:
    """What a soak showed."""

    minutes: float
    frames: int
    switches: int
    photos: int
    camera_losses: int
    engine_failures: int
    longest_gap_s: float  # without a new picture on the screen
    fps_median: float  # of the seconds in which the camera was well
    memory_growth_mb_per_hour: float  # by the line through all readings after the warm-up
    memory_mb: float
    open_files: tuple[int, int]  # least and most after the warm-up
    threads: tuple[int, int]
    refused: int  # requests that were not answered

    def lines(self) -> list[str]:
        """The figures for people."""
        return [
            f"{self.minutes:.1f} minutes, {self.frames} frames, {self.switches} switches, {self.photos} photos, "
            f"camera lost {self.camera_losses} times, engine failed {self.engine_failures} times",
            f"longest time without a new picture: {self.longest_gap_s:.2f} s; {self.fps_median:.1f} FPS (median)",
            f"memory {self.memory_mb:.0f} MB, growing by {self.memory_growth_mb_per_hour:.2f} MB an hour; "
            f"open files {self.open_files[0]} to {self.open_files[1]}, threads {self.threads[0]} to {self.threads[1]}; "
            f"{self.refused} requests without an answer",
        ]


class _Client:
    """Asks a show, and counts what is not answered."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}"
        self.refused = 0

    def get(self, path: str) -> str:
        """The text of a page; empty where there was no answer."""
        return self._ask(urllib.request.Request(self._base + path))

    def post(self, path: str, body: object) -> str:
        """Ask for a change."""
        data = json.dumps(body).encode()
        return self._ask(urllib.request.Request(self._base + path, data, {"content-type": "application/json"}))

    def _ask(self, request: urllib.request.Request) -> str:
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return str(answer.read().decode())
        except (OSError, urllib.error.URLError):
            self.refused += 1
            return ""


def soak(
    minutes: float,
    *,
    quality: str,
    networks: str,
    camera: str = CAMERA,
    report: Callable[[str], None] = lambda line: None,
) -> Soak:
    """Run a show and trouble it.

    Args:
        minutes: How long.
        quality: As in the show's file.
        networks: As in the show's file.
        camera: Size and rate of the simulated camera, as `640x360@30`.
        report: Takes a line for people every five minutes.

    Raises:
        ArtmirrorError: the show ended by itself.
    """
    from websockets.sync.client import connect  # of the extra `show`

    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        show = Path(folder) / "soak.toml"
        show.write_text(_SHOW.format(quality=quality, networks=networks, camera=camera, port=port))
        environment = {**os.environ, "XDG_STATE_HOME": folder, "SDL_VIDEODRIVER": "dummy"}
        log = Path(folder) / "log"
        with log.open("wb") as told:
            process = subprocess.Popen(
                [sys.executable, "-m", "artmirror.runtime.show.cli", str(show)],
                env=environment,
                cwd=folder,
                stdout=told,
                stderr=told,
            )
        stopped = threading.Event()
        client = _Client(port)
        try:
            _wait_for(client, process, log)
            client.refused = 0

            def look() -> None:
                while not stopped.is_set():
                    with suppress(Exception), connect(f"ws://127.0.0.1:{port}/api/live") as page:
                        page.send("picture")
                        while not stopped.is_set():
                            if isinstance(page.recv(timeout=10), bytes):
                                time.sleep(0.05)
                                page.send("picture")

            pages = [threading.Thread(target=look, daemon=True) for _ in range(_PAGES)]
            for page in pages:
                page.start()
            return _trouble(minutes, client, process, log, report)
        finally:
            stopped.set()
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def _trouble(
    minutes: float, client: _Client, process: "subprocess.Popen[bytes]", log: Path, report: Callable[[str], None]
) -> Soak:
    began_s = time.monotonic()
    next_switch_s = next_photo_s = began_s
    rows: list[dict[str, float]] = []
    while (now_s := time.monotonic()) - began_s < minutes * 60:
        if process.poll() is not None:
            raise ArtmirrorError(f"the show ended by itself ({process.returncode}): {log.read_text()[-1500:]}")
        if now_s >= next_switch_s:
            next_switch_s = now_s + _SWITCH_S
            client.post("/api/next", {})
        if now_s >= next_photo_s:
            next_photo_s = now_s + _PHOTO_S
            client.post("/api/photo", {})
        figures = _figures(client.get("/metrics"))
        if figures:
            rows.append({"at_s": now_s - began_s, **figures})
            if len(rows) % 300 == 0:
                report("; ".join(_summary(rows, minutes=(now_s - began_s) / 60, refused=client.refused).lines()))
        time.sleep(max(0.0, 1 - (time.monotonic() - now_s)))
    return _summary(rows, minutes=minutes, refused=client.refused)


def _summary(rows: list[dict[str, float]], *, minutes: float, refused: int) -> Soak:
    last = rows[-1]
    warm = [row for row in rows if row["at_s"] >= min(_WARM_UP_S, minutes * 60 / 3)] or rows

    def values(name: str) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
        return np.array([row[f"artmirror_{name}"] for row in warm])

    times_h = np.array([row["at_s"] for row in warm]) / 3600
    growth = float(np.polyfit(times_h, values("memory_bytes") / 1e6, 1)[0]) if len(warm) > 2 else 0.0
    fps = values("fps")[values("camera_ok") > 0]
    return Soak(
        minutes=minutes,
        frames=int(last["artmirror_frames_total"]),
        switches=int(last["artmirror_switches_total"]),
        photos=int(last["artmirror_photos_total"]),
        camera_losses=int(last["artmirror_camera_losses_total"]),
        engine_failures=int(last["artmirror_engine_failures_total"]),
        longest_gap_s=last["artmirror_longest_gap_seconds"],
        fps_median=float(np.median(fps)) if fps.size else 0.0,
        memory_growth_mb_per_hour=growth,
        memory_mb=last["artmirror_memory_bytes"] / 1e6,
        open_files=(int(values("open_files").min()), int(values("open_files").max())),
        threads=(int(values("threads").min()), int(values("threads").max())),
        refused=refused,
    )


def _figures(text: str) -> dict[str, float]:
    found = re.findall(r"^(artmirror_\w+) (\S+)$", text, re.MULTILINE)
    figures = {name: float(value) for name, value in found}
    return figures if figures.get("artmirror_up") else {}


def _wait_for(client: _Client, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end_s = time.monotonic() + 120
    while time.monotonic() < end_s:
        if process.poll() is not None:
            break
        if _figures(client.get("/metrics")).get("artmirror_frames_total", 0) > 10:
            return
        time.sleep(0.2)
    raise ArtmirrorError(f"the show did not begin: {log.read_text()[-1500:]}")


def free_port() -> int:
    """A TCP port of this machine that nobody uses."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@click.command()
@click.option("--minutes", type=click.FloatRange(0.2), default=180.0, show_default=True)
@click.option("--quality", default="auto", show_default=True, help="auto, full, lite or nano.")
@click.option("--networks", type=click.Choice(["many", "own"]), default="many", show_default=True)
@click.option("--camera", default=CAMERA, show_default=True, help="Size and rate of the simulated camera.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Figures as JSON.")
def main(minutes: float, quality: str, networks: str, camera: str, output: Path | None) -> None:
    """Trouble a show for a while, and tell how it bore it."""
    with StopOnSignals(at_once=True):  # the show ends with it
        found = soak(
            minutes, quality=quality, networks=networks, camera=camera, report=lambda line: click.echo(line, err=True)
        )
    for line in found.lines():
        click.echo(line)
    if output is not None:
        output.write_text(json.dumps(asdict(found), indent=1) + "\n")


if __name__ == "__main__":
    main()
