"""Files that training writes: the checkpoint to use and the state to go on from. Plain data, renamed into place."""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from artmirror.runtime.common.errors import ArtmirrorError
from artmirror.runtime.common.files import cannot_write, part_path, remove_stale_parts, write_whole
from artmirror.train.config import NetworkConfig, TrainConfig
from artmirror.train.networks.stylizer import Stylizer

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
    step: int
    losses: dict[str, float]  # of the last step, unweighted, and their weighted sum

    def stylizer(self) -> Stylizer:
        """The network with these weights, in evaluation mode, on the CPU.

        Raises:
            ArtmirrorError: the weights do not fit the network's configuration.
        """
        network = Stylizer(self.network)
        try:
            network.load_state_dict(dict(self.weights))
        except RuntimeError as error:
            raise ArtmirrorError(
                f"the weights do not fit the network {self.network}: {str(error).splitlines()[-1]}"
            ) from None
        return network.eval()


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
    try:
        return Checkpoint(
            style=StyleInfo(**data["style"]),
            preset=data["preset"],
            network=NetworkConfig.from_dict(data["network"]),
            weights=data["weights"],
            training=data["training"],
            step=data["step"],
            losses=data["losses"],
        )
    except (KeyError, TypeError) as error:
        raise ArtmirrorError(f"{path} is damaged: {error} is missing or wrong; train again or take a backup") from None


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
    try:
        return StyleInfo(**data["style"]), TrainConfig.from_dict(data["config"]), data["step"], data["state"]
    except (KeyError, TypeError) as error:
        raise ArtmirrorError(f"{path} is damaged: {error} is missing or wrong; start training anew") from None


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
        with zipfile.ZipFile(path) as archive:  # torch.save writes sums of the content, and torch.load ignores them
            if archive.testzip() is not None:
                raise zipfile.BadZipFile
        data = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file may raise nearly anything
        raise ArtmirrorError(
            f"{path} is not a file of st-train, or it is damaged ({type(error).__name__}); wanted an {kind}"
        ) from error
    if not isinstance(data, dict) or data.get("kind") != kind:
        found = data.get("kind") if isinstance(data, dict) else type(data).__name__
        raise ArtmirrorError(f"{path} holds {found or 'other data'}; wanted an {kind}")
    if data.get("format_version") != FORMAT_VERSION:
        raise ArtmirrorError(
            f"{path} has format version {data.get('format_version')}; this artmirror reads version {FORMAT_VERSION}"
        )
    return data
