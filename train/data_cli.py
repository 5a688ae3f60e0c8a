"""`st-data`: from clips, wherever users have them, to a dataset that trains at full speed."""

import shlex
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup

from artmirror.runtime.common.command import CONTEXT_SETTINGS, EXIT_INTERRUPTED, Command, StopOnSignals, common_options
from artmirror.runtime.common.config_file import config_option
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.option_types import BytesType, SizeType

if TYPE_CHECKING:  # imports what is not needed for --help
    from artmirror.train.collect.run import Outcome


@cloup.group("st-data", context_settings=CONTEXT_SETTINGS)
@click.version_option(package_name="artmirror", prog_name="st-data")
def main() -> None:
    """Collect clips and prepare them for st-train."""


@main.command(
    cls=Command,
    extra="data",
    short_help="Download the videos of a page or a list.",
    examples=(
        "st-data collect https://example.org/films.html -o clips/ --max-size 200MB",
        "st-data collect list.txt -o clips/ --dry-run",
    ),
)
@click.argument("source", metavar="PAGE_OR_LIST")
@cloup.option_group(
    "Used first",
    cloup.option(
        "-o", "--output", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder for the clips."
    ),
    cloup.option("--max-size", type=BytesType(), default="500MB", help="Largest file."),
    cloup.option("--max-total", type=BytesType(), default="20GB", help="All files in the folder together."),
    cloup.option("--max-files", type=click.IntRange(1), default=1000, help="Number of files in the folder."),
    cloup.option("--dry-run", is_flag=True, help="List what would be fetched and stop."),
)
@cloup.option_group(
    "Politeness",
    cloup.option(
        "--rate",
        type=BytesType(per_second=True),
        metavar="SIZE/s",
        default="5MB/s",
        help="Fastest download.",
    ),
    cloup.option(
        "--delay",
        type=click.FloatRange(0, 3600),
        default=1.0,
        help="Seconds between two requests to a host; its robots.txt may want more.",
    ),
)
@common_options("st-data collect")
def collect(source: str, output: Path, dry_run: bool, delay: float, **options: Any) -> None:
    """Download the video files that a web page links to, or that a list names.

    PAGE_OR_LIST is a page's address, or a text file (or its address) with one URL a line; lines that begin with # are
    left out. robots.txt is respected. Ctrl-C and being killed are no harm: the same command goes on. What was collected
    from where is written to collected.json in the folder; see yourself to the licences.
    """
    from artmirror.train.collect import run as collecting
    from artmirror.train.collect.client import PoliteClient
    from artmirror.train.collect.collection import Collection
    from artmirror.train.collect.progress import CollectProgress

    config = collecting.CollectConfig(
        max_size_bytes=options["max_size"],
        max_total_bytes=options["max_total"],
        max_files=options["max_files"],
        rate_bytes_per_s=options["rate"],
    )
    collection = Collection(output)
    outcomes: list[Outcome] = []
    try:
        with (
            StopOnSignals(at_once=True),
            CollectProgress() as progress,
            closing(PoliteClient(delay, on_wait=progress.say)) as client,
        ):
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
    _summarise(outcomes)
    if all(outcome.kind == "refused" for outcome in outcomes):
        raise ArtmirrorError(f"nothing could be collected from {source}; the reasons are above")


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


