"""Options from a TOML file, and into one."""

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from artmirror.runtime.common.command import Command
from artmirror.runtime.common.config_file import config_option, write_config


@click.command("paint", cls=Command)
@click.option("--painting", type=click.Path(path_type=Path))
@click.option("--temporal-weight", type=click.FloatRange(0), default=7.0)
@click.option("--gap", "gaps", type=click.IntRange(1), multiple=True, default=(1,))
@click.option("--title", default="")
@click.option("--mirror", is_flag=True)
@click.option("--save", type=click.Path(path_type=Path))
@config_option
@click.pass_context
def paint(ctx: click.Context, /, **options: Any) -> None:
    if options["save"]:
        write_config(options["save"], ctx, leave_out=("save",))
    del options["save"]
    click.echo(repr(sorted(options.items())))


def run(*words: object) -> Result:
    return CliRunner().invoke(paint, [str(word) for word in words])


def test_the_command_line_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text('temporal-weight = 1000\ngap = [2, 5]\nmirror = true\ntitle = "Starry"\n')
    found = run("--config", file, "--title", "Wave").stdout
    assert "('temporal_weight', 1000.0)" in found
    assert "('gaps', (2, 5))" in found
    assert "('mirror', True)" in found
    assert "('title', 'Wave')" in found


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text('painting = "pictures/a.jpg"\n')
    assert str(tmp_path / "pictures" / "a.jpg") in run("--config", file).stdout
    file.write_text('painting = "/b.jpg"\n')
    assert "PosixPath('/b.jpg')" in run("--config", file).stdout


@pytest.mark.parametrize(
    "title", ['a "quoted" \\ name', "Lys d'été \N{EM DASH} été", "two\nlines\tand \\u00e9", "odd \x7f\x01"]
)
def test_what_is_written_gives_the_same_again(tmp_path: Path, title: str) -> None:
    file = tmp_path / "below" / "a.toml"
    file.parent.mkdir()
    words = ("--painting", tmp_path / "a b.jpg", "--gap", 3, "--gap", 4, "--title", title, "--mirror")
    told = run(*words, "--temporal-weight", "0.1", "--save", file)
    assert told.exit_code == 0, told.output
    assert run("--config", file).stdout == told.stdout


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("colour = 1\n", "has 'colour', which is no option of paint"),
        ("config = 'b.toml'\n", "has 'config', which is no option"),
        ("gaps = [1]\n", "has 'gaps', which is no option"),
        ("temporal-weight = -1\n", "temporal-weight: -1.0 is not in the range"),
        ("temporal-weight = 'much'\n", "temporal-weight: 'much' is not a valid float"),
        ("temporal-weight = true\n", "temporal-weight is True; wanted a value"),
        ("temporal-weight = [1]\n", "temporal-weight is [1]; wanted one value"),
        ('title = "a\\u0000b"\n', "title holds a character of no text"),
        ("a = " + "[" * 100_000, "is no TOML file of options"),
        ("gap = 1\n", "gap is 1; wanted a list"),
        ("mirror = 'yes'\n", "mirror is 'yes'; wanted true or false"),
        ("[table]\na = 1\n", "has 'table', which is no option"),
        ("painting", "is no TOML file of options"),
        ("\udcff", "is no TOML file of options"),
        (None, "cannot read"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, text: str | None, told: str) -> None:
    file = tmp_path / "a.toml"
    if text is not None:
        file.write_bytes(text.encode(errors="surrogateescape"))
    result = run("--config", file)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert told in result.stderr
    assert str(file) in result.stderr
