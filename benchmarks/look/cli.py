"""`st-bench look`: where networks stand between an unpainted photo and an optimised one, and a blind test."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup
from rich.console import Console

from artmirror.benchmarks.arguments import check_output, engine_path, outputs_option, split_outputs, write_report
from artmirror.benchmarks.grid import Grid, markdown_grid, rich_grid
from artmirror.runtime.common.command import Command, common_options
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pixels import Pixels

if TYPE_CHECKING:
    from artmirror.benchmarks.look.yardstick import PhotoLooks, Summary


@cloup.command(
    "look",
    cls=Command,
    examples=(
        "st-bench look starry any --painting starry_night.jpg --photos photos/ --sheet look.png -o look.md",
        "st-bench look starry any --painting starry_night.jpg --photos photos/ --blind test/",
        "st-bench look --blind test/ --votes anna.json --votes ben.json",
    ),
)
@click.argument("engines", nargs=-1, metavar="[ENGINE]...")
@cloup.option_group(
    "Used first",
    cloup.option("--painting", type=click.Path(path_type=Path), metavar="FILE", help="What they shall look like."),
    cloup.option("--photos", type=click.Path(path_type=Path), metavar="FOLDER", help="What is painted."),
    cloup.option("--count", type=click.IntRange(1), default=3, help="Photos, spread over the folder."),
    outputs_option,
    cloup.option("--sheet", type=click.Path(path_type=Path), metavar="FILE", help="All pictures side by side."),
)
@cloup.option_group(
    "A blind test for people",
    cloup.option(
        "--blind",
        type=click.Path(path_type=Path),
        metavar="FOLDER",
        help="Write a page with pairs in random order; open FOLDER/index.html. FOLDER/key.json tells which is which.",
    ),
    cloup.option(
        "--votes",
        type=click.Path(path_type=Path),
        multiple=True,
        metavar="FILE",
        help="Count votes that the page of --blind saved. Repeatable, one a person.",
    ),
)
@cloup.option_group(
    "How",
    cloup.option("--vgg", type=click.Path(path_type=Path), metavar="FILE", help="VGG-19 weights, as of st-train."),
    cloup.option("--size", type=click.IntRange(64, 2048), default=384, help="The photos' longer side, pixels."),
    cloup.option("--iterations", type=click.IntRange(1), default=200, help="Of the optimised picture."),
    cloup.option("--seed", type=int, help="Of the blind test's order.  [default: another one each time]"),
)
@common_options("st-bench")
def look(
    engines: tuple[str, ...],
    painting: Path | None,
    photos: Path | None,
    outputs: tuple[Path, ...],
    debug: bool,
    **options: Any,
) -> None:
    """Say where networks stand between an unpainted photo (1) and one optimised by Gatys et al. 2016 (0).

    A photo's optimised picture goes from the photo towards the painting. A network is compared with the best that it
    was on its way at no more content distance than the network's own.
    """
    record_file, table_file = split_outputs(outputs)
    blind: Path | None = options["blind"]
    if options["votes"]:
        if blind is None or engines:
            raise click.UsageError("--votes goes with --blind FOLDER, and without networks")
        _count(blind, options["votes"])
        return
    if not engines or painting is None or photos is None:
        raise click.UsageError("name networks, a --painting and a folder of --photos")
    check_output("--sheet", options["sheet"])
    paths = [engine_path(name) for name in engines]
    if twice := [path.stem for path in paths if [other.stem for other in paths].count(path.stem) > 1]:
        raise ArtmirrorError(f"two networks are called {twice[0]}, and a table could not tell them apart: rename one")
    looks = _looks(paths, painting, photos, options)
    from artmirror.benchmarks.look.blind import write_test
    from artmirror.benchmarks.look.yardstick import as_record, sheet, summarised
    from artmirror.runtime.common.pictures import read_picture, save_picture

    grid = _grid(summarised(looks), painting.name)
    Console().print(rich_grid(grid))
    if record_file is not None:
        write_report(record_file, json.dumps(as_record(looks, painting.name), indent=1) + "\n")
    if table_file is not None:
        write_report(table_file, "\n".join([f"# {grid.title}", "", *markdown_grid(grid)]) + "\n")
    if options["sheet"] is not None:
        save_picture(sheet(looks), options["sheet"], 90)
    if blind is not None:
        names = [path.stem for path in paths] + ["optimised"]
        pictures = {name: [entry.pictures[1 + number] for entry in looks] for number, name in enumerate(names)}
        count = write_test(
            blind, read_picture(painting), [entry.pictures[0] for entry in looks], pictures, options["seed"]
        )
        click.echo(f"{count} pairs: open {blind / 'index.html'}, then st-bench look --blind {blind} --votes votes.json")


def _looks(networks: list[Path], painting: Path, photos: Path, options: dict[str, Any]) -> list["PhotoLooks"]:
    from artmirror.benchmarks.look.yardstick import look_at_photo, optimiser
    from artmirror.benchmarks.temporal.distances import Judge
    from artmirror.runtime.common.pictures import picture_paths, read_picture

    paths = picture_paths(photos)
    if not paths:
        raise ArtmirrorError(f"{photos} holds no pictures")
    count = min(options["count"], len(paths))
    chosen = [paths[place * len(paths) // count] for place in range(count)]
    vgg = options["vgg"] or _published()
    calibration = [_square(read_picture(path)) for path in chosen]
    judge = Judge(vgg, painting, options["size"], calibration)
    optimise = optimiser(vgg, painting, calibration, options["iterations"])
    found = []
    for number, path in enumerate(chosen, start=1):
        click.echo(f"{path.name}: {number} of {count}", err=True)
        found.append(look_at_photo(path, networks, painting, judge, optimise, options["size"]))
    return found


def _published() -> Path:
    from artmirror.train.objective.vgg import published_weights

    return published_weights()


def _square(picture: Pixels) -> Pixels:
    import cv2
    import numpy as np

    return np.asarray(cv2.resize(picture, (256, 256), interpolation=cv2.INTER_AREA), np.uint8)


def _grid(rows: list["Summary"], painting: str) -> Grid:
    return Grid(
        f"Look, {painting}: 1 is the photo, 0 is optimised",
        ("network", "look", "style", "content", "optimised style"),
        tuple(
            (row.network, f"{row.score:.2f}", f"{row.style:.3g}", f"{row.content:.2f}", f"{row.optimised_style:.3g}")
            for row in rows
        ),
        1,
    )


def _count(folder: Path, votes: tuple[Path, ...]) -> None:
    from artmirror.benchmarks.look.blind import read_votes

    rows = tuple(
        (verdict.one, str(verdict.for_one), str(verdict.for_other), verdict.other, f"{verdict.p_value:.3f}")
        for verdict in read_votes(folder, votes)
    )
    Console().print(rich_grid(Grid("Votes", ("one", "for it", "for the other", "the other", "p"), rows, 1)))
