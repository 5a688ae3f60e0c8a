"""`st-run` with several inputs: real engine, real files."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from artmirror.runtime.cli import main
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.gallery.paintings import choose
from artmirror.runtime.run import RunOptions
from artmirror.runtime.streams import run_streams
from tests.fakes.media import noise, write_clip
from tests.fakes.tiny_memory import tiny_memory

TEST_PICTURE = "synthetic:96x80"  # without a pace: none is dropped where the machine is busy


def film(path: Path, shade: int) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (96, 80))
    for number in range(10):
        picture = np.full((80, 96, 3), shade, np.uint8)
        picture[:, 8 * number : 8 * number + 8] = 255 - shade
        writer.write(picture)
    writer.release()
    return path


def first_frame(path: Path) -> np.ndarray:
    done, picture = cv2.VideoCapture(str(path)).read()
    assert done
    return picture


def run(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["--style", "starry-nano", *map(str, words)])
    return done.exit_code, done.output


def test_each_goes_into_its_own_file_as_if_alone(tmp_path: Path) -> None:
    films = [film(tmp_path / f"{name}.mp4", shade) for name, shade in (("dark", 30), ("light", 220))]
    alone = []
    for path in films:
        out = tmp_path / f"alone-{path.name}"
        assert run("--input", path, "-o", out, "--steady", "off")[0] == 0
        alone.append(first_frame(out))
    outputs = [tmp_path / f"together-{path.name}" for path in films]
    words = [word for path in films for word in ("--input", path)] + [word for path in outputs for word in ("-o", path)]
    code, told = run(*words)
    assert code == 0, told
    assert told.count("10 frames") == 2
    for path, wanted in zip(outputs, alone, strict=True):
        # A level here or there: what a busy processor adds up first is not fixed, and the film is encoded from it.
        assert np.abs(first_frame(path).astype(int) - wanted).mean() < 1


def test_json_has_a_line_for_each() -> None:
    words = ["--input", TEST_PICTURE, "-o", "null:"] * 3
    code, told = run(*words, "--max-frames", 6, "--json")
    assert code == 0, told
    rows = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    assert [row["frames_out"] for row in rows] == [6, 6, 6]
    assert all(row["latency_ms"]["p95"] > 0 for row in rows)


def test_colours_can_be_kept(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", 30)
    out = tmp_path / "b.mp4"
    code, told = run(
        "--input", path, "--input", TEST_PICTURE, "-o", out, "-o", "null:", "--max-frames", 3, "--keep-colours"
    )
    assert code == 0, told


def test_one_that_is_cut_off_ends_no_other(tmp_path: Path) -> None:
    good = film(tmp_path / "good.mp4", 30)
    bad = write_clip(tmp_path / "bad.mp4", [noise((96, 128), n) for n in range(30)], options={"movflags": "+faststart"})
    bad.write_bytes(bad.read_bytes()[: bad.stat().st_size * 2 // 3])
    code, told = run("--input", bad, "--input", good, "-o", tmp_path / "x.mp4", "-o", tmp_path / "y.mp4")
    assert code == 1
    assert "Traceback" not in told
    assert f"{good}: 10 frames" in told
    assert f"Error: {bad}: " in told
    assert "cut off" in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--input", "a", "--input", "b", "-o", "null:"], "2 inputs want as many outputs"),
        (["--input", "a", "--input", "b", "-o", "null:", "-o", "window:"], "2 inputs want as many outputs"),
        (["--input", "a", "--input", "b", "-o", "x.mp4", "-o", "x.mp4"], "named twice"),
        (["--input", "a.mp4", "--input", "b.mp4", "-o", "null:", "-o", "null:"], "a.mp4"),
    ],
)
def test_mistakes_are_one_line(words: list[str], told: str) -> None:
    code, output = run(*words)
    assert code in (1, 2)
    assert told in output
    assert "Traceback" not in output


def test_a_memory_knows_one_stream() -> None:
    network = tiny_memory().with_suffix(".onnx")
    options = RunOptions(choose(network, (), ()), TEST_PICTURE, ("null:",), named_engine=True)
    with pytest.raises(ArtmirrorError, match="has a memory, which knows one stream"):
        run_streams(options, [(TEST_PICTURE, "null:")] * 2)
