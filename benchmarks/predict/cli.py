"""`st-bench predict`: how fast a network should run on hardware that is not here."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup
from rich.console import Console

from artmirror.runtime.common.command import Command, common_options
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.option_types import RateType, SizeType
from artmirror.runtime.gallery.bundled import DEFAULT_STYLE

if TYPE_CHECKING:
    from artmirror.benchmarks.grid import Grid
    from artmirror.benchmarks.predict.passes import Pass, Precision

_PRECISIONS = ("fp32", "fp16", "bf16", "int8")
_SLOWEST_SHOWN = 8
_NOTES = (
    "predicted, not measured; --verbose prints the assumptions",
    "compiled: where TensorRT (CUDA 7.5 or more) or OpenVINO runs; ncnn: anything with Vulkan; "
    "folded: what better kernels could reach",
)


@cloup.command(
    cls=Command,
    examples=(
        "st-bench predict starry",
        "st-bench predict starry --gpu 940m",
        "st-bench predict a.onnx --flops 0.84T --bandwidth 14.4G",
    ),
)
@click.argument("engines", nargs=-1, type=click.Path(), metavar="[ENGINE]...")
@cloup.option_group(
    "Used first",
    cloup.option("--gpu", metavar="NAME", help="One card of the table, as 940m, with what its time goes into."),
    cloup.option("--size", type=SizeType(), default="640x360", help="Size of the frames."),
    cloup.option("--precision", type=click.Choice(_PRECISIONS), default="fp16", help="In which values are stored."),
    cloup.option("--verbose", is_flag=True, help="Print every assumption, and every pass of one card."),
)
@cloup.option_group(
    "Another card",
    cloup.option("--flops", type=RateType(), help="Operations a second of another one, two for each multiply-add."),
    cloup.option("--bandwidth", type=RateType(), help="Bytes a second of its memory."),
)
@common_options("st-bench predict")
def predict(**options: Any) -> None:
    """Predict how fast a network runs on a card, from its graph and the card's public figures.

    ENGINE is an .onnx written by st-export or the name of a bundled style. Without a card the whole table is shown.

    Every pass over memory takes the longer of its operations and its bytes under the card's roofs. It is an estimate:
    no card of the table was measured.
    """
    # Imported here, since --help and completion shall not wait for them.
    from artmirror.benchmarks.arguments import engine_path

    names = options["engines"] or (DEFAULT_STYLE,)
    custom = (options["flops"], options["bandwidth"])
    if (custom[0] is None) != (custom[1] is None):
        raise click.UsageError("--flops and --bandwidth go together: a card has both")
    if options["gpu"] is not None and custom[0] is not None:
        raise click.UsageError("--gpu names a card of the table, --flops and --bandwidth another one: give one of both")
    paths = [engine_path(name) for name in names]
    for path in paths:
        _show_prediction(path, options)


@cloup.command(
    cls=Command,
    examples=(
        "st-bench capacity --streams 1000",
        "st-bench capacity starry-lite --streams 1000 --gpu rtx3060 --price 0.35",
        "st-bench capacity --streams 20 --measured-fps 49",
    ),
)
@click.argument("engine", default=DEFAULT_STYLE, metavar="[ENGINE]")
@cloup.option_group(
    "Used first",
    cloup.option("--streams", type=click.IntRange(1), default=1000, help="How many are wanted."),
    cloup.option("--fps", type=click.FloatRange(1), default=30.0, help="Frames a second of each."),
    cloup.option("--size", type=SizeType(), default="640x360", help="Size of the frames."),
    cloup.option("--gpu", "gpus", multiple=True, metavar="NAME", help="A card of st-bench predict.  [default: all]"),
    cloup.option("--measured-fps", type=click.FloatRange(0, min_open=True), help="Of a machine of yours, by st-bench."),
)
@cloup.option_group(
    "Finer points",
    cloup.option("--precision", type=click.Choice(_PRECISIONS), default="fp16", help="In which values are stored."),
    cloup.option("--price", type=click.FloatRange(0), help="Of one device for an hour, in your money."),
    cloup.option(
        "--megabit", type=click.FloatRange(0, min_open=True), default=3.0, help="A second of each video stream."
    ),
)
@common_options("st-bench capacity")
def capacity(**options: Any) -> None:
    """Tell how many live streams a device carries, and how many devices a number of streams needs.

    ENGINE is an .onnx written by st-export or the name of a bundled style. Frames a second of cards are predicted, as
    by st-bench predict: no card of the table was measured. Decoding and encoding are not counted.
    """
    from artmirror.benchmarks.arguments import engine_path
    from artmirror.benchmarks.predict.capacity import BUSY, capacity_grid, network_bits_per_s
    from artmirror.benchmarks.predict.capacity import capacity as capacity_of
    from artmirror.benchmarks.predict.cards import CARDS, find_card
    from artmirror.benchmarks.predict.roofline import CARD, frame_s

    precision, size = options["precision"], options["size"]
    asked = {name: options[name] for name in ("streams", "size")}
    asked |= {"stream_fps": options["fps"], "price_per_hour": options["price"]}
    path = engine_path(options["engine"])
    if options["measured_fps"]:
        rows = [capacity_of("measured", options["measured_fps"], over_bus=False, **asked)]
    else:
        passes = next(iter(_passes_of_file(path, size, precision).values()))
        cards = [find_card(name) for name in options["gpus"]] or CARDS
        rows = [capacity_of(card.key, 1 / frame_s(passes, card.roofs(precision), CARD), **asked) for card in cards]
    title = f"{path.stem} {size[1]}x{size[0]}, {options['streams']} streams of {options['fps']:g} FPS"
    _print(capacity_grid(title, rows))
    bits = network_bits_per_s(options["streams"], options["megabit"])
    _say(
        f"{BUSY:.0%} of a device's time is planned with; raw frames cross the bus to a card and back.",
        f"The network carries {bits / 1e9:.2f} Gbit/s in and as much out, at {options['megabit']:g} Mbit/s a stream.",
        *(() if options["measured_fps"] else ("FPS are predicted, not measured.",)),
    )


def _show_prediction(path: Path, options: dict[str, Any]) -> None:
    from artmirror.benchmarks.predict.cards import CARDS, find_card
    from artmirror.benchmarks.predict.roofline import CARD, Roofs, pass_times
    from artmirror.benchmarks.predict.table import (
        assumption_lines,
        cards_grid,
        kinds_grid,
        passes_grid,
        roofs_line,
    )

    precision, size = options["precision"], options["size"]
    if options["gpu"] is not None:
        card = find_card(options["gpu"])
        where, roofs = card.name, card.roofs(precision)
    elif options["flops"] is not None:
        where, roofs = "another card", Roofs(options["flops"], options["bandwidth"])
    else:
        where, roofs = "", None
    passes = _passes_of_file(path, size, precision)
    title = f"{path.stem} {size[1]}x{size[0]} {precision}"
    lines = assumption_lines(CARD, precision)
    if roofs is None:
        _print(cards_grid(f"{title}, predicted", passes, CARDS, precision, CARD))
        _say(*lines if options["verbose"] else _NOTES)
        return
    _say(f"{title} on {where} ({roofs_line(roofs)}), predicted")
    for rules, found in passes.items():
        times = pass_times(found, roofs, CARD)
        total_s = sum(time.total_s for time in times)
        _print(kinds_grid(f"{rules}: {1e3 * total_s:.1f} ms, {1 / total_s:.0f} FPS", times))
        if rules == next(iter(passes)):
            slowest = sorted(times, key=lambda time: -time.total_s)[:_SLOWEST_SHOWN]
            shown = times if options["verbose"] else slowest
            _print(passes_grid(f"{rules}: {'every pass' if options['verbose'] else 'the slowest passes'}", shown))
    _say(*lines)


def _passes_of_file(path: Path, size: tuple[int, int], precision: "Precision") -> "dict[str, tuple[Pass, ...]]":
    from artmirror.benchmarks.predict.passes import RULES, passes_of
    from artmirror.benchmarks.speed.workload import read_layers
    from artmirror.runtime.formats.manifest import read_manifest

    if path.suffix != ".onnx":
        raise ArtmirrorError(
            f"{path} cannot be predicted; wanted the .onnx that st-export wrote, whatever runs it later"
        )
    read_manifest(path)  # says what is wrong with a file that is missing, cut off or somebody else's
    layers = read_layers(path, size)
    return {name: passes_of(layers, rules, precision) for name, rules in RULES.items()}


def _print(grid: "Grid") -> None:
    from artmirror.benchmarks.grid import rich_grid

    _say(grid.title, rich_grid(grid))


def _say(*shown: Any) -> None:
    Console(markup=False, highlight=False, emoji=False).print(*shown, sep="\n")
