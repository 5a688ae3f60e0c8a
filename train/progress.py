"""What `st-train` shows while it trains, and how it is asked to stop."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column

from artmirror.runtime.common.command import EXIT_INTERRUPTED, StopOnSignals
from artmirror.runtime.common.progress import bar


class Step(Protocol):
    """What is shown of a step."""

    @property
    def step(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def losses(self) -> dict[str, float]: ...
    @property
    def step_s(self) -> float: ...


def training_bar(console: Console) -> Progress:
    """A bar with the losses, on a terminal only."""
    return bar(
        console,
        TextColumn("step"),
        MofNCompleteColumn(),
        BarColumn(bar_width=16),
        # What is left of the line is for the losses; the numbers beside them are never cut.
        TextColumn("{task.fields[losses]}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        expand=True,
    )


def shown_by(progress: Progress, steps: int) -> Callable[[Step], None]:
    """An observer of the loop that moves the bar; where there is no terminal it prints a line now and then."""
    task = progress.add_task("train", total=steps, losses="first step")
    plain = not progress.console.is_terminal

    def observe(report: Step) -> None:
        short = {"total_variation": "tv"}
        terms = {name: f"{short.get(name, name)} {value:.4g}" for name, value in report.losses.items()}
        losses = " ".join(terms.values())
        total_first = sorted(terms, key=lambda name: name != "total")  # on a narrow terminal the others are cut off
        progress.update(task, completed=report.step, losses=" ".join(terms[name] for name in total_first))
        if plain and (report.step % 50 == 0 or report.step == report.steps):  # a log file gets lines, not a bar
            progress.console.print(f"step {report.step}/{report.steps} {losses} {report.step_s:.2f} s/step")

    return observe


@contextmanager
def stop_after_step(console: Console) -> Iterator[Callable[[], bool]]:
    """While open, Ctrl-C and SIGTERM ask the loop to stop after the current step; a second one stops at once.

    Args:
        console: That of the progress bar, so that a line does not land on it.
    """
    signals = StopOnSignals(on_ask=lambda: console.print("stopping after this step ..."))
    try:
        with signals:
            yield lambda: signals.asked
    except KeyboardInterrupt:
        console.print("stopped at once; the steps since the last checkpoint are lost")
        raise SystemExit(EXIT_INTERRUPTED) from None
