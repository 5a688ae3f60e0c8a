"""`st-bench training`: what a training run costs beside its mathematics.

The bare step is the network, VGG-19 there and back, and the optimizer, on a batch that lies ready in memory; it is
written here, not taken from the training loop. The loop is all that `st-train` does: it loads pairs in other processes,
estimates flow, checks and logs every step for TensorBoard, and saves. Both take turns in one process, so that the
drift of a machine hits both alike.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import click
import cloup

from artmirror.benchmarks.arguments import RECORD, check_output
from artmirror.benchmarks.records.environment import read_environment
from artmirror.benchmarks.records.json_file import write_text
from artmirror.runtime.common.command import Command, common_options

if TYPE_CHECKING:
    import torch

    from artmirror.train.config import TrainConfig
    from artmirror.train.loop import StepReport

GOAL = 0.9  # of the bare step's speed
SETTLE = 3  # steps of every turn that do not count: the other's turn left its batches and its caches
_THERE = click.Path(exists=True, path_type=Path)
SAVED_EVERY = 250  # steps: st-train's own interval of checkpoints and previews


@dataclass(frozen=True, slots=True)
class Round:
    """One turn of each."""

    bare_s: float  # a step, on average
    loop_s: float  # a step that does not save, on average
    saving_s: float  # the step that wrote checkpoint, state and preview


@dataclass(frozen=True, slots=True)
class Summary:
    """Medians over the rounds, in seconds."""

    bare_s: float
    loop_s: float
    saving_s: float  # what a step that saves takes more
    ratio: float  # the loop's speed, its savings shared out over the steps between them, by the bare step's


def summarize(rounds: Sequence[Round]) -> Summary:
    """Boil the rounds down. The ratio is the median of each round's own: its two turns were neighbours in time."""
    saving_s = max(0.0, median(one.saving_s - one.loop_s for one in rounds))
    return Summary(
        bare_s=median(one.bare_s for one in rounds),
        loop_s=median(one.loop_s for one in rounds),
        saving_s=saving_s,
        ratio=median(one.bare_s / (one.loop_s + saving_s / SAVED_EVERY) for one in rounds),
    )


