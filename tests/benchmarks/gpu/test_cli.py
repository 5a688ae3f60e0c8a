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
from artmirror.benchmarks.gpu.table import check_goals, render_record
from artmirror.benchmarks.records.gpu import GpuSession, GpuTests, Row, read_gpu, write_gpu
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


def render(*rows: Row, ceilings: dict[str, float] | None = None, tests: GpuTests | None = None) -> str:
    console = Console(width=220, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(render_record(GpuSession(make_environment(), {"name": "a card"}, rows, ceilings or {}, tests)))
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


def test_programs_and_tests_are_told() -> None:
    row = make_row("st-run", None, compute_ns=(), note="TensorRT FP16", program_fps=612.3)
    row = replace(row, program_latency_ms={"p50": 4.0, "p95": 5.5, "p99": 7.25})
    tests = GpuTests(3, ("tests/test_x.py::test_y",), {"no TensorRT is installed": 2}, 11.6)
    text = render(row, tests=tests)
    assert "612 " in text
    assert "4.00 / 5.50 / 7.25" in text
    assert "end to end ms" not in text  # a table of nothing
    assert "pytest -m gpu: 3 passed, 1 failed, 2 skipped in 12 s; failed: tests/test_x.py::test_y;" in text
    assert "skipped 2: no TensorRT is installed" in text
    assert "pytest -m gpu: no GPU\n" in "\n".join(map(str.rstrip, render(tests=GpuTests(reason="no GPU")).splitlines()))


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
    rows += (Row("st-run", "640x360", note="TensorRT FP16", program_fps=60.0, program_latency_ms={"p50": 20.0}),)
    tests = GpuTests(3, ("tests/test_x.py::test_y",), {"no TensorRT": 2}, 9.5)
    session = GpuSession(make_environment(), {"reason": "no GPU"}, rows, {"fp16_flop_per_s": 8e14}, tests)
    write_gpu(session, tmp_path / "a.json")
    assert read_gpu(tmp_path / "a.json") == session
    for text, told in (
        ("[]", "is no record of st-bench gpu"),
        (session.to_json().replace('"format_version": 2', '"format_version": 1'), "has record version 1"),
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
    monkeypatch.setattr(run, "run_marked_tests", lambda checkout, limit_s: GpuTests(1, duration_s=1.0))
    record, checkpoints = tmp_path / "out.json", [Path("full.pt"), Path("light.pt")]

    def measure(before: GpuSession | None) -> dict[tuple[str, str], Row]:
        found = run.measure_gpu(checkpoints, [(64, 96)], 5, 9.0, record, before)
        assert read_gpu(record) == found
        return {(row.network, row.name): row for row in read_gpu(record).rows}

    first = measure(None)
    assert [name for _, name in list(first)[:4]] == ["a", "b", "TensorRT FP16", "TensorRT FP16 without graph"]
    assert len(first) == 2 * (2 + 6 + 1)
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


def test_tests_that_passed_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that failed, or were cut off, are run again."""
    limits: list[float] = []
    ran = [
        GpuTests(1, ("tests/test_x.py::test_y",), duration_s=3.0),
        GpuTests(1, duration_s=120.0, reason="cut off after 120 s"),
        GpuTests(2, duration_s=4.0),
    ]

    def run_next(checkout: Path, limit_s: float) -> GpuTests:
        assert (checkout / "tests").is_dir()
        limits.append(limit_s)
        return ran[min(len(limits), len(ran)) - 1]

    monkeypatch.setattr(run, "run_program", Programs())
    monkeypatch.setattr(run, "run_marked_tests", run_next)
    monkeypatch.setattr(run, "_describe_device", lambda: {"name": "a card"})
    record, before = tmp_path / "out.json", None
    for expected in (*ran, ran[-1]):
        run.measure_gpu([Path("full.pt")], [(64, 96)], 5, 9.0, record, before)
        before = read_gpu(record)
        assert before.tests == expected
    assert limits == [120.0] * 3
    run.measure_gpu([Path("full.pt")], [(64, 96)], 5, 2.0, None, None)
    assert 0 < limits[-1] <= 30


@pytest.mark.parametrize(("failed", "code"), [((), 0), (("tests/test_x.py::test_y",), 1)])
def test_a_test_that_failed_is_in_the_exit_code(
    failed: tuple[str, ...], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = GpuSession(make_environment(), {"name": "a card"}, (make_row("TensorRT FP16", 2000.0),))
    monkeypatch.setattr(run, "measure_gpu", lambda *_: replace(found, tests=GpuTests(1, failed, duration_s=3.0)))
    (tmp_path / "full.pt").touch()
    assert bench_gpu(str(tmp_path / "full.pt")).exit_code == code


def test_st_run_takes_the_best_engine_that_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[dict[str, str]] = []

    def run_st_run(words: list[Any], limit_s: float) -> dict[str, Any]:
        ran.append(dict(itertools.pairwise(map(str, words))))
        return {"fps": 50.0 + len(ran), "latency_ms": {"p50": 20.0, "p95": 30.0, "p99": 40.0}}

    monkeypatch.setattr(run, "run_program", Programs())
    monkeypatch.setattr(run, "run_st_run", run_st_run)
    monkeypatch.setattr(run, "run_marked_tests", lambda checkout, limit_s: GpuTests(1, duration_s=1.0))
    record = tmp_path / "out.json"

    def measure(before: GpuSession | None) -> Row:
        run.measure_gpu([Path("full.pt")], [(64, 96)], 5, 9.0, record, before)
        return read_gpu(record).rows[-1]

    def with_engine(name: str) -> GpuSession:
        session = read_gpu(record)
        measured = make_row(name, 90.0, network="full", size="96x64", end_to_end_fps_two_slots=75.0)
        return replace(session, rows=(*(row for row in session.rows if row.name != name), measured))

    assert "none was measured" in (measure(None).reason or "")
    first = measure(with_engine("ONNX Runtime CUDA FP16"))
    assert (first.name, first.note, first.program_fps) == ("st-run", "ONNX Runtime CUDA FP16", 51.0)
    assert first.program_latency_ms["p95"] == 30.0
    assert (ran[0]["--backend"], ran[0]["--input"], ran[0]["--max-frames"]) == ("onnxruntime", "synthetic:96x64", "300")
    assert measure(read_gpu(record)) == first
    assert len(ran) == 1
    monkeypatch.setattr(run, "_build", lambda network, library, label, clock: tmp_path / f"{library}.plan")
    better = measure(with_engine("TensorRT FP16"))
    assert (better.note, better.program_fps) == ("TensorRT FP16", 52.0)
    assert ran[1]["--engine"].endswith("tensorrt.plan")
    monkeypatch.setattr(run, "_FOR_ST_RUN", ("TensorRT-RTX FP16",))  # none of it ran: what was measured stays
    assert measure(read_gpu(record)) == better


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
    assert [row.network for row in rows] == ["full"] * 10 + ["light"] * 10
    assert [rows[9].name, rows[19].name] == ["st-run"] * 2
    assert all(row.reason for row in rows)
    tests = read_gpu(record).tests
    assert tests == GpuTests(reason=read_gpu(record).device["reason"])
    assert 0 < (rows[10].frame_flop or 0) < (rows[0].frame_flop or 0)
    assert "not measured: TensorRT faster than every other row" in done.stdout
    assert "- not measured: TensorRT faster than every other row" in table.read_text()
    assert len([line for line in table.read_text().splitlines() if line.startswith("| light")]) == 10
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
