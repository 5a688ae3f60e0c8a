"""Which sources are denoised, and that nothing else of them changes."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from artmirror.runtime.cli import main
from artmirror.runtime.common.denoise import Denoiser
from artmirror.runtime.frame import FrameSlot
from artmirror.runtime.gallery.paintings import choose
from artmirror.runtime.run import RunOptions, open_frames
from artmirror.runtime.sources import camera as source_camera
from artmirror.runtime.sources.denoised import DenoisedSource
from artmirror.runtime.sources.synthetic import SyntheticSource
from tests.fakes.media import write_picture

SIZE = (96, 128)


def options(uri: str, denoise: str) -> RunOptions:
    return RunOptions(choose(None, (), ()), uri, ("null:",), denoise=denoise)


@pytest.mark.parametrize(
    ("uri", "denoise", "wanted"),
    [
        ("camera:0", "auto", True),
        ("camera:0", "off", False),
        ("synthetic:128x96@30", "auto", False),
        ("synthetic:128x96@30", "on", True),
    ],
)
def test_cameras_are_denoised_by_themselves(
    uri: str, denoise: str, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        source_camera, "CameraSource", lambda number, *rest: SyntheticSource("0", SIZE, Fraction(30), False)
    )
    source = open_frames(options(uri, denoise), uri, SIZE)
    assert isinstance(source, DenoisedSource) == wanted
    assert source.size == SIZE
    assert source.live
    source.close()


def test_pictures_never_are(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.png", np.zeros((96, 128, 3), np.uint8))
    assert not isinstance(open_frames(options(str(path), "on"), str(path), None), DenoisedSource)


def test_it_reads_to_the_end_and_says_what_it_is() -> None:
    source = open_frames(options("synthetic:128x96@60", "on"), "synthetic:128x96@60", None)
    assert isinstance(source, DenoisedSource)
    slot = FrameSlot(np.zeros((*SIZE, 3), np.uint8), np.zeros((*SIZE, 3), np.uint8))
    assert source.read(slot)
    assert slot.frame.any()
    source.close()


@pytest.mark.parametrize("output", ["null:", "frames/", "film.mp4"])
def test_wherever_the_pictures_go(output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs of one file a frame open their sources in another way."""
    frames = []
    monkeypatch.setattr(Denoiser, "__call__", lambda denoiser, frame: frames.append(frame.shape))
    monkeypatch.chdir(tmp_path)
    words = ["--style", "starry-nano", "--input", "synthetic:128x96", "--max-frames", "3", "--denoise", "on"]
    done = CliRunner().invoke(main, [*words, "-o", output])
    assert done.exit_code == 0, done.output
    assert frames == [(96, 128, 3)] * 3