class Turns:
    """Watches a training loop, and gives every `steps` steps of it a turn of bare ones.

    Args:
        steps: Measured steps of a turn. The loop then makes one more, that saves.
        log: What else watches the loop; its time is the loop's.
        bare: Runs so many bare steps and returns the seconds they took.
    """

    def __init__(
        self,
        steps: int,
        log: Callable[["StepReport"], None],
        bare: Callable[[int], float],
        clock_s: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.rounds: list[Round] = []
        self._steps, self._log, self._bare, self._clock_s = steps, log, bare, clock_s
        self._begun_s = clock_s()
        self._taken_s: list[float] = []

    @property
    def loop_steps(self) -> int:
        """Steps of the loop in one round, the last of which is to save."""
        return SETTLE + self._steps + 1

    def __call__(self, report: "StepReport") -> None:
        self._log(report)
        self._taken_s.append(self._clock_s() - self._begun_s)
        if len(self._taken_s) == self.loop_steps:
            *measured_s, saving_s = self._taken_s[SETTLE:]
            self._bare(SETTLE)
            bare_s = self._bare(self._steps) / self._steps
            self.rounds.append(Round(bare_s, sum(measured_s) / self._steps, saving_s))
            self._taken_s.clear()
        self._begun_s = self._clock_s()


@cloup.command(
    "training",
    cls=Command,
    examples=("st-bench training --painting a.jpg --photos photos/",),
)
@cloup.option_group(
    "Used first",
    cloup.option(
        "--painting",
        type=_THERE,
        metavar="PICTURE",
        required=True,
        help="The painting.",
    ),
    cloup.option("--photos", type=_THERE, metavar="FOLDER", help="Folder of photos."),
    cloup.option("--clips", type=_THERE, metavar="FOLDER", help="Dataset of clips."),
    cloup.option(
        "--vgg",
        type=_THERE,
        metavar="FILE",
        help="VGG-19 weights.  [default: torchvision's]",
    ),
    cloup.option(
        "-o", "--output", type=click.Path(path_type=Path), metavar="FILE.json", help="Write all values there."
    ),
)
@cloup.option_group(
    "How",
    cloup.option(
        "--flow",
        type=click.Choice(["dis", "farneback", "raft", "stored"]),
        default="dis",
        help="Which flow of the clips.",
    ),
    cloup.option("--pairs", type=click.IntRange(1), default=4, help="Pairs of frames a step."),
    cloup.option("--crop", type=click.IntRange(64), default=192, help="Side of the frames, pixels."),
    cloup.option("--painting-size", type=click.IntRange(64), default=384, help="The painting's short side, pixels."),
    cloup.option("--workers", type=click.IntRange(0), default=1, help="Processes that load pairs."),
    cloup.option("--device", default="auto", metavar="NAME", help="cpu, cuda, cuda:1, ... or auto."),
    cloup.option(
        "--precision", type=click.Choice(["auto", "fp32", "bf16", "fp16"]), default="auto", help="As st-train."
    ),
    cloup.option("--rounds", type=click.IntRange(1), default=5, help="Turns of each."),
    cloup.option("--steps", type=click.IntRange(1), default=20, help="Measured steps of a turn."),
)
@common_options("st-bench training")
def training(**options: Any) -> None:
    """Measure how much of the bare network's training speed the training loop keeps. Exit code 1: less than 0.9."""
    from artmirror.train.config import TrainConfig
    from artmirror.train.device import best_precision, find_device

    check_output("--output", options["output"], RECORD)
    device = find_device(options["device"])
    rounds, steps = options["rounds"], options["steps"]
    paths: dict[str, Any] = {
        f"{name}_path": str(options[name]) for name in ("photos", "clips", "vgg") if options[name] is not None
    }
    config = TrainConfig(
        painting_path=str(options["painting"]),
        **paths,
        flow=options["flow"],
        steps=rounds * (SETTLE + steps + 1),
        pairs=options["pairs"],
        crop=options["crop"],
        painting_size=options["painting_size"],
        precision=best_precision(device) if options["precision"] == "auto" else options["precision"],
    )
    environment = asdict(read_environment())
    environment["libraries"]["torch"] = version("torch")
    measured = measure(config, device, steps, options["workers"])
    summary = summarize(measured)
    click.echo(f"bare step  {1e3 * summary.bare_s:8.1f} ms")
    click.echo(f"loop       {1e3 * summary.loop_s:8.1f} ms, and {1e3 * summary.saving_s:.1f} ms where it saves")
    click.echo(f"{'met' if summary.ratio >= GOAL else 'MISSED'}: {summary.ratio:.3f} of the bare speed, goal {GOAL}")
    if options["output"] is not None:
        values = {"environment": environment, "device": str(device), "config": config.to_portable_dict()}
        rows = {"summary": asdict(summary), "rounds": [asdict(one) for one in measured]}
        write_text(json.dumps({**values, "workers": options["workers"], **rows}, indent=1), options["output"])
    sys.exit(0 if summary.ratio >= GOAL else 1)


def measure(config: "TrainConfig", device: "torch.device", steps: int, workers: int) -> list[Round]:
    """Train a whole run, with turns of bare steps in between.

    Raises:
        ArtmirrorError: what it trains with cannot be read.
    """
    from artmirror.train.checkpoint import StyleInfo
    from artmirror.train.loop import RunOptions, train
    from artmirror.train.tensorboard import EventLog

    with tempfile.TemporaryDirectory(prefix="artmirror-speed-") as name:
        folder = Path(name)
        with closing(EventLog(folder / "events", config.weights)) as log:
            turns = Turns(steps, log, _bare_step(config, device))
            every = {"checkpoint_every": turns.loop_steps, "preview_every": turns.loop_steps}
            run = RunOptions(folder / "run.pt", str(device), workers, **every)
            train(config, StyleInfo("speed"), run, observe=turns)
    return turns.rounds


def _bare_step(config: "TrainConfig", device: "torch.device") -> Callable[[int], float]:
    """What runs so many bare steps and returns their seconds."""
    import torch
    from torch.utils.data import default_collate

    from artmirror.train.networks.stylizer import Stylizer
    from artmirror.train.objective.losses import Objective
    from artmirror.train.objective.vgg import load_vgg
    from artmirror.train.pairs.base import read_painting
    from artmirror.train.pairs.mixture import training_pairs

    pairs = training_pairs(config)
    photos = pairs.calibration_photos()
    vgg = load_vgg(None if config.vgg_path is None else Path(config.vgg_path), photos)
    painting = read_painting(Path(config.painting_path), config.painting_size)
    objective = Objective(vgg, painting, photos, config.weights)
    network = Stylizer(config.network)
    objective.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    first, second, flow, visible = (
        tensor.to(device, memory_format=torch.channels_last)
        for tensor in default_collate([pairs[index] for index in range(config.pairs)])
    )
    half = torch.float16 if config.precision == "fp16" else torch.bfloat16

    def run(steps: int) -> float:
        _wait(device)
        begun_s = time.perf_counter()
        for _ in range(steps):
            with torch.autocast(device.type, dtype=half, enabled=config.precision != "fp32"):
                painted = network(torch.cat([first, second]))
                total = objective(first, painted[: config.pairs], painted[config.pairs :], flow, visible)["total"]
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
        _wait(device)
        return time.perf_counter() - begun_s

    return run


def _wait(device: "torch.device") -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
