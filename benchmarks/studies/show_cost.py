"""What a show costs beside bare `st-run`: frames a second of real processes that take turns.

    python -m artmirror.benchmarks.studies.show_cost --rounds 5 -o show_cost.json

The source gives more frames than can be painted, so that the engine is busy all the time; both take the sensor's noise
out. The screen is SDL's dummy unless SDL_VIDEODRIVER says otherwise, and st-run has none.
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
from dataclasses import dataclass
from pathlib import Path

import click

from artmirror.benchmarks.programs import run_st_run
from artmirror.benchmarks.studies.soak import free_port
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.gallery.bundled import many_network

_RUN, _STEADY_RUN = "st-run", "st-run with a memory"
_STARVED = 0.9  # of the source's rate: what paints more than that waits for frames
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
steady = {steady}
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


@dataclass(frozen=True)
class _Case:
    """A show, and the run that it is compared with."""

    more: str = ""  # what is added to its file
    looks: bool = False  # whether a page looks
    screen: bool = False
    steady: bool = False

    @property
    def beside(self) -> str:
        return _STEADY_RUN if self.steady else _RUN


_CASES = {
    "st-show": _Case(),
    "with a screen of 1280x720": _Case(screen=True),
    "with a page that looks": _Case(looks=True),
    "with a recording": _Case(_RECORDING),
    "with the mask": _Case(_MASK),
    "with all of it": _Case(_MASK + _RECORDING, looks=True, screen=True),
    "st-show with a memory": _Case(steady=True),
    "with a memory and all of it": _Case(_MASK + _RECORDING, looks=True, screen=True, steady=True),
}


def _source(rate: int) -> str:
    return f"synthetic:640x360@{rate}"


def _st_run(steady: bool, rate: int, duration_s: float) -> float:
    words = ["--engine", many_network(), "--style", "starry", "--input", _source(rate), "--denoise", "on"]
    words += ["--steady", "on" if steady else "off", "--max-frames", round(rate * duration_s)]
    fps = float(run_st_run(words, duration_s + 60)["fps"])
    if fps > _STARVED * rate:
        raise ArtmirrorError(f"st-run painted {fps:.0f} of {rate} frames a second; give more with --rate")
    return fps


def _st_show(case: _Case, rate: int, duration_s: float) -> float:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        show = Path(folder) / "show.toml"
        screen, steady = str(case.screen).lower(), str(case.steady).lower()
        show.write_text(_SHOW.format(source=_source(rate), port=port, more=case.more, screen=screen, steady=steady))
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
            if case.looks:
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
@click.option("--rate", type=click.IntRange(1), default=60, show_default=True, help="Frames a second of the source.")
@click.option("--seconds", type=click.FloatRange(1), default=8.0, show_default=True)
@click.option("--case", "names", type=click.Choice(list(_CASES)), multiple=True, help="Measure this one; all if none.")
@click.option("-o", "--output", type=click.Path(path_type=Path))
def main(rounds: int, rate: int, seconds: float, names: tuple[str, ...], output: Path | None) -> None:
    """Measure what each part of a show costs."""
    cases = {name: case for name, case in _CASES.items() if name in names or not names}
    runs = list(dict.fromkeys(case.beside for case in cases.values()))
    found: dict[str, list[float]] = {name: [] for name in (*runs, *cases)}
    for number in range(rounds):
        for name in runs:
            found[name].append(_st_run(name == _STEADY_RUN, rate, seconds))
        for name, case in cases.items():
            found[name].append(_st_show(case, rate, seconds))
        told = ", ".join(f"{name} {fps[-1]:.1f}" for name, fps in found.items())
        click.echo(f"round {number + 1}: {told}", err=True)
    click.echo("| | FPS | of bare `st-run` |\n| --- | ---: | ---: |")
    for name, values in found.items():
        beside = found[_CASES[name].beside] if name in _CASES else values
        ratio = statistics.median(value / one for value, one in zip(values, beside, strict=True))
        click.echo(f"| {name} | {statistics.median(values):.1f} | {ratio:.2f} |")
    if output is not None:
        output.write_text(json.dumps({"rate": rate, "fps": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
