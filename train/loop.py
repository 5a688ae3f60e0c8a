"""The training loop. It knows nothing of bars or terminals: it reports through a callback with plain data."""

import math
import signal
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from artmirror.train.checkpoint import (
    Checkpoint,
    StyleInfo,
    check_writable,
    load_checkpoint,
    load_state,
    save_checkpoint,
    save_state,
    state_path,
)
from artmirror.train.config import TrainConfig
from artmirror.train.data import MovedPhotos, Pair, read_painting
from artmirror.train.errors import TrainError
from artmirror.train.features import load_vgg
from artmirror.train.losses import Objective
from artmirror.train.network import Stylizer

PREVIEW_PHOTOS = 4


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a run does beside the mathematics; nothing here changes a loss."""

    output: Path
    device: str = "cpu"
    workers: int = 1
    checkpoint_every: int = 250  # steps
    preview_every: int = 250  # steps; 0 for none


@dataclass(frozen=True, slots=True)
class StepReport:
    """One step, told to whoever watches."""

    step: int  # steps done, from 1
    steps: int
    losses: dict[str, float]  # unweighted terms and their weighted `total`
    learning_rate: float
    step_s: float  # wall time of this step, seconds
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

    Args:
        resume: Go on from the state beside `options.output`, which must hold the same configuration.
        start_from: Initial weights from another checkpoint of the same network.
        observe: Called after every step.
        should_stop: Asked after every step; True saves and returns.

    Raises:
        TrainError: bad input, a loss that is not finite, or a file that cannot be written.
    """
    _check(config, options)
    device = torch.device(options.device)
    torch.manual_seed(config.seed)
    photos = MovedPhotos(Path(config.content_path), config)
    vgg_path = None if config.vgg_path is None else Path(config.vgg_path)
    features = load_vgg(vgg_path, photos.calibration_photos())
    features.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    painting = read_painting(Path(config.style_path), config.style_size).to(device)
    objective = Objective(features, painting, config.weights).to(device)
    network = Stylizer(config.network)
    if start_from is not None:
        network.load_state_dict(_initial_weights(start_from, config))
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(network.parameters(), lr=config.peak_learning_rate)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.peak_learning_rate, total_steps=config.steps)
    scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "fp16")
    stateful: dict[str, Any] = {"network": network, "optimizer": optimizer, "scheduler": scheduler, "scaler": scaler}
    done = 0
    losses: dict[str, float] = {}
    if resume:
        _, begun, done, state = load_state(state_path(options.output))
        if begun != config:
            raise TrainError(f"{state_path(options.output)} was written with another configuration: {begun}")
        for name, owner in stateful.items():
            owner.load_state_dict(state[name])
        if done == config.steps:  # no step is left to measure them
            losses = load_checkpoint(options.output).losses

    def save() -> None:
        save_checkpoint(
            options.output,
            Checkpoint(style, config.preset, config.network, network.state_dict(), _provenance(config), done, losses),
        )
        state = {name: owner.state_dict() for name, owner in stateful.items()}
        save_state(state_path(options.output), style=style, config=config, step=done, state=state)

    started_s = time.perf_counter()
    # Closed in any case: a process that loads photos must not outlive the run.
    with closing(_batches(photos, config, options, done)) as batches:
        while done < config.steps:
            try:
                pair = next(batches)
            except TrainError as error:
                if not losses:  # nothing new to save
                    raise
                save()
                go_on = f"the {done} steps so far are saved, go on with --resume {options.output}"
                raise TrainError(f"{error.message}; {go_on}") from None

            # Paint both frames of every pair in one pass.
            first, second, flow, visible = (
                tensor.to(device, non_blocking=True, memory_format=torch.channels_last) for tensor in pair
            )
            with _autocast(config, device):
                painted_first, painted_second = network(torch.cat([first, second])).chunk(2)
                terms = objective(first, painted_first, painted_second, flow, visible)

            # Walk down the gradient, unless there is none.
            optimizer.zero_grad(set_to_none=True)
            scaler.scale(terms["total"]).backward()
            scaler.unscale_(optimizer)
            gradient_norm = torch.nn.utils.clip_grad_norm_(network.parameters(), config.gradient_clip)
            losses_now = {name: term.item() for name, term in terms.items()}
            # With fp16 an overflowing gradient is the scaler's daily business: it skips the step and scales down.
            gradient_bad = config.precision != "fp16" and not math.isfinite(gradient_norm.item())
            if gradient_bad or not all(map(math.isfinite, losses_now.values())):
                raise TrainError(_not_finite(done + 1, losses_now, options.output))
            learning_rate = float(scheduler.get_last_lr()[0])
            scaler.step(optimizer)
            scaler.update()
            scheduler.step()
            done += 1
            losses = losses_now

            # Tell, save, show.
            stop = should_stop() and done < config.steps
            if stop or done == config.steps or done % options.checkpoint_every == 0:
                save()
            preview = None
            if options.preview_every and (done == config.steps or done % options.preview_every == 0):
                preview = _write_preview(network, photos, options, done)
            now_s = time.perf_counter()
            observe(StepReport(done, config.steps, losses, learning_rate, now_s - started_s, preview))
            started_s = now_s
            if stop:
                return Outcome(done, False, losses)
    return Outcome(done, True, losses)


