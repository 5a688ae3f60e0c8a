"""`st-bench compare`: what changed from one record to another."""

import sys
from pathlib import Path

import click
import cloup
from rich.console import Console

from artmirror.runtime.common.command import Command, common_options
from artmirror.runtime.common.option_types import PercentType

EXIT_REGRESSION = 3  # apart from 1 (it could not be compared) and 2 (a wrong command line)


@cloup.command(
    cls=Command,
    examples=("st-bench compare yesterday.json today.json --fail-on-regression 5%",),
)
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@cloup.option_group(
    "Used first",
    cloup.option(
        "-o", "--output", type=click.Path(path_type=Path), metavar="FILE.md", help="Write the table as Markdown."
    ),
    cloup.option(
        "--fail-on-regression",
        "tolerated",
        type=PercentType(),
        help=f"Exit with {EXIT_REGRESSION} if a row got worse for sure and by more than that.",
    ),
)
@common_options("st-bench compare")
def compare(old: Path, new: Path, tolerated: float | None, output: Path | None, debug: bool) -> None:
    """Tell what changed from the record OLD to the record NEW: faster, slower, or not significant.

    Both were written with -o FILE.json, by st-bench or by st-bench temporal. Rows are matched by engine, back end,
    precision, size, threads and source; what is in one record only is named.
    """
    # Imported here, since --help and completion shall not wait for them.
    from artmirror.benchmarks.arguments import TABLE, check_output, write_report
    from artmirror.benchmarks.compare.comparison import compare_sessions
    from artmirror.benchmarks.grid import markdown_grid, rich_grid
    from artmirror.benchmarks.records.any import read_records
    from artmirror.runtime.common.errors import ArtmirrorError

    check_output("--output", output, TABLE)
    found = compare_sessions(read_records(old), read_records(new))
    grid = found.grid()
    console = Console(markup=False, highlight=False, emoji=False)
    console.print(grid.title, rich_grid(grid), *found.notes, sep="\n")
    if output is not None:
        lines = [f"# {grid.title}", "", *markdown_grid(grid), "", *(f"- {note}" for note in found.notes), ""]
        write_report(output, "\n".join(lines))
    if tolerated is None:
        return
    if found.machines_differ:
        raise ArtmirrorError(
            "the records are of different machines, so a regression could be theirs: measure both on one, "
            "or leave out --fail-on-regression"
        )
    regressions = found.regressions(tolerated)
    for row in regressions:
        click.echo(f"a regression of more than {100 * tolerated:g}%: {' '.join(row.words)}", err=True)
    if regressions:
        sys.exit(EXIT_REGRESSION)
