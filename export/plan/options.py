"""The command-line options of a plan, and what becomes of them."""

import re
from collections.abc import Callable
from typing import Any

import click
import cloup

from artmirror.export.plan.build import BuildOptions
from artmirror.export.plan.library import CURRENT, LIBRARIES
from artmirror.runtime.common.option_types import SizeType
from artmirror.runtime.common.pixels import SMALLEST_SIDE
from artmirror.runtime.formats.plan import SizeRange

# What a plan takes if nothing is said: the smallest a file of ours takes, to the largest that cameras give as a rule.
DEFAULT_SIZES = SizeRange((SMALLEST_SIDE, SMALLEST_SIDE), (360, 640), (1080, 1920))
_TARGET = re.compile(rf"{CURRENT}|sm\d+")


def plan_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; the command gets `plan` and the keywords of `build_options`, and `trt_library`."""
    low, best, high = (f"{width}x{height}" for height, width in DEFAULT_SIZES.as_tuple())
    return cloup.option_group(
        "TensorRT",
        cloup.option(
            "--plan/--no-plan", default=None, help="Build a TensorRT plan too.  [default: where that is possible]"
        ),
        cloup.option("--size", type=SizeType(), help="One size for the plan, which makes it faster than a range."),
        cloup.option("--min-size", type=SizeType(), help=f"Smallest size of the plan.  [default: {low}]"),
        cloup.option("--opt-size", type=SizeType(), help=f"Size to optimise it for.  [default: {best}]"),
        cloup.option("--max-size", type=SizeType(), help=f"Largest size of the plan.  [default: {high}]"),
        cloup.option(
            "--target",
            "targets",
            multiple=True,
            metavar="GPU",
            help="GPU of the plan: current, or sm86 and the like for one elsewhere (TensorRT for RTX alone), "
            "which may be repeated.  [default: current]",
        ),
        cloup.option(
            "--version-compatible", is_flag=True, help="A plan for later versions of TensorRT too (not for RTX)."
        ),
        cloup.option("--hardware-compatible", is_flag=True, help="A plan for every GPU from Ampere on (not for RTX)."),
        cloup.option(
            "--workspace",
            "workspace_mib",
            type=click.IntRange(min=1),
            metavar="MIB",
            help="Device memory that a layer of the plan may use.  [default: all]",
        ),
        cloup.option(
            "--trt-library",
            type=click.Choice(LIBRARIES),
            help="TensorRT that builds the plan.  [default: the first that is installed and can]",
        ),
    )(function)


def build_options(
    *,
    size: tuple[int, int] | None,
    min_size: tuple[int, int] | None,
    opt_size: tuple[int, int] | None,
    max_size: tuple[int, int] | None,
    targets: tuple[str, ...],
    version_compatible: bool,
    hardware_compatible: bool,
    workspace_mib: int | None,
) -> BuildOptions:
    """Check what can be checked before anything is built.

    Args:
        size, min_size, opt_size, max_size: (H, W) in pixels.

    Raises:
        click.UsageError: the options contradict each other.
    """
    if size and (min_size or opt_size or max_size):
        raise click.UsageError("--size is one size and --min-size, --opt-size, --max-size are a range; take either")
    for target in targets:
        if not _TARGET.fullmatch(target):
            raise click.UsageError(f"--target {target} is no GPU; wanted {CURRENT}, or sm and a number as in sm86")
    if size:
        sizes = SizeRange(size, size, size)
    else:
        low, high = min_size or DEFAULT_SIZES.smallest, max_size or DEFAULT_SIZES.largest
        best = opt_size or _between(low, DEFAULT_SIZES.best, high)
        sizes = SizeRange(low, best, high)
    if not sizes.is_ordered:
        raise click.UsageError(f"the sizes are {sizes}; wanted the smallest first, in height and in width")
    unique = tuple(dict.fromkeys(targets)) or (CURRENT,)
    if CURRENT in unique and len(unique) > 1:
        raise click.UsageError(f"--target {CURRENT} goes alone; name the GPU here by its number too, as in sm86")
    return BuildOptions(sizes, unique, version_compatible, hardware_compatible, workspace_mib)


def _between(low: tuple[int, int], size: tuple[int, int], high: tuple[int, int]) -> tuple[int, int]:
    height, width = (min(max(side, a), b) for a, side, b in zip(low, size, high, strict=True))
    return height, width
