"""Everything that decides what a training run gives, as frozen data; the presets of the network."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, get_args, get_type_hints

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.plain_data import fitted

Padding = Literal["reflect", "replicate", "zeros"]
Norm = Literal["instance", "batch"]
Upsampling = Literal["nearest", "deconv"]
BlockConv = Literal["full", "separable"]
BlockPadding = Literal["same", "zeros"]
Output = Literal["tanh", "linear"]
Precision = Literal["fp32", "bf16", "fp16"]
Config = TypeVar("Config")
FlowSource = Literal["dis", "farneback", "raft", "stored"]


def rebuilt(kind: type[Config], values: Any, what: str) -> Config:
    """A configuration from the plain data that a file holds; all of its types are checked before any is used.

    Raises:
        ArtmirrorError: a field is unknown, missing, of another type or out of range. `what` it is of, for the message.
    """
    try:
        _refuse_unknown(kind, values)
        return fitted(values, kind)
    except ValueError as error:
        raise ArtmirrorError(f"{what} configuration does not fit this version: {error}") from None


def portable(values: dict[str, Any], paths: Iterable[str]) -> dict[str, Any]:
    """The same values with file names in place of paths."""
    return {**values, **{key: Path(values[key]).name for key in paths if values[key] is not None}}


def _refuse_unknown(kind: type, values: Any) -> None:
    if not isinstance(values, dict):
        return  # `fitted` says so
    hints = get_type_hints(kind)
    for name, value in values.items():
        if name not in hints:
            raise ValueError(f"{str(name)[:80]!r} is unknown")
        if is_dataclass(hints[name]):
            _refuse_unknown(hints[name], value)


def _check_choices(config: object) -> None:
    """Raise ArtmirrorError where a field declared as a Literal holds something else."""
    for name, hint in get_type_hints(type(config)).items():
        choices = get_args(hint)
        if choices and all(isinstance(choice, str) for choice in choices) and getattr(config, name) not in choices:
            raise ArtmirrorError(f"{name} is {getattr(config, name)!r}; wanted one of {', '.join(choices)}")


MOST_CHANNELS, MOST_BLOCKS, LARGEST_KERNEL = 1024, 64, 31  # of a network; far above what paints in time
MOST_WEIGHTS = 50_000_000  # of its convolutions, about; johnson has 1.7 million


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """The stylizer: a stem, two halvings, residual blocks, two doublings, a head."""

    channels: tuple[int, int, int] = (16, 32, 48)  # at full (where there is no fold), half and quarter size
    blocks: int = 5
    block_conv: BlockConv = "full"  # separable: 3x3 within each channel, then 1x1 across them
    block_padding: BlockPadding = "same"  # as `padding` says; zeros cost no pass over memory of their own
    end_kernel: int = 3  # of the first and the last convolution
    padding: Padding = "reflect"
    norm: Norm = "instance"
    upsampling: Upsampling = "nearest"
    fold: int = 1  # 2 or 4: the stem steps over so many pixels at once, the head gives them back
    output: Output = "tanh"  # what brings the head's values into [0, 1]; linear ones are cut off at show time
    grain: float = 1.5 / 255  # standard deviation of the fixed grain that is added to the frame, in [0, 1]
    memory: bool = False  # takes its own picture of an earlier frame, brought onto this frame, and where to trust it

    def __post_init__(self) -> None:
        _check_choices(self)
        odd = self.end_kernel > 0 and self.end_kernel % 2 == 1
        folds = self.fold in (1, 2, 4)
        if len(self.channels) != 3 or min(self.channels) < 1 or self.blocks < 0 or not odd or not folds:
            raise ArtmirrorError(
                f"{self} is no network; wanted three channel counts, blocks >= 0, an odd end kernel, a fold of 1, 2, 4"
            )
        if max(self.channels) > MOST_CHANNELS or self.blocks > MOST_BLOCKS or self.end_kernel > LARGEST_KERNEL:
            raise ArtmirrorError(
                f"{self} is too large; wanted at most {MOST_CHANNELS} channels, {MOST_BLOCKS} blocks and an end kernel "
                f"of {LARGEST_KERNEL}"
            )
        full, half, quarter = self.channels
        ends = 6 * full * (self.end_kernel * self.fold) ** 2
        if ends + 18 * (full * half + half * quarter + self.blocks * quarter**2) > MOST_WEIGHTS:
            raise ArtmirrorError(f"{self} is too large; wanted at most {MOST_WEIGHTS} weights")
        if not 0 <= self.grain < 1:
            raise ArtmirrorError(
                f"grain {self.grain}; wanted 0 for none, or the noise's share of the full scale, below 1"
            )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Rebuild from `asdict`, as a checkpoint holds it.

        Raises:
            ArtmirrorError: a field is unknown or its value makes no network.
        """
        if isinstance(values, dict) and "channels" not in values:
            raise ArtmirrorError("network configuration does not fit this version: it has no channels")
        return rebuilt(cls, values, "network")


