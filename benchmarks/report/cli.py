"""`st-bench report`: records as one page to look at."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup

from artmirror.runtime.common.command import Command, common_options

if TYPE_CHECKING:
    from artmirror.benchmarks.records.speed import Session
    from artmirror.benchmarks.records.temporal import TemporalSession


@cloup.command(
    cls=Command,
    examples=(
        "st-bench report record.json -o report.html",
        "st-bench report temporal.json --frames kept/ -o report.html",
    ),
)
@click.argument("records", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RECORD...")
@cloup.option_group(
    "Used first",
    cloup.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        required=True,
        metavar="FILE",
        help="The page; .md for Markdown.",
    ),
    cloup.option(
        "--frames",
        type=click.Path(path_type=Path),
        metavar="FOLDER",
        help="What st-bench temporal --keep-frames kept of the first record of temporal error.",
    ),
)
@common_options("st-bench report")
def report(records: tuple[Path, ...], output: Path, frames: Path | None, debug: bool) -> None:
    """Write one page of HTML that holds everything: tables, plots, pictures. It needs no network and no script.

    Or, where the file is named so, tables as Markdown.

    RECORD is a file that st-bench or st-bench temporal wrote with -o FILE.json. Each has a section of its own; values
    of different records are never merged.
    """
    # Imported here, since --help and completion shall not wait for them.
    from artmirror.benchmarks.arguments import check_output, write_report
    from artmirror.benchmarks.records.any import read_records
    from artmirror.benchmarks.records.temporal import TemporalSession
    from artmirror.runtime.common.errors import ArtmirrorError

    check_output("--output", output)
    sessions = [read_records(path) for path in records]
    if output.suffix.lower() == ".md":
        if frames is not None:
            raise click.UsageError("--frames goes with a page of HTML; Markdown holds no pictures")
        write_report(output, "\n".join(map(_markdown, sessions)))
        return
    try:
        from artmirror.benchmarks.report.page import render_page
        from artmirror.benchmarks.temporal.kept_frames import KeptFrames
    except ImportError as error:
        raise ArtmirrorError(
            f"a report needs the package {error.name}; install it with pip install 'artmirror[report]'"
        ) from None
    temporal = [session for session in sessions if isinstance(session, TemporalSession)]
    if frames is not None and not temporal:
        raise click.UsageError("--frames goes with a record of st-bench temporal, and none is named")
    kept = None if frames is None else KeptFrames(frames, temporal[0])
    write_report(output, render_page([(session, kept if session in temporal[:1] else None) for session in sessions]))
    click.echo(f"wrote {output} ({output.stat().st_size / 1e6:.1f} MB)", err=True)


def _markdown(session: "Session | TemporalSession") -> str:
    from artmirror.benchmarks.records.speed import Session
    from artmirror.benchmarks.speed.table import markdown_session
    from artmirror.benchmarks.temporal.table import markdown_temporal

    return markdown_session(session) if isinstance(session, Session) else markdown_temporal(session)
