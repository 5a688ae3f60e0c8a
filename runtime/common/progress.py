"""The bar that st-run shows while it paints a file."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def show_progress(frame_count: int | None) -> Iterator[Callable[[int], None]]:
    """A bar for a file in a terminal, nothing for a live source or a log.

    Gives what to call with the number of frames out so far.
    """
    if frame_count is None or frame_count < 2 or not sys.stderr.isatty():
        yield lambda frames_out: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("frames  {task.fields[fps]:.1f} FPS, left"),
        TimeRemainingColumn(),
    )
    started_s = shown_s = time.monotonic()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=frame_count, fps=0.0)

        def observe(frames_out: int) -> None:
            nonlocal shown_s
            now_s = time.monotonic()
            if now_s - shown_s > 0.1 or frames_out == frame_count:  # the bar must not cost frames
                progress.update(task, completed=frames_out, fps=frames_out / (now_s - started_s))
                shown_s = now_s

        yield observe
