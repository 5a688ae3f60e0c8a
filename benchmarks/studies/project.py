"""Measures this project itself, and keeps docs/measurements/bench and the numbers in README and docs: `make bench`.

    python -m artmirror.benchmarks.studies.project --data ../shared/data            # ten minutes on a quiet machine
    python -m artmirror.benchmarks.studies.project --data ../shared/data --quick    # tries all of it in one or two
    python -m artmirror.benchmarks.studies.project --readme                         # the README's tables from records

The user's own programs do the work and are read by file. Everything is measured in build/ first, so that the folder of
records holds one whole run or the one before.
"""

import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from artmirror.benchmarks.arguments import write_report
from artmirror.benchmarks.studies.project_tables import NETWORKS, SPEED, TEMPORAL, fill, tables
from artmirror.benchmarks.studies.training_runs import call
from artmirror.runtime.common.command import Command, common_options
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import file_sha256
from artmirror.runtime.gallery.bundled import many_network
from artmirror.runtime.gallery.variants import encoder_path, variants

ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / "docs" / "measurements" / "bench"
# Pages with tables of numbers -> how they name the whole report.
PAGES = {
    ROOT / "README.md": "docs/measurements/bench/report.md",
    ROOT / "docs" / "bench.md": "measurements/bench/report.md",
}
STYLE = ROOT / "runtime" / "styles" / "starry.onnx"  # the one whose variants are measured
CHECKPOINTS = ROOT / "train" / "styles"
MOSAICS = tuple(
    ROOT / "benchmarks" / "networks" / f"mosaic{name}.pt"
    for name in ("", "-no-temporal", "-still", "-johnson", "-reconet")
)

# In the data folder, none of which may be shipped: what the networks here are measured on and against.
PAINTING = "styles/starry_night_vangogh.jpg"
MOSAIC = "peers/mosaic_style.jpg"
PEERS = ("peers/johnson_mosaic.onnx", "peers/reconet_sd1_mosaic.onnx")  # trained on `MOSAIC`; white is 255 to them
VGG = "weights/vgg19_normalised_conv1_1-conv5_1_fp16.safetensors"
# Networks for any painting, on paintings by artists that ours never saw and people before a camera that stands still.
ARBITRARY = (
    ("peers/microast_predict.onnx", "peers/microast_transform.onnx"),
    ("peers/arbitrary_predict.onnx", "peers/arbitrary_transform_dyn.onnx"),
)
PAINTINGS = tuple(
    f"paintings/{name}.jpg"
    for name in (
        "2519de95f82ac3e89d07c3baa3625b5a72d0d939",
        "1ba2740bc150b19b3776d1d1a87222a7d10020a0",
        "d67cb57a35af4a59671b847c8460bc77aaeb280e",
        "498c171181975271343b76013b044331d8d9e3ac",
        "036a984d752f31219da47cae338d9cdbbe2bcd4a",
        "c3779b33e0b0c0bf1fe1cc291a6e23ed0fee6605",
        "64c14af28683d37d333607b9726a6827dda98103",
        "d0a72bbd7cf882732ba44ddd77c6fd44cb2986d1",
        "7487cc28271c941d0baba6ef637204699792e83d",
        "ea58eafabcd3e05e4552042d0e7f23f9d97579d3",
    )
)
WEBCAMS = ("webcam/asl_again.mp4", "webcam/asl_hungry.mp4")
CLIPS = tuple(f"clips/{name}.mp4" for name in ("007", "013", "037", "039", "042"))  # no network was trained on them
_FRAMES = "frames"  # folder of pictures of the clips
_EVERY = 10  # frames from one to the next whose style and content are judged


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    rounds: int
    frames: int  # of a round
    clips: tuple[str, ...]
    clip_frames: int  # of each of them
    paintings: tuple[str, ...]
    painting_frames: int  # of each clip, with each painting


FULL = Effort(rounds=5, frames=25, clips=CLIPS, clip_frames=20, paintings=PAINTINGS, painting_frames=8)
QUICK = Effort(rounds=2, frames=6, clips=CLIPS[:1], clip_frames=7, paintings=PAINTINGS[:2], painting_frames=7)


