"""`st-data`: from clips, wherever users have them, to a dataset that trains at full speed."""

import re
import shlex
import signal
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from artmirror.train.command import EXIT_INTERRUPTED, Command
from artmirror.train.errors import TrainError

if TYPE_CHECKING:  # imports what is not needed for --help
    from artmirror.train.collect import Outcome

_UNIT_BYTES = {
    "b": 1,
    **{f"{letter}{ending}": 1000**power for power, letter in enumerate("kmgt", 1) for ending in ("", "b")},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)},
}


class BytesType(click.ParamType[int]):
    """A number of bytes with its unit: 500MB, 1.5 GiB, 64k; a rate may end in /s."""

    name = "size"

    def __init__(self, per_second: bool = False) -> None:
        self._per_second = per_second

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        told = str(value).strip().lower()
        if self._per_second:
            told = told.removesuffix("/s")
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", told, re.ASCII)
        unit = _UNIT_BYTES.get(match[2] or "b") if match else None
        if match is None or unit is None or float(match[1]) * unit < 1:
            example = "5MB/s" if self._per_second else "500MB, 1.5GiB"
            self.fail(
                f"got {value!r}; wanted a number above 0 with B, kB, MB, GB, KiB, ..., as in {example}", param, ctx
            )
        return int(float(match[1]) * unit)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_name="artmirror", prog_name="st-data")
def main() -> None:
    """Collect clips and prepare them for st-train."""


@main.command(
    cls=Command,
    program="st-data",
    extra="data",
    epilog="Example: st-data collect https://example.org/films.html -o clips/ --max-size 200MB",
)
@click.argument("source", metavar="PAGE_OR_LIST")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder for the clips."
)
@click.option("--max-size", type=BytesType(), default="500MB", help="Largest file.")
@click.option("--max-total", type=BytesType(), default="20GB", help="All files in the folder together.")
@click.option("--max-files", type=click.IntRange(1), default=1000, help="Number of files in the folder.")
@click.option("--rate", type=BytesType(per_second=True), default="5MB/s", help="Fastest download, bytes a second.")
@click.option(
    "--delay",
    type=click.FloatRange(0, 3600),
    default=1.0,
    help="Seconds between two requests to a host; its robots.txt may want more.",
)
@click.option("--dry-run", is_flag=True, help="List what would be fetched and stop.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def collect(source: str, output: Path, dry_run: bool, delay: float, **options: Any) -> None:
    """Download the video files that a web page links to, or that a list names.

    PAGE_OR_LIST is a page's address, or a text file (or its address) with one URL a line; lines that begin with # are
    left out. robots.txt is respected. Ctrl-C and being killed are no harm: the same command goes on. What was collected
    from where is written to collected.json in the folder; see yourself to the licences.
    """
    from artmirror.train import collect as collecting
    from artmirror.train.collect_progress import CollectProgress
    from artmirror.train.collected import Collection
    from artmirror.train.web import PoliteClient

    config = collecting.CollectConfig(
        max_size_bytes=options["max_size"],
        max_total_bytes=options["max_total"],
        max_files=options["max_files"],
        rate_bytes_per_s=options["rate"],
    )
    collection = Collection(output)
    outcomes: list[Outcome] = []
    terminated = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with CollectProgress() as progress, closing(PoliteClient(delay, on_wait=progress.say)) as client:
            links = collecting.find_links(client, source)
            progress.count = len(links)
            if dry_run:
                outcomes += collecting.plan(links, client, collection)
            else:
                for outcome in collecting.collect(links, client, collection, config, progress.bytes_there):
                    outcomes.append(outcome)
                    progress.tell(outcome)
    except KeyboardInterrupt:
        _summarise(outcomes)
        again = shlex.join(["st-data", *sys.argv[1:]])
        click.echo(f"Stopped; what came of the last file is kept. Go on with: {again}", err=True)
        raise SystemExit(EXIT_INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGTERM, terminated)
    _summarise(outcomes)
    if all(outcome.kind == "refused" for outcome in outcomes):
        raise TrainError(f"nothing could be collected from {source}; the reasons are above")


def _summarise(outcomes: "list[Outcome]") -> None:
    from rich.filesize import decimal

    kinds = {kind: [o for o in outcomes if o.kind == kind] for kind in ("collected", "wanted", "there", "refused")}
    for outcome in kinds["wanted"]:
        click.echo(f"would fetch {outcome.url}")
    for outcome in kinds["refused"]:
        click.echo(f"refused {outcome.url}: {outcome.reason}")
    got = f"{len(kinds['wanted'])} to fetch" if kinds["wanted"] else f"{len(kinds['collected'])} collected"
    size = f" ({decimal(sum(o.bytes for o in kinds['collected']))})" if kinds["collected"] else ""
    click.echo(f"{got}{size}, {len(kinds['there'])} already there, {len(kinds['refused'])} refused")
