"""Several processes train as one: gloo on the CPU, two real processes."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.train.checkpoint import StyleInfo, load_checkpoint, load_state, state_path
from artmirror.train.config import NetworkConfig, TrainConfig
from artmirror.train.distributed import Group, is_first_process, open_group
from artmirror.train.loop import RunOptions, StepReport, train
from artmirror.train.many import ManyConfig, load_many
from tests.train.conftest import smooth_picture

MakeConfig = Callable[..., TrainConfig]
STYLE = StyleInfo("stripes")
STOP_AT = 3

# Each process does the same runs; the second one alone is asked to stop, and has no photos in the last.
PROGRAM = f"""
import itertools, json, os, sys
from dataclasses import replace
from pathlib import Path
from artmirror.train.checkpoint import StyleInfo
from artmirror.train.config import TrainConfig
from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.train.loop import RunOptions, train

folder, config, ports = Path(sys.argv[1]), TrainConfig.from_dict(json.loads(sys.argv[2])), json.loads(sys.argv[3])
second = os.environ["RANK"] == "1"
found = {{}}

def run(name, config, should_stop=lambda: False, **options):
    reports = []
    os.environ["MASTER_PORT"] = str(ports.pop())  # so that nobody meets the run before
    try:
        outcome = train(config, StyleInfo("stripes"), RunOptions(folder / f"{{name}}.pt", workers=0, **options),
                        observe=reports.append, should_stop=should_stop)
        ended = [outcome.step, outcome.finished]
    except ArtmirrorError as error:
        ended = [type(error).__name__, error.message]
    norms = [report.gradient_norm for report in reports]
    found[name] = {{"ended": ended, "losses": [report.losses for report in reports], "gradient_norms": norms}}

run("whole", config, preview_every=3)
steps = itertools.count(1)
run("stopped", config, lambda: next(steps) == {STOP_AT} and second, preview_every=0)
run("odd", replace(config, pairs=3))
run("failed", replace(config, photos_path="/absent" if second else config.photos_path))
print(json.dumps(found))
"""


@dataclass
class Ran:
    config: TrainConfig
    folder: Path
    found: list[dict[str, Any]]  # by process


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, photos: Path, painting: Path, vgg_file: Path) -> Ran:
    """Do the runs of PROGRAM in two processes."""
    config = TrainConfig(
        painting_path=str(painting),
        photos_path=str(photos),
        vgg_path=str(vgg_file),
        network=NetworkConfig(channels=(4, 6, 8), blocks=1),
        steps=6,
        pairs=2,
        crop=64,
        painting_size=64,
        ema_decay=0.5,
        peak_learning_rate=3e-4,  # Adam's division makes large steps of small gradients, and differences of rounding
    )
    folder = tmp_path_factory.mktemp("two")
    ports = _free_ports(4)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(folder), json.dumps(config.to_dict()), json.dumps(ports)],
            env={
                **os.environ,
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": "2",
                "OMP_NUM_THREADS": "1",
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": "0",
            },
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    return Ran(config, folder, _printed(processes))


def _printed(processes: "list[subprocess.Popen[str]]") -> list[Any]:
    """What each process printed, as JSON. When one fails the others, which wait for it, are ended."""
    try:
        end_s = time.monotonic() + 600
        while any(process.poll() is None for process in processes):
            assert not any(process.poll() for process in processes), "a process failed: see its error output"
            assert time.monotonic() < end_s, "the processes did not end"
            time.sleep(0.1)
    finally:
        for process in processes:
            process.kill()
    return [json.loads(process.communicate()[0]) for process in processes]


def _free_ports(count: int) -> list[int]:
    """Ports below those that the system hands out itself: another test's connection could take such a one first."""
    ports: list[int] = []
    with ExitStack() as stack:
        while len(ports) < count:
            each, port = stack.enter_context(socket.socket()), random.randrange(15_000, 32_000)
            with suppress(OSError):
                each.bind(("127.0.0.1", port))
                ports.append(port)
    return ports


def _train(ran: Ran, output: Path, **options: Any) -> list[StepReport]:
    """Train in this process alone."""
    reports: list[StepReport] = []
    train(ran.config, STYLE, RunOptions(output, workers=0, preview_every=0), observe=reports.append, **options)
    return reports


def _assert_close(found: list[dict[str, float]], expected: list[dict[str, float]]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, rel=2e-3)  # the bar is 1 %