@click.command(cls=Command)
@click.option("--data", type=click.Path(path_type=Path), metavar="FOLDER", help="Holds clips, weights, styles, peers.")
@click.option("--quick", is_flag=True, help="Few frames, into build/bench-quick/docs: to see whether all of it works.")
@click.option("--readme", is_flag=True, help="Measure nothing; write the tables in README and docs from the records.")
@common_options("project")
def main(data: Path | None, quick: bool, readme: bool, debug: bool) -> None:
    """Measure speed and flicker of the networks of this checkout, and of two of others beside them."""
    if readme == (data is not None) or (readme and quick):
        raise click.UsageError("wanted either --data FOLDER, perhaps with --quick, or --readme alone")
    if not CHECKPOINTS.is_dir():
        raise ArtmirrorError("this measures a checkout of the project, and an installed package holds no checkpoints")
    if data is not None:
        work = ROOT / "build" / ("bench-quick" if quick else "bench")
        measure_project(data.absolute(), work, work / "docs" if quick else RECORDS, QUICK if quick else FULL)
    if not quick:
        check_networks(RECORDS)
        for page, report in PAGES.items():
            write_report(page, fill(page.read_text(encoding="utf-8"), tables(RECORDS, report)))


def measure_project(data: Path, work: Path, output: Path, effort: Effort) -> None:
    """Export, measure and report.

    Args:
        data: See the names at the top.
        work: Emptied; keeps the exported files, and a page with pictures of the clips.
        output: Gets the records, and reports without pictures.

    Raises:
        ArtmirrorError: something is missing, or a program failed; `output` is as before then.
    """
    engines = list(variants(STYLE).values())
    checkpoints = [CHECKPOINTS / f"{engine.stem}.pt" for engine in engines]
    peers = [name for pair in ARBITRARY for name in pair]
    films = [*effort.clips, *WEBCAMS]
    wanted = [data / name for name in (PAINTING, MOSAIC, VGG, *PEERS, *peers, *films, *effort.paintings)]
    check_there(data, wanted)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for command in commands(data, work, engines, effort):
        click.echo(shlex.join(command), err=True)
        call(command)
    measured = (*engines, *checkpoints, *MOSAICS, many_network(), encoder_path(many_network()))
    sums = [f"{file_sha256(path)}  {path.relative_to(ROOT).as_posix()}\n" for path in measured]
    write_report(work / NETWORKS, "".join(sums))
    output.mkdir(parents=True, exist_ok=True)
    for name in (*record_names(), NETWORKS, "report.md", "report.html"):
        shutil.copyfile(work / name, output / name)
    click.echo(f"{output} holds the records; {work / 'report-pictures.html'} has pictures beside them", err=True)


def check_there(folder: Path, files: Sequence[Path]) -> None:
    """Raise ArtmirrorError where files of a folder are missing."""
    missing = [str(path.relative_to(folder)) for path in files if not path.is_file()]
    if missing:
        raise ArtmirrorError(
            f"{folder} lacks {', '.join(missing)}; name the folder with the clips, weights, paintings and other "
            "people's networks that this project is measured with: make bench DATA=FOLDER"
        )


def commands(data: Path, work: Path, engines: Sequence[Path], effort: Effort) -> list[list[str]]:
    """All that is to be called, in order.

    Args:
        engines: The .onnx of each variant.
    """
    records = [work / name for name in record_names()]
    # The pictures belong to the first record of temporal error that is named.
    pictured = sorted(records, key=lambda record: record.name != TEMPORAL["mosaic"])
    return [
        *exports(work, [engine.stem for engine in engines]),
        *speed_commands(data, work, engines, effort),
        *temporal_commands(data, work, engines, effort),
        _report(records, work / "report.md"),
        _report(records, work / "report.html"),
        [*_report(pictured, work / "report-pictures.html"), "--frames", str(work / _FRAMES)],
    ]


def record_names() -> list[str]:
    """The files that are measured, in the order of the report."""
    return [*SPEED.values(), *TEMPORAL.values()]


