"""What the commands have in common: help in groups, one line for an error, `--debug`, stopping on signals."""

import os
import signal
import socket
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType
from typing import Any

import click
import cloup

from artmirror.runtime.common.errors import ArtmirrorError

EXIT_INTERRUPTED = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_INSIST = 2  # signals
_PATIENCE_S = 5.0  # for files to be closed
CONTEXT_SETTINGS: dict[str, Any] = {
    "help_option_names": ["-h", "--help"],
    "show_default": True,
    "max_content_width": 120,  # columns
}
_METAVARS = {  # what stands for a value in the help, by the name of its type
    "integer": "N",
    "integer range": "N",
    "float": "NUMBER",
    "float range": "NUMBER",
    "directory": "FOLDER",
}


class Command(cloup.Command):
    """A command that tells an error in one line, and shows with `--debug` where it came from.

    Options stand in the help in the groups that `cloup.option_group` names; those without one come last, as "Other".

    Args:
        extra: The extra of the package that holds what the command imports; None where it needs none.
        examples: Command lines that the help ends with.
    """

    def __init__(self, *args: Any, extra: str | None = None, examples: Sequence[str] = (), **settings: Any) -> None:
        settings["context_settings"] = {**CONTEXT_SETTINGS, **(settings.get("context_settings") or {})}
        if examples:
            settings["epilog"] = "\n".join(["\b", "Examples:", *(f"  {example}" for example in examples)])
        super().__init__(*args, **settings)
        for option in self.params:
            if option.metavar is None:
                option.metavar = _METAVARS.get(option.type.name)
        self.examples = tuple(examples)
        self._extra = extra

    def get_default_option_group(
        self, ctx: click.Context, is_the_only_visible_option_group: bool = False
    ) -> cloup.OptionGroup:
        """The options that are in no group, under a short title."""
        group = super().get_default_option_group(ctx, is_the_only_visible_option_group)
        group.title = "Options" if is_the_only_visible_option_group else "Other"
        return group

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


class DefaultGroup(cloup.Group):
    """A group whose first command runs when the first argument names no command, --help included."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, add_help_option=False, **kwargs)  # type: ignore[arg-type]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in self.commands:
            args = [next(iter(self.commands)), *args]
        return super().parse_args(ctx, args)


class _UnnamedContext(cloup.Context):
    """The default command's: in usage and errors it goes by the program's name."""

    @property
    def command_path(self) -> str:
        return self.parent.command_path if self.parent else super().command_path


class DefaultCommand(Command):
    """The first command of a `DefaultGroup`; its help lists the others."""

    context_class = _UnnamedContext

    def format_params(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the groups of options, and what other commands there are."""
        super().format_params(ctx, formatter)
        if ctx.parent is None or not isinstance(ctx.parent.command, click.Group):
            return
        others = {name: command for name, command in ctx.parent.command.commands.items() if command is not self}
        rows = [(f"{ctx.command_path} {name}", command.get_short_help_str(100)) for name, command in others.items()]
        if rows:
            with formatter.section("Other commands"):
                formatter.write_dl(rows)


def common_options(prog_name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add `--debug` and `--version` to a command, under its groups of options."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        function = click.option("--debug", is_flag=True, help="Show the traceback of an error.")(function)
        return click.version_option(package_name="artmirror", prog_name=prog_name)(function)

    return add


class StopOnSignals:
    """While open, Ctrl-C and SIGTERM set `asked`, so that files can be closed; a second one raises KeyboardInterrupt.

    Where the program is inside a library that does not come back, Python sees no signal. A thread of its own then ends
    the process, some seconds after the second one.

    Args:
        at_once: The first one raises KeyboardInterrupt already, for work that goes on later where it was.
        on_ask: Called when the first one comes, to say what happens now.
    """

    def __init__(self, *, at_once: bool = False, on_ask: Callable[[], None] | None = None) -> None:
        self.asked = False
        self._at_once, self._on_ask = at_once, on_ask

    def __enter__(self) -> "StopOnSignals":
        self._before = {number: signal.signal(number, self._ask) for number in _SIGNALS}
        self._receiver, self._sender = socket.socketpair()
        self._sender.setblocking(False)
        self._woken_before = signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(self._receiver,), name="signals", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._woken_before)
        self._sender.close()  # ends the thread
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _watch(self, receiver: socket.socket) -> None:
        """Count signals as the system gives them; see that the second one ends the process."""
        seen = 0
        with receiver:
            while number := receiver.recv(1):
                seen += number[0] in _SIGNALS
                if seen == _INSIST:
                    receiver.settimeout(_PATIENCE_S)
                    with suppress(TimeoutError):
                        while receiver.recv(1):
                            pass
                        return  # closed in time
                    os._exit(EXIT_INTERRUPTED)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        second, self.asked = self.asked, True
        if self._at_once or second:
            raise KeyboardInterrupt
        if self._on_ask is not None:
            self._on_ask()
