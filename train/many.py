"""Training of the many-painting network: its configuration, one step, the loop, its two files."""

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import claimed, file_sha256
from artmirror.runtime.common.plain_data import Whole, fitted
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
from artmirror.train.config import MANY_PRESETS, NETWORK_PRESETS, NetworkConfig, Precision, portable, rebuilt
from artmirror.train.distributed import Group, open_group
from artmirror.train.networks.many_style import ManyStyle
from artmirror.train.networks.picture_encoder import PictureEncoder, PictureEncoderSize
from artmirror.train.networks.style_encoder import StatisticsEncoder
from artmirror.train.networks.stylizer import with_new_memory
from artmirror.train.objective.many import ManyObjective, ManyWeights
from artmirror.train.objective.targets import STATISTICS, Target, TargetFiles, look, matrices
from artmirror.train.objective.vgg import VggFeatures, load_vgg
from artmirror.train.pairs.base import Pair, middle, to_tensor
from artmirror.train.pairs.paintings import VIEWS, Painting, drawn, find_paintings, is_held_out, view_of
from artmirror.train.pairs.photos import Photos
from artmirror.train.pairs.sequences import FoundMotion, FrameSequence
from artmirror.train.pairs.varied import VariedPairs
from artmirror.train.remembering import InTurn, judged_of
from artmirror.train.schedule import cosine

Loaded = TypeVar("Loaded")

MANY_KIND = "artmirror many-painting checkpoint"
MANY_STATE_KIND = "artmirror many-painting state"
_CALIBRATION = 96  # photos that the unit of style is measured on
_STATISTICS_OF = 300  # paintings that the encoder's scale is measured on
_LEAST = 50  # paintings; fewer are learned by heart, and a style each is the better way
_WARM_UP = 300  # steps
_AVERAGED = 10.0  # of all steps the average is of this part at the least: a tenth
_JUDGED, _JUDGED_EVERY = 8, 500  # paintings, and steps
_SEEDS = 1 << 33  # from the seeds of one process to those of the next


@dataclass(frozen=True, slots=True)
class ManyConfig:
    """One training run of the many-painting network."""

    paintings_path: str
    photos_path: str
    vgg_path: str | None = None  # None: torchvision's published file, from the cache or the network
    encoder_of: str | None = None  # a checkpoint whose encoder is taken and stays as it is, so that codes are shared
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

    def to_portable_dict(self) -> dict[str, Any]:
        """Plain data with file names in place of paths: a checkpoint travels, folders do not."""
        return portable(asdict(self), ("paintings_path", "photos_path", "vgg_path", "encoder_of"))

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
    held_out_style: float | None = None  # mean of paintings never trained on, by layer; measured now and then