@main.command(
    cls=Command,
    extra="data",
    short_help="Cut videos into a dataset of clips.",
    examples=(
        "st-data prepare clips/ film.mkv -o dataset/ --holdout 0.1",
        "st-data prepare clips/ -o dataset/ --config rules.toml",
    ),
)
@click.argument("clips", metavar="CLIPS...", type=click.Path(path_type=Path), nargs=-1, required=True)
@cloup.option_group(
    "Used first",
    cloup.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path, file_okay=False),
        required=True,
        help="Folder for the dataset.",
    ),
    cloup.option("--size", type=SizeType(), default="640x360", help="Of all frames; scaled and cropped to fill."),
    cloup.option("--holdout", type=click.FloatRange(0, 0.9), default=0.0, help="Share of frames for DATASET/holdout."),
    cloup.option("--dry-run", is_flag=True, help="Measure and report, but write no shards."),
    cloup.option("--overwrite", is_flag=True, help="Replace a dataset of other settings or clips."),
    cloup.option("--workers", type=click.IntRange(1), default=1, help="Threads that measure and encode."),
    config_option,
)
@cloup.option_group(
    "What is dropped",
    cloup.option("--min-frames", type=click.IntRange(8), default=16, help="Shorter shots are dropped."),
    cloup.option(
        "--max-shot-frames", type=click.IntRange(8), default=240, help="Of longer shots, spread chunks are taken."
    ),
    cloup.option("--min-luma", type=click.FloatRange(0, 255), default=16.0, help="Darker frames are left out."),
    cloup.option("--min-contrast", type=click.FloatRange(0, 127), default=6.0, help="Standard deviation of luma."),
    cloup.option(
        "--still-px", type=click.FloatRange(0), default=0.1, help="Less motion a frame, on average, is stillness."
    ),
    cloup.option("--max-still-frames", type=click.IntRange(1), default=24, help="Longer still stretches are cut out."),
    cloup.option("--max-enlarging", type=click.FloatRange(1), default=1.5, help="Smaller pictures are dropped."),
    cloup.option("--max-motion-px", type=click.FloatRange(0), default=40.0, help="Faster shots are dropped."),
    cloup.option("--min-trust", type=click.FloatRange(0, 1), default=0.5, help="Share of the flow that is consistent."),
    cloup.option("--min-sharpness", type=click.FloatRange(0), default=0.002, help="Laplacian's variance over luma's."),
)
@cloup.option_group(
    "What is stored",
    cloup.option("--frames-per-chunk", type=click.IntRange(2, 99), default=16, help="Consecutive frames of a sample."),
    cloup.option("--shard-size", type=BytesType(), default="256MB", help="A shard ends when it is this large."),
    cloup.option("--store-flow", is_flag=True, help="Store flow beside the frames."),
    cloup.option("--flow", type=click.Choice(["dis", "farneback"]), default="dis", help="Which flow is stored."),
    cloup.option(
        "--flow-gap",
        "flow_gaps",
        type=click.IntRange(1, 98),
        multiple=True,
        default=[1],
        help="Frames from the first to the second of a pair; may be given several times.",
    ),
)
@common_options("st-data prepare")
def prepare(
    clips: tuple[Path, ...], output: Path, workers: int, dry_run: bool, overwrite: bool, **options: Any
) -> None:
    """Cut video files into shots, drop those that teach nothing, and write the rest as a dataset.

    CLIPS are video files, and folders that are searched below. The dataset is a folder of WebDataset shards with
    dataset.json; report.md says what became of every shot, contact_sheet.jpg and contact_sheet_dropped.jpg show them.
    Ctrl-C and being killed are no harm: the same command goes on.
    """
    from dataclasses import fields

    from rich.console import Console

    from artmirror.runtime.common.pixels import Size
    from artmirror.train.prepare.folder import PrepareConfig
    from artmirror.train.prepare.progress import PrepareProgress
    from artmirror.train.prepare.run import prepare as prepare_dataset
    from artmirror.train.prepare.shards import StoredFlow
    from artmirror.train.prepare.shots import Rules

    gaps = tuple(sorted(set(options["flow_gaps"])))
    if gaps[-1] >= options["frames_per_chunk"]:
        raise click.UsageError(
            f"--flow-gap {gaps[-1]} does not fit into {options['frames_per_chunk']} frames per chunk"
        )
    config = PrepareConfig(
        size=Size(*options["size"]),
        frames_per_chunk=options["frames_per_chunk"],
        rules=Rules(**{rule.name: options[rule.name] for rule in fields(Rules)}),
        flow=StoredFlow(options["flow"], gaps) if options["store_flow"] else None,
        shard_bytes=options["shard_size"],
        holdout=options["holdout"],
    )
    try:
        with StopOnSignals(at_once=True), PrepareProgress() as progress:
            report = prepare_dataset(
                clips, output, config, workers=workers, dry_run=dry_run, overwrite=overwrite, observe=progress.observe
            )
    except KeyboardInterrupt:
        again = shlex.join(["st-data", *(word for word in sys.argv[1:] if word != "--overwrite")])
        click.echo(f"Stopped; finished measurements and shards are kept. Go on with: {again}", err=True)
        raise SystemExit(EXIT_INTERRUPTED) from None
    for name, remark in report.remarks():
        click.echo(f"{name}: {remark}", err=True)
    Console().print(report.table())
    click.echo(f"{output}: {'measured only' if dry_run else 'finished'}; look at {output / 'contact_sheet.jpg'}")
