"""What decides coherence: trains one network in many ways and compares them in one measurement.

    python -m artmirror.benchmarks.studies.coherence runs/ --painting painting.jpg --photos photos/ \
        --vgg vgg19.safetensors --clips dataset/ --sequence held_out/ -o coherence.md
"""

from collections.abc import Sequence
from pathlib import Path

import click

from artmirror.benchmarks.arguments import TABLE, check_output, write_report
from artmirror.benchmarks.grid import Grid, markdown_grid
from artmirror.benchmarks.records.temporal import TemporalSession
from artmirror.benchmarks.studies.training_runs import Recipe, Run, figure, judge_runs, run_options, train_runs
from artmirror.benchmarks.temporal.summary import mean_content, mean_style, ratio, temporal_error
from artmirror.runtime.common.command import Command, common_options

RECIPE = "--steps 700 --pairs 2 --crop 192 --preview-every 0"
_OFF = "off"

RUNS = (
    Run(_OFF, "no temporal loss", "--temporal-weight 0"),
    Run("on", "the default"),
    Run("ramp", "weight of the loss, growing", "--temporal-ramp 0.6"),
    Run("weight-300", "weight of the loss", "--temporal-weight 300"),
    Run("weight-4000", "weight of the loss", "--temporal-weight 4000"),
    Run("noise-none", "noise on the second frame", "--noise 0"),
    Run("noise-more", "noise on the second frame", "--noise 0.03"),
    Run("rate-third", "learning rate", "--learning-rate 1e-3"),
    Run("mean-weights", "average of the weights", "--ema 0.99"),
    Run("clips", "real motion, flow per step", "--flow dis", "clips"),
    Run("clips-stored", "real motion, flow computed once", "--flow stored", "clips"),
    Run("clips-farneback", "a worse flow", "--flow farneback", "clips"),
    Run("clips-gaps", "frames farther apart", "--gap 1 --gap 3 --gap 5", "clips"),
    Run("mixed", "photos and clips, half each", "", "photos clips"),
    Run("no-grain", "grain in the network", "--network grain=0"),
    Run("batch-norm", "instance norm", "--network norm=batch"),
    Run("linear-output", "saturation of tanh", "--network output=linear"),
    Run("steps-2000", "longer training", "--steps 2000"),
)


@click.command(cls=Command)
@run_options(RUNS)
@click.option(
    "--clips",
    type=click.Path(exists=True, path_type=Path),
    metavar="FOLDER",
    help="Dataset of st-data prepare --store-flow.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE.md", help="Write the table as Markdown.")
@common_options("coherence")
def main(
    folder: Path,
    painting: Path,
    photos: Path,
    clips: Path | None,
    vgg: Path,
    sequences: tuple[str, ...],
    only: tuple[str, ...],
    output: Path | None,
    debug: bool,
) -> None:
    """Train the runs that FOLDER lacks, and compare all that it has."""
    check_output("--output", output, TABLE)
    recipe = Recipe(RECIPE, painting.absolute(), photos.absolute(), vgg.absolute(), clips and clips.absolute())
    there = train_runs(folder, RUNS, recipe, only)
    page = markdown(there, judge_runs(folder, there, recipe, sequences))
    if output is None:
        click.echo(page)
    else:
        write_report(output, page)


def markdown(runs: Sequence[Run], session: TemporalSession) -> str:
    """A row for each run: its figures, and what they are of the run without temporal loss."""
    painters = {painter.info.label: painter for painter in session.painters}
    header = ["run", "question", "st-train"]
    for step in session.steps:
        header += [f"e_stab step {step}", "of off"]
    header += ["style", "of off", "content"]
    rows = []
    for name, question, options in [
        ("input", "the floor", ""),
        *(
            (run.name, run.question, f"{'' if run.data == 'photos' else run.data} {run.options}".strip())
            for run in runs
        ),
    ]:
        cells = [name, question, f"`{options}`" if options else ""]
        for step in session.steps:
            error = temporal_error(painters[name], session.sequences, step)
            off = temporal_error(painters[_OFF], session.sequences, step) if _OFF in painters else None
            cells += [figure(error, 4), figure(ratio(error, off), 2)]
        style = mean_style(painters[name], session.sequences, photos=False)
        off = mean_style(painters[_OFF], session.sequences, photos=False) if _OFF in painters else None
        content = mean_content(painters[name], session.sequences, photos=False)
        rows.append((*cells, figure(style, 3), figure(ratio(style, off), 2), figure(content, 2)))
    names = ", ".join(sequence.name for sequence in session.sequences)
    table = markdown_grid(Grid("Runs", tuple(header), tuple(rows), texts=3))
    return "\n".join([f"All runs: `st-train {RECIPE}`. Measured on {names}.", "", *table, ""])


if __name__ == "__main__":
    main()
