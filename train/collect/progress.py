"""What `st-data collect` shows while it works: bars on a terminal, else one line a file."""

from pathlib import PurePosixPath
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.filesize import decimal
from rich.live import Live
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from artmirror.runtime.common.progress import bar
from artmirror.train.collect.client import parsed
from artmirror.train.collect.run import Outcome

_NAME_WIDTH = 32


class CollectProgress:
    """Two bars, of all files and of the current one's bytes; or lines, where no terminal is.

    Attributes:
        count: The number of links; set it when it is known.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.count = 0
        self._told = 0
        self._console = console or Console(stderr=True)
        self._files = bar(self._console, _name_column(), BarColumn(), MofNCompleteColumn())
        self._bytes = bar(
            self._console,
            _name_column(),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        self._all = self._files.add_task("files", total=None)
        self._url = ""
        self._live = Live(Group(self._files, self._bytes), console=self._console) if self._console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def say(self, told: str) -> None:
        """Show one line, above the bars."""
        self._console.print(told, markup=False, highlight=False, soft_wrap=True)

    def bytes_there(self, url: str, done: int, total: int | None) -> None:
        """Show how much of `url` is there."""
        if self._live is None:
            return
        if url != self._url:
            self._url = url
            for task in self._bytes.task_ids:
                self._bytes.remove_task(task)
            self._bytes.add_task(PurePosixPath(parsed(url).path).name)
        self._bytes.update(self._bytes.task_ids[0], completed=done, total=total)

    def tell(self, outcome: Outcome) -> None:
        """Show what became of a link."""
        self._told += 1
        self._files.update(self._all, completed=self._told, total=self.count)
        if self._live is None:
            told = outcome.reason or f"{outcome.file}, {decimal(outcome.bytes)}"
            self.say(f"[{self._told}/{self.count}] {outcome.kind} {outcome.url}: {told}")


def _name_column() -> TextColumn:
    return TextColumn(f"{{task.description:{_NAME_WIDTH}.{_NAME_WIDTH}}}", markup=False)  # a name may hold brackets
