"""Contact sheets: one thumbnail a shot, with words under it, to see at a glance what a dataset holds."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from artmirror.runtime.common.pictures import encode_picture

COLUMNS, ROWS = 7, 10
THUMBNAIL_WIDTH, THUMBNAIL_HEIGHT = 192, 108
_TEXT_HEIGHT, _LINE_HEIGHT, _GAP = 36, 16, 8
_BACKGROUND, _INK, _FAINT = (32, 32, 32), (240, 240, 240), (150, 150, 150)  # BGR
_FONT, _FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.42

Page = NDArray[np.uint8]  # (H, W, 3) BGR


@dataclass(frozen=True, slots=True)
class Cell:
    """One shot on a sheet."""

    thumbnail: bytes  # JPEG of any size
    title: str
    caption: str


def contact_sheets(cells: Sequence[Cell]) -> list[Page]:
    """Lay out cells, seven in a row and at most seventy on a page; no cells, no pages."""
    per_page = COLUMNS * ROWS
    return [_page(cells[at : at + per_page]) for at in range(0, len(cells), per_page)]


def encoded_page(page: Page) -> bytes:
    """Return a page as JPEG."""
    return bytes(encode_picture(page, ".jpg", 85))


def _page(cells: Sequence[Cell]) -> Page:
    rows = -(-len(cells) // COLUMNS)
    cell_height, cell_width = THUMBNAIL_HEIGHT + _TEXT_HEIGHT + _GAP, THUMBNAIL_WIDTH + _GAP
    page = np.full((_GAP + rows * cell_height, _GAP + COLUMNS * cell_width, 3), _BACKGROUND, np.uint8)
    for index, cell in enumerate(cells):
        y, x = _GAP + index // COLUMNS * cell_height, _GAP + index % COLUMNS * cell_width
        page[y : y + THUMBNAIL_HEIGHT, x : x + THUMBNAIL_WIDTH] = _fitted(cell.thumbnail)
        for line, (text, colour) in enumerate(((cell.title, _INK), (cell.caption, _FAINT)), start=1):
            at = (x, y + THUMBNAIL_HEIGHT + line * _LINE_HEIGHT - 2)
            cv2.putText(page, _shortened(text), at, _FONT, _FONT_SCALE, colour, 1, cv2.LINE_AA)
    return page


def _fitted(jpeg: bytes) -> Page:
    """Scale a thumbnail into its place, with black around it where its shape differs."""
    place = np.zeros((THUMBNAIL_HEIGHT, THUMBNAIL_WIDTH, 3), np.uint8)
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        return place
    scale = min(THUMBNAIL_WIDTH / picture.shape[1], THUMBNAIL_HEIGHT / picture.shape[0])
    width, height = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    y, x = (THUMBNAIL_HEIGHT - height) // 2, (THUMBNAIL_WIDTH - width) // 2
    place[y : y + height, x : x + width] = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return place


def _shortened(text: str) -> str:
    """Cut a text to the width of a cell."""
    text = text.encode("ascii", "replace").decode()  # this font has no other letters
    while cv2.getTextSize(text, _FONT, _FONT_SCALE, 1)[0][0] > THUMBNAIL_WIDTH:
        text = text[:-3] + ".." if not text.endswith("..") else text[:-4] + ".."
    return text
