"""The search for lighter networks: its list, its page, its times, and the whole command with training left out."""

import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from artmirror.benchmarks.records.speed import Record, Session, read_session
from artmirror.benchmarks.studies.training_runs import Recipe, Run
from artmirror.benchmarks.studies.variants import RECIPE, RUNS, main
from artmirror.benchmarks.studies.variants_costs import Costs, read_costs
from artmirror.benchmarks.studies.variants_report import caption, markdown
from artmirror.benchmarks.studies.variants_speed import measure_variants
from artmirror.export.to_onnx import onnx_of, save_onnx
from artmirror.export.trained import trained_of
from artmirror.runtime.formats.ncnn import ncnn_pair
from artmirror.train.checkpoint import save_checkpoint
from artmirror.train.cli import main as st_train
from artmirror.train.config import NETWORK_PRESETS, NetworkConfig, parse_network
from tests.export.conftest import make_checkpoint
from tests.fakes.benchmark_records import make_environment, make_painter, make_record, make_round, make_temporal
from tests.fakes.tiny_ncnn import tiny_ncnn

HERE = Recipe(RECIPE, Path("/a/painting.jpg"), Path("/a/photos"), Path("/a/vgg.safetensors"))
COSTS = Costs(macs=2_280_000_000, parameters=116_844, bytes_moved=128_900_000, predicted_fps=36.6)
TEMPORAL = make_temporal(
    make_painter("input", 0.01, 9), make_painter("huang", 0.04, 1.5), make_painter("lite", 0.05, 2)
)


def network_of(run: Run) -> NetworkConfig:
    options = st_train.make_context("st-train", HERE.command(run, Path("/a/out.pt"))[1:]).params
    assert (options["steps"], options["pairs"], options["crop"]) == (250, 2, 192)
    return parse_network(options["preset"], options["network_changes"])


def test_every_run_is_another_network_and_presets_are_among_them() -> None:
    networks = {run.name: network_of(run) for run in RUNS}
    assert len(networks) == len(set(networks.values())) == len(RUNS)
    assert {name: networks[name] for name in ("huang", "lite", "nano")} == {
        name: NETWORK_PRESETS[name] for name in ("huang", "lite", "nano")
    }


def _record(name: str, backend: str, precision: str, *frame_ms: float) -> Record:
    rounds = [make_round(value) for value in frame_ms]
    return make_record(*rounds, engine=name, backend=backend, precision=precision, library=f"{backend} 1")


def _speed() -> Session:
    records = (
        _record("huang", "openvino", "bf16", 20, 20, 20),
        _record("huang", "openvino", "fp32", 40, 40, 40),
        _record("huang", "ncnn", "fp32", 60, 60, 60),
        _record("lite", "openvino", "bf16", 10, 8, 8),
        _record("lite", "openvino", "fp32", 14, 14, 14),
    )
    return Session(environment=make_environment(), records=records)


def test_the_page_has_a_row_for_each_network_and_compares_with_the_full_one() -> None:
    runs = (Run("huang", "the full network"), Run("lite", "fold", "--preset lite"))
    page = markdown(runs, "--steps 500", {run.name: COSTS for run in runs}, _speed(), TEMPORAL, "sheet.jpg")
    lines = page.splitlines()
    header = next(line for line in lines if line.startswith("| network | GMAC"))
    assert "| OpenVINO bf16, ms | OpenVINO fp32, ms | ncnn fp32, ms | 940m, FPS | style |" in header
    assert "| input |  |  |  |  |  |  |  |  |  | 0.0100 | 0.0200 |" in lines
    assert "| lite | 2.28 | 117 | 129 | ~8.0 | 14.0 | - | 37 | 2.50 | 5.00 | 0.0500 | 0.1000 |" in lines
    assert "| huang |  | the full network | 1.00 | 1.00 | 1.00 | 1.00 | 1.00 |" in lines
    assert "| lite | `--preset lite` | fold | 2.50 | 1.25 | 1.00 | 1.25 | 1.25 |" in lines
    assert "~ the rounds span more than 10%" in page
    assert "st-train --steps 500" in page
    assert "openvino 1, ncnn 1" in page
    assert "(sheet.jpg)" in page


def test_a_page_without_the_full_network() -> None:
    speed = replace(_speed(), records=_speed().records[3:])
    temporal = make_temporal(make_painter("input", 0.01, 9), make_painter("lite", 0.05, 2))
    page = markdown((RUNS[4],), "", {"lite": COSTS}, speed, temporal, "sheet.jpg")
    assert "| - | - | - | - | - |" in page