def exports(work: Path, names: Sequence[str]) -> list[list[str]]:
    """The variants for ncnn, and the mosaics as ONNX; those of the variants are bundled."""
    plain = ["--no-parity", "--no-plan"]  # parity is checked when a style is bundled
    return [
        *(
            ["st-export", "--ncnn", "--no-parity", str(CHECKPOINTS / f"{name}.pt"), "-o", str(_ncnn(work, name))]
            for name in names
        ),
        *(["st-export", *plain, str(path), "-o", str(work / f"{path.stem}.onnx")] for path in MOSAICS),
    ]


def speed_commands(data: Path, work: Path, engines: Sequence[Path], effort: Effort) -> list[list[str]]:
    """Every file as st-run runs it; the two libraries for ONNX in the same precision; live and from the start.

    A record each, since a call has one precision; within a call everything is measured in turn.
    """
    onnx, ncnn = [str(engine) for engine in engines], [str(_ncnn(work, engine.stem)) for engine in engines]
    amount = ["--device", "cpu", "--rounds", str(effort.rounds), "--frames", str(effort.frames)]
    amount += ["--size", "640x360"]
    whole = ["--scenario", "engine", "--scenario", "pipeline", "--input", str(data / effort.clips[0])]
    both = ["--full-precision", "--backend", "openvino", "--backend", "onnxruntime"]
    shown = ["--scenario", "live", "--scenario", "startup"]
    return [
        ["st-bench", *onnx, *ncnn, *amount, *whole, "-o", str(work / SPEED["default"])],
        ["st-bench", *onnx, *amount, *whole, *both, "-o", str(work / SPEED["fp32"])],
        ["st-bench", *onnx, *amount, *shown, "--no-ceilings", "-o", str(work / SPEED["live"])],
    ]


def temporal_commands(data: Path, work: Path, engines: Sequence[Path], effort: Effort) -> list[list[str]]:
    """The variants of one style; and one painting by us, by us without temporal loss, and by others."""
    on = [word for clip in effort.clips for word in ("--sequence", str(data / clip))]
    on += ["--max-frames", str(effort.clip_frames), "--vgg", str(data / VGG), "--distance-every", str(_EVERY)]
    ours = [str(work / f"{path.stem}.onnx") for path in MOSAICS]
    against = [word for peer in PEERS for word in ("--against", f"{data / peer}@255")]
    starry = [*on, "--painting", str(data / PAINTING), "-o", str(work / TEMPORAL["variants"])]
    mosaic = [*on, "--painting", str(data / MOSAIC), "-o", str(work / TEMPORAL["mosaic"])]
    return [
        ["st-bench", "temporal", *map(str, engines), *starry],
        ["st-bench", "temporal", *ours, *against, *mosaic, "--keep-frames", str(work / _FRAMES)],
        ["st-bench", "temporal", "any", *any_painting(data, effort), "-o", str(work / TEMPORAL["paintings"])],
    ]


def any_painting(data: Path, effort: Effort) -> list[str]:
    """The network for many paintings and those of others, on the same paintings and frames."""
    words = [word for name in effort.paintings for word in ("--painting", str(data / name))]
    words += [word for name in WEBCAMS for word in ("--sequence", str(data / name))]
    words += [word for pair in ARBITRARY for word in ("--against", ",".join(str(data / name) for name in pair))]
    words += ["--max-frames", str(effort.painting_frames), "--distance-every", str(effort.painting_frames)]
    return [*words, "--vgg", str(data / VGG), "--painting-size", "256"]


def check_networks(records: Path) -> None:
    """Raise ArtmirrorError where nothing was measured, or a file of the project is not what was measured any more."""
    if not (records / NETWORKS).is_file():
        raise ArtmirrorError(f"{records} holds no records yet; measure first: make bench")
    sums = [line.split("  ", 1) for line in (records / NETWORKS).read_text(encoding="utf-8").splitlines()]
    changed = [name for value, name in sums if not (ROOT / name).is_file() or file_sha256(ROOT / name) != value]
    if changed:
        raise ArtmirrorError(f"{', '.join(changed)} changed since {records} was measured; measure again: make bench")


def _report(records: Sequence[Path], page: Path) -> list[str]:
    return ["st-bench", "report", *map(str, records), "-o", str(page)]


def _ncnn(work: Path, name: str) -> Path:
    return work / f"{name}.ncnn.param"


if __name__ == "__main__":
    main()
