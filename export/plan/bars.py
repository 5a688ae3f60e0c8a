"""A build's progress as bars on a terminal."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn

from artmirror.runtime.common.command import StopOnSignals
from artmirror.runtime.common.progress import bar


class BuildBars:
    """`BuildProgress` with a bar for each phase that runs; Ctrl-C and SIGTERM stop the build at its next step."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        console = Console(stderr=True)
        self._progress = bar(console, *columns, transient=True)
        self._signals = StopOnSignals()
        self._tasks: dict[str, TaskID] = {}

    @property
    def stopped(self) -> bool:
        """Whether a signal came."""
        return self._signals.asked

    def __enter__(self) -> Self:
        self._signals.__enter__()
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._progress.stop()
        self._signals.__exit__(kind, error, tb)

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        """A phase of so many steps begins."""
        indent = "  " if parent else ""
        self._tasks[phase] = self._progress.add_task(indent + phase, total=steps)

    def advance(self, phase: str, step: int) -> bool:
        """A step is done; False stops the build."""
        if phase in self._tasks:
            self._progress.update(self._tasks[phase], completed=step + 1)
        return not self.stopped

    def finish(self, phase: str) -> None:
        """A phase ends, and its bar goes."""
        if phase in self._tasks:
            self._progress.remove_task(self._tasks.pop(phase))
