"""What all commands share: help in groups, errors of one line, signals."""

import os
import signal

import click
import cloup
import pytest
from click.testing import CliRunner

from artmirror.runtime.common.command import Command, DefaultCommand, DefaultGroup, StopOnSignals, common_options
from artmirror.runtime.common.errors import ArtmirrorError

NUMBERS = [signal.SIGINT, signal.SIGTERM]


@click.command(cls=Command, examples=("st-try --size 1", "st-try --size 2 --loud"))
@cloup.option_group("What", click.option("--size", default=3, help="How large."))
@cloup.option_group("How", click.option("--loud", is_flag=True, help="With noise."))
@common_options("st-try")
def grouped(**_: object) -> None:
    """Try it."""
    raise MemoryError("too\nlittle")


def test_help_has_groups_and_ends_with_the_examples() -> None:
    told = CliRunner().invoke(grouped, ["-h"]).stdout
    blocks = [block.splitlines() for block in told.split("\n\n")[2:]]
    assert [block[0] for block in blocks] == ["What:", "How:", "Other:", "Examples:"]
    assert blocks[0][1].split() == ["--size", "N", "How", "large.", "[default:", "3]"]
    assert [line.split()[0] for line in blocks[2][1:]] == ["--version", "--debug", "-h,"]
    assert blocks[3][1:] == ["  st-try --size 1", "  st-try --size 2 --loud"]


def test_help_without_groups_has_one_list() -> None:
    @click.command(cls=Command)
    @click.option("--size", help="How large.")
    @common_options("st-try")
    def plain(**_: object) -> None:
        """Try it."""

    told = CliRunner().invoke(plain, ["--help"]).stdout
    assert "\nOptions:\n" in told
    assert "Other" not in told


@pytest.mark.parametrize(("columns", "widest"), [(80, 79), (120, 119), (200, 120)])
def test_help_is_as_wide_as_the_terminal(columns: int, widest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command(cls=Command)
    @click.option("--size", help="word " * 60)
    def wide(**_: object) -> None:
        """Try it."""

    monkeypatch.setenv("COLUMNS", str(columns))
    told = wide.get_help(wide.make_context("wide", []))
    assert widest - 5 <= max(map(len, told.splitlines())) <= widest


def test_an_error_is_one_line_unless_debug_is_on() -> None:
    told = "Error: MemoryError: too little; --debug shows where it happened\n"
    result = CliRunner().invoke(grouped, [])
    assert (result.exit_code, result.stderr) == (1, told)
    result = CliRunner().invoke(grouped, ["--debug"])
    assert result.exit_code == 1
    assert result.stderr.startswith("Traceback")
    assert result.stderr.endswith(told)


def test_a_group_with_a_first_command() -> None:
    @click.group(cls=DefaultGroup)
    def main() -> None:
        pass

    @main.command("paint", cls=DefaultCommand)
    @click.argument("what")
    @common_options("st-try")
    def paint(what: str, debug: bool) -> None:
        """Paint WHAT."""
        if what == "nothing":
            raise ArtmirrorError("nothing to paint")
        click.echo(f"painted {what}")

    @main.command("look", cls=Command)
    @common_options("st-try look")
    def look(debug: bool) -> None:
        """Look at it."""
        click.echo("looked")

    def run(*words: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(main, words, prog_name="st-try")
        return result.exit_code, result.stdout, result.stderr

    assert run("wall") == (0, "painted wall\n", "")
    assert run("look") == (0, "looked\n", "")
    assert run("nothing") == (1, "", "Error: nothing to paint\n")
    assert run("look", "--version")[1].startswith("st-try look, version ")
    told = run("--help")[1]
    assert told.startswith("Usage: st-try [OPTIONS] WHAT\n")
    assert told.endswith("Other commands:\n  st-try look  Look at it.\n")
    assert "Other commands" not in run("look", "--help")[1]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_asks_and_a_second_one_stops(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    said: list[str] = []
    with StopOnSignals(on_ask=lambda: said.append("stopping")) as signals:
        assert not signals.asked
        os.kill(os.getpid(), number)
        assert signals.asked
        for second in NUMBERS:
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), second)
    assert said == ["stopping"]
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_stops_at_once_where_nothing_is_lost(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with StopOnSignals(at_once=True) as signals:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        assert signals.asked
    assert signal.getsignal(number) is before
