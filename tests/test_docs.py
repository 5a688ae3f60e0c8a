"""What README and docs tell users to type is understood by the commands, and what they name is there."""

import contextlib
import re
import shlex
from pathlib import Path

import click
import pytest
from torch.distributed.run import get_args_parser

from artmirror.benchmarks.cli import main as st_bench
from artmirror.export.cli import main as st_export
from artmirror.runtime.cli import main as st_run
from artmirror.runtime.common.command import Command
from artmirror.train.cli import main as st_train
from artmirror.train.data_cli import main as st_data
from tests.draw_rooms import PICTURE, draw
from tests.places import ROOT

README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
MEASURED = sorted((ROOT / "docs" / "measurements").glob("*.md"))
COMMANDS: dict[str, click.Command] = {
    "st-data": st_data,
    "st-train": st_train,
    "st-export": st_export,
    "st-run": st_run,
    "st-bench": st_bench,
}
LINES = sorted(
    {
        (page.name, line)
        for page in [
            *PAGES,
            *MEASURED,
            ROOT / "train" / "styles" / "README.md",
            ROOT / "benchmarks" / "networks" / "README.md",
        ]
        for line in re.findall(r"^    (st-\w+.*)$", page.read_text("utf-8").replace("\\\n", " "), re.MULTILINE)
    }
)


def test_there_are_commands_to_check() -> None:
    assert {line.split()[0] for page, line in LINES if page == "README.md"} == set(COMMANDS)
    assert len(LINES) >= 40


@pytest.mark.parametrize(("page", "line"), LINES)
def test_command_is_understood(page: str, line: str) -> None:
    name, *arguments = shlex.split(line, comments=True)
    command = COMMANDS[name]
    if "--config" in arguments:  # reads the file at once
        at = arguments.index("--config")
        del arguments[at : at + 2]
    with contextlib.suppress(click.exceptions.Exit):  # of --list-devices, which does its work at once
        context = command.make_context(name, arguments)  # raises a usage error for what it does not know
        if isinstance(command, click.Group):
            sub_name, sub_command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
            assert sub_command is not None
            try:
                sub_command.make_context(sub_name, rest, parent=context)
            except click.BadParameter as error:  # some look at once for the file, which stands for the reader's
                if "does not exist" not in error.message:
                    raise


def every_command() -> list[click.Command]:
    return [
        inner
        for command in COMMANDS.values()
        for inner in (command.commands.values() if isinstance(command, click.Group) else [command])
    ]


@pytest.mark.parametrize("command", every_command(), ids=lambda command: str(command.name))
def test_every_option_has_a_help_and_every_command_examples(command: click.Command) -> None:
    assert isinstance(command, Command)
    assert not [option.opts for option in command.params if isinstance(option, click.Option) and not option.help]
    assert command.examples


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_named_in_the_text_exist(page: Path) -> None:
    commands = [
        inner
        for command in COMMANDS.values()
        for inner in (command.commands.values() if isinstance(command, click.Group) else [command])
    ]
    known = {option for command in commands for parameter in command.params for option in parameter.opts}
    known |= {option for command in commands for parameter in command.params for option in parameter.secondary_opts}
    known |= {"--help", "--version"}
    known |= set(get_args_parser()._option_string_actions)  # torchrun's
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", page.read_text("utf-8")))
    assert named <= known, named - known


@pytest.mark.parametrize("page", [*PAGES, *MEASURED], ids=lambda page: page.name)
def test_pictures_pages_and_files_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), target
    for path in re.findall(r"`((?:train|export|runtime|tests|benchmarks|docs)/[\w/.-]*)`", text):
        assert (ROOT / path).exists(), path


def test_the_first_page_is_short_and_plain() -> None:
    text = README.read_text("utf-8")
    assert len(text.splitlines()) < 160
    prose = re.sub(
        r"<!--.*?-->.*?<!-- /bench -->|^ {4}.*$|!?\[[^\]]*\]\([^)]*\)|`[^`]*`", " x ", text, flags=re.S | re.M
    )
    for sentence in re.split(r"[.:?!]\s|\n\s*\n|\n- ", prose):
        assert len(sentence.split()) <= 30, sentence


def test_every_study_is_told() -> None:
    told = (ROOT / "docs" / "bench.md").read_text("utf-8")
    for path in (ROOT / "benchmarks" / "studies").glob("*.py"):
        if "__main__" in path.read_text("utf-8"):
            assert f"python -m artmirror.benchmarks.studies.{path.stem}" in told


def test_every_page_is_on_the_site() -> None:
    site = (ROOT / "mkdocs.yml").read_text("utf-8")
    for page in (*(ROOT / "docs").glob("*.md"), *MEASURED):
        assert page.relative_to(ROOT / "docs").as_posix() in site


def test_the_picture_of_the_rooms_is_that_of_the_code() -> None:
    assert PICTURE.read_text("utf-8") == draw(), "PYTHONPATH=. python tests/draw_rooms.py"
