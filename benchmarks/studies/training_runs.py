"""Lists of training runs that are compared: trains, exports and judges them with the user's own programs.

The programs are started and read by file. A run that is there is not trained again, so that a list can grow; one that
was interrupted goes on.
"""

import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from artmirror.benchmarks.records.temporal import TemporalSession, read_temporal
from artmirror.runtime.common.errors import ArtmirrorError


@dataclass(frozen=True, slots=True)
class Run:
    """One way to train; `options` are st-train's, beyond the common ones."""

    name: str
    question: str  # what it is there to answer
    options: str = ""
    data: str = "photos"  # or "clips", or "photos clips"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What all runs of a list have in common; absolute paths."""

    options: str  # st-train's
    painting: Path
    photos: Path
    vgg: Path
    clips: Path | None = None

    def command(self, run: Run, output: Path) -> list[str]:
        """The whole st-train command of a run."""
        data = {"photos": ["--photos", str(self.photos)], "clips": ["--clips", str(self.clips)]}
        named = [argument for kind in run.data.split() for argument in data[kind]]
        common = ["--painting", str(self.painting), "--vgg", str(self.vgg), *shlex.split(self.options)]
        # The last of an option that is given twice counts.
        return ["st-train", *named, *common, *shlex.split(run.options), "-o", str(output)]


def run_options(runs: Sequence[Run]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add what every list of runs needs: `folder`, `painting`, `photos`, `vgg`, `sequences` and `only`."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        there = click.Path(exists=True, path_type=Path)
        for parameter in reversed(
            (
                click.argument("folder", type=click.Path(path_type=Path)),
                click.option("--painting", type=there, required=True, metavar="PICTURE", help="The painting."),
                click.option("--photos", type=there, required=True, metavar="FOLDER", help="Photos to train with."),
                click.option("--vgg", type=there, required=True, metavar="FILE", help="VGG-19 weights."),
                click.option(
                    "--sequence",
                    "sequences",
                    multiple=True,
                    required=True,
                    metavar="PATH",
                    help="Measure on it, as st-bench temporal.",
                ),
                click.option(
                    "--only",
                    multiple=True,
                    type=click.Choice([run.name for run in runs]),
                    metavar="RUN",
                    help=f"Train this one alone, as {runs[0].name}; may be given more than once.",
                ),
            )
        ):
            function = parameter(function)
        return function

    return add


def train_runs(folder: Path, runs: Sequence[Run], recipe: Recipe, only: Sequence[str] = ()) -> list[Run]:
    """Train and export to NAME.onnx what `folder` lacks.

    Args:
        only: Names of those to train; none for all.

    Returns:
        The runs that are there then, in the list's order.

    Raises:
        ArtmirrorError: a program failed, or no run is there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for run in runs:
        if (only and run.name not in only) or onnx_path(folder, run).exists():
            continue
        if recipe.clips is None and "clips" in run.data:
            click.echo(f"{run.name}: left out, it needs --clips", err=True)
            continue
        checkpoint = checkpoint_path(folder, run)
        command = recipe.command(run, checkpoint)
        if checkpoint.with_suffix(".state.pt").exists():  # it was interrupted
            command = ["st-train", "--resume", str(checkpoint)]
        click.echo(shlex.join(command), err=True)
        call(command)
        call(["st-export", "--no-parity", str(checkpoint), "-o", str(onnx_path(folder, run))])
    there = [run for run in runs if onnx_path(folder, run).exists()]
    if not there:
        raise ArtmirrorError(f"{folder} holds no run to compare")
    return there


def judge_runs(folder: Path, runs: Sequence[Run], recipe: Recipe, sequences: Sequence[str]) -> TemporalSession:
    """Flicker, style and content of all runs in one call of `st-bench temporal`, in FP32; kept as temporal.json.

    Raises:
        ArtmirrorError: the program failed.
    """
    record = folder / "temporal.json"
    arguments = [str(onnx_path(folder, run)) for run in runs]
    for sequence in sequences:
        arguments += ["--sequence", sequence]
    judged = ["--painting", str(recipe.painting), "--vgg", str(recipe.vgg)]
    call(["st-bench", "temporal", *arguments, *judged, "--full-precision", "-o", str(record)])
    return read_temporal(record)


def checkpoint_path(folder: Path, run: Run) -> Path:
    """Where a run is trained to."""
    return folder / f"{run.name}.pt"


def onnx_path(folder: Path, run: Run) -> Path:
    """Where a run is exported to."""
    return folder / f"{run.name}.onnx"


def call(command: Sequence[str]) -> None:
    """Run one of the project's programs, of the same environment, to its end.

    Raises:
        ArtmirrorError: it failed.
    """
    program = Path(sys.executable).with_name(command[0])
    if subprocess.run([program, *command[1:]], check=False).returncode:
        raise ArtmirrorError(f"{shlex.join(command)} failed; its own words stand above")


def figure(value: float | None, digits: int) -> str:
    """A number for a table, a dash for none."""
    return "-" if value is None else f"{value:.{digits}f}"
