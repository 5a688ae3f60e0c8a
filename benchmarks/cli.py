"""`st-bench`: opens engines, measures their speed, prints a table and writes the records; and its other commands."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from artmirror.benchmarks.compare_cli import compare
from artmirror.benchmarks.engine_arguments import check_output, engine_path
from artmirror.benchmarks.predict_cli import predict
from artmirror.benchmarks.report_cli import report
from artmirror.benchmarks.temporal_cli import temporal
from artmirror.runtime.command import EXIT_INTERRUPTED, SizeType, StopOnSignals, common_options
from artmirror.runtime.default_command import DefaultCommand, DefaultGroup
from artmirror.runtime.engines import BACKENDS
from artmirror.runtime.errors import ArtmirrorError
from artmirror.runtime.gallery import DEFAULT_STYLE

if TYPE_CHECKING:
    from artmirror.benchmarks.measure import Candidate
    from artmirror.runtime.frame import Pixels
    from artmirror.runtime.source import Source


@click.group(cls=DefaultGroup)
def main() -> None:
    """The commands; the first is meant where none is named."""


@main.command(
    "speed",
    cls=DefaultCommand,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
    epilog="Examples:  st-bench starry --size 640x360;  "
    "st-bench a.onnx b.onnx --backend openvino --backend onnxruntime --json records.json",
)
@click.argument("engines", nargs=-1, type=click.Path(), metavar="[ENGINE]...")
@click.option("--size", type=SizeType(), default="640x360", help="Size of the frames.")
@click.option(
    "--backend",
    "backends",
    type=click.Choice(BACKENDS),
    multiple=True,
    help="Library that runs the network; may be given more than once.  [default: as st-run chooses]",
)
@click.option("--device", metavar="NAME", help="cpu, cuda or cuda:N.  [default: cuda for a .plan, else cpu]")
@click.option("--rounds", type=click.IntRange(1, 1000), default=5, help="How often everything is measured.")
@click.option("--frames", type=click.IntRange(1, 10_000), default=60, help="Frames of a round, after its warm-up.")
@click.option(
    "--input",
    "input_uri",
    metavar="URI",
    help="Source of the pipeline; synthetic:640x360@30 paces itself like a camera.  [default: a test picture, unpaced]",
)
@click.option("--threads", type=click.IntRange(1), help="Processor threads.  [default: the library chooses]")
@click.option("--full-precision", is_flag=True, help="FP32 where the processor would choose less by itself.")
@click.option(
    "--ceilings/--no-ceilings",
    default=True,
    help="Measure how fast this machine copies and multiplies at best, and count what a frame takes.",
)
@click.option("--json", "json_path", type=click.Path(path_type=Path), metavar="FILE", help="Write all values there.")
@common_options("st-bench")
def speed(**options: Any) -> None:
    """Measure how fast networks run: the engine alone, and the whole pipeline from a source to nowhere.

    ENGINE is a file written by st-export or the name of a bundled style; without one, the default style is measured.

    The engine's FPS is with the engine kept full, its latency with one frame at a time.

    st-bench temporal measures how much painted clips flicker; st-bench compare tells what
    changed between two records; st-bench report makes a page of them; st-bench predict
    tells how fast other hardware should be.
    """
    # Imported here, since --help and completion shall not wait for them.
    from artmirror.benchmarks.ceilings import measure_ceilings
    from artmirror.benchmarks.environment import read_environment
    from artmirror.benchmarks.measure import measure
    from artmirror.benchmarks.record import Session, write_session
    from artmirror.benchmarks.report import render_session
    from artmirror.benchmarks.scenarios import Stopped

    json_path: Path | None = options["json_path"]
    check_output("--json", json_path)
    paths = [engine_path(name) for name in options["engines"] or (DEFAULT_STYLE,)]
    backends = tuple(dict.fromkeys(options["backends"])) or (None,)
    environment = read_environment()
    with ExitStack() as stack, StopOnSignals() as signals:
        candidates = _open_candidates(stack, paths, backends, options)
        runs = options["rounds"] * sum(len(candidate.scenarios) for candidate in candidates)
        try:
            with _progress(runs) as observe:
                records = measure(
                    candidates,
                    rounds=options["rounds"],
                    frames=options["frames"],
                    should_stop=lambda: signals.asked,
                    observe=observe,
                )
        except Stopped:
            click.echo("stopped before the last round; nothing was written", err=True)
            sys.exit(EXIT_INTERRUPTED)
        # Last, since its large arrays would count as the engines' memory.
        ceilings = None
        if any(record.macs is not None for record in records):
            ceilings = measure_ceilings(options["threads"], options["rounds"], lambda: signals.asked)
    session = Session(environment, records, ceilings)
    Console(markup=False, highlight=False, emoji=False).print(render_session(session))
    if json_path is not None:
        write_session(session, json_path)


main.add_command(temporal)
main.add_command(compare)
main.add_command(report)
main.add_command(predict)


def _open_candidates(
    stack: ExitStack, paths: Sequence[Path], backends: Sequence[str | None], options: dict[str, Any]
) -> list["Candidate"]:
    """Open every engine with every back end; `stack` closes them."""
    from artmirror.benchmarks.measure import Candidate
    from artmirror.benchmarks.scenarios import EngineOnly, KeptSlots, WholePipeline, source_label
    from artmirror.benchmarks.workload import read_workload
    from artmirror.runtime.engines import choose_backend, open_engine
    from artmirror.runtime.sources import open_source

    size, threads, device = options["size"], options["threads"], options["device"]
    uri = options["input_uri"] or f"synthetic:{size[1]}x{size[0]}"
    picture, live = _first_picture(uri, size)
    candidates = []
    for path in paths:
        for backend in backends:
            click.echo(f"opening {path.name}" + (f" with {backend}" if backend else ""), err=True)
            opened = open_engine(
                path,
                size=size,
                backend=backend,
                device=device,
                threads=threads,
                full_precision=options["full_precision"],
            )
            engine = stack.enter_context(closing(KeptSlots(opened)))

            def open_for_run(frames: int | None) -> "Source":
                return open_source(uri, size=size, max_frames=frames)

            pipeline = WholePipeline(engine, open_for_run, source_label(uri), live)
            workload = None
            if options["ceilings"] and path.suffix == ".onnx" and choose_backend(path, backend, device).device == "cpu":
                workload = read_workload(path, size)
            scenarios = (EngineOnly(engine, picture), pipeline)
            candidates.append(Candidate(path.stem, engine, threads, scenarios, workload))
    return candidates


def _first_picture(uri: str, size: tuple[int, int]) -> tuple["Pixels", bool]:
    """The picture that the engine is measured with alone, and whether the source is live.

    Read before an engine is compiled, so that a wrong --input shows at once.
    """
    import numpy as np

    from artmirror.runtime.frame import FrameSlot
    from artmirror.runtime.sources import open_source

    slot = FrameSlot(np.zeros((*size, 3), np.uint8), np.zeros((*size, 3), np.uint8))
    with closing(open_source(uri, size=size)) as source:
        if not source.read(slot):
            raise ArtmirrorError(f"{uri} gave no frame; name another --input")
        return slot.frame, source.live


@contextmanager
def _progress(runs: int) -> Iterator[Callable[[], None]]:
    """A bar on stderr, drawn between runs only: drawing takes time from the cores that are measured."""
    columns = (TextColumn("run"), MofNCompleteColumn(), BarColumn(), TextColumn("left"), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, auto_refresh=False, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=runs)
        progress.refresh()

        def observe() -> None:
            progress.update(task, advance=1, refresh=True)

        yield observe