def test_a_caption_has_the_time_of_the_way_that_is_shown() -> None:
    assert caption(RUNS[4], _speed(), TEMPORAL) == "~8.0 ms, style 2.50, e_stab 0.0500"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tiny.pt with tiny.onnx and ncnn's two files beside it."""
    path = tmp_path_factory.mktemp("network") / "tiny.pt"
    checkpoint = make_checkpoint(NetworkConfig(channels=(4, 6, 8), blocks=1))
    save_checkpoint(path, checkpoint)
    save_onnx(onnx_of(trained_of(checkpoint, path), fp16=False)[0], path.with_suffix(".onnx"))
    for part in ncnn_pair(tiny_ncnn()):
        (path.parent / part.name).write_bytes(part.read_bytes())
    return path


def test_costs_are_counted(network: Path) -> None:
    costs = read_costs(network.with_suffix(".onnx"), network, (64, 80))
    inner = 64 * 80 * (3 * 4 + 4 * 3) * 9 + 32 * 40 * (4 * 6) * 9 + 16 * 20 * (6 * 8 + 2 * 8 * 8) * 9
    assert costs.macs == inner + 32 * 40 * (8 * 6) * 9 + 64 * 80 * (6 * 4) * 9
    weights = (3 * 4 + 4 * 6 + 6 * 8 + 2 * 8 * 8 + 8 * 6 + 6 * 4 + 4 * 3) * 9
    assert costs.parameters == weights + 3 * (4 + 6 + 8 + 8 + 8 + 6 + 4) + 3  # bias and two of a norm; no norm at last
    larger = read_costs(network.with_suffix(".onnx"), network, (128, 160))
    assert larger.macs == 4 * costs.macs
    assert 3 * costs.bytes_moved < larger.bytes_moved < 4 * costs.bytes_moved
    assert larger.predicted_fps < costs.predicted_fps


def test_every_library_is_timed(network: Path) -> None:
    picture = np.zeros((64, 80, 3), np.uint8)
    session = measure_variants([network.with_suffix(".onnx")], picture, 1, rounds=2, frames=3)
    assert [record.backend for record in session.records] == ["openvino", "openvino", "onnxruntime", "ncnn"]
    assert {record.precision for record in session.records[1:]} == {"fp32"}
    assert {record.engine for record in session.records} == {"tiny"}
    assert {len(record.rounds) for record in session.records} == {2}
    assert session.ceilings is not None


def test_the_whole_command_over_networks_that_are_there(
    tmp_path: Path, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only st-bench temporal, which needs VGG-19, is played."""
    folder, pages = tmp_path / "runs", tmp_path / "docs"
    folder.mkdir()
    pages.mkdir()
    for name in ("huang", "lite"):
        for file in network.parent.iterdir():
            (folder / file.name.replace("tiny", name)).write_bytes(file.read_bytes())
    (tmp_path / "temporal.json").write_text(TEMPORAL.to_json())
    program = tmp_path / "st-bench"
    program.write_text(f"#!/bin/sh\ncp {tmp_path}/temporal.json {folder}/temporal.json\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    for name, side in (("face", 400), ("view", 96)):
        picture = np.random.default_rng(1).integers(0, 255, (side * 3 // 4, side, 3), np.uint8)
        assert cv2.imwrite(str(tmp_path / f"{name}.png"), picture)
    arguments = [str(folder), "--painting", str(network), "--photos", str(tmp_path), "--vgg", str(network)]
    arguments += ["--sequence", "shot", "--only", "huang", "-o", str(pages / "variants.md"), "--size", "80x64"]
    arguments += ["--picture", str(tmp_path / "face.png"), "--picture", str(tmp_path / "view.png")]
    done = CliRunner().invoke(main, [*arguments, "--rounds", "1", "--frames", "2", "--threads", "1"])
    assert done.exit_code == 0, done.output
    page = (pages / "variants.md").read_text()
    assert [line.split(" | ")[0] for line in page.splitlines() if line.startswith("| ")].count("| lite") == 2
    assert "a 80x64 frame" in page
    assert len(read_session(folder / "speed.json").records) == 8
    painted = cv2.imread(str(folder / "pictures" / "lite-face.png"))
    assert painted is not None
    assert painted.shape == (300, 400, 3)
    shown = cv2.imread(str(pages / "variants.jpg"))
    assert shown is not None
    assert shown.shape == (225 + 200 + 225 + 225 + 46, 3 * 300 + 2 * 10, 3)  # the second is smaller than a detail


def test_a_page_that_cannot_be_written_is_told_before_anything_is_trained(tmp_path: Path) -> None:
    arguments = [str(tmp_path / "runs"), "--painting", str(tmp_path), "--photos", str(tmp_path), "--vgg", str(tmp_path)]
    (tmp_path / "face.png").touch()
    arguments += ["--sequence", "shot", "--picture", str(tmp_path / "face.png"), "-o", str(tmp_path / "no" / "a.md")]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2
    assert "wanted a file in a folder that exists" in done.output
    assert not (tmp_path / "runs").exists()
