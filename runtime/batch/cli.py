"""`st-batch`: an archive of pictures and films, painted file by file; and paintings, trained one by one."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup

from artmirror.runtime.common.command import (
    EXIT_INTERRUPTED,
    Command,
    DefaultCommand,
    DefaultGroup,
    StopOnSignals,
    common_options,
)
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.option_types import BytesType, SizeType
from artmirror.runtime.engines.open import BACKENDS
from artmirror.runtime.gallery.bundled import DEFAULT_STYLE
from artmirror.runtime.gallery.variants import QUALITIES

if TYPE_CHECKING:
    from artmirror.runtime.batch.ledger import Ledger
    from artmirror.runtime.batch.tasks import BatchSettings, Task
    from artmirror.runtime.batch.work import Done

_SAMPLE_FRAMES = 30  # of a film that is measured for --dry-run


@click.group("st-batch", cls=DefaultGroup)
def main() -> None:
    """The commands; the first is meant where none is named."""


@main.command(
    "paint",
    cls=DefaultCommand,
    examples=(
        "st-batch photos/ painted/ --style starry",
        "st-batch films/ painted/ --painting holiday.jpg --size 1280x720",
        "st-batch photos/ painted/ --style starry --dry-run",
        "st-batch photos/ painted/ --style starry --shard 2/4",
        "st-batch photos/ painted/ --style starry --ray auto",
        "st-batch train paintings/ -o styles/ --base any.pt",
    ),
)
@cloup.argument("source", metavar="FROM")
@cloup.argument("target", metavar="TO")
@cloup.option_group(
    "How it is painted",
    cloup.option(
        "--style",
        "styles",
        multiple=True,
        metavar="NAME|FILE",
        help=f"Bundled style, or FILE.style; with weights a mix, as in st-run.  [default: {DEFAULT_STYLE}]",
    ),
    cloup.option(
        "--painting",
        "paintings",
        type=click.Path(path_type=Path),
        multiple=True,
        metavar="PICTURE",
        help="Paint as in this picture.",
    ),
    cloup.option("--engine", type=click.Path(path_type=Path), metavar="FILE", help="Network written by st-export."),
    cloup.option("--strength", type=click.FloatRange(0, 1), default=1.0, help="0 is the picture, 1 the full style."),
    cloup.option("--keep-colours", is_flag=True, help="Light and shade of the painting, colours of the picture."),
    cloup.option("--size", type=SizeType(), help="Size of all, cropped to fit.  [default: each file's own]"),
    cloup.option("--quality", type=click.Choice(QUALITIES), help="Variant of the style.  [default: full]"),
)
@cloup.option_group(
    "Who does it",
    cloup.option("--workers", type=click.IntRange(1), help="Processes of this machine.  [default: one for each core]"),
    cloup.option("--threads", type=click.IntRange(1), help="Processor threads of each task.  [default: 1]"),
    cloup.option("--backend", type=click.Choice(BACKENDS), help="Library that runs the network."),
    cloup.option("--device", metavar="NAME", help="As of st-run: cpu, cuda, cuda:N, vulkan.  [default: cpu]"),
    cloup.option("--memory", type=BytesType(), metavar="SIZE", help="What the network of each task may take."),
    cloup.option("--shard", metavar="I/N", help="This machine's part of several machines, as in 2/4."),
    cloup.option(
        "--ray", "ray_address", metavar="ADDRESS", help="A Ray cluster: auto, or host:6379.  Needs [cluster]."
    ),
    cloup.option("--gpus", type=click.FloatRange(0), default=0.0, help="With --ray: share of a GPU for each task."),
)
@cloup.option("--dry-run", is_flag=True, help="Say what there is to do, and how long it would take here.")
@cloup.option("--again", is_flag=True, help="Paint all, also what was done already.")
@common_options("st-batch")
def paint_all(**options: Any) -> None:
    """Paint all pictures and films below the folder FROM into the folder TO, with the same names.

    FROM and TO may be URLs of a storage, such as s3://bucket/photos, with the extra [storage]. What was done is written
    down in TO/batch.jsonl: a second run does what is missing, or changed. A file that fails is tried three times, then
    named at the end; the others go on.
    """
    from artmirror.runtime.batch.storage import is_url, names_in
    from artmirror.runtime.batch.tasks import BatchSettings, find_tasks, shard

    source, target = str(options["source"]), str(options["target"])
    if source.rstrip("/") == target.rstrip("/"):
        raise click.UsageError("FROM and TO are the same: nothing is written over; name another folder")
    settings = BatchSettings(
        styles=tuple(options["styles"]),
        paintings=tuple(str(path.resolve()) for path in options["paintings"]),
        engine=str(options["engine"].resolve()) if options["engine"] else None,
        strength=options["strength"],
        keep_colours=options["keep_colours"],
        size=options["size"],
        quality=options["quality"],
        backend=options["backend"],
        device=options["device"],
        threads=options["threads"] or 1,
        memory=options["memory"],
    )
    fingerprint = settings.fingerprint()
    if not is_url(source):
        source = str(Path(source).expanduser().resolve())
    if not is_url(target):
        target = str(Path(target).expanduser().resolve())
    names = names_in(source)
    inside = target.removeprefix(source.rstrip("/") + "/")
    if inside != target:  # a folder below the first: what was painted is not painted again
        names = [name for name in names if not name.startswith(f"{inside.rstrip('/')}/")]
    tasks = find_tasks(names, source, target)
    if options["shard"]:
        tasks = shard(tasks, options["shard"])
    if not tasks:
        raise ArtmirrorError(f"{source} holds no picture and no film that can be painted")
    ledger = _open_ledger(target, options["shard"])
    wanted = tasks if options["again"] else _missing(tasks, ledger, fingerprint)
    skipped = len(tasks) - len(wanted)
    click.echo(f"{len(tasks)} files, {skipped} done already, {len(wanted)} to paint", err=True)
    if options["dry_run"]:
        _estimate(wanted, settings, options["workers"] or _cores())
        return
    if wanted:
        _run(wanted, settings, fingerprint, ledger, options)


def _open_ledger(target: str, part: str | None) -> "Ledger":
    from artmirror.runtime.batch.ledger import NAME, Ledger
    from artmirror.runtime.batch.storage import is_url

    folder = Path.cwd() if is_url(target) else Path(target)
    if not is_url(target):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ArtmirrorError(f"cannot make {folder}: {error.strerror}; name another folder") from None
    # Machines that share a folder do not write into one file.
    name = NAME if part is None else NAME.replace(".", f"-{part.replace('/', '-of-')}.", 1)
    return Ledger(folder / name)


def _missing(tasks: "list[Task]", ledger: "Ledger", fingerprint: str) -> "list[Task]":
    from artmirror.runtime.batch.storage import fetched, stamp_of
    from artmirror.runtime.common.files import file_sha256

    found = []
    for task in tasks:
        size_bytes, mtime_ns = stamp_of(task.input)
        there = stamp_of(task.output)[0] >= 0
        if there and ledger.is_done(task, fingerprint, size_bytes, mtime_ns):
            continue
        entry = ledger.entries.get(task.name)
        if there and entry is not None and entry.input_bytes == size_bytes:  # touched, or no time is told: look inside
            with fetched(task.input) as path:
                if ledger.is_done(task, fingerprint, size_bytes, mtime_ns, file_sha256(path)):
                    continue
        found.append(task)
    return found


def _run(
    wanted: "list[Task]", settings: "BatchSettings", fingerprint: str, ledger: "Ledger", options: dict[str, Any]
) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from artmirror.runtime.batch.ledger import DONE, FAILED, Entry
    from artmirror.runtime.batch.processes import ProcessRunner, Runner
    from artmirror.runtime.batch.storage import stamp_of

    runner: Runner
    if options["ray_address"]:
        from artmirror.runtime.batch.cluster import RayRunner

        runner = RayRunner(settings, options["ray_address"], gpus=options["gpus"])
    else:
        runner = ProcessRunner(settings, options["workers"] or _cores())
    failed: list[tuple[str, str]] = []
    frames = 0
    began_s = time.monotonic()
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with StopOnSignals() as signals, Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("painting", total=len(wanted))

        def report(task: "Task", found: "Done | str", tries: int) -> None:
            nonlocal frames
            size_bytes, mtime_ns = stamp_of(task.input)
            if isinstance(found, str):
                failed.append((task.name, found))
                ledger.add(
                    Entry(
                        task.name,
                        FAILED,
                        fingerprint,
                        size_bytes,
                        mtime_ns,
                        "",
                        task.output,
                        "",
                        0,
                        time.time(),
                        0.0,
                        tries,
                        "",
                        found,
                    )
                )
                console.print(f"{task.name}: {found}", highlight=False, markup=False, soft_wrap=True)
            else:
                frames += found.frames
                ledger.add(
                    Entry(
                        task.name,
                        DONE,
                        fingerprint,
                        found.input_bytes,
                        found.input_mtime_ns,
                        found.input_sha256,
                        task.output,
                        found.output_sha256,
                        found.frames,
                        found.began,
                        found.seconds,
                        tries,
                        found.worker,
                    )
                )
                if not console.is_terminal:
                    console.print(f"{task.name}: {found.seconds:.1f} s", highlight=False, markup=False, soft_wrap=True)
            progress.advance(bar)

        # The largest first: at the end no worker waits for a film.
        runner.run(sorted(wanted, key=lambda task: -stamp_of(task.input)[0]), report, lambda: signals.asked)
        asked = signals.asked
    took_s = time.monotonic() - began_s
    done = sum(ledger.entries[task.name].result == DONE for task in wanted if task.name in ledger.entries)
    click.echo(
        f"{done} of {len(wanted)} files painted, {frames} frames in {took_s:.1f} s "
        f"({done / took_s:.2f} files and {frames / took_s:.1f} frames a second)"
    )
    if asked:
        click.echo("stopped; the same command goes on", err=True)
        sys.exit(EXIT_INTERRUPTED)
    if failed:
        names = ", ".join(name for name, _ in failed[:10]) + (" ..." if len(failed) > 10 else "")
        raise ArtmirrorError(f"{len(failed)} of the files could not be painted: {names}")


def _estimate(wanted: "list[Task]", settings: "BatchSettings", workers: int) -> None:
    """Paint a second of it for nobody, and count up by bytes: what a file holds is not known before it is read."""
    from artmirror.runtime.batch.storage import stamp_of
    from artmirror.runtime.batch.work import paint

    groups = {
        "pictures": [task for task in wanted if task.is_picture],
        "films": [t for t in wanted if not t.is_picture],
    }
    total_s = 0.0
    for name, tasks in groups.items():
        if not tasks:
            continue
        tasks = sorted(tasks, key=lambda task: stamp_of(task.input)[0])
        sample = tasks[len(tasks) // 2]
        paint(sample, settings, max_frames=1)  # opens the engine
        began_s = time.monotonic()
        done = paint(sample, settings, max_frames=1 if sample.is_picture else _SAMPLE_FRAMES)
        took_s = time.monotonic() - began_s
        if sample.is_picture:
            share = sum(max(0, stamp_of(task.input)[0]) for task in tasks) / max(1, stamp_of(sample.input)[0])
            group_s = took_s * share
        else:
            frames = sum(_frame_count(task) or done.frames for task in tasks)
            group_s = took_s / done.frames * frames
        total_s += group_s
        click.echo(f"{len(tasks)} {name}: about {_words(group_s)} of one worker, by {sample.name}")
    click.echo(f"about {_words(total_s / max(1, min(workers, len(wanted))))} with {workers} workers on this machine")


def _frame_count(task: "Task") -> int | None:
    from artmirror.runtime.batch.storage import fetched
    from artmirror.runtime.sources.open import open_source

    try:
        with fetched(task.input) as path:
            source = open_source(str(path), size=None)
            try:
                return source.frame_count
            finally:
                source.close()
    except ArtmirrorError:
        return None


def _words(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@main.command(
    "train",
    cls=Command,
    examples=(
        "st-batch train paintings/ -o styles/ --base any.pt",
        "st-batch train paintings/ -o networks/ --photos photos/ --workers 2 --gpu 0 --gpu 1",
    ),
)
@cloup.argument("paintings", type=click.Path(path_type=Path, file_okay=False, exists=True), metavar="FOLDER")
@cloup.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, metavar="FOLDER", help="For what is made."
)
@cloup.option("--base", type=click.Path(path_type=Path), help="Network for many paintings: makes a .style of each.")
@cloup.option("--photos", type=click.Path(path_type=Path), help="Folder of photos: makes a network of each.")
@cloup.option("--vgg", type=click.Path(path_type=Path), help="VGG-19 weights, as of st-train.")
@cloup.option("--steps", type=click.IntRange(1), help="As of st-train.")
@cloup.option("--workers", type=click.IntRange(1), default=1, help="How many at a time.")
@cloup.option("--gpu", "gpus", multiple=True, metavar="N", help="A GPU for each worker in turn, as CUDA counts them.")
@common_options("st-batch train")
def train_all(**options: Any) -> None:
    """Train each painting of a folder by a st-train of its own. What was cut short goes on; what is done is left."""
    from artmirror.runtime.batch.training import Training, run_trainings, trainings

    if (options["base"] is None) == (options["photos"] is None):
        raise click.UsageError("one of them is wanted: --base any.pt for styles, or --photos FOLDER for networks")
    suffix = ".style" if options["base"] else ".pt"
    arguments = [
        part
        for name in ("base", "photos", "vgg", "steps")
        if options[name] is not None
        for part in (f"--{name}", str(options[name]))
    ]
    every = trainings(options["paintings"], options["output"], suffix)
    done_file = options["output"] / "trained.txt"
    done = set(done_file.read_text().splitlines()) if done_file.is_file() else set()
    wanted = [one for one in every if not (one.output.is_file() and one.output.name in done)]
    click.echo(f"{len(every)} paintings, {len(every) - len(wanted)} done already", err=True)
    failed: list[str] = []
    with StopOnSignals() as signals:

        def report(training: Training, problem: str) -> None:
            if signals.asked:
                return
            if problem:
                failed.append(training.painting.name)
                click.echo(f"{training.painting.name}: {problem}", err=True)
                return
            with done_file.open("a") as file:
                file.write(f"{training.output.name}\n")
            click.echo(f"{training.output}", err=True)

        run_trainings(
            wanted,
            arguments,
            workers=options["workers"],
            gpus=options["gpus"],
            report=report,
            stop=lambda: signals.asked,
        )
        asked = signals.asked
    if asked:
        click.echo("stopped; the same command goes on", err=True)
        sys.exit(EXIT_INTERRUPTED)
    if failed:
        raise ArtmirrorError(f"{len(failed)} of the paintings failed: {', '.join(failed[:10])}; see their .log files")
    click.echo(f"{len(every)} paintings are trained in {options['output']}")


if __name__ == "__main__":
    main()
