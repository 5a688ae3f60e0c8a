"""All bundled styles on the same photos: `python -m artmirror.benchmarks.studies.style_sheet PHOTOS -o sheet.jpg`.

Also writes the thumbnails that stand beside the styles.
"""

from contextlib import closing
from pathlib import Path

import click
import cv2
import numpy as np

from artmirror.benchmarks.arguments import check_output
from artmirror.benchmarks.temporal.painters import EnginePainter
from artmirror.runtime.common.command import Command, common_options
from artmirror.runtime.common.pictures import read_picture, save_picture
from artmirror.runtime.common.pixels import Pixels
from artmirror.runtime.gallery.paintings import Choice, choose, listed

_THREADS = 2
CELL_WIDTH_PX = 300
JPEG_QUALITY = 88  # of 100: a sheet is looked at on a page
_CAPTION_HEIGHT_PX = 46
_GAP_PX = 10
_THUMBNAIL_WIDTH_PX = 256
_PAPER, _INK, _FADED = (255, 255, 255), (32, 32, 32), (110, 110, 110)  # BGR


@click.command(cls=Command)
@click.argument("photos", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), metavar="FILE", help="The sheet, JPEG or PNG."
)
@click.option("--columns", type=click.IntRange(1), default=5, help="Styles beside each other.")
@click.option(
    "--thumbnails", type=click.Path(path_type=Path), metavar="FOLDER", help="Write the first photo in each style there."
)
@common_options("style_sheet")
def main(photos: tuple[Path, ...], output: Path, columns: int, thumbnails: Path | None, debug: bool) -> None:
    """Paint PHOTOS in every bundled style, one under the other, with title, artist and year."""
    check_output("--output", output)
    frames = [read_picture(path) for path in photos]
    cells = []
    for style in listed():
        choice = choose(None, (style.name,), ())
        painted = [paint(choice.engine, frame, choice) for frame in frames]
        cells.append(cell(painted, style.title, ", ".join(filter(None, (style.artist, style.year)))))
        if thumbnails is not None:
            thumbnails.mkdir(parents=True, exist_ok=True)
            save_picture(_to_width(painted[0], _THUMBNAIL_WIDTH_PX), thumbnails / f"{style.name}.jpg", JPEG_QUALITY)
    save_picture(sheet(cells, columns), output, JPEG_QUALITY)


def paint(path: Path, frame: Pixels, choice: Choice | None = None) -> Pixels:
    """What an engine file makes of a picture, (H, W, 3) uint8 BGR, as st-run shows it.

    Args:
        choice: The style, of a network for many paintings.

    Raises:
        ArtmirrorError: it cannot be opened, or failed.
    """
    size = (frame.shape[0], frame.shape[1])
    chosen = None if choice is None else lambda: choice
    with closing(EnginePainter(path, size, None, None, _THREADS, full_precision=False, choose=chosen)) as painter:
        return painter.paint(frame).pixels


def cell(painted: list[Pixels], title: str, subtitle: str) -> Pixels:
    """Painted photos under each other, captioned: (H, 300, 3) uint8 BGR."""
    caption = np.full((_CAPTION_HEIGHT_PX, CELL_WIDTH_PX, 3), _PAPER, np.uint8)
    font = cv2.FontFace("sans")
    cv2.putText(caption, title, (2, 20), _INK, font, 15)
    cv2.putText(caption, subtitle, (2, 38), _FADED, font, 13)
    return np.vstack([*(_to_width(pixels, CELL_WIDTH_PX) for pixels in painted), caption])


def sheet(cells: list[Pixels], columns: int) -> Pixels:
    """Cells of one size in rows, with gaps; the last row is filled up with paper."""
    height, width = cells[0].shape[:2]
    columns = min(columns, len(cells))
    rows = -(-len(cells) // columns)
    paper = np.full((rows * (height + _GAP_PX) - _GAP_PX, columns * (width + _GAP_PX) - _GAP_PX, 3), _PAPER, np.uint8)
    for index, pixels in enumerate(cells):
        top, left = (index // columns) * (height + _GAP_PX), (index % columns) * (width + _GAP_PX)
        paper[top : top + height, left : left + width] = pixels
    return paper


def _to_width(pixels: Pixels, width: int) -> Pixels:
    size = (width, round(pixels.shape[0] * width / pixels.shape[1]))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


if __name__ == "__main__":
    main()
