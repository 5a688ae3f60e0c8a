"""`st-bench flow`: how good estimated flow is."""

from pathlib import Path

import click
import cloup
from rich.console import Console

from artmirror.runtime.common.command import Command, common_options


@cloup.command(
    "flow",
    cls=Command,
    examples=("st-bench flow sintel/ -o flow.md",),
)
@click.argument("folder", type=click.Path(path_type=Path))
@cloup.option_group(
    "Used first",
    cloup.option(
        "-o", "--output", type=click.Path(path_type=Path), metavar="FILE.md", help="Write the table as Markdown."
    ),
    cloup.option(
        "--method",
        "methods",
        type=click.Choice(["dis", "farneback", "raft"]),
        multiple=True,
        default=("dis", "farneback"),
        help="Which flow; may be given more than once.",
    ),
    cloup.option(
        "--flow-weights", type=click.Path(path_type=Path), metavar="FILE", help="Weights for raft, torchvision's .pth."
    ),
)
@common_options("st-bench flow")
def flow(folder: Path, methods: tuple[str, ...], flow_weights: Path | None, output: Path | None, debug: bool) -> None:
    """Measure methods of optical flow on FOLDER, frames with their true flow beside them."""
    # Imported here, since --help and completion shall not wait for them.
    from artmirror.benchmarks.arguments import TABLE, check_output, write_report
    from artmirror.benchmarks.temporal.flow_accuracy import NOTE, Row, find_all_scenes, markdown, render, score_scene
    from artmirror.runtime.common.flow import FlowEstimator, open_flow

    check_output("--output", output, TABLE)
    rows: list[Row] = []
    scenes = find_all_scenes(folder)
    for method in methods:
        if method == "raft":
            from artmirror.train.pairs.raft import RaftFlow  # imports torch

            estimator: FlowEstimator = RaftFlow(flow_weights)
        else:
            estimator = open_flow(method)
        rows += [(scene.name, len(scene.truths), method, score_scene(scene, estimator)) for scene in scenes]
    rows.sort(key=lambda row: row[0])  # methods of one scene side by side
    if output is not None:
        write_report(output, markdown(rows))
    console = Console()
    console.print(render(rows))
    console.print(NOTE, style="dim", highlight=False)
