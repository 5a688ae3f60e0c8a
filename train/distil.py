"""The encoder that is shown with learns from the one that looks through VGG-19: what it sees, one step, the loop."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import check_not_input, file_sha256
from artmirror.runtime.common.pictures import picture_paths, picture_size
from artmirror.train.checkpoint import (
    FORMAT_VERSION,
    check_writable,
    load_plain,
    save_plain,
    state_path,
    telling_damage,
)
from artmirror.train.config import portable, rebuilt
from artmirror.train.device import find_device
from artmirror.train.many import MANY_KIND, ManyModel, ahead, calibration_photos, load_many, save_many
from artmirror.train.networks.picture_encoder import PictureEncoder
from artmirror.train.networks.style_encoder import StatisticsEncoder
from artmirror.train.objective.targets import StatisticsFiles
from artmirror.train.objective.vgg import load_vgg
from artmirror.train.pairs.base import middle, read_rgb, to_tensor
from artmirror.train.pairs.paintings import (
    VIEWS,
    Painting,
    changed_view,
    find_paintings,
    is_held_out,
    view_of,
    view_size,
)
from artmirror.train.pairs.photos import Photos
from artmirror.train.schedule import cosine

DISTIL_STATE_KIND = "artmirror picture encoder state"
_BATCH = 16
_CHANGED = 4  # of a batch: photos, and paintings in other crops and colours
_MOST_CHANGED = 4096  # of such views in all; each is looked at through VGG-19 once
_STEP = 32  # pixels; sides of the pictures of a batch are multiples
_WARM_UP = 100  # steps
_HINT = 0.2  # weight of the hidden numbers
_PLAIN = 0.2  # weight of the code's own error, beside that of what is painted with it
_PROBES = 64  # batches that tell what a change of the code does to the painted picture
_MOST_JUDGED = 200  # held-out paintings


@dataclass(frozen=True, slots=True)
class DistilConfig:
    """One training of the encoder that is shown with."""

    network_path: str  # any.pt; its encoder beside it is the teacher
    network_sha256: str
    paintings_path: str
    photos_path: str
    vgg_path: str | None = None  # None: torchvision's published file, from the cache or the network
    steps: int = 6000
    peak_learning_rate: float = 2e-3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0 < self.peak_learning_rate < math.inf:
            raise ArtmirrorError(f"steps {self.steps}, learning rate {self.peak_learning_rate}; wanted above 0")

    def to_portable_dict(self) -> dict[str, Any]:
        """Plain data with file names in place of paths."""
        return portable(asdict(self), ("network_path", "paintings_path", "photos_path", "vgg_path"))

    @classmethod
    def from_dict(cls, values: Any) -> "DistilConfig":
        """Rebuild from `asdict`.

        Raises:
            ArtmirrorError: a field is unknown or out of range.
        """
        return rebuilt(cls, values, "training")


@dataclass(frozen=True, slots=True)
class DistilStep:
    """One step, told to whoever watches."""

    step: int  # steps done, from 1
    steps: int
    losses: dict[str, float]  # each in units of how much the teacher's answers differ from painting to painting
    gradient_norm: float
    step_s: float


@dataclass(frozen=True, slots=True)
class DistilResult:
    """How far the encoder came."""

    steps: int
    held_out_code: float  # mean squared error of codes of held-out paintings, in units of their variance
    held_out_painted: float  # the same as seen in the painted picture


def distil_config_of(output: Path) -> DistilConfig | None:
    """The configuration of the run that writes `output`; None where that is another kind of run.

    Raises:
        ArtmirrorError: it does not fit this version.
    """
    try:
        found = load_plain(state_path(output), DISTIL_STATE_KIND)
    except ArtmirrorError:  # whoever takes it for another kind says what is wrong with it
        return None
    return DistilConfig.from_dict(found.get("config"))


class _Eye:
    """What the teacher says to pictures by number; they are looked at once, and kept in files."""

    def __init__(self, config: DistilConfig, folder: Path, device: torch.device) -> None:
        found = find_paintings(Path(config.paintings_path))
        self.paintings = [painting for painting in found if not is_held_out(painting)]
        self.held_out = [painting for painting in found if is_held_out(painting)][:_MOST_JUDGED]
        self._photos = [Painting(path) for path in picture_paths(Path(config.photos_path), below=True)]
        if not self.paintings or len(self.held_out) < 2:
            raise ArtmirrorError(
                f"{config.paintings_path} holds {len(found)} paintings, {len(self.held_out)} of them to judge by; "
                "wanted some hundred of many artists"
            )
        photos = calibration_photos(Photos([photo.path for photo in self._photos]))  # as in the teacher's training
        features = load_vgg(None if config.vgg_path is None else Path(config.vgg_path), photos[:16])
        features.to(device)
        names = [f"{painting.path}:{view}" for painting in self.paintings for view in range(VIEWS)]
        self.plain = len(names)
        names += [f"{painting.path}:0" for painting in self.held_out]
        self._first_changed = len(names)
        names += [f"changed:{number}" for number in range(_MOST_CHANGED)]
        self._files = StatisticsFiles(folder, names, features, device)
        self._by_shape: dict[tuple[int, int], list[int]] = {}  # numbers of plain views by (h, w)
        shapes = [picture_size(painting.path) for painting in self.paintings]
        for number in range(self.plain):
            height, width = view_size(shapes[number // VIEWS], number % VIEWS)
            self._by_shape.setdefault((height - height % _STEP, width - width % _STEP), []).append(number)
        self._shapes = sorted(self._by_shape)
        self._share = np.array([len(self._by_shape[shape]) for shape in self._shapes]) / self.plain

    def _picture(self, number: int) -> NDArray[np.uint8]:  # (h, w, 3) uint8 RGB
        if number < self.plain:
            return view_of(self.paintings[number // VIEWS], number % VIEWS)
        if number < self._first_changed:
            return view_of(self.held_out[number - self.plain], 0)
        changed = number - self._first_changed
        rng = np.random.default_rng((1, changed))
        group = self._photos if rng.random() < 1 / 3 else self.paintings
        shape = self._shapes[changed % len(self._shapes)]
        return changed_view(group[rng.integers(len(group))], shape, rng)

    def _look(self, number: int) -> tuple[NDArray[np.uint8], Tensor]:
        picture = self._picture(number)
        if not self._files.is_there(number):
            self._files.compute(number, to_tensor(picture)[None])
        return picture, self._files.statistics(number)

    def batch(self, seed: int, step: int) -> tuple[Tensor, Tensor]:
        """Pictures of one size, (B, 3, h, w) float32 RGB in [0, 1], and their statistics, (B, STATISTICS)."""
        rng = np.random.default_rng((seed, step))
        at = int(rng.choice(len(self._shapes), p=self._share))
        plain = self._by_shape[self._shapes[at]]
        numbers = [plain[index] for index in rng.integers(0, len(plain), _BATCH - _CHANGED)]
        changed = rng.integers(0, _MOST_CHANGED // len(self._shapes), _CHANGED) * len(self._shapes) + at
        seen = [self._look(int(number)) for number in (*numbers, *(self._first_changed + changed))]
        pictures = [to_tensor(_fitted(picture, self._shapes[at], rng)) for picture, _ in seen]
        return torch.stack(pictures), torch.stack([statistics for _, statistics in seen])

    def judged(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Held-out paintings, one by one, as `batch` has them."""
        for number in range(self.plain, self._first_changed):
            picture, statistics = self._look(number)
            yield to_tensor(picture)[None], statistics[None]