class ManyModel(nn.Module):
    """The network and its encoder, which learn together.

    Args:
        encoder: None for a new one that looks through VGG-19.
    """

    def __init__(self, config: NetworkConfig, encoder: StatisticsEncoder | PictureEncoder | None = None) -> None:
        super().__init__()
        self.network = ManyStyle(config)
        self.encoder = StatisticsEncoder(STATISTICS) if encoder is None else encoder

    @property
    def looks_at_pictures(self) -> bool:
        """Whether the encoder takes pixels, and not what VGG-19 makes of them."""
        return isinstance(self.encoder, PictureEncoder)

    def code(self, statistics: Tensor, pictures: Sequence[Tensor]) -> Tensor:
        """Codes of paintings, (B, CODE_LENGTH).

        Args:
            statistics: (B, STATISTICS) float32.
            pictures: Of each painting, (1, 3, h, w) float32 RGB in [0, 1]; not looked at where statistics are enough.
        """
        if self.looks_at_pictures:
            return torch.cat([self.encoder(picture) for picture in pictures])
        code: Tensor = self.encoder(statistics)
        return code

    def forward(
        self,
        frames: Tensor,
        statistics: Tensor,
        pictures: Sequence[Tensor],
        found: FoundMotion | None = None,
        *,
        lead: int = 0,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Paint frames that come n times as often as paintings, or a sequence for each; also codes and their affines.

        Frames, what was found and lead are as `remembering.InTurn` takes them.
        """
        code = self.code(statistics, pictures)
        affines = self.network.affines(code)
        repeated = affines.repeat(len(frames) // len(affines), 1)
        return InTurn(self.network)(frames, found, repeated, lead=lead), code, affines


class ManyLearner:
    """A model, its optimizer, and the running average of its weights, which is what is kept and shown."""

    def __init__(self, config: ManyConfig, model: ManyModel, objective: ManyObjective, group: Group) -> None:
        self._config, self._objective, self._device = config, objective, group.device
        self.model = model.train()
        model.encoder.eval()  # its normalisations keep their numbers: a step sees too few paintings for new ones
        self.model.network.body.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model.to(group.device)
        self._parallel = group.parallel(self.model)
        network = self.model.network
        shares = [(network.body, 1.0), (network.affine, 0.15), (self.model.encoder, 0.2)]
        if config.encoder_of is not None:
            self.model.encoder.requires_grad_(False)
            shares.pop()
        if config.network.memory:  # it learns beside a network that stays as it is, so that tuned styles stay good
            self.model.requires_grad_(False)
            network.body.memory.requires_grad_(True)
            shares = [(network.body.memory, 1.0)]
        self._shares = [share for _, share in shares]
        self._optimizer = torch.optim.Adam([{"params": list(part.parameters())} for part, _ in shares], lr=1e-9)
        # Of a short run the average would otherwise be what it began with.
        decay = min(config.ema_decay, max(0.0, 1 - _AVERAGED / config.steps))
        self._average = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)  # type: ignore[no-untyped-call]
        self.done = 0

    def step(
        self, batch: Pair | FrameSequence, target: Target, pictures: Sequence[Tensor]
    ) -> tuple[dict[str, float], float, float, float]:
        """Learn from a batch: the losses, the gradient's norm, the variance of codes and the largest scale.

        Raises:
            ArtmirrorError: the loss or its gradient is not finite; the weights were left alone.
        """
        batch = type(batch)(*(tensor.to(self._device) for tensor in batch))
        target = Target(*(tensor.to(self._device) for tensor in target))
        config = self._config
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=config.precision == "bf16"):
            seen = [picture.to(self._device) for picture in pictures]
            grows = config.temporal_ramp * config.steps
            share = 0.1 + 0.9 * min(1.0, self.done / grows) if grows else 1.0
            if isinstance(batch, FrameSequence):
                painted, code, affines = self._parallel(
                    batch.frames, target.statistics, seen, batch.found, lead=batch.lead
                )
                judged = judged_of(batch, painted)
                frames, pair, looked_at = judged.frames, judged.pair, judged.painted
                target = Target(*(tensor.repeat(2, *[1] * (tensor.dim() - 1)) for tensor in target))
            else:
                frames = torch.cat([batch.first, batch.second]).contiguous(memory_format=torch.channels_last)
                painted, code, affines = self._parallel(frames, target.statistics, seen)
                first, second = painted.chunk(2)
                frames, pair, looked_at = batch.first, (first, second, batch.flow, batch.visible), first
            drift = (affines - self.model.network.affine.bias.detach()).square().mean()
            terms = self._objective(frames, *pair, target, drift, share, painted=looked_at)
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
        factor = cosine(self.done, self._config.steps, low=0.04, warm_up=_WARM_UP)
        return self._config.peak_learning_rate * factor

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
    with open_group(device) as group, ExitStack() as stack:
        with group.together():
            if group.first:
                check_writable(output)
                stack.enter_context(claimed(output))
        return _train_many(config, output, resume, start_from, group, checkpoint_every, observe, should_stop)


def _train_many(
    config: ManyConfig,
    output: Path,
    resume: bool,
    start_from: Path | None,
    group: Group,
    checkpoint_every: int,
    observe: Callable[[ManyStep], None],
    should_stop: Callable[[], bool],
) -> int:
    torch.manual_seed(config.seed)
    found_paintings = find_paintings(Path(config.paintings_path))
    paintings = [painting for painting in found_paintings if not is_held_out(painting)]
    if len(paintings) < _LEAST:
        raise ArtmirrorError(
            f"{config.paintings_path} holds {len(paintings)} paintings to train on; wanted at least {_LEAST}, "
            "better thousands: for a few, train a style each with --painting"
        )
    # Each process has draws of its own, so that a step learns from more pairs the more processes there are.
    seed = config.seed + group.rank * _SEEDS
    pairs = VariedPairs(Path(config.photos_path), seed, config.steps // 2)
    target_device = group.device
    photos = calibration_photos(pairs.photos)
    features = load_vgg(None if config.vgg_path is None else Path(config.vgg_path), photos[:16])
    features.to(target_device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if not group.first:
        group.firsts(None)  # the first one has made the files
    targets = _Targets(paintings, TargetFiles(_cache(output), _names(paintings), features, target_device))
    if group.first:
        group.firsts(None)
    objective = ManyObjective(features, photos.to(target_device), config.weights).to(target_device)
    state = _load_state(state_path(output), config) if resume else None
    begun = output if resume else start_from
    learner = ManyLearner(config, _begun(config, targets, begun), objective, group)
    if state is not None:
        with telling_damage(state_path(output)):
            learner.load_state_dict(state)
    looks_at_pictures = learner.model.looks_at_pictures
    origin = {}
    if config.network.memory and begun is not None and is_many(begun):
        # Its styles are those of the network that it began with, whose weights stay.
        origin = {"tuned_for": _tuned_for(begun) or file_sha256(begun)}

    judge = _Judge(found_paintings, features, objective, photos, target_device)

    def save() -> None:
        state = {"config": asdict(config), "state": learner.state_dict()}
        save_plain(state_path(output), {"kind": MANY_STATE_KIND, "format_version": FORMAT_VERSION, **state})
        save_many(output, learner.result, {**config.to_portable_dict(), **origin}, learner.done)

    def load(index: int) -> tuple[Pair | FrameSequence, list[tuple[Painting, int]], list[Tensor]]:
        pair = pairs.sequences(index) if config.network.memory else pairs.step(index)
        chosen = drawn(paintings, len(pair[0]), np.random.default_rng((seed, 1 << 32, index)))
        return pair, chosen, [to_tensor(view_of(*one))[None] for one in chosen] if looks_at_pictures else []

    started_s = time.perf_counter()
    for pair, chosen, pictures in ahead(load, learner.done, config.steps):
        found = learner.step(pair, targets.batch(chosen), pictures)
        now_s = time.perf_counter()
        losses, norm, variance, largest = found
        held_out = judge.style(learner.result) if learner.done % _JUDGED_EVERY == 0 else None
        observe(ManyStep(learner.done, config.steps, losses, norm, now_s - started_s, variance, largest, held_out))
        started_s = time.perf_counter()
        stop = group.any(should_stop())
        if group.first and (stop or learner.done == config.steps or learner.done % checkpoint_every == 0):
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


def _encoder_of(checkpoint: Path) -> Path:
    """The encoder of a checkpoint: its own, or for `any-lite.pt` that of `any.pt`, which it shares."""
    own = encoder_path(checkpoint)
    full, _, body = checkpoint.stem.rpartition("-")
    shared = encoder_path(checkpoint.with_name(f"{full}{checkpoint.suffix}"))
    if own.is_file() or not shared.is_file():
        return own
    return shared if f"any-{body}" in MANY_PRESETS or body == "steady" else own


def save_many(path: Path, model: ManyModel, training: dict[str, Any], steps: int) -> None:
    """Write a many-painting checkpoint and its encoder, in half precision: each under 2 MB.

    Args:
        training: What it was trained with, plain data; `load_many` needs its `network`.

    Raises:
        ArtmirrorError: a file cannot be written.
    """
    head = {"kind": MANY_KIND, "format_version": FORMAT_VERSION, "training": training, "step": steps}
    about_encoder = {"encoder": asdict(model.encoder.size)} if isinstance(model.encoder, PictureEncoder) else {}
    for file, part, more in ((encoder_path(path), model.encoder, about_encoder), (path, model.network, {})):
        weights = {
            name: (value.half() if value.is_floating_point() else value).cpu()
            for name, value in part.state_dict().items()
        }
        save_plain(file, {**head, **more, "weights": weights})


def is_many(path: Path) -> bool:
    """Whether a file is a checkpoint of the network for many paintings; False for all that is none."""
    try:
        load_plain(path, MANY_KIND)
    except ArtmirrorError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class ManyFacts:
    """What a many-painting checkpoint says of itself."""

    preset: str
    step: int
    code_space: str  # of its encoder: networks that were trained with the same one understand each other's codes
    tuned_for: str  # SHA-256 of the checkpoint whose tuned styles fit this one too; empty for its own


def load_many(path: Path) -> ManyModel:
    """Open a many-painting checkpoint with its encoder, in evaluation mode, on the CPU.

    Raises:
        ArtmirrorError: one of the two files is missing, damaged, or another kind.
    """
    return load_many_with_facts(path)[0]


def load_many_with_facts(path: Path) -> tuple[ManyModel, ManyFacts]:
    """As `load_many`, with what the file says of itself."""
    found, encoder = load_plain(path, MANY_KIND), load_plain(_encoder_of(path), MANY_KIND)
    try:
        config = NetworkConfig.from_dict(found["training"]["network"])
        size = fitted(encoder["encoder"], PictureEncoderSize) if "encoder" in encoder else None

        def model_of() -> ManyModel:
            return ManyModel(config, None if size is None else PictureEncoder(size))

        with torch.device("meta"):  # no memory is taken before the shapes are known to be those of the file
            wanted = model_of()
        check_shapes(wanted.network, found["weights"])
        check_shapes(wanted.encoder, encoder["weights"])
        model = model_of()
        model.network.load_state_dict(found["weights"])
        model.encoder.load_state_dict(encoder["weights"])
        plain = replace(config, memory=False)
        preset = next((name for name in MANY_PRESETS if NETWORK_PRESETS[name] == plain), MANY_PRESETS[0])
        tuned_for = fitted(found["training"].get("tuned_for", ""), str)
        facts = ManyFacts(preset, fitted(found["step"], Whole), _code_space(encoder["weights"]), tuned_for)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ArtmirrorError(f"{path} is damaged ({type(error).__name__}); copy it again, or train anew") from None
    return model.eval(), facts


def _code_space(weights: dict[str, Tensor]) -> str:
    content = b"".join(weights[name].numpy().tobytes() for name in sorted(weights))
    return hashlib.sha256(content).hexdigest()[:16]


class _Judge:
    """How near the average comes to paintings that it is never trained on."""

    def __init__(
        self,
        paintings: Sequence[Painting],
        features: VggFeatures,
        objective: ManyObjective,
        photos: Tensor,
        device: torch.device,
    ) -> None:
        apart = [painting for painting in paintings if is_held_out(painting)]
        chosen = apart[:: max(1, len(apart) // _JUDGED)][:_JUDGED]
        self._pictures = [to_tensor(view_of(painting, 0))[None].to(device) for painting in chosen]
        self._targets = [look(features, picture) for picture in self._pictures]
        self._objective, self._features = objective, features
        self._photos = photos[: len(chosen)].to(device)

    @torch.no_grad()
    def style(self, model: ManyModel) -> float | None:
        """Mean style distance by layer, in units of an unpainted photo's; None where no painting is kept apart."""
        found = []
        for photo, picture, target in zip(self._photos, self._pictures, self._targets, strict=False):
            affines = model.network.affines(model.code(target.statistics[None], [picture]))
            painted = model.network(photo[None], affines).clamp(0, 1)
            _, layered = self._objective.style(self._features(painted), matrices(target.grams[None]))
            found.append(float(layered.mean()))
        return sum(found) / len(found) if found else None


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


def _begun(config: ManyConfig, targets: _Targets, start_from: Path | None) -> ManyModel:
    """A new model, or with the weights of another one; its encoder of the kind that it takes over."""
    known = load_many(start_from) if start_from is not None and is_many(start_from) else None
    shared = None if config.encoder_of is None else load_many(Path(config.encoder_of))
    source = shared or known
    model = ManyModel(config.network, None if source is None else source.encoder)
    if source is None:
        assert isinstance(model.encoder, StatisticsEncoder)
        model.encoder.fit(targets.sample(_STATISTICS_OF))
    try:
        if known is not None:
            fresh = model.network.state_dict()
            model.network.load_state_dict(with_new_memory(known.network.state_dict(), fresh))
        elif start_from is not None:
            model.network.begin_with(load_checkpoint(start_from).weights)
    except (RuntimeError, KeyError) as error:
        raise ArtmirrorError(f"{start_from} is of another network than {config.network}: {error}") from None
    return model


def _tuned_for(checkpoint: Path) -> str:
    return fitted(load_plain(checkpoint, MANY_KIND)["training"].get("tuned_for", ""), str)


def _load_state(path: Path, config: ManyConfig) -> Any:
    found = load_plain(path, MANY_STATE_KIND)
    if ManyConfig.from_dict(found.get("config")) != config:
        raise ArtmirrorError(f"{path} was written with another configuration")
    return found.get("state")


def ahead(load: Callable[[int], Loaded], done: int, steps: int) -> Iterator[Loaded]:
    """What each step learns from, loaded while the step before learns."""
    with ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(load, index) for index in range(done, min(done + 3, steps))]
        for index in range(done, steps):
            loaded = waiting.pop(0).result()
            if index + 3 < steps:
                waiting.append(pool.submit(load, index + 3))
            yield loaded


def calibration_photos(photos: Photos, most: int | None = None) -> Tensor:
    """Photos from all over a list, (N, 3, 224, 224) float32 RGB in [0, 1]; VGG-19 is scaled on the first 16.

    Args:
        most: None for as many as training takes.
    """
    most = _CALIBRATION if most is None else most
    places = range(0, len(photos), max(1, len(photos) // most))[:most]
    return torch.stack([to_tensor(middle(photos.read(place)[1], 224)) for place in places])


def _names(paintings: list[Painting]) -> list[str]:
    return [f"{painting.path}:{view}" for painting in paintings for view in range(VIEWS)]


def _cache(output: Path) -> Path:
    return output.with_name(f"{output.stem}.targets")
