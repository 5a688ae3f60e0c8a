"""A style of one painting for the network of many: its code, and what is added to scales and shifts, tuned to it.

The network itself stays as it is. So a style is a few kilobytes, and is learned in minutes.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import torch
from torch import Tensor, nn

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import check_not_input, file_sha256
from artmirror.runtime.common.fit import painting_view
from artmirror.runtime.common.style_file import StyleFile, save_style, stored
from artmirror.train.checkpoint import StyleInfo, check_writable
from artmirror.train.device import find_device
from artmirror.train.many import ManyModel, ahead, calibration_photos, load_many_with_facts
from artmirror.train.objective.many import ManyObjective, ManyWeights
from artmirror.train.objective.targets import Target, look
from artmirror.train.objective.vgg import load_vgg
from artmirror.train.pairs.base import Pair, own_pictures, read_rgb, to_tensor
from artmirror.train.pairs.varied import VariedPairs
from artmirror.train.schedule import cosine

_SIDE, _PAIRS = 160, 2  # pixels of the training frames, and pairs a step
_CALIBRATION = 24  # photos that the unit of style is measured on
_CODE_RATE = 0.5  # of the learning rate of scales and shifts
_THUMBNAIL_PX, _THUMBNAIL_QUALITY = 160, 80  # its longer side; of 100
_LARGEST_CHANGE = 8.0
_FIRST = 10  # steps; the distance at the start is their mean


@dataclass(frozen=True, slots=True)
class TuneConfig:
    """One tuning."""

    base: Path  # any.pt, its encoder beside it
    painting: Path
    photos: Path | None = None  # folder; None: the three that come with the package
    vgg: Path | None = None  # None: torchvision's published file, from the cache or the network
    steps: int = 300
    learning_rate: float = 0.02
    # Less of the photo, and freer strokes, than where one network has to serve all paintings.
    weights: ManyWeights = ManyWeights(content=0.7, temporal=600)  # noqa: RUF009 -- frozen
    precision: str = "fp32"  # or bf16
    seed: int = 0


@dataclass(frozen=True, slots=True)
class TuneStep:
    """One step, told to whoever watches."""

    step: int  # steps done, from 1
    steps: int
    losses: dict[str, float]
    step_s: float


@dataclass(frozen=True, slots=True)
class TuneResult:
    """How far it came; distances in units of an unpainted photo's."""

    steps: int
    style_before: float  # of the encoder's guess
    style_after: float


class _Tuner(nn.Module):
    """The numbers that are tuned, and the network that stays."""

    def __init__(self, model: ManyModel, code: Tensor) -> None:
        super().__init__()
        self.network = model.network.requires_grad_(False)
        self.code = nn.Parameter(code.clone())  # (1, CODE_LENGTH)
        self.changes = nn.Parameter(torch.zeros(1, model.network.affine.out_features))

    def forward(self, frames: Tensor) -> Tensor:
        affines = self.network.affines_of(torch.cat([self.code, self.changes], 1))
        painted: Tensor = self.network(frames, affines.expand(len(frames), -1))
        return painted


def tune(
    config: TuneConfig,
    info: StyleInfo,
    output: Path,
    *,
    device: str = "cpu",
    observe: Callable[[TuneStep], None] = lambda step: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> TuneResult:
    """Tune, and write NAME.style; asked to stop, what was reached is written.

    Raises:
        ArtmirrorError: bad input, a loss that is not finite, or a file that cannot be written.
    """
    check_writable(output)
    check_not_input(output, [config.base, config.painting])
    torch.manual_seed(config.seed)
    target_device = find_device(device)
    model, facts = load_many_with_facts(config.base)
    photos = config.photos or own_pictures()
    pairs = VariedPairs(photos, config.seed, config.steps)
    calibration = calibration_photos(pairs.photos, _CALIBRATION)
    features = load_vgg(config.vgg, calibration[:16]).to(target_device)
    rgb = read_rgb(config.painting)
    picture = to_tensor(painting_view(rgb))[None].to(target_device)
    seen = look(features, picture)
    target = Target(*(part[None].expand(_PAIRS, -1) for part in seen))
    model = model.to(target_device)
    with torch.no_grad():
        code = model.code(seen.statistics[None], [picture])
    tuner = _Tuner(model, code).to(target_device).train()
    objective = ManyObjective(features, calibration.to(target_device), config.weights).to(target_device)
    optimizer = torch.optim.Adam([{"params": [tuner.changes]}, {"params": [tuner.code]}], lr=1e-9)
    first: list[float] = []
    last: list[float] = []
    done, started_s = 0, time.perf_counter()

    def load(index: int) -> Pair:
        return pairs.of_one_size(index, _SIDE, _PAIRS)

    for pair in ahead(load, 0, config.steps):
        rate = config.learning_rate * cosine(done, config.steps, low=0.05)
        for group, share in zip(optimizer.param_groups, (1.0, _CODE_RATE), strict=True):
            group["lr"] = rate * share
        losses = _step(tuner, objective, optimizer, Pair(*(part.to(target_device) for part in pair)), target, config)
        done += 1
        (first if len(first) < _FIRST else last).append(losses["style_by_layer"])
        now_s = time.perf_counter()
        observe(TuneStep(done, config.steps, losses, now_s - started_s))
        started_s = now_s
        if should_stop():
            break
    style = StyleFile(
        name=info.name,
        title=info.title,
        artist=info.artist,
        year=info.year,
        code_space=facts.code_space,
        code=stored(tuner.code.detach()[0].cpu().numpy()),
        changes={file_sha256(config.base): stored(tuner.changes.detach()[0].cpu().numpy())},
        thumbnail=_thumbnail(rgb),
    )
    save_style(output, style)
    recent = (last or first)[-_FIRST * 3 :]
    return TuneResult(done, sum(first) / len(first), sum(recent) / len(recent))


def _step(
    tuner: _Tuner,
    objective: ManyObjective,
    optimizer: torch.optim.Optimizer,
    pair: Pair,
    target: Target,
    config: TuneConfig,
) -> dict[str, float]:
    frames = torch.cat([pair.first, pair.second])
    with torch.autocast(frames.device.type, dtype=torch.bfloat16, enabled=config.precision == "bf16"):
        painted_first, painted_second = tuner(frames).chunk(2)
        drift = tuner.changes.square().mean()
        terms = objective(pair.first, painted_first, painted_second, pair.flow, pair.visible, target, drift)
    optimizer.zero_grad(set_to_none=True)
    terms["total"].backward()
    losses = {name: float(term.detach()) for name, term in terms.items()}
    if not all(map(math.isfinite, losses.values())):
        raise ArtmirrorError("the loss is not finite; use a lower --learning-rate")
    torch.nn.utils.clip_grad_norm_([tuner.code, tuner.changes], 10.0)
    optimizer.step()
    with torch.no_grad():
        tuner.code.clamp_(-1, 1)  # where the encoder's codes are
        tuner.changes.clamp_(-_LARGEST_CHANGE, _LARGEST_CHANGE)
    return losses


def _thumbnail(rgb: "cv2.typing.MatLike") -> bytes:
    scale = min(1.0, _THUMBNAIL_PX / max(rgb.shape[:2]))
    size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
    small = cv2.resize(rgb[..., ::-1], size, interpolation=cv2.INTER_AREA)
    _, content = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _THUMBNAIL_QUALITY])
    return bytes(content)
