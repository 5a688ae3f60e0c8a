"""`st-export`: a checkpoint in, an ONNX file out, checked on real pictures."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from artmirror.export.errors import ExportError
from artmirror.runtime.command import Command, common_options

if TYPE_CHECKING:  # imports torch, which takes seconds that --help should not
    from artmirror.export.fp16 import Choice
    from artmirror.export.parity import ParityResult


@click.command(
    cls=Command,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
    epilog="Example: st-export --fp16 starry.pt",
)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="ONNX file to write.  [default: NAME.onnx]")
@click.option("--fp16", is_flag=True, help="Convolutions in FP16, normalisation in FP32: half the size.")
@click.option("--parity/--no-parity", default=True, help="Check the file against PyTorch on pictures.")
@click.option(
    "--pictures",
    type=click.Path(path_type=Path),
    help="Folder of pictures for the check.  [default: three that come with the package]",
)
@click.option("--verbose", is_flag=True, help="Print the precision of every node, and why.")
@common_options("st-export")
def main(
    checkpoint: Path, output: Path | None, fp16: bool, parity: bool, pictures: Path | None, verbose: bool, debug: bool
) -> None:
    """Export CHECKPOINT (NAME.pt, from st-train) to an ONNX file that st-run opens.

    The file takes uint8 pictures of any size from 64x64 up, carries its own pre- and post-processing and says what it
    is. It is compared with PyTorch in ONNX Runtime and OpenVINO, and kept under its name only if it agrees.
    """
    output = output or checkpoint.with_suffix(".onnx")
    if output.suffix != ".onnx":
        raise click.UsageError(f"the output is {output}; wanted a name that ends in .onnx")
    try:
        from artmirror.export.graph import VideoFilter
        from artmirror.export.onnx_from_checkpoint import onnx_from_checkpoint, save_onnx
        from artmirror.export.parity import check_parity, own_pictures, read_pictures
        from artmirror.train.checkpoint import load_checkpoint
    except ImportError as error:
        raise ExportError(
            f"st-export needs the package {error.name}; install it with pip install 'artmirror[export]'"
        ) from None

    precision = "fp16" if fp16 else "fp32"
    trained = load_checkpoint(checkpoint)
    photos = read_pictures(pictures or own_pictures()) if parity else []
    model, choices = onnx_from_checkpoint(trained, checkpoint, fp16=fp16)
    if verbose:
        _print_choices(choices)
    unchecked = output.with_name(f".unchecked.{output.name}") if parity else output
    save_onnx(model, unchecked)
    if parity:
        try:
            results = check_parity(VideoFilter(trained.stylizer()), unchecked, photos, precision)
            _print_parity(results, len(photos))
            if not all(result.passed for result in results):
                worst = min(results, key=lambda result: result.psnr_db - result.floor_db)
                raise ExportError(
                    f"the exported file differs from PyTorch in {worst.engine}: {worst.psnr_db:.1f} dB, wanted "
                    f"at least {worst.floor_db:.0f} dB; {output} was not written: "
                    + ("export without --fp16" if fp16 else "--no-parity keeps it all the same")
                )
            unchecked.replace(output)
        finally:
            unchecked.unlink(missing_ok=True)
    click.echo(
        f"{output}: {trained.style.title or trained.style.name}, {trained.preset}, {precision}, "
        f"{output.stat().st_size / 1e6:.2f} MB, any size from 64x64. Next: st-run --engine {output} --camera 0"
    )


def _print_choices(choices: list["Choice"]) -> None:
    table = Table("node", "operation", "precision", "why", title="precision of the nodes that compute on floats")
    for choice in choices:
        table.add_row(choice.node, choice.op_type, choice.precision, choice.reason)
    Console(width=None if Console().is_terminal else 160).print(table)


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
