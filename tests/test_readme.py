"""What the README tells users to type is understood by the commands, and the files it names are there."""

import contextlib
import re
import shlex

import click
import pytest
from torch.distributed.run import get_args_parser

from artmirror.benchmarks.cli import main as st_bench
from artmirror.export.cli import main as st_export
from artmirror.runtime.cli import main as st_run
from artmirror.train.cli import main as st_train
from artmirror.train.data_cli import main as st_data
from tests.places import ROOT

README = (ROOT / "README.md").read_text()
COMMANDS: dict[str, click.Command] = {
    "st-data": st_data,
    "st-train": st_train,
    "st-export": st_export,
    "st-run": st_run,
    "st-bench": st_bench,
}
LINES = re.findall(r"^    (st-\w+.*)$", README.replace("\\\n", " "), re.MULTILINE)


def test_there_are_commands_to_check() -> None:
    assert {line.split()[0] for line in LINES} == set(COMMANDS)
    assert len(LINES) >= 12


@pytest.mark.parametrize("line", LINES)
def test_command_is_understood(line: str) -> None:
    name, *arguments = shlex.split(line, comments=True)
    command = COMMANDS[name]
    with contextlib.suppress(click.exceptions.Exit):  # of --list-devices, which does its work at once
        context = command.make_context(name, arguments)  # raises a usage error for what it does not know
        if isinstance(command, click.Group):
            sub_name, sub_command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
            assert sub_command is not None
            sub_command.make_context(sub_name, rest, parent=context)


def test_options_named_in_the_text_exist() -> None:
    commands = [
        inner
        for command in COMMANDS.values()
        for inner in (command.commands.values() if isinstance(command, click.Group) else [command])
    ]
    known = {option for command in commands for parameter in command.params for option in parameter.opts}
    known |= {"--help", "--version"}
    known |= set(get_args_parser()._option_string_actions)  # torchrun's
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", README))
    assert named <= known, named - known


def test_pictures_and_files_exist() -> None:
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (ROOT / path).is_file(), path
    for path in re.findall(r"`((?:train|export|runtime|tests|benchmarks)/[\w/]+\.(?:py|pt|onnx))`", README):
        assert (ROOT / path).is_file(), path
