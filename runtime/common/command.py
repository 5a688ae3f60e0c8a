"""What the commands have in common: one line for an error, `--debug`, `--version`, stopping on signals."""

import signal
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any

import click

from artmirror.runtime.common.errors import ArtmirrorError

EXIT_INTERRUPTED = 130


class Command(click.Command):
    """A command whose `--debug` shows where an error came from; else an error is one line.

    Args:
        extra: The extra of the package that holds what the command imports; None where it needs none.
    """

    def __init__(self, *args: Any, extra: str | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._extra = extra

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if ctx.params.get("debug"):
                traceback.print_exc()
            if isinstance(error, click.ClickException):
                raise
            if isinstance(error, ImportError) and self._extra is not None:
                raise ArtmirrorError(
                    f"{ctx.find_root().info_name} needs the package {error.name}; "
                    f"install it with pip install 'artmirror[{self._extra}]'"
                ) from None
            told = " ".join(str(error).split())[:300]  # too little memory, or a defect
            raise ArtmirrorError(f"{type(error).__name__}: {told}; --debug shows where it happened") from error


class DefaultGroup(click.Group):
    """A group whose first command runs when the first argument names no command, --help included."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, add_help_option=False, **kwargs)  # type: ignore[arg-type]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in self.commands:
            args = [next(iter(self.commands)), *args]
        return super().parse_args(ctx, args)


class _UnnamedContext(click.Context):
    """The default command's: in usage and errors it goes by the program's name."""

    @property
    def command_path(self) -> str:
        return self.parent.command_path if self.parent else super().command_path


class DefaultCommand(Command):
    """The first command of a `DefaultGroup`."""

    context_class = _UnnamedContext


def common_options(prog_name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add `--debug` and `--version` to a command."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        function = click.option("--debug", is_flag=True, help="Show the traceback of an error.")(function)
        return click.version_option(package_name="artmirror", prog_name=prog_name)(function)

    return add


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
