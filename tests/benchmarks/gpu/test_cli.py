"""The GPU session: the table and goals, what is kept, and the whole script on a machine without a GPU."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from artmirror.benchmarks.cli import main
from artmirror.benchmarks.gpu import run
from artmirror.benchmarks.gpu.table import check_goals, render_rows
from artmirror.benchmarks.records.gpu import GpuSession, Row, read_gpu, write_gpu
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.pixels import psnr_db
from artmirror.runtime.engines.cuda_device import open_device
from artmirror.train.checkpoint import save_checkpoint
from artmirror.train.config import NetworkConfig
from tests.export.conftest import make_checkpoint
from tests.fakes.benchmark_records import make_environment


def make_row(name: str, fps: float | None, **changes: object) -> Row:
    values = {
        "network": "starry",
        "size": "640x360",
        "frame_flop": 8e9,
        "frame_bytes": 1e9,
        "compute_fps": fps,
        "compute_ns": (1_000_000,) * 4,
        "psnr_db": 45.0,
    }
    return Row(name, **{**values, **changes})


def bench_gpu(*words: str) -> Result:
    return CliRunner().invoke(main, ["gpu", *words])


def render(*rows: Row, ceilings: dict[str, float] | None = None) -> str:
    console = Console(width=220, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(render_rows(rows, ceilings or {}))
    return console.export_text()


def test_psnr() -> None:
    black = np.zeros((4, 4, 3), np.uint8)
    assert psnr_db(black, black + 255) == 0
    assert psnr_db(black, black + 1) == pytest.approx(48.13, abs=0.01)


def test_rates_stand_against_ceilings() -> None:
    text = render(make_row("TensorRT FP16", 2000.0), ceilings={"device_bytes_per_s": 4e12, "fp16_flop_per_s": 8e14})
    assert "2000 " in text
    assert "16.00" in text  # TFLOP/s
    assert "50% / 2%" in text
    assert "1.00 / 1.00 / 1.00" in text


def test_what_was_not_measured_has_its_reason() -> None:
    text = render(Row("TensorRT-RTX FP16", "640x360", reason="it does not take sm90"))
    assert "it does not take sm90" in text
    assert "compute ms" not in text  # a table of nothing
    assert "none, for want of a GPU" in text


def test_goals() -> None:
    rows = [
        make_row("TensorRT FP16", 2000.0, end_to_end_fps_two_slots=1800.0, end_to_end_fps_one_slot=1500.0),
        make_row("torch.compile FP16", 900.0, psnr_db=37.0),
        make_row("ONNX Runtime TensorRT FP16", 2100.0),  # TensorRT as well
    ]
    assert [met for _, met, _ in check_goals(rows)] == [False, True, True, True]
    rows.append(make_row("TensorRT FP16 without graph", 100.0, psnr_db=10.0))  # shown, and not judged
    assert [met for _, met, _ in check_goals(rows)] == [False, True, True, True]
    rows[0] = make_row("TensorRT FP16", 1800.0, end_to_end_fps_two_slots=1000.0, end_to_end_fps_three_slots=1700.0)
    assert [met for _, met, _ in check_goals(rows)] == [False, True, True, True]
    rows[0] = make_row("TensorRT FP16", 800.0, end_to_end_fps_two_slots=600.0)
    assert [met for _, met, _ in check_goals(rows)] == [False, False, False, False]
    assert [met for _, met, _ in check_goals([Row("TensorRT FP16", "640x360", reason="no GPU")])] == [None] * 4


def test_goals_of_several_networks() -> None:
    """Each is compared with itself, and a lighter one does not make the full one fast."""
    rows = [
        make_row("TensorRT FP16", 1000.0, end_to_end_fps_two_slots=950.0),
        make_row("torch.compile FP16", 900.0),
        make_row("TensorRT FP16", 5000.0, network="starry-nano", end_to_end_fps_two_slots=3000.0),
        make_row("torch.compile FP16", 4000.0, network="starry-nano"),
    ]
    assert [met for _, met, _ in check_goals(rows)] == [True, True, True, False]
    assert [met for _, met, _ in check_goals(rows[2:])] == [True, False, True, True]
    text = render(*rows)
    assert text.count("starry-nano") == 2


def test_rows_of_pytorch_are_read() -> None:
    row = Row.from_json({"name": "x", "size": "64x64", "compute_ns": [1, 2], "other": 3})
    assert row.compute_ns == (1, 2)


def test_records_survive_the_file(tmp_path: Path) -> None:
    rows = (make_row("TensorRT FP16", 1000.0), Row("TensorRT-RTX FP16", "640x360", reason="no GPU"))
    session = GpuSession(make_environment(), {"reason": "no GPU"}, rows, {"fp16_flop_per_s": 8e14})
    write_gpu(session, tmp_path / "a.json")
    assert read_gpu(tmp_path / "a.json") == session
    for text, told in (
        ("[]", "is no record of st-bench gpu"),
        (session.to_json().replace('"format_version": 1', '"format_version": 2'), "has record version 2"),
        (session.to_json().replace('"rows"', '"columns"'), "is a damaged record"),
    ):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(ArtmirrorError, match=told):
            read_gpu(tmp_path / "a.json")


class Programs:
    """In the place of those that `st-bench gpu` starts: the export works, PyTorch has one row, and no plan is built.

    Attributes:
        runs_left: Then somebody stops the run.
    """

    def __init__(self, runs_left: int = 1000) -> None:
        self.runs_left = runs_left

    def __call__(self, module: str, command: list[Any], limit_s: float) -> str:
        self.runs_left -= 1
        if self.runs_left < 0:
            raise KeyboardInterrupt
        words = dict(itertools.pairwise(map(str, command)))
        if module.endswith("pytorch"):
            rows = [{"name": name, "size": "96x64", "compute_fps": 7.0} for name in ("a", "b") if name not in words]
            costs = {"96x64": {"flop": 1.0, "bytes": 1.0}}
            found = {"torch": "2.13", "ceilings": {}, "sizes": costs, "rows": rows}
            (Path(words["--folder"]) / "rows.json").write_text(json.dumps(found))
            for name in ("frame", "painted"):
                np.save(Path(words["--folder"]) / f"96x64.{name}.npy", np.zeros((64, 96, 3), np.uint8))
        elif "--plan" in words:
            raise ArtmirrorError("no library")
        else:
            Path(words["-o"]).touch()
        return ""


def test_what_was_measured_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the run that goes on with it is cut off too."""
    monkeypatch.setattr(run, "run_program", Programs())
    record, checkpoints = tmp_path / "out.json", [Path("full.pt"), Path("light.pt")]

    def measure(before: GpuSession | None) -> dict[tuple[str, str], Row]:
        run.measure_gpu(checkpoints, [(64, 96)], 5, 9.0, record, before)
        return {(row.network, row.name): row for row in read_gpu(record).rows}

    first = measure(None)
    assert [name for _, name in list(first)[:4]] == ["a", "b", "TensorRT FP16", "TensorRT FP16 without graph"]
    assert len(first) == 2 * (2 + 6)
    ours = [("full", "TensorRT FP16"), ("light", "TensorRT FP16 without graph"), ("light", "a")]
    before = read_gpu(record)
    kept = {key: replace(first[key], reason=None, compute_fps=100.0 + number) for number, key in enumerate(ours)}
    before = replace(before, rows=(*(row for key, row in first.items() if key not in kept), *kept.values()))
    monkeypatch.setattr(run, "run_program", Programs(runs_left=4))
    with pytest.raises(KeyboardInterrupt):
        measure(before)
    monkeypatch.setattr(run, "run_program", Programs())
    again = measure(read_gpu(record))
    assert set(again) == set(first)
    assert {key: again[key] for key in kept} == kept
    assert again["full", "a"].compute_fps == 7.0
    assert again["full", "TensorRT FP16 without graph"].reason
    with pytest.raises(ArtmirrorError, match="of another GPU"):
        measure(replace(before, device={"name": "another"}))


