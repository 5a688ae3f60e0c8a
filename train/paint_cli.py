"""`st-paint`: a picture or a film, optimised: slow, and the best look that there is."""

from pathlib import Path
from typing import Any

import click
import cloup

from artmirror.runtime.common.command import Command, common_options
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import check_not_input
from artmirror.runtime.common.option_types import BytesType, weighted
from artmirror.runtime.common.suffixes import VIDEO_SUFFIXES, WRITTEN_PICTURE_SUFFIXES

_METHODS = {
    "gatys": "the strokes and colours of the painting (Gatys et al. 2016)",
    "mrf": "put together from pieces of the painting (Li and Wand 2016)",
    "semantic": "the same, and each piece on its own ground: needs both maps (Champandard 2016)",
    "photo": "the light and colours of another photo; it stays a photo (Luan et al. 2017)",
    "texture": "no photo: a texture of any size without a seam (Ulyanov et al. 2016)",
}
_MAPPED = ("semantic", "photo")


@cloup.command(
    "st-paint",
    cls=Command,
    extra="train",
    examples=(
        "st-paint photo.jpg --painting starry_night.jpg -o print.png",
        "st-paint photo.jpg --painting starry_night.jpg --start-from starry.onnx --size 2000 -o print.png",
        "st-paint photo.jpg --painting a.jpg:0.7 --painting b.jpg:0.3 --keep-colours luminance -o print.png",
        "st-paint film.mp4 --painting starry_night.jpg --size 640 -o painted.mp4",
        "st-paint photo.jpg --painting monet.jpg --method semantic --photo-map a.png --painting-map b.png -o print.png",
        "st-paint --method texture --painting starry_night.jpg --size 1024 -o texture.png",
    ),
)
@click.argument("photo", type=click.Path(path_type=Path), required=False)
@cloup.option_group(
    "Used first",
    cloup.option(
        "--painting",
        "paintings",
        multiple=True,
        metavar="FILE[:WEIGHT]",
        required=True,
        help="The painting. Several are mixed by their weights.",
    ),
    cloup.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="What to write.  [default: PHOTO-painted.png, .mp4 of a film]",
    ),
    cloup.option(
        "--method",
        type=click.Choice(list(_METHODS)),
        default="gatys",
        help="; ".join(f"{name}: {what}" for name, what in _METHODS.items()) + ".",
    ),
    cloup.option("--size", type=click.IntRange(64, 8192), default=512, help="Its longer side, pixels."),
    cloup.option(
        "--iterations", type=click.IntRange(1), default=200, help="Of all sizes from coarse to fine together."
    ),
    cloup.option(
        "--start-from",
        default="photo",
        metavar="photo|noise|FILE",
        help="What the first iteration begins with. A picture, or a network (.onnx, .plan) that paints it: then a few "
        "iterations are enough.",
    ),
    cloup.option("--resume", is_flag=True, help="Go on with an interrupted run of the same options."),
)
@cloup.option_group(
    "How it looks",
    cloup.option("--content-weight", type=click.FloatRange(0), default=1.0, help="How much of the photo."),
    cloup.option("--style-weight", type=click.FloatRange(0), default=100.0, help="How much of the painting."),
    cloup.option("--tv-weight", type=click.FloatRange(0), default=0.1, help="Higher is smoother."),
    cloup.option(
        "--painting-scale",
        type=click.FloatRange(0.05, 4),
        default=1.0,
        help="The painting's shorter side in units of the picture's: smaller gives finer strokes.",
    ),
    cloup.option(
        "--keep-colours",
        type=click.Choice(["luminance", "histogram"]),
        help="luminance: paint light and shade alone. histogram: the painting first takes the colours of the photo.",
    ),
    cloup.option(
        "--mask",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="A picture of the same proportions: white is painted, black stays.",
    ),
)
@cloup.option_group(
    "Maps: plain colours, the same for what belongs together, in the photo's and in the painting's proportions",
    cloup.option("--photo-map", type=click.Path(path_type=Path), metavar="FILE", help="Of the photo."),
    cloup.option("--painting-map", type=click.Path(path_type=Path), metavar="FILE", help="Of the painting."),
    cloup.option("--map-weight", type=click.FloatRange(0), default=1.0, help="Of maps, beside what VGG-19 sees."),
    cloup.option("--realism", type=click.FloatRange(0), default=3e4, help="Of --method photo: edges stay as they are."),
)
@cloup.option_group(
    "Films (Ruder et al. 2016)",
    cloup.option(
        "--frame-iterations", type=click.IntRange(1), default=60, help="Of frames that begin with the last painting."
    ),
    cloup.option("--temporal-weight", type=click.FloatRange(0), default=2e3, help="Higher holds stiller."),
    cloup.option("--passes", type=click.IntRange(1), default=1, help="Over the film, forward and backward in turn."),
    cloup.option("--max-frames", type=click.IntRange(1), metavar="N", help="Paint so many frames alone."),
    cloup.option("--keep-frames", is_flag=True, help="Leave the painted frames in OUTPUT.frames."),
)
@cloup.option_group(
    "The machine",
    cloup.option("--vgg", type=click.Path(path_type=Path), metavar="FILE", help="VGG-19 weights, as of st-train."),
    cloup.option("--device", default="auto", metavar="NAME", help="cpu, cuda, cuda:1, ... or auto."),
    cloup.option(
        "--memory", type=BytesType(), default="4G", metavar="SIZE", help="What it may take; larger ones go in tiles."
    ),
    cloup.option("--preview-every", type=click.IntRange(0), default=25, help="Iterations; 0 for none."),
    cloup.option("--seed", type=click.IntRange(0, (1 << 32) - 1), default=0, help="Of the noise to start from."),
)
@common_options("st-paint")
def main(photo: Path | None, paintings: tuple[str, ...], output: Path | None, debug: bool, **options: Any) -> None:
    """Paint PHOTO, a picture or a film, as in a painting, by optimising its pixels (Gatys et al. 2016).

    It takes minutes, where st-run takes milliseconds, and has the best look that there is. Ctrl-C keeps the best so
    far; --resume goes on.
    """
    try:
        named = [(Path(name), 1.0 if weight is None else weight) for name, weight in map(weighted, paintings)]
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    method = options["method"]
    film = photo is not None and photo.suffix.lower() in VIDEO_SUFFIXES
    if (photo is None) != (method == "texture"):
        raise click.UsageError("--method texture takes no photo" if photo else "name the photo or film to paint")
    if photo is None:
        output = output or Path("texture.png")
    output = output or photo.with_name(f"{photo.stem}-painted{'.mp4' if film else '.png'}")  # type: ignore[union-attr]
    wanted = VIDEO_SUFFIXES if film else WRITTEN_PICTURE_SUFFIXES
    if output.suffix.lower() not in wanted:
        raise click.UsageError(f"the output is {output}; wanted a name in {' '.join(wanted)}")
    maps = [options["photo_map"], options["painting_map"]]
    if any(maps) and not (all(maps) and method in _MAPPED):
        raise click.UsageError("--photo-map and --painting-map go together, and with --method semantic or photo")
    if method == "semantic" and not all(maps):
        raise click.UsageError("--method semantic needs --photo-map and --painting-map")
    if len(named) > 1 and method != "gatys":
        raise click.UsageError(f"--method {method} takes one painting")
    if film and (options["mask"] or method not in ("gatys", "mrf")):
        raise click.UsageError("a film is painted with --method gatys or mrf, and without --mask")
    check_not_input(output, [path for path in (photo, *maps, *(path for path, _ in named)) if path is not None])
    if not output.parent.is_dir():
        raise ArtmirrorError(f"the folder of {output} does not exist; make it or name another with -o")
    from artmirror.train import paint  # torch takes seconds that --help should not

    if photo is None:
        paint.texture(named[0][0], output, options)
    elif film:
        paint.film(photo, named, output, options)
    else:
        paint.picture(photo, named, output, options)


if __name__ == "__main__":
    main()
