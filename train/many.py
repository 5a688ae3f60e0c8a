"""Training of the many-painting network: its configuration, one step, the loop, its two files."""

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import claimed
from artmirror.train.checkpoint import (
    FORMAT_VERSION,
    check_shapes,
    check_writable,
    load_checkpoint,
    load_plain,
    save_plain,
    state_path,
    telling_damage,
)
from artmirror.train.config import NetworkConfig, Precision, rebuilt
from artmirror.train.device import find_device
from artmirror.train.networks.many_style import ManyStyle
from artmirror.train.networks.style_encoder import StatisticsEncoder
from artmirror.train.objective.many import ManyObjective, ManyWeights
from artmirror.train.objective.targets import STATISTICS, Target, TargetFiles
from artmirror.train.objective.vgg import load_vgg
from artmirror.train.pairs.base import Pair, middle, to_tensor
from artmirror.train.pairs.paintings import VIEWS, Painting, drawn, find_paintings, is_held_out, view_of
from artmirror.train.pairs.varied import VariedPairs

MANY_KIND = "artmirror many-painting checkpoint"
MANY_STATE_KIND = "artmirror many-painting state"
_CALIBRATION = 96  # photos that the unit of style is measured on
_STATISTICS_OF = 300  # paintings that the encoder's scale is measured on
_LEAST = 50  # paintings; fewer are learned by heart, and a style each is the better way
_WARM_UP = 300  # steps


@dataclass(frozen=True, slots=True)
class ManyConfig:
    """One training run of the many-painting network."""

    paintings_path: str
    photos_path: str
    vgg_path: str | None = None  # None: torchvision's published file, from the cache or the network
    network: NetworkConfig = field(default_factory=NetworkConfig)
    weights: ManyWeights = field(default_factory=ManyWeights)
    steps: int = 24000
    peak_learning_rate: float = 1e-3  # of the body; the map from codes has 0.15 of it, the encoder 0.2
    temporal_ramp: float = 1 / 3  # share of the steps in which the temporal weight grows from a tenth to its full
    gradient_clip: float = 10.0
    precision: Precision = "fp32"
    ema_decay: float = 0.999
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0 < self.peak_learning_rate < math.inf or not 0 <= self.temporal_ramp <= 1:
            raise ArtmirrorError(
                f"steps {self.steps}, learning rate {self.peak_learning_rate}, temporal ramp {self.temporal_ramp}; "
                "wanted at least 1, above 0, and 0 to 1"
            )
        if self.network.norm != "instance":
            raise ArtmirrorError("the network of many paintings needs instance normalisation; leave out norm=batch")
        if self.precision == "fp16":
            raise ArtmirrorError("the network of many paintings is trained in bf16 or fp32; use --precision fp32")

    @classmethod
    def from_dict(cls, values: Any) -> "ManyConfig":
        """Rebuild from `asdict`.

        Raises:
            ArtmirrorError: a field is unknown or out of range.
        """
        return rebuilt(cls, values, "training")


@dataclass(frozen=True, slots=True)
class ManyStep:
    """One step, told to whoever watches."""

    step: int  # steps done, from 1
    steps: int
    losses: dict[str, float]
    gradient_norm: float  # before clipping
    step_s: float
    code_variance: float  # over the step's paintings: 0 would mean that all are painted alike
    largest_scale: float


