"""Files that training writes: the checkpoint to use and the state to go on from. Plain data, renamed into place."""

import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import cannot_write, part_path, remove_stale_parts, write_whole
from artmirror.runtime.common.plain_data import Whole, fitted
from artmirror.train.config import NetworkConfig, TrainConfig
from artmirror.train.networks.stylizer import Stylizer
from artmirror.train.tensor_file import load_tensors, told_of

FORMAT_VERSION = 1
CHECKPOINT_KIND = "artmirror checkpoint"
STATE_KIND = "artmirror training state"


@dataclass(frozen=True, slots=True)
class StyleInfo:
    """What a style is called, as lists and captions show it."""

    name: str  # short, as `--style NAME` takes it
    title: str = ""
    artist: str = ""
    year: str = ""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A trained style: the content of `starry.pt`."""

    style: StyleInfo
    preset: str
    network: NetworkConfig
    weights: Mapping[str, Tensor]
    training: dict[str, Any]  # TrainConfig.to_portable_dict() and, as `start_from`, the checkpoint it began with
    step: Whole
    losses: dict[str, float]  # of the last step, unweighted, and their weighted sum

    def stylizer(self) -> Stylizer:
        """The network with these weights, in evaluation mode, on the CPU.

        Raises:
            ArtmirrorError: the weights do not fit the network's configuration.
        """
        try:
            with torch.device("meta"):  # no memory is taken before the shapes are known to be those of the file
                check_shapes(Stylizer(self.network), self.weights)
            network = Stylizer(self.network)
            network.load_state_dict(dict(self.weights))
        except (RuntimeError, ValueError) as error:
            told = (str(error).splitlines() or [type(error).__name__])[-1]
            raise ArtmirrorError(f"the weights do not fit the network {self.network}: {told}") from None
        return network.eval()


@dataclass(frozen=True, slots=True)
class _StateHead:
    style: StyleInfo
    step: Whole
    state: dict[str, Any]


def state_path(checkpoint: Path) -> Path:
    """Where the state for resuming lies: `starry.pt` -> `starry.state.pt`."""
    return checkpoint.with_name(f"{checkpoint.stem}.state{checkpoint.suffix}")


def check_writable(path: Path) -> None:
    """See that a checkpoint can be written, before hours of training and not after.

    Takes away what a process that was killed left half written.

    Raises:
        ArtmirrorError: it cannot.
    """
    if not path.parent.is_dir():
        raise ArtmirrorError(f"the folder of {path} does not exist; make it or name another with -o")
    if path.is_dir():
        raise ArtmirrorError(f"{path} is a folder; wanted the name of a file, choose it with -o")
    try:
        for file in (state_path(path), path):
            remove_stale_parts(file)
            part_path(file).touch()
            part_path(file).unlink()
    except OSError as error:
        raise cannot_write(path, error) from None


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write `starry.pt`.

    Raises:
        ArtmirrorError: the file cannot be written.
    """
    save_plain(
        path,
        {
            "kind": CHECKPOINT_KIND,
            "format_version": FORMAT_VERSION,
            "style": asdict(checkpoint.style),
            "preset": checkpoint.preset,
            "network": asdict(checkpoint.network),
            "weights": {key: value.detach().cpu().contiguous() for key, value in checkpoint.weights.items()},
            "training": checkpoint.training,
            "step": checkpoint.step,
            "losses": checkpoint.losses,
        },
    )


def load_checkpoint(path: Path) -> Checkpoint:
    """Open `starry.pt`.

    Raises:
        ArtmirrorError: the file is missing, damaged, or not a checkpoint of this format version.
    """
    data = load_plain(path, CHECKPOINT_KIND)
    _require(data, path, ("style", "preset", "network", "weights", "training", "step", "losses"))
    try:
        return fitted(data, Checkpoint)
    except ValueError as error:
        raise ArtmirrorError(f"{path} is damaged: {error}; train again or take a backup") from None
    except ArtmirrorError as error:
        raise ArtmirrorError(f"{path}: {error.message}") from None


