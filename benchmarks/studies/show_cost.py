"""What a show costs beside bare `st-run`: frames a second of real processes that take turns.

    python -m artmirror.benchmarks.studies.show_cost --rounds 5 -o show_cost.json

The source gives more frames than can be painted, so that the engine is busy all the time. The screen is SDL's dummy
unless SDL_VIDEODRIVER says otherwise, and st-run has none.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import click

from artmirror.benchmarks.programs import run_st_run
from artmirror.benchmarks.studies.soak import free_port
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.gallery.bundled import many_network

_RATE = 240  # frames a second of the source
_SOURCE = f"synthetic:640x360@{_RATE}"
_SHOW = """\
[camera]
sources = ["{source}"]
mirror = false
[screen]
show = {screen}
full_screen = false
size = "1280x720"
[look]
quality = "full"
[playlist]
styles = ["starry"]
[card]
show = false
[photo]
allow = false
[remote]
port = {port}
{more}
"""
_RECORDING = '[[output]]\nto = "show.mp4"\n'
_MASK = '[mask]\npaint = "person"\n'
# name -> (what is added to the file, whether a page looks, whether there is a screen)
_CASES: dict[str, tuple[str, bool, bool]] = {
    "st-show": ("", False, False),
    "with a screen of 1280x720": ("", False, True),
    "with a page that looks": ("", True, False),
    "with a recording": (_RECORDING, False, False),
    "with the mask": (_MASK, False, False),
    "with all of it": (_MASK + _RECORDING, True, True),
}


def _st_run(duration_s: float) -> float:
    words = ["--engine", many_network(), "--style", "starry", "--input", _SOURCE]
    return float(run_st_run([*words, "--max-frames", round(_RATE * duration_s)], duration_s + 60)["fps"])


def _st_show(case: str, duration_s: float) -> float:
    more, looks, screen = _CASES[case]
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        show = Path(folder) / "show.toml"
        show.write_text(_SHOW.format(source=_SOURCE, port=port, more=more, screen=str(screen).lower()))
        environment = {"SDL_VIDEODRIVER": "dummy", **os.environ, "XDG_STATE_HOME": folder}
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "artmirror.runtime.show.cli", str(show)],
                cwd=folder,
                env=environment,
                stdout=log,
                stderr=log,
            )
        stopped = threading.Event()
        try:
            began_s = time.monotonic()
            while _frames(port) < 20:
                if process.poll() is not None or time.monotonic() - began_s > 60:
                    raise ArtmirrorError(f"the show did not begin: {(Path(folder) / 'log').read_text()[-800:]}")
                time.sleep(0.1)
            if looks:
                threading.Thread(target=_look, args=(port, stopped), daemon=True).start()
            time.sleep(1)
            before, before_s = _frames(port), time.monotonic()
            time.sleep(duration_s)
            return (_frames(port) - before) / (time.monotonic() - before_s)
        finally:
            stopped.set()
            process.terminate()
            process.wait(20)


def _frames(port: int) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/state", timeout=5) as answer:
            return int(json.loads(answer.read())["frames"])
    except (OSError, ValueError):
        return 0


def _look(port: int, stopped: threading.Event) -> None:
    from websockets.sync.client import connect

    with suppress(Exception), connect(f"ws://127.0.0.1:{port}/api/live") as page:
        page.send("picture")
        while not stopped.is_set():
            if isinstance(page.recv(timeout=10), bytes):
                page.send("picture")


@click.command()
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--seconds", type=click.FloatRange(1), default=8.0, show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path))
def main(rounds: int, seconds: float, output: Path | None) -> None:
    """Measure what each part of a show costs."""
    found: dict[str, list[float]] = {name: [] for name in ("st-run", *_CASES)}
    for number in range(rounds):
        found["st-run"].append(_st_run(seconds))
        for case in _CASES:
            found[case].append(_st_show(case, seconds))
        told = ", ".join(f"{name} {fps[-1]:.1f}" for name, fps in found.items())
        click.echo(f"round {number + 1}: {told}", err=True)
    base = statistics.median(found["st-run"])
    click.echo("| | FPS | of bare st-run |\n| --- | ---: | ---: |")
    for name, values in found.items():
        ratio = statistics.median(value / one for value, one in zip(values, found["st-run"], strict=True))
        click.echo(f"| {name} | {statistics.median(values):.1f} | {ratio:.2f} |")
    if output is not None:
        output.write_text(json.dumps({"st_run_fps": base, "fps": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
