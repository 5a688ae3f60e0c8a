"""Lists of runs: what is there is left alone, what was interrupted goes on, what fails is told."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from artmirror.benchmarks.records.temporal import write_temporal
from artmirror.benchmarks.studies.training_runs import Recipe, Run, judge_runs, train_runs
from artmirror.runtime.common.errors import ArtmirrorError
from tests.fakes.benchmark_records import make_painter, make_temporal

RUNS = (Run("plain", "nothing"), Run("fast", "speed", "--learning-rate 1e-2"), Run("real", "motion", "", "clips"))
RECIPE = Recipe("--steps 7", Path("/a/b c.jpg"), Path("/a/photos"), Path("/a/vgg.pth"))

Calls = Callable[[], list[str]]


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Programs that write down how they were called, and write the file behind -o; st-train fails for "broken"."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("st-train", "st-export"):
        (programs / name).write_text(
            f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/calls\n'
            'case "$*" in *broken*) exit 3;; esac\n'
            'while [ "$1" ]; do [ "$1" = -o ] && touch "$2"; shift; done; exit 0\n'
        )
        (programs / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(programs / "python"))

    def made() -> list[str]:
        told = (tmp_path / "calls").read_text().splitlines() if (tmp_path / "calls").exists() else []
        (tmp_path / "calls").unlink(missing_ok=True)
        return told

    return made


def test_what_is_missing_is_trained_and_exported_once(
    tmp_path: Path, calls: Calls, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "deep" / "runs"
    assert train_runs(folder, RUNS, RECIPE) == list(RUNS[:2])
    assert calls() == [
        f"st-train --photos /a/photos --painting /a/b c.jpg --vgg /a/vgg.pth --steps 7 -o {folder}/plain.pt",
        f"st-export --no-parity {folder}/plain.pt -o {folder}/plain.onnx",
        "st-train --photos /a/photos --painting /a/b c.jpg --vgg /a/vgg.pth --steps 7 --learning-rate 1e-2 "
        f"-o {folder}/fast.pt",
        f"st-export --no-parity {folder}/fast.pt -o {folder}/fast.onnx",
    ]
    told = capsys.readouterr().err
    assert "'/a/b c.jpg'" in told  # can be pasted into a shell
    assert "real: left out, it needs --clips" in told
    assert train_runs(folder, RUNS, RECIPE) == list(RUNS[:2])
    assert calls() == []


def test_only_those_named_are_trained_but_all_that_are_there_count(tmp_path: Path, calls: Calls) -> None:
    (tmp_path / "fast.onnx").touch()
    assert train_runs(tmp_path, RUNS, RECIPE, only=("plain",)) == list(RUNS[:2])
    assert [call.split()[0] for call in calls()] == ["st-train", "st-export"]


def test_what_was_interrupted_goes_on(tmp_path: Path, calls: Calls) -> None:
    (tmp_path / "plain.state.pt").touch()
    train_runs(tmp_path, RUNS[:1], RECIPE)
    assert calls()[0] == f"st-train --resume {tmp_path}/plain.pt"


def test_a_program_that_fails_ends_it(tmp_path: Path, calls: Calls) -> None:
    with pytest.raises(ArtmirrorError, match=r"st-train .*broken.pt failed; its own words stand above"):
        train_runs(tmp_path, (Run("broken", "?"), RUNS[0]), RECIPE)
    assert len(calls()) == 1
    with pytest.raises(ArtmirrorError, match="holds no run"):
        train_runs(tmp_path, RUNS[2:], RECIPE)


def test_all_are_judged_in_one_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = make_temporal(make_painter("input", 0.01, 9), make_painter("plain", 0.02, 2))
    write_temporal(session, tmp_path / "written.json")
    program = tmp_path / "st-bench"
    program.write_text(f'#!/bin/sh\necho "$*" > {tmp_path}/call\ncp {tmp_path}/written.json {tmp_path}/temporal.json\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert judge_runs(tmp_path, RUNS[:2], RECIPE, ("one.mp4", "two")) == session
    assert (tmp_path / "call").read_text().split() == [
        "temporal", f"{tmp_path}/plain.onnx", f"{tmp_path}/fast.onnx", "--sequence", "one.mp4", "--sequence", "two",
        "--painting", "/a/b", "c.jpg", "--vgg", "/a/vgg.pth", "--full-precision", "-o", f"{tmp_path}/temporal.json",
    ]  # fmt: skip
