"""SIGKILL in the middle of writing: real processes, killed at chosen moments, and what `--resume` makes of it."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from artmirror.train.checkpoint import load_checkpoint, load_state, state_path
from artmirror.train.cli import main

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")

# st-train that stands still in the middle of its nth file: the bytes are in the temporary one, which is not renamed.
PROGRAM = """
import itertools, os, sys, time
from pathlib import Path
from artmirror.train.cli import main
files, real = itertools.count(1), os.fsync
def stand_still(descriptor):
    if next(files) == int(sys.argv[1]):
        Path(sys.argv[2]).touch()
        time.sleep(600)
    real(descriptor)
os.fsync = stand_still
main(sys.argv[3:])
"""


@pytest.fixture
def arguments(photos: Path, painting: Path, vgg_file: Path, tmp_path: Path) -> list[object]:
    files = ["--painting", painting, "--photos", photos, "--vgg", vgg_file, "-o", tmp_path / "run.pt"]
    sizes = ["--crop", 64, "--painting-size", 64, "--pairs", 1, "--steps", 6, "--precision", "fp32", "--ema", 0.5]
    return [*files, *sizes, *_FEW]


_FEW = ["--workers", 0, "--preview-every", 0, "--checkpoint-every", 2]
_ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}  # sums of several threads are rounded in another order


def _kill_while_writing(nth: int, arguments: list[object], marker: Path) -> None:
    """Run st-train, and kill it while it writes its nth file (at every second step the state, then the checkpoint)."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(nth), str(marker), *map(str, arguments)],
        stderr=subprocess.PIPE,
        env=_ONE_THREAD,
    )
    try:
        while not marker.exists():
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    marker.unlink()


def _run(arguments: list[object]) -> None:
    command = [sys.executable, "-m", "artmirror.train.cli", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, env=_ONE_THREAD)


def _found(folder: Path) -> dict[str, int]:
    """The steps that the files of a run hold; 0 for a temporary file, whatever its process was."""
    steps: dict[str, Callable[[Path], int]] = {
        "run.pt": lambda path: load_checkpoint(path).step,
        "run.state.pt": lambda path: load_state(path)[2],
    }
    return {
        re.sub(r"\.\d+\.part$", ".part", path.name): steps.get(path.name, lambda _: 0)(path)
        for path in folder.iterdir()
        if path.is_file() and not path.name.startswith(".run.pt.run.")  # the mark of a run at work
    }


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_like_an_unbroken_one(arguments: list[object], tmp_path: Path) -> None:
    marker, resume = tmp_path / "below" / "now", ["--resume", tmp_path / "run.pt", *_FEW]
    marker.parent.mkdir()
    _kill_while_writing(1, arguments, marker)
    assert _found(tmp_path) == {".run.state.pt.part": 0}
    _kill_while_writing(2, arguments, marker)
    assert _found(tmp_path) == {"run.state.pt": 2, ".run.pt.part": 0}
    # The checkpoint that was missing is written first of all.
    _kill_while_writing(2, resume, marker)
    assert _found(tmp_path) == {"run.state.pt": 2, "run.pt": 2, ".run.state.pt.part": 0}
    _kill_while_writing(2, resume, marker)
    assert _found(tmp_path) == {"run.state.pt": 4, "run.pt": 2, ".run.pt.part": 0}
    # Killed in the last write of all: nothing is left to do but the checkpoint.
    _kill_while_writing(3, resume, marker)
    assert _found(tmp_path) == {"run.state.pt": 6, "run.pt": 4, ".run.pt.part": 0}
    _run(resume)
    assert _found(tmp_path) == {"run.state.pt": 6, "run.pt": 6}

    unbroken = tmp_path / "below" / "unbroken.pt"
    _run([*arguments, "-o", unbroken])
    one, other = load_checkpoint(tmp_path / "run.pt"), load_checkpoint(unbroken)
    assert one.losses == other.losses
    assert all(torch.equal(one.weights[key], other.weights[key]) for key in one.weights)


@pytest.mark.slow
@pytest.mark.parametrize("wait_s", [0.0, 0.35])
def test_a_run_killed_at_any_moment_leaves_whole_files(arguments: list[object], tmp_path: Path, wait_s: float) -> None:
    many = [*arguments, "--steps", 400, "--checkpoint-every", 1]
    process = subprocess.Popen(
        [sys.executable, "-m", "artmirror.train.cli", *map(str, many)], stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        while not state_path(tmp_path / "run.pt").exists():
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.02)
        time.sleep(wait_s)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    step = load_state(state_path(tmp_path / "run.pt"))[2]
    assert 0 < step < 400
    if (tmp_path / "run.pt").exists():
        assert step - 1 <= load_checkpoint(tmp_path / "run.pt").step <= step


def test_what_a_killed_run_left_is_taken_away(arguments: list[object], tmp_path: Path) -> None:
    previews = tmp_path / "run.previews"
    previews.mkdir()
    gone = 1 << 22  # a process's number that Linux does not give
    parts = [
        tmp_path / f".run.pt.{gone}.part",
        tmp_path / f".run.state.pt.{gone}.part",
        previews / ".step_000002.png.part",
    ]
    for part in parts:
        part.write_bytes(b"half")
    result = CliRunner().invoke(main, [str(word) for word in (*arguments, "--steps", 1)])
    assert result.exit_code == 0, result.output
    assert not any(part.exists() for part in parts)
