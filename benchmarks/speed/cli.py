"""`st-bench`: opens engines, measures their speed, prints a table and writes the records."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import click
import cloup
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from artmirror.benchmarks.arguments import engine_path, outputs_option, split_outputs, write_report
from artmirror.runtime.common.command import EXIT_INTERRUPTED, DefaultCommand, StopOnSignals, common_options
from artmirror.runtime.common.option_types import SizeType
from artmirror.runtime.common.progress import bar
from artmirror.runtime.engines.open import BACKENDS
from artmirror.runtime.gallery.bundled import DEFAULT_STYLE

SCENARIOS = ("engine", "transfers", "pipeline", "live", "startup")


@cloup.command(
    "speed",
    cls=DefaultCommand,
    examples=(
        "st-bench",
        "st-bench starry starry-lite --size 640x360 --size 1280x720 -o record.json",
        "st-bench a.onnx b.onnx --backend openvino --backend onnxruntime",
        "st-bench a.onnx --scenario live --input synthetic:640x360@60",
    ),
)
@click.argument("engines", nargs=-1, type=click.Path(), metavar="[ENGINE]...")
@cloup.option_group(
    "Used first",
    cloup.option(
        "--size", "sizes", type=SizeType(), multiple=True, default=("640x360",), help="Size of the frames. Repeatable."
    ),
    cloup.option(
        "--scenario",
        "scenarios",
        type=click.Choice(SCENARIOS),
        multiple=True,
        default=SCENARIOS,
        help="What is measured: the engine alone, with transfers of the frames, from source to sink, live with a "
        "source that paces itself, and starts of fresh processes with their memory. Repeatable.",
    ),
    cloup.option(
        "--backend",
        "backends",
        type=click.Choice(BACKENDS),
        multiple=True,
        help="Library that runs the networks; may be given more than once, and each takes the files that it can.  "
        "[default: as st-run chooses]",
    ),
    cloup.option("--device", metavar="NAME", help="As for st-run.  [default: as st-run chooses]"),
    cloup.option(
        "--input",
        "input_uri",
        metavar="URI",
        help="What is painted from source to sink and live: a video, a camera, synthetic:640x360@60, ...  "
        "[default: a test picture, live at 30 FPS]",
    ),
)
@cloup.option_group(
    "What comes of it",
    outputs_option,
)
@cloup.option_group(
    "How",
    cloup.option("--rounds", type=click.IntRange(1, 1000), default=5, help="How often everything is measured."),
    cloup.option("--frames", type=click.IntRange(1, 10_000), default=60, help="Frames of a round, after its warm-up."),
    cloup.option("--threads", type=click.IntRange(1), help="Processor threads.  [default: the library chooses]"),
    cloup.option("--full-precision", is_flag=True, help="FP32 where the processor would choose less by itself."),
    cloup.option(
        "--ceilings/--no-ceilings",
        default=True,
        help="Measure how fast this machine copies and multiplies at best, and count what a frame takes.",
    ),
)
@common_options("st-bench")
def speed(**options: Any) -> None:
    """Measure how fast networks run: alone, from source to sink, live, and from their start.

    ENGINE is a file written by st-export or the name of a bundled style; without one, the default style is measured.

    Everything is measured in turn, round by round, so that a busy minute hits all alike. The engine's FPS is with
    the engine kept full, its latency with one frame at a time.

    st-bench temporal measures how much painted clips flicker; st-bench compare tells what
    changed between two records; st-bench report makes a page of them; st-bench predict
    tells how fast other hardware should be.
    """
    # Imported here, since --help and completion shall not wait for them.
    from artmirror.benchmarks.records.environment import read_environment
    from artmirror.benchmarks.records.measuring import Stopped
    from artmirror.benchmarks.records.speed import Session, write_session
    from artmirror.benchmarks.speed.candidates import Wanted, open_candidates
    from artmirror.benchmarks.speed.ceilings import measure_ceilings
    from artmirror.benchmarks.speed.rounds import measure_with_starts
    from artmirror.benchmarks.speed.table import markdown_session, render_session

    json_path, table_path = split_outputs(options["outputs"])
    wanted = Wanted(
        paths=tuple(engine_path(name) for name in options["engines"] or (DEFAULT_STYLE,)),
        sizes=tuple(dict.fromkeys(options["sizes"])),
        backends=tuple(dict.fromkeys(options["backends"])) or (None,),
        scenarios=options["scenarios"],
        device=options["device"],
        threads=options["threads"],
        full_precision=options["full_precision"],
        input_uri=options["input_uri"],
        count_workload=options["ceilings"],
    )
    environment = read_environment()
    with ExitStack() as stack, StopOnSignals() as signals:
        candidates, omissions = open_candidates(stack, wanted, lambda line: click.echo(line, err=True))
        runs = sum(len(candidate.scenarios) + (candidate.starter is not None) for candidate in candidates)
        try:
            with _progress(options["rounds"] * runs) as observe:
                records, starts = measure_with_starts(
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
    session = Session(environment, records, ceilings, starts, tuple(omissions))
    Console(markup=False, highlight=False, emoji=False).print(render_session(session))
    if json_path is not None:
        write_session(session, json_path)
    if table_path is not None:
        write_report(table_path, markdown_session(session))


@contextmanager
def _progress(runs: int) -> Iterator[Callable[[], None]]:
    """A bar on stderr, drawn between runs only: drawing takes time from the cores that are measured."""
    columns = (TextColumn("run"), MofNCompleteColumn(), BarColumn(), TextColumn("left"), TimeRemainingColumn())
    console = Console(stderr=True)
    with bar(console, *columns, auto_refresh=False) as progress:
        task = progress.add_task("", total=runs)
        progress.refresh()

        def observe() -> None:
            progress.update(task, advance=1, refresh=True)

        yield observe
