"""The training-speed benchmark: what it counts, and one tiny real run."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.torch import save_file

from artmirror.benchmarks.speed.training import SAVED_EVERY, SETTLE, Round, Turns, summarize, training
from artmirror.train.loop import StepReport
from artmirror.train.objective.vgg import VggFeatures


def _report(step: int) -> StepReport:
    return StepReport(step, 99, {}, 0.0, 0.0, step_s=1.0, gpu_memory_bytes=None, preview=None)


class FakeClock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def spend(self, seconds: float) -> Callable[[object], float]:
        """What takes so long for each bare step, or once for anything else."""

        def act(work: object) -> float:
            taken_s = seconds * (work if isinstance(work, int) else 1)
            self.now_s += taken_s
            return taken_s

        return act


def test_turns_count_the_log_and_neither_the_first_steps_nor_the_bare_ones() -> None:
    clock = FakeClock()
    turns = Turns(steps=2, log=clock.spend(0.5), bare=clock.spend(3.0), clock_s=clock)
    assert turns.loop_steps == SETTLE + 3
    for step in range(1, 2 * turns.loop_steps + 1):
        place = (step - 1) % turns.loop_steps
        clock.now_s += 50.0 if place < SETTLE else 9.0 if place == turns.loop_steps - 1 else 4.0
        turns(_report(step))
    assert turns.rounds == [Round(bare_s=3.0, loop_s=4.5, saving_s=9.5)] * 2


def test_a_saving_is_shared_out_over_the_steps_between_savings() -> None:
    summary = summarize([Round(1.0, 1.1, 1.1 + SAVED_EVERY / 10), Round(2.0, 2.3, 2.3), Round(1.0, 1.0, 99.0)])
    assert (summary.bare_s, summary.loop_s, summary.saving_s) == (1.0, 1.1, pytest.approx(SAVED_EVERY / 10))
    assert summary.ratio == pytest.approx(2.0 / 2.4)  # of 1 / 1.2, 2 / 2.4 and 1 / 1.1


def test_a_saving_that_seems_to_cost_less_than_nothing_costs_nothing() -> None:
    assert summarize([Round(1.0, 1.0, 0.5)]).ratio == 1.0


def test_a_tiny_run(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    noise = np.random.default_rng(1).integers(0, 255, (80, 90, 3), np.uint8)
    for name in ("photos/a.png", "photos/b.png", "style.png"):
        cv2.imwrite(str(tmp_path / name), noise)
    vgg = VggFeatures("caffe").layers.state_dict()
    save_file({key: value.half() for key, value in vgg.items()}, tmp_path / "vgg.safetensors")
    files = [f"--{name}={tmp_path / file}" for name, file in (("photos", "photos"), ("painting", "style.png"))]
    sizes = [
        "--pairs=1",
        "--crop=64",
        "--painting-size=64",
        "--workers=0",
        "--precision=fp32",
        "--rounds=2",
        "--steps=1",
    ]
    record = tmp_path / "out.json"
    result = CliRunner().invoke(training, [*files, *sizes, f"--vgg={tmp_path / 'vgg.safetensors'}", "-o", str(record)])
    found = json.loads(record.read_text())
    met = found["summary"]["ratio"] >= 0.9
    assert result.exit_code == (0 if met else 1), result.output
    assert ("met: " if met else "MISSED: ") in result.stdout
    assert len(found["rounds"]) == 2
    assert all(0 < seconds < 600 for one in found["rounds"] for seconds in one.values())
    assert found["config"]["photos_path"] == "photos"
    assert str(tmp_path) not in record.read_text()
