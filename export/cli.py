"""`st-export`: a checkpoint in, an ONNX file and a TensorRT plan, or ncnn's files, out; `st-export inspect`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup
from rich.console import Console
from rich.table import Table

from artmirror.export.plan.bars import BuildBars
from artmirror.export.plan.build import BuildOptions, build_plan, plan_obstacle
from artmirror.export.plan.library import CURRENT, Library, find_library
from artmirror.export.plan.options import build_options, plan_options
from artmirror.runtime.common.command import EXIT_INTERRUPTED, Command, DefaultCommand, DefaultGroup, common_options
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import check_not_input
from artmirror.runtime.common.option_types import SizeType
from artmirror.runtime.engines.cuda_device import current_gpu
from artmirror.runtime.formats.ncnn import PARAM_SUFFIX, ncnn_pair
from artmirror.runtime.gallery.bundled import find_network
from artmirror.runtime.gallery.variants import encoder_path

if TYPE_CHECKING:  # imports torch, which takes seconds that --help should not
    from artmirror.export.fp16 import Choice
    from artmirror.export.parity import ParityResult

_BELOW_FLOOR = {  # what to do where the parity check fails
    "fp32": "--no-parity keeps it all the same",
    "fp16": "export without --fp16",
    "int8": "calibrate on photos more like those to be painted, or export without --int8",
}


@click.group("st-export", cls=DefaultGroup)
def main() -> None:
    """The commands; the first is meant where none is named."""


@main.command(
    "export",
    cls=DefaultCommand,
    examples=(
        "st-export --fp16 starry.pt",
        "st-export --int8 --photos photos/ -o starry-int8.onnx starry.pt",
        "st-export --target sm86 starry.onnx",
        "st-export any.pt",
        "st-export --style mine.style any.pt",
        "st-export --web starry wave mine.onnx -o site/",
        "st-export --triton models/ starry wave",
        "st-export inspect starry.plan",
    ),
)
@click.argument("checkpoints", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="CHECKPOINT")
@cloup.option_group(
    "Used first",
    cloup.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="File to write.  [default: NAME.onnx or NAME.ncnn.param]",
    ),
    cloup.option("--fp16", is_flag=True, help="Convolutions in FP16, normalisation in FP32: half the size."),
    cloup.option("--int8", is_flag=True, help="Convolutions in INT8, for processors; needs --photos."),
    cloup.option(
        "--photos",
        type=click.Path(path_type=Path),
        metavar="FOLDER",
        help="Photos like those to be painted, for the ranges of --int8; 32 of them are used.",
    ),
    cloup.option(
        "--style",
        type=click.Path(path_type=Path),
        metavar="FILE.style",
        help="Of a network for many paintings: export one with this style alone in it.",
    ),
    cloup.option(
        "--ncnn", is_flag=True, help="NAME.ncnn.param and NAME.ncnn.bin for Vulkan, in place of ONNX and plan."
    ),
)
@cloup.option_group(
    "The check",
    cloup.option("--parity/--no-parity", default=True, help="Check the file against PyTorch on pictures."),
    cloup.option(
        "--pictures",
        type=click.Path(path_type=Path),
        metavar="FOLDER",
        help="Pictures for the check.  [default: three that come with the package]",
    ),
    cloup.option(
        "--verbose", is_flag=True, help="Print the precision of every node, and why; and TensorRT's messages."
    ),
)
@cloup.option_group(
    "A page for browsers",
    cloup.option(
        "--web", is_flag=True, help="A folder with a page that paints a camera in the browser, of one style or more."
    ),
    cloup.option(
        "--web-library",
        type=click.Path(path_type=Path, exists=True),
        metavar="PLACE",
        help="onnxruntime-web as npm packs it, or its folder.  [default: fetched, once]",
    ),
    cloup.option("--webgpu/--no-webgpu", default=True, help="Bring what paints on GPUs too, 7 MB more."),
)
@cloup.option_group(
    "A server for many streams",
    cloup.option(
        "--triton",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="FOLDER",
        help="Add .onnx files, or bundled styles, to a model repository of NVIDIA Triton.",
    ),
    cloup.option("--instances", type=click.IntRange(1), default=1, help="Of each model on each GPU, for --triton."),
)
@plan_options
@common_options("st-export")
def export(
    checkpoints: tuple[Path, ...],
    output: Path | None,
    fp16: bool,
    int8: bool,
    photos: Path | None,
    style: Path | None,
    ncnn: bool,
    parity: bool,
    pictures: Path | None,
    plan: bool | None,
    trt_library: str | None,
    verbose: bool,
    web: bool,
    web_library: Path | None,
    webgpu: bool,
    triton: Path | None,
    instances: int,
    debug: bool,
    **options: Any,
) -> None:
    """Export CHECKPOINT (NAME.pt, from st-train) to an ONNX file that st-run opens, and to a TensorRT plan.

    The ONNX takes uint8 pictures of any size from 64x64 up, carries its own pre- and post-processing and says what it
    is. It is compared with PyTorch in ONNX Runtime and OpenVINO, and kept under its name only if it agrees. The plan,
    NAME.plan beside it, is built where a TensorRT is installed, for the GPU at hand or for those of --target. With
    NAME.onnx in place of a checkpoint, only the plan is built.

    Of a network for many paintings, any.pt with any-encoder.pt, two files are made: any.onnx, which takes a style, and
    any-encoder.onnx, which makes one of a picture.

    With --int8 --photos FOLDER the ONNX is faster on a processor and a little less exact; no plan is made of it.

    With --ncnn, two files for ncnn are written, which runs on any GPU with a Vulkan driver and on processors; --fp16
    stores their weights in FP16.

    With --web -o FOLDER, a static page for any web server is written. It takes .onnx files and names of bundled styles,
    and paints the lightest variant beside each where a browser has no WebGPU.

    With --triton FOLDER, .onnx files are added to a model repository of NVIDIA Triton.

    st-export inspect FILE tells what is in an ONNX or a plan.
    """
    wanted = build_options(**options)
    if web and triton:
        raise click.UsageError("--web and --triton make different folders: name one of them")
    if triton:
        _export_triton(checkpoints, triton, instances)
        return
    if web:
        if fp16 or int8 or photos or style or ncnn or plan:
            raise click.UsageError(
                "--web takes files as they are: leave out --fp16, --int8, --photos, --style, --ncnn and --plan"
            )
        _export_web(checkpoints, output, web_library, webgpu)
        return
    if web_library:
        raise click.UsageError("--web-library goes with --web")
    if len(checkpoints) > 1:
        raise click.UsageError(
            f"got {len(checkpoints)} files; wanted one CHECKPOINT, several only with --web and --triton"
        )
    (checkpoint,) = checkpoints
    from_onnx = checkpoint.suffix == ".onnx"
    if int8 != (photos is not None):
        raise click.UsageError("--int8 and --photos FOLDER go together: INT8 takes its ranges from photos")
    if int8 and (fp16 or ncnn or plan):
        raise click.UsageError("--int8 is an ONNX for processors: leave out --fp16, --ncnn and --plan")
    if ncnn:
        if from_onnx or plan:
            raise click.UsageError("--ncnn goes with a checkpoint, NAME.pt, and without --plan")
        output = output or _named_after(style or checkpoint, PARAM_SUFFIX)
        if not output.name.endswith(PARAM_SUFFIX):
            raise click.UsageError(f"the output is {output}; wanted a name that ends in {PARAM_SUFFIX}")
        check_not_input(output, [checkpoint])
        _export_ncnn(checkpoint, style, output, fp16, parity, pictures)
        return
    if from_onnx and (fp16 or int8 or style or output or plan is False):
        raise click.UsageError(f"of {checkpoint}, only a plan beside it can be built, in the precision that it has")
    output = checkpoint if from_onnx else output or _named_after(style or checkpoint, ".onnx")
    if output.suffix != ".onnx":
        raise click.UsageError(f"the output is {output}; wanted a name that ends in .onnx")
    library, note = None, None
    if plan is not False and not int8:
        library, note = _find_builder(trt_library, wanted, must=bool(plan or from_onnx or trt_library))
    if not from_onnx:
        check_not_input(output, [checkpoint])
        output = output.resolve() if output.is_symlink() else output  # a link stays
        _export_onnx(checkpoint, style, output, fp16, photos, parity, pictures, verbose)
    if note:
        click.echo(f"No plan was built: {note}", err=True)
    elif library:
        _export_plan(output, wanted, library, verbose)


@main.command(cls=Command, examples=("st-export inspect --size 1280x720 starry.plan",))
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--size", type=SizeType(), help="Size to estimate for.  [default: the plan's, or 640x360]")
@click.option("--verbose", is_flag=True, help="Print every node and every layer.")
@common_options("st-export inspect")
def inspect(file: Path, size: tuple[int, int] | None, verbose: bool, debug: bool) -> None:
    """Tell what is in FILE of st-export, an ONNX, a plan or a .ncnn.param.

    That is manifest, layers, precisions, sizes, cost of a frame. Bytes and operations are estimates from the graph,
    with nothing fused.
    """
    try:
        from artmirror.export.inspection import print_inspection
    except ImportError as error:
        raise _missing(error) from None
    print_inspection(file, size, verbose, Console())


def _find_builder(name: str | None, options: BuildOptions, *, must: bool) -> tuple[Library | None, str | None]:
    """The TensorRT to build with, or the reason why there is none."""
    try:
        library = find_library(name, options.targets)
    except ArtmirrorError as error:
        if must or options.targets != (CURRENT,):
            raise
        return None, error.message
    obstacle = plan_obstacle(library, current_gpu(), options.targets, name)
    if obstacle and must:
        raise ArtmirrorError(obstacle)
    return library, obstacle


def _named_after(source: Path, suffix: str) -> Path:
    """Beside the source."""
    return source.with_name(source.stem + suffix)


def _export_onnx(
    checkpoint: Path,
    style: Path | None,
    output: Path,
    fp16: bool,
    calibration_folder: Path | None,
    parity: bool,
    pictures: Path | None,
    verbose: bool,
) -> None:
    try:
        from artmirror.export.int8 import read_calibration
        from artmirror.export.parity import check_parity, read_pictures
        from artmirror.export.to_onnx import encoder_of, onnx_of, save_onnx
        from artmirror.export.trained import load_for_export, sample_styles
        from artmirror.export.video_filter import VideoFilter
        from artmirror.train.pairs.base import own_pictures
    except ImportError as error:
        raise _missing(error) from None

    precision = "int8" if calibration_folder else "fp16" if fp16 else "fp32"
    trained = load_for_export(checkpoint, style)
    photos = read_pictures(pictures or own_pictures()) if parity else []
    calibration = read_calibration(calibration_folder) if calibration_folder else None
    encoder = encoder_of(trained) if trained.many is not None else None
    styles = sample_styles(trained)
    model, choices = onnx_of(trained, fp16=fp16, calibration=calibration, styles=styles)
    if verbose:
        _print_choices(choices)
    unchecked = output.with_name(f".unchecked.{os.getpid()}.{output.name}") if parity else output
    save_onnx(model, unchecked)
    if parity:
        try:
            results = check_parity(VideoFilter(trained.painter), unchecked, photos, precision, styles)
            _judge_parity(results, len(photos), output, precision)
            unchecked.replace(output)
        finally:
            unchecked.unlink(missing_ok=True)
    following = f"st-run --engine {output} --camera 0"
    if encoder is not None:
        encoder_file = encoder_path(output)
        save_onnx(encoder, encoder_file)
        click.echo(f"{encoder_file}: its encoder, {encoder_file.stat().st_size / 1e6:.2f} MB")
        following = f"st-run --engine {output} --painting PICTURE --camera 0"
    click.echo(
        f"{output}: {trained.info.title or trained.info.name}, {trained.preset}, {precision}, "
        f"{output.stat().st_size / 1e6:.2f} MB, any size from 64x64. Next: {following}"
    )


def _export_ncnn(
    checkpoint: Path, style: Path | None, output: Path, fp16: bool, parity: bool, pictures: Path | None
) -> None:
    try:
        from artmirror.export.parity import check_parity, read_pictures
        from artmirror.export.to_ncnn import write_ncnn_of
        from artmirror.export.trained import load_for_export, sample_styles
        from artmirror.export.video_filter import VideoFilter
        from artmirror.train.pairs.base import own_pictures
    except ImportError as error:
        raise _missing(error, "export-ncnn") from None

    trained = load_for_export(checkpoint, style)
    photos = read_pictures(pictures or own_pictures()) if parity else []
    unchecked = output.with_name(f".unchecked.{os.getpid()}.{output.name}") if parity else output
    pairs = list(zip(ncnn_pair(unchecked), ncnn_pair(output), strict=True))
    try:
        manifest = write_ncnn_of(trained, unchecked, fp16=fp16)
        if parity:
            styles = sample_styles(trained)
            results = check_parity(VideoFilter(trained.painter), unchecked, photos, manifest.precision, styles)
            _judge_parity(results, len(photos), output, manifest.precision)
            for written, kept in pairs:
                written.replace(kept)
    finally:
        for written, _ in pairs if parity else []:
            written.unlink(missing_ok=True)
    size_mb = sum(path.stat().st_size for _, path in pairs) / 1e6
    click.echo(
        f"{output} and {pairs[1][1].name}: {trained.info.title or trained.info.name}, {trained.preset}, weights in "
        f"{manifest.precision}, {size_mb:.2f} MB, any size from 64x64. Next: st-run --engine {output} --camera 0"
    )


def _exported(styles: tuple[Path, ...], option: str) -> list[Path]:
    """Files of st-export, or bundled networks by name."""
    found = []
    for style in styles:
        path = style if style.exists() or style.suffix else find_network(style.name)
        if path.suffix != ".onnx":
            raise click.UsageError(f"{path} is no .onnx, which {option} wants: export it first with st-export {path}")
        found.append(path)
    return found


def _export_triton(styles: tuple[Path, ...], repository: Path, instances: int) -> None:
    from artmirror.export.serving.triton import write_model_repository

    for one in write_model_repository(_exported(styles, "--triton"), repository, instances=instances):
        click.echo(f"{one.folder}: model {one.name}")
    click.echo(f"Next: tritonserver --model-repository={repository.resolve()}")


def _export_web(styles: tuple[Path, ...], output: Path | None, library: Path | None, webgpu: bool) -> None:
    if output is None:
        raise click.UsageError("--web writes a folder: name it with -o FOLDER")
    from artmirror.export.web.library import read_provider
    from artmirror.export.web.site import build_site

    found = _exported(styles, "--web")
    names = ("wasm", "webgpu") if webgpu else ("wasm",)
    site = build_site(found, output, [read_provider(name, library) for name in names])
    most = ", ".join(f"{size / 1e6:.1f} MB with {name}" for name, size in site.most_bytes.items())
    click.echo(
        f"{output}: {', '.join(site.styles)}; {site.folder_bytes / 1e6:.1f} MB; a visitor loads at most {most}. "
        f"Next: python -m http.server -d {output}, and open http://localhost:8000"
    )


def _export_plan(onnx_path: Path, options: BuildOptions, library: Library, verbose: bool) -> None:
    path = onnx_path.with_suffix(".plan")
    with BuildBars() as bars:
        try:
            report = build_plan(
                onnx_path, path, options, library=library, gpu=current_gpu(), progress=bars, verbose=verbose
            )
        except ArtmirrorError:
            if bars.stopped:
                raise SystemExit(EXIT_INTERRUPTED) from None
            raise
    if report.read_back:
        known = f"{report.read_back} of {report.convolutions} read back from its {report.source}"
    else:
        known = "as the network declares them; the plan cannot be read here"
    click.echo(
        f"{path}: {library.name} {library.version} for {', '.join(report.info.targets)}, {options.sizes}, "
        f"{path.stat().st_size / 1e6:.2f} MB, {report.convolutions} convolutions "
        f"in {report.manifest.precision} ({known}). Next: st-run --engine {path} --camera 0"
    )


def _missing(error: ImportError, extra: str = "export") -> ArtmirrorError:
    return ArtmirrorError(f"st-export needs the package {error.name}; install it with pip install 'artmirror[{extra}]'")


def _print_choices(choices: list["Choice"]) -> None:
    table = Table("node", "operation", "precision", "why", title="precision of the nodes that compute on floats")
    for choice in choices:
        table.add_row(choice.node, choice.op_type, choice.precision, choice.reason)
    console = Console()
    if not console.is_terminal:
        console.width = 160  # columns; a log has no edge to fold names at
    console.print(table)


def _judge_parity(results: list["ParityResult"], photos: int, output: Path, precision: str) -> None:
    """Print the results, and raise ArtmirrorError where one is below its floor."""
    _print_parity(results, photos)
    if not all(result.passed for result in results):
        worst = min(results, key=lambda result: result.psnr_db - result.floor_db)
        raise ArtmirrorError(
            f"the exported file differs from PyTorch in {worst.engine}: {worst.psnr_db:.1f} dB, wanted "
            f"at least {worst.floor_db:.0f} dB; {output} was not written: " + _BELOW_FLOOR[precision]
        )


def _print_parity(results: list["ParityResult"], photos: int) -> None:
    table = Table("engine", "PSNR", "wanted", "worst pixel", title=f"against PyTorch FP32, {photos} pictures")
    for result in results:
        colour = "green" if result.passed else "red"
        table.add_row(
            result.engine,
            f"[{colour}]{result.psnr_db:.1f} dB[/]",
            f"{result.floor_db:.0f} dB",
            f"{result.worst} of 255",
        )
    Console().print(table)
