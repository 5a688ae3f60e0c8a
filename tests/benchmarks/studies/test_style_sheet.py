"""The sheet of styles: its layout, and a run over what comes with the package."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from artmirror.benchmarks.studies.style_sheet import cell, main, sheet
from artmirror.runtime.gallery.paintings import listed


def test_cells_stand_in_rows_on_paper() -> None:
    cells = [np.full((20, 30, 3), value, np.uint8) for value in (0, 50, 100)]
    paper = sheet(cells, columns=2)
    assert paper.shape == (50, 70, 3)  # gaps of ten
    assert [paper[y, x, 0] for y, x in ((5, 5), (5, 35), (5, 45), (25, 5), (35, 5), (35, 45))] == [
        0, 255, 50, 255, 100, 255,
    ]  # fmt: skip
    assert sheet(cells[:1], columns=5).shape == (20, 30, 3)


def test_a_cell_has_a_caption() -> None:
    grey = np.full((100, 150, 3), 128, np.uint8)
    found = cell([grey, grey], "The Starry Night", "Vincent van Gogh, 1889")
    assert found.shape == (2 * 200 + 46, 300, 3)
    assert (found[:400] == 128).all()
    assert found[400:].min() < 100 < found[400:].max()  # ink on paper


@pytest.mark.slow
def test_the_command_paints_every_style(tmp_path: Path) -> None:
    photo = np.random.default_rng(1).integers(0, 255, (64, 96, 3), np.uint8)
    assert cv2.imwrite(str(tmp_path / "photo.png"), photo)
    arguments = [str(tmp_path / "photo.png"), "-o", str(tmp_path / "sheet.jpg"), "--thumbnails", str(tmp_path / "t")]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert {path.stem for path in (tmp_path / "t").glob("*.jpg")} == {style.name for style in listed()}
    thumbnail = cv2.imread(str(tmp_path / "t" / "starry.jpg"))
    assert thumbnail is not None
    assert thumbnail.shape == (171, 256, 3)
    assert (tmp_path / "sheet.jpg").stat().st_size > 1000


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    done = CliRunner().invoke(main, [str(tmp_path / "text.jpg"), "-o", str(tmp_path / "sheet.jpg")])
    assert done.exit_code == 1
    assert "is not a picture" in done.output


def test_a_sheet_that_cannot_be_written_is_told_before_anything_is_painted(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_text("no picture")
    done = CliRunner().invoke(main, [str(tmp_path / "photo.png"), "-o", str(tmp_path / "absent" / "sheet.jpg")])
    assert done.exit_code == 2
    assert "wanted a file in a folder that exists" in done.output
