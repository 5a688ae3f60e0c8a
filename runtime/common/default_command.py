"""Commands of a program where the first is meant if none is named: `st-export starry.pt`."""

import click

from artmirror.runtime.common.command import Command


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