def _check(config: TrainConfig, options: RunOptions) -> None:
    try:
        device = torch.device(options.device)
    except RuntimeError:
        raise TrainError(f"there is no device {options.device!r}; wanted cpu, cuda, cuda:1, ... or auto") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise TrainError("no CUDA GPU is there (torch.cuda.is_available() is false); use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise TrainError(f"there is no {device}; the CUDA GPUs are numbered 0 to {torch.cuda.device_count() - 1}")
    if config.precision == "fp16" and not options.device.startswith("cuda"):
        raise TrainError("fp16 training needs a CUDA GPU; use --precision bf16 or fp32 on a CPU")
    check_writable(options.output)


def _initial_weights(path: Path, config: TrainConfig) -> dict[str, Tensor]:
    checkpoint = load_checkpoint(path)
    if checkpoint.network != config.network:
        raise TrainError(f"{path} holds {checkpoint.network}; wanted {config.network}: choose the same preset")
    return dict(checkpoint.weights)


def _provenance(config: TrainConfig) -> dict[str, Any]:
    """The configuration with file names in place of paths: a checkpoint travels, folders do not."""
    values = config.to_dict()
    for key in ("style_path", "content_path", "vgg_path"):
        values[key] = None if values[key] is None else Path(values[key]).name
    return values


def _batches(photos: MovedPhotos, config: TrainConfig, options: RunOptions, done: int) -> Generator[Pair, None, None]:
    rest = Subset(photos, range(done * config.pairs, config.steps * config.pairs))
    loader = DataLoader(
        rest,
        batch_size=config.pairs,
        num_workers=options.workers,
        pin_memory=options.device.startswith("cuda"),
        worker_init_fn=_start_worker,
        # OpenCV and a running OpenMP do not survive a fork.
        multiprocessing_context="spawn" if options.workers else None,
    )
    with _signals_held():
        batches = iter(loader)
    failure = None
    try:
        for batch in batches:
            yield Pair(*batch)
    except TrainError as error:  # a worker's comes wrapped in its traceback
        failure = TrainError(error.message.rpartition("TrainError: ")[2].strip())
    except RuntimeError as error:
        failure = TrainError(f"a process that loads photos died: {error}; try --workers 0".replace("\n", " "))
    if failure is not None:
        # Raised with nothing that holds the loader: whoever keeps the error would keep its processes alive.
        del batches, loader
        raise failure


def _start_worker(_: int) -> None:
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where there are no signal masks


@contextmanager
def _signals_held() -> Iterator[None]:
    """Start processes inside: they inherit the mask. Ctrl-C reaches the whole group; the main process decides."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _autocast(config: TrainConfig, device: torch.device) -> torch.autocast:
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.bfloat16}[config.precision]
    return torch.autocast(device.type, dtype=dtype, enabled=config.precision != "fp32")


def _not_finite(step: int, losses: dict[str, float], output: Path) -> str:
    terms = ", ".join(f"{name} {value:.3g}" for name, value in losses.items())
    kept = (
        f"the checkpoint of step {load_checkpoint(output).step} is kept in {output}"
        if output.is_file()
        else "no checkpoint had been written yet"
    )
    return (
        f"the loss or its gradient is not finite at step {step} ({terms}); {kept}; "
        "try a lower --learning-rate, other loss weights or --precision fp32"
    )


@torch.no_grad()
def _write_preview(network: Stylizer, photos: MovedPhotos, options: RunOptions, step: int) -> Path:
    """Write a picture of some photos above their painted twins."""
    frames = photos.calibration_photos(PREVIEW_PHOTOS)
    network.eval()
    painted = network(frames.to(options.device, memory_format=torch.channels_last)).cpu()
    network.train()
    rows = torch.cat([torch.cat(list(rgb), dim=2) for rgb in (frames, painted)], dim=1)  # (3, 2 S, n S)
    bgr = (rows.permute(1, 2, 0).numpy()[..., ::-1] * 255 + 0.5).astype(np.uint8)
    folder = options.output.with_name(f"{options.output.stem}.previews")
    path = folder / f"step_{step:06d}.png"
    try:
        folder.mkdir(exist_ok=True)
        path.write_bytes(cv2.imencode(".png", bgr)[1].tobytes())
    except OSError as error:
        raise TrainError(f"cannot write the preview {path}: {error.strerror}; see --preview-every 0") from None
    return path
