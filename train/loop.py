"""The training loop. It knows nothing of bars or terminals: it reports through a callback with plain data."""

import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import torch

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import claimed
from artmirror.train.batches import batches
from artmirror.train.checkpoint import StyleInfo, state_path, telling_damage
from artmirror.train.config import TrainConfig
from artmirror.train.distributed import Group, open_group
from artmirror.train.learner import Learner
from artmirror.train.objective.losses import Objective
from artmirror.train.objective.vgg import load_vgg, published_weights
from artmirror.train.pairs.base import PairStream, read_painting
from artmirror.train.pairs.mixture import training_pairs
from artmirror.train.pairs.sequences import MovedSequences
from artmirror.train.run_files import Progress, RunFiles, load_start

PREVIEW_PHOTOS = 4


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a run does beside the mathematics; nothing here changes a loss."""

    output: Path
    device: str = "cpu"
    workers: int = 1  # for each process
    checkpoint_every: int = 250  # steps
    preview_every: int = 250  # steps; 0 for none


@dataclass(frozen=True, slots=True)
class StepReport:
    """One step, told to whoever watches."""

    step: int  # steps done, from 1
    steps: int
    losses: dict[str, float]  # unweighted terms and their weighted `total`
    gradient_norm: float  # before clipping
    learning_rate: float
    step_s: float  # wall time of this step, seconds
    gpu_memory_bytes: int | None  # the most that this process took so far; None on a CPU
    preview: Path | None  # a picture that was written after this step


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    step: int
    finished: bool  # False: stopped on request, can be resumed
    losses: dict[str, float]


def train(
    config: TrainConfig,
    style: StyleInfo,
    options: RunOptions,
    *,
    resume: bool = False,
    start_from: Path | None = None,
    observe: Callable[[StepReport], None] = lambda report: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Train one painting into one network; write the checkpoint and the state for resuming.

    Where torchrun started several processes, all of them call this; the first one writes and observes.

    Args:
        resume: Go on from the state beside `options.output`, which must hold the same configuration.
        start_from: Initial weights from another checkpoint of the same network.
        observe: Called after every step.
        should_stop: Asked after every step; True, in any process, saves and returns.

    Raises:
        ArtmirrorError: bad input, a loss that is not finite, or a file that cannot be written.
        PeerError: one of these in another process.
    """
    config = config.with_absolute_paths()
    torch.manual_seed(config.seed)  # in every process alike
    files = RunFiles(config, style, options.output)
    with open_group(options.device) as group, ExitStack() as stack:
        with group.together():
            _check(config, files, group)
            if group.first:
                stack.enter_context(claimed(options.output))
        with group.together():
            pairs = training_material(config)
            objective = _objective(config, pairs, group)
            weights, origin = (None, None) if start_from is None else load_start(start_from, config)
            loaded = files.load() if resume and group.first else None
        learner = Learner(config, objective, group, weights)
        progress = Progress(start_from=origin)
        if resume:
            progress, learned = group.firsts(loaded)
            with telling_damage(state_path(options.output)):
                learner.load_state_dict(learned)
            with group.together():
                if group.first:
                    files.mend(progress, learner)

        def save() -> None:
            with group.together():
                if group.first:
                    files.save(progress, learner)

        begun = progress.done
        started_s = time.perf_counter()
        # Closed in any case: a process that loads photos must not outlive the run.
        with closing(batches(pairs, config, group, workers=options.workers, done=begun)) as stream:
            for done in range(begun + 1, config.steps + 1):
                # Load, learn.
                try:
                    with group.together():
                        pair = next(stream)
                except ArtmirrorError as error:
                    if progress.done == begun:  # nothing new to save
                        raise
                    save()
                    go_on = f"the {progress.done} steps so far are saved, go on with --resume {options.output}"
                    raise type(error)(f"{error.message}; {go_on}") from None
                step = learner.step(pair)
                if not step.finite:
                    with group.together():
                        raise ArtmirrorError(_not_finite(done, step.losses, files))
                progress = Progress(done, step.losses, progress.start_from)

                # Save, show, tell.
                last = done == config.steps
                stop = group.any(should_stop()) and not last
                if stop or last or done % options.checkpoint_every == 0:
                    save()
                preview = None
                if options.preview_every and (last or done % options.preview_every == 0):
                    with group.together():
                        if group.first:
                            preview = files.write_preview(learner, pairs.calibration_photos(PREVIEW_PHOTOS), done)
                now_s = time.perf_counter()
                if group.first:
                    memory = torch.cuda.max_memory_allocated(group.device) if group.device.type == "cuda" else None
                    rates = step.gradient_norm, step.learning_rate
                    observe(StepReport(done, config.steps, step.losses, *rates, now_s - started_s, memory, preview))
                started_s = now_s
                if stop:
                    break
    return Outcome(progress.done, progress.done == config.steps, progress.losses)


def training_material(config: TrainConfig) -> PairStream | MovedSequences:
    """What a configuration trains on: sequences where the network has a memory, else pairs.

    Raises:
        ArtmirrorError: there are no photos or no usable clips where it says.
    """
    if config.network.memory:
        assert config.photos_path is not None  # the configuration says so
        return MovedSequences(Path(config.photos_path), config)
    return training_pairs(config)


def _check(config: TrainConfig, files: RunFiles, group: Group) -> None:
    if config.precision == "fp16" and group.device.type != "cuda":
        raise ArtmirrorError("fp16 training needs a CUDA GPU; use --precision bf16 or fp32 on a CPU")
    if config.network.norm == "batch" and group.size > 1:
        raise ArtmirrorError("batch normalisation looks at a whole batch; train this network in one process")
    group.share(config.pairs)
    if group.first:
        files.check()
    if config.vgg_path is None and group.local_rank == 0:  # once a machine
        published_weights()


def _objective(config: TrainConfig, pairs: PairStream | MovedSequences, group: Group) -> Objective:
    vgg_path = None if config.vgg_path is None else Path(config.vgg_path)
    photos = pairs.calibration_photos()
    features = load_vgg(vgg_path, photos)
    features.to(group.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    painting = read_painting(Path(config.painting_path), config.painting_size).to(group.device)
    return Objective(features, painting, photos.to(group.device), config.weights).to(group.device)


def _not_finite(step: int, losses: dict[str, float], files: RunFiles) -> str:
    terms = ", ".join(f"{name} {value:.3g}" for name, value in losses.items())
    return (
        f"the loss or its gradient is not finite at step {step} ({terms}); {files.kept()}; "
        "try a lower --learning-rate, other loss weights or --precision fp32"
    )
