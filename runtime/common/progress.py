"""Progress: one kind of bar in all commands, drawn on a terminal only."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # takes long to import, and a show needs none of it
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn


def bar(console: "Console", *columns: "ProgressColumn", **settings: Any) -> "Progress":
    """A bar on `console`; where that is a log or quiet, nothing is drawn and whoever has news prints lines."""
    from rich.progress import Progress

    return Progress(*columns, console=console, disable=console.quiet or not console.is_terminal, **settings)


@contextmanager
def show_frames(frame_count: int | None) -> Iterator[Callable[[int], None]]:
    """A bar for the frames of a file, nothing for a live source or a log.

    Gives what to call with the number of frames out so far.
    """
    if frame_count is None or frame_count < 2 or not sys.stderr.isatty():
        yield lambda frames_out: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("frames  {task.fields[fps]:.1f} FPS, left"),
        TimeRemainingColumn(),
    )
    started_s = shown_s = time.monotonic()
    with bar(Console(stderr=True), *columns) as progress:
        task = progress.add_task("", total=frame_count, fps=0.0)

        def observe(frames_out: int) -> None:
            nonlocal shown_s
            now_s = time.monotonic()
            if now_s - shown_s > 0.1 or frames_out == frame_count:  # the bar must not cost frames
                progress.update(task, completed=frames_out, fps=frames_out / (now_s - started_s))
                shown_s = now_s

        yield observe


@contextmanager
def show_share(wanted: bool) -> Iterator[Callable[[float], None]]:
    """A bar for one large piece of work; gives what to call with the share that is done."""
    if not wanted or not sys.stderr.isatty():
        yield lambda share: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

    with bar(
        Console(stderr=True), BarColumn(), TaskProgressColumn(), TextColumn("left"), TimeRemainingColumn()
    ) as progress:
        task = progress.add_task("", total=1.0)
        yield lambda share: progress.update(task, completed=share)
