"""Picks the best variant of a style that keeps up on this machine, by trying."""

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from artmirror.runtime.common.pixels import SMALLEST_SIDE
from artmirror.runtime.engines.base import FULL_STYLE, Engine, stylize
from artmirror.runtime.engines.open import Opened
from artmirror.runtime.gallery.variants import in_order, is_int8_twin, quality_of, variants

AUTO = "auto"
DEFAULT_TARGET_FPS = 30.0
# The engine is measured alone. In a show it shares the processor: decoding motion JPEG and drawing a window, both of
# 640x360, took 2.5 ms of a core per frame where that was measured, 8 % of the time at 30 FPS. The rest is for slower
# cores, larger windows, and machines that have become warm.
MARGIN = 1.2
BUDGET_S = 0.5  # of measuring, for all variants together
INT8_BACKENDS = ("openvino",)  # that are faster with it
_WARM_UP_FRAMES = 3  # the first of a network takes several times as long as the others
_LEAST_FRAMES = 3  # that are measured, however long they take
_AS_FAST = 0.9  # of the fastest: where none is fast enough, a better one that has so much of it is taken


@dataclass(frozen=True, slots=True)
class Picked:
    """The variant that was taken, and why."""

    opened: Opened
    reason: str


def open_best(
    path: Path,
    open_file: Callable[[Path], Opened],
    *,
    target_fps: float,
    live: bool,
    steady: bool = False,
    clock_s: Callable[[], float] = time.perf_counter,
) -> Picked:
    """Open the variants of a style from the best down, until one is faster than the target by `MARGIN`.

    One that is too slow is tried in INT8, where there is such a file and a processor computes; with a memory before
    without. Where none is fast enough, the fastest is taken, or a better one that is about as fast. Where there is one
    file, nothing is measured. Those not taken are closed.

    Args:
        path: Of any of the style's files.
        open_file: Opens one for the size of the frames to come.
        target_fps: Frames per second that the show needs.
        steady: Of each quality that with a memory from frame to frame comes first, where there is one.
        live: The pipeline keeps one frame in the engine for a live source, else as many as the engine takes.

    Raises:
        ArtmirrorError: one of the files that had to be tried cannot be opened or fails.
    """
    there = variants(path) or {quality_of(path): path}  # opening tells what is wrong with it
    files: dict[str, Path] = {}  # by what people call them, in the order in which they are tried
    for quality, path_there in there.items():
        for kind, file in in_order(path_there, steady=steady).items():
            files[f"{quality} {kind}".strip()] = file
    if len(files) == 1:
        ((quality, only),) = files.items()
        return Picked(open_file(only), f"quality {quality}: the only one there is of this style")
    measured: dict[str, float] = {}  # frames per second
    opened: Opened | None = None
    for name, file in files.items():
        if opened is not None:
            if is_int8_twin(file) and opened.engine.describe().backend not in INT8_BACKENDS:
                continue
            opened.engine.close()
        opened = open_file(file)
        engine = opened.engine
        try:
            depth = 1 if live else engine.max_in_flight
            measured[name] = measure_fps(engine, depth, BUDGET_S / len(files), clock_s)
        except BaseException:
            engine.close()
            raise
        if measured[name] >= target_fps * MARGIN:
            break
    assert opened is not None
    taken = last = next(reversed(measured))
    if measured[last] < target_fps * MARGIN:
        taken = next(name for name, fps in measured.items() if fps >= _AS_FAST * max(measured.values()))
    if taken != last:
        opened.engine.close()
        opened = open_file(files[taken])
    return Picked(opened, _reason(taken, measured, target_fps, opened.engine.describe().size))


def measure_fps(
    engine: Engine, depth: int, duration_s: float, clock_s: Callable[[], float] = time.perf_counter
) -> float:
    """Frames per second of the engine alone with `depth` of them in flight.

    By the median frame: a show runs for weeks, and a hiccup of the machine while it starts says nothing of them.
    """
    slots = deque(engine.allocate(depth))
    for _ in range(_WARM_UP_FRAMES):
        stylize(engine, slots[0])
    before_s = clock_s()
    end_s = before_s + duration_s
    for slot in slots:
        engine.submit(slot, FULL_STYLE)
    frames_s: list[float] = []
    while slots:
        slot = slots.popleft()
        engine.wait(slot)
        now_s = clock_s()
        frames_s.append(now_s - before_s)
        before_s = now_s
        if now_s < end_s or len(frames_s) < _LEAST_FRAMES:
            engine.submit(slot, FULL_STYLE)
            slots.append(slot)
    return 1 / sorted(frames_s)[len(frames_s) // 2]


def _reason(taken: str, measured: dict[str, float], target_fps: float, size: tuple[int, int]) -> str:
    """One line: which of those measured was taken, and how fast the others were."""
    others = [f"{name} {fps:.0f}" for name, fps in measured.items() if name != taken]
    told = ", ".join([f"{measured[taken]:.0f} FPS measured", *others])
    line = f"quality {taken}: {told}; target {target_fps:g} and a margin of {MARGIN - 1:.0%}"
    wanted_fps = target_fps * MARGIN
    if measured[taken] >= wanted_fps:
        return line
    scale = math.sqrt(measured[taken] / wanted_fps)  # a frame takes as long as it has pixels, about
    height, width = (max(SMALLEST_SIDE, int(side * scale) // 8 * 8) for side in size)
    return f"{line} not reached; a smaller picture is faster: --size {width}x{height}"