class ManyModel(nn.Module):
    """The network and its encoder, which learn together."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.network = ManyStyle(config)
        self.encoder = StatisticsEncoder(STATISTICS)

    def forward(self, frames: Tensor, statistics: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Paint frames that come n times as often as paintings: (n B, 3, H, W); also codes and their affines."""
        code = self.encoder(statistics)
        affines = self.network.affines(code)
        return self.network(frames, affines.repeat(len(frames) // len(affines), 1)), code, affines


class ManyLearner:
    """A model, its optimizer, and the running average of its weights, which is what is kept and shown."""

    def __init__(self, config: ManyConfig, objective: ManyObjective, device: torch.device) -> None:
        self._config, self._objective, self._device = config, objective, device
        self.model = ManyModel(config.network)
        self.model.network.body.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model.to(device)
        network = self.model.network
        shares = ((network.body, 1.0), (network.affine, 0.15), (self.model.encoder, 0.2))
        self._shares = [share for _, share in shares]
        self._optimizer = torch.optim.Adam([{"params": list(part.parameters())} for part, _ in shares], lr=1e-9)
        self._average = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay), use_buffers=True)  # type: ignore[no-untyped-call]
        self.done = 0

    def restart_average(self) -> None:
        """Let the average begin with the present weights."""
        self._average.module.load_state_dict(self.model.state_dict())

    def step(self, pair: Pair, target: Target) -> tuple[dict[str, float], float, float, float]:
        """Learn from a batch: the losses, the gradient's norm, the variance of codes and the largest scale.

        Raises:
            ArtmirrorError: the loss or its gradient is not finite; the weights were left alone.
        """
        first, second, flow, visible = (tensor.to(self._device) for tensor in pair)
        target = Target(*(tensor.to(self._device) for tensor in target))
        config = self._config
        frames = torch.cat([first, second]).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=config.precision == "bf16"):
            painted, code, affines = self.model(frames, target.statistics)
            painted_first, painted_second = painted.chunk(2)
            drift = (affines - self.model.network.affine.bias.detach()).square().mean()
            grows = config.temporal_ramp * config.steps
            share = 0.1 + 0.9 * min(1.0, self.done / grows) if grows else 1.0
            terms = self._objective(first, painted_first, painted_second, flow, visible, target, drift, share)
        self._optimizer.zero_grad(set_to_none=True)
        terms["total"].backward()
        norm = float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.gradient_clip))
        losses = {name: float(term.detach()) for name, term in terms.items()}
        if not all(map(math.isfinite, (*losses.values(), norm))):
            raise ArtmirrorError(
                f"the loss or its gradient is not finite at step {self.done + 1}; "
                "go on from the last checkpoint with a lower --learning-rate"
            )
        rate = self._rate()
        for group, part in zip(self._optimizer.param_groups, self._shares, strict=True):
            group["lr"] = rate * part
        self._optimizer.step()
        self._average.update_parameters(self.model)
        self.done += 1
        scales = affines[:, : affines.shape[1] // 2]
        variance = float(code.detach().float().var(0, correction=0).mean())
        return losses, norm, variance, float(scales.detach().abs().max())

    def _rate(self) -> float:
        """Warm up, then half a cosine down to a twenty-fifth."""
        along = min(1.0, self.done / self._config.steps)
        low = 0.04
        return (
            self._config.peak_learning_rate
            * min(1.0, (self.done + 1) / _WARM_UP)
            * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * along)))
        )

    @property
    def result(self) -> ManyModel:
        """The averaged model."""
        model = self._average.module
        assert isinstance(model, ManyModel)
        return model

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on."""
        return {
            "done": self.done,
            "model": self.model.state_dict(),
            "average": self._average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        self.done = state["done"]
        self.model.load_state_dict(state["model"])
        self._average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])


def train_many(
    config: ManyConfig,
    output: Path,
    *,
    resume: bool = False,
    start_from: Path | None = None,
    device: str = "cpu",
    checkpoint_every: int = 250,
    observe: Callable[[ManyStep], None] = lambda step: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> int:
    """Train; write the checkpoint (`any.pt`), its encoder (`any-encoder.pt`) and the state to go on from.

    Args:
        resume: Go on from the state beside `output`, which must hold the same configuration.
        start_from: Initial weights: another many-painting checkpoint (its encoder beside it), or a single style's.
        should_stop: Asked after every step; True saves and returns.

    Returns:
        Steps done.

    Raises:
        ArtmirrorError: bad input, a loss that is not finite, or a file that cannot be written.
    """
    check_writable(output)
    with claimed(output):
        return _train_many(config, output, resume, start_from, device, checkpoint_every, observe, should_stop)


def _train_many(
    config: ManyConfig,
    output: Path,
    resume: bool,
    start_from: Path | None,
    device: str,
    checkpoint_every: int,
    observe: Callable[[ManyStep], None],
    should_stop: Callable[[], bool],
) -> int:
    torch.manual_seed(config.seed)
    paintings = [painting for painting in find_paintings(Path(config.paintings_path)) if not is_held_out(painting)]
    if len(paintings) < _LEAST:
        raise ArtmirrorError(
            f"{config.paintings_path} holds {len(paintings)} paintings to train on; wanted at least {_LEAST}, "
            "better thousands: for a few, train a style each with --painting"
        )
    pairs = VariedPairs(Path(config.photos_path), config.seed, config.steps // 2)
    target_device = find_device(device)
    photos = _calibration_photos(pairs)
    features = load_vgg(None if config.vgg_path is None else Path(config.vgg_path), photos[:16])
    features.to(target_device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    targets = _Targets(paintings, TargetFiles(_cache(output), _names(paintings), features, target_device))
    objective = ManyObjective(features, photos.to(target_device), config.weights).to(target_device)
    learner = ManyLearner(config, objective, target_device)
    if resume:
        state = _load_state(state_path(output), config)
        with telling_damage(state_path(output)):
            learner.load_state_dict(state)
    else:
        _begin(learner, targets, start_from)

    def save() -> None:
        state = {"config": asdict(config), "state": learner.state_dict()}
        save_plain(state_path(output), {"kind": MANY_STATE_KIND, "format_version": FORMAT_VERSION, **state})
        save_many(output, learner.result, config, learner.done)

    started_s = time.perf_counter()
    for pair, count in _ahead(pairs, learner.done, config.steps):
        rng = np.random.default_rng((config.seed, 1 << 32, learner.done))
        found = learner.step(pair, targets.batch(drawn(paintings, count, rng)))
        now_s = time.perf_counter()
        losses, norm, variance, largest = found
        observe(ManyStep(learner.done, config.steps, losses, norm, now_s - started_s, variance, largest))
        started_s = now_s
        stop = should_stop()
        if stop or learner.done == config.steps or learner.done % checkpoint_every == 0:
            save()
        if stop:
            break
    return learner.done


def many_config_of(output: Path) -> ManyConfig | None:
    """The configuration of the run that writes `output`; None where that is no run of the many-painting network.

    Raises:
        ArtmirrorError: it does not fit this version.
    """
    try:
        found = load_plain(state_path(output), MANY_STATE_KIND)
    except ArtmirrorError:  # whoever takes it for another kind says what is wrong with it
        return None
    return ManyConfig.from_dict(found.get("config"))


def encoder_path(checkpoint: Path) -> Path:
    """Where the encoder lies: `any.pt` -> `any-encoder.pt`."""
    return checkpoint.with_name(f"{checkpoint.stem}-encoder{checkpoint.suffix}")


def save_many(path: Path, model: ManyModel, config: ManyConfig, steps: int) -> None:
    """Write a many-painting checkpoint and its encoder, in half precision: each under 1.5 MB.

    Raises:
        ArtmirrorError: a file cannot be written.
    """
    about = asdict(config)
    for key in ("paintings_path", "photos_path", "vgg_path"):
        about[key] = None if about[key] is None else Path(about[key]).name  # a checkpoint travels, folders do not
    for file, part in ((encoder_path(path), model.encoder), (path, model.network)):
        weights = {name: value.half().cpu() for name, value in part.state_dict().items()}
        head = {"kind": MANY_KIND, "format_version": FORMAT_VERSION}
        save_plain(file, {**head, "training": about, "step": steps, "weights": weights})


def load_many(path: Path) -> ManyModel:
    """Open a many-painting checkpoint with its encoder, in evaluation mode, on the CPU.

    Raises:
        ArtmirrorError: one of the two files is missing, damaged, or another kind.
    """
    found, encoder = load_plain(path, MANY_KIND), load_plain(encoder_path(path), MANY_KIND)
    try:
        config = NetworkConfig.from_dict(found["training"]["network"])
        with torch.device("meta"):  # no memory is taken before the shapes are known to be those of the file
            wanted = ManyModel(config)
        check_shapes(wanted.network, found["weights"])
        check_shapes(wanted.encoder, encoder["weights"])
        model = ManyModel(config)
        model.network.load_state_dict(found["weights"])
        model.encoder.load_state_dict(encoder["weights"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ArtmirrorError(f"{path} is damaged ({type(error).__name__}); copy it again, or train anew") from None
    return model.eval()


class _Targets:
    """Targets of paintings by view, computed once."""

    def __init__(self, paintings: list[Painting], files: TargetFiles) -> None:
        self._numbers = {painting: index * VIEWS for index, painting in enumerate(paintings)}
        self._files = files

    def batch(self, chosen: list[tuple[Painting, int]]) -> Target:
        found = []
        for painting, view in chosen:
            number = self._numbers[painting] + view
            if not self._files.is_there(number):
                self._files.compute(number, to_tensor(view_of(painting, view))[None])
            found.append(self._files.target(number))
        return Target(*(torch.stack(tensors) for tensors in zip(*found, strict=True)))

    def sample(self, count: int) -> Tensor:
        """Statistics of some whole paintings."""
        paintings = list(self._numbers)
        chosen = paintings[:: max(1, len(paintings) // count)][:count]
        return self.batch([(painting, 0) for painting in chosen]).statistics


def _begin(learner: ManyLearner, targets: _Targets, start_from: Path | None) -> None:
    model = learner.model
    if start_from is None:
        model.encoder.fit(targets.sample(_STATISTICS_OF))
        return
    try:
        if encoder_path(start_from).is_file():
            model.load_state_dict(load_many(start_from).state_dict())
        else:
            model.encoder.fit(targets.sample(_STATISTICS_OF))
            model.network.begin_with(load_checkpoint(start_from).weights)
    except (RuntimeError, KeyError) as error:
        raise ArtmirrorError(f"{start_from} is of another network than {model.network.config}: {error}") from None
    learner.restart_average()


def _load_state(path: Path, config: ManyConfig) -> Any:
    found = load_plain(path, MANY_STATE_KIND)
    if ManyConfig.from_dict(found.get("config")) != config:
        raise ArtmirrorError(f"{path} was written with another configuration")
    return found.get("state")


def _ahead(pairs: VariedPairs, done: int, steps: int) -> Iterator[tuple[Pair, int]]:
    """The pairs of each step, loaded while the step before learns."""
    with ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(pairs.step, index) for index in range(done, min(done + 3, steps))]
        for index in range(done, steps):
            pair = waiting.pop(0).result()
            if index + 3 < steps:
                waiting.append(pool.submit(pairs.step, index + 3))
            yield pair, len(pair.first)


def _calibration_photos(pairs: VariedPairs) -> Tensor:
    photos = pairs.photos
    places = range(0, len(photos), max(1, len(photos) // _CALIBRATION))[:_CALIBRATION]
    return torch.stack([to_tensor(middle(photos.read(place)[1], 224)) for place in places])


def _names(paintings: list[Painting]) -> list[str]:
    return [f"{painting.path}:{view}" for painting in paintings for view in range(VIEWS)]


def _cache(output: Path) -> Path:
    return output.with_name(f"{output.stem}.targets")
