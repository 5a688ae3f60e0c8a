"""What training's commands have in common: an error is one line, and `--debug` shows where it came from."""

import traceback
from typing import Any

import click

from artmirror.train.errors import TrainError

EXIT_INTERRUPTED = 130


class Command(click.Command):
    """A command whose `--debug` shows where an error came from; a package that is missing comes with its extra."""

    def __init__(self, *args: Any, program: str, extra: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self._program, self._extra = program, extra

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.ClickException:
            if ctx.params.get("debug"):
                traceback.print_exc()
            raise
        except (click.exceptions.Exit, click.Abort):
            raise
        except ImportError as error:
            if ctx.params.get("debug"):
                traceback.print_exc()
            raise TrainError(
                f"{self._program} needs the package {error.name}; "
                f"install it with pip install 'artmirror[{self._extra}]'"
            ) from None
        except Exception as error:  # too little memory, or a defect
            if ctx.params.get("debug"):
                traceback.print_exc()
            told = " ".join(str(error).split())
            raise TrainError(f"{type(error).__name__}: {told[:300]}; --debug shows where it happened") from error