@pytest.mark.slow
def test_the_script_ends_well_without_a_gpu(tmp_path: Path) -> None:
    try:
        open_device(0)
        pytest.skip("there is a GPU")
    except ArtmirrorError:
        pass
    for name, fold in (("full", 1), ("light", 4)):
        network = NetworkConfig(channels=(4, 6, 8), blocks=1, fold=fold)
        save_checkpoint(tmp_path / f"{name}.pt", make_checkpoint(network))
    record, table = tmp_path / "out.json", tmp_path / "out.md"
    files = [str(tmp_path / f"{name}.pt") for name in ("full", "light")]
    done = bench_gpu(*files, "--size", "96x64", "--frames", "2", "-o", str(record), "-o", str(table))
    assert done.exit_code == 0, done.stderr
    rows = read_gpu(record).rows
    assert [row.network for row in rows] == ["full"] * 9 + ["light"] * 9
    assert all(row.reason for row in rows)
    assert 0 < (rows[9].frame_flop or 0) < (rows[0].frame_flop or 0)
    assert "not measured: TensorRT faster than every other row" in done.stdout
    assert "- not measured: TensorRT faster than every other row" in table.read_text()
    assert len([line for line in table.read_text().splitlines() if line.startswith("| light")]) == 9
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("a/full.pt", "b/full.pt"), "several checkpoints are called full"),
        (("a/full.pt", "-o", "absent/out.json"), "wanted a file in a folder that exists"),
        (("a/full.pt", "-o", "out.txt"), "wanted a name in .json"),
        (("a/full.pt", "--resume"), "wants the record to go on with"),
    ],
)
def test_mistakes_are_told_before_anything_is_measured(
    words: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "full.pt").touch()
    done = bench_gpu(*words)
    assert done.exit_code == 2
    assert message in done.stderr
    assert "device:" not in done.stderr