@pytest.mark.slow
class TestTwoProcesses:
    def test_the_loss_curve_is_that_of_one_process(self, ran: Ran, tmp_path: Path) -> None:
        alone, two = _train(ran, tmp_path / "alone.pt"), ran.found[0]["whole"]
        _assert_close(two["losses"], [report.losses for report in alone])
        # Before any rounding has grown: the same pairs, and the mean of the gradients.
        assert two["losses"][0] == pytest.approx(alone[0].losses, rel=1e-5)
        assert two["gradient_norms"][0] == pytest.approx(alone[0].gradient_norm, rel=1e-4)

    def test_the_first_alone_writes_and_observes(self, ran: Ran) -> None:
        assert [found["whole"]["ended"] for found in ran.found] == [[6, True]] * 2
        assert [len(found["whole"]["losses"]) for found in ran.found] == [6, 0]
        names = sorted(path.name for path in ran.folder.rglob("*"))
        previews = ["step_000003.png", "step_000006.png", "whole.previews"]
        assert names == sorted(["whole.pt", "whole.state.pt", "stopped.pt", "stopped.state.pt", *previews])

    def test_a_stop_asked_of_one_stops_all_and_one_process_goes_on(self, ran: Ran) -> None:
        assert [found["stopped"]["ended"] for found in ran.found] == [[STOP_AT, False]] * 2
        output = ran.folder / "stopped.pt"
        assert load_checkpoint(output).step == load_state(state_path(output))[2] == STOP_AT
        rest = [report.losses for report in _train(ran, output, resume=True)]
        _assert_close(ran.found[0]["stopped"]["losses"] + rest, ran.found[0]["whole"]["losses"])

    def test_pairs_that_cannot_be_shared_are_told_once(self, ran: Ran) -> None:
        told = "3 pairs a step for 2 processes; wanted a multiple of 2: change --pairs"
        assert ran.found[0]["odd"]["ended"] == ["ArtmirrorError", told]
        assert ran.found[1]["odd"]["ended"][0] == "PeerError"

    def test_a_failure_of_one_ends_all(self, ran: Ran) -> None:
        assert ran.found[0]["failed"]["ended"] == ["PeerError", "process 1 of this run failed, and says why"]
        assert ran.found[1]["failed"]["ended"][0] == "ArtmirrorError"
        assert "/absent does not exist" in ran.found[1]["failed"]["ended"][1]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGTERM")
def test_torchrun_starts_st_train_and_a_signal_stops_it(
    make_config: MakeConfig, tmp_path: Path, photos: Path, painting: Path, vgg_file: Path
) -> None:
    programs, output = Path(sys.executable).parent, tmp_path / "run.pt"
    launch = [programs / "torchrun", "--standalone", "--nproc-per-node", 2, "--no-python", programs / "st-train"]
    files = ["--painting", painting, "--photos", photos, "--vgg", vgg_file, "-o", output]
    sizes = ["--crop", 64, "--painting-size", 64, "--pairs", 2, "--steps", 1000, "--precision", "fp32"]
    more = ["--workers", 0, "--preview-every", 0, "--checkpoint-every", 1]
    process = subprocess.Popen(
        [str(word) for word in (*launch, *files, *sizes, *more)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        while not output.exists() and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=600)
    finally:
        process.kill()
    assert stdout == ""
    step = load_checkpoint(output).step
    assert 0 < step < 1000, stderr
    assert load_state(state_path(output))[2] == step
    assert stderr.count("stopping after this step ...\n") == 1, stderr
    assert stderr.count(f"Stopped at step {step} of 1000. Go on with: st-train --resume {output}\n") == 1, stderr


class TestOneProcess:
    def test_without_torchrun_there_is_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("RANK", raising=False)
        assert is_first_process()
        with open_group("cpu") as group:
            assert group == Group(torch.device("cpu"))
            assert group.first
            assert group.mean([1, 2.5]) == [1, 2.5]
            assert not group.any(False)
            assert group.any(True)
            network = torch.nn.Identity()
            assert group.parallel(network) is network

    def test_its_errors_are_its_own(self) -> None:
        with pytest.raises(ArtmirrorError, match="as it was"), Group(torch.device("cpu")).together():
            raise ArtmirrorError("as it was")

    def test_one_device_for_many_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
            monkeypatch.setenv(name, "1")
        monkeypatch.setenv("WORLD_SIZE", "2")
        assert not is_first_process()
        with (
            pytest.raises(ArtmirrorError, match="2 processes cannot share cuda:1; use --device cuda"),
            open_group("cuda:1"),
        ):
            pass

    def test_a_place_to_meet_that_is_taken_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            variables = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
            for name, value in {**variables, "MASTER_PORT": port}.items():
                monkeypatch.setenv(name, value)
            with (
                pytest.raises(ArtmirrorError, match=rf"could not meet at 127.0.0.1:{port} .*EADDRINUSE"),
                open_group("cpu"),
            ):
                pass


# Each process trains the network for many paintings; the second one alone is asked to stop, after two steps.
MANY_PROGRAM = """
import itertools, json, os, sys
from pathlib import Path
from artmirror.train import many
from artmirror.train.many import ManyConfig, load_many, train_many
from artmirror.train.pairs import varied

many._LEAST, many._CALIBRATION, varied.SIZES = 2, 2, ((64, 1),) * 5
config, output = ManyConfig.from_dict(json.loads(sys.argv[1])), Path(sys.argv[2])
steps, losses = itertools.count(1), []
done = train_many(config, output, observe=lambda step: losses.append(step.losses["style"]),
                  should_stop=lambda: next(steps) == 2 and os.environ["RANK"] == "1")
print(json.dumps({"done": done, "losses": losses}))
"""


def test_many_paintings_are_learned_by_two_processes(tmp_path: Path, photos: Path, vgg_file: Path) -> None:
    paintings = tmp_path / "paintings"
    paintings.mkdir()
    for number in range(6):
        assert cv2.imwrite(str(paintings / f"{number}.png"), smooth_picture((70, 80), number))
    config = ManyConfig(
        str(paintings), str(photos), str(vgg_file), network=NetworkConfig(channels=(4, 6, 8), blocks=1), steps=4
    )
    output, (port,) = tmp_path / "any.pt", _free_ports(1)
    shared = {"WORLD_SIZE": "2", "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", MANY_PROGRAM, json.dumps(asdict(config)), str(output)],
            env={**os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), **shared},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    first, second = _printed(processes)
    assert first["done"] == second["done"] == 2  # one was asked to stop, both did
    assert first["losses"] != second["losses"]  # each has pairs of its own
    assert load_many(output).network.config.channels == (4, 6, 8)
