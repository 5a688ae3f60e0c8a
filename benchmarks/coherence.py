"""What decides coherence: trains one network in many ways and compares them in one measurement.

    python -m artmirror.benchmarks.coherence runs/ --style painting.jpg --photos photos/ --vgg vgg19.safetensors \
        --clips dataset/ --sequence held_out/ -o coherence.md

Training, export and measurement are the user's own programs, started here and read by file. A run that is there is not
trained again, so that the list can grow.
"""

import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from artmirror.benchmarks.temporal_record import TemporalSession, read_temporal
from artmirror.benchmarks.temporal_statistics import mean_content, mean_style, ratio, temporal_error
from artmirror.runtime.command import Command, common_options
from artmirror.runtime.errors import ArtmirrorError
from artmirror.runtime.whole_file import write_whole

_RECIPE = "--steps 700 --pairs 2 --crop 192 --preview-every 0"
_OFF = "off"


@dataclass(frozen=True, slots=True)
class Run:
    """One way to train; `options` are st-train's, beyond the common ones."""

    name: str
    question: str  # what it is there to answer
    options: str = ""
    data: str = "photos"  # or "clips", or "photos clips"


RUNS = (
    Run(_OFF, "no temporal loss", "--temporal-weight 0"),
    Run("on", "the default"),
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


@dataclass(frozen=True, slots=True)
class Sources:
    """Where training takes its pictures from; absolute paths."""

    style: Path
    photos: Path
    vgg: Path
    clips: Path | None

    def command(self, run: Run, output: Path) -> list[str]:
        """The whole st-train command of a run."""
        data = {"photos": ["--content", str(self.photos)], "clips": ["--clips", str(self.clips)]}
        named = [argument for kind in run.data.split() for argument in data[kind]]
        common = ["--style", str(self.style), "--vgg", str(self.vgg), *shlex.split(_RECIPE)]
        # The last of an option that is given twice counts.
        return ["st-train", *named, *common, *shlex.split(run.options), "-o", str(output)]


@click.command(cls=Command, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--style", type=click.Path(exists=True, path_type=Path), required=True, help="The painting.")
@click.option("--photos", type=click.Path(exists=True, path_type=Path), required=True, help="Photos to train with.")
@click.option("--clips", type=click.Path(exists=True, path_type=Path), help="Dataset of st-data prepare --store-flow.")
@click.option("--vgg", type=click.Path(exists=True, path_type=Path), required=True, help="VGG-19 weights.")
@click.option("--sequence", "sequences", multiple=True, required=True, help="Measure on it, as st-bench temporal.")
@click.option("--only", multiple=True, type=click.Choice([run.name for run in RUNS]), help="Train these alone.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the table as Markdown.")
@common_options("coherence")
def main(
    folder: Path,
    style: Path,
    photos: Path,
    clips: Path | None,
    vgg: Path,
    sequences: tuple[str, ...],
    only: tuple[str, ...],
    output: Path | None,
    debug: bool,
) -> None:
    """Train the runs that FOLDER lacks, and compare all that it has."""
    sources = Sources(style.absolute(), photos.absolute(), vgg.absolute(), clips and clips.absolute())
    folder.mkdir(parents=True, exist_ok=True)
    for run in RUNS:
        if (only and run.name not in only) or (folder / f"{run.name}.onnx").exists():
            continue
        if clips is None and "clips" in run.data:
            click.echo(f"{run.name}: left out, it needs --clips", err=True)
            continue
        checkpoint = folder / f"{run.name}.pt"
        command = sources.command(run, checkpoint)
        if checkpoint.with_suffix(".state.pt").exists():  # it was interrupted
            command = ["st-train", "--resume", str(checkpoint)]
        click.echo(shlex.join(command), err=True)
        _call(command)
        _call(["st-export", "--no-parity", str(checkpoint), "-o", str(checkpoint.with_suffix(".onnx"))])
    there = [run for run in RUNS if (folder / f"{run.name}.onnx").exists()]
    if not there:
        raise ArtmirrorError(f"{folder} holds no run to compare")
    record = folder / "temporal.json"
    arguments = [str(folder / f"{run.name}.onnx") for run in there]
    for sequence in sequences:
        arguments += ["--sequence", sequence]
    judged = ["--style", str(style), "--vgg", str(vgg)]
    _call(["st-bench", "temporal", *arguments, *judged, "--full-precision", "--json", str(record)])
    page = markdown(there, read_temporal(record))
    if output is None:
        click.echo(page)
    else:
        write_whole(output, page.encode())


def markdown(runs: Sequence[Run], session: TemporalSession) -> str:
    """A row for each run: its figures, and what they are of the run without temporal loss."""
    painters = {painter.info.label: painter for painter in session.painters}
    header = ["run", "question", "st-train"]
    for step in session.steps:
        header += [f"e_stab step {step}", "of off"]
    header += ["style", "of off", "content"]
    lines = [header, ["---"] * 3 + ["---:"] * (len(header) - 3)]
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
            cells += [_figure(error, 4), _figure(ratio(error, off), 2)]
        style = mean_style(painters[name], session.sequences, photos=False)
        off = mean_style(painters[_OFF], session.sequences, photos=False) if _OFF in painters else None
        content = mean_content(painters[name], session.sequences, photos=False)
        lines.append([*cells, _figure(style, 3), _figure(ratio(style, off), 2), _figure(content, 2)])
    rows = ["| " + " | ".join(cells) + " |" for cells in lines]
    names = ", ".join(sequence.name for sequence in session.sequences)
    return "\n".join([f"All runs: `st-train {_RECIPE}`. Measured on {names}.", "", *rows, ""])


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _call(command: Sequence[str]) -> None:
    program = Path(sys.executable).with_name(command[0])  # of the same environment
    if subprocess.run([program, *command[1:]], check=False).returncode:
        raise ArtmirrorError(f"{shlex.join(command)} failed; its own words stand above")


if __name__ == "__main__":
    main()
