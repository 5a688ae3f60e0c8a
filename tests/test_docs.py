"""What README and docs tell users to type is understood by the commands, and what they name is there."""

import contextlib
import re
import shlex
import tomllib
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit

import click
import pytest
from torch.distributed.run import get_args_parser

from artmirror.benchmarks.cli import main as st_bench
from artmirror.export.cli import main as st_export
from artmirror.runtime.batch.cli import main as st_batch
from artmirror.runtime.cli import main as st_run
from artmirror.runtime.common.command import Command
from artmirror.runtime.show.cli import main as st_show
from artmirror.train.cli import main as st_train
from artmirror.train.data_cli import main as st_data
from artmirror.train.paint_cli import main as st_paint
from tests.draw_rooms import FRAMES_WAY, PICTURE, ROOMS, between_rooms, draw, graph, wings
from tests.places import ROOT

README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
MEASURED = sorted((ROOT / "docs" / "measurements").rglob("*.md"))
COMMANDS: dict[str, click.Command] = {
    "st-data": st_data,
    "st-train": st_train,
    "st-export": st_export,
    "st-paint": st_paint,
    "st-batch": st_batch,
    "st-run": st_run,
    "st-show": st_show,
    "st-bench": st_bench,
}
TEXTS = [*PAGES, *MEASURED, ROOT / "train" / "styles" / "README.md", ROOT / "benchmarks" / "networks" / "README.md"]


def lines(page: Path) -> set[str]:
    """Command lines of a page, in blocks and within sentences; torchrun's from the command that it starts."""
    text = page.read_text("utf-8").replace("\\\n", " ")
    blocks = re.findall(r"^    (?:torchrun .* --no-python )?(\S.*)$", text, re.MULTILINE)
    parts = [part.strip() for block in blocks for part in block.split(" | ")]  # also between other programs
    found = [part for part in parts if re.match(r"st-\w+|python -m artmirror", part)]
    found += re.findall(r"`((?:st-\w+|python -m artmirror[\w.]*) -[^`]*)`", re.sub(r"\n(?=\S)", " ", text))
    return set(found)


LINES = sorted((page.relative_to(ROOT).as_posix(), line) for page in TEXTS for line in lines(page))


def test_there_are_commands_to_check() -> None:
    assert {line.split()[0] for page, line in LINES if page == "README.md"} == set(COMMANDS)
    assert len(LINES) >= 40


@pytest.mark.parametrize(("page", "line"), LINES)
def test_command_is_understood(page: str, line: str) -> None:
    name, *arguments = shlex.split(line, comments=True)
    if name == "python":
        command = import_module(arguments[1]).main
        name, arguments = arguments[1], arguments[2:]
    else:
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
    parameters = [parameter for command in every_command() for parameter in command.params]
    known = {option for parameter in parameters for option in (*parameter.opts, *parameter.secondary_opts)}
    known |= {"--help", "--version"}
    known |= set(get_args_parser()._option_string_actions)  # torchrun's
    known |= {"--now", "--user", "--ntasks", "--model-repository"}  # of systemctl, srun, tritonserver
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", page.read_text("utf-8")))
    assert named <= known, named - known


@pytest.mark.parametrize("page", [*PAGES, *MEASURED, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_pictures_pages_and_files_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if "://" in target:
            address = urlsplit(target)
            assert address.scheme == "https", target
            assert re.fullmatch(r"[\w-]+(\.[\w-]+)+", address.netloc), target
            assert not re.search(r"\s", target), target
        else:
            assert (page.parent / target).exists(), target
    for path in re.findall(r"`((?:train|export|runtime|tests|benchmarks|docs)/[\w/.-]*)`", text):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize(
    ("page", "name", "sub_name"), [("train.md", "st-train", None), ("data.md", "st-data", "prepare")]
)
def test_options_from_a_file_are_understood(page: str, name: str, sub_name: str | None, tmp_path: Path) -> None:
    command = COMMANDS[name]
    if isinstance(command, click.Group) and sub_name:
        command = command.commands[sub_name]
    examples = re.findall(r"^```toml\n(.*?)^```$", (ROOT / "docs" / page).read_text("utf-8"), re.S | re.M)
    assert examples
    for example in examples:
        path = tmp_path / "options.toml"
        path.write_text(example, "utf-8")
        context = command.make_context(
            name, ["--config", str(path), *(["clips/", "-o", "dataset/"] if sub_name else [])]
        )
        assert len(context.default_map or ()) == len(tomllib.loads(example))


def test_the_first_page_is_short_and_plain() -> None:
    text = README.read_text("utf-8")
    assert len(text.splitlines()) < 160
    other = r"<!--.*?-->.*?<!-- /bench -->|^ {4}[^\n]*$|!?\[[^\]]*\]\([^)]*\)|`[^`]*`"  # tables, code, links
    prose = re.sub(other, " x ", text, flags=re.DOTALL | re.MULTILINE)
    sentences = [sentence.split() for sentence in re.split(r"[.:?!]\s|\n\s*\n|\n- ", prose)]
    assert sum(map(len, sentences)) > 400
    assert not [" ".join(words) for words in sentences if len(words) > 30]


def test_every_study_is_told() -> None:
    told = (ROOT / "docs" / "bench.md").read_text("utf-8")
    for path in (ROOT / "benchmarks" / "studies").glob("*.py"):
        if "__main__" in path.read_text("utf-8"):
            assert f"python -m artmirror.benchmarks.studies.{path.stem}" in told


def test_programs_named_with_python_m_exist() -> None:
    for page in TEXTS:
        for name in re.findall(r"python -m (artmirror[\w.]+\w)", page.read_text("utf-8")):
            assert callable(import_module(name).main), name


def test_every_page_is_on_the_site() -> None:
    site = (ROOT / "mkdocs.yml").read_text("utf-8")
    for page in (*(ROOT / "docs").glob("*.md"), *MEASURED):
        assert page.relative_to(ROOT / "docs").as_posix() in site


def test_the_picture_of_the_rooms_is_that_of_the_code() -> None:
    assert PICTURE.read_text("utf-8") == draw(), "PYTHONPATH=. python tests/draw_rooms.py"


def test_the_rooms_import_as_the_contracts_allow() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["name"].startswith("Rooms:"))
    height = {layer.removeprefix("artmirror."): -at for at, layer in enumerate(layers)}
    assert set(height) == set(ROOMS)
    imports = between_rooms(graph())
    assert imports
    for room, other in imports:
        assert height[room] > height[other], (room, other)
    assert imports["train", "runtime"] == {"common"}


def test_the_picture_has_every_wing_and_a_frames_way() -> None:
    modules = graph()
    for room in ROOMS:
        folders = {path.parent.name for path in (ROOT / room).glob("*/__init__.py")}
        assert set(wings(modules, room)) == folders
    assert wings(modules, "runtime")[: len(FRAMES_WAY)] == list(FRAMES_WAY)
    pipeline = modules.find_modules_directly_imported_by("artmirror.runtime.pipeline")
    assert {f"artmirror.runtime.{wing}.base" for wing in FRAMES_WAY} <= pipeline
