"""Sheets of thumbnails: places, pages, and words that fit."""

import cv2
import numpy as np
import pytest

from artmirror.train.prepare.contact_sheet import (
    COLUMNS,
    ROWS,
    THUMBNAIL_HEIGHT,
    THUMBNAIL_WIDTH,
    Cell,
    contact_sheets,
    encoded_page,
)


def cell(colour: tuple[int, int, int], size: tuple[int, int] = (108, 192), title: str = "shot000000") -> Cell:
    """Return a cell with a plain thumbnail; the colour is BGR, the size (H, W)."""
    jpeg = cv2.imencode(".jpg", np.full((*size, 3), colour, np.uint8))[1].tobytes()
    return Cell(jpeg, title, "clip.mp4 0 s")


def test_cells_lie_in_rows() -> None:
    colours = [(40 + 20 * index, 80, 200 - 20 * index) for index in range(COLUMNS + 2)]
    (page,) = contact_sheets([cell(colour) for colour in colours])
    for index, colour in enumerate(colours):
        y = 8 + index // COLUMNS * (THUMBNAIL_HEIGHT + 44) + THUMBNAIL_HEIGHT // 2
        x = 8 + index % COLUMNS * (THUMBNAIL_WIDTH + 8) + THUMBNAIL_WIDTH // 2
        np.testing.assert_allclose(page[y, x], colour, atol=4)
    assert page.shape == (8 + 2 * (THUMBNAIL_HEIGHT + 44), 8 + COLUMNS * (THUMBNAIL_WIDTH + 8), 3)


def test_more_than_a_page_holds_begins_another() -> None:
    cells = [cell((0, 0, 255))] * (COLUMNS * ROWS + 1)
    first, second = contact_sheets(cells)
    assert first.shape[0] > 5 * second.shape[0]
    assert contact_sheets([]) == []


def test_other_shapes_keep_theirs() -> None:
    (page,) = contact_sheets([cell((0, 255, 0), size=(160, 90))])
    middle = page[8 + THUMBNAIL_HEIGHT // 2, 8 : 8 + THUMBNAIL_WIDTH]
    green = middle[:, 1] > 200
    assert green.sum() == pytest.approx(THUMBNAIL_HEIGHT * 90 / 160, abs=2)
    assert green[THUMBNAIL_WIDTH // 2]


def test_words_stand_under_the_thumbnail_and_within_its_width() -> None:
    short, long = (contact_sheets([cell((0, 0, 0), title=title)])[0] for title in ("shot", "Größe " * 40))
    for page in (short, long):
        under = page[8 + THUMBNAIL_HEIGHT :]
        assert (under > 180).any()
        assert (under[:, 8 + THUMBNAIL_WIDTH + 2 :] == 32).all()
    assert (long > 180).sum() > 2 * (short > 180).sum()


def test_a_broken_thumbnail_is_black_and_a_page_is_a_jpeg() -> None:
    (page,) = contact_sheets([Cell(b"no picture", "shot", "")])
    assert not page[8 : 8 + THUMBNAIL_HEIGHT, 8 : 8 + THUMBNAIL_WIDTH].any()
    assert cv2.imdecode(np.frombuffer(encoded_page(page), np.uint8), cv2.IMREAD_COLOR).shape == page.shape