# huang: Huang et al. 2017, "Real-Time Neural Style Transfer for Videos", section 3.1, with nearest-neighbour upsampling
#        and a convolution in place of the transposed convolutions, which leave checkerboards.
# huang-deconv: the paper's.
# johnson: Johnson et al. 2016, supplement, with padded residual blocks and the same change of upsampling.
# reconet: Gao et al. 2018, table 1.
# lite, nano: ours, for weak machines; docs/measurements/variants.md has the search.
# any, any-lite, any-nano: the same for many paintings. Scales and shifts that come from outside cost a pass over the
#        memory; zeros around the residual blocks save one, so that a frame takes as long as before.
NETWORK_PRESETS: dict[str, NetworkConfig] = {
    "huang": NetworkConfig(),
    "huang-deconv": NetworkConfig(upsampling="deconv"),
    "johnson": NetworkConfig(channels=(32, 64, 128), end_kernel=9),
    "reconet": NetworkConfig(channels=(48, 96, 192), blocks=4, end_kernel=9),
    "lite": NetworkConfig(channels=(16, 16, 32), blocks=5, padding="replicate", fold=2),
    "nano": NetworkConfig(channels=(16, 12, 32), blocks=3, padding="replicate", block_padding="zeros", fold=4),
    "any": NetworkConfig(block_padding="zeros"),
    "any-lite": NetworkConfig(channels=(16, 16, 32), padding="replicate", block_padding="zeros", fold=2),
    "any-nano": NetworkConfig(channels=(16, 12, 32), blocks=3, padding="replicate", block_padding="zeros", fold=4),
}
MANY_PRESETS = ("any", "any-lite", "any-nano")


def parse_network(preset: str, changes: Iterable[str]) -> NetworkConfig:
    """A preset with some fields changed, each as KEY=VALUE; several numbers as 16,24,32.

    Raises:
        ArtmirrorError: there is no such field, or it cannot have that value.
    """
    values = asdict(NETWORK_PRESETS[preset])
    for change in changes:
        key, _, text = change.partition("=")
        if key not in values:
            raise ArtmirrorError(f"a network has no {key!r}; it has {', '.join(values)}: write --network KEY=VALUE")
        kind = type(values[key])
        try:
            if kind is bool:
                values[key] = {"true": True, "false": False}[text.lower()]
            else:
                values[key] = tuple(map(int, text.split(","))) if kind is tuple else kind(text)
        except (ValueError, KeyError):
            raise ArtmirrorError(f"{key} of a network is {text!r}; wanted a value like {values[key]}") from None
    return NetworkConfig(**values)


@dataclass(frozen=True, slots=True)
class LossWeights:
    """Factors of the four terms, for VGG-19 activations of mean about 1 and pictures in [0, 1].

    Style counts in units of an unpainted photo's (`losses.Objective`), so that one weight serves all paintings.
    """

    content: float = 1.0
    style: float = 70.0
    total_variation: float = 0.5
    temporal: float = 1000.0
    features: float = 0.0  # the temporal error of the network's own features (Gao et al. 2018, eq. 3)


@dataclass(frozen=True, slots=True)
class MotionConfig:
    """Largest random motion between the two frames of a moved photo."""

    rotation_deg: float = 3.0
    scale: float = 0.04  # relative growth or shrinkage
    shift: float = 0.03  # of the crop's side
    wobble_px: float = 3.0  # amplitude of the smooth noise field
    noise_std: float = 0.02  # Gaussian noise on the second frame, pictures in [0, 1]


