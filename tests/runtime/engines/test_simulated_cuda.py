"""Whole programs on a simulated GPU, with the real pycuda and cuda-bindings, from their first line to their end.

What does not need a program of its own is in test_cuda.py.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.cuda_driver.machine import Ended, SimulatedMachine, simulated_machine
from tests.fakes.tensorrt_runtime import write_fake_plan


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> SimulatedMachine:
    return simulated_machine(tmp_path_factory.mktemp("machine"))


@pytest.fixture(scope="module")
def plan(machine: SimulatedMachine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plan") / "fake.plan"
    write_fake_plan(path)
    return path


Play = Callable[..., Ended]


@pytest.fixture
def play(machine: SimulatedMachine, plan: Path) -> Play:
    """Plays a scenario, which ends well and leaves nothing."""

    def play_one(name: str, **settings: object) -> Ended:
        ended = machine.run("-X", "dev", "-m", "tests.fakes.cuda_driver.scenarios", name, plan, **settings)
        assert (ended.exit_code, ended.stderr) == (0, ""), ended
        assert ended.counts["misuses"] == 0
        return ended

    return play_one


def test_the_pipeline_keeps_the_order(play: Play) -> None:
    ended = play("pipeline")
    assert ended.counts["graph_launches"] >= 200
    assert not ended.leaks


def test_the_process_ends_in_silence_whatever_is_held(play: Play) -> None:
    play("held_to_the_end")


def test_a_device_lost_with_its_context_is_one_line(play: Play) -> None:
    (line,) = play("lost_with_its_context").stdout.splitlines()
    assert line.startswith("the GPU Simulated GPU failed or was lost (")
    assert "unspecified launch failure" in line
    # What lay on the GPU is given up with it; its driver would refuse to free it.


def test_misuse_is_noticed(machine: SimulatedMachine, plan: Path) -> None:
    """A driver that forgives everything would prove nothing."""
    ended = machine.run("-m", "tests.fakes.cuda_driver.scenarios", "misuses", plan)
    assert ended.exit_code == 0, ended
    for told in (
        "host memory that is not page-locked",
        "a copy beyond its memory",
        "memory was freed before its copy was done",
        "a stream that the default stream holds up",
        "the end of a capture that this thread did not begin",
        "cuGraphLaunch of something that was freed or never made",
    ):
        assert "simulated CUDA: misuse: " in ended.stderr
        assert told in ended.stderr
    assert ended.counts["misuses"] >= 6


class TestStRun:
    """The whole program."""

    def run(self, machine: SimulatedMachine, plan: Path, output: str | Path, *words: str, **settings: object) -> Ended:
        source = ["--input", "synthetic:96x64", "--max-frames", "30"]  # without a pace: none is dropped
        code = "from artmirror.runtime.cli import main; main()"
        return machine.run("-c", code, "--engine", plan, *source, "--output", output, *words, **settings)

    def test_it_ends_in_silence(self, machine: SimulatedMachine, plan: Path) -> None:
        ended = self.run(machine, plan, "null:")
        assert ended.exit_code == 0, ended
        assert "Simulated GPU" in ended.stdout + ended.stderr
        assert "misuse" not in ended.stderr
        assert "Warning" not in ended.stderr
        assert ended.counts["graph_launches"] >= 30
        assert ended.counts["misuses"] == 0
        assert not ended.leaks

    @pytest.mark.parametrize("lose_context", [0, 1])
    def test_a_lost_device_is_one_line_and_a_clean_exit(
        self, machine: SimulatedMachine, plan: Path, tmp_path: Path, lose_context: int
    ) -> None:
        ended = self.run(machine, plan, tmp_path / "film.mp4", lose_after=30, lose_context=lose_context)
        assert ended.exit_code == 1, ended
        last = ended.stderr.splitlines()[-1]
        assert last.startswith("Error: the GPU Simulated GPU failed or was lost (")
        assert "Traceback" not in ended.stderr
        assert "misuse" not in ended.stderr

    def test_out_of_memory_is_one_line_and_a_clean_exit(self, machine: SimulatedMachine, plan: Path) -> None:
        ended = self.run(machine, plan, "null:", device_bytes=50_000)
        assert ended.exit_code == 1, ended
        assert ended.stderr.splitlines()[-1].startswith("Error: out of memory on Simulated GPU: ")
        assert not ended.leaks
