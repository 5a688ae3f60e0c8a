"""`st-bench gpu`: all that is to be measured on a GPU, in one call."""

import sys
from collections import Counter
from pathlib import Path

import click
import cloup
from rich.console import Console

from artmirror.benchmarks.arguments import outputs_option, split_outputs, write_report
from artmirror.runtime.common.command import Command, common_options
from artmirror.runtime.common.option_types import SizeType

_SIZES = ("640x360", "1280x720", "1920x1080")


@cloup.command(
    "gpu",
    cls=Command,
    examples=("st-bench gpu starry.pt starry-lite.pt starry-nano.pt -o gpu.json -o gpu.md",),
)
@click.argument("checkpoints", type=click.Path(exists=True, dir_okay=False, path_type=Path), nargs=-1, required=True)
@cloup.option_group(
    "Used first",
    outputs_option,
    cloup.option("--size", "sizes", type=SizeType(), multiple=True, default=_SIZES, help="Sizes of the frames."),
    cloup.option("--frames", type=click.IntRange(1), default=300, help="Measured frames of every kind."),
    cloup.option("--minutes", type=click.FloatRange(0.1), default=9.0, help="What is not begun by then is left out."),
    cloup.option("--resume", is_flag=True, help="Keep what the file of -o has measured; measure the other rows."),
)
@common_options("st-bench gpu")
def gpu(
    checkpoints: tuple[Path, ...],
    sizes: tuple[tuple[int, int], ...],
    frames: int,
    minutes: float,
    resume: bool,
    outputs: tuple[Path, ...],
    debug: bool,
) -> None:
    """Build engines of CHECKPOINTS, and compare their pictures and their speed with PyTorch's.

    From a checkout of the source it runs the project's tests for a GPU first. The pictures are compared with those of
    PyTorch in FP32. The first checkpoint is the one that the speed goals are for; lighter variants of it may follow, as
    in: starry.pt starry-lite.pt starry-nano.pt. At last st-run itself paints, at the first size. A row that cannot be
    measured here is listed with its reason; --resume tries it again. The exit code is 1 if a test failed, or a goal was
    measured and missed.
    """
    twice = [name for name, count in Counter(path.stem for path in checkpoints).items() if count > 1]
    if twice:
        raise click.UsageError(f"several checkpoints are called {twice[0]}; rename one, since rows go by this name")
    json_path, table_path = split_outputs(outputs)
    if resume and json_path is None:
        raise click.UsageError("--resume wants the record to go on with: -o FILE.json")
    # Imported here, since --help and completion shall not wait for them.
    from artmirror.benchmarks.gpu.run import measure_gpu
    from artmirror.benchmarks.gpu.table import check_goals, markdown_record, render_record
    from artmirror.benchmarks.records.gpu import read_gpu

    before = read_gpu(json_path) if resume and json_path is not None and json_path.exists() else None
    found = measure_gpu(checkpoints, sizes, frames, minutes, json_path, before)
    Console(width=200, markup=False, highlight=False, emoji=False).print(render_record(found))
    if table_path is not None:
        write_report(table_path, markdown_record(found))
    failed = found.tests is not None and found.tests.failed
    sys.exit(1 if failed or any(met is False for _, met, _ in check_goals(found.rows)) else 0)
