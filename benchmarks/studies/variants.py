"""The search for lighter networks: trains each, and compares their costs, times and looks.

    python -m artmirror.benchmarks.studies.variants runs/ --painting painting.jpg --photos photos/ \
        --vgg vgg19.safetensors --sequence held_out/ --picture face.png --picture landscape.png -o variants.md

Beside the page comes a sheet, variants.jpg; runs/pictures/ has its pictures in full size.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import click
import cv2
import numpy as np

from artmirror.benchmarks.arguments import TABLE, check_output, write_report
from artmirror.benchmarks.records.speed import Session, write_session
from artmirror.benchmarks.records.temporal import TemporalSession
from artmirror.benchmarks.studies.style_sheet import CELL_WIDTH_PX, JPEG_QUALITY, cell, paint, sheet
from artmirror.benchmarks.studies.training_runs import (
    Recipe,
    Run,
    call,
    checkpoint_path,
    judge_runs,
    onnx_path,
    run_options,
    train_runs,
)
from artmirror.benchmarks.studies.variants_costs import read_costs
from artmirror.benchmarks.studies.variants_report import REFERENCE, caption, markdown
from artmirror.benchmarks.studies.variants_speed import measure_variants
from artmirror.runtime.common.command import Command, common_options
from artmirror.runtime.common.option_types import SizeType
from artmirror.runtime.common.pictures import read_picture, save_picture
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.formats.ncnn import ncnn_pair

RECIPE = "--steps 250 --temporal-ramp 0.6 --pairs 2 --crop 192 --preview-every 0"  # short: they are compared, not shown
_DETAIL_PX = (200, CELL_WIDTH_PX)  # (H, W) that is shown pixel by pixel: grids and borders vanish in small pictures
_COLUMNS = 5

RUNS = (
    Run(REFERENCE, "the full network"),
    Run("huang-replicate", "padding", "--network padding=replicate"),
    Run("huang-batch", "norm that folds into convolutions", "--network norm=batch"),
    Run("huang-narrow", "width", "--network channels=8,16,32 --network blocks=4"),
    Run("lite", "half size at most", "--preset lite"),
    Run("lite-zero-blocks", "padding in the blocks", "--preset lite --network block_padding=zeros"),
    Run("lite-20", "width", "--preset lite --network channels=16,20,32 --network block_padding=zeros"),
    Run("lite-32", "width", "--preset lite --network channels=16,32,32"),
    Run("lite-shallow", "depth", "--preset lite --network blocks=4"),
    Run("lite-wide", "depth and width", "--preset lite --network channels=16,16,48 --network blocks=4"),
    Run("lite-zeros", "padding", "--preset lite --network channels=16,32,32 --network padding=zeros"),
    Run(
        "lite-batch",
        "norm that folds into convolutions",
        "--preset lite --network channels=16,32,32 --network norm=batch",
    ),
    Run(
        "lite-separable",
        "separable blocks, depth and width",
        "--preset lite --network block_conv=separable --network block_padding=zeros "
        "--network channels=16,24,32 --network blocks=6",
    ),
    Run("nano", "quarter size at most", "--preset nano"),
    Run("nano-replicate", "padding in the blocks", "--preset nano --network block_padding=same"),
    Run(
        "nano-wide",
        "depth and width",
        "--preset nano --network block_padding=same --network channels=16,16,32 --network blocks=4",
    ),
    Run("nano-separable", "separable blocks, depth", "--preset nano --network block_conv=separable --network blocks=4"),
)


@click.command(cls=Command)
@run_options(RUNS)
@click.option(
    "--picture",
    "picture_paths",
    multiple=True,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Painted by every network, for the sheet; may be given more than once.",
)
@click.option("--size", type=SizeType(), default="640x360", help="Size of the frames that are timed.")
@click.option("--threads", type=click.IntRange(1), default=2, help="Processor threads of every library.")
@click.option("--rounds", type=click.IntRange(1), default=5, help="How often everything is timed.")
@click.option("--frames", type=click.IntRange(1), default=20, help="Frames of a round, after its warm-up.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="FILE.md", help="The page.")
@common_options("variants")
def main(
    folder: Path,
    painting: Path,
    photos: Path,
    vgg: Path,
    sequences: tuple[str, ...],
    only: tuple[str, ...],
    picture_paths: tuple[Path, ...],
    size: tuple[int, int],
    threads: int,
    rounds: int,
    frames: int,
    output: Path,
    debug: bool,
) -> None:
    """Train the networks that FOLDER lacks, and compare all that it has."""
    check_output("--output", output, TABLE)
    pictures = {path.stem: read_picture(path) for path in picture_paths}
    recipe = Recipe(RECIPE, painting.absolute(), photos.absolute(), vgg.absolute())
    there = train_runs(folder, RUNS, recipe, only)
    export_ncnn(folder, there)
    click.echo(f"timing {len(there)} networks", err=True)
    picture = next(iter(pictures.values()))
    timed = np.asarray(cv2.resize(picture, (size[1], size[0]), interpolation=cv2.INTER_AREA), np.uint8)
    speed = measure_variants([onnx_path(folder, run) for run in there], timed, threads, rounds=rounds, frames=frames)
    write_session(speed, folder / "speed.json")
    temporal = judge_runs(folder, there, recipe, sequences)
    costs = {run.name: read_costs(onnx_path(folder, run), checkpoint_path(folder, run), size) for run in there}
    painted = output.with_suffix(".jpg")
    save_picture(sheet(picture_cells(folder, there, pictures, speed, temporal), _COLUMNS), painted, JPEG_QUALITY)
    write_report(output, markdown(there, RECIPE, costs, speed, temporal, painted.name))


def export_ncnn(folder: Path, runs: Sequence[Run]) -> None:
    """Export to ncnn what lacks it, where that can be done.

    Raises:
        ArtmirrorError: st-export failed.
    """
    if find_spec("pnnx") is None or find_spec("ncnn") is None:
        click.echo("ncnn is left out; it needs pip install 'artmirror[export-ncnn]'", err=True)
        return
    for run in runs:
        param, _ = ncnn_pair(folder / run.name)
        if not param.exists():
            call(["st-export", "--ncnn", str(checkpoint_path(folder, run)), "-o", str(param)])


def picture_cells(
    folder: Path, runs: Sequence[Run], pictures: dict[str, Pixels], speed: Session, temporal: TemporalSession
) -> list[Pixels]:
    """The pictures themselves, then what each network makes of them; `folder`/pictures gets them in full size.

    Raises:
        ArtmirrorError: a network cannot be opened, or a file cannot be written.
    """
    kept = folder / "pictures"
    kept.mkdir(exist_ok=True)
    cells = [_cell(list(pictures.values()), "input", "")]
    for run in runs:
        painted = {name: paint(onnx_path(folder, run), picture) for name, picture in pictures.items()}
        for name, picture in painted.items():
            save_picture(picture, kept / f"{run.name}-{name}.png")
        cells.append(_cell(list(painted.values()), run.name, caption(run, speed, temporal)))
    return cells


def _cell(pictures: Sequence[Pixels], title: str, subtitle: str) -> Pixels:
    """Each whole, and its middle pixel by pixel."""
    shown = []
    for picture in pictures:
        top, left = (max(0, side - wanted) // 2 for side, wanted in zip(picture.shape, _DETAIL_PX, strict=False))
        shown += [picture, picture[top : top + _DETAIL_PX[0], left : left + _DETAIL_PX[1]]]
    return cell(shown, title, subtitle)


if __name__ == "__main__":
    main()
