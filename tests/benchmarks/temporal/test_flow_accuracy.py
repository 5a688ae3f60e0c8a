"""The report on flow: scores of a scene whose flow is known, the tables, the program."""

import math
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from artmirror.benchmarks.temporal.flow_accuracy import find_all_scenes, markdown, score_pair, score_scene
from artmirror.benchmarks.temporal.flow_cli import flow
from artmirror.benchmarks.temporal.ground_truth import TruthFiles
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.flow import dis_flow, write_flow

Rgb = NDArray[np.uint8]
Flow = NDArray[np.float32]

HEIGHT, WIDTH, STEP_PX = 48, 64, 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A scene of three frames whose content moves to the left, with masks, and one of two without."""
    rng = np.random.default_rng(0)
    knots = rng.uniform(0, 255, (14, 20, 3)).astype(np.float32)
    wide = cv2.resize(knots, (WIDTH + 2 * STEP_PX, HEIGHT), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    flow = np.full((HEIGHT, WIDTH, 2), (-STEP_PX, 0), np.float32)
    hidden = np.zeros((HEIGHT, WIDTH), np.uint8)
    hidden[:, :STEP_PX] = 255
    numbered, pair = tmp_path / "truth" / "numbered", tmp_path / "truth" / "pair"
    for scene in (numbered, pair):
        scene.mkdir(parents=True)
    for i in range(3):
        frame = wide[:, STEP_PX * i : STEP_PX * i + WIDTH]
        assert cv2.imwrite(str(numbered / f"frame_000{i}.png"), frame)
        if i < 2:
            assert cv2.imwrite(str(pair / f"{'ab'[i]}.png"), frame)
            write_flow(numbered / f"frame_000{i}.flo", flow)
            assert cv2.imwrite(str(numbered / f"occlusion_000{i}.png"), hidden)
    write_flow(pair / "flow.flo", flow)
    return tmp_path / "truth"


def exact(first: Rgb, second: Rgb) -> Flow:
    """Know the truth, there and back, by the pixels that both frames share."""
    forth = np.array_equal(first[:, STEP_PX:], second[:, :-STEP_PX])
    return np.full((*first.shape[:2], 2), (-STEP_PX if forth else STEP_PX, 0), np.float32)


def still(first: Rgb, second: Rgb) -> Flow:
    return np.zeros((*first.shape[:2], 2), np.float32)


def test_the_truth_scores_best(folder: Path) -> None:
    scene = find_all_scenes(folder)[0]
    assert (scene.name, len(scene.truths)) == ("numbered", 2)
    score = score_scene(scene, exact)
    assert score.epe_px == score.epe_trusted_px == 0
    assert score.trusted_share == pytest.approx(1 - STEP_PX / WIDTH)
    assert (score.precision, score.recall) == (1, 1)
    assert score.warp_estimated == score.warp_truth < 1e-6
    (folder / "numbered" / "occlusion_0001.png").unlink()
    score = score_scene(find_all_scenes(folder)[0], exact)
    assert (score.precision, score.recall) == (1, 1)  # of the pair that has a mask


def test_no_flow_scores_the_motion(folder: Path) -> None:
    score = score_scene(find_all_scenes(folder)[0], still)
    assert score.epe_px == pytest.approx(STEP_PX)
    assert score.trusted_share == 1
    assert math.isnan(score.precision)  # nothing is distrusted
    assert score.recall == 0
    assert score.warp_estimated > 0.02 > score.warp_truth


def test_without_masks_nobody_says_what_is_hidden(folder: Path) -> None:
    scene = find_all_scenes(folder)[1]
    score = score_scene(scene, dis_flow)
    assert score.epe_px < 0.5
    assert math.isnan(score.precision)
    assert math.isnan(score.recall)
    [row] = [line for line in markdown([("pair", 1, "dis", score)]).splitlines() if line.startswith("| pair")]
    assert re.fullmatch(r"\| pair \| 1 \| dis \| 0\.\d{3} \| 0\.\d{3} \| \d+\.\d% \| - \| - \|.*\|", row)


def test_the_program(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "flow.md"
    result = CliRunner().invoke(flow, [str(folder), "-o", str(output)])
    assert result.exit_code == 0, result.output
    cells = [line.split() for line in result.output.splitlines()]
    rows = [words[:2] for words in cells if words[1:2] in (["dis"], ["farneback"])]
    assert rows == [["numbered", "dis"], ["numbered", "farneback"], ["pair", "dis"], ["pair", "farneback"]]
    text = output.read_text()
    assert len([line for line in text.splitlines() if line.startswith("|")]) == 6
    assert "EPE: mean distance" in text


def test_what_cannot_be_measured_is_told(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "empty", tmp_path / "absent"):
        result = CliRunner().invoke(flow, [str(place)])
        assert result.exit_code == 1
        assert "holds no frames with flow beside them" in result.output
    result = CliRunner().invoke(flow, [str(folder), "--method", "dis", "-o", str(tmp_path / "absent" / "a.md")])
    assert result.exit_code == 2  # before anything is measured
    assert "wanted a file in a folder that exists" in result.output
    result = CliRunner().invoke(flow, [str(folder), "-o", str(tmp_path / "flow.txt")])
    assert result.exit_code == 2
    assert "wanted a name in .md" in result.output
    assert "Traceback" not in result.output
    small = tmp_path / "small.flo"
    write_flow(small, np.zeros((8, 8, 2), np.float32))
    frames = [folder / "pair" / name for name in ("a.png", "b.png")]
    with pytest.raises(ArtmirrorError, match=r"a\.png is 64x48, .*small\.flo is 8x8; wanted are frames of the flow"):
        score_pair(*frames, TruthFiles(small), dis_flow)