def _fitted(picture: NDArray[np.uint8], shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A window of a picture that is a little larger; half of them mirrored, which changes a code hardly."""
    height, width = shape
    down, right = max(0, height - picture.shape[0]), max(0, width - picture.shape[1])
    picture = np.asarray(cv2.copyMakeBorder(picture, 0, down, 0, right, cv2.BORDER_REFLECT), np.uint8)
    top, left = (int(rng.integers(0, more + 1)) for more in (picture.shape[0] - height, picture.shape[1] - width))
    window = picture[top : top + height, left : left + width]
    return np.ascontiguousarray(window[:, ::-1] if rng.random() < 0.5 else window)


def code_metric(model: ManyModel, codes: Tensor, frames: Tensor) -> Tensor:
    """What a change of the code does to the painted picture, to first order.

    Args:
        codes: (N, C), of paintings.
        frames: (B, 3, S, S) float32 RGB in [0, 1], painted in turn with B of the codes.

    Returns:
        (C, C) float32, symmetric: for a small change d, `d @ metric @ d` is the sum of squares by which the picture
        changes; the mean over the paintings and frames, estimated with random projections of the picture.
    """
    generator = torch.Generator().manual_seed(0)
    metric = codes.new_zeros(codes.shape[1], codes.shape[1])
    count = len(frames)
    for _ in range(_PROBES):
        chosen = torch.randint(len(codes), (count,), generator=generator)
        code = codes[chosen].clone().requires_grad_()
        painted = model.network(frames, model.network.affines(code))
        direction = torch.randn(painted.shape, generator=generator).to(painted)
        (slope,) = torch.autograd.grad((painted * direction).sum(), code)
        metric += slope.T @ slope / (count * _PROBES)
    return metric


class DistilLearner:
    """The encoder, its optimizer and what it learns from."""

    def __init__(self, config: DistilConfig, teacher: StatisticsEncoder, metric: Tensor, codes: Tensor) -> None:
        """`codes`, (N, C), are of some paintings: their spread is the unit of errors."""
        self._config, self._teacher = config, teacher
        device = metric.device
        self.student = PictureEncoder.of_teacher(teacher).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._optimizer = torch.optim.Adam(self.student.parameters(), lr=1e-9)
        away = codes - codes.mean(0)
        self._plain_unit = away.square().mean()
        self._metric = metric / (away @ metric * away).sum(1).mean()
        self.done = 0

    def errors(self, rgb: Tensor, statistics: Tensor) -> dict[str, Tensor]:
        """Mean squared errors, each in units of the spread of what the teacher says."""
        with torch.no_grad():
            wanted_hidden = self._teacher.hidden(statistics)
            wanted = self._teacher.layers[2:](self._teacher.layers[1](wanted_hidden))
        hidden = self.student.hidden(rgb.contiguous(memory_format=torch.channels_last))
        away = self.student.last(hidden) - wanted
        return {
            "painted": (away @ self._metric * away).sum(1).mean(),
            "code": away.square().mean() / self._plain_unit,
            "hidden": (hidden - wanted_hidden).square().mean() / wanted_hidden.var().clamp(min=1e-6),
        }

    def step(self, rgb: Tensor, statistics: Tensor) -> tuple[dict[str, float], float]:
        """Learn from a batch: the errors before, and the gradient's norm.

        Raises:
            ArtmirrorError: the loss is not finite; the weights were left alone.
        """
        self.student.train()
        terms = self.errors(rgb, statistics)
        total = terms["painted"] + _PLAIN * terms["code"] + _HINT * terms["hidden"]
        self._optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        norm = float(torch.nn.utils.clip_grad_norm_(self.student.parameters(), 5.0))
        if not math.isfinite(norm):
            raise ArtmirrorError(f"the gradient is not finite at step {self.done + 1}; use a lower --learning-rate")
        rate = cosine(self.done, self._config.steps, low=0.01, warm_up=_WARM_UP)
        for group in self._optimizer.param_groups:
            group["lr"] = self._config.peak_learning_rate * rate
        self._optimizer.step()
        self.done += 1
        return {name: float(term.detach()) for name, term in terms.items()}, norm

    @torch.no_grad()
    def judge(self, eye: _Eye) -> tuple[float, float]:
        """Errors of the code, and of what is painted with it, for held-out paintings."""
        self.student.eval()
        found = [self.errors(rgb, statistics) for rgb, statistics in eye.judged()]
        code, painted = (sum(float(terms[name]) for terms in found) / len(found) for name in ("code", "painted"))
        return code, painted

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on."""
        student, optimizer = self.student.state_dict(), self._optimizer.state_dict()
        return {"done": self.done, "student": student, "optimizer": optimizer}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        self.done = state["done"]
        self.student.load_state_dict(state["student"])
        self._optimizer.load_state_dict(state["optimizer"])


def distil(
    config: DistilConfig,
    output: Path,
    *,
    resume: bool = False,
    start_from: Path | None = None,
    device: str = "cpu",
    checkpoint_every: int = 250,
    observe: Callable[[DistilStep], None] = lambda step: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> DistilResult:
    """Train the encoder that is shown with; write it beside a copy of the network, and the state to go on from.

    Args:
        output: Another file than the network's.
        resume: Go on from the state beside `output`, which must hold the same configuration.
        start_from: An encoder that was trained for another state of the network: it learns the new one quickly.
        should_stop: Asked after every step; True saves and returns.

    Raises:
        ArtmirrorError: bad input, a loss that is not finite, or a file that cannot be written.
    """
    check_writable(output)
    torch.manual_seed(config.seed)
    network_path = Path(config.network_path)
    check_not_input(output, [network_path])
    target_device = find_device(device)
    model = load_many(network_path).float().to(target_device)
    teacher = model.encoder
    if not isinstance(teacher, StatisticsEncoder):
        raise ArtmirrorError(f"{network_path} has an encoder that looks at pictures already; nothing is left to do")
    if file_sha256(network_path) != config.network_sha256:
        raise ArtmirrorError(f"{network_path} is another network than the run began with; begin anew, without --resume")
    eye = _Eye(config, output.with_name(f"{output.stem}.views"), target_device)
    codes, frames = _some_codes(eye, model), _some_frames(config)
    learner = DistilLearner(config, teacher, code_metric(model, codes, frames.to(target_device)), codes)
    if resume:
        path = state_path(output)
        found = load_plain(path, DISTIL_STATE_KIND)
        if DistilConfig.from_dict(found.get("config")) != config:
            raise ArtmirrorError(f"{path} was written with another configuration")
        with telling_damage(path):
            learner.load_state_dict(found["state"])
    elif start_from is not None:
        known = load_many(start_from).encoder
        if not isinstance(known, PictureEncoder) or known.size != learner.student.size:
            raise ArtmirrorError(f"{start_from} has another kind of encoder; wanted what --distil wrote")
        learner.student.load_state_dict(known.state_dict())
        learner.student.end_as(teacher)
    training = {**load_plain(network_path, MANY_KIND)["training"], "distil": config.to_portable_dict()}

    def save() -> None:
        state = {"config": asdict(config), "state": learner.state_dict()}
        save_plain(state_path(output), {"kind": DISTIL_STATE_KIND, "format_version": FORMAT_VERSION, **state})
        shown = ManyModel(model.network.config, learner.student)
        shown.network.load_state_dict(model.network.state_dict())
        save_many(output, shown, training, learner.done)

    started_s = time.perf_counter()
    stop = False
    for rgb, statistics in ahead(lambda step: eye.batch(config.seed, step), learner.done, config.steps):
        losses, norm = learner.step(rgb.to(target_device), statistics.to(target_device))
        now_s = time.perf_counter()
        observe(DistilStep(learner.done, config.steps, losses, norm, now_s - started_s))
        started_s = now_s
        stop = should_stop()
        if stop or learner.done == config.steps or learner.done % checkpoint_every == 0:
            save()
        if stop:
            break
    return DistilResult(learner.done, *((math.nan, math.nan) if stop else learner.judge(eye)))


def _some_codes(eye: _Eye, model: ManyModel) -> Tensor:
    device = next(model.parameters()).device
    with torch.no_grad():
        return torch.cat([model.encoder(statistics.to(device)) for _, statistics in eye.judged()])


def _some_frames(config: DistilConfig) -> Tensor:
    paths = picture_paths(Path(config.photos_path), below=True)
    return torch.stack([to_tensor(middle(read_rgb(path), 96)) for path in paths[:: max(1, len(paths) // 8)][:8]])