_PATHS = ("painting_path", "photos_path", "clips_path", "flow_weights_path", "vgg_path")  # of TrainConfig


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """One training run. Two runs with equal configurations on one machine have equal losses."""

    painting_path: str
    photos_path: str | None = None  # folder of photos
    clips_path: str | None = None  # dataset of clips
    clip_share: float = 0.5  # of the pairs, where both are given
    gaps: tuple[int, ...] = (1,)  # frames from the first to the second of a pair from clips; drawn evenly
    flow: FlowSource = "dis"  # of pairs from clips: estimated on their crops, or as the dataset has it
    flow_weights_path: str | None = None  # for raft; None: torchvision's published file
    vgg_path: str | None = None  # None: torchvision's published file, from the cache or the network
    preset: str = "huang"
    network: NetworkConfig = field(default_factory=NetworkConfig)
    weights: LossWeights = field(default_factory=LossWeights)
    motion: MotionConfig = field(default_factory=MotionConfig)
    steps: int = 4000
    pairs: int = 4  # pairs of frames a step; of a network with memory sequences
    frames: int = 3  # of a sequence that are learned from, where the network has a memory
    lead: int = 6  # frames before them, painted only so that what is remembered is as old as in a show
    crop: int = 192  # side of the square frames, pixels
    painting_size: int = 384  # the painting's short side, pixels
    peak_learning_rate: float = 3e-3
    temporal_ramp: float = 0.0  # share of the steps in which the temporal weight grows from 0 to its full
    luminance: bool = False  # the temporal term lets the painting follow a change of light (Gao et al. 2018, eq. 5)
    gradient_clip: float = 10.0
    precision: Precision = "fp32"
    ema_decay: float = 0.0  # of the running average of the weights that is kept in their place; 0 for none
    seed: int = 0

    def __post_init__(self) -> None:
        _check_choices(self)
        if min(self.steps, self.pairs) < 1 or self.crop < 64 or self.painting_size < 64:
            raise ArtmirrorError(
                f"steps {self.steps}, pairs {self.pairs}, crop {self.crop}, style size {self.painting_size}: "
                "wanted at least 1, 1, 64 and 64"
            )
        if not 0 < self.peak_learning_rate < math.inf or not self.gradient_clip > 0:
            raise ArtmirrorError(
                f"learning rate {self.peak_learning_rate}, gradient clip {self.gradient_clip}: both must be above 0"
            )
        if not 0 <= self.temporal_ramp <= 1:
            raise ArtmirrorError(f"temporal ramp {self.temporal_ramp}; wanted a share of the steps, 0 to 1")
        if not 0 <= self.ema_decay < 1:
            raise ArtmirrorError(
                f"decay of the average {self.ema_decay}; wanted 0 for none, or below 1, for instance 0.99"
            )
        if not 2 <= self.frames <= 16:
            raise ArtmirrorError(f"{self.frames} frames of a sequence; wanted 2 to 16")
        if not 0 <= self.lead <= 64:
            raise ArtmirrorError(f"{self.lead} frames that lead in; wanted 0 to 64")
        if self.network.memory and (self.luminance or self.weights.features):
            raise ArtmirrorError("luminance and features are of pairs; a network with memory learns from sequences")
        if self.network.memory and self.photos_path is None:
            raise ArtmirrorError("a network with memory learns from photos that move; name a folder with --photos")
        if self.photos_path is None and self.clips_path is None:
            raise ArtmirrorError("nothing to train on; name a folder of photos with --photos or a dataset with --clips")
        if not 0 <= self.clip_share <= 1:
            raise ArtmirrorError(f"share of clips {self.clip_share}; wanted 0 to 1")
        if not self.gaps or min(self.gaps) < 1:
            raise ArtmirrorError(f"gaps {self.gaps}; wanted at least one, each of one frame or more")
        if not 0 <= self.seed < 1 << 32:
            raise ArtmirrorError(f"seed {self.seed}; wanted 0 to {(1 << 32) - 1}")

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as JSON and checkpoints hold it."""
        return asdict(self)

    def with_absolute_paths(self) -> Self:
        """The same run as any folder knows it."""
        paths: dict[str, Any] = {name: str(Path(path).absolute()) for name, path in self._paths().items()}
        return replace(self, **paths)

    def to_portable_dict(self) -> dict[str, Any]:
        """Plain data with file names in place of paths: a checkpoint travels, folders do not."""
        return portable(self.to_dict(), _PATHS)

    def _paths(self) -> dict[str, Any]:
        paths = {name: getattr(self, name) for name in _PATHS}
        return {name: path for name, path in paths.items() if path is not None}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Rebuild from `to_dict`.

        Raises:
            ArtmirrorError: a field is unknown or its value is out of range.
        """
        return rebuilt(cls, values, "training")
