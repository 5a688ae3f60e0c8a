"""What the commands have in common: `--debug`, `--version`, sizes as 640x360, stopping on signals."""

import signal
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any

import click

from artmirror.runtime.common.errors import ArtmirrorError

EXIT_INTERRUPTED = 130


class Command(click.Command):
    """A command whose `--debug` shows where an error came from; else an error is one line."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.ClickException:
            if ctx.params.get("debug"):
                traceback.print_exc()
            raise
        except (click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:  # too little memory, or a defect
            if ctx.params.get("debug"):
                traceback.print_exc()
            told = " ".join(str(error).split())[:300]
            raise ArtmirrorError(f"{type(error).__name__}: {told}; --debug shows where it happened") from error


def common_options(prog_name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add `--debug` and `--version` to a command."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        function = click.option("--debug", is_flag=True, help="Show the traceback of an error.")(function)
        return click.version_option(package_name="artmirror", prog_name=prog_name)(function)

    return add


class SizeType(click.ParamType[tuple[int, int]]):
    """WIDTHxHEIGHT on the command line, (H, W) in Python."""

    name = "size"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "WIDTHxHEIGHT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        width, _, height = str(value).lower().partition("x")
        if not (width.isdecimal() and height.isdecimal()) or min(int(width), int(height)) < 64:
            self.fail(f"got {value!r}; wanted WIDTHxHEIGHT with both at least 64, as in 640x360", param, ctx)
        return int(height), int(width)


class StopOnSignals:
    """While open, Ctrl-C and SIGTERM set `asked`, so that files can be closed; a second signal stops at once."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> "StopOnSignals":
        self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