def save_state(path: Path, *, style: StyleInfo, config: TrainConfig, step: int, state: dict[str, Any]) -> None:
    """Write `starry.state.pt`: all that `--resume` needs.

    Raises:
        ArtmirrorError: the file cannot be written.
    """
    save_plain(
        path,
        {
            "kind": STATE_KIND,
            "format_version": FORMAT_VERSION,
            "style": asdict(style),
            "config": config.to_dict(),
            "step": step,
            "state": state,
        },
    )


def load_state(path: Path) -> tuple[StyleInfo, TrainConfig, int, dict[str, Any]]:
    """Open `starry.state.pt`: style, configuration, steps done, state dictionaries.

    Raises:
        ArtmirrorError: the file is missing, damaged, or not a state of this format version.
    """
    data = load_plain(path, STATE_KIND)
    _require(data, path, ("style", "config", "step", "state"))
    try:
        head = fitted(data, _StateHead)
    except ValueError as error:
        raise ArtmirrorError(f"{path} is damaged: {error}; start training anew") from None
    return head.style, TrainConfig.from_dict(data["config"]), head.step, head.state


def save_plain(path: Path, data: dict[str, Any]) -> None:
    """Write tensors and plain data.

    Raises:
        ArtmirrorError: the file cannot be written.
    """
    content = io.BytesIO()  # a few MB; torch.save to a full disk would raise pages of C++ instead of an OSError
    torch.save(data, content)
    try:
        write_whole(path, content.getbuffer(), durable=True)
    except OSError as error:
        raise cannot_write(path, error) from None


def load_plain(path: Path, kind: str) -> dict[str, Any]:
    """Open what `save_plain` wrote with this `kind` and the present `format_version`.

    Raises:
        ArtmirrorError: the file is missing, damaged, of another kind or version.
    """
    if not path.is_file():
        raise ArtmirrorError(f"{path} does not exist; wanted a file that st-train wrote")
    try:
        data = load_tensors(path, archive=True)
    except Exception as error:  # a damaged file may raise nearly anything
        raise ArtmirrorError(
            f"{path} is not a file of st-train, or it is damaged ({told_of(error)}); wanted an {kind}"
        ) from error
    found = data.get("kind") if isinstance(data, dict) else type(data).__name__
    if not isinstance(data, dict) or not isinstance(found, str) or found != kind:
        told = found[:80] if found and isinstance(found, str) else "other data"
        raise ArtmirrorError(f"{path} holds {told}; wanted an {kind}")
    version = data.get("format_version")
    if not isinstance(version, int) or version != FORMAT_VERSION:
        told = str(version) if isinstance(version, int) and version < 1000 else "unknown"
        raise ArtmirrorError(f"{path} has format version {told}; this artmirror reads version {FORMAT_VERSION}")
    return data


def check_shapes(network: nn.Module, weights: Any) -> None:
    """See that weights are those of a network, which may have no memory ("meta").

    Raises:
        ValueError: a name, a shape or a kind of value differs; the message tells the first.
    """
    wanted = {name: value.shape for name, value in network.state_dict().items()}
    if not isinstance(weights, Mapping) or weights.keys() != wanted.keys():
        raise ValueError("they have other names")
    for name, shape in wanted.items():
        value = weights[name]
        if not isinstance(value, Tensor) or value.shape != shape:
            told = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"{name} is {told}, wanted {tuple(shape)}")


@contextmanager
def telling_damage(path: Path) -> Iterator[None]:
    """What goes wrong while a state of training is taken over is the file's fault, and told so."""
    try:
        yield
    except (RuntimeError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ArtmirrorError(
            f"{path} is damaged, its state does not fit ({type(error).__name__}); start training anew"
        ) from error


def _require(data: dict[str, Any], path: Path, keys: Iterable[str]) -> None:
    for key in keys:
        if key not in data:
            raise ArtmirrorError(f"{path} is damaged: '{key}' is missing; train again or take a backup")
