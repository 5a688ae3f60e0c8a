"""What a show costs beside bare `st-run`: frames a second of real processes that take turns.

    python -m artmirror.benchmarks.studies.show_cost --turns 20 -o show_cost.json

A show and the run beside it are both up. One of the two is stopped (SIGSTOP) while the other paints, some seconds each,
many times over: so a machine that is fast now and slow then is so for both. The source gives more frames than can be
painted, so that the engine is busy all the time; both take the sensor's noise out. The screen is SDL's dummy unless
SDL_VIDEODRIVER says otherwise, and st-run has none.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
import numpy as np

from artmirror.benchmarks.studies.soak import free_port
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.priority import give_way
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.gallery.bundled import many_network

_SETTLED_S = 0.4  # after a program goes on; not counted
_THIS = "artmirror.benchmarks.studies.show_cost"
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


_CASES = {
    "st-show": _Case(),
    "with a screen of 1280x720": _Case(screen=True),
    "with a page that looks": _Case(looks=True),
    "with a recording": _Case(_RECORDING),
    "with the mask": _Case(_MASK),
    "with page, recording and mask": _Case(_MASK + _RECORDING, looks=True),
    "with all of it": _Case(_MASK + _RECORDING, looks=True, screen=True),
    "st-show with a memory": _Case(steady=True),
    "with a memory, page, recording and mask": _Case(_MASK + _RECORDING, looks=True, steady=True),
    "with a memory and all of it": _Case(_MASK + _RECORDING, looks=True, screen=True, steady=True),
}


class _Run:
    """`st-run` into nothing; its frames are counted in a file."""

    def __init__(self, steady: bool, source: str, folder: Path) -> None:
        words = ["--engine", str(many_network()), "--style", "starry", "--input", source, "--denoise", "on"]
        words += ["--steady", "on" if steady else "off", "--output", "null:"]
        count = folder / "frames"
        np.zeros(1, np.int64).tofile(count)
        self._count = np.memmap(count, np.int64, "r")
        code = f"from {_THIS} import counted_run; counted_run({str(count)!r}, {words!r})"
        self.process = _started([sys.executable, "-c", code], folder, {})

    def frames(self) -> int:
        return int(self._count[0])


def counted_run(count: str, words: list[str]) -> None:
    """Run `st-run`; the number of the frames that reached its end is in the file `count`, int64."""
    from artmirror.runtime.cli import main as st_run
    from artmirror.runtime.sinks import null

    frames = np.memmap(count, np.int64, "r+")

    class Counting(null.NullSink):
        def write(self, slot: FrameSlot) -> bool:
            frames[0] += 1
            return True

    null.NullSink = Counting  # type: ignore[misc]
    st_run(words)


class _Show:
    """`st-show`; its frames are those that its page tells."""

    def __init__(self, case: _Case, source: str, folder: Path) -> None:
        self._port = free_port()
        show = folder / "show.toml"
        screen, steady = str(case.screen).lower(), str(case.steady).lower()
        show.write_text(_SHOW.format(source=source, port=self._port, more=case.more, screen=screen, steady=steady))
        self.process = _started(
            [sys.executable, "-m", "artmirror.runtime.show.cli", str(show)],
            folder,
            {"SDL_VIDEODRIVER": os.environ.get("SDL_VIDEODRIVER", "dummy"), "XDG_STATE_HOME": str(folder)},
        )
        if case.looks:
            threading.Thread(target=self._look, daemon=True).start()

    def frames(self) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/api/state", timeout=5) as answer:
                return int(json.loads(answer.read())["frames"])
        except (OSError, ValueError):
            return 0

    def _look(self) -> None:
        from websockets.sync.client import connect

        give_way()  # a phone would be another machine
        while self.frames() == 0 and self.process.poll() is None:
            time.sleep(0.1)
        with suppress(Exception), connect(f"ws://127.0.0.1:{self._port}/api/live") as page:
            page.send("picture")
            while True:
                if isinstance(page.recv(timeout=60), bytes):
                    page.send("picture")


def _started(words: list[str], folder: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(words, cwd=folder, env=os.environ | environment, stdout=log, stderr=log)


def _rates(case: _Case, rate: int, turns: int, seconds: float) -> tuple[list[float], list[float]]:
    """Frames a second of the run and of the show, turn by turn."""
    with ExitStack() as stack:
        source = f"synthetic:640x360@{rate}"
        programs: list[_Run | _Show] = []
        for make in (partial(_Run, case.steady, source), partial(_Show, case, source)):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            program = make(folder)
            programs.append(program)
            stack.callback(_end, program.process)
            _wait_until_it_paints(program, folder / "log")
            program.process.send_signal(signal.SIGSTOP)
        found: tuple[list[float], list[float]] = ([], [])
        for _ in range(turns):
            for program, rates in zip(programs, found, strict=True):
                program.process.send_signal(signal.SIGCONT)
                time.sleep(_SETTLED_S)
                before, before_s = program.frames(), time.monotonic()
                time.sleep(seconds)
                rates.append((program.frames() - before) / (time.monotonic() - before_s))
                program.process.send_signal(signal.SIGSTOP)
    fastest = max(statistics.median(rates) for rates in found)
    if fastest > _STARVED * rate:
        raise ArtmirrorError(f"{fastest:.0f} of {rate} frames a second were painted; give more with --rate")
    return found


def _wait_until_it_paints(program: _Run | _Show, log: Path) -> None:
    began_s = time.monotonic()
    while program.frames() < 20:
        if program.process.poll() is not None or time.monotonic() - began_s > 60:
            raise ArtmirrorError(f"{log.parent.name} did not begin: {log.read_text()[-800:]}")
        time.sleep(0.1)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGCONT)
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@click.command()
@click.option("--turns", type=click.IntRange(1), default=15, show_default=True, help="Of each, for each case.")
@click.option("--rate", type=click.IntRange(1), default=60, show_default=True, help="Frames a second of the source.")
@click.option("--seconds", type=click.FloatRange(0.5), default=1.5, show_default=True, help="Of each turn.")
@click.option("--case", "names", type=click.Choice(list(_CASES)), multiple=True, help="Measure this one; all if none.")
@click.option("-o", "--output", type=click.Path(path_type=Path))
def main(turns: int, rate: int, seconds: float, names: tuple[str, ...], output: Path | None) -> None:
    """Measure what each part of a show costs."""
    record = {}
    click.echo("| | FPS | beside it `st-run` | ratio, median | quartiles |\n| --- | ---: | ---: | ---: | --- |")
    for name in names or _CASES:
        run, show = _rates(_CASES[name], rate, turns, seconds)
        ratios = [value / one for value, one in zip(show, run, strict=True)]
        low, middle, high = np.percentile(ratios, (25, 50, 75))
        rates = " | ".join(f"{statistics.median(rates):.1f}" for rates in (show, run))
        click.echo(f"| {name} | {rates} | {middle:.2f} | {low:.2f} to {high:.2f} |")
        record[name] = {"show": show, "run": run}
    if output is not None:
        output.write_text(json.dumps({"rate": rate, "fps": record}, indent=1) + "\n")


if __name__ == "__main__":
    main()
