"""The video proof: cells, figures, and files that play."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from artmirror.benchmarks.cli import main
from artmirror.benchmarks.temporal import painters
from artmirror.benchmarks.temporal.split_screen import SequenceScreen, SplitScreen
from artmirror.runtime.common.errors import ArtmirrorError
from tests.fakes.benchmark_errors import check_one_line
from tests.fakes.counting_engine import SIZE, CountingEngine
from tests.fakes.moving_pictures import Picture, constant_flow, texture, write_frames

HEIGHT, WIDTH = SIZE
BAR = 24  # below each cell of this size


@pytest.fixture
def flash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four frames of one grey, the third brighter; every engine inverts."""
    monkeypatch.setattr(painters, "open_engine", lambda path, **options: CountingEngine(path.stem))
    return write_frames(tmp_path / "flash", [texture() * 0 + grey for grey in (60, 60, 100, 60)], constant_flow(0))


def temporal(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["temporal", *map(str, arguments)])


def frames_of(path: Path) -> list[Picture]:
    video = cv2.VideoCapture(str(path))
    frames = []
    while (read := video.read())[0]:
        frames.append(read[1].astype(np.uint8))
    return frames


def cell(frame: Picture, row: int, column: int) -> NDArray[np.uint8]:
    top, left = row * (HEIGHT + BAR), column * WIDTH
    return frame[top : top + HEIGHT, left : left + WIDTH]


def test_input_and_network_side_by_side(flash: Path, tmp_path: Path) -> None:
    path = tmp_path / "proof.mp4"
    result = temporal("a.onnx", "--sequence", flash, "--step", "1", "--video", path)
    assert result.exit_code == 0, result.output
    frames = frames_of(path)
    assert len(frames) == 4
    assert frames[0].shape == (HEIGHT + BAR, 2 * WIDTH, 3)
    for frame, grey in zip(frames, (60, 60, 100, 60), strict=True):
        assert cell(frame, 0, 0).mean() == pytest.approx(grey, abs=3)
        assert cell(frame, 0, 1).mean() == pytest.approx(255 - grey, abs=3)
        assert frame[HEIGHT:].max() > 150  # there is writing below


def test_three_networks_make_a_square_and_a_fourth_is_left_out(flash: Path, tmp_path: Path) -> None:
    path = tmp_path / "proof.mkv"
    result = temporal("a.onnx", "b.onnx", "c.onnx", "d.onnx", "--sequence", flash, "--video", path)
    assert result.exit_code == 0, result.output
    assert frames_of(path)[0].shape == (2 * (HEIGHT + BAR), 2 * WIDTH, 3)


def test_figures_are_of_all_frames_so_far(flash: Path, tmp_path: Path) -> None:
    lines: list[list[str]] = []

    class Told(SplitScreen):
        def write(self, pictures: object, figures: object) -> None:
            lines.append(list(figures))  # type: ignore[call-overload]

    screen = SequenceScreen(Told(tmp_path / "a.mp4", ["input", "night"]))
    flat = texture()
    screen.keep_frame(0, [flat, flat], [10_000_000])
    screen.keep_instability(0, [np.full(SIZE, 0.1, np.float32), np.full(SIZE, 0.3, np.float32)])
    screen.keep_frame(1, [flat, flat], [30_000_000])
    assert lines == [["", "10 ms"], ["e_stab 0.100", "e_stab 0.300   3.0x input   20 ms"]]


def test_what_breaks_off_still_plays(flash: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wait = CountingEngine.wait

    def break_off(self: CountingEngine, slot: object) -> None:
        wait(self, slot)  # type: ignore[arg-type]
        if self.waited == 3 + 3:  # after the warm-up, in the third frame
            raise ArtmirrorError("the device is gone")

    monkeypatch.setattr(CountingEngine, "wait", break_off)
    path = tmp_path / "proof.mp4"
    result = temporal("a.onnx", "--sequence", flash, "--video", path)
    assert result.exit_code == 1
    assert "the device is gone" in result.stderr
    assert len(frames_of(path)) == 2
    assert [entry.name for entry in tmp_path.glob("*proof*")] == ["proof.mp4"]


@pytest.mark.parametrize(
    ("name", "message"), [("proof.gif", "is no video: wanted one of .mp4"), ("no/folder/a.mp4", "folder that exists")]
)
def test_mistakes_are_one_line(flash: Path, name: str, message: str) -> None:
    result = temporal("a.onnx", "--sequence", flash, "--video", name)
    check_one_line(result, message)
    assert result.exit_code == 2
